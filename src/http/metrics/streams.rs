//! What redis_exporter shows of streams (its `exporter/streams.go`), and `redis_stream_entries_added_total` besides. On a metered
//! plan length, lag, pending and consumers come from the ledger, and the rest is left out.

use super::{Scrape, unsigned};
use crate::http::monitor::Snapshot;
use crate::http::monitor::StreamDetail;

/// A number of a stream's, if it is known.
type OfStream = fn(&Snapshot) -> Option<f64>;

const STREAM: [(&str, &str, OfStream); 8] = [
    ("redis_stream_length", "Entries on the stream", |one| one.length.map(unsigned)),
    ("redis_stream_groups", "Groups that read the stream", |one| detail(one)?.groups.map(unsigned)),
    ("redis_stream_radix_tree_keys", "Keys of the stream's radix tree", |one| {
        detail(one)?.radix_tree_keys.map(unsigned)
    }),
    ("redis_stream_radix_tree_nodes", "Nodes of the stream's radix tree", |one| {
        detail(one)?.radix_tree_nodes.map(unsigned)
    }),
    ("redis_stream_first_entry_id", "The time in the oldest entry's id, in ms since 1970", |one| {
        milliseconds(detail(one)?.first_entry.as_deref())
    }),
    ("redis_stream_last_entry_id", "The time in the newest entry's id, in ms since 1970", |one| {
        milliseconds(detail(one)?.last_entry.as_deref())
    }),
    ("redis_stream_last_generated_id", "The time in the last id that was made, in ms since 1970", |one| {
        milliseconds(detail(one)?.last_generated.as_deref())
    }),
    ("redis_stream_max_deleted_entry_id", "The time in the highest id that was deleted, in ms since 1970", |one| {
        milliseconds(detail(one)?.max_deleted.as_deref())
    }),
];

const GROUP: [(&str, &str, OfStream); 5] = [
    ("redis_stream_group_lag", "Entries not yet delivered to the group", |one| one.lag.map(unsigned)),
    ("redis_stream_group_messages_pending", "Entries delivered and not acknowledged", |one| one.pending.map(unsigned)),
    ("redis_stream_group_consumers", "Consumers of the group", |one| Some(unsigned(one.consumers.len() as u64))),
    ("redis_stream_group_entries_read", "Entries that the group has read", |one| {
        detail(one)?.entries_read.map(unsigned)
    }),
    (
        "redis_stream_group_last_delivered_id",
        "The time in the id last delivered to the group, in ms since 1970",
        |one| milliseconds(detail(one)?.last_delivered.as_deref()),
    ),
];

pub(super) fn show(scrape: &Scrape, snapshots: &[Snapshot]) -> Result<(), prometheus::Error> {
    for (name, help, of) in STREAM {
        let gauge = scrape.gauge(name, help, &["db", "stream"])?;
        for one in snapshots {
            if let Some(value) = of(one) {
                gauge.with_label_values(&[DB, stream(one)]).set(value);
            }
        }
    }
    let added =
        scrape.counter("redis_stream_entries_added_total", "Entries ever added to the stream", &["db", "stream"])?;
    for one in snapshots {
        if let Some(number) = one.entries_added {
            added.with_label_values(&[DB, stream(one)]).inc_by(unsigned(number));
        }
    }
    for (name, help, of) in GROUP {
        let gauge = scrape.gauge(name, help, &["db", "stream", "group"])?;
        for one in snapshots {
            if let Some(value) = of(one) {
                gauge.with_label_values(&[DB, stream(one), one.stage.as_str()]).set(value);
            }
        }
    }
    consumers(scrape, snapshots)
}

fn consumers(scrape: &Scrape, snapshots: &[Snapshot]) -> Result<(), prometheus::Error> {
    let labels = ["db", "stream", "group", "consumer"];
    let pending = "redis_stream_group_consumer_messages_pending";
    let pending = scrape.gauge(pending, "Entries pending with the consumer", &labels)?;
    let idle = "redis_stream_group_consumer_idle_seconds";
    let idle = scrape.gauge(idle, "Since the consumer last asked", &labels)?;
    for one in snapshots {
        for consumer in &one.consumers {
            let labels = [DB, stream(one), one.stage.as_str(), &consumer.name];
            pending.with_label_values(&labels).set(unsigned(consumer.pending));
            if let Some(milliseconds) = consumer.idle_ms {
                idle.with_label_values(&labels).set(unsigned(milliseconds) / 1000.0);
            }
        }
    }
    Ok(())
}

/// We use no other.
const DB: &str = "db0";

fn stream(one: &Snapshot) -> &'static str {
    one.stage.stream().unwrap_or_default()
}

fn detail(one: &Snapshot) -> Option<&StreamDetail> {
    one.detail.as_ref()
}

/// As redis_exporter has ids: `1790000000000-3` is 1790000000000.
fn milliseconds(id: Option<&str>) -> Option<f64> {
    id?.split('-').next()?.parse().ok()
}
