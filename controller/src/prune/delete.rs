//! Deleting one object of an inventory.

use holdfast_core::{
    deletion::{
        self, Claims, Progress,
        finalize::{self, Finalize},
    },
    field_set,
    inventory::drift::Observed,
    key::{Gvk, ObjectKey},
    names,
};
use holdfast_runtime::{api::Api, call::CallError};
use kube::{
    api::{ListParams, PostParams, Preconditions, PropagationPolicy},
    core::{DynamicObject, ObjectMeta},
};
use serde_json::{Value, json};

use super::refusals::Refusal;
use crate::target::{
    client::{DeleteAnswer, Endpoint, TargetClient},
    error,
    partial_object::PartialObject,
};

/// What became of an object that is not wanted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, and was there before.
    Deleted,
    /// It is gone, because we removed the finalizers that held it for longer than its manifest allows.
    Finalized,
    /// It was gone already.
    Gone,
    /// It says of itself that it is to be kept.
    Retained,
    /// A garbage collector deletes it.
    Collectable,
    /// It carries nothing of ours: somebody else created it under the same name.
    NotOurs,
    /// It is being deleted; finalizers hold it.
    Pending {
        /// Somebody else has to take one of them off, and not Kubernetes itself.
        by_foreign_finalizers: bool,
    },
    /// Another ManagedResource has it, or waits for it.
    OwnedByAnother,
}

/// Why an object could not be deleted.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The server's words.
    #[error("{0}")]
    Call(#[from] CallError),
    /// The claims of a StatefulSet could not be deleted.
    #[error("failed cleaning up PersistentVolumeClaims of StatefulSet: {0}")]
    Claims(CallError),
    /// What its manifest says about finalizers cannot be understood.
    #[error("{0}")]
    Unclear(String),
    /// Nobody serves its kind, and nobody knows whether there are objects of it.
    #[error("{0}")]
    Unserved(String),
    /// It was refused a moment ago.
    #[error("{}", .0.words)]
    TooEarly(Refusal),
}

impl RemovalError {
    /// The call that failed, if it was one.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Call(error) | Self::Claims(error) => Some(error),
            Self::Unclear(_) | Self::Unserved(_) | Self::TooEarly(_) => None,
        }
    }

    /// What may be shown. The server's words can quote a Secret.
    pub fn words(&self, object: &ObjectKey) -> String {
        self.call().map_or_else(|| self.to_string(), |error| error::words(error, object))
    }

    /// Trying again is of little use: it is done ever more seldom. Whoever does not answer at all may do so in a moment.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Call(error) | Self::Claims(error) => error.is_refusal(),
            Self::Unclear(_) | Self::Unserved(_) => true,
            Self::TooEarly(_) => false,
        }
    }

    /// What is known of the deletion all the same. Only an answer that says no says that it has not begun.
    pub fn progress(&self) -> Progress {
        match self {
            Self::Call(error) | Self::Claims(error) => match error.status().map(|status| status.code) {
                Some(404 | 408 | 409 | 429) | None => Progress::Unanswered,
                Some(400..500) => Progress::Refused,
                Some(_) => Progress::Unanswered,
            },
            Self::Unclear(_) => Progress::Refused,
            Self::Unserved(_) => Progress::Unserved,
            Self::TooEarly(refusal) => refusal.progress,
        }
    }

    /// The kind is not served any more, or not in this version.
    pub fn is_not_served(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_not_served())
    }
}

/// An object that is to be deleted.
pub(crate) struct Candidate<'a> {
    pub(crate) client: &'a TargetClient,
    /// Where it is served now.
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) object: &'a ObjectKey,
    /// Of the ManagedResource that held it.
    pub(crate) origin: &'a str,
    /// The claims that a StatefulSet has created go with it.
    pub(crate) with_claims: bool,
}

