//! What must hold. Plain bookkeeping: who declares what, who holds what, and what the rules make of the rest. It knows
//! nothing of how the controller decides.
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holdfast_core::api::{Protection, SecretReference, Spec};
use holdfast_core::key::ObjectKey;
use holdfast_core::names;
use serde_json::{Value, json};

use super::kinds::Kind;

/// Of an object, the last so many acts are remembered.
const REMEMBERED: usize = 12;

/// How the manifest of an object wants it to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Plain,
    /// `mode: EnsureExists`.
    Ensured,
    /// The annotation `ignore`.
    Ignored,
    /// `mode: Ignore`.
    Released,
    /// `preserve-replicas`.
    Preserved,
    /// `keep-object`.
    Retained,
    /// `immutable`, a ConfigMap.
    Frozen,
    /// `delete-on-invalid-update`; each change of the value is invalid as an update.
    Replaced,
}

impl Rule {
    fn annotations(self) -> Value {
        match self {
            Self::Plain | Self::Frozen => json!({}),
            Self::Ensured => json!({names::ANNOTATION_MODE: "EnsureExists"}),
            Self::Ignored => json!({names::ANNOTATION_IGNORE: "true"}),
            Self::Released => json!({names::ANNOTATION_MODE: "Ignore"}),
            Self::Preserved => json!({names::ANNOTATION_PRESERVE_REPLICAS: "true"}),
            Self::Retained => json!({names::ANNOTATION_KEEP_OBJECT: "true"}),
            Self::Replaced => json!({names::ANNOTATION_DELETE_ON_INVALID: "true"}),
        }
    }

    /// Whether another value makes another object.
    pub fn replaces(self) -> bool {
        matches!(self, Self::Frozen | Self::Replaced)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    pub value: u64,
    pub rule: Rule,
}

impl Declared {
    pub fn manifest(self, key: &ObjectKey) -> Value {
        let kind = Kind::of(key);
        let mut whole = kind.content(self.value, key.name());
        whole["apiVersion"] = kind.api_version().into();
        whole["kind"] = kind.name().into();
        let labels = json!({"soak": format!("v{}", self.value % 5)});
        whole["metadata"] = json!({"name": key.name(), "annotations": self.rule.annotations(), "labels": labels});
        if kind.is_namespaced() {
            whole["metadata"]["namespace"] = key.namespace().into();
        }
        if self.rule == Rule::Frozen {
            whole["immutable"] = true.into();
        }
        whole
    }
}

/// How a Secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Good,
    /// One document more, which cannot be read.
    Torn,
    /// Nothing of it can be read.
    Broken,
    Missing,
}

#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub health: Health,
    pub objects: BTreeMap<ObjectKey, Declared>,
}

impl Source {
    fn is_read(&self) -> bool {
        matches!(self.health, Health::Good | Health::Torn)
    }
}

/// What was done to a ManagedResource since the last quiet moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touch {
    None,
    /// Other objects or values are declared. May come again.
    Edited,
    /// Something that must not meet another change on its way, because the order in which both are seen would matter.
    Changed,
}

#[derive(Debug, Clone)]
pub struct Mr {
    pub name: String,
    pub class: usize,
    /// The class of the controller whose finalizer it has.
    pub managed_by: usize,
    pub keep_objects: bool,
    pub forces_labels: bool,
    pub team: u64,
    pub is_paused: bool,
    pub sources: Vec<Source>,
    /// The objects that must be in `status.resources`.
    pub inventory: BTreeSet<ObjectKey>,
    pub touch: Touch,
}

