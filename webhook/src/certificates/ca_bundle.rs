//! Owns the field `caBundle` of our webhook configurations, so that API servers trust our certificate.
//!
//! In another cluster than our own the owner also keeps one match condition ([`exempt_users`]). Nothing else is written, and
//! only what differs. Every replica does it; they agree because they share the CA. The bundles that are found go to
//! [`RegisteredBundles`], and [`super::rollout`] serves a certificate once all of them trust it.

mod configuration;
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
use jiff::Timestamp;
use json_patch::Patch as JsonPatch;
use kube::Client;
use kube::api::{Patch, PatchParams};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::object_changes::ObjectChanges;
use super::rollout::RegisteredBundles;
use super::{CertificateWatch, SecretStore, ServingCertificate};
use crate::metrics::{ConfigurationLabels, Metrics, Side};
use exempt_users::{ExemptionLog, RemovalBackoff};
use patch::{Desired, patch};

pub use configuration::WebhookConfiguration;
pub use exempt_users::ExemptUsers;

/// How often to look at a configuration that shows no change.
const INTERVAL: Duration = Duration::from_secs(30);
/// How often to log that a configuration is absent where it may be.
const ABSENCE_INTERVAL: Duration = Duration::from_secs(600);
/// How long CAs of others stay in a bundle: replicas may still serve with older files.
const FOREIGN_CA_PERIOD: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
enum CaBundleError {
    #[error("the {0} does not exist; waiting")]
    Missing(String),
    #[error("registration: {0}")]
    Call(#[from] CallError),
    #[error("registration: the patch cannot be written")]
    Patch(#[from] serde_json::Error),
}

/// Who writes the bundle.
#[derive(Clone)]
pub enum BundleWriter {
    /// We do, from the bundle in this Secret.
    Secret(Arc<SecretStore>),
    /// We do, from files. Replicas may see new files at different times, so the CAs of others stay for ten minutes.
    Files,
    /// Another program does, such as cert-manager. We only look.
    External,
}

/// Owns the bundles of all our webhook configurations.
#[derive(Clone)]
pub struct CaBundleOwner {
    /// Who writes.
    pub writer: BundleWriter,
    /// The certificate to be trusted.
    pub issued: CertificateWatch,
    /// What is found.
    pub registered: RegisteredBundles,
    /// Knows the API server's time.
    pub traffic: Traffic,
    /// Metrics.
    pub metrics: Metrics,
}

/// Where a configuration is, and who is exempt there.
#[derive(Clone)]
pub struct Location {
    /// A client for its cluster.
    pub client: Client,
    /// Its cluster.
    pub side: Side,
    /// Our users there, if the chart does not exempt them.
    pub exempt: ExemptUsers,
}

/// Whether the API server trusts the issued certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Established,
    Pending,
    /// There is no configuration, or we may not read it.
    Absent,
}

impl CaBundleOwner {
    /// Keeps one configuration until the token is cancelled. Failures are logged and tried again. `latch` is set when the API
    /// server first trusts the certificate; in the target also if there is no configuration. It is never unset.
    ///
    /// Call this before the rollout starts: from then on, the rollout waits for this configuration.
    pub fn keep<K: WebhookConfiguration>(
        &self,
        location: Location,
        name: &str,
        latch: Latch,
        token: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let task = ConfigurationTask::<K>::new(self.clone(), location, name);
        self.registered.expect(&task.identity.described);
        task.run(latch, token)
    }
}

/// Keeps one configuration.
struct ConfigurationTask<K> {
    owner: CaBundleOwner,
    location: Location,
    api: Api<K>,
    identity: Identity,
    foreign_since: Option<Instant>,
    removal: RemovalBackoff,
    exemptions: ExemptionLog,
}

/// The names of a configuration.
struct Identity {
    /// In its cluster.
    name: String,
    /// Kind, name and cluster, in texts.
    described: String,
    /// In metrics.
    labels: ConfigurationLabels,
}

impl<K: WebhookConfiguration> ConfigurationTask<K> {
    fn new(owner: CaBundleOwner, location: Location, name: &str) -> Self {
        let suffix = match location.side {
            Side::Source => "",
            Side::Target => " of the target cluster",
        };
        Self {
            api: Api::all(location.client.clone()),
            identity: Identity {
                name: name.to_owned(),
                described: format!("{} {name}{suffix}", K::kind(&())),
                labels: ConfigurationLabels { cluster: location.side, configuration: K::kind(&()).into_owned() },
            },
            foreign_since: None,
            removal: RemovalBackoff::default(),
            exemptions: ExemptionLog::default(),
            owner,
            location,
        }
    }

