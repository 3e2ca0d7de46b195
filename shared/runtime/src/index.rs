//! The index of who owns what, kept up to date by one task and read by many.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt as _;
use holdfast_core::inventory::index::Index;
use holdfast_core::key::NamespacedName;
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::readiness::Latch;
use crate::watch::{self, MrEvent, WatchErrors};

/// An [`Index`] that is shared between tasks. Clones are the same index.
#[derive(Clone, Debug, Default)]
pub struct SharedIndex(Arc<RwLock<State>>);

#[derive(Debug, Default)]
struct State {
    index: Index,
    /// What is in the index, to find out what a new list no longer has.
    keys: BTreeSet<NamespacedName>,
    is_complete: bool,
}

impl SharedIndex {
    /// Takes over what an event says, as a whole: no reader sees half a list.
    pub fn apply(&self, event: &MrEvent) {
        // A panic while the lock is held leaves at worst one ManagedResource half updated, which its next event mends.
        let mut guard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *guard;
        match event {
            MrEvent::Restarted { objects, unreadable } => {
                let listed: BTreeSet<_> = objects.iter().map(holdfast_core::api::ManagedResource::key).collect();
                let gone: Vec<_> = state
                    .keys
                    .iter()
                    .filter(|key| !listed.contains(key) && !unreadable.contains(key))
                    .cloned()
                    .collect();
                for key in gone {
                    state.index.remove(&key);
                    state.keys.remove(&key);
                }
                for object in objects {
                    state.index.upsert(object);
                }
                state.keys.extend(listed);
                state.is_complete = true;
            }
            MrEvent::Applied(object) => {
                state.index.upsert(object);
                state.keys.insert(object.key());
            }
            MrEvent::Deleted(key) => {
                state.index.remove(key);
                state.keys.remove(key);
            }
        }
    }

    /// Reads the index under its lock: `None` before the first list is complete. Keep it short, and never wait inside.
    pub fn read<T>(&self, reader: impl FnOnce(Option<&Index>) -> T) -> T {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        reader(state.is_complete.then_some(&state.index))
    }

    /// Whether the first list is complete.
    pub fn is_complete(&self) -> bool {
        self.read(|index| index.is_some())
    }

    /// How many ManagedResources are known.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys.len()
    }

    /// Whether none are known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Keeps `index` equal to the ManagedResources of a namespace, or of all, until the token is cancelled.
///
/// `latch` is set when the first list is complete. `each` sees every event after the index has taken it over. Trouble is
/// logged and waited out: the last complete index stays in use.
pub async fn follow(
    client: Client,
    namespace: Option<&str>,
    index: SharedIndex,
    latch: Latch,
    token: CancellationToken,
    mut each: impl FnMut(&MrEvent) + Send,
) -> anyhow::Result<()> {
    let mut events = pin!(watch::managed_resources(client, namespace));
    let mut watch_errors = WatchErrors::default();
    loop {
        let event = tokio::select! {
            () = token.cancelled() => return Ok(()),
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => {
                watch_errors.is_over();
                index.apply(&event);
                each(&event);
                latch.set(true);
            }
            Some(Err(error)) => watch_errors.report(&error),
            None => anyhow::bail!("the watch of ManagedResources ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::api::ManagedResource;
    use holdfast_testing::managed_resource;

    use super::*;

    fn with_secret(name: &str, secret: &str) -> ManagedResource {
        managed_resource(name).secrets(&[secret]).read()
    }

    fn users(index: &SharedIndex, secret: &str) -> Option<usize> {
        index.read(|index| Some(index?.users_of_secret(&NamespacedName::new("n", secret)).len()))
    }

    #[test]
    fn the_index_follows_events_and_keeps_what_became_unreadable() {
        let index = SharedIndex::default();
        assert_eq!((users(&index, "s"), index.is_complete()), (None, false));
        index.apply(&MrEvent::Restarted {
            objects: vec![with_secret("a", "s"), with_secret("b", "s")],
            unreadable: BTreeSet::new(),
        });
        index.apply(&MrEvent::Applied(Box::new(with_secret("c", "s"))));
        assert_eq!((users(&index, "s"), index.len()), (Some(3), 3));

        let unreadable = BTreeSet::from([NamespacedName::new("n", "b")]);
        index.apply(&MrEvent::Restarted { objects: vec![with_secret("a", "other")], unreadable });
        assert_eq!((users(&index, "s"), users(&index, "other"), index.len()), (Some(1), Some(1), 2));
        index.apply(&MrEvent::Deleted(NamespacedName::new("n", "b")));
        assert_eq!((users(&index, "s"), index.is_empty()), (Some(0), false));
    }

    #[test]
    fn a_panicking_reader_does_not_break_the_index() {
        let index = SharedIndex::default();
        let clone = index.clone();
        let _ = std::thread::spawn(move || {
            let _guard = clone.0.write().unwrap();
            panic!();
        })
        .join();
        index.apply(&MrEvent::Restarted { objects: vec![with_secret("a", "s")], unreadable: BTreeSet::new() });
        assert_eq!(users(&index, "s"), Some(1));
    }
}
