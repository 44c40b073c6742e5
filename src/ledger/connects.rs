//! Logins at TikTok that are under way, so that any process can take the answer.

use sea_orm::{QueryResult, Value};

use super::{Result, Session, Tx};

/// How many unfinished logins one key may have; older ones are forgotten.
const OPEN_PER_KEY: i64 = 20;
/// How long after its end a login is remembered, so that one can say what is wrong with it.
const REMEMBERED: i64 = 24 * 3600 * 1000;

#[derive(Debug, Clone)]
pub struct NewConnecting<'a> {
    /// SHA-256 of the state.
    pub state: &'a str,
    pub key_id: &'a str,
    /// SHA-256 of the cookie that the browser got. None: a program that has a key finishes it.
    pub browser: Option<&'a str>,
    /// The account that is connected again.
    pub account: Option<&'a str>,
    pub redirect_uri: &'a str,
    /// Sealed.
    pub verifier: &'a str,
    pub expires_at: i64,
}

#[derive(Debug, Clone)]
pub struct Connecting {
    /// Whose key began it.
    pub user: String,
    pub browser: Option<String>,
    pub account: Option<String>,
    pub redirect_uri: String,
    pub verifier: String,
    pub expires_at: i64,
    pub used_at: Option<i64>,
}

impl Session {
    /// Sealed, of logins that can still be finished, each with the SHA-256 of its state.
    pub async fn login_verifiers_in_use(&self, now: i64) -> Result<Vec<(String, String)>> {
        let sql = "select state, verifier from connects where used_at is null and expires_at > $1";
        let rows = self.all(sql, [now.into()]).await?;
        rows.iter().map(|row| Ok((row.try_get("", "state")?, row.try_get("", "verifier")?))).collect()
    }

    /// None also where the key was revoked since.
    pub async fn connecting(&self, state: &str) -> Result<Option<Connecting>> {
        let sql =
            "select c.browser, c.account_id, c.redirect_uri, c.verifier, c.expires_at, c.used_at, k.user_id as user_id
                   from connects c join api_keys k on k.id = c.key_id
                   where c.state = $1 and k.revoked_at is null";
        self.one(sql, [state.into()]).await?.as_ref().map(read).transpose()
    }
}

impl Tx {
    pub async fn insert_connecting(&self, new: &NewConnecting<'_>) -> Result<()> {
        let sql =
            "insert into connects (state, key_id, browser, account_id, redirect_uri, verifier, created_at, expires_at)
                   values ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values: [Value; 8] = [
            new.state.into(),
            new.key_id.into(),
            new.browser.into(),
            new.account.into(),
            new.redirect_uri.into(),
            new.verifier.into(),
            self.now.into(),
            new.expires_at.into(),
        ];
        self.run_one(sql, values).await?;
        let sql = "delete from connects where key_id = $1 and used_at is null and state not in (
                   select state from connects where key_id = $1 and used_at is null order by created_at desc, state limit $2)";
        self.run(sql, [new.key_id.into(), OPEN_PER_KEY.into()]).await?;
        Ok(())
    }

    pub async fn forget_connects(&self) -> Result<u64> {
        self.run("delete from connects where expires_at < $1", [(self.now - REMEMBERED).into()]).await
    }

    /// The same verifier under another key. False: the login came to its end meanwhile.
    pub async fn rewrap_verifier(&self, state: &str, old: &str, new: &str) -> Result<bool> {
        let sql = "update connects set verifier = $3 where state = $1 and verifier = $2 and used_at is null";
        Ok(self.run(sql, [state.into(), old.into(), new.into()]).await? == 1)
    }

    /// Uses it up. False: somebody else was first.
    pub async fn use_connecting(&self, state: &str) -> Result<bool> {
        let sql = "update connects set used_at = $2, verifier = '' where state = $1 and used_at is null";
        Ok(self.run(sql, [state.into(), self.now.into()]).await? == 1)
    }
}

fn read(row: &QueryResult) -> Result<Connecting> {
    Ok(Connecting {
        user: row.try_get("", "user_id")?,
        browser: row.try_get("", "browser")?,
        account: row.try_get("", "account_id")?,
        redirect_uri: row.try_get("", "redirect_uri")?,
        verifier: row.try_get("", "verifier")?,
        expires_at: row.try_get("", "expires_at")?,
        used_at: row.try_get("", "used_at")?,
    })
}
