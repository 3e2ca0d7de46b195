//! Requests about ManagedResources: finalizer, annotations, status.

use std::{borrow::Cow, fmt::Debug};

use holdfast_core::{
    api::{ManagedResource, Status},
    key::{Gvk, NamespacedName},
    names,
};
use holdfast_runtime::{
    api::Api,
    call::{CallError, DEFAULT_LIMIT, call},
};
use http::{HeaderValue, header};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Client, Resource as _, api::Patch, core::PartialObjectMeta};
use serde::Serialize;
use serde_json::{Value, json};

use crate::target::{
    client,
    partial_object::{self, PartialObject},
    write_gate::WriteGate,
};

/// The answer without the object's content.
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// The cluster of the ManagedResources, while this process leads.
#[derive(Clone)]
pub(crate) struct SourceClient {
    client: Client,
    gate: WriteGate,
}

impl SourceClient {
    /// Sends requests by `client`, each through `gate`.
    pub(crate) fn new(client: Client, gate: WriteGate) -> Self {
        Self { client, gate }
    }

    /// Reads a ManagedResource, also while another process may lead.
    ///
    /// # Errors
    /// There is none, the server refuses, or no answer comes in time.
    pub(crate) async fn get(&self, key: &NamespacedName) -> Result<ManagedResource, CallError> {
        let what = format!("get ManagedResource {key}");
        call(DEFAULT_LIMIT, what, self.api(&key.namespace).get(&key.name)).await
    }

    /// Metadata of a Namespace; `None` if there is none.
    ///
    /// # Errors
    /// The server refuses, or no answer comes in time.
    pub(crate) async fn get_namespace(&self, name: &str) -> Result<Option<ObjectMeta>, CallError> {
        let api: Api<PartialObject> = partial_object::api(&self.client, &Gvk::new("v1", "Namespace"), "namespaces", "");
        client::get_metadata(&self.gate, &api, name).await
    }

    /// Adds our finalizer or removes it, guarded by the resource version. Returns the ManagedResource as stored.
    ///
    /// # Errors
    /// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
    pub(crate) async fn set_finalizer(
        &self,
        mr: &ManagedResource,
        finalizer: &str,
        presence: Presence,
    ) -> Result<ManagedResource, CallError> {
        let mut finalizers = mr.metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|name| name != finalizer);
        if presence == Presence::Present {
            finalizers.push(finalizer.to_owned());
        }
        // Of a large ManagedResource, a JSON patch costs the API server half as much as a merge patch.
        let operations = json!([
            { "op": "replace", "path": "/metadata/resourceVersion", "value": mr.metadata.resource_version },
            { "op": "add", "path": "/metadata/finalizers", "value": finalizers },
        ]);
        let what = "patch the finalizers of the ManagedResource";
        let patch: json_patch::Patch = serde_json::from_value(operations)
            .map_err(|error| CallError::Failed { what: what.to_owned(), cause: kube::Error::SerdeError(error) })?;
        self.patch(mr, what, &Patch::Json::<()>(patch)).await
    }

    /// Removes the annotation that asked for a reconcile, guarded by the resource version.
    ///
    /// # Errors
    /// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time.
    pub(crate) async fn remove_operation(&self, mr: &ManagedResource) -> Result<ManagedResource, CallError> {
        let version = &mr.metadata.resource_version;
        let patch =
            json!({ "metadata": { "resourceVersion": version, "annotations": { names::ANNOTATION_OPERATION: null } } });
        self.patch(mr, "patch the annotations of the ManagedResource", &Patch::Merge(patch)).await
    }

    /// Only the metadata comes back: the patch must be guarded, so that the rest is what we know.
    async fn patch<P: Serialize + Debug>(
        &self,
        mr: &ManagedResource,
        what: &str,
        patch: &Patch<P>,
    ) -> Result<ManagedResource, CallError> {
        let NamespacedName { namespace, name } = mr.key();
        let api = self.api(&namespace);
        let metadata = self.gate.call(what, api.patch_metadata(&name, &client::params(), patch)).await?;
        Ok(ManagedResource { metadata: metadata.metadata, ..mr.clone() })
    }

    /// Writes the status, guarded by the resource version. Returns the ManagedResource as stored.
    ///
    /// An update and no patch: of a large inventory, a patch costs the API server twice as much (measured). The server takes
    /// nothing but the status from it.
    ///
    /// # Errors
    /// Somebody else wrote meanwhile (409), the server refuses, or no answer comes in time. With [`is_unknown_field`], the
    /// CustomResourceDefinition does not keep `status.pending`.
    pub(crate) async fn set_status(&self, mr: &ManagedResource, status: &Status) -> Result<ManagedResource, CallError> {
        let what = "update the status of the ManagedResource";
        let NamespacedName { namespace, name } = mr.key();
        let has_pending = status.resources.iter().any(|reference| reference.pending);
        let update = Update {
            api_version: ManagedResource::api_version(&()),
            kind: ManagedResource::kind(&()),
            metadata: json!({ "name": name, "namespace": namespace, "resourceVersion": mr.metadata.resource_version }),
            spec: json!({ "secretRefs": [] }),
            status,
        };
        let request = serde_json::to_vec(&update).map_err(kube::Error::SerdeError).and_then(|body| {
            let path = self.api(&namespace).path(&name)?;
            // Objects are created only after this has named them. Where it would be dropped, it has to be refused.
            let validation = if has_pending { "Strict" } else { "Ignore" };
            let query = format!("fieldManager={}&fieldValidation={validation}", names::FIELD_MANAGER);
            http::Request::put(format!("{path}/status?{query}"))
                .header(header::CONTENT_TYPE, "application/json")
                // Of a large inventory, the answer would cost as much as the request.
                .header(header::ACCEPT, METADATA_ONLY)
                .body(body)
                .map_err(kube::Error::HttpError)
        });
        let request = request.map_err(|cause| CallError::Failed { what: what.to_owned(), cause })?;
        let stored: PartialObjectMeta<ManagedResource> = self.gate.call(what, self.client.request(request)).await?;
        // The status is what was sent, as far as the server knows its fields; the watch tells when it does not.
        Ok(ManagedResource { metadata: stored.metadata, spec: mr.spec.clone(), status: Some(status.clone()) })
    }

    fn api(&self, namespace: &str) -> Api<ManagedResource> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// Whether something is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Present,
    Absent,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    api_version: Cow<'a, str>,
    kind: Cow<'a, str>,
    metadata: Value,
    spec: Value,
    status: &'a Status,
}

/// Whether the server refused a field because its CustomResourceDefinition does not have it.
pub(super) fn is_unknown_field(error: &CallError) -> bool {
    error.status().is_some_and(|status| status.code == 400 && status.message.contains("unknown field \"status."))
}
