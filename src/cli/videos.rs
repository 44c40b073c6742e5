//! `videos`: what became of them, and what a person can do about it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::{Answer, Videos, When};
use super::client::Api;
use super::confirm::confirm;
use super::download;
use super::moment::Moment;
use super::print::{self, cell};
use super::video::{Video, local_time};
use crate::app::{Failure, Manner, Output};

pub(super) async fn run(api: &Api, command: Videos, manner: Manner) -> Result<(), Failure> {
    match command {
        Videos::List { status, account, query, limit, cursor } => {
            let limit = limit.map(|limit| limit.to_string());
            let all = [("status", status), ("accountId", account), ("q", query), ("limit", limit), ("cursor", cursor)];
            let query: Vec<_> =
                all.iter().filter_map(|(name, value)| value.as_deref().map(|value| (*name, value))).collect();
            list(&api.get(&["api", "videos"], &query).await?, manner)
        }
        Videos::Show { id } => show(&api.get(&["api", "videos", &id], &[]).await?, manner),
        Videos::Download { id, to, source } => {
            let to = to.unwrap_or_else(|| PathBuf::from(format!("{id}.mp4")));
            let what = if source { "source" } else { "edited" };
            download::run(api, &id, what, &to, manner).await
        }
        Videos::Cancel { ids } => each(api, &ids, "cancel", manner).await,
        Videos::Retry { ids } => each(api, &ids, "retry", manner).await,
        Videos::Schedule { id, when } => schedule(api, &id, when, manner).await,
        Videos::Resolve { id, answer } => resolve(api, &id, answer, manner).await,
    }
}

fn list(answer: &Value, manner: Manner) -> Result<(), Failure> {
    if manner.output == Output::Json {
        return print::json(answer);
    }
    let rows = answer.get("videos").and_then(Value::as_array).into_iter().flatten().map(|video| {
        let video = Video(video.clone());
        let text = |name| cell(&video.0, name);
        vec![video.id(), video.status(), video.progress().to_string(), print::shortened(&text("title"))]
    });
    print::table(&["VIDEO", "STATUS", "%", "TITLE"], rows)?;
    let next = cell(answer, "next");
    if !next.is_empty() {
        eprintln!("there are more: --cursor {}", print::printable(&next));
    }
    Ok(())
}

fn show(answer: &Value, manner: Manner) -> Result<(), Failure> {
    let video = Video::of(answer)?;
    video.show(answer, manner.output)?;
    let timeline = video.0.get("timeline").and_then(Value::as_array).filter(|lines| !lines.is_empty());
    let Some(timeline) = timeline.filter(|_| manner.output == Output::Table) else { return Ok(()) };
    print::line("")?;
    let rows = timeline.iter().map(|entry| {
        let what =
            ["text", "event", "status", "what"].iter().map(|name| cell(entry, name)).find(|text| !text.is_empty());
        vec![local_time(&cell(entry, "at")), what.unwrap_or_else(|| entry.to_string())]
    });
    print::table(&["WHEN", "WHAT"], rows)
}

/// One after the other; the first refusal ends it.
async fn each(api: &Api, ids: &[String], verb: &str, manner: Manner) -> Result<(), Failure> {
    for id in ids {
        if manner.dry_run {
            let video = Video::of(&api.get(&["api", "videos", id], &[]).await?)?;
            print::line(&format!("would {verb} {} ({})", video.id(), video.sentence()))?;
            continue;
        }
        let answer = api.post(&["api", "videos", id, verb], &json!({})).await?;
        changed(id, &answer, manner)?;
    }
    Ok(())
}

async fn schedule(api: &Api, id: &str, when: When, manner: Manner) -> Result<(), Failure> {
    let at = when.at.map(Moment::to_text);
    if manner.dry_run {
        let video = Video::of(&api.get(&["api", "videos", id], &[]).await?)?;
        let when =
            at.as_deref().map_or_else(|| "as soon as possible".to_owned(), |at| format!("at {}", local_time(at)));
        return print::line(&format!("would post {} {when} ({})", video.id(), video.sentence()));
    }
    changed(id, &api.patch(&["api", "videos", id], &json!({ "publishAt": at })).await?, manner)
}

async fn resolve(api: &Api, id: &str, answer: Answer, manner: Manner) -> Result<(), Failure> {
    let (body, what) = match answer {
        Answer { posted: Some(post), .. } => (json!({ "action": "posted", "postId": post }), "mark as posted"),
        Answer { again: true, .. } => (json!({ "action": "again" }), "post again"),
        _ => (json!({ "action": "giveUp" }), "give up"),
    };
    if manner.dry_run {
        let video = Video::of(&api.get(&["api", "videos", id], &[]).await?)?;
        return print::line(&format!("would {what}: {} ({})", video.id(), video.sentence()));
    }
    if answer.again {
        confirm("If the post is there after all, this makes a second one.", "post again", manner)?;
    }
    changed(id, &api.post(&["api", "videos", id, "resolve"], &body).await?, manner)
}

fn changed(id: &str, answer: &Value, manner: Manner) -> Result<(), Failure> {
    if manner.output == Output::Json {
        return print::json(answer);
    }
    let status = Video::of(answer).map(|video| video.sentence()).unwrap_or_default();
    print::line(format!("{id} {status}").trim_end())
}
