//! The order of deletions.
//!
//! Whatever finishes the deletion of an object (its operator, with all that the operator needs) outlives the object.
//! The order holds among objects that the same change has dropped. Objects of another change do not wait for them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    PodReferences,
    pod_references::is_nameable,
    stage::{Stage, has_pod_template, is_custom},
};
use crate::{api::ResourceReference, key::ObjectKey, position::Position};

/// Progress of the deletion of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Not tried yet.
    Due,
    /// The object is being deleted, and only Kubernetes itself must finish that.
    Terminating,
    /// The object is being deleted, and waits for foreign finalizers.
    Finalizing,
    /// The server refuses the deletion.
    Refused,
    /// Unknown: the server fails or does not answer.
    Unanswered,
    /// No server serves the kind.
    Unserved,
}

impl Progress {
    /// Whether deletion has begun.
    pub fn is_terminating(self) -> bool {
        matches!(self, Self::Terminating | Self::Finalizing)
    }
}

/// An object that must go, and still exists.
#[derive(Clone, Debug)]
struct Deletion<'a> {
    reference: &'a ResourceReference,
    object: ObjectKey,
    /// The change that dropped the object. The order holds among objects of one change.
    change: &'a str,
    stage: Stage,
    /// Foreign finalizers will delay the deletion.
    is_finalized: bool,
    progress: Progress,
}

impl Deletion<'_> {
    /// Whether somebody may still have to work on the deletion.
    fn is_unfinished(&self) -> bool {
        match self.progress {
            Progress::Due | Progress::Finalizing | Progress::Unanswered | Progress::Unserved => true,
            // The objects of a definition end with it, and may need an operator. All other terminating objects are up
            // to Kubernetes: if they counted, the pods of a workload would wait for a claim that waits for them.
            Progress::Terminating => self.stage == Stage::Definition,
            Progress::Refused => self.stage != Stage::Plain || self.is_finalized || is_custom(self.object.group()),
        }
    }

    fn is_definition(&self) -> bool {
        self.object.kind() == "CustomResourceDefinition"
    }

    /// Whether `definition` serves this object, and so has to wait for it. A definition that no longer serves any
    /// version does not wait, or it would wait for ever.
    fn needs(&self, definition: &Deletion<'_>) -> bool {
        // Both are named `x.group`, and neither a plural nor a version contains a dot.
        let Some((first, group)) = definition.object.name().split_once('.') else { return false };
        let is_kind = !definition.is_definition()
            || self.progress != Progress::Unserved
                && self.reference.resource.as_deref().is_none_or(|plural| plural == first);
        self.object.group() == group && is_kind
    }

    /// Whether `other` has to wait for this object.
    fn holds_up(&self, other: &Deletion<'_>) -> bool {
        self.change == other.change
            && match other.stage {
                Stage::Interceptor => false,
                Stage::Plain => self.stage == Stage::Interceptor && self.progress == Progress::Due,
                Stage::Definition => self.stage == Stage::Plain && self.needs(other),
                Stage::Finalized => self.stage <= Stage::Definition && self.is_unfinished(),
                Stage::Workload => {
                    let is_before = self.stage == Stage::Workload && self.is_finalized && !other.is_finalized;
                    (self.stage <= Stage::Finalized || is_before) && self.is_unfinished() || self.is_place_beside(other)
                }
                Stage::Configuration => self.stage == Stage::Workload,
                Stage::Support => {
                    self.stage == Stage::Workload
                        || self.stage <= Stage::Finalized && self.is_unfinished()
                        || self.is_place_beside(other)
                }
                Stage::Namespace => {
                    self.progress == Progress::Due
                        && self.stage != Stage::Namespace
                        && self.object.namespace() == other.object.name()
                }
            }
    }

    /// Whether this is a Namespace that waits for foreign finalizers, and `other` is outside of it. Objects inside go
    /// with it.
    fn is_place_beside(&self, other: &Deletion<'_>) -> bool {
        self.stage == Stage::Namespace
            && self.progress == Progress::Finalizing
            && self.object.name() != other.object.namespace()
    }

    /// Marks an object that needs others to finish its deletion. It must go while those others still run.
    fn set_finalized(&mut self) {
        self.is_finalized = true;
        if matches!(self.stage, Stage::Configuration | Stage::Support) {
            self.stage = Stage::Finalized;
        }
    }
}

