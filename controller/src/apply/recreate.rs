//! Deleting and creating again what cannot be updated.

use holdfast_core::{
    deletion::recreate::{self, RecreatePolicy},
    field_ownership::adoption_policy,
    manifest::discovery::ApiInfo,
    names,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{api::Preconditions, core::response::StatusCause};
use serde_json::json;

use super::{Applier, context::ApplyContext};
use crate::target::{
    client::{DeleteAnswer, DryRun, Endpoint},
    error::ApplyError,
};

/// The object was deleted, and is to be created again.
pub(super) struct Recreated {
    /// What the server said to the update.
    pub(super) words: String,
}

impl ApplyError {
    /// 422: the server understands the update and does not accept it.
    pub(super) fn is_invalid(&self) -> bool {
        matches!(self, Self::Call(error) if error.status().is_some_and(|status| status.code == 422))
    }

    fn causes(&self) -> &[StatusCause] {
        let Self::Call(error) = self else { return &[] };
        error.status().and_then(|status| status.details.as_ref()).map_or(&[], |details| &details.causes)
    }
}

impl Applier {
    /// After an invalid update: where that is wanted, deletes the object, to create it again. In between it is in the inventory,
    /// so whoever leads next creates it.
    ///
    /// # Errors
    /// The update's, with what stands in the way of a replacement.
    pub(super) async fn delete_to_recreate(
        &self,
        context: ApplyContext<'_>,
        invalid: ApplyError,
    ) -> Result<Recreated, ApplyError> {
        let object = context.object;
        let words = invalid.words(&object.key);
        let policy = match RecreatePolicy::of(&object.key, &object.reference().annotations, invalid.causes()) {
            RecreatePolicy::No => return Err(invalid),
            RecreatePolicy::Unclear(why) => return Err(ApplyError::NotRecreated { why, words }),
            RecreatePolicy::Yes(policy) => policy,
        };
        let Some(info) = context.snapshot.kinds.get(&object.gvk) else { return Err(invalid) };
        let (client, endpoint) = (&self.target.client, Endpoint::new(&object.gvk, info));
        let Some(live) = client.get(&endpoint, &object.key).await? else {
            // It was the creation that is invalid.
            return Err(invalid);
        };
        if live.deletion_timestamp.is_some() {
            return Err(ApplyError::Terminating);
        }
        if let Some(why) = self.why_not_deleted(context, info, &live).await? {
            return Err(ApplyError::NotRecreated { why, words });
        }
        tracing::info!(object = %object.key, "deleting what cannot be updated, to create it again");
        let seen = Preconditions { uid: live.uid, resource_version: None };
        if let DeleteAnswer::Terminating(_) = client.delete(&endpoint, &object.key, policy, seen).await? {
            let why = "deleted, and created again when it is gone".to_owned();
            return Err(ApplyError::NotRecreated { why, words });
        }
        self.state.objects.clear_uid_precondition(&object.key);
        Ok(Recreated { words })
    }

    /// What speaks against deleting the live object.
    async fn why_not_deleted(
        &self,
        context: ApplyContext<'_>,
        info: &ApiInfo,
        live: &ObjectMeta,
    ) -> Result<Option<String>, ApplyError> {
        if !adoption_policy::is_ours(&json!({ "metadata": live }), context.mr, &self.cluster_id) {
            let why = "it is not deleted and created again, because it carries nothing of ours";
            return Ok(Some(why.to_owned()));
        }
        let keep = names::ANNOTATION_KEEP_OBJECT;
        let live_keep = live.annotations.as_ref().and_then(|map| map.get(keep));
        let has_keep_annotation = live_keep.is_some_and(|value| names::is_truthy(value));
        if has_keep_annotation && context.object.reference().annotations.get(keep).is_none() {
            let why = "it is not deleted and created again, because others have set annotation keep-object on it";
            return Ok(Some(why.to_owned()));
        }
        let refusal = self.refusal_to_create(context, info).await?;
        Ok(refusal.map(|error| {
            let words = error.words(&context.object.key);
            format!("it is not deleted, because it could not be created again: {words}")
        }))
    }

    /// Why the object could not be created if it were not there, as far as a dry run can tell.
    async fn refusal_to_create(
        &self,
        context: ApplyContext<'_>,
        info: &ApiInfo,
    ) -> Result<Option<ApplyError>, ApplyError> {
        match self.target.client.create(info, context.object, DryRun::Yes).await {
            Err(ApplyError::Call(error)) => match error.status() {
                Some(refusal) if recreate::may_be_created(refusal) => Ok(None),
                Some(_) if !error.is_transient() => Ok(Some(error.into())),
                _ => Err(error.into()),
            },
            result => result.map(|_| None),
        }
    }
}
