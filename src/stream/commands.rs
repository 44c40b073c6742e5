//! The commands that write to a stream or repair it. None is ever sent twice.

use std::collections::HashMap;

use fred::clients::Client;
use fred::interfaces::StreamsInterface;
use fred::types::Value;
use fred::types::streams::{XCap, XID};

use super::link::note;
use super::{Content, Delivery, Pending, Purpose, Result, StreamError, Streams, reply};
use crate::event::{Entry, Stage};

/// `(stream, group)` of a stage. Only stages that have a stream are asked.
pub(super) fn names(stage: Stage) -> Result<(&'static str, &'static str)> {
    let stream = stage.stream().ok_or_else(|| StreamError::Refused(format!("the stage {stage} has no stream")))?;
    Ok((stream, stage.as_str()))
}

impl Streams {
    /// Appends the entry of a task that was committed as `queued`, and trims what is long over by the way. Nothing is
    /// written to the ledger afterwards: a lost answer and a crash look the same to it, and are healed alike.
    pub async fn append(&self, stage: Stage, entry: &Entry) -> Result<String> {
        let (stream, _) = names(stage)?;
        let bound = self.trim_bound(stage);
        let cap = match &bound {
            Some(id) => XCap::try_from(("MINID", "~", id.as_str()))?,
            None => XCap::from(None),
        };
        let (cap, fields) = (&cap, &entry.fields());
        let appended = self
            .link(stage)
            .send(Purpose::Append, |client| async move {
                client.xadd(stream, false, cap.clone(), XID::Auto, fields.to_vec()).await
            })
            .await;
        // A connection that fails has an outage of its own in the log, which ends with it and not at the next append.
        if appended.is_ok() || self.link(stage).connected() {
            note(self.appending(), &appended);
        }
        let id: String = appended?;
        self.appended(stage, &id);
        Ok(id)
    }

    pub async fn acknowledge(&self, stage: Stage, ids: Vec<String>) -> Result<()> {
        let (stream, group) = names(stage)?;
        let ids = &ids;
        let acknowledge = |client: Client| async move { client.xack::<u64, _, _, _>(stream, group, ids.clone()).await };
        self.link(stage).send(Purpose::Acknowledge, acknowledge).await?;
        Ok(())
    }

    /// Makes the group at 0, never at the end: what was appended before the first worker came is work too. True if it
    /// was not there.
    pub async fn ensure_group(&self, stage: Stage) -> Result<bool> {
        let (stream, group) = names(stage)?;
        self.link(stage)
            .send(Purpose::Repair, |client| async move {
                match client.xgroup_create::<Value, _, _, _>(stream, group, XID::Manual("0".into()), true).await {
                    Ok(_) => Ok(true),
                    Err(error) if error.details().starts_with("BUSYGROUP") => Ok(false),
                    Err(error) => Err(error),
                }
            })
            .await
    }

    /// One page of the pending list, after this id (exclusive; none: from the start). A scan that begins again at the
    /// head would never see the tail.
    pub async fn pending(&self, stage: Stage, after: Option<&str>, most: u64) -> Result<Vec<Pending>> {
        let (stream, group) = names(stage)?;
        let start = after.map_or("-".to_owned(), |id| format!("({id}"));
        let start = start.as_str();
        let ask = |client: Client| async move { client.xpending(stream, group, (start, "+", most)).await };
        Ok(reply::pending(self.link(stage).send(Purpose::Repair, ask).await?))
    }

    /// The line of the pending list for one entry.
    pub async fn pending_entry(&self, stage: Stage, id: &str) -> Result<Option<Pending>> {
        let (stream, group) = names(stage)?;
        let ask = |client: Client| async move { client.xpending(stream, group, (id, id, 1)).await };
        Ok(reply::pending(self.link(stage).send(Purpose::Repair, ask).await?).into_iter().next())
    }

    /// Takes an entry over from whoever has it. None: nobody has it, it is neither on the stream nor pending.
    pub async fn claim(&self, stage: Stage, consumer: &str, id: &str) -> Result<Option<Delivery>> {
        let (stream, group) = names(stage)?;
        let claim = |client: Client| async move {
            client.xclaim(stream, group, consumer, 0, id, None, None, None, false, false).await
        };
        let claimed = reply::entries(self.link(stage).send(Purpose::Repair, claim).await?).into_iter().next();
        Ok(claimed.filter(|delivery| !matches!(delivery.content, Content::Gone)))
    }

    /// Takes several entries over with one command. What is gone is left out.
    pub async fn claim_all(&self, stage: Stage, consumer: &str, ids: Vec<String>) -> Result<Vec<Delivery>> {
        let (stream, group) = names(stage)?;
        let ids = &ids;
        let claim = |client: Client| async move {
            client.xclaim(stream, group, consumer, 0, ids.clone(), None, None, None, false, false).await
        };
        Ok(reply::entries(self.link(stage).send(Purpose::Repair, claim).await?))
    }

    /// Removes a consumer, but only when nothing is pending with it: removing it would destroy its entries.
    pub async fn remove_consumer(&self, stage: Stage, consumer: &str) -> Result<bool> {
        let (stream, group) = names(stage)?;
        let link = self.link(stage);
        let ask = |client: Client| async move { client.xpending(stream, group, ("-", "+", 1, consumer)).await };
        if !reply::pending(link.send(Purpose::Repair, ask).await?).is_empty() {
            return Ok(false);
        }
        let remove =
            |client: Client| async move { client.xgroup_delconsumer::<Value, _, _, _>(stream, group, consumer).await };
        link.send(Purpose::Repair, remove).await?;
        Ok(true)
    }

    /// The names of a group's consumers.
    pub async fn consumers(&self, stage: Stage) -> Result<Vec<String>> {
        let (stream, group) = names(stage)?;
        let ask = |client: Client| async move { client.xinfo_consumers(stream, group).await };
        let list: Vec<HashMap<String, Value>> = self.link(stage).send(Purpose::Repair, ask).await?;
        Ok(list.into_iter().filter_map(|mut consumer| consumer.remove("name")?.into_string()).collect())
    }
}

/// Whether the id `a` is below `b`.
pub(super) fn older(a: &str, b: &str) -> bool {
    let parts = |id: &str| {
        let (ms, seq) = id.split_once('-').unwrap_or((id, "0"));
        (ms.parse::<u64>().unwrap_or(0), seq.parse::<u64>().unwrap_or(0))
    };
    parts(a) < parts(b)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_compare_as_numbers() {
        assert!(super::older("9-5", "10-0"));
        assert!(super::older("10-9", "10-10"));
        assert!(!super::older("10-10", "10-10"));
    }
}
