//! `GET /metrics`: Prometheus text. From the ledger and the monitor's snapshot; a scrape adds no command on a metered
//! plan.
//!
//! [`streams`] has what Redis' streams hold, under redis_exporter's names and labels, so that its panels and alerts work
//! as they are; [`standing`] what is so now; [`crate::metrics`] what was counted by the whole fleet, so that one `serve` is
//! enough to be scraped. What isn't known has no series.

mod standing;
mod streams;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, GaugeVec, Opts, Registry, TEXT_FORMAT, TextEncoder};

use super::{Access, AppState, Caller, Problem};
use crate::metrics::metrics;

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "monitor", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn show(State(state): State<AppState>, caller: Caller) -> Result<Response, Problem> {
    caller.may(Access::Monitor)?;
    let scrape = Scrape::default();
    let snapshots = state.snapshots.get(&state).await?;
    streams::show(&scrape, &snapshots)?;
    standing::show(&scrape, &state, &snapshots).await?;
    let mut families = scrape.0.gather();
    families.extend(metrics().fleet(state.ledger.counted().await?));
    families.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(([(header::CONTENT_TYPE, format!("{TEXT_FORMAT}; charset=utf-8"))], written(&families)?).into_response())
}

fn written(families: &[MetricFamily]) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(families)
}

/// What is read for one answer. A metric that gets no value is not shown.
#[derive(Default)]
struct Scrape(Registry);

impl Scrape {
    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    /// Of a total that somebody else counts.
    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, prometheus::Error> {
        let counter = CounterVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(counter.clone()))?;
        Ok(counter)
    }
}

impl From<prometheus::Error> for Problem {
    fn from(error: prometheus::Error) -> Self {
        tracing::error!(%error, "metrics could not be written");
        Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "internal", "the metrics could not be written")
    }
}

/// For a metric's value: counts stay far below what a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "nobody counts so far")]
fn float(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts so far")]
fn unsigned(number: u64) -> f64 {
    number as f64
}
