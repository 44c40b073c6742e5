//! What pages, metrics and `doctor` ask Redis. Each costs commands, so a metered plan is not asked.

use std::collections::HashMap;

use fred::clients::Client;
use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::Value;

use super::commands::names;
use super::{ONE_OF_A_CLUSTER, Purpose, Result, StreamError, Streams};
use crate::event::Stage;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamInfo {
    pub length: u64,
    pub entries_added: Option<u64>,
    pub group: Option<GroupInfo>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupInfo {
    /// None: Redis can't know (entries were deleted ahead of the group). Never taken for 0.
    pub lag: Option<u64>,
    pub pending: u64,
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
        let mine =
            groups.into_iter().find(|one| one.get("name").and_then(|name| name.as_string()).as_deref() == Some(group));
        let group = match mine {
            None => None,
            Some(one) => Some(GroupInfo {
                lag: number(&one, "lag"),
                pending: number(&one, "pending").unwrap_or(0),
                consumers: self.consumer_infos(stage).await?,
            }),
        };
        Ok(StreamInfo {
            length: number(&about, "length").unwrap_or(0),
            entries_added: number(&about, "entries-added"),
            group,
        })
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
        Self {
            version: line("valkey_version").or_else(|| line("redis_version")).unwrap_or_default(),
            append_only: line("aof_enabled").map(|value| value == "1"),
            eviction: line("maxmemory_policy"),
            cluster: line("redis_mode").is_some_and(|mode| mode == "cluster"),
        }
    }

    /// Keys may be thrown out when it is full.
    pub fn evicts(&self) -> Option<bool> {
        self.eviction.as_deref().map(|policy| policy != "noeviction")
    }
}
