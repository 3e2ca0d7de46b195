//! What all tests stand on: an installation to use, and one namespace in it for each test.
mod audit;
mod clock;
mod cluster;
mod declaration;
mod expect;
mod manifest;
mod names;
mod objects;
mod quiet;
mod recorder;
mod replica;
mod report;
mod user;

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use holdfast_e2e::control_plane::User;
use holdfast_e2e::wait;
use kube::Client;
use serde_json::json;

pub use clock::clock_library;
pub use cluster::{CONTROLLER, Cluster, SYSTEM, WEBHOOK};
pub use expect::{may, protects, reported};
pub use manifest::Manifest;
pub use names::{AUTOSCALERS, FOREIGN_FINALIZER, IGNORE, KEEP, LEASES, ORIGIN, OUR_FINALIZER};
pub use objects::text;
pub use quiet::nothing_happens_for;
pub use recorder::Recorder;
pub use replica::{Account, Replica, write_kubeconfig};
pub use user::{Person, printed, refusal};

/// Generous, because machines that run tests are busy; what has to be quick is measured.
pub const LIMIT: Duration = Duration::from_secs(45);

/// Where objects carry the protection label, with their mode in it.
pub const PROTECTION: &str = "/metadata/labels/resources.gardener.cloud~1protection";

/// A test: its namespace, and everybody who acts in it.
///
/// When the test panics, what there is to know is printed: ManagedResources, Events, the last logs of our pods.
pub struct Test {
    pub cluster: Arc<Cluster>,
    /// The namespace.
    pub ns: String,
    pub admin: Person,
    pub alice: Person,
    pub bob: Person,
    client: Client,
}

impl Test {
    /// In the installation that all harmless tests share; `topic` begins the namespace's name.
    pub async fn shared(topic: &str) -> Self {
        Self::on(Cluster::shared().await, topic).await
    }

    /// In an installation of its own.
    pub async fn own(topic: &str) -> Self {
        Self::on(Arc::new(Cluster::installed().await), topic).await
    }

    pub async fn on(cluster: Arc<Cluster>, topic: &str) -> Self {
        let ns = format!("{topic}-{:06x}", RandomState::new().build_hasher().finish() & 0xff_ffff);
        let test = Self::within(cluster, &ns);
        test.create("namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})).await;
        test
    }

    /// In a namespace that exists.
    pub fn within(cluster: Arc<Cluster>, ns: &str) -> Self {
        report::prepare();
        let person = |user| Person::new(&cluster.control_plane, user, ns);
        Self {
            ns: ns.to_owned(),
            admin: person(User::Admin),
            alice: person(User::Alice),
            bob: person(User::Bob),
            client: cluster.control_plane.client(User::Admin).expect("make a client"),
            cluster,
        }
    }

    /// Waits for `attempt` to succeed, at most [`LIMIT`].
    #[track_caller]
    #[allow(clippy::unused_self, reason = "it is read as a part of the test, and needs no import")]
    pub fn eventually<T, F, Fut>(&self, what: &str, attempt: F) -> impl Future<Output = T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, String>>,
    {
        within(LIMIT, what, attempt)
    }
}

/// Waits for `attempt` to succeed, at most `limit`.
#[track_caller]
pub fn within<T, F, Fut>(limit: Duration, what: &str, attempt: F) -> impl Future<Output = T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let place = std::panic::Location::caller();
    async move {
        let done = wait::eventually(what, limit, attempt).await;
        done.unwrap_or_else(|error| panic!("{}:{}: {error:#}", place.file(), place.line()))
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", report::of(&self.cluster, &self.ns));
        }
    }
}
