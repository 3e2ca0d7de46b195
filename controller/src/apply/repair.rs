//! Recording what was written, and what it repaired.

use holdfast_core::{
    inventory::{
        drift::{Applied, Observed, State},
        object_record::WriteResult,
        repair::{AcceptedWrite, Cause, Repaired},
    },
    manifest::Desired,
};

use super::{
    Applier,
    context::{ApplyContext, ObjectOutcome},
};
use crate::metrics::{CauseLabel, RepairLabels};

impl Applier {
    /// Records what was written. If that repaired a change by others, counts it and says so in `outcome`.
    pub(super) fn record(
        &self,
        context: ApplyContext<'_>,
        answer: Observed,
        before: State,
        seen: Option<&Observed>,
        outcome: &mut ObjectOutcome,
    ) {
        let ApplyContext { object, digest, scope, .. } = context;
        let written_generation = self.state.objects.written_generation(&object.key);
        let write = AcceptedWrite { before, seen, written_generation, answer: &answer, scope };
        let repaired = write.repaired(|seen| {
            let unmanaged = context.unmanaged_in(before).of(context.body.value());
            context.external(&seen.managed_fields).change(&unmanaged.stripped(&seen.managed_fields))
        });
        let applied = Applied { manifest: digest, management_mode: object.management_mode, observed: answer };
        let WriteResult { waited, is_changed_again } = self.state.objects.applied(context.mr, &object.key, applied);
        if is_changed_again {
            self.target.requests.requeue(context.mr);
        }
        let Some(Repaired { cause, change }) = repaired else { return };
        self.count_repair(object, cause);
        if cause == Cause::Tidied {
            return;
        }
        if let Some(waited) = waited {
            self.metrics.repair_seconds.observe(waited.as_secs_f64());
        }
        outcome.is_contended = self.state.contention.repaired(&object.key, &change.managers);
        if outcome.is_contended {
            self.metrics.count_contention(&change.managers);
        }
        outcome.repaired = Some(change);
    }

    /// Counts a repair by the kind of the object, such as `Deployment.apps`.
    pub(super) fn count_repair(&self, object: &Desired, cause: Cause) {
        let (kind, cause) = (object.key.group_kind().to_string(), CauseLabel(cause));
        self.metrics.repairs.get_or_create(&RepairLabels { kind, cause }).inc();
    }
}
