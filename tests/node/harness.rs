//! What the tests have in common: the node that they run in, people, the chart, edits, pods and figures.
mod figures;
mod pods;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_e2e::control_plane::User;
use holdfast_e2e::edit_load::EditLoad;
use holdfast_e2e::install::{NAMESPACE, RELEASE};
use holdfast_e2e::kubectl::{Kubectl, Output};
use holdfast_e2e::toolchain::Tools;
use holdfast_e2e::{cache, wait};
use serde_json::Value;

pub use figures::{figure, row};
pub use pods::{CONTROLLER, Pod, WEBHOOK};

/// How long anything may take that the tests do not measure.
pub const LIMIT: Duration = Duration::from_secs(90);

/// The node that this process runs in, without the chart.
pub struct Node {
    kubeconfig: PathBuf,
    pub admin: Kubectl,
    pub alice: Kubectl,
}

impl Node {
    /// Clears away what an earlier test may have left.
    pub async fn cleared() -> Self {
        holdfast_e2e::install_crypto_provider();
        let kubeconfig = std::env::var_os("KUBECONFIG").filter(|_| directory().is_some());
        let kubeconfig = PathBuf::from(kubeconfig.expect("these tests run within a node: cargo xtask node test"));
        let tools = Tools::ensure().expect("find kubectl and helm");
        let person = |user: User| Kubectl::new(&tools, &kubeconfig, user.name()).with_limit(Duration::from_secs(150));
        let (admin, alice) = (person(User::Admin), person(User::Alice));
        let node = Self { kubeconfig, admin, alice };
        node.clear().await;
        node
    }

    /// The node with the chart and these values (`key=value`), available.
    pub async fn installed(values: &[&str]) -> Self {
        let node = Self::cleared().await;
        node.install("install", values).await;
        node
    }

    /// `helm install` or `helm upgrade` of the chart in this repository, with `--wait`.
    pub async fn install(&self, verb: &str, values: &[&str]) {
        let chart = chart().display().to_string();
        self.helm_with(&[verb, RELEASE, &chart, "--namespace", NAMESPACE, "--create-namespace", "--wait"], values)
            .await;
    }

    /// Runs helm, which must succeed, and returns what it wrote.
    pub async fn helm(&self, args: &[&str]) -> String {
        let output = self.admin.helm(args).await.unwrap();
        match output.clone().success() {
            Ok(_) => output.stdout + &output.stderr,
            Err(error) => panic!("helm {}: {error}\n{}", args.join(" "), self.state().await),
        }
    }

    /// The same with values.
    pub async fn helm_with(&self, args: &[&str], values: &[&str]) -> String {
        let values: Vec<&str> = values.iter().flat_map(|value| ["--set", value]).collect();
        self.helm(&[args, &values].concat()).await
    }

    /// Runs kubectl as admin with these words, which must succeed.
    pub async fn does(&self, words: &str) -> String {
        self.with(&words.split_whitespace().collect::<Vec<_>>()).await
    }

    /// Runs kubectl as admin with these arguments, which must succeed.
    pub async fn with(&self, args: &[&str]) -> String {
        match self.admin.run(args, None).await.unwrap().success() {
            Ok(text) => text,
            Err(error) => panic!("kubectl {}: {error}\n{}", args.join(" "), self.state().await),
        }
    }

    /// Runs kubectl as alice with these words.
    pub async fn alice(&self, words: &str) -> Output {
        self.alice.run(&words.split_whitespace().collect::<Vec<_>>(), None).await.unwrap()
    }

    /// Applies YAML as admin.
    pub async fn apply(&self, yaml: &str) {
        let output = self.admin.run(&["apply", "-f", "-"], Some(yaml)).await.unwrap();
        output.success().unwrap_or_else(|error| panic!("kubectl apply: {error}"));
    }

