//! The plan of one pass over a ManagedResource, as a value.
//!
//! Planning is one level-triggered function: it looks at all objects, and objects in sync yield no action. Only where
//! nothing but objects has moved does the controller repair without a plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    api::{ManagedResource, Repair, ResourceReference, Status, sort_inventory},
    decode::Source,
    deletion::is_cluster_namespace,
    inventory::{collectable, drift::State, equivalence::Equivalences, index::Index},
    key::{GroupKind, NamespacedName, ObjectKey},
    manifest::{
        Desired,
        waves::{self, Wave},
    },
    pause::Pauses,
    position::Position,
};

/// Two different manifests of one object in one ManagedResource. The later one wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The object.
    pub key: ObjectKey,
    /// The unused manifest.
    pub superseded: Source,
    /// The used manifest.
    pub used: Source,
}

/// Keeps one manifest per object. Equal manifests count as one; of different ones the later wins
/// (`docs/design/inventory.md`).
pub fn deduplicate(mut desired: Vec<Arc<Desired>>) -> (Vec<Arc<Desired>>, Vec<Duplicate>) {
    // The sort is stable, so the later manifest of an object stays later. Most Secrets are already sorted.
    desired.sort_by(|one, other| one.key.cmp(&other.key));
    let mut retained: Vec<Arc<Desired>> = Vec::with_capacity(desired.len());
    let mut duplicates = Vec::new();
    for object in desired {
        let Some(earlier) = retained.last_mut().filter(|earlier| earlier.key == object.key) else {
            retained.push(object);
            continue;
        };
        if earlier.body != object.body {
            duplicates.push(Duplicate {
                key: object.key.clone(),
                superseded: earlier.source.clone(),
                used: object.source.clone(),
            });
        }
        *earlier = object;
    }
    (retained, duplicates)
}

/// A desired object that another ManagedResource owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The object.
    pub position: Position,
    /// The other ManagedResource.
    pub owner: NamespacedName,
}

/// The input of a plan.
pub struct Input<'a> {
    /// The ManagedResource.
    pub mr: &'a NamespacedName,
    /// Its `status.resources`.
    pub inventory: &'a [ResourceReference],
    /// The objects that its Secrets declare, each once.
    pub desired: &'a [Arc<Desired>],
    /// False if a Secret is missing or a document is unreadable. Then nothing is pruned.
    pub complete: bool,
    /// The owners of all objects.
    pub index: &'a Index,
    /// Positions in `desired` of existing foreign objects that must not be adopted.
    pub refused: &'a BTreeSet<Position>,
    /// Objects to drop without deletion, because other ManagedResources declare them and wait.
    pub pending_for_other_owners: &'a BTreeSet<ObjectKey>,
    /// Objects to drop without deletion, because their manifests say so.
    pub released: &'a BTreeSet<ObjectKey>,
    /// Whether there is a garbage collector. Its objects are dropped without deletion.
    pub garbage_collector: bool,
    /// Active pauses. Nothing is written to their objects.
    pub pauses: &'a Pauses,
    /// Equivalent kinds.
    pub equivalences: &'a Equivalences,
    /// Kinds of desired and released objects of which no version is served. Their scope is unknown.
    pub unknown: &'a BTreeSet<GroupKind>,
    /// Names the current content of the Secrets, for objects that it no longer declares.
    pub change: &'a str,
}

/// The actions of one pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The inventory to write before the first apply: all objects owned so far, and all that are about to be created.
    pub inventory: Vec<ResourceReference>,
    /// Whether `inventory` lists an object that the old one lacks. It must then be written first.
    pub write_ahead: bool,
    /// Positions in `desired` of objects that are not in sync, by wave.
    pub apply: BTreeMap<Wave, Vec<Position>>,
    /// Positions in `desired` of objects that are new in the inventory.
    pub fresh: BTreeSet<Position>,
    /// Positions in `desired` of contended objects, whose repair has to wait.
    pub contended: Vec<Position>,
    /// Positions in `desired` of terminating objects. They are created again once they are gone.
    pub terminating: Vec<Position>,
    /// Objects to delete.
    pub prune: Vec<ResourceReference>,
    /// Objects to drop from the inventory, because another ManagedResource owns or awaits them, or because a manifest
    /// declares them under an equivalent kind.
    pub handed_over: Vec<ResourceReference>,
    /// Objects to drop and strip of our marks, because their manifests say so.
    pub released: Vec<ResourceReference>,
    /// Namespaces of the cluster itself, to drop and strip of our marks. They are never deleted.
    pub spared: Vec<ResourceReference>,
    /// Objects to drop, because a garbage collector deletes them once nothing refers to them. They lose our protection
    /// label and description, but keep our origin and our fields.
    pub collectable: Vec<ResourceReference>,
    /// Number of objects that are not pruned only because something is unreadable.
    pub withheld: usize,
    /// Texts about pauses for the condition.
    pub paused: Vec<String>,
    /// Positions in `desired` of objects that another ManagedResource owns.
    pub conflicts: Vec<Conflict>,
}

