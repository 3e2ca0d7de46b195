//! Metrics, `holdfast_webhook_*`.

mod labels;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use holdfast_core::protect::Verdict;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::endpoint::Endpoint;
use labels::{DecisionLabel, ModeLabel};

pub use labels::{ClientRefusal, ConnectionEnd, PauseResult, Protocol, ReviewOutcome, Side};

/// Seconds.
const BUCKETS: [f64; 10] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 2.0];

/// Metrics of the webhook. Clones are the same metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    duration: Family<PathLabel, Histogram, fn() -> Histogram>,
    pauses: Family<PauseLabel, Counter>,
    connections: Family<ProtocolLabel, Counter>,
    disconnections: Family<EndLabel, Counter>,
    refused_clients: Family<RefusalLabel, Counter>,
    exempt_users: Family<ConfigurationLabels, Gauge>,
    configuration_absent: Family<ConfigurationLabels, Gauge>,
    /// Managed objects in the index.
    pub index_objects: Gauge,
    /// When our certificate expires, in seconds since 1970.
    pub certificate_expiry: Gauge,
    /// For how many seconds the watch of ManagedResources has been silent.
    pub index_age: Gauge<f64, AtomicU64>,
    /// When the CA that signed it expires, in seconds since 1970.
    pub authority_expiry: Gauge,
    /// How often certificates could not be read, made or used.
    pub certificate_failures: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    path: Endpoint,
    verdict: ReviewOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    mode: ModeLabel,
    decision: DecisionLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabel {
    path: Endpoint,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PauseLabel {
    result: PauseResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabel {
    protocol: Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    reason: ConnectionEnd,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabel {
    reason: ClientRefusal,
}

/// A webhook configuration of ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ConfigurationLabels {
    /// Its cluster.
    pub cluster: Side,
    /// Its kind.
    pub configuration: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            decisions: Family::default(),
            pauses: Family::default(),
            connections: Family::default(),
            disconnections: Family::default(),
            refused_clients: Family::default(),
            exempt_users: Family::default(),
            configuration_absent: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            index_objects: Gauge::default(),
            certificate_expiry: Gauge::default(),
            index_age: Gauge::default(),
            authority_expiry: Gauge::default(),
            certificate_failures: Counter::default(),
        }
    }
}

