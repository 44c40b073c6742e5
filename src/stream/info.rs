//! What pages, metrics and `doctor` ask Redis. Each costs commands, so a metered plan is not asked.

use std::collections::HashMap;

use fred::clients::Client;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::Value;

use super::commands::{names, older};
use super::{Content, Delivery, ONE_OF_A_CLUSTER, Pending, Purpose, Result, StreamError, Streams, reply};
use crate::event::{Entry, Stage};

/// The major version of Redis below which streams lack what we need (the lag, entries that are gone in XCLAIM's answer).
const OLDEST: u64 = 7;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamInfo {
    /// False: there is no such key.
    pub exists: bool,
    pub length: u64,
    pub entries_added: Option<u64>,
    pub radix_tree_keys: Option<u64>,
    pub radix_tree_nodes: Option<u64>,
    pub last_generated: Option<String>,
    pub max_deleted: Option<String>,
    /// The id of the oldest entry.
    pub first: Option<String>,
    /// The newest entry's id, and the entry if it is one of ours.
    pub last: Option<(String, Option<Entry>)>,
    pub group: Option<GroupInfo>,
    /// Who else reads the stream.
    pub other_groups: Vec<String>,
}

impl StreamInfo {
    /// Whether the group stands before an entry that was delivered already and may still be on the stream.
    pub fn stands_before(&self, delivered: &str) -> bool {
        let (Some(first), Some(group)) = (&self.first, &self.group) else { return false };
        older(&group.last_delivered, delivered) && !older(delivered, first)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupInfo {
    /// None: Redis can't know (entries were deleted ahead of the group). Never taken for 0.
    pub lag: Option<u64>,
    pub pending: u64,
    pub last_delivered: String,
    /// None: Redis can't know, as with the lag.
    pub entries_read: Option<u64>,
    pub consumers: Vec<ConsumerInfo>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerInfo {
    pub name: String,
    pub pending: u64,
    pub idle_ms: u64,
}

/// What kind of Redis it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    pub version: String,
    pub append_only: Option<bool>,
    pub eviction: Option<String>,
    /// A replica takes no writes.
    pub replica: bool,
    /// Whether the last write to its append-only file or its last snapshot failed: then it may refuse writes.
    pub cannot_save: bool,
    /// Bytes that are used, and that may be; None: as many as there are.
    pub memory: (u64, Option<u64>),
    /// What it says of itself may be a service's own: then its version is no Redis'.
    pub service: Option<String>,
    /// Its clock, in milliseconds since 1970.
    pub time: Option<i64>,
    /// It is a node of a Redis Cluster.
    pub cluster: bool,
}

impl Streams {
    /// Length, group and consumers of a stage's stream: three commands.
    pub async fn stream_info(&self, stage: Stage) -> Result<StreamInfo> {
        let (stream, group) = names(stage)?;
        let link = self.link(stage);
        let ask = |client: Client| async move { client.xinfo_stream(stream, false, None).await };
        let about: HashMap<String, Value> = match link.send(Purpose::Look, ask).await {
            Ok(about) => about,
            Err(StreamError::Refused(text)) if text.contains("no such key") => return Ok(StreamInfo::default()),
            Err(error) => return Err(error),
        };
        let number = |map: &HashMap<String, Value>, name: &str| map.get(name).and_then(Value::as_u64);
        let ask = |client: Client| async move { client.xinfo_groups(stream).await };
        let groups: Vec<HashMap<String, Value>> = link.send(Purpose::Look, ask).await?;
        let text = |map: &HashMap<String, Value>, name: &str| map.get(name).and_then(|value| value.as_string());
        let (mine, others): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|one| text(one, "name").as_deref() == Some(group));
        let mine = mine.into_iter().next();
        let group = match mine {
            None => None,
            Some(one) => Some(GroupInfo {
                lag: number(&one, "lag"),
                pending: number(&one, "pending").unwrap_or(0),
                last_delivered: text(&one, "last-delivered-id").unwrap_or_default(),
                entries_read: number(&one, "entries-read"),
                consumers: self.consumer_infos(stage).await?,
            }),
        };
        let end = |name: &str| reply::entries(Value::Array(about.get(name).cloned().into_iter().collect())).pop();
        let entry = |delivery: Delivery| match delivery.content {
            Content::Entry(entry) => (delivery.id, Some(entry)),
            Content::Undecodable { .. } | Content::Gone => (delivery.id, None),
        };
        Ok(StreamInfo {
            exists: true,
            length: number(&about, "length").unwrap_or(0),
            entries_added: number(&about, "entries-added"),
            radix_tree_keys: number(&about, "radix-tree-keys"),
            radix_tree_nodes: number(&about, "radix-tree-nodes"),
            last_generated: text(&about, "last-generated-id"),
            max_deleted: text(&about, "max-deleted-entry-id"),
            first: end("first-entry").map(|delivery| delivery.id),
            last: end("last-entry").map(entry),
            group,
            other_groups: others.iter().filter_map(|one| text(one, "name")).collect(),
        })
    }

    /// The head of the pending list, for a person: one command. No group yet means that nothing is pending.
    pub async fn look_at_pending(&self, stage: Stage, most: u64) -> Result<Vec<Pending>> {
        let (stream, group) = names(stage)?;
        let ask = |client: Client| async move { client.xpending(stream, group, ("-", "+", most)).await };
        match self.link(stage).send(Purpose::Look, ask).await {
            Ok(list) => Ok(reply::pending(list)),
            Err(StreamError::NoGroup) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn consumer_infos(&self, stage: Stage) -> Result<Vec<ConsumerInfo>> {
        let (stream, group) = names(stage)?;
        let ask = |client: Client| async move { client.xinfo_consumers(stream, group).await };
        let list: Vec<HashMap<String, Value>> = self.link(stage).send(Purpose::Look, ask).await?;
        Ok(list
            .into_iter()
            .filter_map(|one| {
                Some(ConsumerInfo {
                    name: one.get("name")?.as_string()?,
                    pending: one.get("pending")?.as_u64()?,
                    idle_ms: one.get("idle")?.as_u64()?,
                })
            })
            .collect())
    }

    /// Version, persistence and eviction, as far as the server tells: one command. Asked when a process starts.
    pub async fn recognise(&self) -> Result<&Server> {
        let text = self.link(Stage::Edit).send(Purpose::Look, |client| async move { client.info(None).await }).await;
        let text: String = match text {
            Ok(text) => text,
            // A user without INFO, or a service that hasn't got it: nothing is known then.
            // Or it says nothing at all at the moment, having taken all the commands that were paid for.
            Err(StreamError::Rejected(text) | StreamError::Refused(text) | StreamError::QuotaExceeded(text)) => {
                tracing::debug!(%text, "the server does not say what it is");
                String::new()
            }
            Err(error) => return Err(error),
        };
        let server = Server::of(&text);
        if server.cluster && !self.clustered() {
            return Err(StreamError::Rejected(ONE_OF_A_CLUSTER.to_owned()));
        }
        Ok(self.learned(server))
    }
}

impl Server {
    fn of(info: &str) -> Self {
        let line = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned()))
        };
        let number = |name: &str| line(name).and_then(|value| value.parse::<u64>().ok());
        Self {
            version: line("valkey_version").or_else(|| line("redis_version")).unwrap_or_default(),
            append_only: line("aof_enabled").map(|value| value == "1"),
            eviction: line("maxmemory_policy"),
            replica: line("role").is_some_and(|role| role == "slave"),
            cannot_save: ["aof_last_write_status", "rdb_last_bgsave_status"]
                .iter()
                .any(|name| line(name).is_some_and(|status| status == "err")),
            memory: (number("used_memory").unwrap_or(0), number("maxmemory").filter(|most| *most > 0)),
            service: line("upstash_version").map(|version| format!("Upstash {version}")),
            time: number("server_time_usec").and_then(|micros| i64::try_from(micros / 1000).ok()),
            cluster: line("redis_mode").is_some_and(|mode| mode == "cluster"),
        }
    }

    /// Whether it is a Redis that is too old; None: it doesn't say.
    pub fn too_old(&self) -> Option<bool> {
        let major: u64 = self.version.split('.').next()?.parse().ok()?;
        self.service.is_none().then_some(major < OLDEST)
    }

    /// Nine tenths of its memory are used.
    pub fn nearly_full(&self) -> bool {
        let (used, most) = self.memory;
        most.is_some_and(|most| used >= most / 10 * 9)
    }

    /// Keys may be thrown out when it is full.
    pub fn evicts(&self) -> Option<bool> {
        self.eviction.as_deref().map(|policy| policy != "noeviction")
    }
}
