//! The order in which objects go.
//!
//! What finishes the deletion of an object (its operator, with all that the operator needs to run) outlives it. An order holds
//! among objects that one change has dropped; what was dropped by another change waits for none of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    PodReferences,
    pod_references::is_nameable,
    stage::{Stage, has_pod_template, is_custom, is_held_by_pods},
};
use crate::{api::ResourceReference, key::ObjectKey};

/// How far the deletion of an object has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing was tried yet.
    Due,
    /// It is being deleted; finalizers hold it.
    Terminating,
    /// The server refuses the deletion, or does not answer.
    Refused,
}

/// An object that has to go and is not gone.
#[derive(Clone, Debug)]
struct Deletion<'a> {
    reference: &'a ResourceReference,
    object: ObjectKey,
    /// The order holds among objects of one change.
    change: &'a str,
    stage: Stage,
    progress: Progress,
}

impl Deletion<'_> {
    /// Whether somebody may still have to work for its end. Nobody does where the deletion of a built-in object is refused.
    fn is_unfinished(&self) -> bool {
        self.progress != Progress::Refused || self.stage != Stage::Plain || is_custom(self.object.group())
    }

    /// Whether a definition serves objects of this one's kind.
    fn is_served_by(&self, definition: &Deletion<'_>) -> bool {
        // Both are named `x.group`, and neither a plural nor a version has a dot.
        let Some((first, group)) = definition.object.name().split_once('.') else { return false };
        let is_kind = definition.object.kind() != "CustomResourceDefinition"
            || self.reference.resource.as_deref().is_none_or(|plural| plural == first);
        self.object.group() == group && is_kind
    }

    /// Whether `other` has to wait for this one.
    fn holds_up(&self, other: &Deletion<'_>) -> bool {
        let is_early = self.stage <= Stage::Definition;
        self.change == other.change
            && match other.stage {
                Stage::Interceptor => false,
                Stage::Plain => self.stage == Stage::Interceptor && self.progress == Progress::Due,
                Stage::Definition => self.stage == Stage::Plain && self.is_served_by(other),
                Stage::Workload => is_early && self.is_unfinished() && !is_held_by_pods(&self.object),
                Stage::Support => self.stage == Stage::Workload || is_early && self.is_unfinished(),
                Stage::Namespace => {
                    self.progress == Progress::Due
                        && self.stage != Stage::Namespace
                        && self.object.namespace() == other.object.name()
                }
            }
    }
}

/// Objects that have to go, by how far that has come.
#[derive(Clone, Debug, Default)]
pub struct Deletions<'a>(Vec<Option<Deletion<'a>>>);

impl<'a> Deletions<'a> {
    /// Objects that are not declared any more. `dropped` of each reference tells by which change.
    pub fn pruned(references: impl IntoIterator<Item = &'a ResourceReference>) -> Self {
        Self::new(references, Stage::when_pruned, |reference| reference.dropped.as_deref().unwrap_or_default())
    }

    /// Objects that go with their ManagedResource: by one change, also those that were dropped before and are still there.
    pub fn with_managed_resource(references: impl IntoIterator<Item = &'a ResourceReference>) -> Self {
        Self::new(references, Stage::when_deleted, |_| "")
    }

    fn new(
        references: impl IntoIterator<Item = &'a ResourceReference>,
        stage: fn(&ObjectKey) -> Stage,
        change: fn(&'a ResourceReference) -> &'a str,
    ) -> Self {
        let deletion = |reference: &'a ResourceReference| {
            let (object, change) = (reference.object_key(), change(reference));
            Some(Deletion { reference, change, stage: stage(&object), object, progress: Progress::Due })
        };
        Self(references.into_iter().map(deletion).collect())
    }

