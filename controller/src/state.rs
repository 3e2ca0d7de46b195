//! What the process knows: ManagedResources, what was written of each object, what the watches have said since.
//!
//! One lock, held for moments and never across an await. Several tasks write; each write is a whole fact.

mod autoscalers;
mod contention;
mod due_writes;
mod foreign_crd;
mod managed_resources;
mod manifests;
mod objects;
mod pauses;
mod waiting;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_core::{
    api::{ManagedResource, Repair, ResourceReference, Status},
    digest::Digest,
    field_ownership::{Reach, preserve::Preserve},
    inventory::{
        drift::{Applied, Live, Observed, State},
        equivalence::Equivalences,
        index::Index,
        plan::{self, Plan},
        responsibility::{Phase, phase},
    },
    key::{GroupKind, NamespacedName, ObjectKey},
    manifest::Desired,
    names,
    pause::Pauses,
    status::APPLIED,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::desired::DesiredSet;
use autoscalers::Autoscaled;
pub use autoscalers::NO_ANSWER;
use objects::Objects;
pub use objects::Written;

/// The knowledge. Empty at start.
pub struct World {
    inner: Mutex<Inner>,
    class: String,
    default_repair: Repair,
}

#[derive(Default)]
struct Inner {
    mrs: BTreeMap<NamespacedName, Arc<ManagedResource>>,
    index: Index,
    loaded: BTreeMap<NamespacedName, Arc<DesiredSet>>,
    /// Versions of referenced Secrets that the watch has spoken of; `None` for those that are gone.
    secrets: BTreeMap<NamespacedName, Option<String>>,
    objects: Objects,
    /// Objects that a ManagedResource declares and another one holds.
    awaited: BTreeMap<NamespacedName, BTreeSet<ObjectKey>>,
    /// Objects that watches have spoken of since the last pass.
    changed: BTreeMap<NamespacedName, BTreeSet<ObjectKey>>,
    /// ManagedResources that were planned since the start, or cannot be.
    planned: BTreeSet<NamespacedName>,
    /// ManagedResources of which somebody has asked that everything be applied, and nothing is planned yet.
    asked: BTreeSet<NamespacedName>,
    /// The CustomResourceDefinition of somebody else does not keep what is ours in an inventory.
    is_lossy: bool,
    is_lossy_told: bool,
    /// ManagedResources whose inventory remembers what the controller of another class observed.
    inherited: BTreeSet<NamespacedName>,
    /// ManagedResources of whose inventory the server has dropped what is ours.
    lacking: BTreeSet<NamespacedName>,
    /// Of these, those whose status is to be written again, since the server may keep it now.
    rewrites: BTreeSet<NamespacedName>,
    autoscaled: Autoscaled,
}

/// How a pass is to treat what it finds.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// What others changed is put right.
    pub repair: bool,
    /// Positions of objects that exist, are not ours and are not to be taken over.
    pub refused: BTreeSet<usize>,
    /// Pauses that last.
    pub pauses: Pauses,
    /// There is a garbage collector.
    pub garbage_collector: bool,
}

/// A watch has spoken of something that a ManagedResource has to look at.
#[derive(Clone, Debug)]
pub struct Noticed {
    /// The ManagedResource.
    pub mr: NamespacedName,
    /// The first sign of a change by others.
    pub is_first: bool,
    /// It is left until the next sync.
    pub is_left: bool,
}

impl Inner {
    fn remove(&mut self, key: &NamespacedName) {
        self.index.remove(key);
        self.loaded.remove(key);
        self.awaited.remove(key);
        self.planned.remove(key);
        self.asked.remove(key);
        self.changed.remove(key);
        self.forget_scaled(key);
        self.inherited.remove(key);
        self.lacking.remove(key);
        self.rewrites.remove(key);
        if let Some(mr) = self.mrs.remove(key) {
            for reference in mr.inventory() {
                self.objects.forget(&reference.object_key());
            }
        }
    }
}

impl World {
    /// Nothing is known yet. `class` says which ManagedResources are ours, `default_repair` when drift is put right where
    /// they do not say.
    pub fn new(class: &str, default_repair: Repair) -> Self {
        Self { inner: Mutex::default(), class: class.to_owned(), default_repair }
    }

    /// A ManagedResource as last seen.
    pub fn mr(&self, key: &NamespacedName) -> Option<Arc<ManagedResource>> {
        self.lock().mrs.get(key).cloned()
    }

    /// Forgets a ManagedResource and what was known of its objects.
    pub fn remove(&self, key: &NamespacedName) {
        self.lock().remove(key);
    }

    /// Names of all ManagedResources.
    pub fn keys(&self) -> BTreeSet<NamespacedName> {
        self.lock().mrs.keys().cloned().collect()
    }

