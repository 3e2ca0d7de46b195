//! Metadata of objects of any kind: all that is read of them.

use std::borrow::Cow;

use holdfast_core::key::Gvk;
use holdfast_runtime::api::Api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Client, Resource,
    core::{ApiResource, DynamicResourceScope},
};
use serde::Deserialize;

/// An object, as far as it is read. What kube has for this collects each object in an intermediate form before it reads it,
/// which costs as much again.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PartialObject {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
}

/// Implements [`Resource`] for an object of a kind that is known at run time; `is_metadata` if the API server is asked for
/// metadata only.
macro_rules! dynamic_resource {
    ($object:ty, is_metadata: $is_metadata:literal) => {
        impl Resource for $object {
            type DynamicType = ApiResource;
            type Scope = DynamicResourceScope;

            fn metadata_api() -> bool {
                $is_metadata
            }

            fn kind(resource: &ApiResource) -> Cow<'_, str> {
                resource.kind.as_str().into()
            }

            fn group(resource: &ApiResource) -> Cow<'_, str> {
                resource.group.as_str().into()
            }

            fn version(resource: &ApiResource) -> Cow<'_, str> {
                resource.version.as_str().into()
            }

            fn api_version(resource: &ApiResource) -> Cow<'_, str> {
                resource.api_version.as_str().into()
            }

            fn plural(resource: &ApiResource) -> Cow<'_, str> {
                resource.plural.as_str().into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
pub(crate) use dynamic_resource;

dynamic_resource!(PartialObject, is_metadata: true);

/// The API of a kind in a namespace, or of all for cluster-scoped kinds.
pub fn api<K>(client: &Client, gvk: &Gvk, plural: &str, namespace: &str) -> Api<K>
where
    K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    let resource = api_resource(gvk, plural);
    if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// kube's name for a kind.
pub fn api_resource(gvk: &Gvk, plural: &str) -> ApiResource {
    ApiResource {
        group: gvk.group.clone(),
        version: gvk.version.clone(),
        api_version: gvk.api_version(),
        kind: gvk.kind.clone(),
        plural: plural.to_owned(),
    }
}
