//! One pass over a ManagedResource: read, plan, write the inventory ahead, apply in waves, prune, report.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, ResourceReference, Status},
    drift::State,
    key::NamespacedName,
    names,
    order::Wave,
    plan::{self, Plan},
    status::{self, Outcome},
};
use holdfast_runtime::call::{CallError, DEFAULT_LIMIT, call};
use kube::{Api, Client};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Args,
    discover::{Discoverer, Snapshot},
    events::{Events, Reason},
    execute::{self, ApplyError, Removal},
    load::{self, Loaded, Marks},
    metrics::{self, Metrics},
    queue::{Next, Queue},
    report,
    targets::Targets,
    world::World,
};

/// Secrets decoded at a time: bounds memory.
const DECODERS: usize = 2;
/// After somebody else wrote the ManagedResource at the same time.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);
/// How long kinds of a new CustomResourceDefinition may take to be served before the pass goes on without them.
const ESTABLISH_LIMIT: Duration = Duration::from_secs(10);
const ESTABLISH_INTERVAL: Duration = Duration::from_millis(50);

/// Executes passes.
pub struct Reconciler {
    pub(crate) source: Client,
    pub(crate) target: Client,
    pub(crate) world: Arc<World>,
    pub(crate) events: Events,
    pub(crate) metrics: Metrics,
    pub(crate) marks: Marks,
    pub(crate) pending_period: Duration,
    pub(crate) finalizer: String,
    class: String,
    resync_period: Duration,
    queue: Arc<Queue>,
    targets: Targets,
    discoverer: Discoverer,
    requests: Semaphore,
    width: usize,
    decoders: Semaphore,
    /// When all objects of a ManagedResource were last applied, changed or not.
    synced: Mutex<BTreeMap<NamespacedName, Instant>>,
}

impl Reconciler {
    /// With the settings of the command line.
    pub fn new(source: Client, target: Client, args: &Args, world: Arc<World>, queue: Arc<Queue>, targets: Targets, metrics: Metrics) -> Self {
        let width = args.concurrent_requests.get();
        Self {
            events: Events::new(source.clone()),
            discoverer: Discoverer::new(target.clone()),
            source,
            target,
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
            synced: Mutex::default(),
        }
    }

