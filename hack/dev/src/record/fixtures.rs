//! The objects that the actions find.
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_e2e::control_plane::ControlPlane;
use holdfast_e2e::player::Player;
use holdfast_e2e::{install, wait};
use serde::Deserialize;
use serde_json::{Value, json};

const FIXTURES: &str = include_str!("fixtures.yaml");
const LIMIT: Duration = Duration::from_secs(90);
const MRS: &str = "/apis/resources.gardener.cloud/v1alpha1/namespaces/team/managedresources";
const CONTROLLER: &str = "holdfast-controller";
/// Deployed by nobody of ours.
const THEIRS: &str = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"theirs"},"spec":{"replicas":1,
    "selector":{"matchLabels":{"app":"theirs"}},"template":{"metadata":{"labels":{"app":"theirs"}},
    "spec":{"containers":[{"name":"main","image":"nginx"}]}}}}"#;
/// Secrets that no ManagedResource of the fixtures names: one good, one broken.
const MORE: [(&str, &str); 2] =
    [("free", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, namespace: team}\n"), ("broken", "a: [hunter2")];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: String,
    #[serde(default)]
    annotations: Value,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    later: Value,
    objects: String,
}

pub(super) struct Fixtures {
    client: kube::Client,
}

impl Fixtures {
    pub(super) fn new(control_plane: &ControlPlane) -> Result<Self> {
        Ok(Self { client: super::client(control_plane)? })
    }

    pub(super) async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        super::request(&self.client, method, path, body).await
    }

    pub(super) async fn list(&self, path: &str) -> Result<Vec<Value>> {
        Ok(self.request("GET", path, None).await?["items"].as_array().cloned().unwrap_or_default())
    }

    /// Leaves a Deployment of ours without Pods.
    pub(super) async fn scale_to_zero(&self, name: &str) -> Result<()> {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/{name}", install::NAMESPACE);
        self.request("PATCH", &path, Some(&json!({"spec": {"replicas": 0}}))).await.map(drop)
    }

    /// Creates everything, then stops the controller, so that nothing is repaired.
    pub(super) async fn apply(&self, player: &Player) -> Result<()> {
        let items: Vec<Item> = serde_yaml::from_str(FIXTURES).context("read the fixtures")?;
        for name in ["team", "guarded", "doomed", "empty"] {
            self.request("POST", "/api/v1/namespaces", Some(&json!({"metadata": {"name": name}}))).await?;
        }
        self.request("POST", "/apis/apps/v1/namespaces/team/deployments", Some(&serde_json::from_str(THEIRS)?)).await?;
        let secrets = items.iter().map(|item| (item.name.as_str(), item.objects.as_str())).chain(MORE);
        for (name, text) in secrets {
            let body = json!({"metadata": {"name": name}, "stringData": {"objects.yaml": text}});
            self.request("POST", "/api/v1/namespaces/team/secrets", Some(&body)).await?;
        }
        for item in &items {
            let mut spec = if item.spec.is_null() { json!({}) } else { item.spec.clone() };
            spec["secretRefs"] = json!([{"name": item.name}]);
            let body = json!({"apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
                "metadata": {"name": item.name, "annotations": item.annotations}, "spec": spec});
            self.request("POST", MRS, Some(&body)).await?;
        }
        for item in &items {
            self.applied(&item.name).await?;
        }
        for item in items.iter().filter(|item| !item.later.is_null()) {
            self.request("PATCH", &format!("{MRS}/{}", item.name), Some(&item.later)).await?;
        }
        for name in ["paused", "ignored"] {
            self.has(
                &format!("configmaps/{name}"),
                "/metadata/labels/resources.gardener.cloud~1protection",
                &json!("off"),
            )
            .await?;
        }
        self.has("../../../apis/apps/v1/namespaces/team/deployments/auto", "/spec/replicas", &json!(2)).await?;
        self.has("services/web", "/spec/type", &json!("ClusterIP")).await?;
        self.scale_to_zero(CONTROLLER).await?;
        wait::eventually("the controller to be gone", LIMIT, || async {
            if player.pods_of(CONTROLLER).is_empty() { Ok(()) } else { Err("it is there") }
        })
        .await?;
        self.request("DELETE", &format!("{MRS}/leaving"), None).await?;
        Ok(())
    }

    async fn applied(&self, name: &str) -> Result<()> {
        wait::eventually(&format!("{name} to be applied"), LIMIT, || async {
            let mr = self.request("GET", &format!("{MRS}/{name}"), None).await?;
            let conditions = mr["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let applied = conditions.iter().find(|condition| condition["type"] == "ResourcesApplied");
            match applied {
                Some(condition) if condition["status"] == "True" => Ok(()),
                other => bail!("{other:?}"),
            }
        })
        .await
    }

    async fn has(&self, place: &str, pointer: &str, expected: &Value) -> Result<()> {
        let path = match place.strip_prefix("../../..") {
            Some(path) => path.to_owned(),
            None => format!("/api/v1/namespaces/team/{place}"),
        };
        wait::eventually(&format!("{path} to have {pointer}"), LIMIT, || async {
            let object = self.request("GET", &path, None).await?;
            let found = object.pointer(pointer).cloned().unwrap_or_default();
            if found == *expected { Ok(()) } else { bail!("it is {found}") }
        })
        .await
    }

    /// Deletes a namespace with a managed object in it, and returns when the object is gone.
    pub(super) async fn delete_namespace(&self) -> Result<()> {
        self.request("DELETE", "/api/v1/namespaces/doomed", None).await?;
        wait::eventually("the namespace to be gone", LIMIT, || async {
            let objects = self.list("/api/v1/namespaces/doomed/configmaps").await?;
            anyhow::ensure!(objects.iter().all(|found| found["metadata"]["name"] != "a"), "its object is there");
            Ok(())
        })
        .await
    }
}
