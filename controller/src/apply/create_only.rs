//! Objects that are only to be there: created when they are absent, and then left to others.

use holdfast_core::{
    deletion::orphan,
    field_ownership::foreign::Change,
    inventory::drift::{Applied, Observed, State},
    manifest::discovery::ApiInfo,
};
use serde_json::json;

use super::object::{Held, Task, kind_label};
use crate::{
    metrics,
    reconcile::Reconciler,
    target::{
        client::{self, ApplyError},
        partial_object,
    },
};

/// How often an object is looked at in one go. More than once only if somebody writes at the same moment.
const TRIES: usize = 5;

impl Reconciler {
    /// Creates one object if it is absent. If it is there, nothing is changed but what says that it is held.
    ///
    /// # Errors
    /// It is being deleted, or the server refuses, or no answer comes in time.
    pub(crate) async fn ensure(&self, task: Task<'_>) -> Result<Held, ApplyError> {
        let Task { object, digest, .. } = task;
        let info = task.info()?;
        let before = self.world.state(&object.key, digest);
        for _ in 0..TRIES {
            let (observed, is_created) = match self.look_or_create(task, info).await {
                Err(ApplyError::Call(error)) if error.is_conflict() => continue,
                result => result?,
            };
            let applied = Applied { manifest: digest, handling: object.handling, observed };
            self.world.applied(task.mr, &object.key, applied);
            let mut held = Held::default();
            if is_created && before == State::Missing {
                let kind = kind_label(object);
                self.metrics.repairs.get_or_create(&metrics::Repair { kind, cause: "deleted" }).inc();
                held.repaired = Some(Change::default());
            }
            return Ok(held);
        }
        Err(ApplyError::Contended)
    }

    /// The object as it is there now, and whether we created it.
    async fn look_or_create(&self, task: Task<'_>, info: &ApiInfo) -> Result<(Observed, bool), ApplyError> {
        let object = task.object;
        let (namespace, name) = (object.key.namespace(), object.key.name());
        let api = partial_object::api(&self.target, &object.gvk, &info.plural, namespace);
        let Some(live) = client::look(&self.gate, &api, name).await? else {
            let created = client::create(&self.gate, &self.target, info, object, false).await?;
            return Ok((self.observed(task, created), true));
        };
        if live.deletion_timestamp.is_some() {
            return Err(ApplyError::Dying);
        }
        let Some(patch) = orphan::patch_unheld(&json!({ "metadata": live }), object.handling) else {
            return Ok((self.observed(task, live), false));
        };
        let patched = client::patch_json(&self.gate, "take off marks", &api, name, &client::params(), patch).await?;
        Ok((self.observed(task, patched), false))
    }
}
