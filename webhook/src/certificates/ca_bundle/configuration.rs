//! What the owner reads of a webhook configuration of either kind.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use serde::de::DeserializeOwned;

/// A webhook configuration.
pub trait WebhookConfiguration:
    kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Its webhooks, in order.
    fn webhooks(&self) -> Vec<Webhook<'_>>;

    /// The CA bundles, each once, with the empty one.
    fn bundles(&self) -> BTreeSet<Vec<u8>> {
        let bundle = |webhook: &Webhook<'_>| webhook.bundle.map(|bundle| bundle.0.clone()).unwrap_or_default();
        self.webhooks().iter().map(bundle).collect()
    }
}

/// A webhook in a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Webhook<'a> {
    /// The CAs that the API server trusts.
    pub bundle: Option<&'a ByteString>,
    /// When the API server asks.
    pub conditions: &'a [MatchCondition],
}

impl<'a> Webhook<'a> {
    fn new(config: &'a WebhookClientConfig, conditions: Option<&'a Vec<MatchCondition>>) -> Self {
        let conditions = conditions.map(Vec::as_slice).unwrap_or_default();
        Self { bundle: config.ca_bundle.as_ref(), conditions }
    }
}

macro_rules! webhook_configurations {
    ($($kind:ty),*) => {$(
        impl WebhookConfiguration for $kind {
            fn webhooks(&self) -> Vec<Webhook<'_>> {
                let all = self.webhooks.iter().flatten();
                all.map(|webhook| Webhook::new(&webhook.client_config, webhook.match_conditions.as_ref())).collect()
            }
        }
    )*};
}

webhook_configurations!(ValidatingWebhookConfiguration, MutatingWebhookConfiguration);
