//! The accounts' table. Tokens come in and go out sealed.

use std::collections::HashMap;
use std::str::FromStr;

use sea_orm::{QueryResult, Value};
use serde::{Deserialize, Serialize};

use super::{Result, Session, Tx, json, parsed};
use crate::event::LeaseToken;

/// By name, since a statement that was prepared before a migration keeps what `*` was then.
const COLUMNS: &str = "\
    id, user_id, open_id, display_name, username, avatar_url, state, state_reason, access_token, refresh_token, \
    access_expires_at, refresh_expires_at, refresh_at, token_version, refresh_lease, refresh_until, brand, \
    watermark_key, created_at, removed_at";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AccountState {
    Active,
    /// Its tokens are lost or revoked: the person has to connect it again. Its posts wait.
    Reconnect,
}

impl AccountState {
    pub fn as_str(self) -> &'static str {
        match self {
            AccountState::Active => "ACTIVE",
            AccountState::Reconnect => "RECONNECT",
        }
    }
}

impl FromStr for AccountState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "ACTIVE" => Ok(AccountState::Active),
            "RECONNECT" => Ok(AccountState::Reconnect),
            _ => Err(format!("\"{text}\" is no state of an account")),
        }
    }
}

/// A sealed pair and when its parts run out (milliseconds on the ledger's clock; 0 is long ago).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPair {
    pub access: String,
    pub refresh: String,
    pub access_expires_at: i64,
    /// From when on it is refreshed before it is used: a good while before it runs out.
    pub refresh_at: i64,
    pub refresh_expires_at: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    pub id: String,
    pub user: String,
    pub open_id: String,
    pub display_name: String,
    pub username: Option<String>,
    pub avatar_url: Option<String>,
    pub state: AccountState,
    pub state_reason: Option<String>,
    pub tokens: TokenPair,
    /// Grows with every new pair: who was refused with an older one has only to look again.
    pub token_version: i64,
    pub brand: serde_json::Value,
    pub watermark_key: Option<String>,
    pub created_at: i64,
    pub removed_at: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct NewAccount {
    pub id: String,
    pub user: String,
    pub open_id: String,
    pub display_name: String,
    pub tokens: TokenPair,
}

impl Session {
    /// An account that is not removed.
    pub async fn account(&self, id: &str) -> Result<Option<Account>> {
        // Never locked: what is written of an account is compared with its version, its lease or its owner.
        let sql = format!("select {COLUMNS} from accounts where id = $1 and removed_at is null");
        self.one(&sql, [id.into()]).await?.as_ref().map(read).transpose()
    }

    /// Also one that was removed meanwhile: its videos still name it.
    pub async fn account_even_removed(&self, id: &str) -> Result<Option<Account>> {
        self.one(&format!("select {COLUMNS} from accounts where id = $1"), [id.into()])
            .await?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// All of a creator's, removed ones too, oldest first.
    pub async fn accounts_of_creator(&self, open_id: &str) -> Result<Vec<Account>> {
        let sql =
            format!("select {COLUMNS} from accounts where open_id = $1 order by created_at, id{}", self.for_update());
        self.all(&sql, [open_id.into()]).await?.iter().map(read).collect()
    }

    /// How many videos of each creator were posted since then.
    pub async fn posts_since(&self, then: i64) -> Result<HashMap<String, i64>> {
        let sql = "select a.open_id as open_id, count(*) as number from videos v join accounts a on a.id = v.account_id
                   where v.ended_at > $1 and v.status = 'POSTED' group by a.open_id";
        let rows = self.all(sql, [then.into()]).await?;
        rows.iter().map(|row| Ok((row.try_get("", "open_id")?, row.try_get("", "number")?))).collect()
    }

    /// Those that wait for their person.
    pub async fn lost_accounts(&self) -> Result<Vec<String>> {
        let sql = "select id from accounts where state = 'RECONNECT' and removed_at is null";
        self.all(sql, []).await?.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
    }

    /// `user` None is everybody's.
    pub async fn account_counts(&self) -> Result<Vec<(AccountState, i64)>> {
        let sql = "select state, count(*) as number from accounts where removed_at is null group by state";
        let rows = self.all(sql, []).await?;
        let mut counts = vec![(AccountState::Active, 0), (AccountState::Reconnect, 0)];
        for row in &rows {
            let state: AccountState = parsed(row, "state")?;
            let number: i64 = row.try_get("", "number")?;
            counts.iter_mut().filter(|(known, _)| *known == state).for_each(|(_, sum)| *sum += number);
        }
        Ok(counts)
    }

    pub async fn accounts(&self, user: Option<&str>) -> Result<Vec<Account>> {
        let sql = format!(
            "select {COLUMNS} from accounts where removed_at is null and ($1 = '' or user_id = $1) order by created_at, id"
        );
        self.all(&sql, [user.unwrap_or_default().into()]).await?.iter().map(read).collect()
    }
}

impl Tx {
    /// Adds an account, or connects one again: brand, videos and limits stay.
    pub async fn put_account(&self, account: &NewAccount) -> Result<()> {
        let sql = "insert into accounts (id, user_id, open_id, display_name, state, access_token, refresh_token,
            access_expires_at, refresh_expires_at, refresh_at, token_version, refresh_until, brand, created_at)
            values ($1, $2, $3, $4, 'ACTIVE', $5, $6, $7, $8, $11, 1, 0, $9, $10)
            on conflict (id) do update set display_name = excluded.display_name, state = 'ACTIVE', state_reason = null,
            access_token = excluded.access_token, refresh_token = excluded.refresh_token,
            access_expires_at = excluded.access_expires_at, refresh_expires_at = excluded.refresh_expires_at,
            refresh_at = excluded.refresh_at, token_version = accounts.token_version + 1, refresh_lease = null, removed_at = null
            where accounts.user_id = excluded.user_id and accounts.open_id = excluded.open_id";
        let values: [Value; 11] = [
            account.id.as_str().into(),
            account.user.as_str().into(),
            account.open_id.as_str().into(),
            account.display_name.as_str().into(),
            account.tokens.access.as_str().into(),
            account.tokens.refresh.as_str().into(),
            account.tokens.access_expires_at.into(),
            account.tokens.refresh_expires_at.into(),
            EMPTY_BRAND.into(),
            self.now.into(),
            account.tokens.refresh_at.into(),
        ];
        self.run_one(sql, values).await
    }

