//! Which watches fail, and who is told: the log, a metric, and the conditions of the ManagedResources that depend on them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_core::key::GroupKind;
use holdfast_runtime::{
    delays::{News, WatchHealth},
    reminder::Reminder,
    traffic::{Resource, Traffic},
};
use kube::runtime::watcher::{self, Event};
use tokio::time::Instant;

/// What is watched of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Objects of ManagedResources.
    Objects,
    /// What autoscalers scale.
    Autoscalers,
    /// Secrets with manifests.
    Manifests,
    /// The ManagedResources themselves.
    ManagedResources,
}

/// What is watched, of which kind, and in which namespace; empty for all.
type Watch = (Role, GroupKind, String);

/// The watches that fail, with the server's words.
#[derive(Debug, Default)]
pub struct FailingWatches(Mutex<BTreeMap<Watch, String>>);

impl FailingWatches {
    /// Labels for a metric: kinds of which a watch fails.
    pub fn kinds(&self) -> BTreeSet<String> {
        self.lock().keys().map(|(_, kind, _)| kind.to_string()).collect()
    }

    /// What is to be told of a ManagedResource with objects of these kinds.
    pub fn notes(&self, kinds: &BTreeSet<GroupKind>, heeds_autoscalers: bool) -> Vec<String> {
        let failing = self.lock();
        let concerns = |role: Role, kind: &GroupKind| match role {
            Role::Objects => kinds.contains(kind),
            Role::Autoscalers => heeds_autoscalers,
            Role::Manifests => true,
            Role::ManagedResources => false,
        };
        let failing = failing.iter().filter(|((role, kind, _), _)| concerns(*role, kind));
        failing.map(|((role, kind, _), words)| note(*role, kind, words)).collect()
    }

    fn set(&self, watch: &Watch, words: Option<String>) {
        match words {
            Some(words) => drop(self.lock().insert(watch.clone(), words)),
            None => drop(self.lock().remove(watch)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Watch, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn note(role: Role, kind: &GroupKind, words: &str) -> String {
    match role {
        Role::Objects => format!("changes of {kind} by others are not noticed: its watch fails: {words}"),
        Role::Autoscalers => format!("changes of {kind} are not noticed: its watch fails: {words}"),
        Role::Manifests | Role::ManagedResources => {
            format!("changes of {kind}s are not noticed: the watch fails: {words}")
        }
    }
}

/// One watch. What was told of it is taken back when this is dropped.
pub struct WatchStatus {
    watch: Watch,
    resource: Resource,
    traffic: Traffic,
    failing: Arc<FailingWatches>,
    health: WatchHealth,
    reminder: Reminder,
}

impl WatchStatus {
    /// A watch that begins, of a resource of the cluster that `traffic` is sent to.
    pub fn new(role: Role, kind: GroupKind, plural: &str, traffic: &Traffic, failing: &Arc<FailingWatches>) -> Self {
        let resource = Resource::new(&kind.group, plural);
        let (traffic, failing) = (traffic.clone(), Arc::clone(failing));
        let watch = (role, kind, String::new());
        Self { watch, resource, traffic, failing, health: WatchHealth::default(), reminder: Reminder::default() }
    }

    /// The same in one namespace.
    pub fn within(mut self, namespace: Option<&str>) -> Self {
        namespace.unwrap_or_default().clone_into(&mut self.watch.2);
        self
    }

    /// Takes in what the watch says. True if conditions have to say something else now.
    pub fn observe<K>(&mut self, event: &watcher::Result<Event<K>>) -> bool {
        let (traffic, resource) = (&self.traffic, &self.resource);
        let news = self.health.take(event, |since| traffic.sees_rest_healthy(resource, since), Instant::now());
        self.report(news)
    }

    /// A complete list, or an event.
    pub fn succeeds(&mut self) {
        self.health.succeeds(Instant::now());
    }

    /// An error, with these words.
    pub fn fails(&mut self, words: String) -> bool {
        let (traffic, resource) = (&self.traffic, &self.resource);
        let news = self.health.fails(words, |since| traffic.sees_rest_healthy(resource, since), Instant::now());
        self.report(news)
    }

    /// Waits until it is quiet after failures; for ever where there are none. As [`WatchStatus::observe`].
    pub async fn quiet(&mut self) -> bool {
        match self.health.due() {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
        let news = self.health.settle(Instant::now());
        self.report(news)
    }

    fn report(&mut self, news: Option<News>) -> bool {
        match news {
            None => return false,
            Some(News::Fails(words)) => {
                self.reminder.warn(&format!("cannot watch {}; trying again: {words}", self.watch.1));
                self.failing.set(&self.watch, Some(words));
            }
            Some(News::Well) => {
                self.reminder.clear();
                tracing::info!(kind = %self.watch.1, "watching again");
                self.failing.set(&self.watch, None);
            }
        }
        true
    }
}

impl Drop for WatchStatus {
    fn drop(&mut self) {
        self.failing.set(&self.watch, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_are_told_who_depend_on_a_watch() {
        let kind = |group: &str, kind: &str| GroupKind { group: group.to_owned(), kind: kind.to_owned() };
        let (part, scaler) = (kind("x.example.com", "Part"), kind("autoscaling", "HorizontalPodAutoscaler"));
        let failing = Arc::new(FailingWatches::default());
        let traffic = Traffic::cautious();
        let mut status = WatchStatus::new(Role::Objects, part.clone(), "parts", &traffic, &failing);
        assert!(status.report(Some(News::Fails("no".to_owned()))));
        failing.set(&(Role::Autoscalers, scaler, String::new()), Some("busy".to_owned()));
        let part_note = "changes of Part.x.example.com by others are not noticed: its watch fails: no";
        let scaler_note = "changes of HorizontalPodAutoscaler.autoscaling are not noticed: its watch fails: busy";
        for (kinds, heeds, expected) in [
            (vec![part.clone()], false, vec![part_note]),
            (vec![part.clone()], true, vec![part_note, scaler_note]),
            (vec![kind("", "ConfigMap")], false, vec![]),
        ] {
            assert_eq!(failing.notes(&kinds.into_iter().collect(), heeds), expected);
        }
        assert_eq!(failing.kinds().len(), 2);
        drop(status);
        assert_eq!(failing.notes(&BTreeSet::from([part]), false), Vec::<String>::new(), "it ended");
    }
}