impl Mr {
    pub fn spec(&self, classes: &[String]) -> Spec {
        Spec {
            class: Some(classes[self.class].clone()),
            secret_refs: self.sources.iter().map(|source| SecretReference { name: source.name.clone() }).collect(),
            inject_labels: Some(self.labels()),
            keep_objects: Some(self.keep_objects),
            force_overwrite_labels: Some(self.forces_labels),
            protection: Some(Protection::default()),
            ..Spec::default()
        }
    }

    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("team".to_owned(), format!("t{}", self.team))])
    }

    /// What the readable Secrets declare.
    pub fn declared(&self) -> impl Iterator<Item = (&ObjectKey, Declared)> {
        self.sources.iter().filter(|source| source.is_read()).flat_map(|source| &source.objects).map(|(k, d)| (k, *d))
    }

    /// Those of them that it is to hold.
    pub fn desired(&self) -> impl Iterator<Item = (&ObjectKey, Declared)> {
        self.declared().filter(|(_, declared)| declared.rule != Rule::Released)
    }

    pub fn is_complete(&self) -> bool {
        self.sources.iter().all(|source| source.health == Health::Good)
    }

    /// Everything that it declares or holds, readable or not.
    pub fn keys(&self) -> BTreeSet<ObjectKey> {
        let declared = self.sources.iter().flat_map(|source| source.objects.keys());
        declared.chain(&self.inventory).cloned().collect()
    }

    /// What it declares and somebody else holds.
    pub fn waits_for(&self) -> Vec<&ObjectKey> {
        self.desired().map(|(key, _)| key).filter(|key| !self.inventory.contains(*key)).collect()
    }
}

/// Whether an object that nobody takes care of is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    No,
    Yes,
    /// It depends on who was faster.
    Either,
}

/// What is known of an object.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, and any of them may go with any other")]
pub struct Thing {
    pub remaining: Presence,
    /// Of the last quiet moment, as long as it must not have been created anew.
    pub uid: Option<String>,
    /// Its declaration has changed since the last quiet moment, or what becomes of it.
    pub is_fresh: bool,
    /// Alice has deleted it since the last quiet moment.
    pub is_deleted: bool,
    /// It is to live on, by its manifest or by alice.
    pub is_retained: bool,
    /// It is only to be there, and was there without our label: no watch sees it, so its end is noticed later.
    pub is_bare: bool,
    /// What alice wrote under `alice` to its data when it was hers to change.
    pub edit: Option<String>,
    /// What alice wrote to a label of hers.
    pub label: Option<String>,
    /// Replicas, where they are left alone.
    pub replicas: Option<u64>,
    /// The value that it was last declared with.
    pub value: Option<u64>,
    pub history: VecDeque<String>,
}

impl Default for Thing {
    fn default() -> Self {
        Self {
            remaining: Presence::No,
            uid: None,
            is_fresh: true,
            is_deleted: false,
            is_retained: false,
            is_bare: false,
            edit: None,
            label: None,
            replicas: None,
            value: None,
            history: VecDeque::new(),
        }
    }
}

impl Thing {
    /// It may be another one from now on.
    pub fn renew(&mut self) {
        (self.uid, self.edit, self.label, self.replicas) = (None, None, None, None);
    }

    /// Nobody takes care of it from now on.
    pub fn release(&mut self) {
        if self.is_deleted && self.remaining == Presence::Yes {
            self.remaining = Presence::Either;
        }
    }

    pub fn describe(&mut self, what: String) {
        self.history.push_back(what);
        if self.history.len() > REMEMBERED {
            self.history.pop_front();
        }
    }
}