    async fn run(mut self, latch: Latch, token: CancellationToken) -> anyhow::Result<()> {
        let mut changes =
            ObjectChanges::of::<K>(&Api::all(self.location.client.clone()), &self.identity.name, INTERVAL);
        let (mut reminder, mut absence) = (Reminder::default(), Reminder::every(ABSENCE_INTERVAL));
        let mut issued = self.owner.issued.clone();
        loop {
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = issued.changed() => {}
                () = changes.next() => {}
                () = self.removal.due() => {}
            }
            let Some(certificate) = issued.get() else { continue };
            let trust = self.reconcile(&certificate).await;
            let is_absent = matches!(trust, Ok(Trust::Absent) | Err(CaBundleError::Missing(_)));
            if is_absent || trust.is_ok() {
                self.owner.metrics.configuration_absent(&self.identity.labels, is_absent);
            }
            match trust {
                Ok(Trust::Established) => {
                    reminder.clear();
                    absence.clear();
                    latch.set(true);
                }
                Ok(Trust::Pending) => _ = absence.clear(),
                Ok(Trust::Absent) => {
                    absence.warn(&absence_text(&self.identity.described));
                    latch.set(true);
                }
                Err(error) => reminder.warn(&error.to_string()),
            }
        }
    }

    /// Reads the configuration, patches what differs, and publishes what is registered.
    async fn reconcile(&mut self, certificate: &ServingCertificate) -> Result<Trust, CaBundleError> {
        let found =
            call(DEFAULT_LIMIT, format!("get {}", self.identity.described), self.api.get_opt(&self.identity.name))
                .await;
        let found = match found {
            // The chart in the target grants the right to look. An unknown configuration does not count as registered, so
            // nothing is served because of it.
            Err(error) if self.location.side == Side::Target && error.is_forbidden() => return Ok(Trust::Absent),
            found => found?,
        };
        self.publish(found.as_ref());
        let Some(found) = found else {
            return match self.location.side {
                Side::Source => Err(CaBundleError::Missing(self.identity.described.clone())),
                Side::Target => Ok(Trust::Absent),
            };
        };
        let now = self.owner.traffic.server_time();
        let is_obsolete = self.location.exempt == ExemptUsers::Nobody && exempt_users::has_condition(&found);
        let Some(patch) = self.plan(&found, certificate, is_obsolete, now)? else {
            return Ok(trust(&found, certificate, now));
        };
        // A replica that has not seen a new CA yet must not put the former one back.
        if let BundleWriter::Secret(store) = &self.owner.writer
            && !store.is_current(&certificate.bundle).await?
        {
            tracing::debug!("{} does not match the Secret that was read last", self.identity.described);
            return Ok(Trust::Pending);
        }
        let (params, patch) = (PatchParams::default(), Patch::<()>::Json(patch));
        let what = format!("patch {}", self.identity.described);
        let written = match call(DEFAULT_LIMIT, what, self.api.patch(&self.identity.name, &params, &patch)).await {
            // Another replica was faster. The watch wakes us.
            Err(error) if error.is_conflict() => return Ok(Trust::Pending),
            written => written?,
        };
        if written.bundles() != found.bundles() {
            tracing::info!("our CA is registered in {}", self.identity.described);
        }
        if is_obsolete && !exempt_users::has_condition(&written) {
            self.removal.removed();
        }
        self.publish(Some(&written));
        Ok(trust(&written, certificate, now))
    }

    /// What to patch, if anything.
    fn plan(
        &mut self,
        found: &K,
        certificate: &ServingCertificate,
        is_obsolete: bool,
        now: Timestamp,
    ) -> Result<Option<JsonPatch>, serde_json::Error> {
        let may_drop = self.foreign_since.is_some_and(|since| since.elapsed() > FOREIGN_CA_PERIOD);
        let has_foreign = found.bundles().iter().any(|bundle| *bundle != certificate.bundle);
        self.foreign_since = (has_foreign && !may_drop).then(|| self.foreign_since.unwrap_or_else(Instant::now));
        let writer = &self.owner.writer;
        let exempt = self.location.exempt.desired(writer, self.removal.may_remove(is_obsolete));
        patch(found, &Desired { certificate, writer, exempt, may_drop, now })
    }

    /// Hands over what is registered: the bundles to the rollout, the exempt users to log and metric. No configuration has none.
    fn publish(&mut self, found: Option<&K>) {
        self.owner
            .registered
            .set(&self.identity.described, found.map(WebhookConfiguration::bundles).unwrap_or_default());
        let users: BTreeSet<_> = found.map(exempt_users::users).unwrap_or_default();
        self.owner.metrics.exempt(&self.identity.labels, users.len());
        self.exemptions.record(&self.identity.described, users, &self.location.exempt, &self.owner.writer);
    }
}

fn absence_text(described: &str) -> String {
    format!(
        "the {described} does not exist, or we may not read it: nobody there asks us about objects until the chart is installed \
         there with clusters.role=Target and us among its clusters.targetUsers"
    )
}

fn trust(found: &impl WebhookConfiguration, certificate: &ServingCertificate, now: Timestamp) -> Trust {
    let is_trusted = found.bundles().iter().all(|bundle| certificate.is_trusted_through(bundle, now));
    if is_trusted { Trust::Established } else { Trust::Pending }
}
