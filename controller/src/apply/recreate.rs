//! Deleting and creating again what cannot be updated.

use holdfast_core::{
    deletion::recreate::{self, Replacement},
    field_ownership::adoption_policy,
    manifest::discovery::ApiInfo,
    names,
};
use kube::{api::Preconditions, core::response::StatusCause};
use serde_json::json;

use super::object::{Held, Task};
use crate::{
    prune::delete::{self, Removal},
    reconcile::Reconciler,
    target::{
        client::{self, ApplyError},
        partial_object,
    },
};

impl ApplyError {
    /// 422: the server understands the update and does not accept it.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Call(error) if error.status().is_some_and(|status| status.code == 422))
    }

    fn causes(&self) -> &[StatusCause] {
        let Self::Call(error) = self else { return &[] };
        error.status().and_then(|status| status.details.as_ref()).map_or(&[], |details| &details.causes)
    }
}

impl Reconciler {
    /// After an invalid update: where that is wanted, deletes the object and creates it again. In between it is in the
    /// inventory, so whoever leads next creates it.
    ///
    /// # Errors
    /// The update's, with what stands in the way of a replacement.
    pub(crate) async fn replace(&self, task: Task<'_>, invalid: ApplyError) -> Result<Held, ApplyError> {
        let object = task.object;
        let annotations = object.reference().annotations;
        let words = invalid.words(&object.key);
        let policy = match Replacement::of(&object.key, &annotations, invalid.causes()) {
            Replacement::No => return Err(invalid),
            Replacement::Unclear(why) => return Err(ApplyError::NotReplaced { why, words }),
            Replacement::Yes(policy) => policy,
        };
        let Some(info) = task.snapshot.kinds.get(&object.gvk) else { return Err(invalid) };
        let (namespace, name) = (object.key.namespace(), object.key.name());
        let api = partial_object::api(&self.target, &object.gvk, &info.plural, namespace);
        let Some(live) = client::look(&self.gate, &api, name).await? else {
            // It was the creation that is invalid.
            return Err(invalid);
        };
        if live.deletion_timestamp.is_some() {
            return Err(ApplyError::Dying);
        }
        let refuse = |why: &str| Err(ApplyError::NotReplaced { why: why.to_owned(), words: words.clone() });
        if !adoption_policy::is_ours(&json!({ "metadata": live }), task.mr, &self.marks.cluster_id) {
            return refuse("it is not deleted and created again, because it carries nothing of ours");
        }
        let keep = names::ANNOTATION_KEEP_OBJECT;
        let live_keep = live.annotations.as_ref().and_then(|map| map.get(keep));
        if live_keep.is_some_and(|value| names::is_truthy(value)) && annotations.get(keep).is_none() {
            return refuse("it is not deleted and created again, because others have set annotation keep-object on it");
        }
        if let Some(error) = self.creation_refused(task, info).await? {
            let why = format!("it is not deleted, because it could not be created again: {}", error.words(&object.key));
            return refuse(&why);
        }
        tracing::info!(object = %object.key, "deleting what cannot be updated, to create it again");
        let seen = Preconditions { uid: live.uid, resource_version: None };
        let removal = delete::delete(&self.gate, &api, name, policy, seen).await?;
        if matches!(removal, Removal::Pending { .. }) {
            return Err(ApplyError::NotReplaced {
                why: "deleted, and created again when it is gone".to_owned(),
                words,
            });
        }
        self.world.unguard(&object.key);
        let held = self.make_equal(task).await?;
        Ok(Held { replaced: Some(words), repaired: None, is_fight: false, adopted: Vec::new(), ..held })
    }

    /// Why the object could not be created if it were not there, as far as a dry run can tell.
    async fn creation_refused(&self, task: Task<'_>, info: &ApiInfo) -> Result<Option<ApplyError>, ApplyError> {
        match client::create(&self.gate, &self.target, info, task.object, true).await {
            Err(ApplyError::Call(error)) => match error.status() {
                Some(refusal) if recreate::may_be_created(refusal) => Ok(None),
                Some(_) if !error.is_transient() => Ok(Some(error.into())),
                _ => Err(error.into()),
            },
            result => result.map(|_| None),
        }
    }
}
