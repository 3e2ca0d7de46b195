//! What one pass over a ManagedResource is to do, as a value.
//!
//! One level-triggered function: a drift event has no code path of its own, it changes what is observed, and whatever is in
//! sync yields no action.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    api::{ResourceReference, Status, sort_inventory},
    decode::Source,
    deletion::is_cluster_namespace,
    inventory::{collectable, drift::State, equivalence::Equivalences, index::Index, position::Position},
    key::{GroupKind, NamespacedName, ObjectKey},
    manifest::{
        Desired,
        waves::{self, Wave},
    },
    pause::Pauses,
};

/// Two different manifests of one object in one ManagedResource; the later one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// The object.
    pub key: ObjectKey,
    /// The manifest that is not used.
    pub superseded: Source,
    /// The one that is.
    pub used: Source,
}

/// Keeps one manifest of each object: equal ones are one, of different ones the later wins (`docs/design/order.md`).
pub fn deduplicate(mut desired: Vec<Arc<Desired>>) -> (Vec<Arc<Desired>>, Vec<Duplicate>) {
    // Stable, so that of one object the later manifest still comes later. Most Secrets are in order already.
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

/// What the plan is made from.
pub struct Input<'a> {
    /// The ManagedResource.
    pub mr: &'a NamespacedName,
    /// Its `status.resources`.
    pub inventory: &'a [ResourceReference],
    /// What its Secrets declare, each object once.
    pub desired: &'a [Arc<Desired>],
    /// False when a Secret is missing or a document could not be read: then nothing is pruned.
    pub complete: bool,
    /// Who owns what.
    pub index: &'a Index,
    /// Positions in `desired` of objects that exist, are not ours and are not to be taken over.
    pub refused: &'a BTreeSet<Position>,
    /// Objects that are dropped and not deleted, because other ManagedResources declare them and wait.
    pub pending_for_other_owners: &'a BTreeSet<ObjectKey>,
    /// Objects that are dropped and not deleted, because their manifests say so.
    pub released: &'a BTreeSet<ObjectKey>,
    /// There is a garbage collector: what it deletes is dropped and not deleted.
    pub garbage_collector: bool,
    /// Pauses that last: nothing is written to their objects.
    pub pauses: &'a Pauses,
    /// Kinds that stand for the same objects.
    pub equivalences: &'a Equivalences,
    /// Kinds of desired and released objects of which no version is served: nobody knows whether they are in a namespace.
    pub unknown: &'a BTreeSet<GroupKind>,
    /// Names what the Secrets say now, for objects that are not declared any more.
    pub change: &'a str,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The inventory to be written before the first apply: everything held so far and everything about to be created.
    pub inventory: Vec<ResourceReference>,
    /// Whether `inventory` names an object that the old one does not, so that it must be written first.
    pub write_ahead: bool,
    /// Positions in `desired`, by wave; only what is not in sync.
    pub apply: BTreeMap<Wave, Vec<Position>>,
    /// Positions in `desired` of objects that the inventory did not have before.
    pub fresh: BTreeSet<Position>,
    /// Positions in `desired` of objects whose repair has to wait because somebody keeps changing them.
    pub contested: Vec<Position>,
    /// Positions in `desired` of objects that are being deleted and are created again when they are gone.
    pub terminating: Vec<Position>,
    /// Objects to delete.
    pub prune: Vec<ResourceReference>,
    /// Objects to drop from the inventory because another ManagedResource holds or awaits them, or because they are declared
    /// as objects of another kind.
    pub handed_over: Vec<ResourceReference>,
    /// Objects to take our marks off and to drop, because their manifests say so.
    pub released: Vec<ResourceReference>,
    /// The same of Namespaces of the cluster itself, which are never deleted.
    pub spared: Vec<ResourceReference>,
    /// Objects to take our marks off and to drop, because a garbage collector deletes them when nothing refers to them.
    pub collectable: Vec<ResourceReference>,
    /// Objects that would have been pruned, had everything been readable.
    pub withheld: usize,
    /// What is said of pauses.
    pub paused: Vec<String>,
    /// Positions in `desired` of objects that another ManagedResource holds.
    pub conflicts: Vec<(Position, NamespacedName)>,
}

impl Plan {
    /// Whether objects are dropped that another ManagedResource may want.
    pub fn drops_any(&self) -> bool {
        ![&self.prune, &self.spared, &self.collectable].into_iter().all(Vec::is_empty)
    }
}

impl Plan {
    /// Whether it does something that the status does not know of; `checksum` is that of the Secrets.
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

/// References by the object that they name.
type Inventory = BTreeMap<ObjectKey, ResourceReference>;

/// Makes the plan. `state` says how each desired object, given with its position, stands.
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
            plan.conflicts.push((position, owner));
            continue;
        }
        if !owned && input.refused.contains(&position) {
            continue;
        }
        if input.pauses.matches(&object.key) {
            // Neither created nor changed; not even claimed, since nothing would be there.
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
            State::Contested => plan.contested.push(position),
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

/// Another ManagedResource, not being deleted, with the object in its inventory.
fn other_claimant(input: &Input<'_>, object: &ObjectKey) -> Option<NamespacedName> {
    let mut claimants = input.index.claimants(object).filter(|key| *key != input.mr);
    claimants.find(|key| input.index.get(key).is_some_and(|owner| !owner.deleting)).cloned()
}

/// Objects of kinds that are not served: known by group, kind and name, in whatever namespace they are.
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

/// What the manifest says now, with what was observed before.
fn updated(old: ResourceReference, new: ResourceReference) -> ResourceReference {
    ResourceReference { state: old.state, resource: new.resource.or(old.resource), ..new }
}

#[cfg(test)]
mod tests;
