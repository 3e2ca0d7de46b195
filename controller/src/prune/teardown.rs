//! Deleting many objects in their order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference},
    deletion::{Deletions, Leftover, PodReferences, Progress},
    key::{self, ObjectKey},
    manifest::discovery::Place,
    position::Position,
};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Pruner,
    delete::{Removal, RemovalError},
};
use crate::target::client::Endpoint;

/// Objects that are named as waiting; the rest is counted.
const MOST_NAMED: usize = 10;

/// An object whose deletion is over.
pub(crate) struct Finished {
    pub(crate) reference: ResourceReference,
    pub(crate) removal: Removal,
}

/// What became of the objects.
#[derive(Default)]
pub(crate) struct Teardown {
    /// Those that are gone, or are not ours to delete.
    pub(crate) finished: Vec<Finished>,
    /// One text for each object of which the deletion was tried and has not come to its end.
    pub(crate) pending: Vec<String>,
    /// What is still there, tried or not.
    pub(crate) leftovers: Vec<Leftover>,
    /// When to try again; `None` if nothing is left.
    pub(crate) retry: Option<Duration>,
}

impl Pruner {
    /// Deletes what may go, and what may go after that, until nothing more can be tried now.
    pub(crate) async fn tear_down(self: &Arc<Self>, mr: &ManagedResource, mut deletions: Deletions<'_>) -> Teardown {
        let mut teardown = Teardown::default();
        let mut errors: BTreeMap<Position, RemovalError> = BTreeMap::new();
        let workloads = deletions.unread_workloads();
        if !workloads.is_empty() {
            deletions.keep_for_pods(&self.pod_references(&workloads).await);
        }
        loop {
            let due = deletions.due();
            let due: Vec<_> = due.into_iter().filter_map(|at| Some((at, deletions.reference(at)?))).collect();
            if due.is_empty() {
                break;
            }
            let jobs: Vec<_> = due
                .into_iter()
                .map(|(at, reference)| async move { (at, reference, self.remove(mr, reference).await) })
                .collect();
            let results: Vec<_> = stream::iter(jobs).buffer_unordered(self.target.width).collect().await;
            for (at, reference, result) in results {
                match result {
                    Ok(Removal::Pending { by_foreign_finalizers: true }) => {
                        deletions.set_progress(at, Progress::Finalizing);
                    }
                    Ok(Removal::Pending { by_foreign_finalizers: false }) => {
                        deletions.set_progress(at, Progress::Terminating);
                    }
                    Ok(removal) => {
                        deletions.finish(at);
                        teardown.finished.push(Finished { reference: reference.clone(), removal });
                    }
                    Err(error) => {
                        deletions.set_progress(at, error.progress());
                        errors.insert(at, error);
                    }
                }
            }
        }
        self.summarize(&deletions, &errors, &mut teardown);
        teardown
    }

    /// Says what is left, and who waits for it.
    fn summarize(&self, deletions: &Deletions<'_>, errors: &BTreeMap<Position, RemovalError>, teardown: &mut Teardown) {
        let now = Instant::now();
        let mut pending = Vec::new();
        for at in deletions.remaining() {
            let Some((reference, progress)) = deletions.reference(at).zip(deletions.progress(at)) else { continue };
            let object = reference.object_key();
            if progress != Progress::Due {
                let error = errors.get(&at);
                pending.push((pending_text(reference, error), at));
                let wait = error.and_then(|_| self.refusals.wait(&object, now)).unwrap_or(self.settings.pending_period);
                teardown.retry = Some(teardown.retry.map_or(wait, |retry| retry.min(wait)));
            }
            teardown.leftovers.push(Leftover { object, is_terminating: progress.is_terminating() });
        }
        pending.sort_unstable();
        let with_waiting = pending.into_iter().enumerate().map(|(number, (text, at))| {
            // Of thousands, the message has room for a few, and each is held against all others.
            let waiting = if number < MOST_NAMED { waiting_text(&deletions.waiting_for(at)) } else { String::new() };
            format!("{text}{waiting}")
        });
        teardown.pending = with_waiting.collect();
    }

    /// What pods of these workloads name.
    async fn pod_references(&self, workloads: &[&ResourceReference]) -> PodReferences {
        let mut references = PodReferences::default();
        let jobs: Vec<_> =
            workloads.iter().map(|reference| async { (*reference, self.workload(reference).await) }).collect();
        let mut workloads = std::pin::pin!(stream::iter(jobs).buffer_unordered(self.target.width));
        while let Some((reference, workload)) = workloads.next().await {
            match workload {
                Ok(Some(workload)) => references.add(&workload),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(object = %reference.object_key(), %error, "cannot tell what its pods need");
                    references.add_unknown(&reference.namespace);
                }
            }
        }
        references
    }

    async fn workload(&self, reference: &ResourceReference) -> Result<Option<Value>, RemovalError> {
        let snapshot = self.target.discovery.current().await?;
        let Place::At(gvk, info) = snapshot.kinds.look_up(&reference.gvk(), &reference.namespace) else {
            return Ok(None);
        };
        let endpoint = Endpoint::new(&gvk, info);
        let _slot = self.target.requests.slot().await;
        match self.target.client.get_whole(&endpoint, &reference.object_key()).await {
            Ok(DynamicObject { metadata, data, .. }) => Ok(Some(json!({
                "metadata": {"namespace": reference.namespace, "name": metadata.name}, "spec": data["spec"],
            }))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The words of Gardener Resource Manager.
fn pending_text(reference: &ResourceReference, error: Option<&RemovalError>) -> String {
    let ResourceReference { api_version, kind, namespace, name, .. } = reference;
    let namespace = if namespace.is_empty() && kind != "Namespace" { "default" } else { namespace };
    let name = key::in_one_line(name);
    let text = format!("deletion of old resource \"{api_version}/{kind}/{namespace}/{name}\" is still pending");
    error.map_or_else(|| text.clone(), |error| format!("{text}: {error}"))
}

/// Who waits for such an object, in parentheses.
fn waiting_text(waiting: &[&ObjectKey]) -> String {
    let named: Vec<String> = waiting.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    let more = waiting.len().saturating_sub(MOST_NAMED);
    match (named.len(), more) {
        (0, _) => String::new(),
        (1, _) => format!(" ({} waits for it)", named.join(", ")),
        (_, 0) => format!(" ({} wait for it)", named.join(", ")),
        _ => format!(" ({} and {more} more wait for it)", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_named_up_to_a_number() {
        let objects: Vec<ObjectKey> =
            (0..12).map(|number| ObjectKey::new("", "ConfigMap", "n", &format!("c{number}"))).collect();
        let text = |count: usize| waiting_text(&objects.iter().take(count).collect::<Vec<_>>());
        assert_eq!(text(0), "");
        assert_eq!(text(1), " (ConfigMap n/c0 waits for it)");
        assert_eq!(text(2), " (ConfigMap n/c0, ConfigMap n/c1 wait for it)");
        assert!(text(12).ends_with("ConfigMap n/c9 and 2 more wait for it)"), "{}", text(12));
    }
}
