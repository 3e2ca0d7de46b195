//! The webhook's certificates: made, replaced, broken, brought by others, and told to the API server.
mod client;
mod clock;
mod credentials;
mod files;
mod load;
mod rotation;
mod served;
mod token_renewal;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::server_certificate::ServerCertificate;
use serde_json::{Value, json};

use crate::harness::Test;

/// Both webhook configurations, as paths.
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/holdfast";
const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-holdfast";
/// Made by the webhook.
const SECRET: &str = "holdfast-webhook-tls";
/// What the API server calls.
const SERVER: &str = "holdfast-webhook.holdfast-system.svc";

/// Certificates of somebody else for a server of this name.
fn foreign(server: &str) -> ServerCertificate {
    ServerCertificate::new(&[server.to_owned()]).unwrap()
}

/// The same, expired.
fn expired() -> ServerCertificate {
    ServerCertificate::expired(&[SERVER.to_owned()]).unwrap()
}

/// What a webhook configuration has in each webhook.
fn bundles(configuration: &Value) -> Vec<String> {
    let webhooks = configuration["webhooks"].as_array().cloned().unwrap_or_default();
    let text = |webhook: &Value| {
        let encoded = webhook.pointer("/clientConfig/caBundle").and_then(Value::as_str).unwrap_or_default();
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    };
    webhooks.iter().map(text).collect()
}

/// A value of the Secret's data.
fn decoded(secret: &Value, key: &str) -> String {
    let encoded = secret["data"][key].as_str().unwrap_or_default();
    String::from_utf8_lossy(&STANDARD.decode(encoded).unwrap()).into_owned()
}

/// Waits until both configurations have a bundle in which this CA is.
async fn registered(test: &Test, ca: &str) {
    for path in [VALIDATING, MUTATING] {
        test.eventually(&format!("the CA to be in {path}"), || async {
            let found = test.call("GET", path, None).await.map_err(|error| error.to_string())?;
            let bundles = bundles(&found);
            let is_there = !bundles.is_empty() && bundles.iter().all(|bundle| bundle.contains(ca.trim()));
            if is_there { Ok(()) } else { Err(format!("{bundles:?}")) }
        })
        .await;
    }
}

/// Sets the bundle of all webhooks of a configuration, as somebody who does not know us.
async fn set_bundle(test: &Test, path: &str, bundle: &str) {
    let found = test.call("GET", path, None).await.unwrap();
    let mut changed = found.clone();
    for webhook in changed["webhooks"].as_array_mut().unwrap() {
        webhook["clientConfig"]["caBundle"] = json!(STANDARD.encode(bundle));
    }
    // Who was quicker is right, too.
    let _ = test.call("PUT", path, Some(&changed)).await;
}
