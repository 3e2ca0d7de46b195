//! The webhook as a process that the test starts, behind a proxy that does harm; the API server calls it at the address of a
//! Service, or at a URL.
mod clocks;
mod http2;
mod pause_authorization;
mod shutdown;
mod stale_state;

use std::net::{SocketAddr, TcpListener};

use holdfast_e2e::fault_proxy::{FaultProxy, Request, Rule};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Account, Cluster, Replica, Test, WEBHOOK, printed, text};

const SERVICE: &str = "webhook";

/// A namespace with a Service, a controller, and a webhook that is asked about this namespace only. Neither runs yet.
struct Stage {
    // First, so that its log is still there when it tells of it.
    webhook: Replica,
    controller: Replica,
    proxy: FaultProxy,
    account: Account,
    probes: SocketAddr,
    test: Test,
}

/// A port of this machine that was free a moment ago.
fn free() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

impl Stage {
    /// Called by way of the Service.
    async fn set(topic: &str, flags: &[&str]) -> Self {
        let test = Test::on(Cluster::shared_bare().await, topic).await;
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE},
            "spec": {"ports": [{"port": 9443}]}});
        let address = text(&test.create("services", &service).await, "/spec/clusterIP");
        let client =
            |path: &str| json!({"service": {"namespace": test.ns, "name": SERVICE, "port": 9443, "path": path}});
        let configurations = configurations(&test.ns, &client);
        Self::called(test, format!("{address}:9443"), configurations, flags).await
    }

    /// Called at a URL of this machine.
    async fn set_at_url(topic: &str) -> Self {
        let test = Test::on(Cluster::shared_bare().await, topic).await;
        let address = free();
        let configurations = configurations(&test.ns, &|path| json!({"url": format!("https://{address}{path}")}));
        Self::called(test, address.to_string(), configurations, &[]).await
    }

    async fn called(test: Test, address: String, configurations: [(&str, Value); 2], flags: &[&str]) -> Self {
        let account = Account::create(&test, "holdfast").await;
        for (plural, mut body) in configurations {
            body["metadata"] = json!({"name": test.ns});
            let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}");
            test.call("POST", &path, Some(&body)).await.expect("register");
        }
        let proxy = FaultProxy::start(&test.cluster.control_plane).await.expect("start a proxy");
        let probes = free();
        let kubeconfig = test.cluster.control_plane.directory().join(format!("{}-webhook.kubeconfig", test.ns));
        proxy.write_kubeconfig(&kubeconfig, &account.token).expect("write a kubeconfig");
        let arguments = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--bind-address={address}"),
            format!("--probes-address={probes}"),
            format!("--namespace={}", test.ns),
            format!("--service={SERVICE}"),
            format!("--validating-configuration={}", test.ns),
            format!("--mutating-configuration={}", test.ns),
            format!("--own-user={}", account.user),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let webhook = Replica::only(&test.cluster, WEBHOOK, &format!("{}-webhook", test.ns), &arguments).with(flags);
        let controller = Replica::direct(&test.cluster, &test.ns, &account.token, &test.ns).in_namespace(&test.ns);
        Self { webhook, controller, proxy, account, probes, test }
    }

    /// Has objects applied by the controller, which is gone then.
    async fn apply_once(&self, manifests: &str) {
        self.controller.start();
        self.test.declare("mr", manifests).class(&self.test.ns).await;
        self.controller.kill().await;
    }

    /// What the webhook serves at a path of its port for probes, with the head; empty if it does not.
    async fn probe(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(self.probes).await else { return String::new() };
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        if stream.write_all(request.as_bytes()).await.is_ok() {
            let _ = stream.read_to_string(&mut answer).await;
        }
        answer
    }

    /// Waits for an answer to a probe with these parts.
    async fn probes(&self, path: &str, parts: &[&str]) {
        self.test
            .eventually(&format!("{path} to say {parts:?}"), || async {
                let answer = self.probe(path).await;
                if parts.iter().all(|part| answer.contains(part)) { Ok(()) } else { Err(answer) }
            })
            .await;
    }

    /// What is said to alice when she changes a ConfigMap, each time to something else.
    async fn edit(&self, name: &str) -> String {
        let patch = json!({"data": {"k": jiff::Timestamp::now().to_string()}}).to_string();
        printed(&self.test.alice.with(&["patch", "configmap", name, "-p", &patch]).await)
    }

    /// Waits until she is told these words: configurations take effect a moment after they were written.
    async fn edit_says(&self, name: &str, words: &str) -> String {
        let what = format!("an edit to be answered with: {words}");
        let printed = self.test.eventually(&what, || async {
            let printed = self.edit(name).await;
            if printed.contains(words) { Ok(printed) } else { Err(printed) }
        });
        printed.await
    }

    /// From now on these requests of the webhook come to harm.
    fn harm(&self, rule: Rule) {
        self.proxy.clear();
        self.proxy.add(rule);
    }
}

/// Lists and watches of ManagedResources.
fn about_managed_resources(request: &Request) -> bool {
    request.path.ends_with("/managedresources")
}

/// As the chart has them, for one namespace and without exemptions.
fn configurations(ns: &str, client: &dyn Fn(&str) -> Value) -> [(&'static str, Value); 2] {
    let webhook = |name: &str, path: &str, rule: Value, labels: &[&str]| {
        let label = "resources.gardener.cloud/protection";
        let selector = json!({"matchExpressions": [{"key": label, "operator": "In", "values": labels}]});
        json!({"name": format!("{name}.{ns}.test"), "clientConfig": client(path), "failurePolicy": "Ignore",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns}},
            "objectSelector": if labels.is_empty() { json!({}) } else { selector },
            "rules": [rule], "admissionReviewVersions": ["v1"], "sideEffects": "NoneOnDryRun", "timeoutSeconds": 3,
            "matchConditions": [{"name": "not-ours",
                "expression": format!("request.userInfo.username != 'system:serviceaccount:{ns}:holdfast'")}]})
    };
    let rule = |group: &str, resource: &str, operations: &[&str]| {
        json!({"apiGroups": [group], "apiVersions": ["*"], "resources": [resource], "operations": operations,
            "scope": "Namespaced"})
    };
    let writes = ["CREATE", "UPDATE", "DELETE"];
    let entries = json!([
        webhook("protect", "/protect", rule("*", "*", &writes), &["deny", "revert", "warn"]),
        webhook("paused", "/protect", rule("*", "*", &writes[1..]), &["off"]),
        webhook("scale", "/protect", rule("*", "*/scale", &["UPDATE"]), &[]),
        webhook("mr", "/managedresources", rule("resources.gardener.cloud", "managedresources", &writes[..2]), &[]),
    ]);
    let of = |kind: &str, webhooks: Value| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "webhooks": webhooks});
    [
        ("validatingwebhookconfigurations", of("ValidatingWebhookConfiguration", entries)),
        ("mutatingwebhookconfigurations", of("MutatingWebhookConfiguration", json!([]))),
    ]
}
