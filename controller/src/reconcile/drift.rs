//! The fast path of a repair: of a ManagedResource that is as it should be, only the objects that others changed are looked at.
//!
//! A repair has to be quick, and a whole pass over a thousand objects is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_core::{
    api::{ManagedResource, Repair},
    inventory::drift::State,
    key::NamespacedName,
    manifest::waves::{self, Wave},
    position::Position,
};
use tokio::time::Instant;

use super::Reconciler;
use crate::{
    apply::Batch,
    desired::{Declaration, DesiredSet},
    queue::Next,
    target::discovery::Snapshot,
};

/// Objects of a resync that are applied side by side: repairs of others, and other clients, have the API server to themselves
/// but for these.
const RESYNC_WIDTH: usize = 2;

/// ManagedResources whose last pass left nothing to be done, as they were then.
#[derive(Default)]
pub(super) struct FastPath(Mutex<Entries>);

/// With what a pass depends on, and what was desired.
type Entries = BTreeMap<NamespacedName, (PassKey, Arc<DesiredSet>)>;

/// What of a ManagedResource a pass depends on, beside its Secrets. Not its resource version: that moves with each condition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PassKey {
    uid: Option<String>,
    generation: Option<i64>,
    annotations: BTreeMap<String, String>,
    class: String,
    checksum: Option<String>,
}

impl PassKey {
    fn of(mr: &ManagedResource) -> Self {
        Self {
            uid: mr.metadata.uid.clone(),
            generation: mr.metadata.generation,
            annotations: mr.metadata.annotations.clone().unwrap_or_default(),
            class: mr.class().to_owned(),
            checksum: mr.status.as_ref().and_then(|status| status.secrets_data_checksum.clone()),
        }
    }
}

impl FastPath {
    /// Everything is as it should be.
    pub(super) fn set(&self, mr: &ManagedResource, set: &Arc<DesiredSet>) {
        self.lock().insert(mr.key(), (PassKey::of(mr), Arc::clone(set)));
    }

    /// Something is not.
    pub(super) fn clear(&self, mr: &NamespacedName) {
        self.lock().remove(mr);
    }

    /// What is desired, if neither the ManagedResource nor what it declares has changed since.
    fn of(&self, mr: &ManagedResource) -> Option<Arc<DesiredSet>> {
        let entries = self.lock();
        let (key, set) = entries.get(&mr.key())?;
        (*key == PassKey::of(mr)).then(|| Arc::clone(set))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciler {
    /// Repairs what others changed, or else applies what is due to be applied again. `None` if a pass is needed: for anything
    /// else, and when something fails.
    pub(super) async fn repair_drift(&self, mr: &Arc<ManagedResource>, served: &Snapshot) -> Option<Next> {
        let key = mr.key();
        let set = self.unchanged_set(mr, served)?;
        let declared = Declaration { mr, set: &set, served };
        let drifted = self.drifted(&key, &set)?;
        if drifted.is_empty() {
            if self.state.managed_resources.has_news(&key) {
                // Perhaps its inventory. A repair does not wait for that; what has time does.
                return None;
            }
            let due = self.memory.resync.batch(&key, &set.objects, Instant::now());
            if due.is_empty() || !self.apply_some(declared, due.map(Position::new), RESYNC_WIDTH).await {
                return None;
            }
            return Some(Next::After(self.memory.resync.until_batch(&key, Instant::now())));
        }
        // Repairs go before the resync batch.
        let is_well = self.apply_some(declared, drifted.iter().copied(), self.target.width).await;
        if !is_well || drifted.iter().any(|position| self.is_contended(&set, *position)) {
            return None;
        }
        let now = Instant::now();
        // When the status is due to be written, a pass does so.
        let status = self.memory.status_delay.until_due(&key, true, set.objects.len(), now)?;
        Some(Next::After(status.min(self.memory.resync.until_batch(&key, now))))
    }

    /// What is desired, if nothing but objects can have changed since the last pass.
    fn unchanged_set(&self, mr: &Arc<ManagedResource>, served: &Snapshot) -> Option<Arc<DesiredSet>> {
        let set = self.memory.fast_path.of(mr)?;
        let is_newest = self.state.desired_set(&mr.key()).is_some_and(|newest| Arc::ptr_eq(&newest, &set));
        let is_current = is_newest && set.is_current(mr, self.stages.loader.ownership(), served);
        (is_current && mr.repair(self.policy.repair) == Repair::Watch).then_some(set)
    }

    /// Positions of the objects that others changed or deleted since the last pass; `None` if anything else has become of one.
    fn drifted(&self, mr: &NamespacedName, set: &DesiredSet) -> Option<Vec<Position>> {
        let mut positions = Vec::new();
        for object in &self.state.objects.take_changed(mr) {
            let position = set.position(object)?;
            match self.state.objects.state(object, set.digest(position)) {
                State::InSync => {}
                State::Drifted | State::Missing if !self.state.contention.is_contended(object) => {
                    positions.push(position);
                }
                _ => return None,
            }
        }
        Some(positions)
    }

    /// Applies them in their waves. Whether all went well.
    async fn apply_some(
        &self,
        declared: Declaration<'_>,
        positions: impl Iterator<Item = Position>,
        width: usize,
    ) -> bool {
        let mut waves: BTreeMap<Wave, Vec<Position>> = BTreeMap::new();
        for position in positions {
            let Some(object) = position.of(&declared.set.objects) else { continue };
            waves.entry(waves::wave(&object.key.group_kind())).or_default().push(position);
        }
        let mut is_well = true;
        for positions in waves.values() {
            let batch = Batch { positions, fresh: &BTreeSet::new(), width };
            is_well &= self.stages.applier.apply(declared, batch).await.is_empty();
        }
        is_well
    }

    fn is_contended(&self, set: &DesiredSet, position: Position) -> bool {
        position.of(&set.objects).is_some_and(|object| self.state.contention.is_contended(&object.key))
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::api::{Condition, Status};

    use super::*;

    #[test]
    fn a_pass_depends_on_what_is_wanted_and_not_on_what_is_said() {
        let mut mr = ManagedResource::default();
        mr.metadata.resource_version = Some("1".into());
        mr.metadata.generation = Some(1);
        mr.status = Some(Status { secrets_data_checksum: Some("c".into()), ..Status::default() });
        let before = PassKey::of(&mr);
        for (case, change, is_same) in [
            (
                "health is written",
                (|mr: &mut ManagedResource| {
                    mr.metadata.resource_version = Some("2".into());
                    mr.status.get_or_insert_default().conditions.push(Condition::default());
                }) as fn(&mut ManagedResource),
                true,
            ),
            ("the specification", |mr| mr.metadata.generation = Some(2), false),
            ("another one of that name", |mr| mr.metadata.uid = Some("v".into()), false),
            ("the class", |mr| mr.spec.class = Some("seed".into()), false),
            (
                "an annotation",
                |mr| drop(mr.metadata.annotations.get_or_insert_default().insert("a".into(), "b".into())),
                false,
            ),
            ("the checksum", |mr| mr.status.get_or_insert_default().secrets_data_checksum = Some("d".into()), false),
        ] {
            let mut changed = mr.clone();
            change(&mut changed);
            assert_eq!(PassKey::of(&changed) == before, is_same, "{case}");
        }
    }
}
