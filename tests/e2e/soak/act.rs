//! What alice does to ManagedResources and Secrets.
use holdfast_core::key::ObjectKey;
use holdfast_core::names;
use serde_json::json;

use super::generate::CHANGING;
use super::kinds::Kind;
use super::model::{Declared, Expected, Health, Mr, Presence, Rule, Source, Touch};
use super::stage::Soak;

#[derive(Debug, Clone, Copy)]
pub enum Act {
    Edit,
    Flip,
    Break,
    Mend,
    Pause,
    Resume,
    Delete,
    Create,
    KeepObjects,
    Class,
    Labels,
    Reconcile,
    Contest,
    Yield,
}

pub const ACTS: [(usize, Act); 14] = [
    (40, Act::Edit),
    (4, Act::Flip),
    (5, Act::Break),
    (9, Act::Mend),
    (4, Act::Pause),
    (7, Act::Resume),
    (5, Act::Delete),
    (7, Act::Create),
    (3, Act::KeepObjects),
    (6, Act::Class),
    (3, Act::Labels),
    (4, Act::Reconcile),
    (5, Act::Contest),
    (7, Act::Yield),
];

impl Soak {
    /// Does it to a ManagedResource that is fit for it; none if there is none.
    pub async fn act(&mut self, act: Act) -> Option<()> {
        match act {
            Act::Edit => self.edit().await,
            Act::Flip => self.flip().await,
            Act::Break => self.break_source().await,
            Act::Mend => self.mend().await,
            Act::Pause => self.pause(false).await,
            Act::Resume => self.pause(true).await,
            Act::Delete => self.delete_mr().await,
            Act::Create => self.create_again().await,
            Act::KeepObjects => self.respecify(|mr| mr.keep_objects = !mr.keep_objects, "keepObjects changes").await,
            Act::Class => self.respecify(|mr| mr.class = 1 - mr.class, "the class changes").await,
            Act::Labels => self.relabel().await,
            Act::Reconcile => self.reconcile().await,
            Act::Contest => self.contest().await,
            Act::Yield => self.give_way().await,
        }
    }

    /// One of the ManagedResources that fit.
    fn any(&mut self, fits: impl Fn(&Self, &Mr) -> bool) -> Option<String> {
        let all = self.model.mrs.values().filter(|mr| fits(self, mr)).map(|mr| mr.name.clone());
        let all: Vec<String> = all.collect();
        self.dice.of(&all).cloned()
    }

    fn mr(&mut self, name: &str) -> &mut Mr {
        self.model.mrs.get_mut(name).expect("it is there")
    }

    fn is_special(&self, name: &str) -> bool {
        self.pools.iter().any(|pool| pool.name == name && pool.is_special())
    }

    /// Other objects, values, rules in a Secret.
    async fn edit(&mut self) -> Option<()> {
        let is_good = |source: &Source| matches!(source.health, Health::Good | Health::Torn);
        let fits = |_: &Self, mr: &Mr| mr.touch != Touch::Changed && mr.sources.iter().any(is_good);
        let name = self.any(fits)?;
        let good: Vec<usize> = (0..self.model.mrs[&name].sources.len())
            .filter(|index| is_good(&self.model.mrs[&name].sources[*index]))
            .collect();
        let index = self.dice.of(&good).copied().expect("one is good");
        let (mr_is_plain, count) = {
            let mr = &self.model.mrs[&name];
            // What goes with its ground is not to be left to others.
            (mr.is_complete() && !mr.is_paused && !self.is_special(&name), mr.sources.len())
        };
        let slots = self.pools.iter().find(|pool| pool.name == name).expect("it has a pool").slots.clone();
        for _ in 0..=self.dice.throw(3) {
            let candidates: Vec<_> = slots.iter().enumerate().filter(|(slot, _)| slot % count == index).collect();
            let Some((_, (key, rule))) = self.dice.of(&candidates).copied() else { continue };
            self.edit_one(&name, index, key, *rule, mr_is_plain);
        }
        self.mr(&name).touch = Touch::Edited;
        self.model.pass(&name);
        let source = self.model.mrs[&name].sources[index].clone();
        self.write_source(&source).await;
        Some(())
    }

