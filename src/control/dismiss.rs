//! Dropping dead letters: somebody has seen them and leaves them at that.

use std::collections::BTreeMap;

use serde_json::json;

use super::plan::{Act, Commands, Plan, agreed, mark, refusal};
use super::{Refused, impossible};
use crate::event::VideoId;
use crate::ledger::{DeadLetter, Ledger, Status, Tx};

/// A dead letter, by the name under which an operator knows it.
#[derive(Debug, Clone)]
pub enum Named {
    Video(String, Option<VideoId>),
    /// One that could not even be read.
    Entry {
        id: String,
        stream: String,
        entry: String,
    },
}

/// What is dropped.
#[derive(Debug, Clone)]
pub enum Dropped {
    Letter(Box<DeadLetter>),
    Entry { id: String },
}

/// The videos stay FAILED with their reasons and their history; they only stop being dead letters. Costs no command.
pub async fn dismiss(
    ledger: &Ledger,
    named: Vec<Named>,
    more: bool,
    by: &str,
    act: &Act,
) -> Result<Plan<Dropped>, Refused> {
    let tx = ledger.begin().await?;
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    let mut videos: BTreeMap<VideoId, String> = BTreeMap::new();
    for one in named {
        match one {
            Named::Video(name, Some(video)) => {
                videos.entry(video).or_insert(name);
            }
            Named::Video(name, None) => refused.push(refusal(name, None, Refused::NoSuchVideo)?),
            Named::Entry { id, stream, entry } if tx.remove_dead_entry(&stream, &entry).await? => {
                accepted.push(Dropped::Entry { id });
            }
            Named::Entry { id, .. } => refused.push(refusal(id, None, Refused::NoSuchVideo)?),
        }
    }
    for (video, name) in videos {
        match drop_letter(&tx, video, by).await {
            Ok(letter) => accepted.push(Dropped::Letter(Box::new(letter))),
            Err(error) => refused.push(refusal(name, Some(video), error)?),
        }
    }
    let lines = accepted.iter().map(|dropped| match dropped {
        Dropped::Letter(letter) => format!("{} {}", letter.task.task.id, letter.task.task.seq),
        Dropped::Entry { id } => id.clone(),
    });
    let not = refused.iter().map(|refused| format!("{} {}", refused.id, refused.reason.code));
    let mark = mark(lines.chain(not));
    let done = agreed(act, &mark)? && !accepted.is_empty();
    if done {
        tx.commit().await?;
    }
    Ok(Plan { mark, done, accepted, refused, commands: Commands::default(), last_start: None, more })
}

async fn drop_letter(tx: &Tx, id: VideoId, by: &str) -> Result<DeadLetter, Refused> {
    let video = tx.video(id).await?.ok_or(Refused::NoSuchVideo)?;
    if video.status == Status::NeedsReview {
        let text = "it needs a person's word first; resolve it as given up, and then drop it";
        return Err(impossible("needs_review", text));
    }
    let letter = tx.dead_of(&[id]).await?.pop();
    let letter =
        letter.ok_or_else(|| impossible("not_dead", format!("it is no dead letter; it is {}", video.status)))?;
    for row in tx.tasks_of(id).await? {
        if let Ok(dismissed) = row.task.dismiss() {
            tx.put_task(&row.task, &dismissed).await?;
        }
    }
    tx.note(id, Some(letter.task.task.stage), "dropped", json!({ "by": by })).await?;
    Ok(letter)
}
