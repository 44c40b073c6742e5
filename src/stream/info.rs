//! What pages, metrics and `doctor` ask Redis. Each costs commands, so a metered plan is not asked.

use std::collections::HashMap;

use fred::interfaces::{ClientLike, StreamsInterface};
use fred::types::{InfoKind, Value};

use super::commands::names;
use super::{Purpose, Result, StreamError, Streams};
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
}

impl Streams {
    /// Length, group and consumers of a stage's stream: three commands.
    pub async fn stream_info(&self, stage: Stage) -> Result<StreamInfo> {
        let (stream, group) = names(stage)?;
        let client = self.client(Purpose::Look, 1).await?;
        let about: HashMap<String, Value> = match self.heard(client.xinfo_stream(stream, false, None).await) {
            Ok(about) => about,
            Err(StreamError::Refused(text)) if text.contains("no such key") => return Ok(StreamInfo::default()),
            Err(error) => return Err(error),
        };
        let number = |map: &HashMap<String, Value>, name: &str| map.get(name).and_then(Value::as_u64);
        let client = self.client(Purpose::Look, 1).await?;
        let groups: Vec<HashMap<String, Value>> = self.heard(client.xinfo_groups(stream).await)?;
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
        let client = self.client(Purpose::Look, 1).await?;
        let list: Vec<HashMap<String, Value>> = self.heard(client.xinfo_consumers(stream, group).await)?;
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

    /// Version, persistence and eviction, as far as the server tells: managed ones leave out what they like, or refuse.
    pub async fn server(&self) -> Result<Server> {
        let client = self.client(Purpose::Look, 1).await?;
        let text: String = match self.heard(client.info(None::<InfoKind>).await) {
            Err(StreamError::Refused(_)) => return Ok(Server::default()),
            other => other?,
        };
        let line = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(|value| value.trim().to_owned()))
        };
        Ok(Server {
            version: line("redis_version").unwrap_or_default(),
            append_only: line("aof_enabled").map(|value| value == "1"),
            eviction: line("maxmemory_policy"),
        })
    }
}