    fn edit_one(&mut self, name: &str, index: usize, key: &ObjectKey, rule: Rule, mr_is_plain: bool) {
        let is_fresh = self.model.things.get(key).is_some_and(|thing| thing.is_fresh);
        let present = self.model.mrs[name].sources[index].objects.get(key).copied();
        let new = match present {
            _ if Kind::of(key).is_ground() => return,
            // Another value may follow another value; all else only what is settled, because both may be seen as one.
            Some(old) if is_fresh || self.dice.percent(60) => Some(Declared { value: self.value(), ..old }),
            None if is_fresh || self.model.is_claimed(key) => return,
            // Released, it is somebody else's: only to be there, it would stay that.
            Some(old) if old.rule == Rule::Released => {
                self.dice.percent(50).then_some(Declared { rule: Rule::Plain, ..old })
            }
            Some(old) if mr_is_plain && CHANGING.contains(&rule) && self.dice.percent(40) => {
                Some(Declared { rule: self.dice.of(&CHANGING).copied().expect("there are some"), ..old })
            }
            Some(_) => None,
            None => Some(self.declaration(key, rule)),
        };
        self.touch(key, &format!("declared by {name} as {new:?}, was {present:?}"));
        let objects = &mut self.mr(name).sources[index].objects;
        match new {
            Some(declared) => objects.insert(key.clone(), declared),
            None => objects.remove(key),
        };
    }

    /// An object is dropped, and declared again at once.
    async fn flip(&mut self) -> Option<()> {
        let (name, index, key, declared) = self.settled_object(|_, _, declared| declared.rule == Rule::Plain)?;
        self.touch(&key, &format!("dropped by {name} for a moment"));
        self.model.thing(&key).renew();
        self.mr(&name).touch = Touch::Edited;
        self.mr(&name).sources[index].objects.remove(&key);
        let source = self.model.mrs[&name].sources[index].clone();
        self.write_source(&source).await;
        self.mr(&name).sources[index].objects.insert(key, declared);
        let source = self.model.mrs[&name].sources[index].clone();
        self.write_source(&source).await;
        Some(())
    }

    /// An object that is held, at rest, and whose ManagedResource is at rest.
    fn settled_object(
        &mut self,
        fits: impl Fn(&Self, &ObjectKey, Declared) -> bool,
    ) -> Option<(String, usize, ObjectKey, Declared)> {
        let name = self.any(|soak, mr| {
            let is_idle = mr.touch != Touch::Changed && !mr.is_paused && mr.is_complete();
            is_idle && !soak.is_special(&mr.name) && !soak.model.is_contested(&mr.name)
        })?;
        let sources = &self.model.mrs[&name].sources;
        let name = &name;
        let all = sources.iter().enumerate().flat_map(|(index, source)| {
            source.objects.iter().map(move |(key, declared)| (name.clone(), index, key.clone(), *declared))
        });
        let is_settled = |key: &ObjectKey| {
            let is_managed = matches!(self.model.expected(key), Expected::Applied(..));
            is_managed && self.model.things.get(key).is_some_and(|thing| !thing.is_fresh && !thing.is_deleted)
        };
        let all: Vec<_> = all.filter(|(_, _, key, declared)| is_settled(key) && fits(self, key, *declared)).collect();
        self.dice.of(&all).cloned()
    }

    async fn break_source(&mut self) -> Option<()> {
        let fits =
            |soak: &Self, mr: &Mr| mr.touch == Touch::None && mr.is_complete() && !soak.model.is_contested(&mr.name);
        let name = self.any(fits)?;
        let health = self
            .dice
            .weighted(&[(3, Health::Broken), (3, Health::Torn), (2, Health::Missing)])
            .expect("a weight is not zero");
        let index = self.dice.throw(self.model.mrs[&name].sources.len());
        self.stir(&name, &format!("Secret {index} is {health:?}"));
        self.mr(&name).touch = Touch::Changed;
        self.mr(&name).sources[index].health = health;
        self.model.pass(&name);
        let source = self.model.mrs[&name].sources[index].clone();
        self.write_source(&source).await;
        Some(())
    }

    async fn mend(&mut self) -> Option<()> {
        let name = self.any(|_, mr| mr.touch == Touch::None && !mr.is_complete())?;
        self.stir(&name, "its Secrets are mended");
        self.mr(&name).touch = Touch::Changed;
        for source in &mut self.mr(&name).sources {
            source.health = Health::Good;
        }
        self.model.pass(&name);
        self.write_sources(&name).await;
        Some(())
    }

    async fn pause(&mut self, is_paused: bool) -> Option<()> {
        let fits = |soak: &Self, mr: &Mr| {
            mr.touch == Touch::None && mr.is_paused == is_paused && !soak.model.is_contested(&mr.name)
        };
        let name = self.any(fits)?;
        self.stir(&name, if is_paused { "the pause ends" } else { "it is paused" });
        for key in self.model.mrs[&name].keys() {
            self.model.thing(&key).release();
        }
        self.mr(&name).touch = Touch::Changed;
        self.mr(&name).is_paused = !is_paused;
        self.model.pass(&name);
        self.write_mr(&name).await;
        Some(())
    }

    /// A change of the specification that nothing else must meet.
    async fn respecify(&mut self, change: impl Fn(&mut Mr), what: &str) -> Option<()> {
        let fits = |soak: &Self, mr: &Mr| {
            let is_free = !soak.is_special(&mr.name) || what.contains("class");
            mr.touch == Touch::None && mr.is_complete() && is_free && !soak.model.is_contested(&mr.name)
        };
        let name = self.any(fits)?;
        self.stir(&name, what);
        change(self.mr(&name));
        self.mr(&name).touch = Touch::Changed;
        self.model.pass(&name);
        self.write_mr(&name).await;
        Some(())
    }

