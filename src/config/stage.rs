//! What `streams.toml` says about the stages.

use std::time::Duration;

use super::layers::Layers;
use super::problem::Problem;
use super::rate::Rate;
use crate::event::Stage;

/// One stream of `streams.toml` and the stage that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageConfig {
    /// Runs at once, per process.
    pub concurrency: usize,
    pub limit: Option<Rate>,
    pub limit_per_account: Option<Rate>,
    /// Faults of a video before it is dead.
    pub attempts: u32,
    /// The first pause after a fault; doubles, with jitter.
    pub backoff: Duration,
    /// Renewed every third of it.
    pub lease: Duration,
    /// How often Redis' pending list is compared with the ledger while anything is pending.
    pub stalled_check: Duration,
    /// How long source, result and history stay after the video ended.
    pub retain: Duration,
}

/// The stages whose tasks come from a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagesConfig {
    pub edit: StageConfig,
    pub publish: StageConfig,
}

/// What one FFmpeg run may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditConfig {
    pub timeout: Duration,
    pub cpu: Duration,
    /// Bytes of address space.
    pub memory: u64,
    /// Bytes of the largest file.
    pub output: u64,
    pub probe_timeout: Duration,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

impl StagesConfig {
    pub(super) fn load(layers: &Layers, problems: &mut Vec<Problem>) -> Self {
        Self {
            edit: StageConfig::load(Stage::Edit, layers, problems),
            publish: StageConfig::load(Stage::Publish, layers, problems),
        }
    }

    /// Confirming is the publish stage's last part and goes by its figures.
    pub fn of(&self, stage: Stage) -> &StageConfig {
        match stage {
            Stage::Edit => &self.edit,
            Stage::Publish | Stage::Confirm => &self.publish,
        }
    }
}

impl StageConfig {
    fn load(stage: Stage, layers: &Layers, problems: &mut Vec<Problem>) -> Self {
        let mut section = layers.section(&["streams", stage.stream().unwrap_or_default()], problems);
        section.fixed("group", stage.as_str());
        Self {
            concurrency: usize::try_from(section.number("concurrency", 1, 64)).unwrap_or(1),
            limit: section.rate("limit"),
            limit_per_account: if stage == Stage::Publish { section.rate("limit_per_account") } else { None },
            attempts: u32::try_from(section.number("attempts", 1, 100)).unwrap_or(1),
            backoff: section.duration("backoff", Duration::from_millis(100), HOUR),
            lease: section.lease(HOUR),
            stalled_check: section.duration("stalled_check", SECOND, DAY),
            retain: section.duration("retain", SECOND, 10_000 * DAY),
        }
    }
}

impl EditConfig {
    pub(super) fn load(layers: &Layers, problems: &mut Vec<Problem>) -> Self {
        let mut section = layers.section(&["edit"], problems);
        Self {
            timeout: section.duration("timeout", SECOND, DAY),
            cpu: section.duration("cpu", SECOND, 7 * DAY),
            memory: section.size("memory", 256 << 20),
            output: section.size("output", 1_000_000),
            probe_timeout: section.duration("probe_timeout", SECOND, HOUR),
        }
    }
}
