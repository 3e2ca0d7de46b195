//! Our CA in our two webhook configurations, so that the API server trusts us.
//!
//! Only the field `caBundle` is written, and only where it differs; every replica does it, and they agree because they
//! share the CA.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_runtime::call::{CallError, DEFAULT_LIMIT, call};
use holdfast_runtime::readiness::Latch;
use holdfast_runtime::reminder::Reminder;
use json_patch::Patch as JsonPatch;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::certificates::Current;
use crate::changes::Changes;

/// How often the configuration is looked at without a sign of change.
const INTERVAL: Duration = Duration::from_secs(30);

/// Registration is not possible now.
#[derive(Debug, thiserror::Error)]
enum RegistrationError {
    #[error("the {0} does not exist; waiting")]
    Missing(String),
    #[error("registration: {0}")]
    Call(#[from] CallError),
    #[error("registration: the patch cannot be written")]
    Patch(#[from] serde_json::Error),
}

/// A webhook configuration.
pub trait Configuration:
    kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static
{
    /// The CA bundle of each webhook, in order.
    fn bundles(&self) -> Vec<Option<&ByteString>>;
}

impl Configuration for ValidatingWebhookConfiguration {
    fn bundles(&self) -> Vec<Option<&ByteString>> {
        self.webhooks.iter().flatten().map(|webhook| webhook.client_config.ca_bundle.as_ref()).collect()
    }
}

impl Configuration for MutatingWebhookConfiguration {
    fn bundles(&self) -> Vec<Option<&ByteString>> {
        self.webhooks.iter().flatten().map(|webhook| webhook.client_config.ca_bundle.as_ref()).collect()
    }
}

/// Keeps the bundle in the configuration `name` equal to that of `certificate` until the token is cancelled. Trouble is
/// logged and waited out. `latch` is set when it was right for the first time.
pub async fn keep<K: Configuration>(
    client: Client,
    name: String,
    mut certificate: Current,
    latch: Latch,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let api: Api<K> = Api::all(client.clone());
    let mut changes = Changes::of::<K>(Api::all(client), &name, INTERVAL);
    let mut reminder = Reminder::default();
    loop {
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            () = certificate.changed() => {}
            () = changes.next() => {}
        }
        let Some(loaded) = certificate.get() else { continue };
        match register(&api, &name, &loaded.bundle).await {
            Ok(()) => {
                reminder.clear();
                latch.set(true);
            }
            Err(error) => reminder.warn(&error.to_string()),
        }
    }
}

async fn register<K: Configuration>(api: &Api<K>, name: &str, bundle: &[u8]) -> Result<(), RegistrationError> {
    let described = format!("{} {name}", K::kind(&()));
    let found = call(DEFAULT_LIMIT, format!("get {described}"), api.get_opt(name)).await?;
    let found = found.ok_or_else(|| RegistrationError::Missing(described.clone()))?;
    let Some(patch) = patch(&found, bundle)? else { return Ok(()) };
    let (params, patch) = (PatchParams::default(), Patch::<()>::Json(patch));
    match call(DEFAULT_LIMIT, format!("patch {described}"), api.patch(name, &params, &patch)).await {
        Ok(_) => {
            tracing::info!("our CA is registered in {described}");
            Ok(())
        }
        // Changed since it was read, most likely by the other replica: the watch brings us back.
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What is to be written, if anything.
fn patch(found: &impl Configuration, bundle: &[u8]) -> Result<Option<JsonPatch>, serde_json::Error> {
    let bundles = found.bundles().into_iter().enumerate();
    let wrong = bundles.filter(|(_, current)| current.is_none_or(|current| current.0 != bundle));
    let wrong: Vec<usize> = wrong.map(|(index, _)| index).collect();
    if wrong.is_empty() {
        return Ok(None);
    }
    // Replacing it by itself makes the server answer 409 if the list is not the one that the indices were counted in.
    let guard = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": found.meta().resource_version});
    let writes = wrong.into_iter().map(|index| {
        json!({"op": "add", "path": format!("/webhooks/{index}/clientConfig/caBundle"), "value": STANDARD.encode(bundle)})
    });
    serde_json::from_value(std::iter::once(guard).chain(writes).collect()).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn only_wrong_bundles_are_written() {
        let webhook = |bundle: Value| {
            json!({"name": "x", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "clientConfig": {"service": {"name": "s", "namespace": "n"}, "caBundle": bundle}})
        };
        let configuration = |bundles: [Value; 3]| -> ValidatingWebhookConfiguration {
            serde_json::from_value(json!({"metadata": {"resourceVersion": "7"}, "webhooks": bundles.map(webhook)}))
                .unwrap()
        };
        let (right, wrong) = (json!(STANDARD.encode("ca")), json!(STANDARD.encode("old")));
        assert_eq!(patch(&configuration([right.clone(), right.clone(), right.clone()]), b"ca").unwrap(), None);
        let patch = patch(&configuration([wrong, right.clone(), Value::Null]), b"ca").unwrap().unwrap();
        assert_eq!(
            serde_json::to_value(patch).unwrap(),
            json!([
                {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": right},
                {"op": "add", "path": "/webhooks/2/clientConfig/caBundle", "value": right},
            ])
        );
    }
}
