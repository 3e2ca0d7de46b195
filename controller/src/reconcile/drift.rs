//! The short way: of a ManagedResource that is as it should be, only the objects that others changed are looked at.
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
};
use tokio::time::Instant;

use super::Reconciler;
use crate::{desired::Loaded, queue::Next, target::discovery::Snapshot};

/// Objects of a resync that are applied side by side: repairs of others, and other clients, have the API server to themselves
/// but for these.
const SLICE_WIDTH: usize = 2;

/// ManagedResources whose last whole pass left nothing to be done, as they were then.
#[derive(Default)]
pub struct Steady(Mutex<Known>);

/// With their resource versions, and what was loaded.
type Known = BTreeMap<NamespacedName, (Option<String>, Arc<Loaded>)>;

impl Steady {
    /// Everything is as it should be.
    pub fn set(&self, mr: &ManagedResource, loaded: &Arc<Loaded>) {
        let version = mr.metadata.resource_version.clone();
        self.lock().insert(mr.key(), (version, Arc::clone(loaded)));
    }

    /// Something is not.
    pub fn clear(&self, mr: &NamespacedName) {
        self.lock().remove(mr);
    }

    /// What was loaded, if neither the ManagedResource nor what it declares has changed since.
    fn of(&self, mr: &ManagedResource) -> Option<Arc<Loaded>> {
        let steady = self.lock();
        let (version, loaded) = steady.get(&mr.key())?;
        (*version == mr.metadata.resource_version).then(|| Arc::clone(loaded))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciler {
    /// Repairs what others changed, and applies what is due to be applied again. `None` if a whole pass is needed: for
    /// anything else, and when something fails.
    pub(crate) async fn repair(&self, mr: &Arc<ManagedResource>, snapshot: &Snapshot) -> Option<Next> {
        let key = mr.key();
        let loaded = self.steady.of(mr)?;
        let is_current = self.world.loaded(&key).is_some_and(|current| Arc::ptr_eq(&current, &loaded));
        if !is_current || !loaded.is_current(mr, &self.marks, snapshot) || mr.repair(self.repair) != Repair::Watch {
            return None;
        }
        let changed = self.world.take_changed(&key);
        let mut positions = Vec::new();
        for object in &changed {
            let position = loaded.desired.binary_search_by(|desired| desired.key.cmp(object)).ok()?;
            match self.world.state(object, loaded.digest(position)) {
                State::InSync => {}
                State::Drifted | State::Missing if !self.world.is_fought_over(object) => positions.push(position),
                _ => return None,
            }
        }
        let is_well = if positions.is_empty() {
            let slice = self.rhythms.slice(&key, &loaded.desired, Instant::now());
            if slice.is_empty() {
                return None;
            }
            self.apply_few(mr, &loaded, snapshot, slice, SLICE_WIDTH).await
        } else {
            // Where something is to be repaired, what is only due waits.
            self.apply_few(mr, &loaded, snapshot, positions.iter().copied(), self.width).await
        };
        if !is_well || positions.iter().any(|position| self.is_fought_over(&loaded, *position)) {
            return None;
        }
        let now = Instant::now();
        let slice = self.rhythms.until_slice(&key, now);
        if positions.is_empty() {
            return Some(Next::After(slice));
        }
        // When the debt is due, the whole pass pays it.
        let debt = self.rhythms.debt(&key, true, loaded.desired.len(), now)?;
        Some(Next::After(debt.min(slice)))
    }

    async fn apply_few(
        &self,
        mr: &ManagedResource,
        loaded: &Loaded,
        snapshot: &Snapshot,
        positions: impl Iterator<Item = usize>,
        width: usize,
    ) -> bool {
        let mut waves: BTreeMap<Wave, Vec<usize>> = BTreeMap::new();
        for position in positions {
            let Some(object) = loaded.desired.get(position) else { continue };
            waves.entry(waves::wave(&object.key.group_kind())).or_default().push(position);
        }
        let mut is_well = true;
        for positions in waves.values() {
            is_well &= self.apply(mr, loaded, snapshot, &BTreeSet::new(), positions, width).await.is_empty();
        }
        is_well
    }

    fn is_fought_over(&self, loaded: &Loaded, position: usize) -> bool {
        loaded.desired.get(position).is_some_and(|object| self.world.is_fought_over(&object.key))
    }
}
