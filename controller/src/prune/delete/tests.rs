use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use holdfast_core::api::ResourceReference;
use http::{Method, Request, Response};
use kube::{Client, client::Body};

use super::*;
use crate::{
    leader_election::Leadership,
    target::{rate_limit::RateLimit, write_gate::WriteGate},
};

/// What is sent for an entry of the inventory when the server answers so to a GET.
async fn removed(reference: &ResourceReference, live: &Value) -> (Result<Removal, RemovalError>, Vec<String>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (log, live) = (Arc::clone(&sent), live.to_string());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, live) = (Arc::clone(&log), live.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = String::from_utf8(body.collect_bytes().await.unwrap().to_vec()).unwrap();
            log.lock().unwrap().push(format!("{} {} {body}", parts.method, parts.uri));
            let answer = if parts.method == Method::GET { live } else { json!({"kind": "Status"}).to_string() };
            Ok::<_, Infallible>(Response::new(Body::from(answer.into_bytes())))
        }
    });
    let gate = WriteGate::new(Leadership::always(), Arc::new(RateLimit::new(vec![], 100, 100)));
    let client = TargetClient::new(Client::new(service, "default"), gate);
    let endpoint = Endpoint { gvk: reference.gvk(), plural: "roles".to_owned() };
    let object = reference.object_key();
    let candidate =
        Candidate { client: &client, endpoint: &endpoint, object: &object, origin: "n/mr", with_claims: false };
    let removal = candidate.remove(None).await;
    let sent = std::mem::take(&mut *sent.lock().unwrap());
    (removal, sent)
}

fn reference(kind: &str, namespace: &str, name: &str) -> ResourceReference {
    let api_version = if kind == "Role" { "rbac.authorization.k8s.io/v1" } else { "v1" };
    let (kind, namespace, name) = (kind.to_owned(), namespace.to_owned(), name.to_owned());
    ResourceReference { api_version: api_version.to_owned(), kind, namespace, name, ..ResourceReference::default() }
}

fn live(namespace: &str, name: &str, uid: Option<&str>) -> Value {
    let annotations = json!({ names::ANNOTATION_ORIGIN: "n/mr" });
    json!({"metadata": {"namespace": namespace, "name": name, "uid": uid, "annotations": annotations}})
}

#[tokio::test]
async fn nothing_is_deleted_on_an_answer_about_another_object() {
    let role = reference("Role", "n", "victim#1");
    for (answer, problem) in [
        (live("n", "victim", Some("u")), "asked for \"n/victim#1\", the API server's answer is about \"n/victim\""),
        (live("other", "victim#1", Some("u")), "the API server's answer is about \"other/victim#1\""),
        (json!({"kind": "RoleList", "metadata": {}, "items": []}), "the API server's answer is about \"\""),
        (live("n", "victim#1", None), "the object was seen without a uid, so it is not deleted"),
        (live("n", "victim#1", Some("")), "the object was seen without a uid, so it is not deleted"),
    ] {
        let (removal, sent) = removed(&role, &answer).await;
        let error = removal.unwrap_err().to_string();
        assert!(error.contains(problem), "{answer}: {error}");
        let get = "GET /apis/rbac.authorization.k8s.io/v1/namespaces/n/roles/victim%231 ";
        assert_eq!(sent, [get], "{answer}");
    }
    let (removal, sent) = removed(&role, &live("n", "victim#1", Some("u"))).await;
    assert_eq!(removal.unwrap(), Removal::Deleted);
    let [_, delete] = &sent[..] else { panic!("{sent:?}") };
    assert!(delete.starts_with("DELETE /apis/rbac.authorization.k8s.io/v1/namespaces/n/roles/victim%231"), "{delete}");
    assert!(delete.contains(r#""preconditions":{"uid":"u"}"#), "{delete}");
}

#[tokio::test]
async fn a_name_that_no_path_can_have_is_gone_without_a_request() {
    let all = live("n", "victim", Some("u"));
    for (kind, namespace, name) in [
        ("ConfigMap", "n", ""),
        ("ConfigMap", "..", "victim"),
        ("Role", "n", ".."),
        ("Role", "n", "a/b"),
        ("Role", "n", "victim%2Fx"),
        ("Role", "n/roles/victim#", "x"),
    ] {
        let (removal, sent) = removed(&reference(kind, namespace, name), &all).await;
        assert_eq!(removal.unwrap(), Removal::Gone, "{kind} {namespace:?} {name:?}");
        assert!(sent.is_empty(), "{sent:?}");
    }
}
