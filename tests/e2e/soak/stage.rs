//! Who acts, and on what: a control plane, two controllers, alice.
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use holdfast_core::api::ManagedResource;
use holdfast_core::key::ObjectKey;
use holdfast_core::names;
use holdfast_e2e::control_plane::User;
use holdfast_testing::Dice;
use kube::Client;
use serde_json::{Value, json};

use super::generate::Pool;
use super::kinds::{self, Kind};
use super::model::{Declared, Health, Model, Source};
use crate::harness::{Account, Cluster, Replica, Test};

/// While the API server is away.
const AWAY: Duration = Duration::from_secs(90);
const MANAGER: &str = "soak";

pub struct Soak {
    pub seed: u64,
    pub dice: Dice,
    pub model: Model,
    pub pools: Vec<Pool>,
    pub controllers: [Replica; 2],
    /// Of both classes.
    pub accounts: [Account; 2],
    pub classes: Vec<String>,
    /// Where the objects are.
    pub places: Vec<String>,
    pub acts: usize,
    /// How often what was done.
    pub tally: BTreeMap<String, usize>,
    /// ManagedResources that were deleted since the last quiet moment.
    pub gone: BTreeSet<String>,
    alice: Client,
    pub test: Test,
}

impl Soak {
    pub async fn set(seed: u64) -> Self {
        let cluster = Cluster::bare().await;
        cluster.define().await.expect("define ManagedResources");
        let test = Test::on(cluster.into(), "soak").await;
        let places: Vec<String> = ["a", "b"].iter().map(|place| format!("{}-{place}", test.ns)).collect();
        for place in &places {
            test.create("namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place}}))
                .await;
        }
        test.create("customresourcedefinitions", &kinds::widgets()).await;
        let classes: Vec<String> = ["one", "two"].iter().map(|class| format!("{}-{class}", test.ns)).collect();
        let accounts = [Account::create(&test, "one").await, Account::create(&test, "two").await];
        let controller = |number: usize| {
            let (class, token) = (&classes[number], &accounts[number].token);
            let replica = Replica::direct(&test.cluster, class, token, class).in_namespace(&test.ns);
            replica.with(&["--pending-period=500ms"])
        };
        let controllers = [controller(0), controller(1)];
        for controller in &controllers {
            controller.start();
        }
        let alice = test.cluster.control_plane.client(User::Alice).expect("make a client");
        let (dice, model) = (Dice::new(seed), Model::default());
        Self {
            seed,
            dice,
            model,
            pools: Vec::new(),
            controllers,
            accounts,
            classes,
            places,
            acts: 0,
            tally: BTreeMap::new(),
            gone: BTreeSet::new(),
            alice,
            test,
        }
    }

    /// A request of alice's, again and again while nobody answers. An answer that there is no such object is none.
    pub async fn ask(&self, method: &str, kind: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let begin = Instant::now();
        loop {
            let request = http::Request::builder().method(method).uri(path);
            let request = request.header("Content-Type", kind).body(body.clone()).expect("make a request");
            match self.alice.request::<Value>(request).await {
                Ok(answer) => return Ok(answer),
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Value::Null),
                Err(kube::Error::Api(status)) if status.code < 500 && status.code != 429 => {
                    return Err(format!("{method} {path}: {} {}", status.code, status.message));
                }
                Err(error) if begin.elapsed() > AWAY => return Err(format!("{method} {path}: {error}")),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask("GET", "application/json", path, None).await.unwrap_or_else(|error| self.fail(&error))
    }

    /// Applies one of alice's own objects: a Secret or a ManagedResource.
    async fn own(&self, path: &str, body: &Value) {
        let path = format!("{path}?fieldManager={MANAGER}&force=true");
        let done = self.ask("PATCH", "application/apply-patch+yaml", &path, Some(body)).await;
        done.unwrap_or_else(|error| self.fail(&error));
    }

    pub fn mr_path(&self, name: &str) -> String {
        let (group, version, plural) = (names::GROUP, names::VERSION, names::PLURAL);
        format!("/apis/{group}/{version}/namespaces/{}/{plural}/{name}", self.test.ns)
    }

    fn secret_path(&self, name: &str) -> String {
        format!("/api/v1/namespaces/{}/secrets/{name}", self.test.ns)
    }

    /// Writes a ManagedResource as the model has it.
    pub async fn write_mr(&self, name: &str) {
        let mr = &self.model.mrs[name];
        let mut whole = ManagedResource { spec: mr.spec(&self.classes), ..ManagedResource::default() };
        whole.metadata.name = Some(name.to_owned());
        if mr.is_paused {
            whole.metadata.annotations = Some([(names::ANNOTATION_IGNORE.to_owned(), "true".to_owned())].into());
        }
        let mut body = serde_json::to_value(&whole).expect("write JSON");
        body["apiVersion"] = format!("{}/{}", names::GROUP, names::VERSION).into();
        body["kind"] = "ManagedResource".into();
        self.own(&self.mr_path(name), &body).await;
    }

    /// Writes a Secret as the model has it.
    pub async fn write_source(&self, source: &Source) {
        let path = self.secret_path(&source.name);
        if source.health == Health::Missing {
            self.delete(&path).await;
            return;
        }
        let documents: Vec<String> = source
            .objects
            .iter()
            .map(|(key, declared): (&ObjectKey, &Declared)| declared.manifest(key).to_string())
            .collect();
        let half = documents.len() / 2;
        let mut data = json!({"one.yaml": documents[..half].join("\n---\n"), "two.json": documents[half..].join("\n")});
        match source.health {
            Health::Torn => data["bad.yaml"] = "a: [".into(),
            Health::Broken => data = json!({"one.yaml": "a: [", "two.json.br": "this is no brotli"}),
            Health::Good | Health::Missing => {}
        }
        let metadata = json!({"name": source.name});
        // Not `stringData`: an apply does not take back what that has set.
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded(&data)});
        self.own(&path, &body).await;
    }

