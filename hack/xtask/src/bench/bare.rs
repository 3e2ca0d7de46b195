//! The yardstick: a load generator that does nothing but apply.
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::Value;

use super::declare::{config_map, config_maps};
use super::stage::Stage;

/// The default of the controller's `--concurrent-requests`.
const WIDTH: usize = 16;

/// How long it takes to apply so many ConfigMaps to an empty namespace, with the same kind of client and request, the same
/// answer (metadata only) and the same parallelism as the controller's. They are deleted afterwards.
///
/// # Errors
/// The API server refuses.
pub(super) async fn apply(stage: &Stage, namespace: &str, objects: usize) -> Result<Duration> {
    stage.namespace(namespace).await?;
    let api = config_maps(stage, namespace);
    let bodies: Vec<(String, Value)> = (0..objects)
        .map(|number| format!("bare-{number:04}"))
        .map(|name| (name.clone(), config_map(namespace, &name)))
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
