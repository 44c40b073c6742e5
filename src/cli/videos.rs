//! `videos`: what became of them, and what a person can do about it.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};

use super::args::{Answer, OptionsChange, Videos, When};
use super::client::{ANSWER, Api};
use super::confirm::confirm;
use super::download;
use super::moment::Moment;
use super::print::{self, cell};
use super::redraw;
use super::video::{Video, attempts, local_time, timeline};
use crate::app::{Failure, Manner, Output};

pub(super) async fn run(api: &Api, command: Videos, manner: Manner) -> Result<(), Failure> {
    match command {
        Videos::List { status, account, query, limit, cursor, watch } => {
            let limit = limit.map(|limit| limit.to_string());
            let all = [("status", status), ("accountId", account), ("q", query), ("limit", limit), ("cursor", cursor)];
            let query: Vec<_> =
                all.iter().filter_map(|(name, value)| value.as_deref().map(|value| (*name, value))).collect();
            redraw::shown(watch, manner, async || api.get(&["api", "videos"], &query).await, list).await
        }
        Videos::Show { id } => show(&api.get(&["api", "videos", &id], &[]).await?, manner),
        Videos::Download { id, to, source } => {
            let to = to.unwrap_or_else(|| PathBuf::from(format!("{id}.mp4")));
            let what = if source { "source" } else { "edited" };
            download::run(api, &id, what, &to, manner).await
        }
        Videos::Cancel { ids } => each(api, &ids, "cancel", manner).await,
        Videos::Retry { ids } => each(api, &ids, "retry", manner).await,
        Videos::Options { id, change } => options(api, &id, change, manner).await,
        Videos::Schedule { id, when } => schedule(api, &id, when, manner).await,
        Videos::Resolve { id, answer } => resolve(api, &id, answer, manner).await,
    }
}

fn list(answer: &Value) -> Result<(), Failure> {
    let rows = answer.get("videos").and_then(Value::as_array).into_iter().flatten().map(|video| {
        let video = Video(video.clone());
        let title = print::shortened(&cell(&video.0, "title"));
        vec![
            video.id(),
            video.status(),
            video.progress().to_string(),
            video.why().map_or(title.clone(), |why| format!("{title} ({why})")),
        ]
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
    if manner.output == Output::Json {
        return Ok(());
    }
    attempts(&video.0)?;
    timeline(&video.0)
}

/// One after the other; the first refusal ends it.
async fn each(api: &Api, ids: &[String], verb: &str, manner: Manner) -> Result<(), Failure> {
    if !manner.dry_run {
        confirm(&format!("This means to {verb} {}.", ids.join(", ")), verb, manner)?;
    }
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

/// Without a change, too: the account may have changed instead.
async fn options(api: &Api, id: &str, change: OptionsChange, manner: Manner) -> Result<(), Failure> {
    let mut body = serde_json::Map::new();
    body.extend(change.privacy.map(|level| ("privacyLevel".to_owned(), json!(level))));
    for (name, value) in [
        ("allowComment", change.allow_comment),
        ("allowDuet", change.allow_duet),
        ("allowStitch", change.allow_stitch),
        ("brandedContent", change.branded_content),
        ("yourBrand", change.your_brand),
        ("aiGenerated", change.ai_generated),
    ] {
        body.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    let body = Value::Object(body);
    if manner.dry_run {
        let video = Video::of(&api.get(&["api", "videos", id], &[]).await?)?;
        return print::line(&format!("would change the options of {} to {body}", video.id()));
    }
    let request = api.request(Method::PATCH, &["api", "videos", id, "options"]).json(&body);
    changed(id, &api.json(request.timeout(ANSWER)).await?, manner)
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
    let (body, what, question) = match answer {
        Answer { posted: Some(post), .. } => {
            let question = format!("It counts as posted from now on, as {post}.");
            (json!({ "action": "posted", "postId": post }), "posted", question)
        }
        Answer { again: true, .. } => {
            let question = "If the post is there after all, this makes a second one.".to_owned();
            (json!({ "action": "again" }), "post again", question)
        }
        _ => {
            let question = "It counts as failed from now on, whatever became of the post.".to_owned();
            (json!({ "action": "giveUp" }), "give up", question)
        }
    };
    let video = Video::of(&api.get(&["api", "videos", id], &[]).await?)?;
    if manner.dry_run {
        return print::line(&format!("would resolve as \"{what}\": {} ({})", video.id(), video.sentence()));
    }
    eprintln!("{} is {}", video.id(), video.sentence());
    confirm(&question, what, manner)?;
    changed(id, &api.post(&["api", "videos", id, "resolve"], &body).await?, manner)
}

fn changed(id: &str, answer: &Value, manner: Manner) -> Result<(), Failure> {
    if manner.output == Output::Json {
        return print::json(answer);
    }
    let status = Video::of(answer).map(|video| video.sentence()).unwrap_or_default();
    print::line(format!("{id} {status}").trim_end())
}
