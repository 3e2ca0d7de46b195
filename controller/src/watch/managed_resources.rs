//! From the watch of ManagedResources to the queue.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, stream};
use holdfast_core::{api::ManagedResource, key::NamespacedName};
use holdfast_runtime::{
    delays::words,
    readiness::Latch,
    watch::{self, MrEvent, WatchErrors},
};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::watch_status::WatchStatus;
use crate::{queue::Queue, state::ClusterState};

/// What is watched of the source: each of these namespaces, or all together.
pub fn scopes(namespaces: &[String]) -> Vec<Option<String>> {
    let names: BTreeSet<&String> = namespaces.iter().filter(|name| !name.is_empty()).collect();
    if names.is_empty() { vec![None] } else { names.into_iter().cloned().map(Some).collect() }
}

/// Keeps `state` equal to these scopes of the cluster and queues what changed. Ends with an error only if a watch itself
/// ends.
pub async fn follow(
    client: Client,
    scopes: Vec<Option<String>>,
    state: Arc<ClusterState>,
    queue: Arc<Queue>,
    mut health: WatchStatus,
    latch: Latch,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let mut first = Some(First::of(scopes.len()));
    let watches = scopes.into_iter().map(|scope| {
        let events = watch::managed_resources(client.clone(), scope.as_deref());
        // A watch that ends is told from one that is silent.
        events.map(Some).chain(stream::iter([None])).map(move |event| (scope.clone(), event)).boxed()
    });
    let mut events = stream::select_all(watches);
    let mut watch_errors = WatchErrors::default();
    loop {
        let event = tokio::select! {
            () = token.cancelled() => return Ok(()),
            event = events.next() => event,
            _ = health.quiet() => continue,
        };
        match event {
            Some((scope, Some(Ok(event)))) => {
                watch_errors.is_over();
                health.succeeds();
                if let Some(waiting) = &mut first {
                    waiting.take(scope, event);
                    if waiting.is_complete() {
                        if let Some(first) = first.take() {
                            take(None, first.into_event(), &state, &queue);
                        }
                        latch.set(true);
                    }
                } else {
                    take(scope.as_deref(), event, &state, &queue);
                }
            }
            Some((_, Some(Err(error)))) => {
                watch_errors.report(&error);
                health.fails(words(&error));
            }
            Some((_, None)) | None => anyhow::bail!("the watch of ManagedResources ended"),
        }
    }
}

/// `scope` is the namespace that the event is of; without one, it is of everything that is watched.
fn take(scope: Option<&str>, event: MrEvent, state: &ClusterState, queue: &Queue) {
    take_in(scope, event, state, queue);
    for key in state.foreign_crd.pending_rewrites() {
        queue.add(key);
    }
}

/// The first lists of all scopes as one: who owns what must be known before anything is worked on.
struct First {
    missing: usize,
    listed: BTreeSet<Option<String>>,
    objects: BTreeMap<NamespacedName, ManagedResource>,
    unreadable: BTreeSet<NamespacedName>,
}

impl First {
    fn of(scopes: usize) -> Self {
        Self { missing: scopes, listed: BTreeSet::new(), objects: BTreeMap::new(), unreadable: BTreeSet::new() }
    }

    fn take(&mut self, scope: Option<String>, event: MrEvent) {
        match event {
            MrEvent::Restarted { objects, mut unreadable } => {
                let is_outside = |key: &NamespacedName| scope.as_ref().is_some_and(|scope| *scope != key.namespace);
                self.objects.retain(|key, _| is_outside(key));
                self.unreadable.retain(is_outside);
                self.objects.extend(objects.into_iter().map(|mr| (mr.key(), mr)));
                self.unreadable.append(&mut unreadable);
                if self.listed.insert(scope) {
                    self.missing -= 1;
                }
            }
            MrEvent::Applied(mr) => drop(self.objects.insert(mr.key(), *mr)),
            MrEvent::Deleted(key) => drop(self.objects.remove(&key)),
        }
    }

    fn is_complete(&self) -> bool {
        self.missing == 0
    }

    fn into_event(self) -> MrEvent {
        MrEvent::Restarted { objects: self.objects.into_values().collect(), unreadable: self.unreadable }
    }
}

fn take_in(scope: Option<&str>, event: MrEvent, state: &ClusterState, queue: &Queue) {
    match event {
        MrEvent::Restarted { objects, unreadable } => {
            let listed: BTreeSet<NamespacedName> = objects.iter().map(ManagedResource::key).collect();
            // All are taken in before any is worked on: who owns what must be known first.
            let changed: Vec<_> =
                objects.into_iter().filter_map(|mr| Some(mr.key()).filter(|_| state.upsert(mr))).collect();
            let is_in_scope = |key: &NamespacedName| scope.is_none_or(|scope| key.namespace == scope);
            let before = state.managed_resources.keys();
            let gone = before.difference(&listed).filter(|key| is_in_scope(key) && !unreadable.contains(key));
            for key in gone {
                state.remove(key);
                queue.add(key.clone());
            }
            for key in changed {
                queue.add(key);
            }
            state.foreign_crd.probe();
        }
        MrEvent::Applied(mr) => {
            let key = mr.key();
            if state.upsert(*mr) {
                queue.add(key);
            }
        }
        MrEvent::Deleted(key) => {
            state.remove(&key);
            // Its last pass tidies up.
            queue.add(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_testing::managed_resource;

    fn of_namespace(namespace: &str, name: &str) -> ManagedResource {
        managed_resource(name).metadata(&serde_json::json!({"namespace": namespace})).read()
    }

    fn list(objects: Vec<ManagedResource>) -> MrEvent {
        MrEvent::Restarted { objects, unreadable: BTreeSet::new() }
    }

    #[test]
    fn scopes_are_namespaces_each_once_or_all() {
        let named = |names: &[&str]| scopes(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(named(&["b", "a", "b"]), [Some("a".to_owned()), Some("b".to_owned())]);
        assert_eq!((named(&[]), named(&[""])), (vec![None], vec![None]));
    }

    #[test]
    fn first_lists_are_one_when_all_are_there() {
        let (one, two) = (Some("one".to_owned()), Some("two".to_owned()));
        let mut first = First::of(2);
        first.take(one.clone(), list(vec![of_namespace("one", "stale")]));
        first.take(one.clone(), list(vec![of_namespace("one", "a"), of_namespace("one", "b")]));
        first.take(one.clone(), MrEvent::Deleted(NamespacedName::new("one", "b")));
        first.take(one, MrEvent::Applied(Box::new(of_namespace("one", "c"))));
        assert!(!first.is_complete());
        first.take(two, list(vec![of_namespace("two", "d")]));
        assert!(first.is_complete());
        let MrEvent::Restarted { objects, .. } = first.into_event() else { panic!() };
        assert_eq!(objects.iter().map(|mr| mr.key().to_string()).collect::<Vec<_>>(), ["one/a", "one/c", "two/d"]);
    }
}