    /// Plans a pass and claims its new objects in one step, so that two ManagedResources never both take one.
    pub fn plan_and_claim(&self, mr: &ManagedResource, loaded: &DesiredSet, how: &How) -> Plan {
        let mut inner = self.lock();
        let key = mr.key();
        let left_alone = inner.awaited_by_others(&key).flatten().cloned().collect();
        let input = plan::Input {
            mr: &key,
            inventory: mr.inventory(),
            desired: &loaded.objects,
            complete: loaded.is_complete(),
            index: &inner.index,
            refused: &how.refused,
            left_alone: &left_alone,
            released: &loaded.orphaned,
            garbage_collector: how.garbage_collector,
            pauses: &how.pauses,
            equivalences: &Equivalences::of(mr),
            unknown: &loaded.unknown,
            change: loaded.change(),
        };
        let now = inner.objects.now();
        let plan =
            plan::plan(&input, |position, object| match inner.objects.state(&object.key, loaded.digest(position)) {
                State::InSync if inner.objects.is_owed(&object.key) && !how.pauses.matches(&object.key) => {
                    State::Outdated
                }
                state @ (State::Drifted | State::Missing)
                    if !how.repair && inner.objects.may_wait(&object.key, state) =>
                {
                    State::InSync
                }
                State::Drifted | State::Missing if !inner.objects.fights.wait(&object.key, now).is_zero() => {
                    State::Contested
                }
                state => state,
            });
        inner.owe_planned(&plan, loaded, how.repair);
        inner.await_objects(&key, &plan, loaded);
        inner.planned.insert(mr.key());
        inner.asked.remove(&mr.key());
        // All objects were looked at.
        inner.changed.remove(&mr.key());
        if plan.write_ahead {
            let mut claimed = mr.clone();
            claimed.status.get_or_insert_with(Status::default).resources.clone_from(&plan.inventory);
            inner.index.upsert(&claimed);
        }
        plan
    }

    /// Nobody is to wait for the plan of this ManagedResource any more: there is none at present.
    pub fn cannot_plan(&self, key: &NamespacedName) {
        self.lock().planned.insert(key.clone());
    }

    /// Whether every ManagedResource of ours was planned since the start. Before, nobody knows what is wanted.
    pub fn is_everyone_planned(&self) -> bool {
        let inner = self.lock();
        let mut held = inner.mrs.iter().filter(|(_, mr)| phase(mr, &self.class) == Phase::Held);
        held.all(|(key, _)| inner.planned.contains(key))
    }

    /// Uid to guard a write with: of the object as last seen, unless it is known to be gone.
    pub fn uid(&self, object: &ObjectKey) -> Option<String> {
        self.lock().objects.latest(object).map(|observed| observed.uid.clone())
    }

    /// The object as last seen, by watch or by our own write; `None` if it is gone or unknown.
    pub fn latest(&self, object: &ObjectKey) -> Option<Observed> {
        self.lock().objects.latest(object).cloned()
    }

    /// Whether finalizers of others will hold the deletion of an object, as far as it has been seen.
    pub fn is_finalized(&self, object: &ObjectKey) -> bool {
        self.lock().objects.latest(object).is_some_and(|observed| observed.finalized)
    }

    /// What a watch has said last about an object that is there.
    pub fn live(&self, object: &ObjectKey) -> Option<Observed> {
        self.lock().objects.live(object).cloned()
    }

    /// Generation after our last write, for kinds that have one.
    pub fn written_generation(&self, object: &ObjectKey) -> Option<i64> {
        self.lock().objects.written_generation(object)
    }

    /// How an object stands.
    pub fn state(&self, object: &ObjectKey, manifest: Digest) -> State {
        self.lock().objects.state(object, manifest)
    }

    /// From now on this of an object is left to others.
    pub fn leave(&self, object: &Desired) {
        self.lock().objects.leave(&object.key, object.preserve);
    }

    /// Whether we have released what of an object is left to others.
    pub fn has_released(&self, object: &Desired) -> bool {
        self.lock().objects.has_released(&object.key, object.preserve)
    }

    /// A write is on its way, until the guard is dropped or [`World::applied`] is told the answer.
    pub fn writing<'a>(&'a self, object: &'a ObjectKey) -> WritingGuard<'a> {
        self.lock().objects.begin_writing(object);
        WritingGuard { world: self, object }
    }

    /// Records an accepted write. What a watch says later counts against it; what it said before does not any more.
    pub fn applied(&self, mr: &NamespacedName, object: &ObjectKey, applied: Applied) -> Written {
        let mut inner = self.lock();
        let written = inner.objects.applied(object, applied);
        if written.is_changed_again {
            inner.changed.entry(mr.clone()).or_default().insert(object.clone());
        }
        written
    }

