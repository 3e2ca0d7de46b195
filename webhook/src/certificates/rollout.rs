//! From one certificate to the next without a failed call: a new one is served ten seconds after each webhook configuration
//! trusts it. Until then the former one is served, as long as it is valid.
//!
//! Each replica reads for itself what is registered, since another replica, cert-manager or a person may have written it. And it
//! counts, since not everybody leaves the former CA in the bundle: cert-manager replaces it, and so does a Secret that was
//! restored from a backup. Then calls fail, and waiting after the patch would let them fail for ten seconds more. So the new
//! certificate is served at once when more bundles trust it than the former one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use holdfast_runtime::readiness::Latch;
use holdfast_runtime::reminder::Reminder;
use holdfast_runtime::traffic::Traffic;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{CertificateSender, CertificateWatch, ServingCertificate};
use crate::metrics::Metrics;

/// How long API servers may take to see what is registered; less for short-lived certificates.
const PROPAGATION: Duration = Duration::from_secs(10);
/// How long a certificate may wait before that is logged.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look without a sign of change: certificates expire.
const INTERVAL: Duration = Duration::from_secs(10);

/// The bundles (PEM) by webhook configuration; `None` before the first look.
type Bundles = BTreeMap<String, Option<BTreeSet<Vec<u8>>>>;

/// The bundles that are registered, as far as they are known. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct RegisteredBundles(Arc<watch::Sender<Bundles>>);

impl RegisteredBundles {
    /// Announces a configuration, so that the rollout waits for it.
    pub(super) fn expect(&self, configuration: &str) {
        self.0.send_modify(|all| _ = all.insert(configuration.to_owned(), None));
    }

    /// Sets what was found in a configuration. An empty set means that it does not exist, or has no webhooks.
    pub(super) fn set(&self, configuration: &str, found: BTreeSet<Vec<u8>>) {
        self.0.send_if_modified(|all| {
            let former = all.insert(configuration.to_owned(), Some(found.clone()));
            former.flatten() != Some(found)
        });
    }
}

/// When to serve a new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Now,
    /// All configurations trust it: once the API servers have seen that.
    AfterPropagation,
    Later,
}

fn step(active: Option<&ServingCertificate>, target: &ServingCertificate, bundles: &Bundles, now: Timestamp) -> Step {
    let Some(active) = active.filter(|active| now < active.expires) else { return Step::Now };
    // Only the bundle has changed.
    if active.fingerprint.1 == target.fingerprint.1 {
        return Step::Now;
    }
    let registered = || bundles.values().flatten().flatten();
    let trusting = |certificate: &ServingCertificate| {
        registered().filter(|bundle| certificate.is_trusted_through(bundle, now)).count()
    };
    let (of_active, of_target) = (trusting(active), trusting(target));
    if of_target > of_active {
        Step::Now
    } else if of_target == registered().count() && bundles.values().all(Option::is_some) {
        Step::AfterPropagation
    } else {
        Step::Later
    }
}

/// Serves new certificates.
pub struct Rollout {
    /// The certificate to serve.
    pub target: CertificateWatch,
    /// The certificate that is served.
    pub active: CertificateSender,
    /// What API servers trust.
    pub registered: RegisteredBundles,
    /// Knows the API server's time.
    pub traffic: Traffic,
    /// Metrics.
    pub metrics: Metrics,
    /// Set once a certificate is served.
    pub latch: Latch,
}

