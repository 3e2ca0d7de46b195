//! The Lease in the cluster: what it says as far as an election is concerned, read and written as client-go does, and three calls.

use std::time::Duration;

use holdfast_runtime::{
    api::Api,
    call::{CallError, call},
};
use jiff::{Timestamp, Unit};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Client, api::PostParams};

/// The fields of a Lease that candidates read and write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `holderIdentity`; empty: released.
    pub holder: String,
    /// `leaseDurationSeconds`: how long the holder may count on the lease.
    pub duration: Option<Duration>,
    /// `acquireTime`, by the holder's clock.
    pub acquired: Option<Timestamp>,
    /// `renewTime`, by the holder's clock. Only ever compared for being the same.
    pub renewed: Option<Timestamp>,
    /// `leaseTransitions`: grows by one whenever the lease is taken.
    pub transitions: i32,
}

impl Record {
    /// Reads a Lease. Never fails: what is absent is empty.
    pub fn of(lease: &Lease) -> Self {
        let Some(spec) = &lease.spec else { return Self::default() };
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.holder_identity.clone().unwrap_or_default(),
            duration: seconds.map(Duration::from_secs),
            acquired: spec.acquire_time.as_ref().map(|time| time.0),
            renewed: spec.renew_time.as_ref().map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or_default(),
        }
    }

    /// Writes these fields into a Lease and leaves the others as they are.
    pub fn write_to(&self, lease: &mut Lease) {
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(self.holder.clone());
        spec.lease_duration_seconds = self.duration.and_then(|duration| i32::try_from(duration.as_secs()).ok());
        spec.acquire_time = self.acquired.map(MicroTime);
        spec.renew_time = self.renewed.map(MicroTime);
        spec.lease_transitions = Some(self.transitions);
    }

    /// What is written at release: nobody holds it, and whoever looks at the duration only has a second to wait.
    pub fn released(&self, now: Timestamp) -> Self {
        let now = self.stamp(now);
        Self {
            holder: String::new(),
            duration: Some(Duration::from_secs(1)),
            acquired: Some(now),
            renewed: Some(now),
            transitions: self.transitions,
        }
    }

    /// The wall clock's time in the precision of a Lease, but never this record's `renewed`: a renewal has to change the
    /// record even if the clock stands still, or others take the holder for dead.
    pub fn stamp(&self, now: Timestamp) -> Timestamp {
        let rounded = now.round(Unit::Microsecond).unwrap_or(now);
        if self.renewed == Some(rounded) {
            return rounded.checked_add(Duration::from_micros(1)).unwrap_or(Timestamp::UNIX_EPOCH);
        }
        rounded
    }
}

/// Where one Lease lies. A trait, because the races of an election cannot be produced on demand with a real API server.
pub trait LeaseStore: Send + Sync + 'static {
    /// `namespace/name`, for people.
    fn describe(&self) -> String;

    /// Reads it as it is now, not from a cache; `None` if it does not exist.
    fn get(&self, limit: Duration) -> impl Future<Output = Result<Option<Lease>, CallError>> + Send;

    /// Creates it. 409 if it exists.
    fn create(&self, lease: &Lease, limit: Duration) -> impl Future<Output = Result<Lease, CallError>> + Send;

    /// Replaces it if it still is what `lease`, as it was answered, shows by its uid and resourceVersion; 409 otherwise.
    fn replace(&self, lease: &Lease, limit: Duration) -> impl Future<Output = Result<Lease, CallError>> + Send;
}

/// A Lease in a cluster.
#[derive(Clone, Debug)]
pub struct ClusterLease {
    api: Api<Lease>,
    namespace: String,
    name: String,
}

impl ClusterLease {
    /// The Lease of this name. Sends nothing.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} Lease {}", self.describe())
    }
}

impl LeaseStore for ClusterLease {
    fn describe(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    async fn get(&self, limit: Duration) -> Result<Option<Lease>, CallError> {
        // No resourceVersion is asked for, which makes it a read from etcd.
        call(limit, self.what("get"), self.api.get_opt(&self.name)).await
    }

    async fn create(&self, lease: &Lease, limit: Duration) -> Result<Lease, CallError> {
        let mut lease = lease.clone();
        lease.metadata.name = Some(self.name.clone());
        call(limit, self.what("create"), self.api.create(&PostParams::default(), &lease)).await
    }

    async fn replace(&self, lease: &Lease, limit: Duration) -> Result<Lease, CallError> {
        // `lease` comes from an answer and so has a resourceVersion; Leases without one are refused by the server.
        call(limit, self.what("replace"), self.api.replace(&self.name, &PostParams::default(), lease)).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_of_client_go_is_read_and_written_back() {
        let text = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "l", "namespace": "n", "resourceVersion": "7", "labels": {"a": "b"}},
            "spec": {
                "holderIdentity": "grm_1", "leaseDurationSeconds": 15, "leaseTransitions": 3, "strategy": "OldestEmulationVersion",
                "acquireTime": "2026-01-02T03:04:05.000006Z", "renewTime": "2026-01-02T03:04:07.100000Z",
            },
        });
        let lease: Lease = serde_json::from_value(text.clone()).unwrap();
        let record = Record::of(&lease);
        assert_eq!(
            (record.holder.as_str(), record.duration, record.transitions),
            ("grm_1", Some(Duration::from_secs(15)), 3)
        );
        let mut same = lease.clone();
        record.write_to(&mut same);
        assert_eq!(serde_json::to_value(&same).unwrap(), text);

        let mut released = lease;
        record.released("2026-01-02T03:04:09.1234567Z".parse().unwrap()).write_to(&mut released);
        let mut expected = text;
        for (field, value) in [
            ("holderIdentity", json!("")),
            ("leaseDurationSeconds", json!(1)),
            ("acquireTime", json!("2026-01-02T03:04:09.123457Z")),
            ("renewTime", json!("2026-01-02T03:04:09.123457Z")),
        ] {
            expected["spec"][field] = value;
        }
        assert_eq!(serde_json::to_value(&released).unwrap(), expected);
    }

    #[test]
    fn an_empty_or_odd_lease_is_held_by_nobody() {
        assert_eq!(Record::of(&Lease::default()), Record::default());
        let odd = Lease {
            spec: Some(LeaseSpec { lease_duration_seconds: Some(-1), ..LeaseSpec::default() }),
            ..Lease::default()
        };
        assert_eq!(Record::of(&odd), Record::default());
    }

    #[test]
    fn a_clock_that_stands_still_makes_new_records_all_the_same() {
        let now: Timestamp = "2026-01-02T03:04:05.000001Z".parse().unwrap();
        let record = Record { renewed: Some(now), ..Record::default() };
        assert_eq!(record.stamp(now).to_string(), "2026-01-02T03:04:05.000002Z");
        assert_eq!(Record::default().stamp(now), now);
    }
}
