//! Whether this process is alive and ready: `/healthz`, `/readyz`.
//!
//! Each long-running loop of the process says at every turn that it lives ([`Health::beat`]); one that was silent for
//! longer than it promised makes the process not ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::AppState;

/// Cheap to clone; one a process.
#[derive(Debug, Clone, Default)]
pub struct Health {
    loops: Arc<Mutex<BTreeMap<&'static str, Loop>>>,
}

#[derive(Debug)]
struct Loop {
    seen: Instant,
    promised: Duration,
}

impl Health {
    /// Names a loop, which beats at least every `promised`.
    pub fn watch(&self, name: &'static str, promised: Duration) {
        self.lock().insert(name, Loop { seen: Instant::now(), promised });
    }

    pub fn beat(&self, name: &'static str) {
        if let Some(one) = self.lock().get_mut(name) {
            one.seen = Instant::now();
        }
    }

    /// A loop that ended as it should.
    pub fn forget(&self, name: &'static str) {
        self.lock().remove(name);
    }

    /// The loops that were silent for too long.
    pub fn silent(&self) -> Vec<&'static str> {
        let loops = self.lock();
        loops.iter().filter(|(_, one)| one.seen.elapsed() > one.promised).map(|(name, _)| *name).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Loop>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn alive() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

pub(super) async fn ready(State(state): State<AppState>) -> Response {
    // A read of a table, so that a database without its schema isn't taken for ready.
    let ledger = tokio::time::timeout(Duration::from_secs(5), state.ledger.setting("instance")).await;
    let ledger = matches!(ledger, Ok(Ok(_)));
    let redis = match state.dispatch.streams() {
        None => "disabled",
        Some(streams) if streams.connected() => "connected",
        Some(_) => "disconnected",
    };
    let silent = state.health.silent();
    let ready = ledger && redis != "disconnected" && silent.is_empty() && !state.closing.is_cancelled();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if ready { "ok" } else { "unavailable" },
        "ledger": ledger,
        "redis": redis,
        "silentLoops": silent,
    });
    // No problem: the same shape whether it is ready or not, for those who probe.
    (status, Json(body)).into_response()
}