impl Rollout {
    /// Serves each target as soon as that fails no call, until the token is cancelled.
    pub async fn run(mut self, token: CancellationToken) -> anyhow::Result<()> {
        let mut registrations = self.registered.0.subscribe();
        let (mut waiting, mut reminder) = (Waiting::default(), Reminder::default());
        loop {
            let mut pause = INTERVAL;
            if let Some(target) = self.pending() {
                let bundles = registrations.borrow_and_update().clone();
                let active = self.active.borrow().clone();
                let step = step(active.as_deref(), &target, &bundles, self.traffic.server_time());
                let Some(remaining) = waiting.remaining(step, &target) else {
                    self.serve(target);
                    (waiting, reminder) = (Waiting::default(), Reminder::default());
                    continue;
                };
                pause = remaining.min(INTERVAL);
                if waiting.is_long() {
                    reminder
                        .warn("a webhook configuration does not trust the new certificate yet; serving the old one");
                }
            }
            tokio::select! {
                () = token.cancelled() => return Ok(()),
                () = self.target.changed() => {}
                _ = registrations.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The target, unless it is active.
    fn pending(&self) -> Option<Arc<ServingCertificate>> {
        let (target, active) = (self.target.get()?, self.active.borrow().clone());
        active.is_none_or(|active| active.fingerprint != target.fingerprint).then_some(target)
    }

    fn serve(&self, target: Arc<ServingCertificate>) {
        tracing::info!(expires = %target.expires, "serving with a new certificate");
        self.metrics.certificate_expiry.set(target.expires.as_second());
        self.metrics.authority_expiry.set(target.authority_expires.as_second());
        self.latch.set(true);
        self.active.send_replace(Some(target));
    }
}

/// Since when a target waits.
#[derive(Default)]
struct Waiting {
    since: Option<Instant>,
    /// Which certificate all configurations trust, and since when.
    trusted: Option<(Arc<ServingCertificate>, Instant)>,
}

impl Waiting {
    /// How long to wait for the next look; `None` to serve now.
    fn remaining(&mut self, step: Step, target: &Arc<ServingCertificate>) -> Option<Duration> {
        self.since.get_or_insert_with(Instant::now);
        let former = self.trusted.take().filter(|(trusted, _)| trusted.fingerprint == target.fingerprint);
        match step {
            Step::Now => None,
            Step::Later => Some(INTERVAL),
            Step::AfterPropagation => {
                let (_, since) = self.trusted.insert(former.unwrap_or_else(|| (Arc::clone(target), Instant::now())));
                Some(propagation(target).saturating_sub(since.elapsed())).filter(|remaining| !remaining.is_zero())
            }
        }
    }

    fn is_long(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > PATIENCE)
    }
}

fn propagation(certificate: &ServingCertificate) -> Duration {
    Duration::try_from(certificate.lifetime() / 20).unwrap_or_default().min(PROPAGATION)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::{Data, Finding, Lifetimes, inspect, issue};
    use super::*;

    fn loaded(now: Timestamp) -> ServingCertificate {
        let names = ["webhook.n.svc".to_owned()];
        let issued = issue(&names, Lifetimes::default(), now).unwrap();
        let data: Data = [("ca.crt", issued.authority), ("tls.crt", issued.leaf), ("tls.key", issued.leaf_key)]
            .map(|(key, pem)| (key.to_owned(), pem.into_bytes()))
            .into();
        let Finding::Good(loaded) = inspect(&data, &names, now) else { panic!() };
        loaded
    }

    #[test]
    fn nothing_is_served_before_it_is_trusted() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let (old, new) = (loaded(now), loaded(now));
        let both = [old.bundle.as_slice(), new.bundle.as_slice()].concat();
        let bundles = |all: &[Option<&[&[u8]]>]| -> Bundles {
            let set = |found: &[&[u8]]| found.iter().map(|bundle| bundle.to_vec()).collect();
            all.iter().enumerate().map(|(index, found)| (index.to_string(), found.map(set))).collect()
        };
        let later = now + SignedDuration::from_hours(366 * 24);
        let of_old: &[&[u8]] = &[&old.bundle];
        let of_new: &[&[u8]] = &[&new.bundle];
        let of_both: &[&[u8]] = &[&both];
        let of_none: &[&[u8]] = &[b""];
        for (case, served, registered, at, expected) in [
            ("the first", None, vec![None], now, Step::Now),
            ("not registered", Some(&old), vec![Some(of_old), Some(of_old)], now, Step::Later),
            ("registered in one", Some(&old), vec![Some(of_both), Some(of_old)], now, Step::Later),
            ("registered in all", Some(&old), vec![Some(of_both), Some(of_both)], now, Step::AfterPropagation),
            ("unknown", Some(&old), vec![Some(of_both), None], now, Step::Later),
            ("no configuration", Some(&old), vec![Some(&[][..])], now, Step::AfterPropagation),
            ("emptied", Some(&old), vec![Some(of_none)], now, Step::Later),
            ("the former is not trusted any more", Some(&old), vec![Some(of_new), Some(of_none)], now, Step::Now),
            ("the former has expired", Some(&old), vec![Some(of_old)], later, Step::Now),
            ("the same leaf", Some(&new), vec![Some(of_old)], now, Step::Now),
        ] {
            assert_eq!(step(served, &new, &bundles(&registered), at), expected, "{case}");
        }
    }
}
