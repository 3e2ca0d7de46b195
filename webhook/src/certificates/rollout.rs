//! From one certificate to the next without a failed call: a new one is served when the API servers trust it, not before.
//!
//! Each replica reads for itself what is registered. The former certificate is served until then, as long as it is valid.

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

use super::ServingCertificate;
use crate::metrics::Metrics;

/// How long the API servers get to notice what is registered; less for short-lived certificates.
const SETTLE: Duration = Duration::from_secs(10);
/// So long a certificate may wait without a word.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look without a sign of change: certificates expire.
const INTERVAL: Duration = Duration::from_secs(10);

/// The bundles (PEM) that are registered, by webhook configuration; `None` while nobody knows.
pub type Bundles = BTreeMap<String, Option<BTreeSet<Vec<u8>>>>;

/// What is registered, as far as it is known. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Registered(Arc<watch::Sender<Bundles>>);

impl Registered {
    /// A configuration that there is to be; nothing is known of it yet.
    pub fn expect(&self, configuration: &str) {
        self.0.send_modify(|all| _ = all.insert(configuration.to_owned(), None));
    }

    /// What was found in a configuration. An empty set says that it does not exist, or calls nobody.
    pub fn set(&self, configuration: &str, found: BTreeSet<Vec<u8>>) {
        self.0.send_if_modified(|all| {
            let known = all.get(configuration).is_some_and(|known| known.as_ref() == Some(&found));
            if !known {
                all.insert(configuration.to_owned(), Some(found));
            }
            !known
        });
    }
}

/// What to do about a certificate that is not served yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Serve with it now.
    Now,
    /// It is trusted everywhere: serve with it after a while.
    Soon,
    /// It is not trusted everywhere.
    Later,
}

fn step(served: Option<&ServingCertificate>, wanted: &ServingCertificate, bundles: &Bundles, now: Timestamp) -> Step {
    let Some(served) = served.filter(|served| now < served.expires) else { return Step::Now };
    // Only the bundle has changed.
    if served.fingerprint.1 == wanted.fingerprint.1 {
        return Step::Now;
    }
    let all = || bundles.values().flatten().flatten();
    let trusting = |loaded: &ServingCertificate| all().filter(|bundle| loaded.is_trusted_through(bundle, now)).count();
    let (former, new) = (trusting(served), trusting(wanted));
    if new > former {
        Step::Now
    } else if new == all().count() && bundles.values().all(Option::is_some) {
        Step::Soon
    } else {
        Step::Later
    }
}

/// Sets `served` to `wanted` as soon as that fails no call, until the token is cancelled. `latch` is set when something is
/// served.
pub async fn keep(
    mut wanted: watch::Receiver<Option<Arc<ServingCertificate>>>,
    served: watch::Sender<Option<Arc<ServingCertificate>>>,
    registered: Registered,
    traffic: Traffic,
    (metrics, latch): (Metrics, Latch),
    token: CancellationToken,
) -> anyhow::Result<()> {
    let mut registrations = registered.0.subscribe();
    // Since when it is trusted everywhere.
    let mut trusted: Option<(Arc<ServingCertificate>, Instant)> = None;
    let (mut waiting, mut reminder) = (None, Reminder::default());
    loop {
        let (new, former) = (wanted.borrow_and_update().clone(), served.borrow().clone());
        let mut pause = INTERVAL;
        if let Some(new) = new.filter(|new| former.as_ref().is_none_or(|former| former.fingerprint != new.fingerprint))
        {
            let bundles = registrations.borrow_and_update().clone();
            let mut next = step(former.as_deref(), &new, &bundles, traffic.server_time());
            if next == Step::Soon {
                let known = trusted.take().filter(|(known, _)| known.fingerprint == new.fingerprint);
                let (_, since) = trusted.insert(known.unwrap_or_else(|| (Arc::clone(&new), Instant::now())));
                pause = settle(&new).saturating_sub(since.elapsed());
                next = if pause.is_zero() { Step::Now } else { Step::Soon };
            } else {
                trusted = None;
            }
            if next == Step::Now {
                tracing::info!(expires = %new.expires, "serving with a new certificate");
                metrics.certificate_expiry.set(new.expires.as_second());
                metrics.authority_expiry.set(new.authority_expires.as_second());
                latch.set(true);
                served.send_replace(Some(new));
                (waiting, reminder) = (None, Reminder::default());
                continue;
            }
            if waiting.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                reminder.warn("there is a new certificate, and a webhook configuration does not trust it yet; the former one is served");
            }
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            changed = wanted.changed() => if changed.is_err() { token.cancelled().await },
            _ = registrations.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn settle(loaded: &ServingCertificate) -> Duration {
    Duration::try_from(loaded.lifetime() / 20).unwrap_or_default().min(SETTLE)
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
            ("registered in all", Some(&old), vec![Some(of_both), Some(of_both)], now, Step::Soon),
            ("unknown", Some(&old), vec![Some(of_both), None], now, Step::Later),
            ("no configuration", Some(&old), vec![Some(&[][..])], now, Step::Soon),
            ("emptied", Some(&old), vec![Some(of_none)], now, Step::Later),
            ("the former is not trusted any more", Some(&old), vec![Some(of_new), Some(of_none)], now, Step::Now),
            ("the former has expired", Some(&old), vec![Some(of_old)], later, Step::Now),
            ("the same leaf", Some(&new), vec![Some(of_old)], now, Step::Now),
        ] {
            assert_eq!(step(served, &new, &bundles(&registered), at), expected, "{case}");
        }
    }
}
