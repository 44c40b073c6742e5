//! The fleet's sums, as the ledger has them, in the shape in which they are shown.

use std::collections::{BTreeMap, HashMap};

use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::growth::{self, SUM};
use super::{Metrics, Number};

/// A metric's numbers by their part.
type Parts = HashMap<String, f64>;

impl Metrics {
    /// What the ledger's rows say of the metrics that this program knows. Only they are shown, without what this process has not
    /// written yet: else a number would be seen to fall while it is on its way to the ledger, which Prometheus takes for a restart.
    pub fn fleet(&self, rows: Vec<(Number, f64)>) -> Vec<MetricFamily> {
        let mut by_name: HashMap<String, BTreeMap<String, Parts>> = HashMap::new();
        for (number, value) in rows {
            by_name.entry(number.name).or_default().entry(number.labels).or_default().insert(number.part, value);
        }
        let mut families = self.registry.gather();
        for family in &mut families {
            let mut sums = by_name.remove(family.name()).unwrap_or_default();
            let kind = family.get_field_type();
            for metric in family.mut_metric() {
                let parts = sums.remove(&growth::labels(metric)).unwrap_or_default();
                fill(metric, kind, &parts);
            }
            // What others counted and this process never did.
            let template = family.get_metric().first().cloned().unwrap_or_default();
            for (labels, parts) in sums {
                let Some(pairs) = pairs(&labels) else { continue };
                let mut metric = template.clone();
                metric.set_label(pairs);
                fill(&mut metric, kind, &parts);
                family.mut_metric().push(metric);
            }
        }
        families
    }
}

fn fill(metric: &mut Metric, kind: MetricType, parts: &Parts) {
    let part = |name: &str| parts.get(name).copied().unwrap_or(0.0);
    if kind != MetricType::HISTOGRAM {
        let mut counter = Counter::default();
        counter.set_value(part(""));
        metric.set_counter(counter);
        return;
    }
    let mut histogram = Histogram::default();
    let mut below = 0;
    let mut buckets = Vec::new();
    for known in metric.get_histogram().get_bucket() {
        below += whole(part(&known.upper_bound().to_string()));
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(known.upper_bound());
        bucket.set_cumulative_count(below);
        buckets.push(bucket);
    }
    histogram.set_bucket(buckets);
    histogram.set_sample_count(below + whole(part(&f64::INFINITY.to_string())));
    histogram.set_sample_sum(part(SUM));
    metric.set_histogram(histogram);
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(count: f64) -> u64 {
    count.round().max(0.0) as u64
}

fn pairs(labels: &str) -> Option<Vec<LabelPair>> {
    let labels: BTreeMap<String, String> = serde_json::from_str(labels).ok()?;
    let pair = |(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name);
        pair.set_value(value);
        pair
    };
    Some(labels.into_iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;
    use crate::event::Stage;
    use std::time::Duration;

    fn shown(metrics: &Metrics, rows: Vec<(Number, f64)>) -> String {
        TextEncoder::new().encode_to_string(&metrics.fleet(rows)).unwrap()
    }

    #[test]
    fn two_processes_counts_add_up_and_what_is_not_written_is_not_shown() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.started(Stage::Edit);
        one.ran(Stage::Edit, Duration::from_secs(7));
        other.started(Stage::Edit);
        other.ran(Stage::Edit, Duration::from_secs(7200));
        assert!(shown(&one, Vec::new()).contains("subiteya_stage_started_total{stage=\"edit\"} 0\n"));
        let mut rows: BTreeMap<Number, f64> = BTreeMap::new();
        for (number, by) in [one.unwritten(), other.unwritten()].concat() {
            *rows.entry(number).or_default() += by;
        }
        let text = shown(&one, rows.into_iter().collect());
        for line in [
            "subiteya_stage_started_total{stage=\"edit\"} 2\n",
            "subiteya_stage_started_total{stage=\"publish\"} 0\n",
            "subiteya_stage_duration_seconds_bucket{stage=\"edit\",le=\"5\"} 0\n",
            "subiteya_stage_duration_seconds_bucket{stage=\"edit\",le=\"10\"} 1\n",
            "subiteya_stage_duration_seconds_bucket{stage=\"edit\",le=\"+Inf\"} 2\n",
            "subiteya_stage_duration_seconds_sum{stage=\"edit\"} 7207\n",
            "subiteya_stage_duration_seconds_count{stage=\"edit\"} 2\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn what_is_written_is_not_written_again_and_what_failed_to_be_is_kept() {
        let metrics = Metrics::new();
        metrics.took_over(Stage::Publish);
        let grown = metrics.unwritten();
        assert_eq!(metrics.unwritten(), grown, "nobody has written it yet");
        metrics.written(grown);
        assert_eq!(metrics.unwritten(), Vec::new());
        metrics.took_over(Stage::Publish);
        assert_eq!(metrics.unwritten().iter().map(|(_, by)| *by).sum::<f64>(), 1.0);
    }
}
