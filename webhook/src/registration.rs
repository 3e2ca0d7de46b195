//! Our CA in our webhook configurations, so that API servers trust us; and who we are, so that they do not ask us about
//! ourselves.
//!
//! Only the field `caBundle`, and in another cluster than our own one match condition, are written, and only where they
//! differ; every replica does it, and they agree because they share the CA. What is registered is told to
//! [`crate::certificates::handover`].

mod patch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use holdfast_runtime::api::Api;
use holdfast_runtime::call::{CallError, DEFAULT_LIMIT, call};
use holdfast_runtime::readiness::Latch;
use holdfast_runtime::reminder::Reminder;
use holdfast_runtime::traffic::Traffic;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::certificates::handover::Registered;
use crate::certificates::{Current, Loaded, Store};
use crate::changes::Changes;
use patch::{Wishes, patch};

/// How often the configuration is looked at without a sign of change.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long CAs that are not ours are left in a bundle that we share with replicas whose files may be older.
const FOREIGN: Duration = Duration::from_secs(600);

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
    /// What interests us of each webhook, in order.
    fn webhooks(&self) -> Vec<Webhook<'_>>;

    /// The CA bundles, each once; empty ones are listed, too.
    fn bundles(&self) -> BTreeSet<Vec<u8>> {
        let bundle = |webhook: &Webhook<'_>| webhook.bundle.map(|bundle| bundle.0.clone()).unwrap_or_default();
        self.webhooks().iter().map(bundle).collect()
    }
}

/// A webhook in a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Webhook<'a> {
    /// What the API server trusts.
    pub bundle: Option<&'a ByteString>,
    /// When it asks.
    pub conditions: &'a [MatchCondition],
}

impl<'a> Webhook<'a> {
    fn new(config: &'a WebhookClientConfig, conditions: Option<&'a Vec<MatchCondition>>) -> Self {
        let conditions = conditions.map(Vec::as_slice).unwrap_or_default();
        Self { bundle: config.ca_bundle.as_ref(), conditions }
    }
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<Webhook<'_>> {
        let all = self.webhooks.iter().flatten();
        all.map(|webhook| Webhook::new(&webhook.client_config, webhook.match_conditions.as_ref())).collect()
    }
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<Webhook<'_>> {
        let all = self.webhooks.iter().flatten();
        all.map(|webhook| Webhook::new(&webhook.client_config, webhook.match_conditions.as_ref())).collect()
    }
}

/// Who keeps the bundle right.
#[derive(Clone)]
pub enum Keeper {
    /// We do: it is what this Secret has.
    Secret(Arc<Store>),
    /// We do: our CA is in it. Replicas may see new files at different times, so what others have added stays for a while.
    Files,
    /// Somebody else, such as cert-manager. We only look.
    Others,
}

/// A configuration to be kept.
pub struct Registration {
    /// A client for its cluster.
    pub client: Client,
    /// Its name.
    pub name: String,
    /// Of which cluster, for messages; empty if there is only one.
    pub cluster: &'static str,
    /// Who keeps the bundle right.
    pub keeper: Keeper,
    /// Our users in that cluster, whose writes are no business of ours; without any, the chart knows.
    pub users: Vec<String>,
    /// Where what is found is told.
    pub registered: Registered,
    /// Knows the time.
    pub traffic: Traffic,
}

impl Registration {
    fn described<K: Configuration>(&self) -> String {
        let of = if self.cluster.is_empty() { "" } else { " of the " };
        format!("{} {}{of}{}", K::kind(&()), self.name, self.cluster)
    }

    /// Keeps the configuration right until the token is cancelled. Trouble is logged and waited out. `latch` is set when it
    /// was right for the first time.
    pub async fn keep<K: Configuration>(
        self,
        mut wanted: Current,
        latch: Latch,
        token: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut changes = Changes::of::<K>(&Api::all(self.client.clone()), &self.name, INTERVAL);
        let mut reminder = Reminder::default();
        let mut foreign_since = None;
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = wanted.changed() => {}
                () = changes.next() => {}
            }
            let Some(loaded) = wanted.get() else { continue };
            match self.register::<K>(&loaded, &mut foreign_since).await {
                Ok(true) => {
                    reminder.clear();
                    latch.set(true);
                }
                Ok(false) => {}
                Err(error) => reminder.warn(&error.to_string()),
            }
        }
    }

    /// Whether the API server trusts the certificate now.
    async fn register<K: Configuration>(
        &self,
        loaded: &Loaded,
        foreign_since: &mut Option<Instant>,
    ) -> Result<bool, RegistrationError> {
        let described = self.described::<K>();
        let api: Api<K> = Api::all(self.client.clone());
        let found = call(DEFAULT_LIMIT, format!("get {described}"), api.get_opt(&self.name)).await?;
        let Some(found) = found else {
            self.registered.set(&described, BTreeSet::new());
            return Err(RegistrationError::Missing(described));
        };
        self.registered.set(&described, found.bundles());
        let now = self.traffic.server_time();
        let may_drop = foreign_since.is_some_and(|since| since.elapsed() > FOREIGN);
        let wishes = Wishes { loaded, keeper: &self.keeper, users: &self.users, may_drop, now };
        let has_more = found.bundles().iter().any(|bundle| *bundle != loaded.bundle);
        *foreign_since = (has_more && !may_drop).then(|| foreign_since.unwrap_or_else(Instant::now));
        let Some(patch) = patch(&found, &wishes)? else { return Ok(is_trusted(&found, loaded, now)) };
        // A replica that has not heard of a new CA yet must not put the former one back.
        if let Keeper::Secret(store) = &self.keeper
            && !store.is_current(&loaded.bundle).await?
        {
            tracing::debug!("what is registered in {described} is of another time than what was read of the Secret");
            return Ok(false);
        }
        let (params, patch) = (PatchParams::default(), Patch::<()>::Json(patch));
        match call(DEFAULT_LIMIT, format!("patch {described}"), api.patch(&self.name, &params, &patch)).await {
            Ok(written) => {
                self.registered.set(&described, written.bundles());
                tracing::info!("our CA is registered in {described}");
                Ok(is_trusted(&written, loaded, now))
            }
            // Changed since it was read, most likely by the other replica: the watch brings us back.
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that nothing is known of this configuration yet, so that nothing is handed over before.
    pub fn announce<K: Configuration>(&self) {
        self.registered.expect(&self.described::<K>());
    }
}

fn is_trusted(found: &impl Configuration, loaded: &Loaded, now: jiff::Timestamp) -> bool {
    found.bundles().iter().all(|bundle| loaded.is_trusted_through(bundle, now))
}
