//! How long an edit lives: a watch that sees an object being edited and put right.
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt};
use holdfast_runtime::api::Api;
use kube::api::{ApiResource, DynamicObject, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

/// An edit that lives longer has not been undone.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// A client that acts as the user of a context.
///
/// # Errors
/// The kubeconfig is unusable.
pub(super) async fn client(kubeconfig: &Path, context: &str) -> Result<kube::Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).context("read the kubeconfig")?;
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.context("use the kubeconfig")?;
    config.proxy_url = None;
    config.default_retry = false;
    kube::Client::try_from(config).context("make a client")
}

/// What the value under watch is, in a state of the object; `None` if the object is not there.
type Look = fn(Option<&Value>) -> Option<String>;

/// A watch on one object, from before its edit.
pub(super) struct Watched {
    events: Pin<Box<dyn Stream<Item = kube::Result<WatchEvent<DynamicObject>>> + Send>>,
    look: Look,
    original: Option<String>,
}

/// When an edit was seen, and when it was gone.
pub(super) struct Repair {
    pub(super) edited: Instant,
    pub(super) repaired: Instant,
}

impl Watched {
    /// Begins to watch; what `look` sees now is what should be there again after the edit.
    ///
    /// # Errors
    /// The object is not there, or the API server does not answer.
    pub(super) async fn begin(client: kube::Client, resource: &ApiResource, name: &str, look: Look) -> Result<Self> {
        let what = || format!("watch {} {name}", resource.plural);
        let api: Api<DynamicObject> = Api::namespaced_with(client, "default", resource);
        let begin = async {
            let object = api.get(name).await?;
            let version = object.metadata.resource_version.clone().unwrap_or_default();
            let parameters = WatchParams::default().fields(&format!("metadata.name={name}"));
            let events = api.collection().watch(&parameters, &version).await?.boxed();
            anyhow::Ok((object, events))
        };
        let (object, events) = tokio::time::timeout(ANSWER, begin).await.with_context(what)?.with_context(what)?;
        let object = serde_json::to_value(&object).with_context(what)?;
        Ok(Self { events, look, original: look(Some(&object)) })
    }

    /// Returns when the edit was seen and undone.
    ///
    /// # Errors
    /// Not within 5 s after the edit was seen, which must be soon; or the watch ends.
    pub(super) async fn repair(mut self) -> Result<Repair> {
        let edited = self.until("the edit to be seen", ANSWER, |seen, original| seen != original).await?;
        let repaired = self.until("the edit to be undone", LIMIT, |seen, original| seen == original).await?;
        Ok(Repair { edited, repaired })
    }

    async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        matches: impl Fn(&Option<String>, &Option<String>) -> bool,
    ) -> Result<Instant> {
        let find = async {
            while let Some(event) = self.events.next().await {
                let seen = match event.context("watch an object")? {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        (self.look)(Some(&serde_json::to_value(&object).context("look at an object")?))
                    }
                    WatchEvent::Deleted(_) => (self.look)(None),
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(status) => bail!("the watch failed: {}", status.message),
                };
                if matches(&seen, &self.original) {
                    return Ok(Instant::now());
                }
            }
            bail!("the watch ended while waiting for {what}")
        };
        match tokio::time::timeout(limit, find).await {
            Ok(found) => found,
            Err(_) => bail!("waited {} s for {what}", limit.as_secs()),
        }
    }
}
