//! Wiring of the certificate: where it comes from, where it is registered, when it is served.

use std::sync::Arc;

use holdfast_core::key::NamespacedName;
use holdfast_runtime::owner::Owner;
use holdfast_runtime::readiness::{Latch, Readiness};
use holdfast_runtime::supervise::Supervisor;
use jiff::SignedDuration;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use tokio_util::sync::CancellationToken;

use super::cli::Args;
use super::clusters::Clusters;
use crate::certificates::ca_bundle::{BundleWriter, CaBundleOwner, ExemptUsers, Location};
use crate::certificates::rollout::{RegisteredBundles, Rollout};
use crate::certificates::source::Issuing;
use crate::certificates::{CertificateWatch, Directory, Lifetimes, SecretStore, server_names};
use crate::metrics::{Metrics, Side};

/// What has to happen once before we are ready.
pub struct Latches {
    certified: Latch,
    registered: RegistrationLatches,
}

/// Set once the API server trusts the certificate through each configuration.
struct RegistrationLatches {
    validating: Latch,
    mutating: Latch,
    /// Only if the target is another cluster.
    validating_target: Option<Latch>,
}

impl Latches {
    /// Unset.
    pub fn of(readiness: &Readiness, clusters: &Clusters) -> Self {
        Self {
            certified: readiness.latch("certificate"),
            registered: RegistrationLatches {
                validating: readiness.latch("registration"),
                mutating: readiness.latch("registration to revert"),
                validating_target: clusters
                    .target
                    .is_some()
                    .then(|| readiness.latch("registration in the target cluster")),
            },
        }
    }
}

/// The tasks that issue, register and roll out the certificate.
pub struct CertificateTasks<'a> {
    /// Settings.
    pub args: &'a Args,
    /// The clusters that call us.
    pub clusters: &'a Clusters,
    /// Metrics.
    pub metrics: &'a Metrics,
    /// Ends all tasks.
    pub token: &'a CancellationToken,
    /// The Secret with the certificate, unless it is in files.
    pub secret: NamespacedName,
    /// Owns that Secret, if we make it.
    pub owner: Option<Owner>,
    /// The names by which we are called.
    pub names: Vec<String>,
    /// Who we are in the target, if it is another cluster.
    pub user: Option<String>,
}

impl CertificateTasks<'_> {
    /// Starts the tasks. Returns the certificate to serve.
    pub fn spawn(self, supervisor: &mut Supervisor, latches: Latches) -> CertificateWatch {
        let ((set_issued, issued), (set_active, active)) = (CertificateWatch::channel(), CertificateWatch::channel());
        let (registered, traffic) = (RegisteredBundles::default(), self.clusters.traffic.clone());
        let issuing = Issuing { issued: set_issued, metrics: self.metrics.clone() };
        let writer = self.spawn_source(supervisor, issuing, active.clone());
        let owner = CaBundleOwner {
            writer: if self.args.register_ca { writer } else { BundleWriter::External },
            issued: issued.clone(),
            registered: registered.clone(),
            traffic: traffic.clone(),
            metrics: self.metrics.clone(),
        };
        self.spawn_owner(supervisor, &owner, latches.registered);
        let (metrics, token) = (self.metrics.clone(), self.token.clone());
        let rollout =
            Rollout { target: issued, active: set_active, registered, traffic, metrics, latch: latches.certified };
        supervisor.spawn("certificate rollout", rollout.run(token));
        active
    }

    /// Starts what issues the certificate. Returns what the bundle is written from.
    fn spawn_source(&self, supervisor: &mut Supervisor, issuing: Issuing, active: CertificateWatch) -> BundleWriter {
        let (traffic, token) = (self.clusters.traffic.clone(), self.token.clone());
        if let Some(path) = &self.args.certificate_directory {
            let (names, period) = (server_names::required(self.names.clone()), self.args.connect.credentials_period);
            let directory = Directory::new(path.clone(), names, period);
            tracing::info!("certificates come from {}", directory.path().display());
            supervisor.spawn("certificates", issuing.from_directory(directory, traffic, token));
            return BundleWriter::Files;
        }
        let client = self.clusters.source.clone();
        let (secret, names) = (self.secret.clone(), self.names.clone());
        let store = SecretStore::new(client.clone(), traffic, secret, names, self.lifetimes());
        let store = Arc::new(store.owned_by(self.owner.clone()));
        supervisor.spawn("certificates", issuing.from_secret(Arc::clone(&store), client, active, token));
        BundleWriter::Secret(store)
    }

    /// Starts what registers the CA. Edits of managed objects come from the target if it is another cluster, so the mutating
    /// configuration is there; the validating one is in both clusters.
    fn spawn_owner(&self, supervisor: &mut Supervisor, owner: &CaBundleOwner, latches: RegistrationLatches) {
        let RegistrationLatches { validating, mutating, validating_target } = latches;
        let (of_validating, of_mutating) = (&self.args.validating_configuration, &self.args.mutating_configuration);
        let token = || self.token.clone();
        // In our own cluster the chart exempts our users.
        let exempt = if self.clusters.target.is_some() { ExemptUsers::ByTarget } else { ExemptUsers::Nobody };
        let source = Location { client: self.clusters.source.clone(), side: Side::Source, exempt };
        let target = self.clusters.target.as_ref().map(|client| {
            let users = self.user.iter().chain(&self.args.target_own_users).cloned().collect();
            Location { client: client.clone(), side: Side::Target, exempt: ExemptUsers::Users(users) }
        });
        let of_mutated = target.as_ref().unwrap_or(&source).clone();
        let task = owner.keep::<ValidatingWebhookConfiguration>(source, of_validating, validating, token());
        supervisor.spawn("registration", task);
        if let (Some(target), Some(latch)) = (target, validating_target) {
            let task = owner.keep::<ValidatingWebhookConfiguration>(target, of_validating, latch, token());
            supervisor.spawn("registration", task);
        }
        let task = owner.keep::<MutatingWebhookConfiguration>(of_mutated, of_mutating, mutating, token());
        supervisor.spawn("registration", task);
    }

    fn lifetimes(&self) -> Lifetimes {
        let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Lifetimes { authority: signed(self.args.ca_lifetime), leaf: signed(self.args.certificate_lifetime) }
    }
}
