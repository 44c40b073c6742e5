//! `GET /metrics`: Prometheus text. From the ledger and the monitor's snapshot; a scrape adds no command on a metered
//! plan.
//!
//! Stream metrics carry redis_exporter's names and labels, so that its dashboards and alerts work as they are. What
//! isn't known has no series.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::monitor::{Snapshot, Usage};
use super::{Access, AppState, Caller, Problem};
use crate::event::Stage;
use crate::ledger::Status;
use crate::stream::{Server, Streams};

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "monitor", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn show(State(state): State<AppState>, caller: Caller) -> Result<Response, Problem> {
    caller.may(Access::Monitor)?;
    let mut text = Text::default();
    let snapshots = state.snapshots.get(&state).await?;
    streams(&mut text, &snapshots);
    demand(&mut text, &snapshots);
    ours(&mut text, &state).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0).into_response())
}

fn streams(text: &mut Text, snapshots: &[Snapshot]) {
    let labels = |one: &Snapshot| vec![("db", "db0".to_owned()), ("stream", stream(one.stage))];
    let of_group = |one: &Snapshot| {
        let mut labels = labels(one);
        labels.push(("group", one.stage.to_string()));
        labels
    };
    text.gauge("redis_stream_length", "Entries on the stream");
    for one in snapshots {
        text.sample("redis_stream_length", &labels(one), one.length);
    }
    text.counter("redis_stream_entries_added_total", "Entries ever added to the stream");
    for one in snapshots {
        text.sample("redis_stream_entries_added_total", &labels(one), one.entries_added);
    }
    text.gauge("redis_stream_group_lag", "Entries not yet delivered to the group");
    for one in snapshots {
        text.sample("redis_stream_group_lag", &of_group(one), one.lag);
    }
    text.gauge("redis_stream_group_messages_pending", "Entries delivered and not acknowledged");
    for one in snapshots {
        text.sample("redis_stream_group_messages_pending", &of_group(one), one.pending);
    }
    text.gauge("redis_stream_group_consumers", "Consumers of the group");
    for one in snapshots {
        text.sample("redis_stream_group_consumers", &of_group(one), Some(one.consumers.len() as u64));
    }
    let of_consumer = |one: &Snapshot, name: &str| {
        let mut labels = of_group(one);
        labels.push(("consumer", name.to_owned()));
        labels
    };
    text.gauge("redis_stream_group_consumer_messages_pending", "Entries pending with the consumer");
    for one in snapshots {
        for consumer in &one.consumers {
            let labels = of_consumer(one, &consumer.name);
            text.sample("redis_stream_group_consumer_messages_pending", &labels, Some(consumer.pending));
        }
    }
    text.gauge("redis_stream_group_consumer_idle_seconds", "Since the consumer last asked");
    for one in snapshots {
        for consumer in &one.consumers {
            let labels = of_consumer(one, &consumer.name);
            let idle = consumer.idle_ms.map(|idle| idle / 1000);
            text.sample("redis_stream_group_consumer_idle_seconds", &labels, idle);
        }
    }
}

fn demand(text: &mut Text, snapshots: &[Snapshot]) {
    text.gauge(
        "subiteya_demand",
        "What workers could be busy with now: what runs, and what may start under the limits",
    );
    for one in snapshots {
        text.sample("subiteya_demand", &[("stage", one.stage.to_string())], Some(one.demand));
    }
}

fn stream(stage: Stage) -> String {
    stage.stream().unwrap_or_default().to_owned()
}

const DAY_MS: i64 = 24 * 3600 * 1000;

async fn ours(text: &mut Text, state: &AppState) -> Result<(), Problem> {
    let now = state.ledger.now().await?;
    let videos = state.ledger.status_counts(now - DAY_MS).await?;
    text.gauge("subiteya_videos", "Videos by status; of POSTED, FAILED and CANCELED those of the last 24 hours");
    for status in Status::ALL {
        let number = videos.iter().find(|(one, _)| *one == status).map_or(0, |(_, number)| *number);
        text.sample("subiteya_videos", &[("status", status.to_string())], Some(number));
    }
    text.gauge("subiteya_tasks", "Tasks by stage and state: waiting ones are due and not yet on the stream, parked ones wait in the ledger for a time to come, queued ones are on the stream and not yet begun");
    for stage in Stage::ALL {
        let counts = state.ledger.stage_counts(stage, now).await?;
        for (name, number) in [
            ("waiting", counts.waiting),
            ("parked", counts.parked),
            ("queued", counts.queued),
            ("running", counts.running),
            ("dead", counts.dead),
            ("review", counts.review),
        ] {
            let labels = [("stage", stage.to_string()), ("state", name.to_owned())];
            text.sample("subiteya_tasks", &labels, Some(number));
        }
    }
    text.gauge("subiteya_uploads_in_flight", "Uploads that this process receives");
    text.sample("subiteya_uploads_in_flight", &[], Some(state.uploads.load(Ordering::Relaxed)));
    let usage = Usage::now(state).await?;
    text.gauge("subiteya_redis_commands_month", "Redis commands of this month, by purpose");
    for (purpose, commands) in &usage.by_purpose {
        text.sample("subiteya_redis_commands_month", &[("purpose", purpose.clone())], Some(*commands));
    }
    text.gauge("subiteya_redis_connected", "Whether Redis is connected");
    let connected = state.dispatch.streams().map(|streams| u8::from(streams.connected()));
    text.sample("subiteya_redis_connected", &[], connected);
    let server = state.dispatch.streams().and_then(Streams::about);
    text.gauge("subiteya_redis_evicts", "Whether Redis throws keys out when it is full, as it was at start");
    text.sample("subiteya_redis_evicts", &[], server.and_then(Server::evicts).map(u8::from));
    text.gauge("subiteya_redis_persists", "Whether Redis has an append-only file, as it was at start");
    text.sample("subiteya_redis_persists", &[], server.and_then(|server| server.append_only).map(u8::from));
    Ok(())
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn gauge(&mut self, name: &str, help: &str) {
        self.begin(name, help, "gauge");
    }

    fn counter(&mut self, name: &str, help: &str) {
        self.begin(name, help, "counter");
    }

    fn begin(&mut self, name: &str, help: &str, kind: &str) {
        write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n").ok();
    }

    /// No value, no line.
    fn sample<N: std::fmt::Display>(&mut self, name: &str, labels: &[(&str, String)], value: Option<N>) {
        let Some(value) = value else { return };
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        writeln!(self.0, "{name}{labels} {value}").ok();
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn what_is_not_known_has_no_series_and_labels_are_escaped() {
        let mut text = Text::default();
        text.sample("lag", &[("group", "edit".to_owned())], None::<u64>);
        assert_eq!(text.0, "");
        text.sample("lag", &[("group", "a\"b\\c\nd".to_owned())], Some(0));
        assert_eq!(text.0, "lag{group=\"a\\\"b\\\\c\\nd\"} 0\n");
    }
}
