//! Metrics that the controller moves. Labels are bounded: results, kinds that are managed, causes; never names of objects or
//! texts.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use holdfast_core::inventory::repair::Cause;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};

/// Managers named in labels; whoever comes later is `other`, since anybody may invent names.
const MOST_MANAGERS: usize = 20;

/// Counters that the controller moves.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Passes by result.
    pub passes: Family<PassLabels, Counter>,
    /// Duration of passes, in seconds.
    pub pass_seconds: Family<PassLabels, Histogram, fn() -> Histogram>,
    /// Changes by others that watches spoke of, by kind.
    pub drift: Family<KindLabels, Counter>,
    /// Objects put right, by kind and by what had happened to them.
    pub repairs: Family<RepairLabels, Counter>,
    /// From the watch event to the server's answer to the repair, in seconds.
    pub repair_seconds: Histogram,
    /// Applies that the server refused or that timed out.
    pub apply_failures: Counter,
    /// Objects deleted because they are not declared any more.
    pub prunes: Counter,
    /// Objects taken over from others.
    pub adoptions: Counter,
    /// Writes without apply.
    pub fallbacks: Counter,
    /// Fights that began, by the other manager.
    pub contentions: Family<ManagerLabels, Counter>,
    /// 1 while the CustomResourceDefinition lacks our fields.
    pub foreign_definition: Gauge,
    managers: Arc<Mutex<BTreeSet<String>>>,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PassEnd {
    /// It did what it could.
    Done,
    /// It begins anew, after a while or because somebody else wrote meanwhile.
    Retry,
    /// The API server refused a request or did not answer.
    Error,
}

impl EncodeLabelValue for PassEnd {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Done => "done",
            Self::Retry => "retry",
            Self::Error => "error",
        })
    }
}

/// Labels of passes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PassLabels {
    /// How the pass ended.
    pub result: PassEnd,
}

/// Labels of foreign changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// Kind of the object, with its group where it has one.
    pub kind: String,
}

/// Why an object was repaired, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CauseLabel(pub Cause);

impl EncodeLabelValue for CauseLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.0.as_str())
    }
}

/// Labels of repairs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RepairLabels {
    /// Kind of the object, with its group where it has one.
    pub kind: String,
    /// `changed`, `deleted` or `tidied` (only the ownership record had changed).
    pub cause: CauseLabel,
}

/// Labels of contention.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ManagerLabels {
    /// Name of the field manager, or `unknown` or `other`.
    pub manager: String,
}

fn pass_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl Metrics {
    /// Creates and registers all.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            passes: Family::default(),
            pass_seconds: Family::new_with_constructor(pass_buckets),
            drift: Family::default(),
            repairs: Family::default(),
            repair_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            apply_failures: Counter::default(),
            prunes: Counter::default(),
            adoptions: Counter::default(),
            fallbacks: Counter::default(),
            contentions: Family::default(),
            foreign_definition: Gauge::default(),
            managers: Arc::default(),
        };
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("holdfast_build", "Version of the program", version);
        let registry = registry.sub_registry_with_prefix("holdfast_controller");
        registry.register("passes", "Passes over ManagedResources by result", metrics.passes.clone());
        registry.register("pass_seconds", "Duration of passes by result", metrics.pass_seconds.clone());
        registry.register("drift", "Changes by others that watches spoke of", metrics.drift.clone());
        let help = "Objects put right after others changed or deleted them";
        registry.register("repairs", help, metrics.repairs.clone());
        let help = "From the watch event to the server's answer to the repair";
        registry.register("repair_seconds", help, metrics.repair_seconds.clone());
        registry.register("apply_failures", "Applies that did not succeed", metrics.apply_failures.clone());
        let help = "Objects deleted because they are not declared any more";
        registry.register("prunes", help, metrics.prunes.clone());
        registry.register("adoptions", "Objects taken over from others", metrics.adoptions.clone());
        let help = "Writes of manifests that the server refuses to apply";
        registry.register("fallbacks", help, metrics.fallbacks.clone());
        let help = "Fights over an object that began, by the other field manager";
        registry.register("fights", help, metrics.contentions.clone());
        let help = "1 while the CustomResourceDefinition drops fields of ours";
        registry.register("foreign_definition", help, metrics.foreign_definition.clone());
        metrics
    }

    /// Counts the beginning of a fight with these managers.
    pub fn count_contention(&self, managers: &[String]) {
        let mut named = self.managers.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = ["unknown".to_owned()];
        for manager in if managers.is_empty() { &unknown } else { managers } {
            let is_named = named.contains(manager) || named.len() < MOST_MANAGERS && named.insert(manager.clone());
            let manager = if is_named { manager.clone() } else { "other".to_owned() };
            self.contentions.get_or_create(&ManagerLabels { manager }).inc();
        }
    }
}