    async fn relabel(&mut self) -> Option<()> {
        let name = self.any(|_, mr| mr.touch != Touch::Changed)?;
        self.mr(&name).team = self.value() % 4;
        self.mr(&name).touch = Touch::Edited;
        self.write_mr(&name).await;
        Some(())
    }

    async fn reconcile(&mut self) -> Option<()> {
        let name = self.any(|_, mr| !mr.is_paused)?;
        let request = json!({"metadata": {"annotations": {names::ANNOTATION_OPERATION: names::OPERATION_RECONCILE}}});
        let path = self.mr_path(&name);
        let done = self.ask("PATCH", "application/merge-patch+json", &path, Some(&request)).await;
        done.unwrap_or_else(|error| self.fail(&error));
        Some(())
    }

    /// With its Secrets or without.
    async fn delete_mr(&mut self) -> Option<()> {
        let name = self.any(|_, mr| mr.touch == Touch::None)?;
        self.stir(&name, "it is deleted");
        self.model.let_go(&name);
        let mr = self.model.mrs.remove(&name).expect("it is there");
        for key in mr.keys() {
            self.touch(&key, "its ManagedResource is gone");
        }
        self.gone.insert(name.clone());
        self.delete(&self.mr_path(&name)).await;
        if self.dice.percent(70) {
            for source in &mr.sources {
                self.delete_secret(&source.name).await;
            }
        }
        Some(())
    }

    async fn create_again(&mut self) -> Option<()> {
        let is_free = |name: &String| !self.model.mrs.contains_key(name) && !self.gone.contains(name);
        let free: Vec<usize> = (0..self.pools.len()).filter(|number| is_free(&self.pools[*number].name)).collect();
        let number = self.dice.of(&free).copied()?;
        self.create(number).await;
        Some(())
    }

    /// Another ManagedResource of the class declares an object as well.
    async fn contest(&mut self) -> Option<()> {
        let is_plain = |_: &Self, key: &ObjectKey, declared: Declared| {
            Kind::of(key) == Kind::ConfigMap && declared.rule == Rule::Plain
        };
        let (holder, _, key, _) = self.settled_object(is_plain)?;
        let class = self.model.mrs[&holder].class;
        let fits = |soak: &Self, mr: &Mr| {
            let is_idle = mr.touch != Touch::Changed && !mr.is_paused && mr.is_complete() && mr.name != holder;
            is_idle && mr.class == class && !soak.is_special(&mr.name) && !soak.model.is_contested(&mr.name)
        };
        let name = self.any(fits)?;
        let declared = Declared { value: self.value(), rule: Rule::Plain };
        self.touch(&key, &format!("{name} declares it too, as {declared:?}"));
        self.mr(&name).sources[0].objects.insert(key, declared);
        for name in [&name, &holder] {
            self.mr(name).touch = Touch::Edited;
        }
        self.model.pass(&name);
        let source = self.model.mrs[&name].sources[0].clone();
        self.write_source(&source).await;
        Some(())
    }

    /// Of two that declare an object, the holder drops it or calls it ignored, or the other one drops it.
    async fn give_way(&mut self) -> Option<()> {
        let waiting = self.any(|_, mr| mr.touch != Touch::Changed && !mr.waits_for().is_empty())?;
        let key = self.model.mrs[&waiting].waits_for()[0].clone();
        let holder = self.model.holder(&key).map(|mr| mr.name.clone())?;
        if self.model.mrs[&holder].touch == Touch::Changed || self.model.things[&key].is_fresh {
            return None;
        }
        let name = if self.dice.percent(75) { holder } else { waiting };
        let is_released = self.dice.percent(25);
        let thing = self.model.thing(&key);
        if thing.remaining != Presence::Yes || thing.is_retained {
            return None;
        }
        // Not touched before the pass: that somebody waits has been known for long.
        let is_holder = self.model.mrs[&name].inventory.contains(&key);
        let index = self.mr(&name).sources.iter().position(|source| source.objects.contains_key(&key))?;
        let objects = &mut self.mr(&name).sources[index].objects;
        match objects.get_mut(&key) {
            Some(declared) if is_released && is_holder => declared.rule = Rule::Released,
            _ => drop(objects.remove(&key)),
        }
        self.mr(&name).touch = Touch::Edited;
        self.model.pass(&name);
        self.touch(&key, &format!("{name} gives it up, holder: {is_holder}, released: {is_released}"));
        let source = self.model.mrs[&name].sources[index].clone();
        self.write_source(&source).await;
        Some(())
    }
}
