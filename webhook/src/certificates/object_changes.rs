//! Waits until one named object may have changed.

use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use holdfast_runtime::api::Api;
use holdfast_runtime::delays::patient;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Wakes at each change of one object, and at an interval: the watch only saves time, nothing depends on it.
pub(crate) struct ObjectChanges {
    events: Pin<Box<dyn Stream<Item = watcher::Result<()>> + Send>>,
    interval: Interval,
}

impl ObjectChanges {
    /// Watches the metadata of `name`. Needs list and watch, which RBAC can limit to this name.
    pub(crate) fn of<K>(api: &Api<PartialObjectMeta<K>>, name: &str, every: Duration) -> Self
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let events = patient(watcher(api.collection(), config)).filter_map(|event| async {
            match event {
                Ok(Event::Init | Event::InitApply(_)) => None,
                Ok(_) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            }
        });
        let mut interval = interval(every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { events: events.chain(stream::pending()).boxed(), interval }
    }

    /// Returns at once for the first time, later after a change or the interval.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.interval.tick() => return,
                event = self.events.next() => match event {
                    Some(Ok(())) => return,
                    // The caller's request for the object reports what is wrong.
                    Some(Err(error)) => tracing::debug!(%error, "a watch failed"),
                    None => {}
                },
            }
        }
    }
}