    /// Workloads whose templates have to be known, because the same change has dropped what they may name.
    pub fn unread_workloads(&self) -> Vec<&'a ResourceReference> {
        let is_open = |deletion: &&Deletion<'_>| deletion.stage == Stage::Plain && is_nameable(&deletion.object);
        let places: BTreeSet<(&str, &str)> =
            self.iter().filter(is_open).map(|deletion| (deletion.change, deletion.object.namespace())).collect();
        let is_asked = |deletion: &&Deletion<'_>| {
            has_pod_template(&deletion.object.group_kind())
                && places.contains(&(deletion.change, deletion.object.namespace()))
        };
        self.iter().filter(is_asked).map(|deletion| deletion.reference).collect()
    }

    /// What these templates name stays until the workloads of the same change have ended.
    pub fn keep_for_pods(&mut self, named: &PodReferences) {
        let workloads = self.iter().filter(|deletion| deletion.stage == Stage::Workload);
        let changes: BTreeSet<&str> = workloads.map(|deletion| deletion.change).collect();
        for deletion in self.0.iter_mut().flatten() {
            if deletion.stage == Stage::Plain && changes.contains(deletion.change) && named.contains(&deletion.object) {
                deletion.stage = Stage::Support;
            }
        }
    }

    /// Positions of those that may go now and were not tried yet.
    pub fn due(&self) -> Vec<usize> {
        let blockers = Blockers::of(self);
        let positions = self.0.iter().enumerate();
        let due = positions.filter_map(|(position, deletion)| Some((position, deletion.as_ref()?)));
        let due = due.filter(|(_, deletion)| deletion.progress == Progress::Due && !blockers.hold_up(deletion));
        due.map(|(position, _)| position).collect()
    }

    /// The object at a position.
    pub fn reference(&self, position: usize) -> Option<&'a ResourceReference> {
        self.get(position).map(|deletion| deletion.reference)
    }

    /// The object at a position is gone, or is not ours to delete.
    pub fn finish(&mut self, position: usize) {
        if let Some(deletion) = self.0.get_mut(position) {
            *deletion = None;
        }
    }

    /// The deletion of the object at a position was tried.
    pub fn set_progress(&mut self, position: usize, progress: Progress) {
        if let Some(Some(deletion)) = self.0.get_mut(position) {
            deletion.progress = progress;
        }
    }

    /// How far the object at a position is; `None` if it is gone.
    pub fn progress(&self, position: usize) -> Option<Progress> {
        self.get(position).map(|deletion| deletion.progress)
    }

    /// Positions of objects that are not gone, in the order in which they were given.
    pub fn remaining(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(|(_, deletion)| deletion.is_some()).map(|(position, _)| position)
    }

    /// Objects that wait for the end of the one at a position.
    pub fn waiting_for(&self, position: usize) -> Vec<&ObjectKey> {
        let Some(blocker) = self.get(position) else { return Vec::new() };
        let due = || self.iter().filter(|deletion| deletion.progress == Progress::Due);
        let held: Vec<&Deletion<'_>> = due().filter(|deletion| blocker.holds_up(deletion)).collect();
        // A Namespace waits for what waits in it.
        let places: BTreeSet<&str> = held.iter().map(|deletion| deletion.object.namespace()).collect();
        let is_place = |other: &&Deletion<'_>| other.stage == Stage::Namespace && places.contains(other.object.name());
        held.iter().copied().chain(due().filter(is_place)).map(|deletion| &deletion.object).collect()
    }

    fn get(&self, position: usize) -> Option<&Deletion<'a>> {
        self.0.get(position)?.as_ref()
    }

    fn iter(&self) -> impl Iterator<Item = &Deletion<'a>> {
        self.0.iter().flatten()
    }
}

/// One object of each sort that can hold up others: of tens of thousands, not each has to be held against each.
struct Blockers<'a, 'b>(BTreeMap<Sort<'b>, &'b Deletion<'a>>);

/// Objects that are alike in all that [`Deletion::holds_up`] looks at.
type Sort<'b> = (&'b str, Stage, bool, bool, bool, &'b str, Option<&'b str>, &'b str);

impl<'a, 'b> Blockers<'a, 'b> {
    fn of(deletions: &'b Deletions<'a>) -> Self {
        let sort = |deletion: &'b Deletion<'a>| {
            let is_due = deletion.progress == Progress::Due;
            let plural = deletion.reference.resource.as_deref();
            let (group, place) = (deletion.object.group(), deletion.object.namespace());
            let is_held_by_pods = is_held_by_pods(&deletion.object);
            let is_unfinished = deletion.is_unfinished();
            ((deletion.change, deletion.stage, is_due, is_unfinished, is_held_by_pods, group, plural, place), deletion)
        };
        Self(deletions.iter().map(sort).collect())
    }

    fn hold_up(&self, other: &Deletion<'_>) -> bool {
        self.0.values().any(|deletion| deletion.holds_up(other))
    }
}

#[cfg(test)]
mod tests;
