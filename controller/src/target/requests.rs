//! Requests about single objects: a pass waits for the answer as long as the resource is well.
//!
//! Where it is not (`holdfast_runtime::traffic`), the work goes on beside the passes, and so do the other objects of the
//! ManagedResource: what a sick kind costs is the time of a task that nobody waits for. Its end queues the ManagedResource.

use std::{
    collections::BTreeSet,
    future::Future,
    panic,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::key::{NamespacedName, ObjectKey};
use holdfast_runtime::{
    call::CallError,
    deferred::Deferred,
    traffic::{Resource, Standing, Traffic},
};
use tokio::{sync::SemaphorePermit, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    health::ResourceHealth,
    recovery::Recovery,
    slots::{HEALTH_INTERVAL, Slots},
    write_gate::WriteGate,
};
use crate::queue::Queue;

pub(crate) use super::slots::FromCall;

/// How long a pass waits for a doubtful resource.
const DOUBTFUL: Duration = Duration::from_millis(10);

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Apply,
    Delete,
    Get,
}

impl Verb {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Delete => "delete",
            Self::Get => "get",
        }
    }
}

/// Requests about one object, on behalf of a ManagedResource.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) mr: NamespacedName,
    pub(crate) object: ObjectKey,
    pub(crate) resource: Resource,
    pub(crate) verb: Verb,
}

/// The requests of a job.
pub(crate) type Work<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// What is to be done about work that a pass did not wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// The ManagedResource looks at it.
    Requeue,
    /// Nothing, or not before the resource is asked again.
    Wait,
}

impl Afterwards {
    /// An answer is worth a pass; that there is still none is not.
    pub(crate) fn of(error: Option<&CallError>) -> Self {
        if is_answer(error) { Self::Requeue } else { Self::Wait }
    }
}

/// Whether a call was answered, as far as that is known.
pub(crate) fn is_answer(error: Option<&CallError>) -> bool {
    error.is_none_or(|error| error.deferred().is_none())
}

/// Makes requests about objects.
#[derive(Clone)]
pub(crate) struct Requests(Arc<Inner>);

struct Inner {
    health: ResourceHealth,
    slots: Slots,
    recovery: Recovery,
    queue: Arc<Queue>,
    /// Objects with work that no pass waits for.
    detached: Mutex<BTreeSet<ObjectKey>>,
}

impl Requests {
    /// `width` requests at a time. `traffic` is what is sent to the target.
    pub(crate) fn new(gate: WriteGate, traffic: Traffic, width: usize, queue: Arc<Queue>) -> Self {
        let health = ResourceHealth { gate, traffic };
        let slots = Slots::new(health.clone(), width);
        Self(Arc::new(Inner { health, slots, recovery: Recovery::default(), queue, detached: Mutex::default() }))
    }

    /// Does work on one object of a ManagedResource, and waits for it as long as its resource is well. If it is not, the work goes
    /// on, and `late` decides what follows from its result. A ManagedResource with an error comes again when the resource is
    /// well.
    ///
    /// # Errors
    /// Those of the work; or there is no answer yet, because this work goes on or earlier work on this object does.
    pub(crate) async fn run<T, E>(
        &self,
        job: Job,
        work: Work<T, E>,
        late: impl FnOnce(Result<T, E>) -> Afterwards + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: FromCall + Send + 'static,
    {
        let Job { mr, object, resource, verb } = job.clone();
        let result = self.run_or_detach(job, work, late).await;
        let is_well = self.0.health.standing(&resource) == Standing::Well;
        let has_failed = || self.0.health.traffic.has_failed(&resource, object.namespace(), object.name());
        if !is_well && !has_failed() {
            self.0.recovery.add_untried(&mr, &resource);
        }
        let result = result.unwrap_or_else(|mut waiting| {
            // An apply that is under way may end at any moment.
            waiting.is_brief |= verb == Verb::Apply && self.0.detached().contains(&object);
            Err(CallError::Failed { what: verb.as_str().to_owned(), cause: waiting.into() }.into())
        });
        if result.is_err() && self.0.health.standing(&resource) != Standing::Well {
            self.0.recovery.add(&mr, &resource);
        }
        result
    }

    async fn run_or_detach<T, E>(
        &self,
        job: Job,
        work: Work<T, E>,
        late: impl FnOnce(Result<T, E>) -> Afterwards + Send + 'static,
    ) -> Result<Result<T, E>, Deferred>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let Job { mr, object, resource, .. } = job;
        let ResourceHealth { traffic, .. } = &self.0.health;
        let refusal = || traffic.refusal(&resource, object.namespace(), object.name());
        if self.0.detached().contains(&object) {
            return Err(refusal());
        }
        if traffic.standing(&resource) == Standing::Suspended {
            return Err(traffic.turn_away(&resource, object.namespace(), object.name()));
        }
        let mut task = tokio::spawn(work);
        let mut patience = if self.0.health.is_doubtful(&resource) { DOUBTFUL } else { HEALTH_INTERVAL };
        loop {
            match timeout(patience, &mut task).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) if error.is_panic() => panic::resume_unwind(error.into_panic()),
                // Only at the end of the process.
                Ok(Err(_)) => return Err(refusal()),
                Err(_) if self.0.health.is_doubtful(&resource) => break,
                Err(_) => patience = HEALTH_INTERVAL,
            }
        }
        let refusal = refusal();
        self.0.detached().insert(object.clone());
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let done = task.await;
            inner.detached().remove(&object);
            // If it is of no use, the ManagedResource is looked at when its turn comes.
            match done.map(late) {
                Ok(Afterwards::Requeue) => inner.queue.add(mr),
                Ok(Afterwards::Wait) => {}
                Err(error) => tracing::error!(%error, %object, "the task for this object panicked or was cancelled"),
            }
        });
        Err(refusal)
    }

    /// Makes the requests of one attempt when there is a slot for them, and again when the API server was too busy. Those for a
    /// `resource` that does not answer take no slot from others.
    ///
    /// # Errors
    /// Those of the last attempt.
    pub(crate) async fn with_slot<T, E, F>(&self, resource: &Resource, attempt: impl Fn() -> F) -> Result<T, E>
    where
        E: FromCall,
        F: Future<Output = Result<T, E>>,
    {
        self.0.slots.with_slot(resource, attempt).await
    }

    /// A slot for requests of which the resource does not matter.
    pub(crate) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        self.0.slots.regular().await
    }

    /// Queues a ManagedResource again.
    pub(crate) fn requeue(&self, mr: &NamespacedName) {
        self.0.queue.add(mr.clone());
    }

    /// Queues the ManagedResources that wait for a resource, when it answers again. Ends when the token is cancelled.
    ///
    /// # Errors
    /// None; as tasks are supervised.
    pub(crate) async fn run_recovery(self, token: CancellationToken) -> anyhow::Result<()> {
        self.0.recovery.run(&self.0.health, &self.0.queue, token).await;
        Ok(())
    }
}

impl Inner {
    fn detached(&self) -> MutexGuard<'_, BTreeSet<ObjectKey>> {
        self.detached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
