//! What is done about a ManagedResource, by its phase.

use std::{sync::Arc, time::Duration};

use holdfast_core::{
    api::{ManagedResource, Repair},
    inventory::responsibility::{Responsibility, responsibility_of},
    key::NamespacedName,
    names,
};
use holdfast_runtime::call::CallError;

use super::memory::Memory;
use crate::{
    apply::Applier,
    config::{Args, PruneArg},
    desired::Loader,
    prune::Pruner,
    queue::{Next, Queue},
    state::ClusterState,
    status::{source::Presence, writer::StatusWriter},
    target::Target,
    watch::objects::ObjectWatches,
};

/// After somebody else wrote the ManagedResource at the same time.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);

/// The stages of a pass, before it reports.
pub(crate) struct Stages {
    pub(crate) loader: Loader,
    pub(crate) applier: Arc<Applier>,
    pub(crate) pruner: Arc<Pruner>,
}

/// What the settings say about ManagedResources.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Which ManagedResources are ours.
    pub(crate) class: String,
    /// When drift is repaired where they do not say.
    pub(crate) repair: Repair,
    /// When what is not declared any more is deleted.
    pub(crate) prune: PruneArg,
    /// There is a garbage collector.
    pub(crate) garbage_collector: bool,
    /// Time between two looks at a deletion that takes long.
    pub(crate) pending_period: Duration,
    /// In which every object is applied again.
    pub(crate) resync_period: Duration,
}

impl Policy {
    /// As the command line says.
    pub(super) fn of(args: &Args) -> Self {
        Self {
            class: args.class.clone(),
            repair: args.repair.into(),
            prune: args.prune,
            garbage_collector: args.garbage_collector,
            pending_period: args.pending_period,
            resync_period: args.resync_period,
        }
    }

    /// Our finalizer.
    pub(super) fn finalizer(&self) -> String {
        names::finalizer_for(&self.class)
    }
}

/// Reconciles ManagedResources.
pub(crate) struct Reconciler {
    pub(super) state: Arc<ClusterState>,
    pub(super) queue: Arc<Queue>,
    pub(super) target: Arc<Target>,
    pub(super) watches: ObjectWatches,
    pub(super) stages: Stages,
    pub(super) status: StatusWriter,
    pub(super) memory: Memory,
    pub(super) policy: Policy,
}

impl Reconciler {
    /// Nothing is remembered yet.
    pub(crate) fn new(
        state: Arc<ClusterState>,
        queue: Arc<Queue>,
        target: Arc<Target>,
        watches: ObjectWatches,
        stages: Stages,
        status: StatusWriter,
        policy: Policy,
    ) -> Self {
        let memory = Memory::new(policy.resync_period);
        Self { state, queue, target, watches, stages, status, memory, policy }
    }

    /// Does what a ManagedResource needs now. Returns when the next look at it is due.
    ///
    /// # Errors
    /// Somebody else wrote the ManagedResource meanwhile (409), an API server refuses, or no answer comes in time.
    pub(crate) async fn reconcile(&self, key: &NamespacedName) -> Result<Next, CallError> {
        let Some(mr) = self.state.managed_resources.get(key) else {
            self.forget(key);
            return Ok(Next::Done);
        };
        match responsibility_of(&mr, &self.policy.class) {
            Responsibility::Foreign => {
                self.forget(key);
                Ok(Next::Done)
            }
            Responsibility::WaitsForState | Responsibility::WaitsForCleanup => Ok(Next::Done),
            Responsibility::Paused => self.ignore(&mr).await,
            Responsibility::Release => self.delete(&mr).await,
            Responsibility::Reconcile => {
                self.status.announce_foreign_crd(&mr);
                let mr = self.ensure_finalizer(mr).await?;
                Box::pin(self.reconcile_objects(mr)).await
            }
        }
    }

    /// A pass failed, and nobody is to wait for its plan.
    pub(super) fn give_up_plan(&self, key: &NamespacedName) {
        self.state.managed_resources.set_unplannable(key);
    }

    /// Reads a ManagedResource again, of which what we know is out of date.
    pub(super) async fn refresh(&self, key: &NamespacedName) -> Next {
        match self.status.source().get(key).await {
            Ok(mr) => {
                self.state.upsert(mr);
                Next::After(AFTER_CONFLICT)
            }
            Err(error) if error.is_not_found() => Next::Done,
            Err(error) => {
                tracing::warn!(managed_resource = %key, %error, "cannot read the ManagedResource; trying again");
                Next::Backoff
            }
        }
    }

    fn forget(&self, key: &NamespacedName) {
        self.memory.forget(key);
        self.stages.loader.forget(key);
        self.stages.applier.forget(key);
        self.status.forget(key);
        self.watches.retain_used();
    }

    /// Adds our finalizer before anything is created, and takes off the annotation that asks for a reconcile.
    async fn ensure_finalizer(&self, mut mr: Arc<ManagedResource>) -> Result<Arc<ManagedResource>, CallError> {
        let finalizer = self.policy.finalizer();
        if !mr.metadata.finalizers.as_ref().is_some_and(|list| list.contains(&finalizer)) {
            mr = self.status.set_finalizer(&mr, &finalizer, Presence::Present).await?;
        }
        if mr.annotation(names::ANNOTATION_OPERATION) == Some(names::OPERATION_RECONCILE) {
            mr.inventory().iter().for_each(|reference| self.stages.pruner.forget_refusal(&reference.object_key()));
            mr = self.status.remove_operation(&mr).await?;
            self.state.managed_resources.request_apply(&mr.key());
        }
        Ok(mr)
    }
}
