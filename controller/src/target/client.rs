//! The writes to the target: apply one object, delete one object.

use std::fmt::Debug;

use holdfast_core::{
    field_ownership::foreign,
    key::{Gvk, ObjectKey},
    manifest::{Desired, discovery::ApiInfo},
    names,
};
use holdfast_runtime::{
    api::Api,
    call::{CallError, withheld},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Client,
    api::{Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    partial_object::{Metadata, api},
    payload::{Content, Cut},
    write_gate::Gate,
};

/// An apply that the server did not accept.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The kind is not served.
    #[error("no matches for kind {:?} in version {:?}", .0.kind, .0.api_version())]
    UnknownKind(Gvk),
    /// The server keeps no objects of the kind, or shows none.
    #[error("objects of kind {} cannot be managed: it is served without the verbs {}", .gvk.group_kind(), .verbs.join(", "))]
    Unmanageable {
        /// The kind.
        gvk: Gvk,
        /// What is missing.
        verbs: Vec<&'static str>,
    },
    /// Nobody can tell whether an autoscaler scales the object, so its replicas may be those of others.
    #[error("it is not known whether a HorizontalPodAutoscaler scales it: {0}")]
    Autoscalers(String),
    /// It is being deleted, so nothing is written to it.
    #[error("it is being deleted; it is created again when it is gone")]
    Dying,
    /// An update is invalid, and the object is not, or not yet, created again.
    #[error("{why}: {words}")]
    NotReplaced {
        /// Why not.
        why: String,
        /// What may be shown of the server's words.
        words: String,
    },
    /// Somebody writes the object again and again while its foreign fields are being removed.
    #[error("others keep writing this object")]
    Contended,
    /// The server's words.
    #[error("{0}")]
    Call(#[from] CallError),
}

impl ApplyError {
    /// The body of a request could not be made.
    pub fn body(error: serde_json::Error) -> Self {
        Self::Call(CallError::Failed { what: "make the request".to_owned(), cause: kube::Error::SerdeError(error) })
    }

    /// What may be shown. The server's words can quote the manifest, so for Secrets only what kind of refusal it is, and
    /// which fields it is about.
    pub fn words(&self, object: &ObjectKey) -> String {
        match self {
            Self::Call(error) => words(error, object),
            _ => self.to_string(),
        }
    }

    /// The call that failed, if it was one.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Call(error) => Some(error),
            _ => None,
        }
    }

    /// The trouble has begun just now, and may be over at once.
    pub fn is_brief(&self) -> bool {
        self.call().and_then(CallError::on_hold).is_some_and(|hold| hold.is_brief)
    }

    /// The kind is not served any more, or not in this version: the server knows no such path.
    pub fn is_not_served(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_not_served())
    }

    /// The object that the write was meant for is gone: it carried another uid.
    pub fn is_uid_conflict(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_conflict())
    }
}

/// [`ApplyError::words`] for any call about an object.
pub fn words(error: &CallError, object: &ObjectKey) -> String {
    let CallError::Failed { what, cause: kube::Error::Api(status) } = error else { return error.to_string() };
    if object.kind() != "Secret" || !object.group().is_empty() {
        return error.to_string();
    }
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let fields: Vec<&str> = causes.map(|cause| cause.field.as_str()).filter(|field| !field.is_empty()).collect();
    let about = if fields.is_empty() { String::new() } else { format!(" about {}", fields.join(", ")) };
    format!("{what}: {}", withheld(status, &about))
}

/// Applies one object, and returns its metadata. What was made for an object with a uid only if it still is that object: the
/// server creates nothing then.
///
/// # Errors
/// The server refuses, or no answer comes in time.
pub async fn apply(
    gate: &Gate,
    client: &Client,
    info: &ApiInfo,
    desired: &Desired,
    cut: &Cut<'_>,
) -> Result<ObjectMeta, ApplyError> {
    let api = api(client, &desired.gvk, &info.plural, desired.key.namespace());
    let name = desired.key.name();
    let answer = match (&cut.content, &cut.uid) {
        // As a rule: what is created needs not even be read.
        (Content::Whole(body), None) => send(gate, &api, name, body.text()).await?,
        (Content::Whole(body), Some(uid)) => send(gate, &api, name, guarded(body.value(), uid)).await?,
        (Content::Part(value), None) => send(gate, &api, name, value).await?,
        (Content::Part(value), Some(uid)) => send(gate, &api, name, guarded(value.clone(), uid)).await?,
    };
    Ok(answer.metadata)
}

async fn send<B: Serialize + Debug>(
    gate: &Gate,
    api: &Api<Metadata>,
    name: &str,
    body: B,
) -> Result<Metadata, CallError> {
    gate.call("apply", api.patch(name, &applying(names::FIELD_MANAGER), &Patch::Apply(body))).await
}

/// Only for the object with this uid.
fn guarded(mut body: Value, uid: &str) -> Value {
    body["metadata"]["uid"] = uid.into();
    body
}

