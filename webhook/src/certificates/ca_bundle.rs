//! Our CA in our webhook configurations, so that API servers trust us; and who we are, so that they do not ask us about
//! ourselves.
//!
//! Only the field `caBundle`, and in another cluster than our own one match condition ([`exempt_users`]), are written, and only where
//! they differ; every replica does it, and they agree because they share the CA. What is registered is told to
//! [`super::rollout`].

mod exempt_users;
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

use super::object_changes::ObjectChanges;
use super::rollout::Registered;
use super::{CertificateWatch, ServingCertificate, Store};
use crate::metrics::{ConfigurationLabels, Metrics};
use exempt_users::{Known, Pace};
use patch::{Wishes, patch};

pub use exempt_users::Exempt;

/// How often the configuration is looked at without a sign of change.
const INTERVAL: Duration = Duration::from_secs(30);
/// How often it is said again that there is none where there need not be any.
const REMIND_OF_ABSENCE: Duration = Duration::from_secs(600);
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
    /// Of which cluster.
    pub cluster: Side,
    /// Who keeps the bundle right.
    pub keeper: Keeper,
    /// Who is exempt there because of us.
    pub exempt: Exempt,
    /// Where what is found is told.
    pub registered: Registered,
    /// Knows the time.
    pub traffic: Traffic,
    /// Metrics.
    pub metrics: Metrics,
}

/// Of which cluster a configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Ours. The chart puts the configuration beside us, so that there is none for a moment at most, and we wait for it.
    Source,
    /// Another one. Whoever owns it puts a configuration there when he likes, and nobody waits for that.
    Target,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The API server trusts the certificate.
    Right,
    /// It does not yet.
    Wrong,
    /// There is none, as far as we may see.
    Absent,
}

/// What is remembered between two looks.
#[derive(Debug, Default)]
struct Memory {
    foreign_since: Option<Instant>,
    pace: Pace,
    known: Known,
}

impl Registration {
    fn described<K: Configuration>(&self) -> String {
        let of = match self.cluster {
            Side::Source => "",
            Side::Target => " of the target cluster",
        };
        format!("{} {}{of}", K::kind(&()), self.name)
    }

    fn labels<K: Configuration>(&self) -> ConfigurationLabels {
        let cluster = match self.cluster {
            Side::Source => "source",
            Side::Target => "target",
        };
        ConfigurationLabels { cluster, configuration: K::kind(&()).into_owned() }
    }

