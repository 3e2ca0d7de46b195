//! The yardstick: a load generator that does nothing but apply.
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use holdfast_core::names;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::declare::{self, config_map, config_maps};
use super::stage::{Cpu, HOME, Stage};

/// The default of the controller's `--concurrent-requests`.
const WIDTH: usize = 16;

/// Instead of [`names::RESERVED_PREFIX`], and as long: objects with that would concern controller and webhook.
const PREFIX: &str = "resources.gardener.bench/";

/// What came of it.
pub(super) struct Bare {
    pub(super) took: Duration,
    /// Read at its end.
    pub(super) cpu: Cpu,
}

/// How long it takes to apply so many ConfigMaps to an empty namespace: the same that the controller applies, with the same
/// kind of client and of rights, the same answer (metadata only) and the same parallelism. They are deleted afterwards. It is
/// an apply as kube makes it: that the API server need not look for duplicate keys is the controller's merit.
///
/// # Errors
/// The API server refuses.
pub(super) async fn apply(stage: &Stage, namespace: &str, objects: usize) -> Result<Bare> {
    stage.namespace(namespace).await?;
    let api = config_maps(&stage.ordinary, namespace);
    let bodies: Vec<(String, Value)> = (0..objects)
        .map(|number| format!("bare-{number:04}"))
        .map(|name| (name.clone(), marked(config_map(namespace, &name))))
        .collect();
    let parameters = PatchParams::apply("bare").force();
    let start = Instant::now();
    let requests = bodies.iter().map(|(name, body)| {
        let (api, parameters) = (&api, &parameters);
        async move { api.patch_metadata(name, parameters, &Patch::Apply(body)).await.map(drop) }
    });
    stream::iter(requests).buffer_unordered(WIDTH).try_collect::<()>().await.context("apply a ConfigMap")?;
    let (took, cpu) = (start.elapsed(), stage.cpu()?);
    let deleted = api.collection().delete_collection(&DeleteParams::default(), &ListParams::default()).await;
    deleted.context("delete the ConfigMaps again")?;
    Ok(Bare { took, cpu })
}

/// How long it takes to create so many ManagedResources that nobody works on, to apply as many objects for each, and to
/// write each one's status once, with this inventory: what nobody who has to tell of it gets by without. (A controller also
/// reads Secrets, and what it does before objects are created, so that no crash leaks one: finalizer and inventory.)
///
/// # Errors
/// The API server refuses.
pub(super) async fn apply_and_report(
    stage: &Stage,
    namespace: &str,
    mrs: usize,
    each: usize,
    status: &Value,
) -> Result<Duration> {
    stage.namespace(namespace).await?;
    let (api, objects) = (declare::objects_of_mrs(stage), config_maps(&stage.ordinary, namespace));
    let bodies: Vec<Vec<(String, Value)>> = (0..mrs)
        .map(|mr| (0..each).map(move |number| format!("told-{mr:03}-{number:04}")))
        .map(|names| names.map(|name| (name.clone(), marked(config_map(namespace, &name)))).collect())
        .collect();
    let parameters = PatchParams::apply("bare").force();
    let room = Semaphore::new(WIDTH);
    let start = Instant::now();
    let work = bodies.iter().enumerate().map(|(number, bodies)| {
        let (api, objects, parameters, room) = (&api, &objects, &parameters, &room);
        async move {
            let mut mr = declare::idle(&format!("told-{number:03}"))?;
            mr = api.create(&PostParams::default(), &mr).await.context("create a ManagedResource")?;
            let requests = bodies.iter().map(|(name, body)| async move {
                let _permit = room.acquire().await.context("wait for room")?;
                objects.patch_metadata(name, parameters, &Patch::Apply(body)).await.context("apply a ConfigMap")
            });
            futures::future::try_join_all(requests).await?;
            let _permit = room.acquire().await.context("wait for room")?;
            mr.data["status"] = status.clone();
            declare::write_status(stage, &mr).await
        }
    });
    stream::iter(work).buffer_unordered(WIDTH / 2).try_collect::<()>().await?;
    let took = start.elapsed();
    for api in [&api, &objects] {
        let deleted = api.collection().delete_collection(&DeleteParams::default(), &ListParams::default()).await;
        deleted.context("delete everything again")?;
    }
    Ok(took)
}

/// With as many and as long labels and annotations as the controller adds.
fn marked(mut object: Value) -> Value {
    let name = |name: &str| name.replacen(names::RESERVED_PREFIX, PREFIX, 1);
    let origin = format!("{HOME}/one");
    let labels = [(names::LABEL_MANAGED_BY, names::MANAGED_BY_DEFAULT), (names::LABEL_PROTECTION, "off")];
    let annotations = [(names::ANNOTATION_DESCRIPTION, names::DESCRIPTION), (names::ANNOTATION_ORIGIN, &origin)];
    for (kind, entries) in [("labels", labels), ("annotations", annotations)] {
        object["metadata"][kind] = entries.into_iter().map(|(key, value)| (name(key), json!(value))).collect();
    }
    object
}
