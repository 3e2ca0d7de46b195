//! Our CA in our ValidatingWebhookConfiguration, so that the API server trusts us.
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
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::certificates::Current;
use crate::changes::Changes;

/// How often the configuration is looked at without a sign of change.
const INTERVAL: Duration = Duration::from_secs(30);

/// Registration is not possible now.
#[derive(Debug, thiserror::Error)]
enum RegistrationError {
    #[error("the ValidatingWebhookConfiguration {0} does not exist; waiting")]
    Missing(String),
    #[error("registration: {0}")]
    Call(#[from] CallError),
    #[error("registration: the patch cannot be written")]
    Patch(#[from] serde_json::Error),
}

/// Keeps the bundle in the configuration `name` equal to that of `certificate` until the token is cancelled. Trouble is
/// logged and waited out. `latch` is set when it was right for the first time.
pub async fn keep(
    client: Client,
    name: String,
    mut certificate: Current,
    latch: Latch,
    token: CancellationToken,
) -> anyhow::Result<()> {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mut changes = Changes::of::<ValidatingWebhookConfiguration>(Api::all(client), &name, INTERVAL);
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

async fn register(
    api: &Api<ValidatingWebhookConfiguration>,
    name: &str,
    bundle: &[u8],
) -> Result<(), RegistrationError> {
    let what = format!("get ValidatingWebhookConfiguration {name}");
    let found = call(DEFAULT_LIMIT, what, api.get_opt(name)).await?;
    let found = found.ok_or_else(|| RegistrationError::Missing(name.to_owned()))?;
    let Some(patch) = patch(&found, bundle)? else { return Ok(()) };
    let what = format!("patch ValidatingWebhookConfiguration {name}");
    let (params, patch) = (PatchParams::default(), Patch::<()>::Json(patch));
    match call(DEFAULT_LIMIT, what, api.patch(name, &params, &patch)).await {
        Ok(_) => {
            tracing::info!("our CA is registered in ValidatingWebhookConfiguration {name}");
            Ok(())
        }
        // Changed since it was read, most likely by the other replica: the watch brings us back.
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What is to be written, if anything.
fn patch(found: &ValidatingWebhookConfiguration, bundle: &[u8]) -> Result<Option<JsonPatch>, serde_json::Error> {
    let wrong: Vec<usize> = found
        .webhooks
        .iter()
        .flatten()
        .enumerate()
        .filter(|(_, webhook)| webhook.client_config.ca_bundle.as_ref().is_none_or(|current| current.0 != bundle))
        .map(|(index, _)| index)
        .collect();
    if wrong.is_empty() {
        return Ok(None);
    }
    // Replacing it by itself makes the server answer 409 if the list is not the one that the indices were counted in.
    let guard = json!({"op": "replace", "path": "/metadata/resourceVersion", "value": found.metadata.resource_version});
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