impl Plan {
    /// Whether the plan drops objects that another ManagedResource may want.
    pub fn drops_any(&self) -> bool {
        ![&self.prune, &self.spared, &self.collectable].into_iter().all(Vec::is_empty)
    }

    /// Whether the plan contains anything that the status does not record. `checksum` is that of the Secrets.
    pub fn is_news(&self, status: Option<&Status>, checksum: &str) -> bool {
        let is_recorded = |before: &Status| {
            let owned = &before.resources;
            let mut pairs = owned.iter().zip(&self.inventory);
            owned.len() == self.inventory.len()
                && pairs.all(|(old, new)| old.says_the_same_as(new))
                && before.secrets_data_checksum.as_deref() == Some(checksum)
                && before.phase.is_none()
        };
        !self.prune.is_empty() || !status.is_some_and(is_recorded)
    }
}

/// Whether a pass repairs foreign changes. A change of the manifests or of the ManagedResource is a sync, which does so
/// in any case, and so does the first pass after a pause. `checksum` is that of the Secrets.
pub fn is_repairing(mr: &ManagedResource, checksum: &str, repair: Repair, is_any_pause_over: bool) -> bool {
    let status = mr.status.as_ref();
    let is_changed = status.and_then(|status| status.secrets_data_checksum.as_deref()) != Some(checksum)
        || status.and_then(|status| status.observed_generation) != mr.metadata.generation;
    repair == Repair::Watch || is_changed || is_any_pause_over
}

/// Returns the inventory after a pass that has dropped these objects. If the pass did not begin to delete, because
/// objects could not be applied, no deletion has begun: what the next change drops goes with it, in one order.
pub fn inventory_after(plan: &Plan, dropped: &BTreeSet<ObjectKey>, has_pruning_begun: bool) -> Vec<ResourceReference> {
    let mut inventory = plan.inventory.clone();
    inventory.retain(|reference| dropped.is_empty() || !dropped.contains(&reference.object_key()));
    if !has_pruning_begun {
        for reference in &mut inventory {
            reference.dropped = None;
        }
    }
    inventory
}

/// References by the object that they name.
type Inventory = BTreeMap<ObjectKey, ResourceReference>;

/// Makes the plan. `state` returns the state of a desired object, given with its position.
pub fn plan(input: &Input<'_>, state: impl Fn(Position, &Desired) -> State) -> Plan {
    let mut plan = Plan::default();
    let mut inventory: Inventory =
        input.inventory.iter().map(|reference| (reference.object_key(), reference.clone())).collect();
    let waiting = plan_desired(input, &mut inventory, state, &mut plan);
    let retained = plan_undeclared(input, &mut inventory, &mut plan);
    plan.paused = input.pauses.texts(waiting, retained);
    plan.inventory = inventory.into_values().collect();
    sort_inventory(&mut plan.inventory);
    plan
}

/// Plans what to do about the desired objects; returns how many a pause keeps from being written.
fn plan_desired(
    input: &Input<'_>,
    inventory: &mut Inventory,
    state: impl Fn(Position, &Desired) -> State,
    plan: &mut Plan,
) -> usize {
    let mut waiting = 0;
    for (position, object) in Position::enumerate(input.desired) {
        let owned = inventory.contains_key(&object.key);
        if let Some(owner) = (!owned).then(|| other_claimant(input, &object.key)).flatten() {
            plan.conflicts.push(Conflict { position, owner });
            continue;
        }
        if !owned && input.refused.contains(&position) {
            continue;
        }
        if input.pauses.matches(&object.key) {
            // Do not create, change or even claim it: the claim would be for an object that does not exist.
            let is_behind = || matches!(state(position, object), State::Outdated | State::Missing);
            waiting += usize::from(!owned || is_behind());
            continue;
        }
        if !owned {
            plan.write_ahead = true;
            plan.fresh.insert(position);
        }
        record(inventory, object);
        match state(position, object) {
            State::InSync => {}
            State::Terminating => plan.terminating.push(position),
            State::Contended => plan.contended.push(position),
            State::Outdated | State::Drifted | State::Missing => {
                plan.apply.entry(waves::wave(&object.gvk.group_kind())).or_default().push(position);
            }
        }
    }
    waiting
}

