//! The autoscalers of the target: which workloads they scale. They are watched only while a workload is held whose replicas
//! depend on it, and nothing is kept of them but what they scale.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use holdfast_core::{
    inventory::autoscalers::{self, ScaleTargetRef},
    key::{GroupKind, NamespacedName, ObjectKey},
    manifest::discovery::Discovery,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::watcher::{self, Event};
use serde::Deserialize as _;
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use super::{
    context::WatchContext,
    full_object::FullObject,
    reducer::{Keep, MetadataEvents, Reducer},
    watch_status::{Role, WatchStatus},
};
use crate::{
    queue::Queue,
    state::{ClusterState, NO_ANSWER},
    target::partial_object::api_resource,
};

/// How long passes wait for the first list after the watch has begun.
const LIMIT: Duration = Duration::from_secs(10);

/// Whether the autoscalers are known; if not, the last error.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Knowledge {
    Waiting,
    Failing(String),
    Listed,
}

/// Starts the watch when it is needed, and ends it when it is not any more.
pub struct Autoscalers {
    context: WatchContext,
    running: Mutex<Option<Running>>,
}

struct Running {
    since: Instant,
    knowledge: watch::Receiver<Knowledge>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Autoscalers {
    /// Without a watch.
    pub fn new(context: WatchContext) -> Self {
        Self { context, running: Mutex::default() }
    }

    /// Waits until it is known what is scaled, but not for long.
    ///
    /// # Errors
    /// It cannot be known at present; why.
    pub async fn learn(&self, served: &Discovery) -> Result<(), String> {
        let (mut knowledge, since) = self.ensure(served);
        let is_decided = |knowledge: &Knowledge| *knowledge != Knowledge::Waiting;
        // Together, and not each pass anew: the workers have something else to do.
        let decided = tokio::time::timeout_at(since + LIMIT, knowledge.wait_for(is_decided)).await;
        match decided.as_ref().map(|decided| decided.as_deref()) {
            Ok(Ok(Knowledge::Listed)) => Ok(()),
            Ok(Ok(Knowledge::Failing(why))) => Err(why.clone()),
            _ => Err(NO_ANSWER.to_owned()),
        }
    }

    /// Ends the watch.
    pub fn stop(&self) {
        if self.running.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.context.state.autoscalers.forget_all();
        }
    }

    fn ensure(&self, served: &Discovery) -> (watch::Receiver<Knowledge>, Instant) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watch) = running.as_ref().filter(|watch| !watch.task.is_finished()) {
            return (watch.knowledge.clone(), watch.since);
        }
        let ((sender, knowledge), since) = (watch::channel(Knowledge::Waiting), Instant::now());
        let kind = GroupKind { group: "autoscaling".to_owned(), kind: "HorizontalPodAutoscaler".to_owned() };
        let served = served.preferred(&kind).and_then(|gvk| Some((api_resource(&gvk, &served.get(&gvk)?.plural), gvk)));
        let Some((resource, gvk)) = served else {
            // Nothing can be scaled by what does not exist.
            self.context.state.autoscalers.set_listed(&BTreeSet::new());
            sender.send_replace(Knowledge::Listed);
            return (knowledge, since);
        };
        tracing::debug!(kind = %gvk, "watching");
        let reducer = Reducer::Full(keep(Arc::clone(&self.context.state), Arc::clone(&self.context.queue)));
        let watch = Watch {
            events: reducer.watch(&self.context.client, &kind, &resource, watcher::Config::default()),
            state: Arc::clone(&self.context.state),
            queue: Arc::clone(&self.context.queue),
            status: WatchStatus::new(
                Role::Autoscalers,
                kind,
                &resource.plural,
                &self.context.traffic,
                &self.context.failing,
            ),
            sender,
        };
        let token = self.context.token.clone();
        let task = tokio::spawn(async move {
            token.run_until_cancelled(watch.run()).await;
        });
        *running = Some(Running { since, knowledge: knowledge.clone(), task });
        (knowledge, since)
    }
}

struct Watch {
    events: MetadataEvents,
    state: Arc<ClusterState>,
    queue: Arc<Queue>,
    status: WatchStatus,
    sender: watch::Sender<Knowledge>,
}

impl Watch {
    async fn run(mut self) {
        let mut listed = BTreeSet::new();
        loop {
            let next = self.state.autoscalers.next_expiry();
            let expiry = async {
                match next {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                event = self.events.next() => event,
                () = expiry => {
                    wake(&self.queue, self.state.expire_autoscalers());
                    continue;
                }
                is_news = self.status.quiet() => {
                    self.report(is_news);
                    continue;
                }
            };
            if let Some(event) = &event {
                let is_news = self.status.observe(event);
                self.report(is_news);
            }
            match event {
                None => return,
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(autoscaler))) => drop(listed.insert(name(autoscaler))),
                Some(Ok(Event::InitDone)) => {
                    self.state.autoscalers.set_listed(&std::mem::take(&mut listed));
                    self.sender.send_replace(Knowledge::Listed);
                }
                // It has been reduced.
                Some(Ok(Event::Apply(_) | Event::Delete(_))) => {}
                Some(Err(error)) => {
                    let error = holdfast_runtime::exit::chain(&error);
                    tracing::debug!(error, "cannot watch HorizontalPodAutoscalers; trying again");
                    self.state.autoscalers.set_failure(&error);
                    // What was known before still is the best that we have.
                    self.sender.send_if_modified(|knowledge| {
                        let is_news = *knowledge != Knowledge::Listed;
                        if is_news {
                            *knowledge = Knowledge::Failing(error);
                        }
                        is_news
                    });
                }
            }
        }
    }

    fn report(&self, is_news: bool) {
        if is_news {
            wake(&self.queue, self.state.manifests.users_of_autoscalers());
        }
    }
}

/// Nothing is kept of an autoscaler but what it scales.
fn keep(state: Arc<ClusterState>, queue: Arc<Queue>) -> Keep {
    Arc::new(move |autoscaler: &ObjectKey, object: Option<&FullObject>| {
        let name = NamespacedName::new(autoscaler.namespace(), autoscaler.name());
        let target = object.and_then(|object| scaled(&name.namespace, object));
        wake(&queue, state.set_autoscaler(&name, target));
    })
}

/// What an autoscaler scales. One that cannot be read scales nothing.
fn scaled(namespace: &str, autoscaler: &FullObject) -> Option<ObjectKey> {
    let reference = ScaleTargetRef::deserialize(autoscaler.spec.get("scaleTargetRef")?).ok()?;
    autoscalers::target(namespace, &reference)
}

fn wake(queue: &Queue, mrs: Vec<NamespacedName>) {
    for mr in mrs {
        queue.add(mr);
    }
}

fn name(metadata: ObjectMeta) -> NamespacedName {
    NamespacedName::new(metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_an_autoscaler_its_target_is_kept() {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        for (case, spec, expected) in [
            ("a workload", json!({"scaleTargetRef": target, "maxReplicas": 3}), Some("web")),
            ("no target", json!({"maxReplicas": 3}), None),
            ("a target that is none", json!({"scaleTargetRef": {"kind": 5}}), None),
            ("no spec", json!(null), None),
        ] {
            let object = FullObject { spec, ..FullObject::default() };
            assert_eq!(scaled("n", &object).as_ref().map(ObjectKey::name), expected, "{case}");
        }
    }
}
