//! An object of any kind with what it declares.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Resource,
    core::{ApiResource, DynamicResourceScope},
};
use serde::Deserialize;
use serde_json::Value;

use crate::target::partial_object::dynamic_resource;

/// An object, as far as anything is kept of whole ones: what else there is needs a field here. It is read without an intermediate
/// form, like [`crate::target::partial_object::PartialObject`].
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct FullObject {
    #[serde(default)]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: Value,
}

dynamic_resource!(FullObject, is_metadata: false);
