//! Writing objects.

use std::fmt::Debug;

use holdfast_core::{
    field_ownership::external_fields,
    key::{Gvk, ObjectKey},
    manifest::{Desired, discovery::ApiInfo},
    names,
};
use holdfast_runtime::{api::Api, call::CallError};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    api::{Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Endpoint, JsonPatch, TargetClient};
use crate::target::{
    error::ApplyError,
    partial_object::PartialObject,
    payload::{ApplyPayload, PayloadFields},
};

impl TargetClient {
    /// Applies one object, and returns its metadata. A payload that was made for an object with a uid is applied only if it
    /// still is that object: the server creates nothing then.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time.
    pub(crate) async fn apply(
        &self,
        info: &ApiInfo,
        desired: &Desired,
        payload: &ApplyPayload<'_>,
    ) -> Result<ObjectMeta, ApplyError> {
        let api = self.api(&Endpoint::new(&desired.gvk, info), desired.key.namespace());
        let name = desired.key.name();
        let answer = match (&payload.fields, &payload.uid) {
            // As a rule: what is created needs not even be read.
            (PayloadFields::All(body), None) => self.send(&api, name, body.text()).await?,
            (PayloadFields::All(body), Some(uid)) => self.send(&api, name, with_uid(body.value(), uid)).await?,
            (PayloadFields::Managed(value), None) => self.send(&api, name, value).await?,
            (PayloadFields::Managed(value), Some(uid)) => self.send(&api, name, with_uid(value.clone(), uid)).await?,
        };
        Ok(answer.metadata)
    }

    async fn send<B: Serialize + Debug>(
        &self,
        api: &Api<PartialObject>,
        name: &str,
        body: B,
    ) -> Result<PartialObject, CallError> {
        self.gate.call("apply", api.patch(name, &apply_params(names::FIELD_MANAGER), &Patch::Apply(body))).await
    }

    /// Puts `managedFields` in place: they make external fields our own, so that the next apply removes those that are not
    /// declared, or they release fields of ours. Returns the object's metadata; `None` if it has moved meanwhile.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time.
    pub(crate) async fn set_managed_fields(
        &self,
        info: &ApiInfo,
        desired: &Desired,
        managed_fields: &[Value],
        resource_version: &str,
    ) -> Result<Option<ObjectMeta>, ApplyError> {
        let operations = external_fields::adoption_patch(managed_fields, resource_version);
        let endpoint = Endpoint::new(&desired.gvk, info);
        match self.patch_json(JsonPatch::new("adopt", operations), &endpoint, &desired.key).await {
            Ok(metadata) => Ok(Some(metadata)),
            Err(ApplyError::Call(error)) if error.is_conflict() || error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the fields that [`external_fields::OtherVersion`] has given to a manager of their own: an apply of nothing by it, through
    /// their version.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time.
    pub(crate) async fn remove_fields(&self, info: &ApiInfo, gvk: &Gvk, object: &ObjectKey) -> Result<(), ApplyError> {
        let api: Api<PartialObject> = self.api(&Endpoint::new(gvk, info), object.namespace());
        let name = object.name();
        let nothing = json!({ "apiVersion": gvk.api_version(), "kind": gvk.kind, "metadata": { "name": name } });
        let params = apply_params(names::REMOVAL_MANAGER);
        match self.gate.call("remove fields", api.patch(name, &params, &Patch::Apply(&nothing))).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Creates an object as its manifest says, and returns its metadata.
    ///
    /// # Errors
    /// It is there, the server refuses, or no answer comes in time.
    pub(crate) async fn create(
        &self,
        info: &ApiInfo,
        desired: &Desired,
        dry_run: DryRun,
    ) -> Result<ObjectMeta, ApplyError> {
        let api: Api<DynamicObject> = self.api(&Endpoint::new(&desired.gvk, info), desired.key.namespace());
        let object: DynamicObject = serde_json::from_value(desired.body.value()).map_err(ApplyError::body)?;
        let dry_run = dry_run == DryRun::Yes;
        let params = PostParams { dry_run, field_manager: Some(names::FIELD_MANAGER.to_owned()) };
        let what = if dry_run { "create, as a dry run" } else { "create" };
        Ok(self.gate.call(what, api.create(&params, &object)).await?.metadata)
    }
}

/// Whether the server only says what it would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DryRun {
    Yes,
    No,
}

/// Only for the object with this uid.
fn with_uid(mut body: Value, uid: &str) -> Value {
    body["metadata"]["uid"] = uid.into();
    body
}

/// What makes a write an apply, which takes fields from whoever has them.
///
/// Left to itself, the server reads the body of an apply a second time, only to warn of keys that it has twice: a fourteenth
/// of its CPU time for a ConfigMap of 1 kB (profile of Kubernetes 1.37.2). Ours cannot have any. Fields that the schema does
/// not have are refused all the same.
fn apply_params(manager: &str) -> PatchParams {
    PatchParams::apply(manager).force().validation_ignore()
}
