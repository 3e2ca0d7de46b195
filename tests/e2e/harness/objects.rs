//! Reading and writing objects as the admin, without the cost of starting kubectl; and what tests wait for.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_core::url_path::segment;
use serde_json::{Map, Value, json};

use super::Test;

impl Test {
    /// A manifest of a ConfigMap in the test's namespace with the entry `k`.
    pub fn config_map(&self, name: &str, value: &str) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: {}\ndata:\n  k: {value:?}\n---\n",
            self.ns
        )
    }

    /// A manifest of a ConfigMap that can be read, and that the API server refuses.
    pub fn refused_config_map(&self, name: &str, value: &str) -> String {
        self.config_map(name, value).replace("  k: ", "  no key: ")
    }

    /// A manifest of a Deployment in the test's namespace: two pods that nobody runs.
    pub fn deployment(&self, name: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\n  namespace: {}\nspec:\n  replicas: 2\n  \
             selector:\n    matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n    \
             spec:\n      containers:\n      - {{name: main, image: nginx}}\n---\n",
            self.ns
        )
    }

    /// Writes a Secret with the key `objects.yaml`.
    pub async fn secret(&self, name: &str, manifests: &str) {
        self.try_secret(name, &[("objects.yaml", manifests.as_bytes())]).await.expect("write the Secret");
    }

    /// Writes a Secret; what is not in `data` is removed from it.
    pub async fn try_secret(&self, name: &str, data: &[(&str, &[u8])]) -> kube::Result<Value> {
        let data: Map<String, Value> =
            data.iter().map(|(key, value)| ((*key).to_owned(), STANDARD.encode(value).into())).collect();
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data});
        self.try_apply("secrets", &body).await
    }

    /// Writes a ManagedResource that names these Secrets; `spec` is added to its spec.
    pub async fn mr(&self, name: &str, secrets: &[&str], spec: Value) {
        self.try_mr(name, secrets, spec).await.expect("write the ManagedResource");
    }

    pub async fn try_mr(&self, name: &str, secrets: &[&str], mut spec: Value) -> kube::Result<Value> {
        spec["secretRefs"] = secrets.iter().map(|name| json!({"name": name})).collect();
        let body = json!({
            "apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
            "metadata": {"name": name}, "spec": spec,
        });
        self.try_apply("managedresources", &body).await
    }

    /// Changes the Secret of [`Self::declare`]; returns when that is applied.
    pub async fn redeclare(&self, name: &str, manifests: &str) {
        let checksum = |mr: &Value| mr.pointer("/status/secretsDataChecksum").cloned();
        let before = checksum(&self.get("managedresources", name).await.expect("there is a ManagedResource"));
        self.secret(name, manifests).await;
        let what = format!("{name} to notice its changed Secret");
        self.eventually(&what, || async {
            let now = checksum(&self.try_get("managedresources", name).await?.ok_or("it is gone")?);
            if now == before { Err("it has the old checksum".to_owned()) } else { Ok(()) }
        })
        .await;
        self.applied(name).await;
    }

    /// Waits until the present generation of a ManagedResource is applied.
    pub async fn applied(&self, name: &str) {
        self.eventually(&format!("{name} to be applied"), || async {
            let mr = self.try_get("managedresources", name).await?.ok_or("there is no such ManagedResource")?;
            let observed = mr.pointer("/status/observedGeneration") == mr.pointer("/metadata/generation");
            let condition = condition(&mr);
            if observed && condition["status"] == "True" && condition["reason"] == "ApplySucceeded" {
                return Ok(());
            }
            Err(format!("generation observed: {observed}, condition: {condition}"))
        })
        .await;
    }

    /// Waits until `ResourcesApplied` has this reason, and returns its message.
    pub async fn reason(&self, name: &str, reason: &str) -> String {
        self.message(name, reason, &[]).await
    }

    /// Waits until `ResourcesApplied` has this reason and a message with all these parts, and returns it.
    pub async fn message(&self, name: &str, reason: &str, parts: &[&str]) -> String {
        self.eventually(&format!("{name} to say {reason} {parts:?}"), || async {
            let mr = self.try_get("managedresources", name).await?.ok_or("there is no such ManagedResource")?;
            let condition = condition(&mr);
            let message = condition["message"].as_str().unwrap_or_default().to_owned();
            let is_it = condition["reason"] == reason && parts.iter().all(|part| message.contains(part));
            if is_it { Ok(message) } else { Err(condition.to_string()) }
        })
        .await
    }

    /// The object, `None` if there is none. The resource is a plural, or `group/version/plural` for rare ones.
    pub async fn get(&self, resource: &str, name: &str) -> Option<Value> {
        self.try_get(resource, name).await.expect("read an object")
    }

    pub async fn try_get(&self, resource: &str, name: &str) -> Result<Option<Value>, String> {
        match self.call("GET", &self.path(resource, name), None).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The objects of a kind in the namespace.
    pub async fn list(&self, resource: &str) -> Vec<Value> {
        let list = self.call("GET", &self.path(resource, ""), None).await.expect("list objects");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    pub async fn uid(&self, resource: &str, name: &str) -> String {
        text(&self.get(resource, name).await.expect("the object is there"), "/metadata/uid")
    }

    pub async fn create(&self, resource: &str, body: &Value) -> Value {
        self.call("POST", &self.path(resource, ""), Some(body)).await.expect("create an object")
    }

    pub async fn try_apply(&self, resource: &str, body: &Value) -> kube::Result<Value> {
        self.try_apply_as("e2e", resource, body).await
    }

    /// As another field manager, whose applies leave alone what [`Self::try_apply`] has written.
    pub async fn try_apply_as(&self, manager: &str, resource: &str, body: &Value) -> kube::Result<Value> {
        let path = self.path(resource, body["metadata"]["name"].as_str().expect("a name"));
        self.call("PATCH", &format!("{path}?fieldManager={manager}&force=true"), Some(body)).await
    }

    /// Asks for a deletion and does not wait.
    pub async fn delete(&self, resource: &str, name: &str) {
        self.call("DELETE", &self.path(resource, name), None).await.expect("delete an object");
    }

    /// Waits until there is no such object.
    pub async fn gone(&self, resource: &str, name: &str) {
        self.eventually(&format!("{resource}/{name} to be gone"), || async {
            match self.try_get(resource, name).await? {
                None => Ok(()),
                Some(object) => Err(format!("it is there: {}", object["metadata"])),
            }
        })
        .await;
    }

    /// Waits until a field of an object has a value; `null` also stands for an absent field or object.
    pub async fn has(&self, resource: &str, name: &str, pointer: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        self.eventually(&format!("{pointer} of {resource}/{name} to be {expected}"), || async {
            let object = self.try_get(resource, name).await?;
            let found = object.as_ref().and_then(|object| object.pointer(pointer)).unwrap_or(&Value::Null);
            if *found == expected { Ok(()) } else { Err(format!("it is {found}")) }
        })
        .await;
    }

    /// Has all objects of a ManagedResource applied again, and returns when that is done.
    pub async fn resync(&self, name: &str) {
        self.alice.does(&format!("annotate managedresource {name} gardener.cloud/operation=reconcile")).await;
        self.has("managedresources", name, "/metadata/annotations/gardener.cloud~1operation", Value::Null).await;
        self.applied(name).await;
    }

    /// Notes of the Events of a reason in the namespace.
    pub async fn events(&self, reason: &str) -> Vec<String> {
        let events = self.list("events").await;
        events.iter().filter(|event| event["reason"] == reason).map(|event| text(event, "/message")).collect()
    }

    /// Merge-patches an object as the admin, in the name of a field manager.
    pub async fn merge(&self, resource: &str, name: &str, manager: &str, patch: &Value) -> Value {
        self.patch("merge-patch", resource, name, manager, patch).await
    }

    /// The same with a patch that knows by which key the elements of a list are found.
    pub async fn strategic(&self, resource: &str, name: &str, manager: &str, patch: &Value) -> Value {
        self.patch("strategic-merge-patch", resource, name, manager, patch).await
    }

    async fn patch(&self, kind: &str, resource: &str, name: &str, manager: &str, patch: &Value) -> Value {
        let uri = format!("{}?fieldManager={manager}", self.path(resource, name));
        let answer = self.request("PATCH", &format!("application/{kind}+json"), &uri, Some(patch)).await;
        answer.unwrap_or_else(|error| panic!("patch {resource}/{name} with {patch}: {error}"))
    }

    /// Merge-patches what is at a path, as the admin.
    pub async fn merge_at(&self, path: &str, change: &Value) -> Value {
        let answer = self.request("PATCH", "application/merge-patch+json", path, Some(change)).await;
        answer.unwrap_or_else(|error| panic!("patch {path}: {error}"))
    }

    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> kube::Result<Value> {
        let kind = if method == "PATCH" { "application/apply-patch+yaml" } else { "application/json" };
        self.request(method, kind, path, body).await
    }

    async fn request(&self, method: &str, kind: &str, path: &str, body: Option<&Value>) -> kube::Result<Value> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = http::Request::builder().method(method).uri(path).header("Content-Type", kind).body(body);
        self.client.request(request.expect("make a request")).await
    }

    /// The path of an object, or of one of its subresources (`name/status`).
    pub fn path(&self, resource: &str, name: &str) -> String {
        let parts: Vec<_> = name.split('/').filter(|part| !part.is_empty()).map(segment).collect();
        let name = parts.join("/");
        let (prefix, plural) = match resource {
            "deployments" | "replicasets" | "statefulsets" => ("apis/apps/v1", resource),
            "managedresources" => ("apis/resources.gardener.cloud/v1alpha1", resource),
            "endpointslices" => ("apis/discovery.k8s.io/v1", resource),
            "validatingwebhookconfigurations" => ("apis/admissionregistration.k8s.io/v1", resource),
            "customresourcedefinitions" => ("apis/apiextensions.k8s.io/v1", resource),
            core if !core.contains('/') => ("api/v1", core),
            "rbac.authorization.k8s.io/v1/clusterroles" => {
                return format!("/apis/{resource}/{name}").trim_end_matches('/').to_owned();
            }
            other => {
                let (prefix, plural) = other.rsplit_once('/').expect("group/version/plural");
                return format!("/apis/{prefix}/namespaces/{}/{plural}/{name}", self.ns)
                    .trim_end_matches('/')
                    .to_owned();
            }
        };
        let wide = ["namespaces", "validatingwebhookconfigurations", "customresourcedefinitions"];
        let path = if wide.contains(&plural) {
            format!("/{prefix}/{plural}/{name}")
        } else {
            format!("/{prefix}/namespaces/{}/{plural}/{name}", self.ns)
        };
        path.trim_end_matches('/').to_owned()
    }
}

/// The text at a JSON pointer; empty if there is none.
pub fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The condition `ResourcesApplied`, or null.
fn condition(mr: &Value) -> Value {
    let conditions = mr.pointer("/status/conditions").and_then(Value::as_array);
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == "ResourcesApplied");
    found.cloned().unwrap_or_default()
}