/// Objects that must go, with the progress of each.
#[derive(Clone, Debug, Default)]
pub struct Deletions<'a>(Vec<Option<Deletion<'a>>>);

impl<'a> Deletions<'a> {
    /// Creates the deletions of undeclared objects. The field `dropped` of each reference names the change.
    /// `is_finalized` tells whether foreign finalizers will delay the deletion, as far as that is known.
    pub fn pruned(
        references: impl IntoIterator<Item = &'a ResourceReference>,
        is_finalized: impl Fn(&ObjectKey) -> bool,
    ) -> Self {
        let change = |reference: &'a ResourceReference| reference.dropped.as_deref().unwrap_or_default();
        Self::new(references, Stage::when_pruned, change, is_finalized)
    }

    /// Creates the deletions of objects that go with their ManagedResource. All count as one change, even objects that
    /// an earlier change has dropped.
    pub fn with_managed_resource(
        references: impl IntoIterator<Item = &'a ResourceReference>,
        is_finalized: impl Fn(&ObjectKey) -> bool,
    ) -> Self {
        Self::new(references, Stage::when_deleted, |_| "", is_finalized)
    }

    fn new(
        references: impl IntoIterator<Item = &'a ResourceReference>,
        stage: fn(&ObjectKey) -> Stage,
        change: fn(&'a ResourceReference) -> &'a str,
        is_finalized: impl Fn(&ObjectKey) -> bool,
    ) -> Self {
        let deletion = |reference: &'a ResourceReference| {
            let (object, change) = (reference.object_key(), change(reference));
            let (stage, progress) = (stage(&object), Progress::Due);
            let mut deletion = Deletion { reference, change, stage, object, is_finalized: false, progress };
            if is_finalized(&deletion.object) {
                deletion.set_finalized();
            }
            deletion
        };
        let mut deletions: Vec<Deletion<'_>> = references.into_iter().map(deletion).collect();
        let places: BTreeSet<String> =
            deletions.iter().map(|deletion| deletion.object.namespace().to_owned()).collect();
        for deletion in &mut deletions {
            if deletion.stage == Stage::Namespace && deletion.is_finalized && !places.contains(deletion.object.name()) {
                // Nothing inside the Namespace matters to others.
                deletion.stage = Stage::Finalized;
            }
        }
        Self(deletions.into_iter().map(Some).collect())
    }