impl Metrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let build = Info::new([("component", "webhook"), ("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("holdfast_build", "What is running", build);
        self.register_reviews(registry.sub_registry_with_prefix("holdfast_webhook"));
        self.register_connections(registry.sub_registry_with_prefix("holdfast_webhook"));
        self.register_certificates(registry.sub_registry_with_prefix("holdfast_webhook"));
    }

    fn register_reviews(&self, registry: &mut Registry) {
        registry.register("requests", "Reviews by path and verdict", self.requests.clone());
        registry.register(
            "decisions",
            "Reviews about something that is protected or cannot be read, by mode of the ManagedResource and what was decided",
            self.decisions.clone(),
        );
        registry.register("request_duration_seconds", "Time to answer a review", self.duration.clone());
        registry.register("pauses", "Pauses that users asked for, by result", self.pauses.clone());
        registry.register(
            "index_age_seconds",
            "For how long nothing has been heard of the watch of ManagedResources; about a minute at most if all is well",
            self.index_age.clone(),
        );
        registry.register("index_objects", "Managed objects that are known", self.index_objects.clone());
    }

    fn register_connections(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that were opened, by protocol", self.connections.clone());
        registry.register("disconnections", "Connections that ended, by reason", self.disconnections.clone());
        registry.register(
            "refused_clients",
            "Clients that may not connect, by what is wrong with their certificate",
            self.refused_clients.clone(),
        );
    }

    fn register_certificates(&self, registry: &mut Registry) {
        registry.register(
            "exempt_users",
            "Users whose edits we are not asked about because of the match condition not-holdfast, by webhook configuration",
            self.exempt_users.clone(),
        );
        registry.register(
            "configuration_absent",
            "1 while a webhook configuration does not exist or may not be read: nobody asks us then",
            self.configuration_absent.clone(),
        );
        registry.register(
            "certificate_expiry_seconds",
            "When the serving certificate expires, in seconds since 1970",
            self.certificate_expiry.clone(),
        );
        registry.register(
            "ca_expiry_seconds",
            "When the CA of the serving certificate expires, in seconds since 1970",
            self.authority_expiry.clone(),
        );
        registry.register(
            "certificate_failures",
            "Times that certificates could not be read, made or used",
            self.certificate_failures.clone(),
        );
    }

    /// Counts a decision. Secrets and ManagedResources have no mode.
    pub fn decided(&self, verdict: &Verdict) {
        let Some(decision) = verdict.decision() else { return };
        let labels = DecisionLabels { mode: ModeLabel(verdict.mode()), decision: DecisionLabel(decision) };
        self.decisions.get_or_create(&labels).inc();
    }

    /// Counts a request for a pause.
    pub fn paused(&self, result: PauseResult) {
        self.pauses.get_or_create(&PauseLabel { result }).inc();
    }

    /// Counts a successful handshake.
    pub fn connected(&self, protocol: Protocol) {
        self.connections.get_or_create(&ProtocolLabel { protocol }).inc();
    }

    /// Counts the end of a connection, whether its handshake had succeeded or not.
    pub fn disconnected(&self, end: ConnectionEnd) {
        self.disconnections.get_or_create(&EndLabel { reason: end }).inc();
    }

    /// Counts a client that may not connect.
    pub fn refused_client(&self, reason: ClientRefusal) {
        self.refused_clients.get_or_create(&RefusalLabel { reason }).inc();
    }

    /// Sets the number of users that our match condition exempts in a configuration.
    pub fn exempt(&self, place: &ConfigurationLabels, users: usize) {
        self.exempt_users.get_or_create(place).set(i64::try_from(users).unwrap_or(i64::MAX));
    }

    /// Sets whether a configuration is absent, as far as we may see.
    pub fn configuration_absent(&self, place: &ConfigurationLabels, is_absent: bool) {
        self.configuration_absent.get_or_create(place).set(i64::from(is_absent));
    }

    /// Counts an answer.
    pub fn answered(&self, path: Endpoint, verdict: ReviewOutcome, after: Duration) {
        self.requests.get_or_create(&RequestLabels { path, verdict }).inc();
        self.duration.get_or_create(&PathLabel { path }).observe(after.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_documented() {
        let (metrics, mut registry) = (Metrics::default(), Registry::default());
        metrics.register(&mut registry);
        metrics.paused(PauseResult::Allowed);
        metrics.connected(Protocol::Http2);
        metrics.disconnected(ConnectionEnd::Evicted);
        metrics.answered(Endpoint::Protect, ReviewOutcome::Denied, Duration::from_millis(2));
        metrics.refused_client(ClientRefusal::NoCertificate);
        let place =
            ConfigurationLabels { cluster: Side::Target, configuration: "MutatingWebhookConfiguration".to_owned() };
        metrics.exempt(&place, 2);
        metrics.configuration_absent(&place, true);
        for decision in ["revert", "deny", "nonsense"] {
            let audit =
                [("mode", "revert"), ("decision", decision)].map(|(name, value)| (name.to_owned(), value.to_owned()));
            metrics.decided(&Verdict::Deny { message: String::new(), audit: audit.into() });
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "holdfast_webhook_requests_total{path=\"/protect\",verdict=\"deny\"} 1",
            "holdfast_webhook_request_duration_seconds_count{path=\"/protect\"} 1",
            "holdfast_webhook_decisions_total{mode=\"revert\",decision=\"deny\"} 1",
            "holdfast_webhook_decisions_total{mode=\"revert\",decision=\"revert\"} 1",
            "holdfast_webhook_pauses_total{result=\"granted\"} 1",
            "holdfast_webhook_index_objects 0",
            "holdfast_webhook_index_age_seconds 0.0",
            "holdfast_webhook_connections_total{protocol=\"h2\"} 1",
            "holdfast_webhook_disconnections_total{reason=\"crowded\"} 1",
            "holdfast_webhook_refused_clients_total{reason=\"no-certificate\"} 1",
            "holdfast_webhook_exempt_users{cluster=\"target\",configuration=\"MutatingWebhookConfiguration\"} 2",
            "holdfast_webhook_configuration_absent{cluster=\"target\",configuration=\"MutatingWebhookConfiguration\"} 1",
            "holdfast_webhook_certificate_expiry_seconds 0",
            "holdfast_webhook_ca_expiry_seconds 0",
            "holdfast_webhook_certificate_failures_total 0",
            "holdfast_build_info{component=\"webhook\",version=",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("nonsense"), "labels are bounded: {text}");
    }
}
