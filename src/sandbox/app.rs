//! The running sandbox behind all handlers: the [`State`] and the [`Journal`] under one lock, which is never held over an
//! await. A handler looks at the state, decides on entries, and [`App::step`] writes and applies them as one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use secrecy::ExposeSecret;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use super::answer::Refusal;
use super::clock::{Clock, millis};
use super::creator::{Creator, CreatorSpec, Tokens};
use super::fault::Faults;
use super::journal::{self, Entry, Journal};
use super::oauth::Grant;
use super::options::Options;
use super::record::{Call, Filter};
use super::state::State;
use super::webhook::{self, Webhooks};

pub(super) struct App {
    pub(super) options: Options,
    pub(super) base_url: String,
    pub(super) clock: Clock,
    pub(super) faults: Faults,
    /// Ends what waits for ever.
    pub(super) closing: CancellationToken,
    pub(super) webhooks: Webhooks,
    held: Mutex<Held>,
    /// The hash of the first so many bytes of an upload, so that it needn't be read again at the end. A cache.
    pub(super) hashes: Mutex<HashMap<String, (u64, Sha256)>>,
}

struct Held {
    state: State,
    journal: Journal,
}

impl App {
    pub(super) fn new(
        options: Options,
        base_url: String,
        state: State,
        journal: Journal,
        (clock, webhooks): (Clock, Webhooks),
    ) -> Self {
        let faults = Faults::new(options.faults.clone());
        Self {
            options,
            base_url,
            clock,
            faults,
            closing: CancellationToken::new(),
            webhooks,
            held: Mutex::new(Held { state, journal }),
            hashes: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // A handler that panicked has either written and applied its entries or done neither.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state as of now. Quick work only: everybody waits.
    pub(super) fn look<T>(&self, look: impl FnOnce(&State, i64) -> T) -> T {
        let held = self.held();
        look(&held.state, self.clock.now())
    }

    /// Decides on entries and makes them happen: all are in the journal and the state afterwards, or none is.
    pub(super) fn step<T>(
        &self,
        decide: impl FnOnce(&mut State, i64) -> Result<(Vec<Entry>, T), Refusal>,
    ) -> Result<T, Refusal> {
        let mut held = self.held();
        let now = self.clock.now();
        let (entries, result) = decide(&mut held.state, now)?;
        if !entries.is_empty() {
            held.journal.append(&entries).map_err(Refusal::internal)?;
            let news = entries.iter().flat_map(|entry| webhook::news(&self.options, &held.state, entry, now));
            news.for_each(|event| self.webhooks.send(event));
            entries.into_iter().for_each(|entry| held.state.apply(entry));
        }
        Ok(result)
    }

    /// Returns when all steps so far are on the disk.
    pub(super) async fn sync(&self) -> Result<(), Refusal> {
        if !self.options.fsync {
            return Ok(());
        }
        let file = self.held().journal.file().map_err(Refusal::internal)?;
        let synced = tokio::task::spawn_blocking(move || journal::sync(&file)).await;
        synced.map_err(Refusal::internal)?.map_err(Refusal::internal)
    }

    pub(super) fn record(&self, call: Call) {
        if let Err(error) = self.held().journal.append(&[Entry::Call(Box::new(call))]) {
            tracing::error!(%error, "could not record a call");
        }
    }

    /// The recorded calls that `filter` takes, oldest first.
    pub(super) async fn calls(&self, filter: Filter) -> Result<Vec<Call>, Refusal> {
        let (path, length) = self.held().journal.extent();
        let read = tokio::task::spawn_blocking(move || {
            let mut calls = Vec::new();
            journal::read(&path, length, |entry| match entry {
                Entry::Call(call) if filter.takes(&call) => calls.push(*call),
                _ => {}
            })?;
            let surplus = filter.limit.map_or(0, |limit| calls.len().saturating_sub(limit));
            Ok::<_, std::io::Error>(calls.split_off(surplus))
        });
        read.await.map_err(Refusal::internal)?.map_err(Refusal::internal)
    }

    /// Makes the creator, or changes what `spec` sets, and gives them a token pair.
    pub(super) fn grant(&self, spec: &CreatorSpec) -> Result<Tokens, Refusal> {
        let fresh = Creator::new(&spec.name, self.options.audited);
        self.step(|state, now| {
            let creator = state.creators.get(&fresh.open_id).cloned().unwrap_or(fresh).with(spec);
            let scopes = spec.scopes.clone().unwrap_or_else(|| vec!["user.info.basic".into(), "video.publish".into()]);
            let grant = Grant::new(creator.open_id.clone(), scopes, &self.options, now);
            let tokens = grant.tokens(creator.display_name.clone(), now);
            Ok((vec![Entry::Creator(creator), Entry::Grant(grant)], tokens))
        })
    }

    pub(super) fn revoke(&self, open_id: &str) -> Result<(), Refusal> {
        self.step(|state, _| {
            if !state.creators.contains_key(open_id) {
                return Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", "There is no such creator"));
            }
            Ok((vec![Entry::Revoked { open_id: open_id.to_owned() }], ()))
        })
    }

    pub(super) fn is_client(&self, client_key: &str, client_secret: &str) -> bool {
        client_key == self.options.client_key && client_secret == self.options.client_secret.expose_secret()
    }

    /// Where the chunks of an upload are.
    pub(super) fn video_folder(&self, digits: &str) -> PathBuf {
        self.options.folder.join("videos").join(digits)
    }

    pub(super) fn processing_ms(&self) -> i64 {
        millis(self.options.processing)
    }

    pub(super) fn close(&self) {
        self.closing.cancel();
        self.held().journal.close();
    }
}
