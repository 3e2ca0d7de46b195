//! ManagedResources that come, and go again.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{DeleteParams, ListParams};

use super::declare::{self, Declaration};
use super::stage::Stage;
use super::watch::{Event, Watch, name};

const LIMIT: Duration = Duration::from_secs(240);
/// Deletions at a time.
const WIDTH: usize = 8;

/// Creates ManagedResources whose Secrets are there. Returns the time from the first request until the last of them says
/// that it is applied.
///
/// # Errors
/// The API server refuses, or it takes minutes.
pub(super) async fn apply(stage: &Stage, all: &[Declaration]) -> Result<Duration> {
    let mut watch = Watch::objects(&declare::mrs(stage)).await?;
    let mut remaining: BTreeSet<&str> = all.iter().map(|one| one.name.as_str()).collect();
    let begun = Instant::now();
    let applied = watch.until("ManagedResources to be applied", LIMIT, |event| {
        if let Event::There(mr) = event
            && declare::is_applied(&mr)
        {
            remaining.remove(name(&mr));
        }
        remaining.is_empty().then_some(())
    });
    let ((), ((), at)) = futures::try_join!(declare::create_all_mrs(stage, all), applied)?;
    Ok(at - begun)
}

/// Creates Secrets and ManagedResources in a namespace of their own, and waits until all is applied and written down.
///
/// # Errors
/// As [`apply`]; or the controller does not come to rest.
pub(super) async fn settle(stage: &Stage, namespace: &str, all: &[Declaration]) -> Result<Duration> {
    stage.namespace(namespace).await?;
    declare::create_all_secrets(stage, all).await?;
    let took = apply(stage, all).await?;
    stage.quiet(Duration::from_secs(5)).await?;
    Ok(took)
}

/// Deletes ManagedResources, and their Secrets after them. Returns the time from the last acknowledgement until all are gone.
///
/// # Errors
/// The API server refuses, or it takes minutes.
pub(super) async fn delete(stage: &Stage, all: &[Declaration]) -> Result<Duration> {
    let api = declare::objects_of_mrs(stage);
    let mut watch = Watch::metadata(&api).await?;
    let mut remaining: BTreeSet<&str> = all.iter().map(|one| one.name.as_str()).collect();
    let parameters = DeleteParams::default();
    let requests = all.iter().map(|one| {
        let (api, parameters) = (&api, &parameters);
        async move {
            api.delete(&one.name, parameters).await.context("delete a ManagedResource")?;
            anyhow::Ok(Instant::now())
        }
    });
    let acknowledged = async { stream::iter(requests).buffer_unordered(WIDTH).try_collect::<Vec<Instant>>().await };
    let gone = watch.until("ManagedResources to be gone", LIMIT, |event| {
        if let Event::Gone(mr) = event {
            remaining.remove(name(&mr));
        }
        remaining.is_empty().then_some(())
    });
    let (acknowledged, ((), at)) = futures::try_join!(acknowledged, gone)?;
    let deleted =
        declare::secrets(stage).collection().delete_collection(&DeleteParams::default(), &ListParams::default()).await;
    deleted.context("delete the Secrets")?;
    Ok(acknowledged.into_iter().max().map(|last| at.saturating_duration_since(last)).unwrap_or_default())
}