    pub async fn put_brand(&self, id: &str, brand: &serde_json::Value) -> Result<()> {
        self.run_one("update accounts set brand = $2 where id = $1", [id.into(), brand.to_string().into()]).await
    }

    pub async fn put_watermark(&self, id: &str, key: &str) -> Result<()> {
        self.run_one("update accounts set watermark_key = $2 where id = $1", [id.into(), key.into()]).await
    }

    pub async fn put_profile(&self, id: &str, username: Option<&str>, avatar_url: Option<&str>) -> Result<()> {
        let sql = "update accounts set username = coalesce($2, username), avatar_url = coalesce($3, avatar_url) where id = $1";
        self.run_one(sql, [id.into(), username.into(), avatar_url.into()]).await
    }

    /// What the creator calls themselves.
    pub async fn put_name(&self, id: &str, display_name: &str) -> Result<()> {
        self.run_one("update accounts set display_name = $2 where id = $1", [id.into(), display_name.into()]).await
    }

    pub async fn remove_account(&self, id: &str) -> Result<()> {
        let sql = "update accounts set removed_at = $2, access_token = '', refresh_token = '' where id = $1 and removed_at is null";
        self.run_one(sql, [id.into(), self.now.into()]).await?;
        let sql = "delete from creators where open_id in (select open_id from accounts where id = $1)";
        self.run(sql, [id.into()]).await?;
        Ok(())
    }

    pub async fn needs_reconnect(&self, id: &str, version: i64, reason: &str) -> Result<bool> {
        let sql = "update accounts set state = 'RECONNECT', state_reason = $3, refresh_lease = null where id = $1 and token_version = $2";
        Ok(self.run(sql, [id.into(), version.into(), reason.into()]).await? == 1)
    }

    /// One refresh per account at a time, over the whole fleet. False: somebody else is at it, or has a newer pair.
    pub async fn lease_refresh(&self, id: &str, version: i64, token: LeaseToken, until: i64) -> Result<bool> {
        let sql = "update accounts set refresh_lease = $3, refresh_until = $4
                   where id = $1 and token_version = $2 and (refresh_lease is null or refresh_until < $5)";
        let values: [Value; 5] = [id.into(), version.into(), token.to_string().into(), until.into(), self.now.into()];
        Ok(self.run(sql, values).await? == 1)
    }

    /// The new pair, before its first use. Only the holder of the refresh lease writes it.
    pub async fn put_tokens(&self, id: &str, version: i64, lease: LeaseToken, tokens: &TokenPair) -> Result<()> {
        let sql = "update accounts set access_token = $4, refresh_token = $5, access_expires_at = $6,
                   refresh_expires_at = $7, refresh_at = $8, token_version = token_version + 1, refresh_lease = null, state = 'ACTIVE', state_reason = null
                   where id = $1 and token_version = $2 and refresh_lease = $3";
        let values: [Value; 8] = [
            id.into(),
            version.into(),
            lease.to_string().into(),
            tokens.access.as_str().into(),
            tokens.refresh.as_str().into(),
            tokens.access_expires_at.into(),
            tokens.refresh_expires_at.into(),
            tokens.refresh_at.into(),
        ];
        self.run_one(sql, values).await
    }

    pub async fn release_refresh(&self, id: &str, lease: LeaseToken) -> Result<()> {
        let sql = "update accounts set refresh_lease = null where id = $1 and refresh_lease = $2";
        self.run(sql, [id.into(), lease.to_string().into()]).await?;
        Ok(())
    }

    /// The same tokens under a newer key.
    pub async fn rewrap_tokens(&self, id: &str, version: i64, access: &str, refresh: &str) -> Result<bool> {
        let sql = "update accounts set access_token = $3, refresh_token = $4 where id = $1 and token_version = $2";
        Ok(self.run(sql, [id.into(), version.into(), access.into(), refresh.into()]).await? == 1)
    }
}

pub(super) const EMPTY_BRAND: &str = r#"{"watermark":null,"captions":null,"effects":[]}"#;

fn read(row: &QueryResult) -> Result<Account> {
    Ok(Account {
        id: row.try_get("", "id")?,
        user: row.try_get("", "user_id")?,
        open_id: row.try_get("", "open_id")?,
        display_name: row.try_get("", "display_name")?,
        username: row.try_get("", "username")?,
        avatar_url: row.try_get("", "avatar_url")?,
        state: parsed(row, "state")?,
        state_reason: row.try_get("", "state_reason")?,
        tokens: TokenPair {
            access: row.try_get("", "access_token")?,
            refresh: row.try_get("", "refresh_token")?,
            access_expires_at: row.try_get("", "access_expires_at")?,
            refresh_expires_at: row.try_get("", "refresh_expires_at")?,
            refresh_at: row.try_get("", "refresh_at")?,
        },
        token_version: row.try_get("", "token_version")?,
        brand: json(row, "brand")?,
        watermark_key: row.try_get("", "watermark_key")?,
        created_at: row.try_get("", "created_at")?,
        removed_at: row.try_get("", "removed_at")?,
    })
}
