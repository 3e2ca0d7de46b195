//! One pass over a ManagedResource: read, plan, write the inventory ahead, apply in waves, prune, report.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use holdfast_core::{
    api::{ManagedResource, Repair},
    digest::Key,
    inventory::{
        plan::Plan,
        responsibility::{Phase, phase},
    },
    key::NamespacedName,
    manifest::waves::Wave,
    names,
};
use holdfast_runtime::{
    api::Api,
    call::{CallError, DEFAULT_LIMIT, call},
    traffic::Traffic,
};
use kube::Client;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    background::{Background, UNTIL_ANSWERED},
    deletion::Finished,
    drift::Steady,
    now,
    pause::{Known, Lasting},
    prune_barrier::Early,
    resync::Rhythms,
};
use crate::{
    apply::{adoption::Looks, kinds::unmanageable},
    config::{Args, PruneArg},
    desired::{Loaded, Marks, Unreadable},
    leader_election::Leadership,
    metrics::{self, Metrics},
    prune::{
        orphan::{Heir, Released},
        refusals::Retries,
    },
    queue::{Next, Queue},
    state::{How, World},
    status::{
        events::Events,
        result::{Failures, Pruned},
        writer,
    },
    target::{
        discovery::{Discoverer, Snapshot},
        rate_limit::Pace,
        slots::saying,
        write_gate::Gate,
    },
    watch::targets::Targets,
};

/// Secrets decoded at a time: bounds memory.
const DECODERS: usize = 2;
/// While the API server is out of reach. It does not grow: drift of the meantime is to be repaired soon after.
const AFTER_OUTAGE: Duration = Duration::from_secs(2);
/// Work that goes on beside the passes is announced when it takes longer.
const UNTIL_SAID: Duration = Duration::from_secs(1);
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
    pub(crate) repair: Repair,
    prune: PruneArg,
    pub(crate) garbage_collector: bool,
    pub(crate) queue: Arc<Queue>,
    pub(crate) targets: Targets,
    pub(crate) discoverer: Discoverer,
    pub(crate) requests: Semaphore,
    pub(crate) width: usize,
    pub(crate) decoders: Semaphore,
    pub(crate) rhythms: Rhythms,
    pub(crate) steady: Steady,
    pub(crate) known_pauses: Known,
    pub(crate) retries: Retries,
    pub(crate) finished: Finished,
    pub(crate) background: Background,
    pub(crate) looks: Looks,
    pub(crate) unreadable: Unreadable,
    pub(crate) early: Early,
    pub(crate) this: Weak<Reconciler>,
}

