//! A reader: one consumer of one group, with a connection of its own.
//!
//! A read that is dropped strands the next entry, so it runs in a task of its own until it ends; who doesn't want to
//! wait any longer wakes it ([`Reader::wake`]), and it ends with what it has.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::config::Options as CommandOptions;
use fred::types::{ClusterHash, CustomCommand, Key, Value};
use tokio::task::JoinHandle;

use super::commands::names;
use super::link::{Link, note};
use super::{Delivery, Purpose, Result, StreamError, Streams, reply};
use crate::event::Stage;

/// A read that is under way.
pub type Reading = JoinHandle<Result<Vec<Delivery>>>;

/// How a read ended that was not let wait any longer.
#[derive(Debug)]
pub enum Woken {
    Read(Vec<Delivery>),
    /// With its connection: an entry that was on its way lies in the pending list of this consumer.
    Cut,
}

/// How long a woken read may take to come back before its connection counts as dead.
const WAKE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Reader {
    inner: Arc<Inner>,
}

struct Inner {
    streams: Streams,
    link: Link,
    stage: Stage,
    consumer: String,
}

impl Reader {
    pub async fn open(streams: &Streams, stage: Stage, consumer: &str) -> Result<Self> {
        let link = streams.another(stage).await?;
        Ok(Self { inner: Arc::new(Inner { streams: streams.clone(), link, stage, consumer: consumer.to_owned() }) })
    }

    /// Whether a read may get through. Costs no command.
    pub fn usable(&self) -> bool {
        self.inner.link.usable()
    }

    pub fn consumer(&self) -> &str {
        &self.inner.consumer
    }

    /// New entries: waits for the first one for `block` at most. No entry is no error.
    pub fn read(&self, most: u64, block: Duration) -> Reading {
        let inner = self.inner.clone();
        tokio::spawn(async move { inner.read(">", Some(most), Some(block)).await })
    }

    /// New entries that are there now; returns at once.
    pub async fn read_now(&self, most: u64) -> Result<Vec<Delivery>> {
        let inner = self.inner.clone();
        joined(tokio::spawn(async move { inner.read(">", Some(most), None).await }).await)
    }

    /// One's own pending entries after this id: what an earlier read left behind.
    pub async fn own_pending(&self, after: &str, most: u64) -> Result<Vec<Delivery>> {
        let (inner, after) = (self.inner.clone(), after.to_owned());
        joined(tokio::spawn(async move { inner.read(&after, Some(most), None).await }).await)
    }

    /// Ends a blocked read. Redis is asked to; where it can't or doesn't, the connection is replaced.
    pub async fn wake(&self, mut reading: Reading) -> Result<Woken> {
        let asked = tokio::time::timeout(WAKE, async {
            while self.inner.unblock().await {
                // The read may not have reached Redis yet, so one call may come too early.
                if let Ok(done) = tokio::time::timeout(Duration::from_millis(100), &mut reading).await {
                    return Some(done);
                }
            }
            None
        });
        if let Ok(Some(done)) = asked.await {
            return joined(done).map(Woken::Read);
        }
        let replaced = self.reconnect().await;
        match tokio::time::timeout(WAKE, &mut reading).await {
            Ok(done) => match joined(done) {
                Ok(read) => Ok(Woken::Read(read)),
                Err(StreamError::Unavailable(_)) if replaced => Ok(Woken::Cut),
                Err(error) => Err(error),
            },
            Err(_) => {
                reading.abort();
                Err(StreamError::Unavailable("the reading connection doesn't answer".to_owned()))
            }
        }
    }

    /// Replaces a connection that is suspected to be dead; false: it can't be had yet.
    pub async fn reconnect(&self) -> bool {
        tokio::time::timeout(WAKE, self.inner.link.reconnect()).await.unwrap_or(false)
    }

    pub async fn close(&self) {
        self.inner.link.close().await;
    }
}

impl Inner {
    async fn read(&self, from: &str, most: Option<u64>, block: Option<Duration>) -> Result<Vec<Delivery>> {
        let (stream, group) = names(self.stage)?;
        let patience = block.unwrap_or_default() + self.streams.command_timeout();
        let options = CommandOptions { max_attempts: Some(1), timeout: Some(patience), ..CommandOptions::default() };
        let block = block.map(|block| u64::try_from(block.as_millis()).unwrap_or(u64::MAX).max(1));
        let options = &options;
        let read = |client: Client| async move {
            let consumer = self.consumer.as_str();
            client.with_options(options).xreadgroup(group, consumer, most, block, false, Key::from(stream), from).await
        };
        let answer = self.link.send(Purpose::Read, read).await;
        // A read that waited may have been closed as idle, which is none; the next one tells.
        if block.is_none() || !matches!(answer, Err(StreamError::Unavailable(_))) {
            note(self.link.outage(), &answer);
        }
        Ok(reply::read(answer?))
    }

    /// Asks Redis to end the blocked read; false where that can't be asked. Sent over the connection for the stage's
    /// commands: fred's own way is a further connection, with a set-up of its own.
    async fn unblock(&self) -> bool {
        let unblocks = &self.streams.inner.unblocks;
        let Some(id) = self.link.id().filter(|_| unblocks.load(Ordering::Relaxed)) else { return false };
        let unblock = |client: Client| async move {
            let client_unblock = CustomCommand::new_static("CLIENT", ClusterHash::Random, false);
            client.custom::<Value, Value>(client_unblock, vec!["UNBLOCK".into(), id.into(), "TIMEOUT".into()]).await
        };
        match self.streams.link(self.stage).send(Purpose::Repair, unblock).await {
            // Not there, or not for this user.
            Err(StreamError::Refused(_) | StreamError::Rejected(_)) => {
                unblocks.store(false, Ordering::Relaxed);
                false
            }
            Err(StreamError::QuotaExceeded(_)) => false,
            _ => true,
        }
    }
}

fn joined(done: Result<Result<Vec<Delivery>>, tokio::task::JoinError>) -> Result<Vec<Delivery>> {
    done.unwrap_or_else(|error| Err(StreamError::Unavailable(format!("the read ended early: {error}"))))
}
