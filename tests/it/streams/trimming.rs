//! Nothing that lives is trimmed, whatever happens in whatever order.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use subiteya::event::Stage;
use subiteya::stream::{Reader, Streams};

use super::cases::entry;
use crate::support::redis::Redis;
use crate::support::stage::connect;

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Read {
        reader: usize,
        most: u64,
    },
    /// Of what is pending, the one at this place.
    Acknowledge(usize),
    /// The bound is told: the oldest that lives, or what was appended last.
    Bound,
}

fn steps() -> impl Strategy<Value = Vec<(bool, Step)>> {
    let step = prop_oneof![
        3 => (1..30_usize).prop_map(Step::Append),
        3 => (0..2_usize, 1..20_u64).prop_map(|(reader, most)| Step::Read { reader, most }),
        4 => any::<usize>().prop_map(Step::Acknowledge),
        2 => Just(Step::Bound),
    ];
    prop::collection::vec((any::<bool>(), step), 1..60)
}

/// One stage's stream as it should be.
struct Half {
    stage: Stage,
    readers: [Reader; 2],
    unread: BTreeSet<(u64, u64)>,
    pending: Vec<(u64, u64)>,
    last: Option<(u64, u64)>,
}

fn parts(id: &str) -> (u64, u64) {
    let (ms, seq) = id.split_once('-').unwrap();
    (ms.parse().unwrap(), seq.parse().unwrap())
}

fn id((ms, seq): (u64, u64)) -> String {
    format!("{ms}-{seq}")
}

impl Half {
    async fn new(streams: &Streams, stage: Stage) -> Self {
        streams.ensure_group(stage).await.unwrap();
        let one = Reader::open(streams, stage, "one").await.unwrap();
        let two = Reader::open(streams, stage, "two").await.unwrap();
        Self { stage, readers: [one, two], unread: BTreeSet::new(), pending: Vec::new(), last: None }
    }

    async fn step(&mut self, streams: &Streams, step: Step) {
        match step {
            Step::Append(number) => {
                for _ in 0..number {
                    let appended = parts(&streams.append(self.stage, &entry()).await.unwrap());
                    self.unread.insert(appended);
                    self.last = Some(appended);
                }
            }
            Step::Read { reader, most } => {
                for delivery in self.readers[reader].read_now(most).await.unwrap() {
                    assert_eq!(self.unread.pop_first().map(id), Some(delivery.id.clone()), "none is skipped");
                    self.pending.push(parts(&delivery.id));
                }
            }
            Step::Acknowledge(place) if !self.pending.is_empty() => {
                let over = self.pending.swap_remove(place % self.pending.len());
                streams.acknowledge(self.stage, vec![id(over)]).await.unwrap();
            }
            Step::Acknowledge(_) => {}
            Step::Bound => {
                let oldest = self.pending.iter().chain(&self.unread).min().copied();
                streams.may_trim(self.stage, oldest.or(self.last).map(id));
            }
        }
    }

    async fn all_that_lives_is_there(&self, redis: &Redis) {
        let stream = self.stage.stream().unwrap();
        let there = redis.command(&["XRANGE", stream, "-", "+"]).await;
        for one in self.pending.iter().chain(&self.unread) {
            assert!(there.contains(&format!("\r\n{}\r\n", id(*one))), "{stream} has lost {one:?}");
        }
    }
}

#[test]
fn pitfall_15_no_order_of_reads_acknowledgements_appends_and_trims_loses_what_lives() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Small nodes, so that a trim takes what it may after a few entries already.
    let redis = runtime.block_on(Redis::start_with(&["--stream-node-max-entries", "4"]));
    let mut runner = TestRunner::new(Config { cases: 32, failure_persistence: None, ..Config::default() });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(async {
                redis.command(&["FLUSHALL"]).await;
                let streams = connect(&redis.url()).await;
                let mut halves = [Half::new(&streams, Stage::Edit).await, Half::new(&streams, Stage::Publish).await];
                for (first, step) in steps {
                    let half = &mut halves[usize::from(first)];
                    let trims = matches!(step, Step::Append(_));
                    half.step(&streams, step).await;
                    if trims {
                        half.all_that_lives_is_there(&redis).await;
                    }
                }
                for half in &halves {
                    half.all_that_lives_is_there(&redis).await;
                    for reader in &half.readers {
                        reader.close().await;
                    }
                }
                streams.close().await;
            });
            Ok(())
        })
        .unwrap();
    runtime.shutdown_timeout(Duration::from_secs(1));
}
