//! One connection to Redis, which is made anew when it is lost, and rests where that would only cost commands.
//!
//! A provider that closes idle connections would be paid for a set-up at every close. So a connection that was closed
//! twice in a row without having carried anything, and was taken back at once, stays closed until it is needed. The same
//! goes for one whose set-up is refused because the quota is used up.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface};
use fred::types::config::Server;
use fred::types::{ClientState, ConnectHandle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::link::{Witnesses, note};
use super::{Purpose, Result, StreamError};
use crate::outcome::backoff;

/// The commands of one connection's set-up: PING (or AUTH with a password), CLIENT ID, INFO server. A database number
/// in the URL adds SELECT.
const COMMANDS_TO_CONNECT: u64 = 3;

/// Closes in a row, without a command between them, after which a connection rests.
const IDLE_CLOSES: u32 = 2;

/// Pauses between attempts to end a rest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a connection may take to end before it is left to itself.
const FAREWELL: Duration = Duration::from_secs(1);

/// A failed attempt, and where.
type Failed = (fred::error::Error, Option<Server>);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Line {
    inner: Arc<Inner>,
}

struct Inner {
    /// A new one at the end of each rest: one of fred's clients takes the failure of an earlier attempt for the next one's.
    client: Mutex<Client>,
    /// Commands of a set-up.
    set_up: u64,
    witnesses: Witnesses,
    driver: tokio::sync::Mutex<Driver>,
    resting: AtomicBool,
    /// It was had at least once.
    had: AtomicBool,
    /// It could not be had when it was needed last.
    missed: AtomicBool,
    /// Commands since the last set-up.
    carried: AtomicU32,
    idle_closes: AtomicU32,
    /// An attempt to connect has failed since the last set-up: an outage, no routine.
    failed: AtomicBool,
}

/// What drives the connection; none while it rests.
#[derive(Default)]
struct Driver {
    handle: Option<ConnectHandle>,
    /// Attempts in a row that failed, and when the next may be made.
    misses: u32,
    not_before: Option<Instant>,
}

impl Line {
    pub(super) fn new(client: Client, witnesses: Witnesses) -> Self {
        Self {
            inner: Arc::new(Inner {
                set_up: COMMANDS_TO_CONNECT + u64::from(client.client_config().database.is_some()),
                client: Mutex::new(client),
                witnesses,
                driver: tokio::sync::Mutex::default(),
                resting: AtomicBool::new(true),
                had: AtomicBool::new(false),
                missed: AtomicBool::new(false),
                carried: AtomicU32::new(0),
                idle_closes: AtomicU32::new(0),
                failed: AtomicBool::new(false),
            }),
        }
    }

    /// Connects, if it rests.
    pub(super) async fn ready(&self) -> Result<Client> {
        // Before the look, so that nobody lays a connection to rest that somebody is about to use.
        self.inner.carried.fetch_add(1, Ordering::SeqCst);
        if self.inner.resting.load(Ordering::SeqCst) {
            let mut driver = self.inner.driver.lock().await;
            if self.inner.resting.load(Ordering::SeqCst) {
                driver.handle = Some(self.inner.connect(&mut driver).await?);
                self.inner.resting.store(false, Ordering::SeqCst);
                let client = self.client();
                let events = (client.error_rx(), client.reconnect_rx());
                tokio::spawn(watch(Arc::downgrade(&self.inner), events));
            }
        }
        Ok(self.client())
    }

    pub(super) fn client(&self) -> Client {
        self.inner.client()
    }

    /// Whether it stands, or rests and could be had.
    pub(super) fn stands(&self) -> bool {
        let rests = self.inner.resting.load(Ordering::SeqCst) && !self.inner.missed.load(Ordering::SeqCst);
        rests || self.client().state() == ClientState::Connected
    }

    pub(super) async fn close(&self) {
        if !self.inner.resting.load(Ordering::SeqCst) {
            self.inner.quit().await;
        }
    }
}

impl Inner {
    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn connect(&self, driver: &mut Driver) -> Result<ConnectHandle> {
        if driver.not_before.is_some_and(|then| Instant::now() < then) {
            return Err(StreamError::Unavailable("it could not be reached a moment ago".to_owned()));
        }
        let client = self.client().clone_new();
        let made = client.init().await.map_err(StreamError::from);
        self.witnesses.quota.heard(&made);
        // Before the first success it is the caller's to tell: a start that fails has its own words.
        match &made {
            Ok(_) => self.witnesses.let_in(),
            Err(_) if self.had.load(Ordering::SeqCst) => note(&self.witnesses.outage, &made),
            Err(_) => {}
        }
        if !matches!(made, Ok(_) | Err(StreamError::QuotaExceeded(_))) {
            driver.misses += 1;
            driver.not_before =
                Some(Instant::now() + backoff(FIRST_PAUSE, LONGEST_PAUSE, driver.misses, rand::random()));
            self.missed.store(true, Ordering::SeqCst);
        }
        let made = made?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
        (driver.misses, driver.not_before) = (0, None);
        self.missed.store(false, Ordering::SeqCst);
        self.had.store(true, Ordering::SeqCst);
        self.count_set_up();
        self.idle_closes.store(0, Ordering::SeqCst);
        self.failed.store(false, Ordering::SeqCst);
        Ok(made)
    }

    async fn quit(&self) {
        let client = self.client();
        if client.state() == ClientState::Connected {
            self.witnesses.meter.count(Purpose::Connect, 1);
        }
        client.quit().await.ok();
    }

    fn count_set_up(&self) {
        self.witnesses.meter.count(Purpose::Connect, self.set_up);
    }

    /// It was lost and made anew, by fred.
    async fn made_anew(&self) {
        self.witnesses.let_in();
        self.count_set_up();
        let idle = self.carried.swap(0, Ordering::SeqCst) == 0;
        let failed = self.failed.swap(false, Ordering::SeqCst);
        if !idle || failed || self.client().is_clustered() {
            self.idle_closes.store(0, Ordering::SeqCst);
        } else if self.idle_closes.fetch_add(1, Ordering::SeqCst) + 1 >= IDLE_CLOSES {
            tracing::debug!("Redis closes idle connections: this one stays closed until it is needed");
            self.rest(true).await;
        }
    }

    async fn refused(&self, error: fred::error::Error) {
        self.failed.store(true, Ordering::SeqCst);
        let refusal = Err::<(), _>(StreamError::from(error));
        self.witnesses.quota.heard(&refusal);
        note(&self.witnesses.outage, &refusal);
        if matches!(refusal, Err(StreamError::QuotaExceeded(_))) {
            self.rest(false).await;
        }
    }

    async fn rest(&self, unless_used: bool) {
        let mut driver = self.driver.lock().await;
        if self.resting.swap(true, Ordering::SeqCst) {
            return;
        }
        if unless_used && self.carried.load(Ordering::SeqCst) > 0 {
            self.resting.store(false, Ordering::SeqCst);
            return;
        }
        self.quit().await;
        if let Some(handle) = driver.handle.take() {
            tokio::time::timeout(FAREWELL, handle).await.ok();
        }
    }
}

/// Until the connection rests or nobody has it any more.
async fn watch(line: Weak<Inner>, (mut errors, mut reconnects): (Receiver<Failed>, Receiver<Server>)) {
    loop {
        let error = tokio::select! {
            refused = errors.recv() => match refused {
                // With a server: a loss. Without: a failed attempt.
                Ok((_, Some(_))) => continue,
                Ok((error, None)) => Some(error),
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
            made = reconnects.recv() => match made {
                Ok(_) => None,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
        };
        let Some(line) = line.upgrade() else { return };
        match error {
            Some(error) => line.refused(error).await,
            None => line.made_anew().await,
        }
        if line.resting.load(Ordering::SeqCst) {
            return;
        }
    }
}