    /// Objects of a ManagedResource that watches have spoken of since the last call or plan.
    pub fn take_changed(&self, mr: &NamespacedName) -> BTreeSet<ObjectKey> {
        self.lock().changed.remove(mr).unwrap_or_default()
    }

    /// Notes how the object had to be written. Returns whether it is the first time that it had to be written plainly.
    pub fn set_fallback(&self, object: &ObjectKey, is_fallback: bool) -> bool {
        self.lock().objects.set_fallback(object, is_fallback)
    }

    /// Writes down in an inventory what was applied of its objects.
    pub fn remember(&self, references: &mut [ResourceReference]) {
        self.lock().objects.remember(references);
    }

    /// Objects of an inventory that others have marked to be kept; their manifests do not say so.
    pub fn kept_by_others(&self, references: &[ResourceReference]) -> Vec<ObjectKey> {
        let inner = self.lock();
        let is_declared = |reference: &ResourceReference| {
            reference.annotations.get(names::ANNOTATION_KEEP_OBJECT).is_some_and(names::is_truthy)
        };
        let kept = references.iter().filter(|reference| !is_declared(reference)).map(ResourceReference::object_key);
        kept.filter(|object| inner.objects.latest(object).is_some_and(|observed| observed.kept == Some(true))).collect()
    }

    /// The object is to be written without a guard: the one we knew is gone.
    pub fn unguard(&self, object: &ObjectKey) {
        self.lock().objects.unguard(object);
    }

    /// Forgets an object: it is not ours any more.
    pub fn forget(&self, object: &ObjectKey) {
        self.lock().objects.forget(object);
    }

    /// The watch does not see an object any more although it is there: it is being deleted, and somebody took its label.
    pub fn set_hidden(&self, object: &ObjectKey) {
        self.lock().objects.set_hidden(object);
    }

    /// Whether the watch will not tell of the end of an object.
    pub fn is_hidden(&self, object: &ObjectKey) -> bool {
        self.lock().objects.is_hidden(object)
    }

    /// What of an object is left to others, and what of it is held, for reading what a watch says; `None` if that only
    /// repeats what is known.
    pub fn unless_echo(&self, object: &ObjectKey, metadata: &ObjectMeta) -> Option<(Preserve, Reach)> {
        let inner = self.lock();
        if inner.objects.is_echo(object, metadata) {
            return None;
        }
        let reach = inner.index.owner_of(object).map_or_else(Reach::default, |owner| owner.reach.of_object(object));
        Some((inner.objects.preserve(object), reach))
    }

    /// Takes in what a watch says. `gone` is the uid of an object that ended, where it is told.
    pub fn observe(&self, object: &ObjectKey, live: Live, gone: Option<&str>) -> Option<Noticed> {
        let mut inner = self.lock();
        let mr = inner.index.owner_of(object)?.key.clone();
        let needs_no_mark = pauses::needs_no_mark(&live);
        let (state, is_first) = inner.objects.observe(object, live, gone)?;
        if needs_no_mark && inner.is_paused(&mr, object) {
            // Nothing is to be done before the end.
            inner.objects.forget_notice(object);
            return None;
        }
        inner.changed.entry(mr.clone()).or_default().insert(object.clone());
        let repair = inner.mrs.get(&mr).map_or(self.default_repair, |mr| mr.repair(self.default_repair));
        Some(Noticed { mr, is_first, is_left: repair == Repair::Resync && state != State::Terminating })
    }

    /// Held objects of a kind, for comparing with a complete list of a watch.
    pub fn held_of_kind(&self, kind: &GroupKind) -> BTreeSet<ObjectKey> {
        self.lock().objects.of_kind(kind)
    }

    /// Kinds of all objects that are held.
    pub fn kinds(&self) -> BTreeSet<GroupKind> {
        self.lock().index.kinds()
    }

    /// Numbers of ManagedResources and of objects in their inventories, by the reason of `ResourcesApplied`.
    pub fn by_state(&self) -> BTreeMap<String, (usize, usize)> {
        let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for mr in self.lock().mrs.values().filter(|mr| phase(mr, &self.class) != Phase::NotOurs) {
            let conditions = mr.status.iter().flat_map(|status| &status.conditions);
            let reason = conditions.filter(|condition| condition.type_ == APPLIED).map(|c| c.reason.clone()).next();
            let (mrs, objects) = counts.entry(reason.unwrap_or_else(|| "New".to_owned())).or_default();
            *mrs += 1;
            *objects += mr.inventory().len();
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As long as it lives, a write of an object is on its way.
#[must_use = "the write counts as over when the guard is dropped"]
pub struct WritingGuard<'a> {
    world: &'a World,
    object: &'a ObjectKey,
}

impl Drop for WritingGuard<'_> {
    fn drop(&mut self) {
        self.world.lock().objects.end_writing(self.object);
    }
}