impl Reconciler {
    /// With the settings of the command line.
    #[allow(clippy::too_many_arguments, reason = "called once, from the wiring")]
    pub fn new(
        leadership: Leadership,
        pace: Arc<Pace>,
        source: Client,
        target: Client,
        args: &Args,
        digest_key: Key,
        world: Arc<World>,
        queue: Arc<Queue>,
        targets: Targets,
        source_traffic: Traffic,
        metrics: Metrics,
    ) -> Arc<Self> {
        let width = args.concurrent_requests.get();
        let gate = Gate::new(leadership.clone(), pace);
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
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
                guard: args.guard,
            },
            pending_period: args.pending_period,
            finalizer: names::finalizer_for(&args.class),
            class: args.class.clone(),
            repair: args.repair.into(),
            prune: args.prune,
            garbage_collector: args.garbage_collector,
            queue,
            targets,
            requests: Semaphore::new(width),
            width,
            decoders: Semaphore::new(DECODERS),
            rhythms: Rhythms::new(args.resync_period),
            steady: Steady::default(),
            known_pauses: Known::default(),
            retries: Retries::default(),
            finished: Finished::default(),
            background: Background::default(),
            looks: Looks::default(),
            unreadable: Unreadable::new(source_traffic),
            early: Early::default(),
        })
    }

    /// As leader, takes items from the queue until the token is cancelled; finishes the one in hand.
    pub async fn work(self: Arc<Self>, token: CancellationToken) -> anyhow::Result<()> {
        if self.leadership.wait().await.is_err() {
            // It is over before it began; the election says why.
            token.cancelled().await;
        }
        while let Some(key) = token.run_until_cancelled(self.queue.next()).await {
            self.gate.clear().await;
            let started = Instant::now();
            let result = Box::pin(self.pass(&key)).await;
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
                    self.world.cannot_plan(&key);
                    ("error", Next::Backoff)
                }
            };
            let label = metrics::Result { result: label };
            self.metrics.pass_seconds.get_or_create(&label).observe(started.elapsed().as_secs_f64());
            self.metrics.passes.get_or_create(&label).inc();
            self.queue.done(&key, next);
            self.end_early();
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
            self.forget(key);
            return Ok(Next::Done);
        };
        match phase(&mr, &self.class) {
            Phase::NotOurs => {
                self.forget(key);
                Ok(Next::Done)
            }
            Phase::WaitsForState | Phase::WaitsForCleanup => Ok(Next::Done),
            Phase::Ignored => self.ignore(&mr).await,
            Phase::Leaves => self.delete(&mr).await,
            Phase::Held => {
                self.tell_lossy(&mr);
                let (mr, asked) = self.welcome(mr).await?;
                Box::pin(self.hold(key, mr, asked)).await
            }
        }
    }

    fn forget(&self, key: &NamespacedName) {
        self.rhythms.forget(key);
        self.background.forget(key);
        self.finished.forget(key);
        self.looks.forget(key);
        self.unreadable.forget(key);
        self.early.forget(key);
        self.steady.clear(key);
        self.targets.retain_used();
    }

    /// Finalizer first, before anything is created; and the request for a reconcile is taken off.
    async fn welcome(&self, mut mr: Arc<ManagedResource>) -> Result<(Arc<ManagedResource>, bool), CallError> {
        if !mr.metadata.finalizers.as_ref().is_some_and(|list| list.contains(&self.finalizer)) {
            mr = self.world.wrote(writer::set_finalizer(&self.gate, &self.source, &mr, &self.finalizer, true).await?);
        }
        if mr.annotation(names::ANNOTATION_OPERATION) == Some(names::OPERATION_RECONCILE) {
            mr.inventory().iter().for_each(|reference| self.retries.forget(&reference.object_key()));
            mr = self.world.wrote(writer::remove_operation(&self.gate, &self.source, &mr).await?);
            self.world.ask(&mr.key());
        }
        // Perhaps by an earlier pass, which did not get that far.
        let asked = self.world.is_asked(&mr.key());
        Ok((mr, asked))
    }

    async fn hold(&self, key: &NamespacedName, mr: Arc<ManagedResource>, asked: bool) -> Result<Next, CallError> {
        let snapshot = self.discoverer.current().await?;
        let lasting = self.lasting(&mr);
        if !asked
            && !lasting.matters()
            && let Some(next) = self.repair(&mr, &snapshot).await
        {
            return Ok(next);
        }
        self.steady.clear(&mr.key());
        self.mark(&mr, &snapshot, |object| lasting.pauses.matches(object)).await;
        if let Some(next) = self.refuse(&mr, None, &now()).await? {
            return Ok(next);
        }
        let (mut loaded, mut snapshot) = self.load(&mr, snapshot).await?;
        if let Some(next) = self.refuse(&mr, Some(&loaded), &now()).await? {
            return Ok(next);
        }
        if loaded.heeds_autoscalers() {
            self.learn_autoscalers(&mr, &snapshot).await;
            (loaded, snapshot) = self.load(&mr, snapshot).await?;
        }
        let slice = self.rhythms.slice(&mr.key(), &loaded.desired, Instant::now());
        let due = if asked { 0..loaded.desired.len() } else { slice };
        self.world.owe(&mr.key(), loaded.desired.get(due).unwrap_or_default().iter().map(|object| &object.key));
        let (mut plan, mut refused) = self.plan(&mr, &loaded, &snapshot, &lasting).await?;
        let mut mr = mr;
        let mut failures = Failures::new();

        if let Some(definitions) = plan.apply.remove(&Wave::Definitions) {
            mr = self.write_ahead(mr, &plan, &loaded, &now()).await?;
            failures = self.apply(&mr, &loaded, &snapshot, &plan.fresh, &definitions, self.width).await;
            snapshot = self.established(&loaded, &definitions, &failures, snapshot).await;
            (loaded, snapshot) = self.load(&mr, snapshot).await?;
            (plan, refused) = self.plan(&mr, &loaded, &snapshot, &lasting).await?;
            plan.apply.remove(&Wave::Definitions);
        }
        // If it is said late, the time is that of saying it.
        let ahead = async { self.write_ahead(Arc::clone(&mr), &plan, &loaded, &now()).await };
        let (written, result) = if plan.write_ahead {
            let written = ahead.await?;
            let result = self.carry_out(&written, &plan, &loaded, &snapshot, failures).await;
            (written, result)
        } else {
            // The inventory is as it was, so nothing can leak: that something is going on may be said meanwhile.
            let work = Box::pin(self.carry_out(&mr, &plan, &loaded, &snapshot, failures));
            let (written, result) = saying(ahead, work).await;
            (written.transpose()?.unwrap_or(mr), result)
        };
        let mr = written;
        let Some((mut failures, pruned)) = result else { return Ok(Next::After(self.early.pause(key))) };
        if self.look_for_hidden(key, &plan, &loaded, &snapshot).await {
            return Ok(Next::After(Duration::ZERO));
        }
        if pruned.deleted > 0 && !failures.is_empty() {
            // What stood in the way, such as a node port in use, may be gone now.
            let again: Vec<usize> = failures.keys().copied().collect();
            failures = self.apply(&mr, &loaded, &snapshot, &plan.fresh, &again, self.width).await;
        }
        failures.append(&mut refused);
        if let Some(open) = self.background.leaves_open(key, &failures, &pruned) {
            if open > UNTIL_SAID {
                self.write_ahead(mr, &plan, &loaded, &now()).await?;
            }
            return Ok(Next::After(UNTIL_ANSWERED));
        }
        self.conclude(&mr, &plan, &loaded, &failures, &pruned, &now()).await
    }

    /// The plan, and a text for each object that is not to be taken over.
    async fn plan(
        &self,
        mr: &ManagedResource,
        loaded: &Loaded,
        snapshot: &Snapshot,
        lasting: &Lasting,
    ) -> Result<(Plan, Failures), CallError> {
        let mut refused = unmanageable(loaded, &snapshot.kinds);
        refused.extend(self.first_contact(mr, loaded, snapshot).await?);
        let status = mr.status.as_ref();
        // A change of what is wanted is a sync; only what others did is left where it is to be.
        let is_news = status.and_then(|status| status.secrets_data_checksum.as_ref()) != Some(&loaded.checksum)
            || status.and_then(|status| status.observed_generation) != mr.metadata.generation;
        let repair = mr.repair(self.repair) == Repair::Watch;
        let how = How {
            repair: repair || is_news || lasting.is_any_over,
            refused: refused.keys().copied().collect(),
            pauses: lasting.pauses.clone(),
            garbage_collector: self.garbage_collector,
        };
        let plan = self.world.plan_and_claim(mr, loaded, &how);
        // After the claims, or another pass would end the watches as unused.
        for kind in &loaded.kinds {
            self.targets.ensure(kind, &snapshot.kinds);
        }
        // What another ManagedResource holds is its business, and said elsewhere.
        let conflicts = |position: &usize| plan.conflicts.iter().any(|(other, _)| other == position);
        let refused = refused.into_iter().filter(|(position, _)| !conflicts(position)).collect();
        Ok((plan, refused))
    }

    /// Applies, then releases and prunes. `None` if it is too early to prune.
    async fn carry_out(
        &self,
        mr: &ManagedResource,
        plan: &Plan,
        loaded: &Loaded,
        snapshot: &Snapshot,
        mut failures: Failures,
    ) -> Option<(Failures, Pruned)> {
        for positions in plan.apply.values() {
            failures.extend(self.apply(mr, loaded, snapshot, &plan.fresh, positions, self.width).await);
        }
        let Released { dropped: mut released, failed: mut unreleased } =
            self.release(mr, plan.released.iter(), Heir::Others).await;
        if plan.drops_any() && !self.world.is_everyone_planned() {
            // Another one may want what this one drops, and has not said so yet.
            return None;
        }
        for (references, heir) in [(&plan.spared, Heir::Cluster), (&plan.collectable, Heir::GarbageCollector)] {
            let Released { dropped, failed } = self.release(mr, references.iter(), heir).await;
            released.extend(dropped);
            unreleased.extend(failed);
        }
        if self.prune == PruneArg::OnSuccess && !failures.is_empty() {
            let (dropped, held_back) = ([plan.handed_over.clone(), released].concat(), plan.prune.len());
            return Some((failures, Pruned { dropped, unreleased, held_back, ..Pruned::default() }));
        }
        let mut pruned = self.prune(mr, plan).await;
        pruned.dropped.extend(released);
        pruned.unreleased = unreleased;
        Some((failures, pruned))
    }
}
