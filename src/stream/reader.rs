//! A reader: one consumer of one group, with a connection of its own.
//!
//! A read that is dropped strands the next entry, so it runs in a task of its own until it ends; who doesn't want to
//! wait any longer wakes it ([`Reader::wake`]), and it ends with what it has.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fred::interfaces::{ClientInterface, ClientLike, StreamsInterface};
use fred::types::ClientUnblockFlag;
use fred::types::config::Options as CommandOptions;
use fred::types::{Key, Value};
use tokio::task::JoinHandle;

use super::commands::names;
use super::line::Line;
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
    line: Line,
    stage: Stage,
    consumer: String,
}

impl Reader {
    pub async fn open(streams: &Streams, stage: Stage, consumer: &str) -> Result<Self> {
        let line = streams.another().await?;
        Ok(Self { inner: Arc::new(Inner { streams: streams.clone(), line, stage, consumer: consumer.to_owned() }) })
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
        let replaced = tokio::time::timeout(WAKE, self.inner.line.client().force_reconnection()).await;
        if replaced.is_err() {
            tracing::warn!(stage = %self.inner.stage, "the reading connection can't be replaced yet; Redis is still tried");
        }
        matches!(replaced, Ok(Ok(())))
    }

    pub async fn close(&self) {
        self.inner.line.close().await;
    }
}

impl Inner {
    async fn read(&self, from: &str, most: Option<u64>, block: Option<Duration>) -> Result<Vec<Delivery>> {
        let (stream, group) = names(self.stage)?;
        let patience = block.unwrap_or_default() + self.streams.command_timeout();
        let options = CommandOptions { max_attempts: Some(1), timeout: Some(patience), ..CommandOptions::default() };
        let block = block.map(|block| u64::try_from(block.as_millis()).unwrap_or(u64::MAX).max(1));
        let client = self.streams.client_on(&self.line, Purpose::Read, 1).await?;
        let reply = client
            .with_options(&options)
            .xreadgroup(group, self.consumer.as_str(), most, block, false, Key::from(stream), from)
            .await;
        let answer: Result<Value> = reply.map_err(StreamError::from);
        self.streams.inner.quota.heard(&answer);
        answer.map(reply::read)
    }

    /// Asks Redis to end the blocked read; false where that can't be asked.
    async fn unblock(&self) -> bool {
        if self.streams.clustered() {
            self.line.client().unblock_self(Some(ClientUnblockFlag::Timeout)).await.ok();
            return true;
        }
        let ids = self.line.client().connection_ids();
        if ids.is_empty() || !self.streams.inner.unblocks.load(Ordering::Relaxed) {
            return false;
        }
        for id in ids.into_values() {
            let Ok(client) = self.streams.client(Purpose::Repair, 1).await else { return false };
            let woken = client.client_unblock(id, Some(ClientUnblockFlag::Timeout)).await;
            if let Err(StreamError::Refused(_)) = self.streams.heard::<Value>(woken) {
                self.streams.inner.unblocks.store(false, Ordering::Relaxed);
                return false;
            }
        }
        true
    }
}

fn joined(done: Result<Result<Vec<Delivery>>, tokio::task::JoinError>) -> Result<Vec<Delivery>> {
    done.unwrap_or_else(|error| Err(StreamError::Unavailable(format!("the read ended early: {error}"))))
}