    /// Writes the Secrets of a ManagedResource.
    pub async fn write_sources(&self, name: &str) {
        for source in &self.model.mrs[name].sources {
            self.write_source(source).await;
        }
    }

    pub async fn delete(&self, path: &str) {
        let done = self.ask("DELETE", "application/json", path, None).await;
        done.unwrap_or_else(|error| self.fail(&error));
    }

    pub async fn delete_secret(&self, name: &str) {
        self.delete(&self.secret_path(name)).await;
    }

    /// All objects of a kind that the soak may have to do with.
    pub async fn list(&self, kind: Kind) -> Vec<Value> {
        let list = self.get(&kind.path()).await;
        let mut items = list["items"].as_array().cloned().unwrap_or_default();
        items.retain(|item| self.is_ours(kind, item));
        items
    }

    /// The namespace that is declared.
    pub fn inner_place(&self) -> String {
        format!("{}-c", self.test.ns)
    }

    fn is_ours(&self, kind: Kind, item: &Value) -> bool {
        let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default();
        match kind {
            Kind::Definition => text("name") == format!("gadgets.{}", kinds::GROUP),
            Kind::Namespace => text("name") == self.inner_place(),
            Kind::ClusterRole => text("name").starts_with(&self.test.ns),
            Kind::ConfigMap if text("name") == "kube-root-ca.crt" => false,
            Kind::ServiceAccount if text("name") == "default" => false,
            _ => self.places.iter().any(|place| place == text("namespace")) || text("namespace") == self.inner_place(),
        }
    }

    /// Ends the test.
    pub fn fail(&self, why: &str) -> ! {
        panic!("seed {}, after {} acts: {why}", self.seed, self.acts)
    }
}

fn encoded(data: &Value) -> Value {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let entries = data.as_object().into_iter().flatten();
    entries
        .map(|(key, text)| (key.clone(), Value::String(STANDARD.encode(text.as_str().unwrap_or_default()))))
        .collect()
}
