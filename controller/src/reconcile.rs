//! One pass over a ManagedResource: read, plan, write the inventory ahead, apply in waves, prune, report.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_core::{
    api::{ManagedResource, Status},
    digest::Key,
    key::NamespacedName,
    names,
    order::Wave,
    status,
};
use holdfast_runtime::call::{CallError, DEFAULT_LIMIT, call};
use kube::{Api, Client};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Args,
    discover::{Discoverer, Snapshot},
    election::Leadership,
    events::Events,
    gate::Gate,
    load::{self, Loaded, Marks},
    metrics::{self, Metrics},
    queue::{Next, Queue},
    report,
    targets::Targets,
    world::World,
};

/// Secrets decoded at a time: bounds memory.
const DECODERS: usize = 2;
/// While the API server is out of reach. It does not grow: drift of the meantime is to be repaired soon after.
const AFTER_OUTAGE: Duration = Duration::from_secs(2);
/// After somebody else wrote the ManagedResource at the same time.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);

/// Executes passes.
pub struct Reconciler {
    pub(crate) gate: Gate,
    pub(crate) source: Client,
    pub(crate) target: Client,
    pub(crate) digest_key: Key,
    pub(crate) world: Arc<World>,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    pub(crate) marks: Marks,
    pub(crate) pending_period: Duration,
    pub(crate) finalizer: String,
    leadership: Leadership,
    class: String,
    resync_period: Duration,
    pub(crate) queue: Arc<Queue>,
    targets: Targets,
    pub(crate) discoverer: Discoverer,
    pub(crate) requests: Semaphore,
    pub(crate) width: usize,
    decoders: Semaphore,
    /// When all objects of a ManagedResource are to be applied again, changed or not.
    resyncs: Mutex<BTreeMap<NamespacedName, Instant>>,
}

impl Reconciler {
    /// With the settings of the command line.
    #[allow(clippy::too_many_arguments, reason = "called once, from the wiring")]
    pub fn new(
        leadership: Leadership,
        source: Client,
        target: Client,
        args: &Args,
        digest_key: Key,
        world: Arc<World>,
        queue: Arc<Queue>,
        targets: Targets,
        metrics: Metrics,
    ) -> Self {
        let width = args.concurrent_requests.get();
        let gate = Gate::new(leadership.clone());
        Self {
            events: Events::new(source.clone(), gate.clone()),
            discoverer: Discoverer::new(target.clone()),
            gate,
            leadership,
            source,
            target,
            digest_key,
            world,
            metrics,
            marks: Marks {
                cluster_id: args.cluster_id.clone(),
                managed_by: args.managed_by.clone(),
                default_mode: args.default_protection.into(),
            },
            pending_period: args.pending_period,
            finalizer: names::finalizer_for(&args.class),
            class: args.class.clone(),
            resync_period: args.resync_period,
            queue,
            targets,
            requests: Semaphore::new(width),
            width,
            decoders: Semaphore::new(DECODERS),
            resyncs: Mutex::default(),
        }
    }

    /// As leader, takes items from the queue until the token is cancelled; finishes the one in hand.
    pub async fn work(self: Arc<Self>, token: CancellationToken) -> anyhow::Result<()> {
        if self.leadership.wait().await.is_err() {
            // It is over before it began; the election says why.
            token.cancelled().await;
        }
        while let Some(key) = token.run_until_cancelled(self.queue.next()).await {
            let started = Instant::now();
            let result = self.pass(&key).await;
            self.metrics.pass_seconds.observe(started.elapsed().as_secs_f64());
            let (label, next) = match result {
                Ok(Next::Backoff) => ("retry", Next::Backoff),
                Ok(next) => ("done", next),
                Err(error) if error.is_conflict() => ("retry", self.refresh(&key).await),
                Err(error) if error.is_transient() => {
                    tracing::warn!(managed_resource = %key, %error, "the API server does not answer; trying again");
                    ("error", Next::After(AFTER_OUTAGE))
                }
                Err(error) => {
                    tracing::warn!(managed_resource = %key, %error, "pass failed; trying again");
                    ("error", Next::Backoff)
                }
            };
            self.metrics.passes.get_or_create(&metrics::Result { result: label }).inc();
            self.queue.done(&key, next);
        }
        Ok(())
    }

    /// What we know of the ManagedResource is out of date: reads it again.
    async fn refresh(&self, key: &NamespacedName) -> Next {
        let api: Api<ManagedResource> = Api::namespaced(self.source.clone(), &key.namespace);
        match call(DEFAULT_LIMIT, format!("get ManagedResource {key}"), api.get(&key.name)).await {
            Ok(mr) => {
                self.world.upsert(mr);
                Next::After(AFTER_CONFLICT)
            }
            Err(error) if error.is_not_found() => Next::Done,
            Err(error) => {
                tracing::warn!(managed_resource = %key, %error, "cannot read the ManagedResource; trying again");
                Next::Backoff
            }
        }
    }

    async fn pass(&self, key: &NamespacedName) -> Result<Next, CallError> {
        let Some(mr) = self.world.mr(key) else {
            self.resyncs.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
            return Ok(Next::Done);
        };
        if !names::is_responsible(&self.class, mr.class()) {
            return Ok(Next::Done);
        }
        if mr.is_deleting() {
            return self.delete(&mr).await;
        }
        if mr.is_ignored() {
            let mut status = mr.status.clone().unwrap_or_default();
            status::ignored(&mut status, &now());
            self.write_status(&mr, &status).await?;
            return Ok(Next::Done);
        }
        let (mr, asked) = self.welcome(mr).await?;
        self.hold(mr, asked).await
    }

