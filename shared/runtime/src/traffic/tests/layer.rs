//! What the layer makes of answers, with a server that is a function.

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tower::service_fn;

use super::*;

type Frames = stream::BoxStream<'static, Result<Frame<Bytes>, BoxError>>;

/// What the server does.
#[derive(Clone, Copy)]
pub(super) enum Server {
    Answer(u16, Option<&'static str>, &'static str),
    Hang,
    HangInBody(&'static str),
    Cut,
}

fn frames(text: &'static str) -> Frames {
    stream::iter([Ok(Frame::data(Bytes::from_static(text.as_bytes())))]).boxed()
}

async fn serve(server: Server, requests: Arc<AtomicUsize>) -> Result<Response<StreamBody<Frames>>, BoxError> {
    requests.fetch_add(1, Ordering::Relaxed);
    match server {
        Server::Answer(code, retry_after, body) => {
            let mut response = Response::builder().status(code);
            if let Some(value) = retry_after {
                response = response.header("Retry-After", value);
            }
            Ok(response.body(StreamBody::new(frames(body))).unwrap())
        }
        Server::Hang => std::future::pending().await,
        Server::HangInBody(body) => Ok(Response::new(StreamBody::new(frames(body).chain(stream::pending()).boxed()))),
        Server::Cut => Err("connection closed".into()),
    }
}

/// Sends a request through the layer. Returns the code and the body, or the error's words, and whether it was sent.
pub(super) async fn send(
    traffic: &Traffic,
    server: Server,
    method: &str,
    path: &str,
) -> (Result<(u16, String), String>, bool) {
    let requests = Arc::new(AtomicUsize::new(0));
    let inner = {
        let requests = Arc::clone(&requests);
        service_fn(move |_: Request<()>| serve(server, Arc::clone(&requests)))
    };
    let mut service = traffic.layer(inner);
    let request = Request::builder().method(method).uri(path).body(()).unwrap();
    let answered = async {
        let response = service.call(request).await?;
        let (code, body) = (response.status().as_u16(), response.into_body().collect().await?.to_bytes());
        Ok::<_, BoxError>((code, String::from_utf8(body.to_vec()).unwrap()))
    };
    let result = answered.await.map_err(|error| error.to_string());
    (result, requests.load(Ordering::Relaxed) > 0)
}

pub(super) const STATUS: &str = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"storage is (re)initializing","reason":"TooManyRequests","code":429}"#;
const PARTS: &str = "/apis/x7.example.com/v2/parts";
pub(super) const CONFIG_MAP: &str = "/api/v1/namespaces/t/configmaps/c";
pub(super) const FINE: Server = Server::Answer(200, None, "{}");

