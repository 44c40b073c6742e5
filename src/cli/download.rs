//! `videos download`: a video's bytes into a file, which is there whole or not at all.

use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use reqwest::{Method, Response};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use super::client::Api;
use super::print;
use super::upload::bar;
use crate::app::{Failure, Manner};

pub(super) async fn run(api: &Api, id: &str, what: &str, to: &Path, manner: Manner) -> Result<(), Failure> {
    if manner.dry_run {
        return print::line(&format!("would write {}", to.display()));
    }
    let response = api.send(api.request(Method::GET, &["api", "videos", id, what])).await?;
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = match write(response, &part).await {
        Ok(()) => fs::rename(&part, to).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        fs::remove_file(&part).await.ok();
        return Err(Failure::failed(format!("{}: {error}", to.display())));
    }
    print::line(&to.display().to_string())
}

async fn write(response: Response, part: &Path) -> Result<(), String> {
    let bar = bar("download", response.content_length().unwrap_or_default());
    let mut file = File::create(part).await.map_err(|error| error.to_string())?;
    let mut body = response.bytes_stream();
    while let Some(bytes) = body.try_next().await.map_err(|error| format!("the connection broke off ({error})"))? {
        file.write_all(&bytes).await.map_err(|error| error.to_string())?;
        bar.inc(bytes.len() as u64);
    }
    bar.finish_and_clear();
    file.flush().await.map_err(|error| error.to_string())
}
