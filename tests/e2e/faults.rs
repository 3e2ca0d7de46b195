//! Harm done to the controller and to what it depends on. Its process is started by the tests themselves, behind a proxy
//! that does the harm; the control plane is real and has no webhook of ours.
mod clock;
mod crashes;
mod definitions;
mod failing_kinds;
mod failure_policy;
mod ignore_paths;
mod kill;
mod outage;
mod pauses;
mod preserve;
mod proxy;
mod random;
mod restart;
mod rolling_restart;
mod scenario;
mod secret_content;
mod settings;
mod shutdown;
mod stuck_deletion;
mod unreadable_secrets;
mod webhook;
mod webhook_timeout;

use std::sync::Arc;

use futures::FutureExt;
use holdfast_e2e::fault_proxy::{FaultProxy, Hook};
use rustix::process::Signal;

use crate::harness::{Account, Cluster, Replica, Test};

/// A namespace, and a controller behind a proxy that takes care of the class of this name.
struct Stage {
    // First, so that its log is still there when it tells of it.
    replica: Arc<Replica>,
    proxy: FaultProxy,
    account: Account,
    class: String,
    test: Test,
}

impl Stage {
    /// On the control plane that all these tests share; the controller, with these flags, does not run yet.
    async fn set(topic: &str, flags: &[&str]) -> Self {
        let test = Test::on(Cluster::shared_bare().await, topic).await;
        let class = test.ns.clone();
        let account = Account::create(&test, "controller").await;
        let proxy = FaultProxy::start(&test.cluster.control_plane).await.expect("start a proxy");
        let replica = Replica::behind(&test.cluster, &class, &proxy, &account.token, &class).with(flags);
        let replica = Arc::new(replica.in_namespace(&test.ns));
        Self { replica, proxy, account, class, test }
    }

    /// Kills the controller, and lets the request go on when it is dead.
    fn killing(&self) -> Hook {
        let replica = Arc::clone(&self.replica);
        Arc::new(move |_| {
            let replica = Arc::clone(&replica);
            async move {
                replica.signal(Signal::KILL);
                replica.ended_at_last().await;
            }
            .boxed()
        })
    }

    /// A Secret and a ManagedResource of this name; does not wait.
    async fn submit(&self, name: &str, manifests: &str) {
        self.test.declare(name, manifests).class(&self.class).write().await;
    }
}
