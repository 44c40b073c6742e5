//! The ledger's schema, one file a step. The same SQL runs on SQLite and PostgreSQL: ids and JSON are text, times are
//! milliseconds in a bigint, so nothing has to be said twice.

use sea_orm_migration::prelude::*;

mod m0001_first;
mod m0002_connect;
mod m0003_chores;
mod m0004_plans;
mod m0005_pauses;
mod m0006_creators;
mod m0007_refusals;
mod m0011_metrics;
mod m0012_samples;
mod m0014_usage_days;

pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first::First),
            Box::new(m0002_connect::Connect),
            Box::new(m0003_chores::Chores),
            Box::new(m0004_plans::Plans),
            Box::new(m0005_pauses::Pauses),
            Box::new(m0006_creators::Creators),
            Box::new(m0007_refusals::Refusals),
            Box::new(m0011_metrics::Metrics),
            Box::new(m0012_samples::Samples),
            Box::new(m0014_usage_days::UsageDays),
        ]
    }
}

/// What is lost when a migration is taken back, for whoever is about to.
pub(crate) fn lost_with(name: &str) -> &'static str {
    match name {
        "m0001_first" => "everything: keys, accounts with their tokens, videos and their history",
        "m0002_connect" => "logins at TikTok that are under way, and webhooks that were not looked at yet",
        "m0003_chores" => "which videos' bytes were removed already: their rows will claim bytes that are gone",
        "m0004_plans" => "nothing but indexes",
        "m0005_pauses" => "who paused what: the pauses stay",
        "m0006_creators" => "what TikTok said of creators: it is asked again",
        "m0007_refusals" => "what limits TikTok taught by refusing, and creators' posts of the last day",
        "m0011_metrics" => "what the counters of /metrics stand at: they begin at 0",
        "m0012_samples" => "what the streams looked like in the last week: the pages' charts begin anew",
        "m0014_usage_days" => "how the days of this month differed: the forecast is without a range for three days",
        _ => "what it had added",
    }
}

/// Runs statements one by one, so that an error names its own.
async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    for statement in statements {
        connection.execute_unprepared(statement).await?;
    }
    Ok(())
}
