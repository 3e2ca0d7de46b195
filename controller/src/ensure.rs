//! Objects that are only to be there: created when they are absent, and then left to others.

use std::marker::PhantomData;

use holdfast_core::{
    discovery::ApiInfo,
    drift::{Applied, Observed, State},
    foreign::Change,
    key::ObjectKey,
    names, release,
};
use kube::{
    api::{Patch, PatchParams, PostParams},
    core::{DynamicObject, PartialObjectMeta},
};
use serde_json::json;

use crate::{
    execute::{self, ApplyError},
    hold::{Held, Task, kind_label},
    metrics,
    reconcile::Reconciler,
    targets::observed,
};

/// How often an object is looked at in one go. More than once only if somebody writes at the same moment.
const TRIES: usize = 5;

impl Reconciler {
    /// Creates one object if it is absent. If it is there, nothing is changed but what says that it is held.
    ///
    /// # Errors
    /// It is being deleted, or the server refuses, or no answer comes in time.
    pub(crate) async fn ensure(&self, task: Task<'_>) -> Result<Held, ApplyError> {
        let Task { object, digest, snapshot, .. } = task;
        let Some(info) = snapshot.kinds.get(&object.gvk) else {
            return Err(ApplyError::UnknownKind((*object.gvk).clone()));
        };
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
        let (object, key) = (task.object, &self.digest_key);
        let ObjectKey { kind, namespace, name, .. } = &object.key;
        let api = execute::api(&self.target, &object.gvk, &info.plural, namespace);
        let live = match self.gate.call("get", api.get_metadata(name)).await {
            Ok(live) if live.metadata.deletion_timestamp.is_some() => return Err(ApplyError::Dying),
            Ok(live) => live,
            Err(error) if error.is_not_found() => {
                let body: DynamicObject = serde_json::from_value(object.body.value()).map_err(ApplyError::body)?;
                let params =
                    PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
                let created = self.gate.call("create", api.create(&params, &body)).await?;
                let metadata = PartialObjectMeta { types: None, metadata: created.metadata, _phantom: PhantomData };
                return Ok((observed(&metadata, kind, object.preserve, task.reach, key), true));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(patch) = release::patch_unheld(&json!({ "metadata": live.metadata }), object.handling) else {
            return Ok((observed(&live, kind, object.preserve, task.reach, key), false));
        };
        let patch: json_patch::Patch = serde_json::from_value(patch).map_err(ApplyError::body)?;
        let params = PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Json::<()>(patch);
        let patched = self.gate.call("take off marks", api.patch_metadata(name, &params, &patch)).await?;
        Ok((observed(&patched, kind, object.preserve, task.reach, key), false))
    }
}
