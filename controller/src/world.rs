//! What the process knows: ManagedResources, what was written of each object, what the watches have said since.
//!
//! One lock, held for moments and never across an await. Several tasks write; each write is a whole fact.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_core::{
    api::{ManagedResource, ResourceReference, Status},
    digest::Digest,
    drift::{self, Applied, Live, Observed, State},
    key::{GroupKind, NamespacedName, ObjectKey},
    ownership::Index,
    plan::{self, Plan},
};

use crate::load::Loaded;

/// The knowledge. Empty at start.
#[derive(Default)]
pub struct World(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    mrs: BTreeMap<NamespacedName, Arc<ManagedResource>>,
    index: Index,
    loaded: BTreeMap<NamespacedName, Arc<Loaded>>,
    /// Versions of referenced Secrets that the watch has spoken of; `None` for those that are gone.
    secrets: BTreeMap<NamespacedName, Option<String>>,
    objects: HashMap<ObjectKey, Record>,
    /// Objects that a ManagedResource declares and another one holds.
    awaited: BTreeMap<NamespacedName, BTreeSet<ObjectKey>>,
}

impl Inner {
    fn awaited_by_others(&self, mr: &NamespacedName) -> BTreeSet<ObjectKey> {
        let is_live = |key: &NamespacedName| self.mrs.get(key).is_some_and(|mr| !mr.is_deleting());
        let others = self.awaited.iter().filter(|(key, _)| *key != mr && is_live(key));
        others.flat_map(|(_, objects)| objects.iter().cloned()).collect()
    }

    fn state(&self, object: &ObjectKey, manifest: Digest) -> State {
        let record = self.objects.get(object);
        record.map_or(State::Outdated, |record| drift::state(manifest, record.applied.as_ref(), &record.live))
    }
}

/// What is known of an object.
#[derive(Default)]
struct Record {
    applied: Option<Applied>,
    /// This process has written the object.
    is_own: bool,
    live: Live,
}

impl World {
    /// A ManagedResource as last seen.
    pub fn mr(&self, key: &NamespacedName) -> Option<Arc<ManagedResource>> {
        self.lock().mrs.get(key).cloned()
    }

    /// Takes in a ManagedResource; false when it is not newer than what is known, such as the echo of our own write.
    pub fn upsert(&self, mr: ManagedResource) -> bool {
        let key = mr.key();
        let mut inner = self.lock();
        if inner.mrs.get(&key).is_some_and(|known| !is_newer(&mr, known)) {
            return false;
        }
        inner.index.upsert(&mr);
        // What another process wrote down: an earlier one, or the one that leads while we wait. Our own memory is newer.
        for reference in mr.inventory() {
            let record = inner.objects.entry(reference.object_key()).or_default();
            if !record.is_own {
                record.applied = Applied::recall(reference);
            }
        }
        inner.mrs.insert(key, Arc::new(mr));
        true
    }

    /// Forgets a ManagedResource and what was known of its objects.
    pub fn remove(&self, key: &NamespacedName) {
        let mut inner = self.lock();
        inner.index.remove(key);
        inner.loaded.remove(key);
        inner.awaited.remove(key);
        if let Some(mr) = inner.mrs.remove(key) {
            for reference in mr.inventory() {
                inner.objects.remove(&reference.object_key());
            }
        }
    }

    /// Names of all ManagedResources.
    pub fn keys(&self) -> BTreeSet<NamespacedName> {
        self.lock().mrs.keys().cloned().collect()
    }

