//! One watch, read by whoever waits: no task stands between an event and the clock.
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt};
use holdfast_runtime::api::Api;
use kube::Resource;
use kube::api::{DynamicObject, ListParams, PartialObjectMeta, WatchEvent, WatchParams};
use serde::de::DeserializeOwned;

/// A watch of whole objects or of their metadata, from now on. The API server ends it after 290 s.
pub(super) struct Watch<K> {
    events: Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<K>>> + Send>>,
}

/// What happened to an object.
#[derive(Debug)]
pub(super) enum Event<K> {
    /// It is there: created or changed.
    There(K),
    /// It is gone.
    Gone(K),
}

impl<K: Clone + DeserializeOwned + std::fmt::Debug + Send + 'static> Watch<K> {
    /// Of whole objects.
    ///
    /// # Errors
    /// The API server refuses.
    pub(super) async fn objects(api: &Api<K>) -> Result<Self> {
        let events = api.collection().watch(&WatchParams::default(), &version(api).await?).await.context("watch")?;
        Ok(Self { events: events.boxed() })
    }

    /// The next event.
    ///
    /// # Errors
    /// The watch fails or ends.
    pub(super) async fn next(&mut self) -> Result<(Event<K>, Instant)> {
        while let Some(event) = self.events.next().await {
            let event = match event.context("read from a watch")? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => Event::There(object),
                WatchEvent::Deleted(object) => Event::Gone(object),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => bail!("the watch failed: {}", status.message),
            };
            return Ok((event, Instant::now()));
        }
        bail!("the watch ended")
    }

    /// Reads until `find` finds what it looks for. Returns that, and when the event came that showed it.
    ///
    /// # Errors
    /// Not within `limit`; or the watch fails or ends.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut find: impl FnMut(Event<K>) -> Option<T>,
    ) -> Result<(T, Instant)> {
        let search = async {
            loop {
                let (event, at) = self.next().await?;
                if let Some(found) = find(event) {
                    return anyhow::Ok((found, at));
                }
            }
        };
        match tokio::time::timeout(limit, search).await {
            Ok(found) => found.with_context(|| format!("wait for {what}")),
            Err(_) => bail!("waited {} s for {what}", limit.as_secs()),
        }
    }
}

impl Watch<PartialObjectMeta<DynamicObject>> {
    /// Of metadata only.
    ///
    /// # Errors
    /// The API server refuses.
    pub(super) async fn metadata(api: &Api<DynamicObject>) -> Result<Self> {
        let events =
            api.collection().watch_metadata(&WatchParams::default(), &version(api).await?).await.context("watch")?;
        Ok(Self { events: events.boxed() })
    }
}

/// The present resource version of a collection.
async fn version<K: Clone + DeserializeOwned + std::fmt::Debug>(api: &Api<K>) -> Result<String> {
    let list = api
        .collection()
        .list_metadata(&ListParams::default().limit(1))
        .await
        .context("look at what is to be watched")?;
    list.metadata.resource_version.context("the list has no resource version")
}

/// The name of an object.
pub(super) fn name<K: Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}
