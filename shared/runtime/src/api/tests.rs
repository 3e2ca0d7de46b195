use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::client::Body;
use kube::core::{DynamicObject, GroupVersionKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A server that gives one answer, and remembers what was asked.
struct Server {
    requests: Arc<Mutex<Vec<String>>>,
    client: Client,
}

impl Server {
    fn new(answer: &Value) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&requests), answer.to_string());
        let service = tower::service_fn(move |request: Request<Body>| {
            log.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            let answer = Response::new(Full::new(Bytes::from(answer.clone())));
            async move { Ok::<_, Infallible>(answer) }
        });
        Self { requests, client: Client::new(service, "default") }
    }

    /// The requests since the last time.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

fn role(namespace: &str, name: &str) -> Value {
    let (api_version, kind) = ("rbac.authorization.k8s.io/v1", "Role");
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace, "name": name, "uid": "u"}})
}

/// The segments of a path as a server that decodes it sees them, and the query.
fn seen(uri: &str) -> (Vec<String>, String) {
    assert!(!uri.contains('#'), "{uri}");
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let decode = |segment: &str| {
        let bytes = segment.as_bytes();
        let mut decoded = Vec::new();
        let mut position = 0;
        while let Some(byte) = bytes.get(position) {
            if *byte == b'%' {
                decoded.push(u8::from_str_radix(&segment[position + 1..position + 3], 16).unwrap());
                position += 3;
            } else {
                decoded.push(*byte);
                position += 1;
            }
        }
        String::from_utf8(decoded).unwrap()
    };
    (path.split('/').map(decode).collect(), query.to_owned())
}

/// Sends a request of each sort that names an object; what comes of them does not matter.
async fn send_all<K>(api: &Api<K>, name: &str)
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug + Default,
{
    let (patch, params, post) = (Patch::Merge(json!({})), PatchParams::default(), PostParams::default());
    let _ = api.get(name).await;
    let _ = api.get_opt(name).await;
    let _ = api.patch(name, &params, &patch).await;
    let _ = api.patch(name, &PatchParams::apply("m").force(), &Patch::Apply(json!({}))).await;
    let _ = api.patch_metadata(name, &params, &patch).await;
    let _ = api.patch_status(name, &params, &patch).await;
    let _ = api.replace(name, &post, &K::default()).await;
    let _ = api.replace_subresource("finalize", name, &post, &K::default()).await;
    let _ = api.create_subresource::<_, Value>("token", name, &post, &json!({})).await;
    let _ = api.delete(name, &DeleteParams::default()).await;
}

/// Sort of requests that [`send_all`] sends.
const ALL: usize = 10;

#[tokio::test]
async fn answers_about_another_object_are_errors() {
    for (answer, is_right) in [
        (role("n", "a b"), true),
        (role("n", "a"), false),
        (role("other", "a b"), false),
        (role("", "a b"), false),
        (json!({"kind": "RoleList", "apiVersion": "rbac.authorization.k8s.io/v1", "items": [], "metadata": {}}), false),
    ] {
        let server = Server::new(&answer);
        let api: Api<Role> = Api::namespaced(server.client.clone(), "n");
        let (params, patch) = (PatchParams::default(), Patch::Merge(json!({})));
        for result in [
            api.get("a b").await.map(|_| ()),
            api.get_opt("a b").await.map(|_| ()),
            api.patch("a b", &params, &patch).await.map(|_| ()),
            api.patch_metadata("a b", &params, &patch).await.map(|_| ()),
            api.replace("a b", &PostParams::default(), &Role::default()).await.map(|_| ()),
        ] {
            let is_expected = match &result {
                Ok(()) => is_right,
                Err(kube::Error::Service(error)) => !is_right && error.is::<Mismatch>(),
                // A list is no object.
                Err(error) => matches!(error, kube::Error::SerdeError(_)) && answer["kind"] == "RoleList",
            };
            assert!(is_expected, "{answer}: {result:?}");
        }
        let deleted = api.delete("a b", &DeleteParams::default()).await;
        assert_eq!(deleted.is_ok(), is_right, "{answer}: {deleted:?}");
    }
    let server = Server::new(&json!({"metadata": {"name": "x", "namespace": "n"}}));
    let error = Api::<ClusterRole>::all(server.client).get("x").await.unwrap_err();
    let text = crate::call::explain(&error);
    assert_eq!(text, "asked for \"x\", the API server's answer is about \"n/x\"; nothing is done with it");
}

