//! The order in which objects go.
//!
//! What finishes the deletion of an object (its operator, with all that the operator needs to run) outlives it. An order holds
//! among objects that one change has dropped; what was dropped by another change waits for none of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    PodReferences,
    pod_references::is_nameable,
    stage::{Stage, has_pod_template, is_custom},
};
use crate::{api::ResourceReference, key::ObjectKey};

/// How far the deletion of an object has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nothing was tried yet.
    Due,
    /// It is being deleted, and Kubernetes itself ends that.
    Terminating,
    /// It is being deleted; finalizers of others hold it.
    Finalizing,
    /// The server says no.
    Refused,
    /// Nobody knows whether it is being deleted: the server fails, or does not answer.
    Unanswered,
    /// Its kind is served by nobody.
    Unserved,
}

impl Progress {
    /// Whether deletion has begun.
    pub fn is_terminating(self) -> bool {
        matches!(self, Self::Terminating | Self::Finalizing)
    }
}

/// An object that has to go and is not gone.
#[derive(Clone, Debug)]
struct Deletion<'a> {
    reference: &'a ResourceReference,
    object: ObjectKey,
    /// The order holds among objects of one change.
    change: &'a str,
    stage: Stage,
    /// Finalizers of others will hold its deletion.
    is_finalized: bool,
    progress: Progress,
}

impl Deletion<'_> {
    /// Whether somebody may still have to work for its end.
    fn is_unfinished(&self) -> bool {
        match self.progress {
            Progress::Due | Progress::Finalizing | Progress::Unanswered | Progress::Unserved => true,
            // What a definition serves ends with it, and may need an operator. All else is up to Kubernetes: pods of a workload
            // would wait for a claim that waits for them.
            Progress::Terminating => self.stage == Stage::Definition,
            Progress::Refused => self.stage != Stage::Plain || self.is_finalized || is_custom(self.object.group()),
        }
    }

    fn is_definition(&self) -> bool {
        self.object.kind() == "CustomResourceDefinition"
    }

    /// Whether this one is served by a definition that has to wait for it. A definition that serves no version any more would
    /// wait for ever.
    fn needs(&self, definition: &Deletion<'_>) -> bool {
        // Both are named `x.group`, and neither a plural nor a version has a dot.
        let Some((first, group)) = definition.object.name().split_once('.') else { return false };
        let is_kind = !definition.is_definition()
            || self.progress != Progress::Unserved
                && self.reference.resource.as_deref().is_none_or(|plural| plural == first);
        self.object.group() == group && is_kind
    }

    /// Whether `other` has to wait for this one.
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

    /// Whether this is a Namespace that others have to finish, and `other` is not in it: what is goes with it.
    fn is_place_beside(&self, other: &Deletion<'_>) -> bool {
        self.stage == Stage::Namespace
            && self.progress == Progress::Finalizing
            && self.object.name() != other.object.namespace()
    }

    /// What others have to finish goes while they run.
    fn set_finalized(&mut self) {
        self.is_finalized = true;
        if matches!(self.stage, Stage::Configuration | Stage::Support) {
            self.stage = Stage::Finalized;
        }
    }
}

/// Objects that have to go, by how far that has come.
#[derive(Clone, Debug, Default)]
pub struct Deletions<'a>(Vec<Option<Deletion<'a>>>);

impl<'a> Deletions<'a> {
    /// Objects that are not declared any more. `dropped` of each reference tells by which change; `is_finalized`, whether
    /// finalizers of others will hold its deletion, as far as that is known.
    pub fn pruned(
        references: impl IntoIterator<Item = &'a ResourceReference>,
        is_finalized: impl Fn(&ObjectKey) -> bool,
    ) -> Self {
        let change = |reference: &'a ResourceReference| reference.dropped.as_deref().unwrap_or_default();
        Self::new(references, Stage::when_pruned, change, is_finalized)
    }

    /// Objects that go with their ManagedResource: by one change, also those that were dropped before and are still there.
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
                // Nothing that others need goes with it.
                deletion.stage = Stage::Finalized;
            }
        }
        Self(deletions.into_iter().map(Some).collect())
    }

    /// Workloads whose templates have to be known, because the same change has dropped what they may name.
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

    /// What these templates name stays until the workloads of the same change have ended.
    pub fn keep_for_pods(&mut self, named: &PodReferences) {
        let workloads = self.iter().filter(|deletion| deletion.stage == Stage::Workload);
        let changes: BTreeSet<&str> = workloads.map(|deletion| deletion.change).collect();
        for deletion in self.0.iter_mut().flatten() {
            if deletion.stage == Stage::Plain && changes.contains(deletion.change) && named.contains(&deletion.object) {
                deletion.stage = if deletion.is_finalized { Stage::Finalized } else { Stage::Support };
            }
        }
    }

    /// Positions of those that may go now and were not tried yet.
    pub fn due(&self) -> Vec<usize> {
        let blockers = Blockers::of(self);
        let positions = self.0.iter().enumerate();
        let due = positions.filter_map(|(position, deletion)| Some((position, deletion.as_ref()?)));
        let due = due.filter(|(_, deletion)| deletion.progress == Progress::Due && !blockers.delay_any(deletion));
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

    /// Objects that wait for the end of the one at a position. Looks at each object: to be asked of a few.
    pub fn waiting_for(&self, position: usize) -> Vec<&ObjectKey> {
        let Some(blocker) = self.get(position) else { return Vec::new() };
        let due = || self.iter().filter(|deletion| deletion.progress == Progress::Due);
        let waiting: Vec<&Deletion<'_>> = due().filter(|deletion| blocker.holds_up(deletion)).collect();
        // A Namespace waits for what waits in it.
        let places: BTreeSet<&str> = waiting.iter().map(|deletion| deletion.object.namespace()).collect();
        let is_place = |other: &&Deletion<'_>| other.stage == Stage::Namespace && places.contains(other.object.name());
        waiting.iter().copied().chain(due().filter(is_place)).map(|deletion| &deletion.object).collect()
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
type Sort<'b> = (&'b str, Stage, Progress, bool, bool, &'b str, Option<&'b str>, &'b str);

impl<'a, 'b> Blockers<'a, 'b> {
    fn of(deletions: &'b Deletions<'a>) -> Self {
        let sort = |deletion: &'b Deletion<'a>| {
            let Deletion { change, stage, progress, is_finalized, .. } = *deletion;
            let plural = deletion.reference.resource.as_deref();
            let object = &deletion.object;
            let place = if stage == Stage::Namespace { object.name() } else { object.namespace() };
            let group = object.group();
            let is_unfinished = deletion.is_unfinished();
            ((change, stage, progress, is_unfinished, is_finalized, group, plural, place), deletion)
        };
        Self(deletions.iter().map(sort).collect())
    }

    fn delay_any(&self, other: &Deletion<'_>) -> bool {
        self.0.values().any(|deletion| deletion.holds_up(other))
    }
}

#[cfg(test)]
mod tests;