impl Candidate<'_> {
    /// Deletes it if it is ours: its live metadata shows our field manager or the ManagedResource's origin. What was read
    /// is the precondition, so that a newer object of the same name is never hit.
    ///
    /// With `seen`, the object as a watch saw it last, nothing is read: its resource version is a precondition, too.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time, or the manifest says something that cannot be understood.
    pub(crate) async fn remove(&self, seen: Option<&Observed>) -> Result<Removal, RemovalError> {
        let gvk = &self.endpoint.gvk;
        let with_claims = self.with_claims && gvk.kind == "StatefulSet" && gvk.group == "apps";
        let is_plain = |seen: &&Observed| {
            seen.entry.is_some() && seen.keep_object == Some(false) && !seen.deleting && !with_claims
        };
        if let Some(seen) = seen.filter(is_plain) {
            let preconditions =
                Preconditions { uid: Some(seen.uid.clone()), resource_version: Some(seen.resource_version.clone()) };
            match self.delete(preconditions).await {
                Err(error) if error.is_conflict() => {}
                result => return Ok(result?),
            }
        }
        let Some(live) = self.get().await? else { return Ok(Removal::Gone) };
        let annotation = |key: &str| live.annotations.as_ref().and_then(|map| map.get(key));
        let is_ours = field_set::has_own_entry(&json!({ "metadata": { "managedFields": live.managed_fields } }))
            || annotation(names::ANNOTATION_ORIGIN).is_some_and(|found| found == self.origin);
        if !is_ours {
            return Ok(Removal::NotOurs);
        }
        if annotation(names::ANNOTATION_KEEP_OBJECT).is_some_and(|value| names::is_truthy(value)) {
            return Ok(Removal::Retained);
        }
        if with_claims {
            self.delete_claims().await.map_err(RemovalError::Claims)?;
        }
        if live.deletion_timestamp.is_some() {
            return self.finalize(&live).await;
        }
        let seen = Preconditions { uid: live.uid.clone(), resource_version: None };
        match self.delete(seen).await {
            // Another object may have taken its name meanwhile; what we held is gone then. But admission says 409, too, and
            // so do Namespaces that are being emptied.
            Err(error) if error.is_conflict() => {
                let now = self.get().await?;
                if now.is_some_and(|now| now.uid == live.uid) { Err(error.into()) } else { Ok(Removal::Gone) }
            }
            result => Ok(result?),
        }
    }

    /// Metadata of the live object, `None` if there is none.
    async fn get(&self) -> Result<Option<ObjectMeta>, CallError> {
        self.client.get(self.endpoint, self.object).await
    }

    async fn delete(&self, seen: Preconditions) -> Result<Removal, CallError> {
        // CronJobs would leave their Jobs behind otherwise.
        let foreground = matches!(self.endpoint.gvk.group.as_str(), "apps" | "extensions" | "batch");
        let policy = foreground.then_some(PropagationPolicy::Foreground);
        Ok(match self.client.delete(self.endpoint, self.object, policy, seen).await? {
            DeleteAnswer::Deleted => Removal::Deleted,
            DeleteAnswer::NotFound => Removal::Gone,
            DeleteAnswer::Terminating(live) => pending(&live),
        })
    }

    /// Deletes the claims that a StatefulSet has created and that are not in deletion yet.
    async fn delete_claims(&self) -> Result<(), CallError> {
        let live = self.client.get_whole(self.endpoint, self.object).await?;
        let mut stateful_set = live.data;
        stateful_set["metadata"] = json!({ "name": live.metadata.name });
        let Some(claims) = Claims::of(&stateful_set) else { return Ok(()) };
        let gvk = Gvk::new("v1", "PersistentVolumeClaim");
        let endpoint = Endpoint { gvk, plural: "persistentvolumeclaims".to_owned() };
        let namespace = self.object.namespace();
        let api: Api<PartialObject> = self.client.api(&endpoint, namespace);
        let selected = ListParams::default().labels(&claims.selector);
        for claim in self.client.gate().call("list PersistentVolumeClaims", api.list(&selected)).await? {
            let name = claim.metadata.name.unwrap_or_default();
            if claims.contains(&name) && claim.metadata.deletion_timestamp.is_none() {
                let seen = Preconditions { uid: claim.metadata.uid, resource_version: None };
                let object = ObjectKey::new("", "PersistentVolumeClaim", namespace, &name);
                self.client.delete(&endpoint, &object, None, seen).await?;
            }
        }
        Ok(())
    }

    /// Removes the finalizers of an object in deletion, if its manifest says so and it is time.
    async fn finalize(&self, live: &ObjectMeta) -> Result<Removal, RemovalError> {
        match finalize::decide(&json!({ "metadata": live }), jiff::Timestamp::now()) {
            Finalize::Unclear(why) => return Err(RemovalError::Unclear(why)),
            Finalize::No | Finalize::In(_) => return Ok(pending(live)),
            Finalize::Now => {}
        }
        let mut is_written = false;
        if live.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty()) {
            let patch = json!({"metadata": {
                "uid": live.uid, "resourceVersion": live.resource_version, "finalizers": Value::Null,
            }});
            match self.client.patch_merge("remove finalizers", self.endpoint, self.object, &patch).await {
                // Others were quicker: look again.
                Err(error) if error.is_conflict() => return Ok(pending(live)),
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => is_written = true,
            }
        }
        if self.endpoint.gvk.kind == "Namespace" && self.endpoint.gvk.group.is_empty() {
            is_written |= self.finalize_namespace(live).await?;
        }
        if !is_written {
            return Ok(pending(live));
        }
        tracing::warn!(object = %self.object, "removed the finalizers that held its deletion");
        Ok(self.get().await?.map_or(Removal::Finalized, |live| pending(&live)))
    }

    /// Namespaces are held by finalizers in their specification, which only a subresource can remove. (Gardener Resource Manager
    /// fails here.)
    async fn finalize_namespace(&self, live: &ObjectMeta) -> Result<bool, CallError> {
        let mut namespace = match self.client.get_whole(self.endpoint, self.object).await {
            Err(error) if error.is_not_found() => return Ok(true),
            namespace => namespace?,
        };
        let has_finalizers =
            namespace.data["spec"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        if namespace.metadata.uid != live.uid || !has_finalizers {
            return Ok(false);
        }
        namespace.data["spec"]["finalizers"] = json!([]);
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let api: Api<DynamicObject> = self.client.api(self.endpoint, self.object.namespace());
        let name = self.object.name();
        let written = api.replace_subresource("finalize", name, &params, &namespace);
        match self.client.gate().call("finalize", written).await {
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(true),
        }
    }
}

/// An object in deletion.
fn pending(live: &ObjectMeta) -> Removal {
    Removal::Pending { by_foreign_finalizers: deletion::any_external(live.finalizers.iter().flatten()) }
}

#[cfg(test)]
mod tests;