    /// Numbers of ManagedResources and of objects in their inventories.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.index.owner_count(), inner.index.object_count())
    }

    /// ManagedResources that reference a Secret and have not loaded exactly this version of it. Their loaded manifests are
    /// dropped. `None` for a Secret that is gone.
    pub fn secret_changed(&self, secret: &NamespacedName, version: Option<&str>) -> Vec<NamespacedName> {
        let mut inner = self.lock();
        let users: Vec<NamespacedName> = inner.index.users_of_secret(secret).into_iter().cloned().collect();
        if users.is_empty() {
            inner.secrets.remove(secret);
            return users;
        }
        inner.secrets.insert(secret.clone(), version.map(str::to_owned));
        let is_current = |loaded: &Arc<Loaded>| loaded.has_version(&secret.name, version);
        let outdated: Vec<_> =
            users.into_iter().filter(|user| !inner.loaded.get(user).is_some_and(is_current)).collect();
        for user in &outdated {
            inner.loaded.remove(user);
        }
        outdated
    }

    /// Secrets that loaded manifests come from.
    pub fn loaded_secrets(&self) -> BTreeSet<NamespacedName> {
        let inner = self.lock();
        let names = inner
            .loaded
            .iter()
            .flat_map(|(mr, loaded)| loaded.secrets().map(|name| NamespacedName::new(&mr.namespace, name)));
        names.collect()
    }

    /// Loaded manifests of a ManagedResource, unless a Secret changed while they were read.
    pub fn loaded(&self, key: &NamespacedName) -> Option<Arc<Loaded>> {
        let inner = self.lock();
        let loaded = inner.loaded.get(key)?;
        let is_current = |name: &String| {
            let known = inner.secrets.get(&NamespacedName::new(&key.namespace, name));
            known.is_none_or(|version| loaded.has_version(name, version.as_deref()))
        };
        loaded.secrets().all(is_current).then(|| Arc::clone(loaded))
    }

    /// Keeps loaded manifests until one of their Secrets changes.
    pub fn keep_loaded(&self, key: &NamespacedName, loaded: Arc<Loaded>) {
        self.lock().loaded.insert(key.clone(), loaded);
    }

    /// Plans a pass and claims its new objects in one step, so that two ManagedResources never both take one. With `force`
    /// everything counts as outdated.
    pub fn plan_and_claim(&self, mr: &ManagedResource, loaded: &Loaded, force: bool) -> Plan {
        let mut inner = self.lock();
        let key = mr.key();
        let mut left_alone = inner.awaited_by_others(&key);
        left_alone.extend(loaded.released.iter().cloned());
        let input = plan::Input {
            mr: &key,
            inventory: mr.inventory(),
            desired: &loaded.desired,
            complete: loaded.is_complete(),
            index: &inner.index,
            left_alone: &left_alone,
        };
        let plan = plan::plan(&input, |position, object| match inner.state(&object.key, loaded.digest(position)) {
            State::InSync if force => State::Outdated,
            state => state,
        });
        let waits: BTreeSet<ObjectKey> = plan
            .conflicts
            .iter()
            .filter_map(|(position, _)| Some(loaded.desired.get(*position)?.key.clone()))
            .collect();
        if waits.is_empty() {
            inner.awaited.remove(&key);
        } else {
            inner.awaited.insert(key, waits);
        }
        if plan.write_ahead {
            let mut claimed = mr.clone();
            claimed.status.get_or_insert_with(Status::default).resources.clone_from(&plan.inventory);
            inner.index.upsert(&claimed);
        }
        plan
    }

    /// Uid to guard a write with: of the object as last seen, unless it is known to be gone.
    pub fn uid(&self, object: &ObjectKey) -> Option<String> {
        let inner = self.lock();
        let record = inner.objects.get(object)?;
        match &record.live {
            Live::Gone => None,
            Live::Present(observed) => Some(observed.uid.clone()),
            Live::Unknown => Some(record.applied.as_ref()?.observed.uid.clone()),
        }
    }

    /// What a watch has said last about an object that is there.
    pub fn live(&self, object: &ObjectKey) -> Option<Observed> {
        match &self.lock().objects.get(object)?.live {
            Live::Present(observed) => Some(observed.clone()),
            Live::Gone | Live::Unknown => None,
        }
    }

    /// How an object stands.
    pub fn state(&self, object: &ObjectKey, manifest: Digest) -> State {
        self.lock().state(object, manifest)
    }

    /// Records an accepted write. What a watch says later counts against it; what it said before does not any more.
    pub fn applied(&self, object: &ObjectKey, manifest: Digest, observed: Observed) {
        let mut inner = self.lock();
        let record = inner.objects.entry(object.clone()).or_default();
        if record.live == Live::Gone {
            record.live = Live::Unknown;
        }
        (record.applied, record.is_own) = (Some(Applied { manifest, observed }), true);
    }

    /// Writes down in an inventory what was applied of its objects.
    pub fn remember(&self, references: &mut [ResourceReference]) {
        let inner = self.lock();
        for reference in references {
            let applied = inner.objects.get(&reference.object_key()).and_then(|record| record.applied.as_ref());
            if let Some(applied) = applied {
                applied.remember(reference);
            }
        }
    }

    /// Forgets an object: it is not ours any more, or must be applied without a guard.
    pub fn forget(&self, object: &ObjectKey) {
        self.lock().objects.remove(object);
    }

    /// Takes in what a watch says. Returns the ManagedResource that has to look at it.
    pub fn observe(&self, object: &ObjectKey, live: Live) -> Option<NamespacedName> {
        let mut inner = self.lock();
        let owner = inner.index.owner_of(object)?.key.clone();
        let record = inner.objects.entry(object.clone()).or_default();
        record.live = live;
        let matters = match (&record.applied, &record.live) {
            (_, Live::Gone) => true,
            (Some(applied), live) => drift::state(applied.manifest, Some(applied), live) != State::InSync,
            // The pass that writes it first is on its way.
            (None, _) => false,
        };
        matters.then_some(owner)
    }

    /// Held objects of a kind, for comparing with a complete list of a watch.
    pub fn held_of_kind(&self, kind: &GroupKind) -> Vec<ObjectKey> {
        let inner = self.lock();
        inner.objects.keys().filter(|key| key.kind == kind.kind && key.group == kind.group).cloned().collect()
    }

    /// ManagedResources that wait for one of these objects.
    pub fn waiting_for(&self, objects: &BTreeSet<ObjectKey>) -> Vec<NamespacedName> {
        let inner = self.lock();
        let waiting = inner.awaited.iter().filter(|(_, awaited)| !awaited.is_disjoint(objects));
        waiting.map(|(mr, _)| mr.clone()).collect()
    }

    /// Whether another ManagedResource, which is not being deleted, holds an object too, or waits for it.
    pub fn is_wanted_by_another(&self, object: &ObjectKey, mr: &NamespacedName) -> bool {
        let inner = self.lock();
        if inner.awaited_by_others(mr).contains(object) {
            return true;
        }
        let mut others = inner.index.claimants(object).filter(|key| *key != mr);
        others.any(|key| inner.index.get(key).is_some_and(|owner| !owner.deleting))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resource versions of one kind are ordered numbers; another uid is another object.
fn is_newer(new: &ManagedResource, known: &ManagedResource) -> bool {
    let version =
        |mr: &ManagedResource| mr.metadata.resource_version.as_ref().and_then(|text| text.parse::<u64>().ok());
    match (version(new), version(known)) {
        (Some(new_version), Some(known_version)) if new.metadata.uid == known.metadata.uid => {
            new_version > known_version
        }
        _ => new.metadata.resource_version != known.metadata.resource_version,
    }
}
