//! What every route can reach.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::estimate::Estimates;
use super::guard::Hosts;
use super::health::StoreProbe;
use super::monitor::Snapshots;
use crate::account::connect::Connect;
use crate::config::{HttpConfig, StagesConfig};
use crate::creator::Creators;
use crate::ffmpeg::Tools;
use crate::health::Health;
use crate::ingest::Ingest;
use crate::ledger::Ledger;
use crate::media::Media;
use crate::relay::Dispatch;

const PREVIEWS: usize = 2;

/// What the app is built from.
pub struct Parts {
    pub ledger: Ledger,
    pub media: Media,
    /// Without streams: Redis is disabled.
    pub dispatch: Dispatch,
    pub stages: StagesConfig,
    pub http: HttpConfig,
    /// The plan's monthly cap. None: commands are not metered, as on the embedded Redis.
    pub monthly_commands: Option<u64>,
    pub tools: Arc<Tools>,
    pub health: Health,
    /// None: there is no app at TikTok, so nobody can connect an account.
    pub connect: Option<Connect>,
    /// Cancelled when the process is to end.
    pub closing: CancellationToken,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    shared: Arc<Shared>,
}

pub struct Shared {
    pub ledger: Ledger,
    pub media: Media,
    pub dispatch: Dispatch,
    pub stages: StagesConfig,
    pub http: HttpConfig,
    pub monthly_commands: Option<u64>,
    pub tools: Arc<Tools>,
    pub health: Health,
    pub connect: Option<Connect>,
    /// The same condition.
    pub creators: Option<Creators>,
    pub closing: CancellationToken,
    pub ingest: Ingest,
    pub(super) hosts: Hosts,
    pub(super) snapshots: Snapshots,
    pub(super) estimates: Estimates,
    pub(super) store_probe: StoreProbe,
    pub(super) uploads: Arc<AtomicUsize>,
    /// Previews that are drawn at once.
    pub(super) previews: Semaphore,
}

impl AppState {
    pub fn new(parts: Parts) -> Self {
        let ingest = Ingest::new(
            parts.ledger.clone(),
            parts.media.clone(),
            parts.dispatch.clone(),
            parts.tools.clone(),
            parts.http.max_upload,
        );
        let shared = Shared {
            hosts: Hosts::of(&parts.http),
            creators: parts
                .connect
                .as_ref()
                .map(|connect| Creators::new(parts.ledger.clone(), connect.tokens(), connect.client().clone())),
            ledger: parts.ledger,
            media: parts.media,
            dispatch: parts.dispatch,
            stages: parts.stages,
            http: parts.http,
            monthly_commands: parts.monthly_commands,
            tools: parts.tools,
            health: parts.health,
            connect: parts.connect,
            closing: parts.closing,
            ingest,
            snapshots: Snapshots::default(),
            estimates: Estimates::default(),
            store_probe: StoreProbe::default(),
            uploads: Arc::default(),
            previews: Semaphore::new(PREVIEWS),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Deref for AppState {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}
