//! The chart's webhook configurations, with the recorder in the webhook's place.
use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::fixtures::Fixtures;
use super::recorder::Recorder;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
/// Kind, plural, name.
const OURS: [(&str, &str, &str); 2] = [
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "zz-holdfast"),
    ("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "holdfast"),
];

/// Puts the recorder in the place of the webhook, for exempt users, too.
///
/// # Errors
/// The API server refuses.
pub(super) async fn replace(fixtures: &Fixtures, recorder: &Recorder) -> Result<()> {
    for (kind, plural, name) in OURS {
        let path = format!("{GROUP}/{plural}");
        let mut found = fixtures.request("GET", &format!("{path}/{name}"), None).await?;
        for webhook in found["webhooks"].as_array_mut().context("webhooks")? {
            let service = webhook.pointer("/clientConfig/service/path").and_then(Value::as_str).context("a path")?;
            let url = format!("https://{}{service}", recorder.server.address);
            webhook["clientConfig"] = json!({"url": url, "caBundle": encoded(&recorder.server.certificate)});
            webhook["failurePolicy"] = "Fail".into();
            if let Some(conditions) = webhook.get_mut("matchConditions").and_then(Value::as_array_mut) {
                conditions.retain(|condition| !condition["name"].as_str().unwrap_or_default().starts_with("not-"));
            }
        }
        fixtures.request("DELETE", &format!("{path}/{name}"), None).await?;
        let body = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": format!("record-{name}")},
            "webhooks": found["webhooks"],
        });
        fixtures.request("POST", &path, Some(&body)).await?;
    }
    fixtures.scale_to_zero("holdfast-webhook").await
}

fn encoded(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
