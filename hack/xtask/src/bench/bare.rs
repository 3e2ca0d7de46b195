//! The yardstick: a load generator that does nothing but apply.
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use holdfast_core::names;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::declare::{config_map, config_maps};
use super::stage::{HOME, Stage};

/// The default of the controller's `--concurrent-requests`.
const WIDTH: usize = 16;

/// Instead of [`names::RESERVED_PREFIX`], and as long: objects with that would concern controller and webhook.
const PREFIX: &str = "resources.gardener.bench/";

/// How long it takes to apply so many ConfigMaps to an empty namespace: the same that the controller applies, with the same
/// kind of client and request, the same answer (metadata only) and the same parallelism. They are deleted afterwards.
///
/// # Errors
/// The API server refuses.
pub(super) async fn apply(stage: &Stage, namespace: &str, objects: usize) -> Result<Duration> {
    stage.namespace(namespace).await?;
    let api = config_maps(stage, namespace);
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
    let took = start.elapsed();
    let deleted = api.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
    deleted.context("delete the ConfigMaps again")?;
    Ok(took)
}

/// With as many and as long labels and annotations as the controller adds.
fn marked(mut object: Value) -> Value {
    let name = |name: &str| name.replacen(names::RESERVED_PREFIX, PREFIX, 1);
    let origin = format!("{HOME}/one");
    let labels = [(names::LABEL_MANAGED_BY, names::MANAGED_BY_DEFAULT), (names::LABEL_PROTECTION, "off")];
    let annotations = [(names::ANNOTATION_DESCRIPTION, names::DESCRIPTION), (names::ANNOTATION_ORIGIN, &origin)];
    for (kind, marks) in [("labels", labels), ("annotations", annotations)] {
        object["metadata"][kind] = marks.into_iter().map(|(key, value)| (name(key), json!(value))).collect();
    }
    object
}
