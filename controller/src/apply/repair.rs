//! Recording what was written, and what it repaired.

use holdfast_core::{
    api::Scope,
    field_ownership::foreign::Change,
    field_set,
    inventory::{
        drift::{Applied, Observed, State},
        object_record::WriteResult,
    },
    manifest::Desired,
};

use super::{
    Applier,
    context::{ApplyContext, ObjectOutcome},
};
use crate::metrics;

impl Applier {
    /// Records what was written. If that repaired a change by others, counts it and says so in `outcome`.
    pub(super) fn record(
        &self,
        context: ApplyContext<'_>,
        observed: Observed,
        before: State,
        seen: Option<&Observed>,
        outcome: &mut ObjectOutcome,
    ) {
        let ApplyContext { object, digest, .. } = context;
        let is_unchanged = seen.is_some_and(|seen| observed.is_same_as(seen));
        let generation = (self.state.objects.written_generation(&object.key), observed.generation);
        // Others may change it, and have done so several times: so this is not what we had heard of.
        let is_allowed = context.scope.scope == Scope::Declared || !context.scope.ignored.is_none();
        let own = field_set::own_entry_of(&observed.managed_fields);
        let is_entry_of = |seen: &Observed| field_set::own_entry_of(&seen.managed_fields) == own;
        let is_untouched = is_allowed && own.is_some() && seen.is_some_and(is_entry_of);
        let applied = Applied { manifest: digest, handling: object.handling, observed };
        let WriteResult { waited, is_changed_again } = self.state.objects.applied(context.mr, &object.key, applied);
        if is_changed_again {
            self.target.requests.requeue(context.mr);
        }
        // Unchanged: a change that does not concern us, such as a foreign annotation; now we know.
        if is_unchanged || !matches!(before, State::Drifted | State::Missing) {
            return;
        }
        let change = match seen {
            Some(seen) if before == State::Drifted => {
                let unmanaged = context.unmanaged_in(before).of(context.body.value());
                context.external(&seen.managed_fields).change(&unmanaged.stripped(&seen.managed_fields))
            }
            _ => Change::default(),
        };
        if is_untouched && before == State::Drifted && change == Change::default() {
            return;
        }
        let is_content_the_same = matches!(generation, (Some(written), Some(now)) if written == now);
        let is_metadata = change.paths.is_empty() || change.paths.iter().any(|path| path.starts_with("metadata"));
        let cause = match before {
            State::Missing => "deleted",
            _ if is_content_the_same && !is_metadata => "tidied",
            _ => "changed",
        };
        if before == State::Drifted && change == Change::default() && seen.is_some_and(Observed::is_marked_paused) {
            // Nobody but us.
            return;
        }
        let kind = kind_label(object);
        self.metrics.repairs.get_or_create(&metrics::Repair { kind, cause }).inc();
        if cause == "tidied" {
            return;
        }
        if let Some(waited) = waited {
            self.metrics.repair_seconds.observe(waited.as_secs_f64());
        }
        outcome.is_contended = self.state.contention.repaired(&object.key, &change.managers);
        if outcome.is_contended {
            self.metrics.fight(&change.managers);
        }
        outcome.repaired = Some(change);
    }
}

/// A kind in a metric's label, such as `Deployment.apps`.
pub(super) fn kind_label(object: &Desired) -> String {
    object.key.group_kind().to_string()
}
