//! Deleting objects.

use holdfast_core::key::ObjectKey;
use holdfast_runtime::call::CallError;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};

use super::{Endpoint, TargetClient};
use crate::target::partial_object::PartialObject;

/// What the server says to a deletion.
#[derive(Debug)]
pub(crate) enum DeleteAnswer {
    /// The object is gone.
    Deleted,
    /// There was none.
    NotFound,
    /// Finalizers hold it; its metadata.
    Terminating(Box<ObjectMeta>),
}

impl TargetClient {
    /// Sends a deletion of the object with the uid of `preconditions`.
    ///
    /// # Errors
    /// There is no uid, so that any object could be hit, the server refuses, or no answer comes in time.
    pub(crate) async fn delete(
        &self,
        endpoint: &Endpoint,
        object: &ObjectKey,
        propagation_policy: Option<PropagationPolicy>,
        preconditions: Preconditions,
    ) -> Result<DeleteAnswer, CallError> {
        if preconditions.uid.as_deref().is_none_or(str::is_empty) {
            let cause = kube::Error::Service("the object was seen without a uid, so it is not deleted".into());
            return Err(CallError::Failed { what: "delete".to_owned(), cause });
        }
        let params = DeleteParams { propagation_policy, preconditions: Some(preconditions), ..DeleteParams::default() };
        let api = self.api::<PartialObject>(endpoint, object.namespace());
        match self.gate.call("delete", api.delete(object.name(), &params)).await {
            // The server answers with the object while something holds it, and with a bare status when it is gone.
            Ok(Some(answer)) if answer.metadata.deletion_timestamp.is_some() => {
                Ok(DeleteAnswer::Terminating(Box::new(answer.metadata)))
            }
            Ok(_) => Ok(DeleteAnswer::Deleted),
            Err(error) if error.is_not_found() && !error.is_not_served() => Ok(DeleteAnswer::NotFound),
            Err(error) => Err(error),
        }
    }
}