#[tokio::test]
async fn names_that_lead_elsewhere_never_leave_the_process() {
    let server = Server::new(&json!({}));
    for name in ["", ".", "..", "a/b", "a%2Fb", "a%00", "/", "../../../apis/x"] {
        send_all(&Api::<Role>::namespaced(server.client.clone(), "n"), name).await;
        send_all(&Api::<ConfigMap>::namespaced(server.client.clone(), name), "x").await;
        let error = Api::<Role>::namespaced(server.client.clone(), "n").get(name).await.unwrap_err();
        let error = crate::call::CallError::Failed { what: "get".to_owned(), cause: error };
        assert!(error.is_not_found() && !error.is_not_served() && !error.is_transient(), "{error}");
        assert!(Api::<Role>::namespaced(server.client.clone(), "n").path(name).is_err());
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn every_request_names_what_was_meant() {
    let server = Server::new(&json!({}));
    for name in ["victim#1", "victim?a=b", "?a=b", "#", "victim?watch=true", "team:a b", "\n", "ü@+&'\""] {
        send_all(&Api::<Role>::namespaced(server.client.clone(), "n"), name).await;
        let requests = server.requests();
        assert_eq!(requests.len(), ALL);
        for request in requests {
            let (path, query) = seen(request.split_once(' ').unwrap().1);
            assert_eq!(path[1..7], ["apis", "rbac.authorization.k8s.io", "v1", "namespaces", "n", "roles"]);
            assert_eq!(path[7], name);
            assert!(["", "status", "finalize", "token"].contains(&path.get(8).map_or("", String::as_str)));
            assert!(query.is_empty() || query == "&fieldManager=m&force=true" || query.contains("force"), "{query}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_server_sees_the_path_that_was_meant(
        namespace in any::<String>(), name in any::<String>(), group in "[a-z.#?/%]{0,9}", plural in any::<String>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _context = runtime.enter();
        let server = Server::new(&json!({}));
        let mut resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(&group, "v1", "Kind"), &plural);
        resource.api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let api: Api<DynamicObject> = Api::namespaced_with(server.client.clone(), &namespace, &resource);
        runtime.block_on(async {
            let _ = api.get(&name).await;
            let _ = api.delete(&name, &DeleteParams::default()).await;
            let _ = api.patch(&name, &PatchParams::default(), &Patch::Merge(json!({}))).await;
        });
        let requests = server.requests();
        if url_path::check(&name).and(url_path::check(&namespace)).is_err() {
            prop_assert!(requests.is_empty());
            return Ok(());
        }
        prop_assert_eq!(requests.len(), 3);
        for request in requests {
            let (path, _) = seen(request.split_once(' ').unwrap().1);
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let start: &[&str] = if group.is_empty() { &["", "api", "v1"] } else { &["", "apis"] };
            prop_assert_eq!(&path[..start.len()], start);
            prop_assert_eq!(path.len(), if group.is_empty() { 7 } else { 8 });
            let [.., namespaces, seen_namespace, seen_plural, seen_name] = &path[..] else { unreachable!() };
            prop_assert_eq!([*namespaces, seen_namespace, seen_name], ["namespaces", namespace.as_str(), name.as_str()]);
            prop_assert!(*seen_plural == plural || url_path::check(&plural).is_err() && seen_plural.contains('%'));
        }
    }
}
