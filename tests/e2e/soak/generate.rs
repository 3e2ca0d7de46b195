//! ManagedResources at random.
use std::collections::{BTreeMap, BTreeSet};

use holdfast_core::key::ObjectKey;

use super::kinds::{GROUP, Kind};
use super::model::{Declared, Health, Mr, Presence, Rule, Source, Touch};
use super::stage::Soak;

/// Objects that a ManagedResource may declare.
const SLOTS: usize = 8;

/// What a ManagedResource may declare: each object, with how it is treated at first.
#[derive(Debug, Clone)]
pub struct Pool {
    pub name: String,
    pub slots: Vec<(ObjectKey, Rule)>,
}

impl Pool {
    /// Gadgets with their definition, or a namespace with its content: they are not as free as others.
    pub fn is_special(&self) -> bool {
        self.slots.iter().any(|(key, _)| Kind::of(key).is_ground())
    }
}

const USUAL: [(usize, (Kind, Rule)); 15] = [
    (30, (Kind::ConfigMap, Rule::Plain)),
    (8, (Kind::ConfigMap, Rule::Frozen)),
    (5, (Kind::ConfigMap, Rule::Retained)),
    (4, (Kind::ConfigMap, Rule::Ensured)),
    (4, (Kind::ConfigMap, Rule::Ignored)),
    (4, (Kind::ConfigMap, Rule::Released)),
    (12, (Kind::Secret, Rule::Plain)),
    (8, (Kind::Service, Rule::Plain)),
    (3, (Kind::Deployment, Rule::Plain)),
    (3, (Kind::Deployment, Rule::Preserved)),
    (6, (Kind::Role, Rule::Plain)),
    (6, (Kind::RoleBinding, Rule::Replaced)),
    (6, (Kind::ServiceAccount, Rule::Plain)),
    (6, (Kind::Widget, Rule::Plain)),
    (4, (Kind::ClusterRole, Rule::Plain)),
];

/// Between which the rules of a ConfigMap may change.
pub const CHANGING: [Rule; 4] = [Rule::Plain, Rule::Ensured, Rule::Ignored, Rule::Released];

impl Soak {
    /// So many ManagedResources, one of them with a definition, one with a namespace.
    pub async fn generate(&mut self, count: usize) {
        for number in 0..count {
            let name = format!("m{number}");
            let slots = match number {
                0 => self.gadgets(),
                1 => self.content(),
                _ => self.slots(number),
            };
            self.pools.push(Pool { name, slots });
            self.create(number).await;
        }
    }

    fn slots(&mut self, number: usize) -> Vec<(ObjectKey, Rule)> {
        let slot = |index: usize, soak: &mut Self| {
            let (kind, rule) = soak.dice.weighted(&USUAL).expect("a weight is not zero");
            let place = soak.dice.of(&soak.places).cloned().expect("there are places");
            let short = kind.name().to_lowercase();
            let prefix = if kind.is_namespaced() { String::new() } else { format!("{}-", soak.test.ns) };
            (kind.key(&place, &format!("{prefix}m{number}-{short}-{index}")), rule)
        };
        (0..SLOTS).map(|index| slot(index, self)).collect()
    }

    fn gadgets(&self) -> Vec<(ObjectKey, Rule)> {
        let gadget = |index: usize| Kind::Gadget.key(&self.places[index % 2], &format!("gadget-{index}"));
        let mut slots: Vec<_> = (0..SLOTS - 1).map(|index| (gadget(index), Rule::Plain)).collect();
        slots.push((Kind::Definition.key("", &format!("gadgets.{GROUP}")), Rule::Plain));
        slots
    }

    fn content(&self) -> Vec<(ObjectKey, Rule)> {
        let place = self.inner_place();
        let content = |index: usize| Kind::ConfigMap.key(&place, &format!("content-{index}"));
        let mut slots: Vec<_> = (0..SLOTS - 1).map(|index| (content(index), Rule::Plain)).collect();
        slots.push((Kind::Namespace.key("", &place), Rule::Plain));
        slots
    }

    pub fn value(&mut self) -> u64 {
        self.dice.throw(1000).try_into().expect("a small number")
    }

    /// How an object may be declared that was not.
    pub fn declaration(&mut self, key: &ObjectKey, rule: Rule) -> Declared {
        let is_there = self.model.things.get(key).is_some_and(|thing| thing.remaining != Presence::No);
        // Whether it is ours to change or delete depends on what had become of it; that has tests of its own.
        let rule = if is_there && CHANGING.contains(&rule) { Rule::Plain } else { rule };
        Declared { value: self.value(), rule }
    }

    /// Creates the ManagedResource of a pool with some of its objects.
    pub async fn create(&mut self, number: usize) {
        let pool = self.pools[number].clone();
        let count = if pool.is_special() { 1 } else { 1 + self.dice.throw(2) };
        let mut sources: Vec<Source> = (0..count)
            .map(|index| Source {
                name: format!("{}-{index}", pool.name),
                health: Health::Good,
                objects: BTreeMap::new(),
            })
            .collect();
        for (index, (key, rule)) in pool.slots.iter().enumerate() {
            let is_declared = Kind::of(key).is_ground() || self.dice.percent(60);
            if is_declared && !self.model.is_claimed(key) {
                let declared = self.declaration(key, *rule);
                sources[index % count].objects.insert(key.clone(), declared);
            }
        }
        let class = self.dice.throw(2);
        let mr = Mr {
            name: pool.name.clone(),
            class,
            managed_by: class,
            keep_objects: !pool.is_special() && self.dice.percent(20),
            forces_labels: self.dice.percent(15),
            team: self.value() % 4,
            is_paused: false,
            sources,
            inventory: BTreeSet::new(),
            touch: Touch::Changed,
        };
        self.model.mrs.insert(pool.name.clone(), mr);
        self.stir(&pool.name, "its ManagedResource is created");
        self.model.pass(&pool.name);
        self.write_sources(&pool.name).await;
        self.write_mr(&pool.name).await;
    }

    /// What is known of the objects of a ManagedResource is out of date, because of this.
    pub fn stir(&mut self, name: &str, why: &str) {
        let mr = self.model.mrs[name].clone();
        for key in mr.keys() {
            let declared = mr.sources.iter().find_map(|source| source.objects.get(&key));
            let (class, keeps, forces) = (mr.class, mr.keep_objects, mr.forces_labels);
            let spec = format!("class {class}, keepObjects {keeps}, forceOverwriteLabels {forces}");
            self.touch(&key, &format!("{name} ({spec}) declares {declared:?}: {why}"));
        }
    }

    pub fn touch(&mut self, key: &ObjectKey, why: &str) {
        let act = self.acts;
        let thing = self.model.thing(key);
        (thing.is_fresh, thing.edit, thing.replicas) = (true, None, None);
        thing.describe(format!("#{act} {why}"));
    }
}