    /// Takes items from the queue until the token is cancelled; finishes the one in hand.
    pub async fn work(self: Arc<Self>, token: CancellationToken) -> anyhow::Result<()> {
        while let Some(key) = token.run_until_cancelled(self.queue.next()).await {
            let started = Instant::now();
            let result = self.pass(&key).await;
            self.metrics.pass_seconds.observe(started.elapsed().as_secs_f64());
            let (label, next) = match result {
                Ok(Next::Backoff) => ("retry", Next::Backoff),
                Ok(next) => ("done", next),
                Err(error) if error.is_conflict() => ("retry", self.refresh(&key).await),
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
            self.synced.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
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
            mr = self.take_in(report::set_finalizer(&self.source, &mr, &self.finalizer, true).await?);
        }
        let asked = mr.annotation(names::ANNOTATION_OPERATION) == Some("reconcile");
        if asked {
            mr = self.take_in(report::remove_operation(&self.source, &mr).await?);
        }
        Ok((mr, asked))
    }

    async fn hold(&self, mr: Arc<ManagedResource>, asked: bool) -> Result<Next, CallError> {
        let key = mr.key();
        let force = self.begin_sync(&key, asked);
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

    /// Whether every object is to be applied, changed or not; from now on counts the time to the next such pass.
    fn begin_sync(&self, key: &NamespacedName, asked: bool) -> bool {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let due = asked || synced.get(key).is_none_or(|at| at.elapsed() >= self.resync_period);
        if due {
            synced.insert(key.clone(), Instant::now());
        }
        due
    }

    /// Manifests from the cache or from the Secrets. Asks what is served when a kind is unknown.
    async fn load(&self, mr: &ManagedResource, mut snapshot: Snapshot) -> Result<(Arc<Loaded>, Snapshot), CallError> {
        let key = mr.key();
        if let Some(loaded) = self.world.loaded(&key).filter(|loaded| loaded.is_current(mr, &self.marks, &snapshot)) {
            return Ok((loaded, snapshot));
        }
        let read = load::read(&self.source, mr, &self.decoders).await?;
        let mut loaded = load::prepare(&read, mr, &self.marks, &snapshot);
        if loaded.desired.iter().any(|object| snapshot.kinds.get(&object.gvk).is_none()) {
            snapshot = self.discoverer.refresh().await?;
            loaded = load::prepare(&read, mr, &self.marks, &snapshot);
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

    /// Writes references of objects that are about to be created before they are, so that no crash leaks one; and says
    /// that something is going on.
    async fn write_ahead(&self, mr: Arc<ManagedResource>, plan: &Plan, loaded: &Loaded) -> Result<Arc<ManagedResource>, CallError> {
        let mut status = mr.status.clone().unwrap_or_default();
        let is_same = status.resources == plan.inventory && plan.prune.is_empty() && status.secrets_data_checksum.as_deref() == Some(&loaded.checksum);
        if is_same && !status::is_marked_ignored(&status) {
            return Ok(mr);
        }
        status.resources.clone_from(&plan.inventory);
        status::invalidate(&mut status, &now());
        self.write_status(&mr, &status).await
    }

    /// Applies some of the desired objects side by side. One that fails stops no other.
    async fn apply(&self, mr: &ManagedResource, loaded: &Loaded, snapshot: &Snapshot, positions: &[usize]) -> BTreeMap<usize, String> {
        let jobs: Vec<_> = positions.iter().map(|position| self.apply_at(loaded, snapshot, *position)).collect();
        let results = stream::iter(jobs).buffer_unordered(self.width);
        let mut failures = BTreeMap::new();
        let mut repaired = Vec::new();
        let mut results = std::pin::pin!(results);
        while let Some((position, result)) = results.next().await {
            let Some(object) = loaded.desired.get(position) else { continue };
            match result {
                Ok(State::Drifted | State::Missing) => repaired.push(object.key.to_string()),
                Ok(_) => {}
                Err(error) => {
                    self.metrics.apply_failures.inc();
                    let source = &object.source;
                    let text = format!("{} (Secret {}, key {:?}, document {}): {error}", object.key, source.secret, source.key, source.document);
                    tracing::warn!(managed_resource = %mr.key(), "cannot apply {text}");
                    failures.insert(position, text);
                }
            }
        }
        if !repaired.is_empty() {
            tracing::info!(managed_resource = %mr.key(), objects = repaired.join(", "), "repaired");
            self.events.publish(mr, Reason::Repaired, &format!("Put right after others changed or deleted it: {}", repaired.join(", ")));
        }
        failures
    }

    async fn apply_at(&self, loaded: &Loaded, snapshot: &Snapshot, position: usize) -> (usize, Result<State, ApplyError>) {
        (position, self.apply_one(loaded, snapshot, position).await)
    }

    /// Applies one object; returns how it stood before.
    async fn apply_one(&self, loaded: &Loaded, snapshot: &Snapshot, position: usize) -> Result<State, ApplyError> {
        let Some(object) = loaded.desired.get(position) else { return Ok(State::InSync) };
        let digest = loaded.digest(position);
        let before = self.world.state(&object.key, digest);
        let info = snapshot.kinds.get(&object.gvk);
        // A permit is never refused: the semaphore is not closed.
        let _permit = self.requests.acquire().await;
        let uid = self.world.uid(&object.key);
        let mut result = execute::apply(&self.target, info, object, uid.clone()).await;
        if uid.is_some() && result.as_ref().is_err_and(ApplyError::is_uid_conflict) {
            self.world.forget(&object.key);
            result = execute::apply(&self.target, info, object, None).await;
        }
        self.world.applied(&object.key, digest, result?);
        let cause = match before {
            State::Drifted => Some("changed"),
            State::Missing => Some("deleted"),
            _ => None,
        };
        if let Some(cause) = cause {
            self.metrics.repairs.get_or_create(&metrics::Cause { cause }).inc();
        }
        Ok(before)
    }

    /// Waits until the kinds of new CustomResourceDefinitions are served.
    async fn established(&self, loaded: &Loaded, definitions: &[usize], mut snapshot: Snapshot) -> Snapshot {
        let names: Vec<&str> = definitions.iter().filter_map(|position| loaded.desired.get(*position)).map(|object| object.key.name.as_str()).collect();
        let deadline = Instant::now() + ESTABLISH_LIMIT;
        for name in names {
            while Instant::now() < deadline {
                match execute::is_established(&self.target, name).await {
                    Ok(false) => tokio::time::sleep(ESTABLISH_INTERVAL).await,
                    Ok(true) => break,
                    Err(error) => {
                        tracing::warn!(definition = name, %error, "cannot tell whether the CustomResourceDefinition is established");
                        break;
                    }
                }
            }
        }
        let is_missing = |snapshot: &Snapshot| loaded.desired.iter().any(|object| snapshot.kinds.get(&object.gvk).is_none());
        while is_missing(&snapshot) && Instant::now() < deadline {
            match self.discoverer.refresh_now().await {
                Ok(newer) => snapshot = newer,
                Err(error) => tracing::warn!(%error, "cannot tell what is served"),
            }
            if is_missing(&snapshot) {
                tokio::time::sleep(ESTABLISH_INTERVAL * 4).await;
            }
        }
        snapshot
    }

    /// Deletes what is not declared any more, side by side.
    async fn prune(&self, mr: &ManagedResource, plan: &Plan) -> Pruned {
        let mut pruned = Pruned { dropped: plan.handed_over.clone(), ..Pruned::default() };
        let jobs: Vec<_> = plan.prune.iter().map(|reference| self.remove(mr, reference)).collect();
        let results: Vec<_> = stream::iter(jobs).buffered(self.width).collect().await;
        let mut deleted = Vec::new();
        for (reference, result) in plan.prune.iter().zip(results) {
            match result {
                Ok(Removal::Pending) => pruned.pending.push(pending_text(reference, None)),
                Err(error) => pruned.pending.push(pending_text(reference, Some(&error))),
                Ok(removal) => {
                    if removal == Removal::Deleted {
                        deleted.push(reference.object_key().to_string());
                    }
                    self.world.forget(&reference.object_key());
                    pruned.dropped.push(reference.clone());
                }
            }
        }
        pruned.deleted = deleted.len();
        if !deleted.is_empty() {
            tracing::info!(managed_resource = %mr.key(), objects = deleted.join(", "), "pruned");
            self.events.publish(mr, Reason::Pruned, &format!("Deleted because it is not declared any more: {}", deleted.join(", ")));
        }
        pruned.pending.sort();
        pruned
    }

    /// Deletes one object of the inventory.
    pub(crate) async fn remove(&self, mr: &ManagedResource, reference: &ResourceReference) -> Result<Removal, CallError> {
        let gvk = reference.gvk();
        let mut plural = reference.resource.clone();
        if plural.is_none() {
            let snapshot = self.discoverer.current().await?;
            plural = snapshot.kinds.get(&gvk).map(|info| info.plural.clone());
        }
        // Without a kind there are no objects of it.
        let Some(plural) = plural else { return Ok(Removal::Gone) };
        let _permit = self.requests.acquire().await;
        let removal = execute::remove(&self.target, &plural, reference, &mr.key(), &self.marks.cluster_id).await?;
        match removal {
            Removal::Deleted => drop(self.metrics.prunes.inc()),
            Removal::NotOurs => {
                let note = format!("{} is not deleted: it carries nothing of ours, somebody else created it", reference.object_key());
                self.events.publish(mr, Reason::NotOurs, &note);
            }
            _ => {}
        }
        Ok(removal)
    }

    async fn conclude(
        &self,
        mr: &Arc<ManagedResource>,
        plan: &Plan,
        loaded: &Loaded,
        failures: &BTreeMap<usize, String>,
        pruned: &Pruned,
    ) -> Result<Next, CallError> {
        let mut failed: Vec<String> = failures.values().cloned().collect();
        for (position, owner) in &plan.conflicts {
            let Some(object) = loaded.desired.get(*position) else { continue };
            let text = format!("{} is held by ManagedResource {owner}", object.key);
            self.events.publish(mr, Reason::Conflict, &text);
            failed.push(text);
        }
        let (outcome, notes) = outcome(mr, plan, loaded, failed, &pruned.pending);
        let mut status = mr.status.clone().unwrap_or_default();
        status.resources.clone_from(&plan.inventory);
        status.resources.retain(|reference| !pruned.dropped.contains(reference));
        plan::sort(&mut status.resources);
        status.secrets_data_checksum = Some(loaded.checksum.clone());
        if outcome.observes_generation() {
            status.observed_generation = mr.metadata.generation;
        }
        status::conclude(&mut status, &outcome, &notes, &now());
        self.announce(mr, &status, plan);
        self.write_status(mr, &status).await?;
        Ok(match outcome {
            Outcome::ApplyFailed(_) => Next::Backoff,
            _ if !failures.is_empty() || !plan.conflicts.is_empty() => Next::Backoff,
            _ if !pruned.pending.is_empty() || !plan.terminating.is_empty() => Next::After(self.pending_period),
            _ => Next::After(self.until_resync(&mr.key())),
        })
    }

    /// Events for what the conditions now say, if it is new.
    fn announce(&self, mr: &ManagedResource, status: &Status, plan: &Plan) {
        let find = |conditions: &[holdfast_core::api::Condition]| conditions.iter().find(|condition| condition.type_ == status::APPLIED).cloned();
        let Some(condition) = find(&status.conditions) else { return };
        let before = mr.status.as_ref().and_then(|status| find(&status.conditions));
        if before.is_some_and(|before| before.reason == condition.reason && before.message == condition.message) {
            return;
        }
        match condition.reason.as_str() {
            "ApplySucceeded" => self.events.publish(mr, Reason::Applied, &condition.message),
            "ApplyFailed" => self.events.publish(mr, Reason::ApplyFailed, &condition.message),
            "DecodingFailed" | "CannotReadSecret" if plan.held_back > 0 => self.events.publish(mr, Reason::HeldBack, &condition.message),
            _ => {}
        }
    }

    /// Time to the next pass that applies everything; up to a tenth later, so that they spread.
    fn until_resync(&self, key: &NamespacedName) -> Duration {
        let synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = synced.get(key).map(Instant::elapsed).unwrap_or_default();
        let spread = key.to_string().bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 100;
        (self.resync_period + self.resync_period / 1000 * spread).saturating_sub(elapsed)
    }

    pub(crate) async fn write_status(&self, mr: &Arc<ManagedResource>, status: &Status) -> Result<Arc<ManagedResource>, CallError> {
        let written = report::set_status(&self.source, mr, status).await?;
        Ok(written.map_or_else(|| Arc::clone(mr), |written| self.take_in(written)))
    }

    fn take_in(&self, mr: ManagedResource) -> Arc<ManagedResource> {
        let key = mr.key();
        self.world.upsert(mr.clone());
        self.world.mr(&key).filter(|known| known.metadata.resource_version == mr.metadata.resource_version).unwrap_or_else(|| Arc::new(mr))
    }
}

/// What became of the objects that are not declared any more.
#[derive(Default)]
struct Pruned {
    dropped: Vec<ResourceReference>,
    pending: Vec<String>,
    deleted: usize,
}

/// Which of the things that went wrong gives the condition its reason; the others are noted.
fn outcome(mr: &ManagedResource, plan: &Plan, loaded: &Loaded, failed: Vec<String>, pending: &[String]) -> (Outcome, Vec<String>) {
    let mut notes = status::not_yet(mr);
    notes.extend(loaded.duplicates.iter().map(|duplicate| {
        format!(
            "{} is declared twice, the manifest in Secret {}, key {:?}, document {} is not used",
            duplicate.key, duplicate.ignored.secret, duplicate.ignored.key, duplicate.ignored.document
        )
    }));
    let outcome = if !loaded.missing.is_empty() {
        notes.extend(loaded.decode_errors.iter().cloned());
        notes.extend(failed);
        Outcome::CannotReadSecret(loaded.missing.iter().map(|text| format!("{text}.")).collect(), plan.held_back)
    } else if !loaded.decode_errors.is_empty() {
        notes.extend(failed);
        Outcome::DecodingFailed(loaded.decode_errors.iter().map(|text| format!("{text}.")).collect(), plan.held_back)
    } else if !failed.is_empty() {
        notes.extend(pending.iter().cloned());
        Outcome::ApplyFailed(failed)
    } else if !pending.is_empty() {
        Outcome::DeletionPending(pending.to_vec())
    } else {
        Outcome::Succeeded
    };
    (outcome, notes)
}

/// The original's words (grm-behaviour §8.3).
pub(crate) fn pending_text(reference: &ResourceReference, error: Option<&CallError>) -> String {
    let ResourceReference { api_version, kind, namespace, name, .. } = reference;
    let text = format!("deletion of old resource \"{api_version}/{kind}/{namespace}/{name}\" is still pending");
    error.map_or_else(|| text.clone(), |error| format!("{text}: {error}"))
}

/// Time for conditions: seconds, UTC.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