/// What must be true of an object at a quiet moment.
#[derive(Debug, Clone, Copy)]
pub enum Expected<'a> {
    Absent,
    /// Exactly as this ManagedResource declares it.
    Applied(&'a Mr, Declared),
    /// There, with our label that says `off`.
    Ensured(&'a Mr),
    /// There, whatever it looks like.
    Alive,
    Free,
}

#[derive(Debug, Default)]
pub struct Model {
    pub mrs: BTreeMap<String, Mr>,
    pub things: BTreeMap<ObjectKey, Thing>,
}

impl Model {
    pub fn thing(&mut self, key: &ObjectKey) -> &mut Thing {
        self.things.entry(key.clone()).or_default()
    }

    pub fn holder(&self, key: &ObjectKey) -> Option<&Mr> {
        self.mrs.values().find(|mr| mr.inventory.contains(key))
    }

    /// Whether anybody declares or holds it.
    pub fn is_claimed(&self, key: &ObjectKey) -> bool {
        self.mrs.values().any(|mr| mr.keys().contains(key))
    }

    /// Others that declare one of its objects, or whose objects it declares.
    pub fn is_contested(&self, name: &str) -> bool {
        let keys = self.mrs[name].keys();
        self.mrs.values().any(|other| other.name != name && !other.keys().is_disjoint(&keys))
    }

    pub fn expected(&self, key: &ObjectKey) -> Expected<'_> {
        let managed = self.holder(key).filter(|mr| !mr.is_paused);
        let desired = managed.and_then(|mr| mr.desired().find(|(desired, _)| *desired == key).map(|(_, d)| (mr, d)));
        let (remaining, is_bare) =
            self.things.get(key).map_or((Presence::No, false), |thing| (thing.remaining, thing.is_bare));
        match desired {
            Some(_) if is_bare && remaining != Presence::Yes => Expected::Free,
            Some(_) if is_bare => Expected::Alive,
            Some((mr, Declared { rule: Rule::Ensured, .. })) => Expected::Ensured(mr),
            Some((mr, declared)) => Expected::Applied(mr, declared),
            None => match remaining {
                Presence::No => Expected::Absent,
                Presence::Yes => Expected::Alive,
                Presence::Either => Expected::Free,
            },
        }
    }

    /// What becomes of the objects of a ManagedResource after it was changed.
    pub fn pass(&mut self, name: &str) {
        let mr = self.mrs[name].clone();
        if mr.is_paused {
            return;
        }
        if mr.managed_by != mr.class {
            self.let_go(name);
            self.mrs.get_mut(name).expect("it is there").managed_by = mr.class;
        }
        let declared: BTreeMap<ObjectKey, Declared> = mr.declared().map(|(key, one)| (key.clone(), one)).collect();
        for (key, one) in &declared {
            let inventory = &mut self.mrs.get_mut(name).expect("it is there").inventory;
            if one.rule == Rule::Released {
                if inventory.remove(key) {
                    self.thing(key).release();
                    self.hand_over(name, key);
                }
                continue;
            }
            let is_new = !inventory.contains(key);
            if is_new && self.holder(key).is_some() {
                continue;
            }
            self.mrs.get_mut(name).expect("it is there").inventory.insert(key.clone());
            let thing = self.thing(key);
            thing.is_retained |= one.rule == Rule::Retained;
            if thing.value.replace(one.value) != Some(one.value) && one.rule.replaces() {
                thing.renew();
            }
            thing.is_bare = match one.rule {
                Rule::Ignored => true,
                // What is there is not changed.
                Rule::Ensured => thing.is_bare && thing.remaining != Presence::No,
                _ => false,
            };
            if is_new || !thing.is_bare {
                thing.remaining = Presence::Yes;
            }
        }
        let inventory = &self.mrs[name].inventory;
        let dropped: Vec<ObjectKey> = inventory.iter().filter(|key| !declared.contains_key(*key)).cloned().collect();
        for key in dropped {
            if mr.is_complete() {
                self.mrs.get_mut(name).expect("it is there").inventory.remove(&key);
                self.drop_object(name, &key);
            } else {
                self.thing(&key).release();
            }
        }
    }

    /// A ManagedResource is deleted, or handed to another class.
    pub fn let_go(&mut self, name: &str) {
        let mr = self.mrs.get_mut(name).expect("it is there");
        let (inventory, keeps) = (std::mem::take(&mut mr.inventory), mr.keep_objects);
        for key in inventory {
            if keeps {
                self.thing(&key).release();
                self.hand_over(name, &key);
            } else {
                self.drop_object(name, &key);
            }
        }
    }

    /// Its holder does not want it any more.
    fn drop_object(&mut self, from: &str, key: &ObjectKey) {
        if self.hand_over(from, key) {
            return;
        }
        let thing = self.thing(key);
        if thing.is_retained {
            thing.release();
        } else {
            thing.renew();
            thing.remaining = Presence::No;
        }
    }

    /// Whoever waits for it takes it.
    fn hand_over(&mut self, from: &str, key: &ObjectKey) -> bool {
        let waits = |mr: &&mut Mr| mr.name != from && !mr.is_paused && mr.desired().any(|(desired, _)| desired == key);
        let Some(next) = self.mrs.values_mut().find(waits) else { return false };
        next.inventory.insert(key.clone());
        // It must not be paused, say, before it has.
        next.touch = next.touch.max(Touch::Edited);
        let thing = self.thing(key);
        if thing.is_fresh {
            // It may not be known yet that somebody waits.
            thing.renew();
        }
        thing.remaining = Presence::Yes;
        true
    }
}
