//! From the watch of ManagedResources to the queue.

use std::{collections::BTreeSet, pin::pin, sync::Arc};

use futures::StreamExt as _;
use holdfast_core::key::NamespacedName;
use holdfast_runtime::{
    readiness::Latch,
    watch::{self, MrEvent, Trouble},
};
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::{queue::Queue, world::World};

/// Keeps `world` equal to the cluster and queues what changed. Ends with an error only if the watch itself ends.
pub async fn follow(
    client: Client,
    world: Arc<World>,
    queue: Arc<Queue>,
    latch: Latch,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let mut events = pin!(watch::managed_resources(client, None));
    let mut trouble = Trouble::default();
    loop {
        let event = tokio::select! {
            () = token.cancelled() => return Ok(()),
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => {
                trouble.is_over();
                take(event, &world, &queue);
                latch.set(true);
            }
            Some(Err(error)) => trouble.report(&error),
            None => anyhow::bail!("the watch of ManagedResources ended"),
        }
    }
}

fn take(event: MrEvent, world: &World, queue: &Queue) {
    take_in(event, world, queue);
    for key in world.rewrites() {
        queue.add(key);
    }
}

fn take_in(event: MrEvent, world: &World, queue: &Queue) {
    match event {
        MrEvent::Restarted { objects, unreadable } => {
            let listed: BTreeSet<NamespacedName> =
                objects.iter().map(holdfast_core::api::ManagedResource::key).collect();
            // All are taken in before any is worked on: who owns what must be known first.
            let changed: Vec<_> =
                objects.into_iter().filter_map(|mr| Some(mr.key()).filter(|_| world.upsert(mr))).collect();
            for key in world.keys().difference(&listed).filter(|key| !unreadable.contains(key)) {
                world.remove(key);
                queue.add(key.clone());
            }
            for key in changed {
                queue.add(key);
            }
            world.try_lossy();
        }
        MrEvent::Applied(mr) => {
            let key = mr.key();
            if world.upsert(*mr) {
                queue.add(key);
            }
        }
        MrEvent::Deleted(key) => {
            world.remove(&key);
            // Its last pass tidies up.
            queue.add(key);
        }
    }
}