    /// Finalizer first, before anything is created; and the request for a reconcile is taken off.
    async fn welcome(&self, mut mr: Arc<ManagedResource>) -> Result<(Arc<ManagedResource>, bool), CallError> {
        if !mr.metadata.finalizers.as_ref().is_some_and(|list| list.contains(&self.finalizer)) {
            mr = self.take_in(report::set_finalizer(&self.gate, &self.source, &mr, &self.finalizer, true).await?);
        }
        let asked = mr.annotation(names::ANNOTATION_OPERATION) == Some("reconcile");
        if asked {
            mr = self.take_in(report::remove_operation(&self.gate, &self.source, &mr).await?);
        }
        Ok((mr, asked))
    }

    async fn hold(&self, mr: Arc<ManagedResource>, asked: bool) -> Result<Next, CallError> {
        let force = self.is_resync_due(&mr) || asked;
        let snapshot = self.discoverer.current().await?;
        let (mut loaded, mut snapshot) = self.load(&mr, snapshot).await?;
        let mut plan = self.world.plan_and_claim(&mr, &loaded, force);
        let mut mr = self.write_ahead(mr, &plan, &loaded).await?;
        let mut failures = BTreeMap::new();

        if let Some(definitions) = plan.apply.remove(&Wave::Definitions) {
            failures.extend(self.apply(&mr, &loaded, &snapshot, &definitions).await);
            snapshot = self.established(&loaded, &definitions, snapshot).await;
            (loaded, snapshot) = self.load(&mr, snapshot).await?;
            plan = self.world.plan_and_claim(&mr, &loaded, force);
            plan.apply.remove(&Wave::Definitions);
            mr = self.write_ahead(mr, &plan, &loaded).await?;
        }
        for positions in plan.apply.values() {
            failures.extend(self.apply(&mr, &loaded, &snapshot, positions).await);
        }
        let pruned = self.prune(&mr, &plan).await;
        if pruned.deleted > 0 && !failures.is_empty() {
            // What stood in the way, such as a node port in use, may be gone now.
            let again: Vec<usize> = failures.keys().copied().collect();
            failures = self.apply(&mr, &loaded, &snapshot, &again).await;
        }
        self.conclude(&mr, &plan, &loaded, &failures, &pruned).await
    }

    /// Whether every object is to be applied, changed or not. After a restart the first such passes are spread over the
    /// period; then each comes up to a tenth later than the period says, so that they stay apart.
    fn is_resync_due(&self, mr: &ManagedResource) -> bool {
        let key = mr.key();
        let now = Instant::now();
        let thousandths =
            key.to_string().bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 1000;
        let jittered = now + self.resync_period + self.resync_period / 10_000 * thousandths;
        let mut resyncs = self.resyncs.lock().unwrap_or_else(PoisonError::into_inner);
        match resyncs.get(&key) {
            Some(due) if *due > now => false,
            Some(_) => {
                resyncs.insert(key, jittered);
                true
            }
            None => {
                let was_known = mr.status.as_ref().is_some_and(|status| status.observed_generation.is_some());
                let spread = now + self.resync_period / 1000 * thousandths.max(100);
                resyncs.insert(key, if was_known { spread } else { jittered });
                false
            }
        }
    }

    /// Manifests from the cache or from the Secrets. Asks what is served when a kind is unknown.
    async fn load(&self, mr: &ManagedResource, mut snapshot: Snapshot) -> Result<(Arc<Loaded>, Snapshot), CallError> {
        let key = mr.key();
        if let Some(loaded) = self.world.loaded(&key).filter(|loaded| loaded.is_current(mr, &self.marks, &snapshot)) {
            return Ok((loaded, snapshot));
        }
        let read = load::read(&self.source, mr, &self.decoders).await?;
        let mut loaded = load::prepare(&read, mr, &self.marks, &snapshot, &self.digest_key);
        if loaded.desired.iter().any(|object| snapshot.kinds.get(&object.gvk).is_none()) {
            snapshot = self.discoverer.refresh().await?;
            loaded = load::prepare(&read, mr, &self.marks, &snapshot, &self.digest_key);
        }
        for object in &loaded.desired {
            if let Some(info) = snapshot.kinds.get(&object.gvk) {
                self.targets.ensure(&object.gvk, info);
            }
        }
        let loaded = Arc::new(loaded);
        self.world.keep_loaded(&key, Arc::clone(&loaded));
        Ok((loaded, snapshot))
    }

    /// Time to the next pass that applies everything.
    pub(crate) fn until_resync(&self, key: &NamespacedName) -> Duration {
        let resyncs = self.resyncs.lock().unwrap_or_else(PoisonError::into_inner);
        resyncs.get(key).map_or(self.resync_period, |due| due.saturating_duration_since(Instant::now()))
    }

    pub(crate) async fn write_status(
        &self,
        mr: &Arc<ManagedResource>,
        status: &Status,
    ) -> Result<Arc<ManagedResource>, CallError> {
        let written = report::set_status(&self.gate, &self.source, mr, status).await?;
        Ok(written.map_or_else(|| Arc::clone(mr), |written| self.take_in(written)))
    }

    fn take_in(&self, mr: ManagedResource) -> Arc<ManagedResource> {
        let key = mr.key();
        self.world.upsert(mr.clone());
        self.world
            .mr(&key)
            .filter(|known| known.metadata.resource_version == mr.metadata.resource_version)
            .unwrap_or_else(|| Arc::new(mr))
    }
}

/// Time for conditions: seconds, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