    /// Returns the workloads whose pod templates the caller must read, because the same change dropped objects that
    /// they may reference.
    pub fn unread_workloads(&self) -> Vec<&'a ResourceReference> {
        let is_open = |deletion: &&Deletion<'_>| deletion.stage == Stage::Plain && is_nameable(&deletion.object);
        let places: BTreeSet<(&str, &str)> =
            self.iter().filter(is_open).map(|deletion| (deletion.change, deletion.object.namespace())).collect();
        let is_requested = |deletion: &&Deletion<'_>| {
            has_pod_template(&deletion.object.group_kind())
                && places.contains(&(deletion.change, deletion.object.namespace()))
        };
        self.iter().filter(is_requested).map(|deletion| deletion.reference).collect()
    }

    /// Keeps the objects that these pod templates reference until the workloads of the same change are gone.
    pub fn keep_for_pods(&mut self, named: &PodReferences) {
        let workloads = self.iter().filter(|deletion| deletion.stage == Stage::Workload);
        let changes: BTreeSet<&str> = workloads.map(|deletion| deletion.change).collect();
        for deletion in self.0.iter_mut().flatten() {
            if deletion.stage == Stage::Plain && changes.contains(deletion.change) && named.contains(&deletion.object) {
                deletion.stage = if deletion.is_finalized { Stage::Finalized } else { Stage::Support };
            }
        }
    }

    /// Returns the positions of objects that may go now and have not been tried.
    pub fn due(&self) -> Vec<Position> {
        let blockers = Blockers::of(self);
        let positions = Position::enumerate(&self.0);
        let due = positions.filter_map(|(position, deletion)| Some((position, deletion.as_ref()?)));
        let due = due.filter(|(_, deletion)| deletion.progress == Progress::Due && !blockers.delay_any(deletion));
        due.map(|(position, _)| position).collect()
    }

    /// Returns the object at a position.
    pub fn reference(&self, position: Position) -> Option<&'a ResourceReference> {
        self.get(position).map(|deletion| deletion.reference)
    }

    /// Records that the object at a position is gone, or that we must not delete it.
    pub fn finish(&mut self, position: Position) {
        if let Some(deletion) = position.of_mut(&mut self.0) {
            *deletion = None;
        }
    }

    /// Records the result of trying to delete the object at a position.
    pub fn set_progress(&mut self, position: Position, progress: Progress) {
        if let Some(Some(deletion)) = position.of_mut(&mut self.0) {
            deletion.progress = progress;
        }
    }

    /// Returns the progress of the object at a position; `None` if it is gone.
    pub fn progress(&self, position: Position) -> Option<Progress> {
        self.get(position).map(|deletion| deletion.progress)
    }

    /// Returns the positions of objects that still exist, in the original order.
    pub fn remaining(&self) -> impl Iterator<Item = Position> {
        Position::enumerate(&self.0).filter(|(_, deletion)| deletion.is_some()).map(|(position, _)| position)
    }

    /// Returns the objects that wait for the one at a position. This scans all objects, so call it for few positions
    /// only.
    pub fn waiting_for(&self, position: Position) -> Vec<&ObjectKey> {
        let Some(blocker) = self.get(position) else { return Vec::new() };
        let due = || self.iter().filter(|deletion| deletion.progress == Progress::Due);
        let waiting: Vec<&Deletion<'_>> = due().filter(|deletion| blocker.holds_up(deletion)).collect();
        // A Namespace waits for the waiting objects in it.
        let places: BTreeSet<&str> = waiting.iter().map(|deletion| deletion.object.namespace()).collect();
        let is_place = |other: &&Deletion<'_>| other.stage == Stage::Namespace && places.contains(other.object.name());
        waiting.iter().copied().chain(due().filter(is_place)).map(|deletion| &deletion.object).collect()
    }

    fn get(&self, position: Position) -> Option<&Deletion<'a>> {
        position.of(&self.0)?.as_ref()
    }

    fn iter(&self) -> impl Iterator<Item = &Deletion<'a>> {
        self.0.iter().flatten()
    }
}

/// One object of each sort that can hold up others. This avoids comparing tens of thousands of objects with each other.
struct Blockers<'a, 'b>(BTreeMap<Sort<'b>, &'b Deletion<'a>>);

/// What [`Deletion::holds_up`] looks at. Objects of one sort do not differ in it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Sort<'b> {
    change: &'b str,
    stage: Stage,
    progress: Progress,
    is_unfinished: bool,
    is_finalized: bool,
    group: &'b str,
    plural: Option<&'b str>,
    place: &'b str,
}

impl<'a, 'b> Blockers<'a, 'b> {
    fn of(deletions: &'b Deletions<'a>) -> Self {
        let sort = |deletion: &'b Deletion<'a>| {
            let Deletion { change, stage, progress, is_finalized, .. } = *deletion;
            let plural = deletion.reference.resource.as_deref();
            let object = &deletion.object;
            let place = if stage == Stage::Namespace { object.name() } else { object.namespace() };
            let group = object.group();
            let is_unfinished = deletion.is_unfinished();
            (Sort { change, stage, progress, is_unfinished, is_finalized, group, plural, place }, deletion)
        };
        Self(deletions.iter().map(sort).collect())
    }

    fn delay_any(&self, other: &Deletion<'_>) -> bool {
        self.0.values().any(|deletion| deletion.holds_up(other))
    }
}

#[cfg(test)]
mod tests;
