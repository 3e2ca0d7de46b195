//! From the watch of Secrets, metadata only, to the queue.

use std::{collections::BTreeMap, pin::pin, sync::Arc};

use futures::StreamExt as _;
use holdfast_core::key::NamespacedName;
use holdfast_runtime::{api::Api, delays::patient, readiness::Latch};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Client, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event, watcher},
};
use tokio_util::sync::CancellationToken;

use super::watch_status::WatchStatus;
use crate::{queue::Queue, state::ClusterState};

/// Queues the ManagedResources of every Secret of a namespace, or of all, that appears, changes or goes.
pub async fn follow(
    client: Client,
    namespace: Option<String>,
    state: Arc<ClusterState>,
    queue: Arc<Queue>,
    mut status: WatchStatus,
    latch: Latch,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let api: Api<PartialObjectMeta<Secret>> = match &namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let is_ours = |secret: &NamespacedName| namespace.as_ref().is_none_or(|namespace| *namespace == secret.namespace);
    let mut events = pin!(patient(watcher(api.collection(), watcher::Config::default())));
    let mut listed = BTreeMap::new();
    loop {
        let event = tokio::select! {
            () = token.cancelled() => return Ok(()),
            event = events.next() => event,
            is_news = status.quiet() => {
                report(is_news, &state, &queue);
                continue;
            }
        };
        if let Some(event) = &event {
            report(status.observe(event), &state, &queue);
        }
        match event {
            Some(Ok(Event::Init)) => listed.clear(),
            Some(Ok(Event::InitApply(secret))) => {
                listed.insert(key(&secret), secret.resource_version());
            }
            Some(Ok(Event::InitDone)) => {
                let gone = state
                    .manifests
                    .secrets()
                    .into_iter()
                    .filter(|secret| is_ours(secret) && !listed.contains_key(secret))
                    .collect::<Vec<_>>();
                for secret in gone {
                    changed(&secret, None, &state, &queue);
                }
                for (secret, version) in std::mem::take(&mut listed) {
                    changed(&secret, version.as_deref(), &state, &queue);
                }
                latch.set(true);
            }
            Some(Ok(Event::Apply(secret))) => {
                changed(&key(&secret), secret.resource_version().as_deref(), &state, &queue);
            }
            Some(Ok(Event::Delete(secret))) => changed(&key(&secret), None, &state, &queue),
            // What lasts is told.
            Some(Err(error)) => tracing::debug!(%error, "cannot watch Secrets; trying again"),
            None => anyhow::bail!("the watch of Secrets ended"),
        }
    }
}

/// All ManagedResources come from Secrets.
fn report(is_news: bool, state: &ClusterState, queue: &Queue) {
    if is_news {
        state.managed_resources.keys().into_iter().for_each(|mr| queue.add(mr));
    }
}

fn changed(secret: &NamespacedName, version: Option<&str>, state: &ClusterState, queue: &Queue) {
    for mr in state.set_secret_version(secret, version) {
        queue.add(mr);
    }
}

fn key(secret: &PartialObjectMeta<Secret>) -> NamespacedName {
    NamespacedName::new(secret.namespace().unwrap_or_default(), secret.name_any())
}
