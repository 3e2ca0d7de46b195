//! Deleting one object of an inventory.

use holdfast_core::{
    api::ResourceReference,
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
    Client,
    api::{DeleteParams, ListParams, Patch, PostParams, Preconditions, PropagationPolicy},
    core::{DynamicObject, ObjectMeta},
};
use serde_json::{Value, json};

use crate::target::{
    client,
    partial_object::{self, Metadata},
    write_gate::Gate,
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
    Kept,
    /// A garbage collector deletes it.
    LeftToCollector,
    /// It carries nothing of ours: somebody else created it under the same name.
    NotOurs,
    /// It is being deleted; finalizers hold it.
    Pending {
        /// Somebody else has to take one of them off, and not Kubernetes itself.
        by_others: bool,
    },
    /// Another ManagedResource has it, or waits for it.
    LeftToAnother,
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
    #[error("{words}")]
    TooEarly {
        /// Why.
        words: String,
        /// How far it was then.
        progress: Progress,
    },
}

impl RemovalError {
    /// The call that failed, if it was one.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Call(error) | Self::Claims(error) => Some(error),
            Self::Unclear(_) | Self::Unserved(_) | Self::TooEarly { .. } => None,
        }
    }

    /// What may be shown. The server's words can quote a Secret.
    pub fn words(&self, object: &ObjectKey) -> String {
        self.call().map_or_else(|| self.to_string(), |error| client::words(error, object))
    }

    /// Trying again is of little use: it is done ever more seldom. Whoever does not answer at all may do so in a moment.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Call(error) | Self::Claims(error) => error.is_refusal(),
            Self::Unclear(_) | Self::Unserved(_) => true,
            Self::TooEarly { .. } => false,
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
            Self::TooEarly { progress, .. } => *progress,
        }
    }

    /// The kind is not served any more, or not in this version.
    pub fn is_not_served(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_not_served())
    }
}

/// An object that is to be deleted.
pub(crate) struct Candidate<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) client: &'a Client,
    /// As it is served now.
    pub(crate) plural: &'a str,
    pub(crate) gvk: &'a Gvk,
    pub(crate) reference: &'a ResourceReference,
    /// Of the ManagedResource that held it.
    pub(crate) origin: &'a str,
    /// The claims that a StatefulSet has created go with it.
    pub(crate) with_claims: bool,
}