    /// An object or a list as JSON; nothing if it is not there.
    pub async fn get(&self, words: &str) -> Option<Value> {
        let args: Vec<&str> = ["get", "-o", "json"].into_iter().chain(words.split_whitespace()).collect();
        let text = self.admin.run(&args, None).await.unwrap().success().ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Whether alice's edit of a ConfigMap that [`Self::declare`] declared is refused in our words.
    pub async fn refuses(&self, name: &str) -> Result<(), String> {
        let patch = r#"{"data":{"k":"alice"}}"#;
        let args = ["patch", "configmap", name, "--type=merge", "--patch", patch];
        let printed = self.alice.run(&args, None).await.unwrap().refusal().map_err(|error| error.to_string())?;
        if printed.contains("is managed by ManagedResource") { Ok(()) } else { Err(printed) }
    }

    /// Waits until edits of it are refused.
    pub async fn protects(&self, name: &str) {
        let refused = wait::eventually("alice's edit to be refused", LIMIT, || self.refuses(name)).await;
        if let Err(error) = refused {
            panic!("{error:#}\n{}", self.state().await);
        }
    }

    /// Declares a ConfigMap of this name in `default`, with `k: one`, and waits until it is applied and protected.
    pub async fn declare(&self, name: &str) {
        self.apply(&declaration(name)).await;
        self.does(&format!("wait --for=condition=ResourcesApplied mr/{name} --timeout=60s")).await;
        self.protects(name).await;
    }

    /// Waits until a ConfigMap is as declared.
    pub async fn is_as_declared(&self, name: &str) {
        wait::eventually("the ConfigMap to be put right", LIMIT, || async {
            let object = self.get(&format!("configmap {name}")).await.unwrap_or_default();
            if object["data"] == serde_json::json!({"k": "one"}) { Ok(()) } else { Err(object["data"].to_string()) }
        })
        .await
        .unwrap();
    }

    /// Alice edits a ConfigMap in the namespace `default` from now on.
    pub async fn edits(&self, name: &str) -> EditLoad {
        EditLoad::start(self.client(User::Alice).await, &format!("/api/v1/namespaces/default/configmaps/{name}"))
    }

    /// A client that acts as this user.
    pub async fn client(&self, user: User) -> kube::Client {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let options = kube::config::KubeConfigOptions { context: Some(user.name().to_owned()), ..Default::default() };
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        config.default_retry = false;
        config.read_timeout = Some(Duration::from_secs(40));
        kube::Client::try_from(config).unwrap()
    }

    /// How it looks, for messages.
    pub async fn state(&self) -> String {
        let mut text = String::new();
        for words in [
            "get pods -A -o wide",
            "get events -n holdfast-system --sort-by=.lastTimestamp",
            "logs -n holdfast-system -l app.kubernetes.io/name=holdfast --tail=30 --prefix",
            "get mr -A",
        ] {
            let args: Vec<&str> = words.split_whitespace().collect();
            let output = self.admin.run(&args, None).await.unwrap();
            let _ = write!(text, "$ kubectl {words}\n{}{}", output.stdout, output.stderr);
        }
        text
    }

    async fn clear(&self) {
        let quietly = async |words: &str| {
            let _ = self.admin.run(&words.split_whitespace().collect::<Vec<_>>(), None).await.unwrap();
        };
        quietly("uncordon node1").await;
        if self.admin.helm(&["status", RELEASE, "--namespace", NAMESPACE]).await.unwrap().status.success() {
            quietly("delete mr -A --all --timeout=20s").await;
            let _ = self.admin.helm(&["uninstall", RELEASE, "--namespace", NAMESPACE]).await.unwrap();
            // How they end is for other tests.
            quietly("delete pods -n holdfast-system --all --force --grace-period=0").await;
        }
        // Of a test that failed: nobody is there any more to finish them.
        for each in self.get("mr -A").await.unwrap_or_default()["items"].as_array().into_iter().flatten() {
            let [namespace, name] = ["namespace", "name"].map(|key| each["metadata"][key].as_str().unwrap());
            let patch = r#"{"metadata":{"finalizers":null}}"#;
            let args = ["patch", "mr", name, "-n", namespace, "--type=merge", "--patch", patch];
            let _ = self.admin.run(&args, None).await.unwrap();
        }
        quietly("delete mr -A --all --timeout=20s").await;
        // As on a cluster that has never seen us.
        quietly("delete namespace holdfast-system --timeout=60s").await;
        quietly("delete crd managedresources.resources.gardener.cloud --timeout=20s").await;
    }
}

/// The directory of the node, seen also from outside.
pub fn directory() -> Option<PathBuf> {
    std::env::var_os("HOLDFAST_NODE_DIRECTORY").map(PathBuf::from)
}

/// The chart in this repository.
pub fn chart() -> PathBuf {
    cache::workspace().join("charts/holdfast")
}

/// A Secret and a ManagedResource of this name that declare a ConfigMap of this name.
pub fn declaration(name: &str) -> String {
    format!(
        "apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: default}}
stringData:
  objects.yaml: |
    apiVersion: v1
    kind: ConfigMap
    metadata: {{name: {name}, namespace: default}}
    data: {{k: one}}
---
apiVersion: resources.gardener.cloud/v1alpha1
kind: ManagedResource
metadata: {{name: {name}, namespace: default}}
spec:
  secretRefs: [{{name: {name}}}]
"
    )
}
