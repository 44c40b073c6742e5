//! What was counted since it was last written to the ledger.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus::proto::{Metric, MetricFamily, MetricType};

use super::Metrics;

/// One number of one metric: the ledger's row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number {
    pub name: String,
    /// JSON, in the order of the labels' names.
    pub labels: String,
    /// Of a counter empty; of a histogram `sum`, or the upper bound of a bucket.
    pub part: String,
}

pub(super) const SUM: &str = "sum";

/// What stands in the ledger already.
#[derive(Debug, Default)]
pub(super) struct Growth(Mutex<BTreeMap<Number, f64>>);

impl Metrics {
    /// By how much each number has grown since the last [`Metrics::written`].
    pub fn unwritten(&self) -> Vec<(Number, f64)> {
        let written = self.growth.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.registry.gather().into_iter().flat_map(numbers);
        let grown = now.map(|(number, value)| {
            let before = written.get(&number).copied().unwrap_or(0.0);
            (number, value - before)
        });
        let mut grown: Vec<(Number, f64)> = grown.filter(|(_, by)| *by > 0.0).collect();
        // Whoever writes several rows writes them in one order.
        grown.sort_by(|(a, _), (b, _)| a.cmp(b));
        grown
    }

    pub fn written(&self, grown: Vec<(Number, f64)>) {
        let mut written = self.growth.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, by) in grown {
            *written.entry(number).or_default() += by;
        }
    }
}

fn numbers(family: MetricFamily) -> Vec<(Number, f64)> {
    let kind = family.get_field_type();
    let of = |metric: &Metric| {
        let labels = labels(metric);
        let number = |part: String| Number { name: family.name().to_owned(), labels: labels.clone(), part };
        if kind != MetricType::HISTOGRAM {
            return vec![(number(String::new()), metric.get_counter().get_value())];
        }
        let histogram = metric.get_histogram();
        let mut parts = vec![(number(SUM.to_owned()), histogram.get_sample_sum())];
        let mut below = 0;
        for bucket in histogram.get_bucket() {
            #[expect(clippy::cast_precision_loss, reason = "nobody counts so far")]
            let own = (bucket.cumulative_count() - below) as f64;
            below = bucket.cumulative_count();
            parts.push((number(bucket.upper_bound().to_string()), own));
        }
        #[expect(clippy::cast_precision_loss, reason = "nobody counts so far")]
        parts.push((number(f64::INFINITY.to_string()), (histogram.get_sample_count() - below) as f64));
        parts
    };
    family.get_metric().iter().flat_map(of).collect()
}

pub(super) fn labels(metric: &Metric) -> String {
    let labels: BTreeMap<&str, &str> = metric.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
    serde_json::to_string(&labels).unwrap_or_default()
}
