//! From the watch of Secrets, metadata only, to the queue.

use std::{collections::BTreeMap, pin::pin, sync::Arc};

use futures::StreamExt as _;
use holdfast_core::key::NamespacedName;
use holdfast_runtime::{api::Api, call::explain, delays::Delays, readiness::Latch, reminder::Reminder};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Client, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{queue::Queue, world::World};

/// Queues the ManagedResources of every Secret of a namespace, or of all, that appears, changes or goes.
pub async fn follow(
    client: Client,
    namespace: Option<String>,
    world: Arc<World>,
    queue: Arc<Queue>,
    latch: Latch,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let api: Api<PartialObjectMeta<Secret>> = match &namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let is_ours = |secret: &NamespacedName| namespace.as_ref().is_none_or(|namespace| *namespace == secret.namespace);
    let mut events = pin!(watcher(api.collection(), watcher::Config::default()).backoff(Delays::default()));
    let mut listed = BTreeMap::new();
    let mut trouble = Reminder::default();
    loop {
        let event = tokio::select! {
            () = token.cancelled() => return Ok(()),
            event = events.next() => event,
        };
        match event {
            Some(Ok(Event::Init)) => listed.clear(),
            Some(Ok(Event::InitApply(secret))) => {
                listed.insert(key(&secret), secret.resource_version());
            }
            Some(Ok(Event::InitDone)) => {
                let gone = world
                    .loaded_secrets()
                    .into_iter()
                    .filter(|secret| is_ours(secret) && !listed.contains_key(secret))
                    .collect::<Vec<_>>();
                for secret in gone {
                    changed(&secret, None, &world, &queue);
                }
                for (secret, version) in std::mem::take(&mut listed) {
                    changed(&secret, version.as_deref(), &world, &queue);
                }
                trouble.clear();
                latch.set(true);
            }
            Some(Ok(Event::Apply(secret))) => {
                changed(&key(&secret), secret.resource_version().as_deref(), &world, &queue);
            }
            Some(Ok(Event::Delete(secret))) => changed(&key(&secret), None, &world, &queue),
            Some(Err(error)) => {
                trouble.warn(&format!("cannot watch Secrets; trying again: {}", words(&error)));
            }
            None => anyhow::bail!("the watch of Secrets ended"),
        }
    }
}

fn changed(secret: &NamespacedName, version: Option<&str>, world: &World, queue: &Queue) {
    for mr in world.secret_changed(secret, version) {
        queue.add(mr);
    }
}

/// The error in one line, without debug output.
fn words(error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(cause) | WatchStartFailed(cause) | WatchFailed(cause) => explain(cause),
        WatchError(status) => status.message.clone(),
        NoResourceVersion => error.to_string(),
    }
}

fn key(secret: &PartialObjectMeta<Secret>) -> NamespacedName {
    NamespacedName::new(secret.namespace().unwrap_or_default(), secret.name_any())
}
