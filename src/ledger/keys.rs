//! API keys, and the sign-ins of the pages. Only hashes are kept: a key is 256 random bits, so SHA-256 is enough.

use std::fmt;
use std::str::FromStr;

use sea_orm::{QueryResult, Value};
use serde::{Deserialize, Serialize};

use super::{Result, Session, Tx, parsed};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Own videos and accounts.
    Creator,
    /// Everything.
    Operator,
    /// Read-only, no titles, no bytes.
    Viewer,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Creator => "creator",
            Role::Operator => "operator",
            Role::Viewer => "viewer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "creator" => Ok(Role::Creator),
            "operator" => Ok(Role::Operator),
            "viewer" => Ok(Role::Viewer),
            _ => Err(format!("\"{text}\" is no role; one of creator, operator, viewer")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: String,
    pub user: String,
    pub role: Role,
    pub created_at: i64,
    pub revoked_at: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// Printed by `up`; good for one sign-in.
    Link,
    Cookie,
}

impl SessionKind {
    fn as_str(self) -> &'static str {
        match self {
            SessionKind::Link => "link",
            SessionKind::Cookie => "cookie",
        }
    }
}

impl Session {
    pub async fn key_by_hash(&self, hash: &str) -> Result<Option<ApiKey>> {
        let sql =
            "select id, user_id, role, created_at, revoked_at from api_keys where hash = $1 and revoked_at is null";
        self.one(sql, [hash.into()]).await?.as_ref().map(read).transpose()
    }

    pub async fn key_by_session(&self, hash: &str, now: i64) -> Result<Option<ApiKey>> {
        let sql = "select k.id, k.user_id, k.role, k.created_at, k.revoked_at from sessions s join api_keys k on k.id = s.key_id
                   where s.hash = $1 and s.kind = 'cookie' and s.expires_at > $2 and k.revoked_at is null";
        self.one(sql, [hash.into(), now.into()]).await?.as_ref().map(read).transpose()
    }

    pub async fn keys(&self) -> Result<Vec<ApiKey>> {
        let sql = "select id, user_id, role, created_at, revoked_at from api_keys order by created_at, id";
        self.all(sql, []).await?.iter().map(read).collect()
    }

    /// Everybody who has or had a key.
    pub async fn users(&self) -> Result<Vec<String>> {
        let rows = self.all("select distinct user_id from api_keys order by user_id", []).await?;
        rows.iter().map(|row| Ok(row.try_get("", "user_id")?)).collect()
    }
}

impl Tx {
    pub async fn insert_key(&self, id: &str, user: &str, role: Role, hash: &str) -> Result<()> {
        let sql = "insert into api_keys (id, user_id, role, hash, created_at) values ($1, $2, $3, $4, $5)";
        self.run_one(sql, [id.into(), user.into(), role.as_str().into(), hash.into(), self.now.into()]).await
    }

    /// False: there is no such key, or it is revoked already.
    pub async fn revoke_key(&self, id: &str) -> Result<bool> {
        self.run("delete from sessions where key_id = $1", [id.into()]).await?;
        let sql = "update api_keys set revoked_at = $2 where id = $1 and revoked_at is null";
        Ok(self.run(sql, [id.into(), self.now.into()]).await? == 1)
    }

    pub async fn insert_session(&self, kind: SessionKind, hash: &str, key: &str, expires_at: i64) -> Result<()> {
        self.run("delete from sessions where expires_at < $1", [self.now.into()]).await?;
        let sql = "insert into sessions (hash, kind, key_id, expires_at) values ($1, $2, $3, $4)";
        self.run_one(sql, [hash.into(), kind.as_str().into(), key.into(), expires_at.into()]).await
    }

    /// Uses up a sign-in link; the key that it stands for.
    pub async fn take_link(&self, hash: &str) -> Result<Option<ApiKey>> {
        let sql = "delete from sessions where hash = $1 and kind = 'link' and expires_at > $2 returning key_id";
        let values: [Value; 2] = [hash.into(), self.now.into()];
        let Some(row) = self.one(sql, values).await? else { return Ok(None) };
        let id: String = row.try_get("", "key_id")?;
        let sql = "select id, user_id, role, created_at, revoked_at from api_keys where id = $1 and revoked_at is null";
        self.one(sql, [id.into()]).await?.as_ref().map(read).transpose()
    }

    pub async fn end_session(&self, hash: &str) -> Result<()> {
        self.run("delete from sessions where hash = $1", [hash.into()]).await?;
        Ok(())
    }
}

fn read(row: &QueryResult) -> Result<ApiKey> {
    Ok(ApiKey {
        id: row.try_get("", "id")?,
        user: row.try_get("", "user_id")?,
        role: parsed(row, "role")?,
        created_at: row.try_get("", "created_at")?,
        revoked_at: row.try_get("", "revoked_at")?,
    })
}
