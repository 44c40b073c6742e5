//! The time that all of the fleet agrees on.
//!
//! PostgreSQL: its own `clock_timestamp()`. SQLite is one host by nature: the boot clock, which no one can set, plus an
//! offset that stands in the ledger with the boot's id. A wall clock that jumps moves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{LedgerError, Result, Session, Tx};

pub(super) enum Clock {
    Database,
    Boot {
        offset: i64,
    },
    /// Somebody turns it by hand: for simulations.
    Turned(Arc<AtomicI64>),
}

impl Clock {
    pub(super) async fn now(&self, session: &Session) -> Result<i64> {
        match self {
            Self::Boot { offset } => Ok(boot_millis() + offset),
            Self::Turned(time) => Ok(time.load(Ordering::Relaxed)),
            Self::Database => database_time(session, &format!("select {CLOCK}")).await,
        }
    }

    /// The same at the begin of a transaction, which PostgreSQL ends when its process falls asleep over it: the locks
    /// that it holds would stop everybody else.
    pub(super) async fn now_in(&self, session: &Session) -> Result<i64> {
        match self {
            Self::Boot { .. } | Self::Turned(_) => self.now(session).await,
            Self::Database => {
                let idle = "set_config('idle_in_transaction_session_timeout', '30s', true)";
                database_time(session, &format!("select {CLOCK}, {idle}")).await
            }
        }
    }

    /// The offset that the first process since this boot wrote down.
    pub(super) async fn since_boot(tx: &Tx) -> Result<Self> {
        let (offset, kept) = offset(tx).await?;
        if !kept {
            tx.put_setting("clock", &format!("{}/{offset}", boot_id())).await?;
        }
        Ok(Self::Boot { offset })
    }

    /// The same for one who writes nothing down.
    pub(super) async fn as_it_stands(session: &Session) -> Result<Self> {
        Ok(Self::Boot { offset: offset(session).await?.0 })
    }
}

/// From the boot clock to the ledger's, and whether it is written down for this boot. A new boot never goes back behind
/// what the ledger has seen.
async fn offset(session: &Session) -> Result<(i64, bool)> {
    if let Some(stored) = session.setting("clock").await?
        && let Some((id, offset)) = stored.split_once('/')
        && id == boot_id()
        && let Ok(offset) = offset.parse()
    {
        return Ok((offset, true));
    }
    let seen = session.one("select coalesce(max(seen_at), 0) as seen from workers", []).await?;
    let seen: i64 = seen.map_or(Ok(0), |row| row.try_get("", "seen"))?;
    Ok((SystemClock::now().max(seen) - boot_millis(), false))
}

const CLOCK: &str = "cast(extract(epoch from clock_timestamp()) * 1000 as bigint) as now";

async fn database_time(session: &Session, sql: &str) -> Result<i64> {
    let row = session.one(sql, []).await?;
    let row = row.ok_or_else(|| LedgerError::Corrupt("the database has no time".to_owned()))?;
    Ok(row.try_get("", "now")?)
}

/// The wall clock: for displays, `publishAt` and signatures of others. Never for leases, limits or due times.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl SystemClock {
    pub fn now() -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }
}

fn boot_millis() -> i64 {
    #[cfg(target_os = "linux")]
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    #[cfg(not(target_os = "linux"))]
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

#[cfg(target_os = "linux")]
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(not(target_os = "linux"))]
fn boot_id() -> String {
    let asked = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output();
    asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
