//! Wiring of the certificate: where it comes from, where it is registered, when it is served.

use std::sync::Arc;

use holdfast_core::key::NamespacedName;
use holdfast_runtime::owner::Owner;
use holdfast_runtime::readiness::{Latch, Readiness};
use holdfast_runtime::supervise::Supervisor;
use jiff::SignedDuration;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::cli::Args;
use super::clusters::Clusters;
use crate::certificates::ca_bundle::{Configuration, Exempt, Keeper, Registration, Side};
use crate::certificates::rollout::{self, Registered};
use crate::certificates::server_names;
use crate::certificates::{self, CertificateWatch, Directory, Lifetimes, Store};
use crate::metrics::Metrics;

/// What has to be done once before we are ready.
pub struct Latches {
    certified: Latch,
    registered: Latch,
    reverting: Latch,
    /// Only with a target of its own.
    protecting: Option<Latch>,
}

impl Latches {
    /// Unset.
    pub fn of(readiness: &Readiness, clusters: &Clusters) -> Self {
        Self {
            certified: readiness.latch("certificate"),
            registered: readiness.latch("registration"),
            reverting: readiness.latch("registration to revert"),
            protecting: clusters.target.is_some().then(|| readiness.latch("registration in the target cluster")),
        }
    }
}

/// What the certificate depends on.
pub struct CertificateTasks<'a> {
    /// Settings.
    pub args: &'a Args,
    /// Who calls us.
    pub clusters: &'a Clusters,
    /// Metrics.
    pub metrics: &'a Metrics,
    /// Ends everything.
    pub token: &'a CancellationToken,
    /// Where the certificate is kept, unless in files.
    pub secret: NamespacedName,
    /// With whom that Secret goes, if we have made it.
    pub owner: Option<Owner>,
    /// By which names we are called.
    pub names: Vec<String>,
    /// Who we are in the target, if it is another cluster.
    pub user: Option<String>,
}

impl CertificateTasks<'_> {
    /// Starts what keeps the certificate and its registrations. Returns what is to be served.
    pub fn spawn(self, supervisor: &mut Supervisor, latches: Latches) -> CertificateWatch {
        let ((wish, wanted), (serve, served)) = (CertificateWatch::channel(), CertificateWatch::channel());
        let (registered, traffic) = (Registered::default(), self.clusters.traffic.clone());
        let (metrics, token) = (self.metrics.clone(), self.token.clone());
        let keeper = if let Some(path) = &self.args.certificate_directory {
            let (names, period) = (server_names::required(self.names.clone()), self.args.connect.credentials_period);
            let directory = Directory::new(path.clone(), names, period);
            tracing::info!("certificates come from {}", directory.path().display());
            supervisor.spawn(
                "certificates",
                certificates::follow(directory, wish, traffic.clone(), metrics.clone(), token.clone()),
            );
            Keeper::Files
        } else {
            let client = self.clusters.source.clone();
            let (secret, names) = (self.secret.clone(), self.names.clone());
            let store = Store::new(client.clone(), traffic.clone(), secret, names, self.lifetimes());
            let store = Arc::new(store.owned_by(self.owner.clone()));
            let (kept, served) = (Arc::clone(&store), served.clone());
            supervisor
                .spawn("certificates", certificates::keep(kept, client, wish, served, metrics.clone(), token.clone()));
            Keeper::Secret(store)
        };
        let keeper = if self.args.register_ca { keeper } else { Keeper::Others };
        let Latches { certified, registered: latch, reverting, protecting } = latches;
        // The chart knows our users in our own cluster.
        let exempt = if self.clusters.target.is_some() { Exempt::Elsewhere } else { Exempt::Nobody };
        let source = Place { client: &self.clusters.source, cluster: Side::Source, exempt };
        let target = self.clusters.target.as_ref().map(|client| {
            let users = self.user.iter().chain(&self.args.target_own_users).cloned().collect();
            Place { client, cluster: Side::Target, exempt: Exempt::Users(users) }
        });
        let registrar = Registrar { parts: &self, keeper, registered: &registered, wanted: &wanted };
        registrar.keep::<ValidatingWebhookConfiguration>(supervisor, &source, latch);
        if let (Some(target), Some(latch)) = (&target, protecting) {
            registrar.keep::<ValidatingWebhookConfiguration>(supervisor, target, latch);
        }
        registrar.keep::<MutatingWebhookConfiguration>(supervisor, target.as_ref().unwrap_or(&source), reverting);
        supervisor.spawn(
            "certificate handover",
            rollout::keep(wanted.receiver(), serve, registered, traffic, (metrics, certified), token),
        );
        served
    }

    fn lifetimes(&self) -> Lifetimes {
        let signed = |duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Lifetimes { authority: signed(self.args.ca_lifetime), leaf: signed(self.args.certificate_lifetime) }
    }
}

/// A cluster in which something is registered.
struct Place<'a> {
    client: &'a Client,
    cluster: Side,
    exempt: Exempt,
}

struct Registrar<'a> {
    parts: &'a CertificateTasks<'a>,
    keeper: Keeper,
    registered: &'a Registered,
    wanted: &'a CertificateWatch,
}

impl Registrar<'_> {
    fn keep<K: Named>(&self, supervisor: &mut Supervisor, place: &Place<'_>, latch: Latch) {
        let registration = Registration {
            client: place.client.clone(),
            name: K::name(self.parts.args).to_owned(),
            cluster: place.cluster,
            keeper: self.keeper.clone(),
            exempt: place.exempt.clone(),
            registered: self.registered.clone(),
            traffic: self.parts.clusters.traffic.clone(),
            metrics: self.parts.metrics.clone(),
        };
        registration.announce::<K>();
        supervisor.spawn("registration", registration.keep::<K>(self.wanted.clone(), latch, self.parts.token.clone()));
    }
}

/// A configuration whose name is a setting.
trait Named: Configuration {
    fn name(args: &Args) -> &str;
}

impl Named for ValidatingWebhookConfiguration {
    fn name(args: &Args) -> &str {
        &args.validating_configuration
    }
}

impl Named for MutatingWebhookConfiguration {
    fn name(args: &Args) -> &str {
        &args.mutating_configuration
    }
}
