//! Clients that are slow, silent, many, or speak something else; and judges that fail.

use std::time::Instant;

use holdfast_core::protect::{Rules, Verdict};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// What comes until the server closes the connection.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    String::from_utf8_lossy(&rest).into_owned()
}

async fn works(server: &Server, loaded: &ServingCertificate) {
    let mut sender = http1(server, loaded).await;
    assert!(is_refusal(sender.send_request(request()).await.unwrap()).await);
}

#[tokio::test]
async fn plain_http_is_told_so() {
    let server = start(Cluster::HasNot).await;
    let loaded = server.certified();
    for method in ["GET /healthz", "POST /protect"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(format!("{method} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("speaks HTTPS and not HTTP.\n"), "{answer}");
    }
    works(&server, &loaded).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_in_time() {
    let server = start(Cluster::HasNot).await;
    let loaded = server.certified();
    for (query, least, most) in [("?timeout=3s", 1900, 2600), ("?timeout=1s", 600, 1000)] {
        let mut stream = connect(server.address, &loaded, b"http/1.1").await.unwrap();
        let head =
            r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"0000-1","object":{"#;
        let request = format!(
            "POST /protect{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\nConnection: close\r\n\r\n{head}"
        );
        let start = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        let after = start.elapsed().as_millis();
        assert!((least..most).contains(&after), "{query}: {after} ms");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""uid":"0000-1","allowed":false"#), "{answer}");
        assert!(answer.contains("the review did not arrive in time"), "{answer}");
    }
}

#[tokio::test]
async fn silent_clients_shut_nobody_out() {
    let server = start_with(app(index(), Cluster::HasNot), |server| server.with_connections(3)).await;
    let loaded = server.certified();
    let mut good = http1(&server, &loaded).await;
    assert!(is_refusal(good.send_request(request()).await.unwrap()).await);
    let mut silent = Vec::new();
    for number in 0..8 {
        // Some say nothing at all, some nothing after the handshake, some half a head.
        match number % 3 {
            0 => silent.push((Some(TcpStream::connect(server.address).await.unwrap()), None)),
            kind => {
                let mut stream = connect(server.address, &loaded, b"http/1.1").await.unwrap();
                if kind == 2 {
                    stream.write_all(b"POST /protect HTTP/1.1\r\nHost:").await.unwrap();
                }
                silent.push((None, Some(stream)));
            }
        }
    }
    works(&server, &loaded).await;
    good.ready().await.unwrap();
    assert!(is_refusal(good.send_request(request()).await.unwrap()).await, "who has sent requests stays");
    assert_eq!(silent.len(), 8);
}

#[tokio::test]
async fn too_many_reviews_are_answered_at_once() {
    let app = app(index(), Cluster::Hangs).with_concurrency(1);
    let server = start_with(app, |server| server).await;
    let loaded = server.certified();
    let mut slow = http1(&server, &loaded).await;
    let new = json!({"metadata": {"name": "m"}, "spec": {"secretRefs": [{"name": "s"}]}});
    let kind = ("resources.gardener.cloud", "managedresources", "ManagedResource");
    let body = review("CREATE", kind, "alice", &Value::Null, &new).to_string();
    let request_ = http::Request::post("/managedresources").body(Full::new(Bytes::from(body.clone()))).unwrap();
    let answer = tokio::spawn(slow.send_request(request_));
    tokio::time::sleep(Duration::from_millis(300)).await;
    // As the API server writes it, which begins with the uid.
    let body = body.replacen(r#""request":{"#, r#""request":{"uid":"0000-1","#, 1);
    for (path, allowed) in [("/protect", false), ("/managedresources", true), ("/secrets", true)] {
        let start = Instant::now();
        let mut sender = http1(&server, &loaded).await;
        let request = http::Request::post(path).body(Full::new(Bytes::from(body.clone()))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let answer: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!("0000-1"), &json!(allowed)));
        assert!(answer.to_string().contains("too many reviews at a time"), "{answer}");
        assert!(start.elapsed() < Duration::from_secs(1), "{path}: {:?}", start.elapsed());
    }
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    works(&server, &loaded).await;
}

/// Panics about what alice does, and only that.
fn fearful(
    request: &holdfast_core::protect::Request<'_>,
    index: Option<&holdfast_core::inventory::index::Index>,
    rules: &Rules,
) -> Verdict {
    assert!(request.username != "mallory", "ouch");
    holdfast_core::protect::judge(request, index, rules)
}

#[tokio::test]
async fn a_panic_costs_one_review() {
    let server = start_with(App::new(reviewer(index(), Cluster::HasNot).with_rule(fearful)), |server| server).await;
    let loaded = server.certified();
    let mut sender = http1(&server, &loaded).await;
    for round in 0..3 {
        let edit = review("UPDATE", ("apps", "deployments", "Deployment"), "mallory", &deployment(2), &deployment(3))
            .to_string();
        sender.ready().await.unwrap();
        let request_ = http::Request::post("/protect").body(Full::new(Bytes::from(edit))).unwrap();
        let response = sender.send_request(request_).await.unwrap();
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.contains(r#""uid":"0000-1","allowed":false"#) && answer.contains("an internal error"),
            "{answer}"
        );
        assert!(!answer.contains("ouch"), "{answer}");
        sender.ready().await.unwrap();
        assert!(is_refusal(sender.send_request(request()).await.unwrap()).await, "round {round}: the connection lives");
    }
    assert!(!server.task.is_finished());
}