/// How long everything waits.
async fn pause(traffic: &Traffic) -> u64 {
    let before = Instant::now();
    traffic.clear().await;
    before.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_status_holds_its_resource_and_anything_else_holds_all() {
    for (header, body, expected) in [
        (Some("7"), STATUS, (7, 0)),
        (None, STATUS, (1, 0)),
        (Some("Thu, 01 Jan"), STATUS, (1, 0)),
        (Some("99999"), STATUS, (30, 0)),
        (Some("7"), "Too many requests, please try again later.", (7, 7)),
        (Some("7"), r#"{"error": "rate limit"}"#, (7, 7)),
        (Some("7"), r#"{"kind": "Error", "message": "no"}"#, (7, 7)),
        (Some("7"), "<html>slow down</html>", (7, 7)),
        (None, "", (1, 1)),
    ] {
        let traffic = Traffic::cautious();
        let (answer, _) = send(&traffic, Server::Answer(429, header, body), "GET", PARTS).await;
        let (for_resource, for_all) = expected;
        let is_status = body == STATUS;
        assert_eq!(answer.is_err(), is_status, "{header:?} {body}: {answer:?}");
        if let Err(words) = answer {
            let words_expected = format!(
                "storage is (re)initializing; the server asks to wait {for_resource} s before the next request for parts.x7.example.com"
            );
            assert_eq!(words, words_expected);
        }
        let (deferred, was_sent) = send(&traffic, FINE, "PATCH", &format!("{PARTS}/p")).await;
        assert!(deferred.is_err() && !was_sent, "{header:?} {body}: {deferred:?}");
        assert!(send(&traffic, FINE, "GET", CONFIG_MAP).await.1, "another resource");
        assert_eq!(pause(&traffic).await, for_all, "{header:?} {body}");
    }
    // Discovery is about no resource.
    let traffic = Traffic::cautious();
    send(&traffic, Server::Answer(429, Some("2"), STATUS), "GET", "/apis").await.0.unwrap();
    assert_eq!(pause(&traffic).await, 2);
}

#[tokio::test(start_paused = true)]
async fn three_resources_at_once_are_all_of_us() {
    let busy = Server::Answer(429, Some("3"), STATUS);
    for (gap, plurals, expected) in [
        (Duration::from_millis(300), ["pods", "secrets", "services"], 3),
        (Duration::from_millis(300), ["pods", "secrets", "secrets"], 0),
        (Duration::from_millis(600), ["pods", "secrets", "services"], 0),
    ] {
        let traffic = Traffic::cautious();
        for plural in plurals {
            let _ = send(&traffic, busy, "GET", &format!("/api/v1/{plural}")).await;
            tokio::time::advance(gap).await;
        }
        let waited = pause(&traffic).await;
        assert_eq!(waited > 0, expected > 0, "{plurals:?} {gap:?}: {waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_does_not_answer_gets_less_than_a_request_a_second() {
    const HOUR: Duration = Duration::from_secs(600);
    for (case, server) in [
        ("500", Server::Answer(500, None, r#"{"kind":"Status","message":"no","code":500}"#)),
        ("503", Server::Answer(503, None, "no endpoints")),
        ("429", Server::Answer(429, Some("1"), STATUS)),
        ("silence", Server::Hang),
        ("silence after the headers", Server::HangInBody("{\"kind\":")),
        ("an error page", Server::Answer(200, None, "<html>")),
        ("half an answer", Server::Answer(200, None, "{\"kind\":\"Part\"")),
        ("no connection", Server::Cut),
    ] {
        let traffic = Traffic::cautious();
        let (start, mut sent, mut waited) = (Instant::now(), 0, Duration::ZERO);
        let mut turn = 0;
        while start.elapsed() < HOUR {
            assert!(send(&traffic, FINE, "PATCH", CONFIG_MAP).await.0.is_ok(), "{case}: others go on");
            let before = Instant::now();
            let path = [format!("{PARTS}/a"), format!("{PARTS}/b"), PARTS.to_owned()];
            let method = ["PATCH", "PATCH", "GET"];
            let (answer, was_sent) = send(&traffic, server, method[turn % 3], &path[turn % 3]).await;
            assert!(answer.is_err() || answer.is_ok_and(|(code, _)| code >= 500), "{case}");
            sent += u64::from(was_sent);
            waited += before.elapsed();
            turn += 1;
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        assert!(sent < HOUR.as_secs() / 3, "{case}: {sent} in {HOUR:?}");
        assert!(sent > HOUR.as_secs() / 20, "{case}: it is asked again: {sent}");
        // It is well again at once when it answers.
        let begin = Instant::now();
        while !send(&traffic, FINE, "PATCH", &format!("{PARTS}/a")).await.1 {
            tokio::time::advance(Duration::from_millis(50)).await;
        }
        assert!(begin.elapsed() <= Duration::from_secs(7), "{case}: {:?}", begin.elapsed());
        for object in ["a", "b", "c"] {
            assert!(send(&traffic, FINE, "PATCH", &format!("{PARTS}/{object}")).await.1, "{case} {object}");
        }
        assert_eq!(pause(&traffic).await, 0, "{case}");
        eprintln!("{case}: {sent} requests and {waited:?} in {HOUR:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_always_fails_holds_up_no_other() {
    for server in [Server::Answer(500, None, "dead webhook"), Server::Hang] {
        let traffic = Traffic::cautious();
        // Five always fail, and have done so before.
        for bad in 0..5 {
            while !send(&traffic, server, "PATCH", &format!("{PARTS}/bad-{bad}")).await.1 {
                send(&traffic, FINE, "PATCH", CONFIG_MAP).await.0.unwrap();
                tokio::time::advance(Duration::from_millis(50)).await;
            }
        }
        let (mut longest, mut refused) = (Duration::ZERO, Instant::now());
        for turn in 0..2000 {
            send(&traffic, FINE, "PATCH", CONFIG_MAP).await.0.unwrap();
            let _ = send(&traffic, server, "PATCH", &format!("{PARTS}/bad-{}", turn % 5)).await;
            if turn == 100 {
                refused = Instant::now();
            }
            if turn >= 100 && send(&traffic, FINE, "PATCH", &format!("{PARTS}/good")).await.1 {
                longest = longest.max(refused.elapsed());
                refused = Instant::now();
            }
            tokio::time::advance(Duration::from_millis(20)).await;
        }
        assert!(longest < Duration::from_secs(13), "{longest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_nothing_answers_nobody_is_sick() {
    for server in [Server::Cut, Server::Answer(503, None, "starting"), Server::Hang] {
        let traffic = Traffic::cautious();
        for path in [CONFIG_MAP, PARTS, "/api/v1/pods"] {
            assert!(send(&traffic, FINE, "GET", path).await.1);
        }
        for _ in 0..20 {
            tokio::time::advance(Duration::from_secs(2)).await;
            for path in [CONFIG_MAP, "/apis/x7.example.com/v2/parts/p", "/api/v1/pods/p"] {
                assert!(send(&traffic, server, "PATCH", path).await.1, "{path}");
            }
        }
        for path in [CONFIG_MAP, "/apis/x7.example.com/v2/parts/p", "/api/v1/pods/p"] {
            assert!(send(&traffic, FINE, "PATCH", path).await.1, "{path}: back at once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn leases_and_those_who_are_not_cautious_are_never_held() {
    let lease = "/apis/coordination.k8s.io/v1/namespaces/x/leases/y";
    let traffic = Traffic::cautious();
    for _ in 0..5 {
        let (answer, was_sent) = send(&traffic, Server::Answer(429, Some("9"), STATUS), "PUT", lease).await;
        assert!(was_sent && answer.is_ok_and(|(code, _)| code == 429));
    }
    let traffic = Traffic::default();
    for _ in 0..5 {
        let (answer, was_sent) = send(&traffic, Server::Answer(429, Some("9"), STATUS), "GET", PARTS).await;
        assert!(was_sent && answer == Ok((429, STATUS.to_owned())));
    }
}

#[tokio::test(start_paused = true)]
async fn words_of_a_secret_are_withheld_and_manifests_are_nobodys_fault() {
    let traffic = Traffic::cautious();
    let quoted = r#"{"kind":"Status","message":"data[k]: hunter2","reason":"InternalError","code":500}"#;
    let secret = "/api/v1/namespaces/t/secrets/s";
    for _ in 0..3 {
        send(&traffic, FINE, "PATCH", CONFIG_MAP).await.0.unwrap();
        let _ = send(&traffic, Server::Answer(500, None, quoted), "PATCH", secret).await;
    }
    let (deferred, was_sent) = send(&traffic, FINE, "PATCH", secret).await;
    let words = "InternalError (500); the server's words are withheld, they may quote the Secret";
    assert_eq!((deferred, was_sent), (Err(words.to_owned()), false));

    let typed = r#"{"kind":"Status","message":"failed to create typed patch object: duplicate entries","code":500}"#;
    for _ in 0..9 {
        send(&traffic, FINE, "PATCH", "/api/v1/namespaces/t/services/s").await.0.unwrap();
        assert!(send(&traffic, Server::Answer(500, None, typed), "PATCH", CONFIG_MAP).await.1);
    }
}

#[tokio::test(start_paused = true)]
async fn lists_and_watches_that_hang_are_given_up() {
    for traffic in [Traffic::default(), Traffic::cautious()] {
        for (server, path) in [
            (Server::Hang, "/api/v1/pods?limit=500"),
            (Server::HangInBody("{\"items\":["), "/api/v1/pods?limit=500"),
            (Server::Hang, "/api/v1/pods?watch=true"),
        ] {
            let begin = Instant::now();
            assert!(send(&traffic, server, "GET", path).await.0.is_err());
            assert!(begin.elapsed() <= Duration::from_secs(31), "{path}");
        }
    }
    // The API server is never silent for so long. What is listed anew shows what is wrong.
    let traffic = Traffic::cautious();
    let begin = Instant::now();
    let (watch, _) = send(&traffic, Server::HangInBody("{}\n"), "GET", "/api/v1/services?watch=true").await;
    let (_, text) = watch.unwrap();
    assert!(text.ends_with("}\n") && text.contains("\"code\":410"), "{text}");
    assert_eq!(begin.elapsed(), Duration::from_secs(90));
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_of_the_watch_of_managed_resources_ends_its_silence() {
    let traffic = Traffic::default();
    let path = "/apis/resources.gardener.cloud/v1alpha1/managedresources?watch=true";
    send(&traffic, Server::Answer(503, None, "no"), "GET", path).await.0.unwrap();
    assert_eq!(traffic.last_activity().idle(), None);
    assert!(traffic.missing().is_some(), "that was no good answer");
    let service = service_fn(|_: Request<()>| async {
        let (first, second) = (frames("{}\n"), frames("{}\n"));
        let later = stream::once(tokio::time::sleep(Duration::from_secs(60))).flat_map(move |()| frames("{}\n"));
        drop(second);
        Ok::<_, Infallible>(Response::new(StreamBody::new(first.chain(later).boxed())))
    });
    let mut service = traffic.layer(service);
    let mut body = service.call(Request::get(path).body(()).unwrap()).await.unwrap().into_body();
    assert_eq!(traffic.last_activity().idle(), Some(Duration::ZERO));
    body.frame().await.unwrap().unwrap();
    assert_eq!(traffic.missing(), None, "an event is a good answer");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(traffic.last_activity().idle(), Some(Duration::from_secs(10)));
    body.frame().await.unwrap().unwrap();
    assert_eq!(traffic.last_activity().idle(), Some(Duration::ZERO));
}
