//! Service-account tokens, bound to their Pod and renewed in time.
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use holdfast_runtime::api::Api;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, Secret, ServiceAccount, ServiceAccountTokenProjection};
use kube::ResourceExt;
use kube::api::PostParams;

use super::volume::bounded;

/// A token and when it has to be replaced.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    renew: Instant,
    secret: Option<String>,
}

impl Token {
    /// Asks the API server for a token as `projection` wants it, valid as long as the Pod exists; or, if one is named, a Secret
    /// beside it, so that a test can end a token while the Pod lives.
    ///
    /// # Errors
    /// The API server refuses, or does not answer within 10 s.
    pub(super) async fn request(
        client: &kube::Client,
        pod: &Pod,
        projection: &ServiceAccountTokenProjection,
        secret: Option<String>,
    ) -> Result<Self> {
        let bound = match &secret {
            None => reference("Pod", pod),
            Some(name) => {
                let secrets: Api<Secret> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
                reference("Secret", &bounded(secrets.get(name)).await.with_context(|| format!("the Secret {name}"))?)
            }
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let lifetime = projection.expiration_seconds.unwrap_or(3600);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(projection.audience.iter().cloned().collect()),
                expiration_seconds: Some(lifetime),
                bound_object_ref: Some(bound),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let requested = Instant::now();
        let answer: TokenRequest =
            bounded(accounts.create_subresource("token", account, &PostParams::default(), &request))
                .await
                .with_context(|| format!("ask for a token of the service account {account}"))?;
        let text =
            answer.status.and_then(|status| status.token).context("the answer to a token request has no token")?;
        // A kubelet renews after 80 % of the lifetime.
        let renew = requested + Duration::from_secs(u64::try_from(lifetime).unwrap_or_default()).mul_f64(0.8);
        Ok(Self { text, renew, secret })
    }

    /// Whether it is time for another, or it is to be bound to another object.
    pub(super) fn is_due(&self, secret: Option<&str>) -> bool {
        Instant::now() >= self.renew || self.secret.as_deref() != secret
    }
}

fn reference(kind: &str, object: &impl ResourceExt) -> BoundObjectReference {
    BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        name: Some(object.name_any()),
        uid: object.uid(),
    }
}