    /// Keeps the configuration right until the token is cancelled. Trouble is logged and waited out. `latch` is set when it
    /// was right for the first time, and in the target also when there was none; it is never taken back.
    pub async fn keep<K: Configuration>(
        self,
        mut wanted: CertificateWatch,
        latch: Latch,
        token: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut changes = ObjectChanges::of::<K>(&Api::all(self.client.clone()), &self.name, INTERVAL);
        let (mut reminder, mut absence) = (Reminder::default(), Reminder::every(REMIND_OF_ABSENCE));
        let mut memory = Memory::default();
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = wanted.changed() => {}
                () = changes.next() => {}
                () = memory.pace.due() => {}
            }
            let Some(loaded) = wanted.get() else { continue };
            let state = self.register::<K>(&loaded, &mut memory).await;
            let is_absent = matches!(state, Ok(State::Absent) | Err(RegistrationError::Missing(_)));
            if is_absent || state.is_ok() {
                self.metrics.configuration_absent(&self.labels::<K>(), is_absent);
            }
            match state {
                Ok(State::Right) => {
                    reminder.clear();
                    absence.clear();
                    latch.set(true);
                }
                Ok(State::Wrong) => _ = absence.clear(),
                Ok(State::Absent) => {
                    absence.warn(&absence_of(&self.described::<K>()));
                    latch.set(true);
                }
                Err(error) => reminder.warn(&error.to_string()),
            }
        }
    }

    async fn register<K: Configuration>(
        &self,
        loaded: &ServingCertificate,
        memory: &mut Memory,
    ) -> Result<State, RegistrationError> {
        let described = self.described::<K>();
        let api: Api<K> = Api::all(self.client.clone());
        let found = call(DEFAULT_LIMIT, format!("get {described}"), api.get_opt(&self.name)).await;
        let found = match found {
            // Before the chart is installed there nobody has given us the right to look, either. What is not known does not
            // count as registered, so no certificate is handed over because of it.
            Err(error) if self.cluster == Side::Target && error.is_forbidden() => return Ok(State::Absent),
            found => found?,
        };
        let Some(found) = found else {
            self.registered.set(&described, BTreeSet::new());
            self.tell_exempt::<K>(None, memory);
            return match self.cluster {
                Side::Source => Err(RegistrationError::Missing(described)),
                Side::Target => Ok(State::Absent),
            };
        };
        self.registered.set(&described, found.bundles());
        self.tell_exempt(Some(&found), memory);
        let now = self.traffic.server_time();
        let may_drop = memory.foreign_since.is_some_and(|since| since.elapsed() > FOREIGN);
        let is_left = self.exempt == Exempt::Nobody && exempt_users::is_said(&found);
        let exempt = self.exempt.now(&self.keeper, memory.pace.may_remove(is_left));
        let wishes = Wishes { loaded, keeper: &self.keeper, exempt, may_drop, now };
        let has_more = found.bundles().iter().any(|bundle| *bundle != loaded.bundle);
        memory.foreign_since = (has_more && !may_drop).then(|| memory.foreign_since.unwrap_or_else(Instant::now));
        let Some(patch) = patch(&found, &wishes)? else { return Ok(state(&found, loaded, now)) };
        // A replica that has not heard of a new CA yet must not put the former one back.
        if let Keeper::Secret(store) = &self.keeper
            && !store.is_current(&loaded.bundle).await?
        {
            tracing::debug!("what is registered in {described} is of another time than what was read of the Secret");
            return Ok(State::Wrong);
        }
        let (params, patch) = (PatchParams::default(), Patch::<()>::Json(patch));
        match call(DEFAULT_LIMIT, format!("patch {described}"), api.patch(&self.name, &params, &patch)).await {
            Ok(written) => {
                self.registered.set(&described, written.bundles());
                if written.bundles() != found.bundles() {
                    tracing::info!("our CA is registered in {described}");
                }
                self.tell_exempt(Some(&written), memory);
                if is_left && !exempt_users::is_said(&written) {
                    memory.pace.removed();
                }
                Ok(state(&written, loaded, now))
            }
            // Changed since it was read, most likely by the other replica: the watch brings us back.
            Err(error) if error.is_conflict() => Ok(State::Wrong),
            Err(error) => Err(error.into()),
        }
    }

    /// Has log and metric say who is exempt there because of our condition.
    fn tell_exempt<K: Configuration>(&self, found: Option<&K>, memory: &mut Memory) {
        let users = found.map(exempt_users::users).unwrap_or_default();
        self.metrics.exempt(&self.labels::<K>(), users.len());
        memory.known.tell(&self.described::<K>(), users, &self.exempt, &self.keeper);
    }

    /// Says that nothing is known of this configuration yet, so that nothing is handed over before.
    pub fn announce<K: Configuration>(&self) {
        self.registered.expect(&self.described::<K>());
    }
}

fn absence_of(described: &str) -> String {
    format!(
        "the {described} does not exist, or we may not read it: nobody there asks us about objects until the chart is installed \
         there with clusters.role=Target and us among its clusters.targetUsers"
    )
}

fn state(found: &impl Configuration, loaded: &ServingCertificate, now: jiff::Timestamp) -> State {
    let is_trusted = found.bundles().iter().all(|bundle| loaded.is_trusted_through(bundle, now));
    if is_trusted { State::Right } else { State::Wrong }
}