/// Has the inventory say of an object what its manifest says now.
fn record(inventory: &mut Inventory, object: &Desired) {
    let is_up_to_date = |old: &ResourceReference| old.dropped.is_none() && object.is_described_by(old);
    if inventory.get(&object.key).is_some_and(is_up_to_date) {
        return;
    }
    let reference = match inventory.remove(&object.key) {
        Some(old) if !old.pending => updated(old, object.reference()),
        _ => ResourceReference { pending: true, ..object.reference() },
    };
    inventory.insert(object.key.clone(), reference);
}

/// Plans what to do about the objects that are not declared any more; returns how many a pause keeps from being deleted.
fn plan_undeclared(input: &Input<'_>, inventory: &mut Inventory, plan: &mut Plan) -> usize {
    let mut retained = 0;
    let desired_keys: BTreeSet<&ObjectKey> = input.desired.iter().map(|object| &object.key).collect();
    let somewhere = Somewhere::of(desired_keys.iter().copied(), input.unknown);
    let released_somewhere = Somewhere::of(input.released, input.unknown);
    for reference in input.inventory {
        let object = reference.object_key();
        if desired_keys.contains(&object) || somewhere.contains(&object) {
            continue;
        }
        let is_desired = |other: ObjectKey| desired_keys.contains(&other) || somewhere.contains(&other);
        let is_declared_otherwise = input.equivalences.names_of(&object).any(is_desired);
        let is_anothers =
            || input.pending_for_other_owners.contains(&object) || other_claimant(input, &object).is_some();
        if input.pauses.matches(&object) {
            retained += 1;
        } else if input.released.contains(&object) || released_somewhere.contains(&object) {
            plan.released.push(reference.clone());
        } else if !input.complete {
            plan.withheld += 1;
        } else if is_declared_otherwise || is_anothers() {
            plan.handed_over.push(reference.clone());
        } else if is_cluster_namespace(&object) {
            plan.spared.push(reference.clone());
        } else if input.garbage_collector && collectable::is_collectable(reference) {
            plan.collectable.push(reference.clone());
        } else if let Some(owned) = inventory.get_mut(&object) {
            owned.dropped.get_or_insert_with(|| input.change.into());
            plan.prune.push(owned.clone());
        }
    }
    retained
}

/// Returns another ManagedResource that lists the object in its inventory and is not being deleted.
fn other_claimant(input: &Input<'_>, object: &ObjectKey) -> Option<NamespacedName> {
    let mut claimants = input.index.claimants(object).filter(|key| *key != input.mr);
    claimants.find(|key| input.index.get(key).is_some_and(|owner| !owner.deleting)).cloned()
}

/// Objects of kinds that are not served. Group, kind and name identify them, in whatever namespace.
struct Somewhere<'a>(BTreeSet<(&'a str, &'a str, &'a str)>);

impl<'a> Somewhere<'a> {
    fn of(objects: impl IntoIterator<Item = &'a ObjectKey>, unknown: &BTreeSet<GroupKind>) -> Self {
        if unknown.is_empty() {
            return Self(BTreeSet::new());
        }
        let objects = objects.into_iter().filter(|object| unknown.contains(&object.group_kind()));
        Self(objects.map(|object| (object.group(), object.kind(), object.name())).collect())
    }

    fn contains(&self, object: &ObjectKey) -> bool {
        !self.0.is_empty() && self.0.contains(&(object.group(), object.kind(), object.name()))
    }
}

/// Combines the new manifest with earlier observations.
fn updated(old: ResourceReference, new: ResourceReference) -> ResourceReference {
    ResourceReference { state: old.state, resource: new.resource.or(old.resource), ..new }
}

#[cfg(test)]
mod tests;
