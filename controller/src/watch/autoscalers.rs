//! The autoscalers of the target: which workloads they scale. They are watched only while a workload is held whose replicas
//! depend on it, and nothing is kept of them but what they scale.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use holdfast_core::{
    inventory::autoscalers::{self, ScaleTargetRef},
    key::{GroupKind, NamespacedName},
    manifest::discovery::Discovery,
};
use holdfast_runtime::{api::Api, delays::patient, traffic::Traffic};
use kube::{
    Client, ResourceExt as _,
    core::Object,
    runtime::watcher::{self, Event, watcher},
};
use serde::Deserialize;
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::watched::{FailingWatches, Role, Watched};
use crate::{queue::Queue, state::World, target::partial_object::api_resource};

/// How long passes wait for the first list after the watch has begun.
const LIMIT: Duration = Duration::from_secs(10);

const NO_ANSWER: &str = "the API server has not answered yet";

/// An autoscaler, as far as it matters.
type Autoscaler = Object<Spec, serde::de::IgnoredAny>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    scale_target_ref: ScaleTargetRef,
}

/// Whether the autoscalers are known; if not, the last error.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Knowledge {
    Waiting,
    Failing(String),
    Known,
}

/// Starts the watch when it is needed, and ends it when it is not any more.
pub struct Autoscalers {
    client: Client,
    traffic: Traffic,
    world: Arc<World>,
    queue: Arc<Queue>,
    failing: Arc<FailingWatches>,
    token: CancellationToken,
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
    pub fn new(
        client: Client,
        traffic: Traffic,
        world: Arc<World>,
        queue: Arc<Queue>,
        failing: Arc<FailingWatches>,
        token: CancellationToken,
    ) -> Self {
        Self { client, traffic, world, queue, failing, token, running: Mutex::default() }
    }

    /// Waits until it is known what is scaled, but not for long.
    ///
    /// # Errors
    /// It cannot be known at present; why.
    pub async fn learn(&self, served: &Discovery) -> Result<(), String> {
        let (mut knowledge, since) = self.ensure(served);
        let is_told = |knowledge: &Knowledge| *knowledge != Knowledge::Waiting;
        // Together, and not each pass anew: the workers have something else to do.
        let told = tokio::time::timeout_at(since + LIMIT, knowledge.wait_for(is_told)).await;
        match told.as_ref().map(|told| told.as_deref()) {
            Ok(Ok(Knowledge::Known)) => Ok(()),
            Ok(Ok(Knowledge::Failing(why))) => Err(why.clone()),
            _ => Err(NO_ANSWER.to_owned()),
        }
    }

    /// Why it is not known.
    pub fn why(&self) -> String {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let knowledge = running.as_ref().map(|watch| watch.knowledge.borrow().clone());
        if let Some(Knowledge::Failing(why)) = knowledge { why } else { NO_ANSWER.to_owned() }
    }

    /// Ends the watch.
    pub fn stop(&self) {
        if self.running.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.world.forget_autoscalers();
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
            self.world.knows_autoscalers(&BTreeSet::new());
            sender.send_replace(Knowledge::Known);
            return (knowledge, since);
        };
        tracing::debug!(kind = %gvk, "watching");
        let watch = Watch {
            api: Api::all_with(self.client.clone(), &resource),
            world: Arc::clone(&self.world),
            queue: Arc::clone(&self.queue),
            watched: Watched::new(Role::Autoscalers, kind, &resource.plural, &self.traffic, &self.failing),
            sender,
        };
        let token = self.token.clone();
        let task = tokio::spawn(async move {
            token.run_until_cancelled(watch.run()).await;
        });
        *running = Some(Running { since, knowledge: knowledge.clone(), task });
        (knowledge, since)
    }
}

struct Watch {
    api: Api<Autoscaler>,
    world: Arc<World>,
    queue: Arc<Queue>,
    watched: Watched,
    sender: watch::Sender<Knowledge>,
}

impl Watch {
    async fn run(mut self) {
        let mut events = pin!(patient(watcher(self.api.collection(), watcher::Config::default())));
        let mut listed = BTreeSet::new();
        loop {
            let next = self.world.next_autoscaler_expiry();
            let expiry = async {
                match next {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                event = events.next() => event,
                () = expiry => {
                    self.wake(self.world.expire_autoscalers());
                    continue;
                }
                is_news = self.watched.quiet() => {
                    self.tell(is_news);
                    continue;
                }
            };
            if let Some(event) = &event {
                let is_news = self.watched.take(event);
                self.tell(is_news);
            }
            match event {
                None => return,
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(autoscaler))) => {
                    listed.insert(name(&autoscaler));
                    self.take(&autoscaler);
                }
                Some(Ok(Event::InitDone)) => {
                    self.world.knows_autoscalers(&std::mem::take(&mut listed));
                    self.sender.send_replace(Knowledge::Known);
                }
                Some(Ok(Event::Apply(autoscaler))) => self.take(&autoscaler),
                Some(Ok(Event::Delete(autoscaler))) => {
                    self.wake(self.world.set_autoscaler(&name(&autoscaler), None));
                }
                Some(Err(error)) => {
                    let error = holdfast_runtime::exit::chain(&error);
                    tracing::debug!(error, "cannot watch HorizontalPodAutoscalers; trying again");
                    // What was known before still is the best that we have.
                    self.sender.send_if_modified(|knowledge| {
                        let is_news = *knowledge != Knowledge::Known;
                        if is_news {
                            *knowledge = Knowledge::Failing(error);
                        }
                        is_news
                    });
                }
            }
        }
    }

    fn take(&self, autoscaler: &Autoscaler) {
        let name = name(autoscaler);
        let target = autoscalers::target(&name.namespace, &autoscaler.spec.scale_target_ref);
        self.wake(self.world.set_autoscaler(&name, target));
    }

    fn tell(&self, is_news: bool) {
        if is_news {
            self.wake(self.world.users_of_autoscalers());
        }
    }

    fn wake(&self, mrs: Vec<NamespacedName>) {
        for mr in mrs {
            self.queue.add(mr);
        }
    }
}

fn name(autoscaler: &Autoscaler) -> NamespacedName {
    NamespacedName::new(autoscaler.namespace().unwrap_or_default(), autoscaler.name_any())
}
