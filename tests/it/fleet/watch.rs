//! What a fleet and its services were busy with between two moments.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::cluster::Cluster;
use crate::support::postgres::Postgres;
use crate::support::usage::{Cpu, Processes, machine};

/// Takes the samples.
pub(super) struct Watch<'a> {
    pub(super) postgres: &'a Postgres,
    pub(super) cluster: &'a Cluster,
}

pub(super) struct Sample {
    at: Instant,
    cpu: BTreeMap<String, Cpu>,
    machine: (f64, f64),
    /// Of each node: calls and microseconds, by command.
    redis: Vec<BTreeMap<String, (f64, f64)>>,
    transactions: f64,
}

/// What was seen of PostgreSQL's backends, every half a second.
#[derive(Default)]
pub(super) struct Activity {
    pub(super) samples: f64,
    /// Backends, added up over the samples, by what they were at.
    pub(super) backends: BTreeMap<String, f64>,
    /// Samples in which a backend waited for a lock of another one.
    pub(super) waited: f64,
    pub(super) most_connections: f64,
}

impl Watch<'_> {
    pub(super) async fn sample(&self, groups: &BTreeMap<&str, Vec<u32>>) -> Sample {
        let processes = Processes::now();
        let add = |total: Cpu, one: Cpu| Cpu { own: total.own + one.own, children: total.children + one.children };
        let cpu = groups.iter().map(|(name, pids)| {
            ((*name).to_owned(), pids.iter().map(|pid| processes.cpu(*pid)).fold(Cpu::default(), add))
        });
        let transactions = "select xact_commit + xact_rollback from pg_stat_database where datname = 'subiteya'";
        Sample {
            at: Instant::now(),
            cpu: cpu.collect(),
            machine: machine(),
            redis: self.cluster.command(&["INFO", "commandstats"]).await.iter().map(|text| commands(text)).collect(),
            transactions: self.postgres.sql("postgres", transactions).parse().expect("a number"),
        }
    }

    pub(super) async fn during<T>(&self, what: impl Future<Output = T>) -> (T, Activity) {
        let mut activity = Activity::default();
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                done = &mut what => return (done, activity),
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            let sql = "select case when state = 'active' then coalesce('waits for ' || wait_event_type, 'computes')
                       else state end, count(*) from pg_stat_activity where datname = 'subiteya' group by 1";
            let shown = tokio::task::block_in_place(|| self.postgres.sql("postgres", sql));
            activity.samples += 1.0;
            let mut connections = 0.0;
            for (state, number) in shown.lines().filter_map(|line| line.split_once('|')) {
                let number: f64 = number.parse().expect("a number");
                *activity.backends.entry(state.to_owned()).or_default() += number;
                activity.waited += f64::from(u8::from(state == "waits for Lock"));
                connections += number;
            }
            activity.most_connections = activity.most_connections.max(connections);
        }
    }
}

fn commands(commandstats: &str) -> BTreeMap<String, (f64, f64)> {
    let line = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let (calls, rest) = rest.split_once(",usec=")?;
        Some((name.to_owned(), (calls.parse().ok()?, rest.split(',').next()?.parse().ok()?)))
    };
    commandstats.lines().filter_map(line).collect()
}

/// Everything between two samples.
pub(super) struct Stretch {
    pub(super) seconds: f64,
    pub(super) cpu: BTreeMap<String, Cpu>,
    /// Share of the machine's CPU time that was used, by whomever.
    pub(super) machine: f64,
    pub(super) cores: f64,
    pub(super) calls: BTreeMap<String, f64>,
    /// Share of its time that the busiest node spent in commands.
    pub(super) redis: f64,
    pub(super) transactions: f64,
    pub(super) activity: Activity,
}

impl Stretch {
    pub(super) fn new(begun: Sample, ended: Sample, activity: Activity) -> Self {
        let seconds = (ended.at - begun.at).as_secs_f64();
        let cpu = ended.cpu.iter().map(|(name, after)| {
            let before = begun.cpu.get(name).copied().unwrap_or_default();
            (name.clone(), *after - before)
        });
        let had = ended.machine.1 - begun.machine.1;
        let mut calls: BTreeMap<String, f64> = BTreeMap::new();
        let mut busiest = 0.0_f64;
        for (after, before) in ended.redis.iter().zip(&begun.redis) {
            let mut busy = 0.0;
            for (name, (number, usec)) in after {
                let (number_before, usec_before) = before.get(name).copied().unwrap_or_default();
                busy += usec - usec_before;
                *calls.entry(name.clone()).or_default() += number - number_before;
            }
            busiest = busiest.max(busy / 1e6 / seconds);
        }
        calls.retain(|name, number| *number > 0.0 && name != "info");
        Self {
            seconds,
            cpu: cpu.collect(),
            machine: (ended.machine.0 - begun.machine.0) / had,
            cores: (had / seconds).round(),
            calls,
            redis: busiest,
            transactions: ended.transactions - begun.transactions,
            activity,
        }
    }

    /// What processes used that have nothing to do with the fleet.
    pub(super) fn others(&self) -> f64 {
        let ours: f64 = self.cpu.values().map(|cpu| self.share(cpu.total())).sum();
        (self.machine - ours).max(0.0)
    }

    /// Of all CPU time that the machine had.
    pub(super) fn share(&self, cpu: f64) -> f64 {
        cpu / self.seconds / self.cores
    }

    fn largest(&self) -> (&str, f64) {
        let shares = self.cpu.iter().map(|(name, cpu)| (name.as_str(), self.share(cpu.total())));
        shares.max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or_default()
    }

    /// What stood in the way first, named from the shares.
    pub(super) fn bottleneck(&self, slots: &BTreeMap<&str, f64>) -> String {
        if self.machine > 0.9 {
            let (name, share) = self.largest();
            let all = percent(self.machine);
            return format!("the machine's CPU ({all} used), most of it by {name} ({} of all)", percent(share));
        }
        let lock = self.activity.waited / self.activity.samples.max(1.0);
        let mut shares =
            vec![("a row lock in PostgreSQL".to_owned(), lock), ("a node of Redis".to_owned(), self.redis)];
        shares.extend(slots.iter().map(|(stage, share)| (format!("the slots of {stage}"), *share)));
        let most = shares.into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
        most.map_or_else(String::new, |(name, share)| format!("{name} ({} of the time)", percent(share)))
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