/// Puts `managedFields` in place that make foreign fields our own, so that the next apply removes those that are not
/// declared, or that release fields of ours. Returns the object's metadata; `None` if it has moved meanwhile.
///
/// # Errors
/// The server refuses, or no answer comes in time.
pub async fn adopt(
    gate: &Gate,
    client: &Client,
    info: &ApiInfo,
    desired: &Desired,
    managed_fields: &[Value],
    resource_version: &str,
) -> Result<Option<ObjectMeta>, ApplyError> {
    let api = api(client, &desired.gvk, &info.plural, desired.key.namespace());
    let patch = foreign::adoption_patch(managed_fields, resource_version);
    match patch_json(gate, "adopt", &api, desired.key.name(), &params(), patch).await {
        Ok(metadata) => Ok(Some(metadata)),
        Err(ApplyError::Call(error)) if error.is_conflict() || error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes the fields that [`foreign::Elsewhere`] has given to a manager of their own: an apply of nothing by it, through
/// their version.
///
/// # Errors
/// The server refuses, or no answer comes in time.
pub async fn remove_fields(
    gate: &Gate,
    client: &Client,
    info: &ApiInfo,
    gvk: &Gvk,
    object: &ObjectKey,
) -> Result<(), ApplyError> {
    let api: Api<Metadata> = api(client, gvk, &info.plural, object.namespace());
    let nothing = json!({ "apiVersion": gvk.api_version(), "kind": gvk.kind, "metadata": { "name": object.name() } });
    let params = applying(names::REMOVAL_MANAGER);
    match gate.call("remove fields", api.patch(object.name(), &params, &Patch::Apply(&nothing))).await {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

/// What makes a write ours.
pub fn params() -> PatchParams {
    params_of(names::FIELD_MANAGER)
}

/// What makes a write that of one of our field managers.
pub fn params_of(manager: &str) -> PatchParams {
    PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() }.validation_ignore()
}

/// The same for an apply, which takes fields from whoever has them.
///
/// Left to itself, the server reads the body of an apply a second time, only to warn of keys that it has twice: a fourteenth
/// of its CPU time for a ConfigMap of 1 kB (profile of Kubernetes 1.37.2). Ours cannot have any. Fields that the schema does
/// not have are refused all the same.
fn applying(manager: &str) -> PatchParams {
    PatchParams::apply(manager).force().validation_ignore()
}

/// Metadata of an object; `None` if there is none where its kind is served.
///
/// # Errors
/// The kind is not served, the server refuses, or no answer comes in time.
pub async fn look(gate: &Gate, api: &Api<Metadata>, name: &str) -> Result<Option<ObjectMeta>, CallError> {
    match gate.call("get", api.get(name)).await {
        Ok(live) => Ok(Some(live.metadata)),
        Err(error) if error.is_not_found() && !error.is_not_served() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates an object as its manifest says, and returns its metadata.
///
/// # Errors
/// It is there, the server refuses, or no answer comes in time.
pub async fn create(
    gate: &Gate,
    client: &Client,
    info: &ApiInfo,
    desired: &Desired,
    dry_run: bool,
) -> Result<ObjectMeta, ApplyError> {
    let api: Api<DynamicObject> = api(client, &desired.gvk, &info.plural, desired.key.namespace());
    let object: DynamicObject = serde_json::from_value(desired.body.value()).map_err(ApplyError::body)?;
    let params = PostParams { dry_run, field_manager: Some(names::FIELD_MANAGER.to_owned()) };
    let what = if dry_run { "create, as a dry run" } else { "create" };
    Ok(gate.call(what, api.create(&params, &object)).await?.metadata)
}

/// Sends a JSON patch, and returns the object's metadata.
///
/// # Errors
/// It is not a patch, the server refuses, or no answer comes in time.
pub async fn patch_json(
    gate: &Gate,
    what: &str,
    api: &Api<Metadata>,
    name: &str,
    params: &PatchParams,
    patch: Value,
) -> Result<ObjectMeta, ApplyError> {
    let patch: json_patch::Patch = serde_json::from_value(patch).map_err(ApplyError::body)?;
    Ok(gate.call(what, api.patch(name, params, &Patch::Json::<()>(patch))).await?.metadata)
}

/// Whether a CustomResourceDefinition is served.
///
/// # Errors
/// The server refuses, or no answer comes in time.
pub async fn is_established(gate: &Gate, client: &Client, name: &str) -> Result<bool, CallError> {
    let gvk = Gvk::new("apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let api: Api<DynamicObject> = api(client, &gvk, "customresourcedefinitions", "");
    let definition = gate.call("get CustomResourceDefinition", api.get(name)).await?;
    let conditions =
        definition.data.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True"))
}

#[cfg(test)]
mod tests {
    use kube::core::{
        Status,
        response::{StatusCause, StatusDetails},
    };

    use super::*;

    #[test]
    fn refusals_of_secrets_do_not_quote_them() {
        let status = Status {
            code: 422,
            reason: "Invalid".to_owned(),
            message: "Secret \"s\" is invalid: data[k]: Invalid value: \"hunter2\"".to_owned(),
            details: Some(StatusDetails {
                name: "s".to_owned(),
                group: String::new(),
                kind: "Secret".to_owned(),
                uid: String::new(),
                causes: vec![StatusCause {
                    field: "data[k]".to_owned(),
                    message: "hunter2".to_owned(),
                    reason: String::new(),
                }],
                retry_after_seconds: 0,
            }),
            ..Status::default()
        };
        let error =
            ApplyError::Call(CallError::Failed { what: "apply".to_owned(), cause: kube::Error::Api(status.boxed()) });
        let key = |kind: &str| ObjectKey::new("", kind, "d", "s");
        let words = error.words(&key("Secret"));
        assert!(words.starts_with("apply: Invalid (422) about data[k]") && !words.contains("hunter2"), "{words}");
        assert!(error.words(&key("ConfigMap")).contains("hunter2"), "other kinds keep the server's words");
    }
}