impl Candidate<'_> {
    /// Deletes it if it is ours: its live metadata shows our field manager or the ManagedResource's origin. What was read
    /// is the precondition, so that a newer object of the same name is never hit.
    ///
    /// With `known`, the object as a watch saw it last, nothing is read: its resource version is a precondition, too.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time, or the manifest says something that cannot be understood.
    pub(crate) async fn remove(&self, known: Option<&Observed>) -> Result<Removal, RemovalError> {
        let api = self.api();
        let name = &self.reference.name;
        let with_claims = self.with_claims && self.gvk.kind == "StatefulSet" && self.gvk.group == "apps";
        let is_plain =
            |known: &&Observed| known.entry.is_some() && known.kept == Some(false) && !known.deleting && !with_claims;
        if let Some(known) = known.filter(is_plain) {
            let seen =
                Preconditions { uid: Some(known.uid.clone()), resource_version: Some(known.resource_version.clone()) };
            match self.delete(&api, seen).await {
                Err(error) if error.is_conflict() => {}
                result => return Ok(result?),
            }
        }
        let Some(live) = self.metadata(&api).await? else { return Ok(Removal::Gone) };
        let annotation = |key: &str| live.annotations.as_ref().and_then(|map| map.get(key));
        let is_ours = field_set::has_own_entry(&json!({ "metadata": { "managedFields": live.managed_fields } }))
            || annotation(names::ANNOTATION_ORIGIN).is_some_and(|found| found == self.origin);
        if !is_ours {
            return Ok(Removal::NotOurs);
        }
        if annotation(names::ANNOTATION_KEEP_OBJECT).is_some_and(|value| names::is_truthy(value)) {
            return Ok(Removal::Kept);
        }
        if with_claims {
            self.delete_claims().await.map_err(RemovalError::Claims)?;
        }
        if live.deletion_timestamp.is_some() {
            return self.finalize(&api, &live).await;
        }
        let seen = Preconditions { uid: live.uid.clone(), resource_version: None };
        match self.delete(&api, seen).await {
            // Another object may have taken its name meanwhile; what we held is gone then. But admission says 409, too, and
            // so do Namespaces that are being emptied.
            Err(error) if error.is_conflict() => {
                let now = client::look(self.gate, &api, name).await?;
                if now.is_some_and(|now| now.uid == live.uid) { Err(error.into()) } else { Ok(Removal::Gone) }
            }
            result => Ok(result?),
        }
    }

    fn api(&self) -> Api<Metadata> {
        partial_object::api(self.client, self.gvk, self.plural, &self.reference.namespace)
    }

    /// For reading it whole.
    fn whole(&self) -> Api<DynamicObject> {
        partial_object::api(self.client, self.gvk, self.plural, &self.reference.namespace)
    }

    /// Metadata of the live object, `None` if there is none.
    async fn metadata(&self, api: &Api<Metadata>) -> Result<Option<ObjectMeta>, CallError> {
        client::look(self.gate, api, &self.reference.name).await
    }

    async fn delete(&self, api: &Api<Metadata>, seen: Preconditions) -> Result<Removal, CallError> {
        // CronJobs would leave their Jobs behind otherwise (grm-behaviour §8.2).
        let foreground = matches!(self.gvk.group.as_str(), "apps" | "extensions" | "batch");
        let policy = foreground.then_some(PropagationPolicy::Foreground);
        delete(self.gate, api, &self.reference.name, policy, seen).await
    }

    /// Deletes the claims that a StatefulSet has created and that are not in deletion yet.
    async fn delete_claims(&self) -> Result<(), CallError> {
        let live = self.gate.call("get", self.whole().get(&self.reference.name)).await?;
        let mut stateful_set = live.data;
        stateful_set["metadata"] = json!({ "name": live.metadata.name });
        let Some(claims) = Claims::of(&stateful_set) else { return Ok(()) };
        let kind = Gvk::new("v1", "PersistentVolumeClaim");
        let api: Api<Metadata> =
            partial_object::api(self.client, &kind, "persistentvolumeclaims", &self.reference.namespace);
        let selected = ListParams::default().labels(&claims.selector);
        for claim in self.gate.call("list PersistentVolumeClaims", api.list(&selected)).await? {
            let name = claim.metadata.name.unwrap_or_default();
            if claims.contains(&name) && claim.metadata.deletion_timestamp.is_none() {
                let seen = Preconditions { uid: claim.metadata.uid, resource_version: None };
                delete(self.gate, &api, &name, None, seen).await?;
            }
        }
        Ok(())
    }

    /// Removes the finalizers of an object in deletion, if its manifest says so and it is time.
    async fn finalize(&self, api: &Api<Metadata>, live: &ObjectMeta) -> Result<Removal, RemovalError> {
        match finalize::decide(&json!({ "metadata": live }), jiff::Timestamp::now()) {
            Finalize::Unclear(why) => return Err(RemovalError::Unclear(why)),
            Finalize::No | Finalize::In(_) => return Ok(pending(live)),
            Finalize::Now => {}
        }
        let object = self.reference.object_key();
        let name = &self.reference.name;
        let mut is_written = false;
        if live.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty()) {
            let patch = json!({"metadata": {
                "uid": live.uid, "resourceVersion": live.resource_version, "finalizers": Value::Null,
            }});
            let (params, patch) = (client::params(), Patch::Merge(&patch));
            match self.gate.call("remove finalizers", api.patch(name, &params, &patch)).await {
                // Others were quicker: look again.
                Err(error) if error.is_conflict() => return Ok(pending(live)),
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => is_written = true,
            }
        }
        if self.gvk.kind == "Namespace" && self.gvk.group.is_empty() {
            is_written |= self.finalize_namespace(live).await?;
        }
        if !is_written {
            return Ok(pending(live));
        }
        tracing::warn!(%object, "removed the finalizers that held its deletion");
        Ok(self.metadata(api).await?.map_or(Removal::Finalized, |live| pending(&live)))
    }

    /// Namespaces are held by finalizers in their specification, which only a subresource can remove. (The original fails
    /// here.)
    async fn finalize_namespace(&self, live: &ObjectMeta) -> Result<bool, CallError> {
        let (api, name) = (self.whole(), &self.reference.name);
        let mut namespace = match self.gate.call("get", api.get(name)).await {
            Err(error) if error.is_not_found() => return Ok(true),
            namespace => namespace?,
        };
        let is_held = namespace.data["spec"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
        if namespace.metadata.uid != live.uid || !is_held {
            return Ok(false);
        }
        namespace.data["spec"]["finalizers"] = json!([]);
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.gate.call("finalize", api.replace_subresource("finalize", name, &params, &namespace)).await {
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(true),
        }
    }
}

/// An object in deletion.
fn pending(live: &ObjectMeta) -> Removal {
    Removal::Pending { by_others: deletion::are_of_others(live.finalizers.iter().flatten()) }
}

/// Sends a deletion of the object with the uid of `preconditions`.
///
/// # Errors
/// There is no uid, so that any object could be hit, the server refuses, or no answer comes in time.
pub(crate) async fn delete(
    gate: &Gate,
    api: &Api<Metadata>,
    name: &str,
    propagation_policy: Option<PropagationPolicy>,
    preconditions: Preconditions,
) -> Result<Removal, CallError> {
    if preconditions.uid.as_deref().is_none_or(str::is_empty) {
        let cause = kube::Error::Service("the object was seen without a uid, so it is not deleted".into());
        return Err(CallError::Failed { what: "delete".to_owned(), cause });
    }
    let params = DeleteParams { propagation_policy, preconditions: Some(preconditions), ..DeleteParams::default() };
    match gate.call("delete", api.delete(name, &params)).await {
        // The server answers with the object while something holds it, and with a bare status when it is gone.
        Ok(Some(object)) if object.metadata.deletion_timestamp.is_some() => Ok(pending(&object.metadata)),
        Ok(_) => Ok(Removal::Deleted),
        Err(error) if error.is_not_found() && !error.is_not_served() => Ok(Removal::Gone),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
