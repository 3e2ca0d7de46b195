//! A small setting: one ManagedResource that holds one Deployment and names two Secrets.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holdfast_core::api::ManagedResource;
use holdfast_core::key::NamespacedName;
use holdfast_core::protect::{Exempt, Rules};
use holdfast_runtime::index::SharedIndex;
use holdfast_runtime::watch::MrEvent;
use holdfast_webhook::admission::manifests::Data;
use holdfast_webhook::admission::pause_access::PauseAccess;
use holdfast_webhook::admission::review::{Request, UserInfo};
use holdfast_webhook::admission::reviewer::Reviewer;
use holdfast_webhook::admission::secret_reader::SecretReader;
use holdfast_webhook::events::Reason;
use holdfast_webhook::metrics::Metrics;
use holdfast_webhook::server::app::App;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use serde_json::{Value, json};

pub(crate) const OURS: &str = "system:serviceaccount:holdfast-system:holdfast-controller";

/// How the cluster answers when a Secret is read.
#[derive(Clone, Debug)]
pub(crate) enum Cluster {
    Has(&'static str),
    HasNot,
    Fails(&'static str),
    Hangs,
    Panics,
}

impl SecretReader for Cluster {
    fn read<'a>(&'a self, _secret: &'a NamespacedName) -> BoxFuture<'a, Result<Option<Data>, String>> {
        match self {
            Self::Has(text) => {
                let data = Data::from([("objects.yaml".to_owned(), text.as_bytes().to_vec())]);
                async move { Ok(Some(data)) }.boxed()
            }
            Self::HasNot => async { Ok(None) }.boxed(),
            Self::Fails(error) => async move { Err((*error).to_owned()) }.boxed(),
            Self::Hangs => std::future::pending().boxed(),
            Self::Panics => async { panic!("ouch") }.boxed(),
        }
    }
}

/// Alice has the verb `override`, and others do not; the cluster may not answer.
impl PauseAccess for Cluster {
    fn may_override<'a>(&'a self, user: &'a UserInfo, _mr: &'a NamespacedName) -> BoxFuture<'a, Result<bool, String>> {
        let answer = match self {
            Self::Fails(error) => Err((*error).to_owned()),
            _ => Ok(user.username == "alice"),
        };
        async move { answer }.boxed()
    }

    fn publish(&self, _request: &Request, _reason: Reason, _note: String) {}
}

pub(crate) fn index() -> SharedIndex {
    let mr: ManagedResource = serde_json::from_value(json!({
        "metadata": {"namespace": "default", "name": "example"},
        "spec": {"secretRefs": [{"name": "one"}, {"name": "two"}]},
        "status": {"resources": [{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "default", "name": "nginx",
            "resource": "deployments", "secret": "one", "key": "objects.yaml"}]},
    }))
    .unwrap();
    let index = SharedIndex::default();
    index.apply(&MrEvent::Restarted { objects: vec![mr], unreadable: BTreeSet::new() });
    index
}

pub(crate) fn rules() -> Rules {
    Rules { exempt: Exempt::new(vec![OURS.to_owned()], vec![], vec![]), ..Rules::default() }
}

pub(crate) fn reviewer(index: SharedIndex, cluster: Cluster) -> Reviewer {
    let cluster = Arc::new(cluster);
    Reviewer::new(index, rules(), Arc::clone(&cluster) as _, cluster, Metrics::default())
}

pub(crate) fn app(index: SharedIndex, cluster: Cluster) -> App {
    App::new(reviewer(index, cluster))
}

/// A review of an object in namespace default; `null` for a state that is absent.
pub(crate) fn review(operation: &str, resource: (&str, &str, &str), user: &str, old: &Value, new: &Value) -> Value {
    let (group, plural, kind) = resource;
    let (plural, subresource) = plural.split_once('/').unwrap_or((plural, ""));
    let named = if new.is_null() { old } else { new };
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": "0000-1", "kind": {"group": group, "version": "v1", "kind": kind},
        "resource": {"group": group, "version": "v1", "resource": plural}, "subResource": subresource,
        "namespace": "default", "name": named.pointer("/metadata/name"), "operation": operation,
        "userInfo": {"username": user, "groups": ["system:masters", "system:authenticated"]},
        "object": new, "oldObject": old, "dryRun": false,
    }})
}

pub(crate) fn deployment(replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "default", "name": "nginx", "labels": {"resources.gardener.cloud/protection": "deny"},
            "managedFields": [{"manager": "holdfast", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:labels": {"f:resources.gardener.cloud/protection": {}}}, "f:spec": {"f:replicas": {}}}}]},
        "spec": {"replicas": replicas}})
}

pub(crate) fn secret(name: &str, labels: &Value, text: &str) -> Value {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(text);
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "default", "name": name, "labels": labels},
        "data": {"objects.yaml": text}})
}

/// Pushes a body through the service: status, and the answer if it is a review.
pub(crate) async fn post(app: &Arc<App>, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
    let request = http::Request::post(path).body(Full::new(body.into())).unwrap();
    let response = app.answer(request).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())),
    )
}

/// The same for a review: `response` of the answer.
pub(crate) async fn ask(app: &Arc<App>, path: &str, review: &Value) -> Value {
    let (status, answer) = post(app, path, review.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!((&answer["apiVersion"], &answer["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    assert_eq!(answer["response"]["uid"], "0000-1", "{answer}");
    answer["response"].clone()
}

/// `allow`, `warn: <texts>` or `deny: <text>`.
pub(crate) fn summary(response: &Value) -> String {
    if response["allowed"] == true {
        return match response["warnings"].as_array() {
            Some(texts) => format!("warn: {}", texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ")),
            None => "allow".to_owned(),
        };
    }
    assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&json!(403), &json!("Forbidden")));
    format!("deny: {}", response["status"]["message"].as_str().unwrap())
}
