//! Watches that end as soon as they have begun, seen by kube's own watcher.

use futures::{StreamExt as _, stream};
use http_body_util::StreamBody;
use hyper::body::Frame;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::{Body as Sent, Client};
use kube::runtime::watcher::{self, watcher};
use tower::service_fn;

use super::*;
use crate::api::Api;
use crate::delays::{News, WatchHealth, patient};

type Frames = stream::BoxStream<'static, Result<Frame<Bytes>, BoxError>>;

const LIST: &str = r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
const EVENT: &str = concat!(
    r#"{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","#,
    r#""metadata":{"name":"c","resourceVersion":"1"}}}"#,
    "\n"
);
const BOOKMARK: &str = concat!(
    r#"{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"1"}}}"#,
    "\n"
);

/// What a watch says, for how long it goes on, and whether it ends in the middle.
#[derive(Clone, Copy)]
struct Watch(&'static str, Duration, bool);

fn frames(Watch(text, length, is_cut): Watch) -> Frames {
    let begin = stream::iter([Ok(Frame::data(Bytes::from_static(text.as_bytes())))]);
    let wait = stream::once(tokio::time::sleep(length)).filter_map(|()| std::future::ready(None));
    let eof = || Err(BoxError::from(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)));
    begin.chain(wait).chain(stream::iter(is_cut.then(eof))).boxed()
}

/// How many watches begin in this time, what is told of them, and how many events come.
async fn watched(traffic: Traffic, watch: Watch, time: Duration) -> (usize, Vec<News>, usize) {
    let begun = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&begun);
    let server = service_fn(move |request: Request<Sent>| {
        let is_watch = verb(&request) == "watch";
        *counted.lock().unwrap() += usize::from(is_watch);
        let body = if is_watch { frames(watch) } else { frames(Watch(LIST, Duration::ZERO, false)) };
        async move { Ok::<_, BoxError>(Response::new(StreamBody::new(body))) }
    });
    let client = Client::new(traffic.layer(server), "n");
    let api: Api<ConfigMap> = Api::all(client);
    let mut events = Box::pin(patient(watcher(api.collection(), watcher::Config::default())));
    let (mut health, mut news, mut seen) = (WatchHealth::default(), vec![], 0);
    let _ = tokio::time::timeout(time, async {
        while let Some(event) = events.next().await {
            seen += usize::from(matches!(event, Ok(watcher::Event::Apply(_))));
            news.extend(health.take(&event, |_| true, Instant::now()));
        }
    })
    .await;
    let begun = *begun.lock().unwrap();
    (begun, news, seen)
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_is_asked_for_seldom_and_told_of() {
    const MINUTE: Duration = Duration::from_secs(60);
    for (case, watch) in [
        ("empty", Watch("", Duration::ZERO, false)),
        ("an empty line", Watch("\n", Duration::ZERO, false)),
        ("cut", Watch("", Duration::ZERO, true)),
        ("half a line", Watch("{\"type\":\"BOOK", Duration::ZERO, false)),
        ("half a line, cut", Watch("{\"type\":\"BOOK", Duration::ZERO, true)),
        ("a bookmark", Watch(BOOKMARK, Duration::ZERO, false)),
        ("an event, cut", Watch(EVENT, Duration::ZERO, true)),
        ("soon", Watch("", Duration::from_millis(900), false)),
    ] {
        for traffic in [Traffic::default(), Traffic::cautious()] {
            let (begun, news, seen) = watched(traffic, watch, MINUTE).await;
            assert!((5..30).contains(&begun), "{case}: {begun} in {MINUTE:?}");
            assert_eq!(seen, if watch.0 == EVENT { begun } else { 0 }, "{case}");
            let words = "the watch ended as soon as it had begun".to_owned();
            assert_eq!(news, [News::Fails(words)], "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_ordinary_end_of_a_watch_is_no_failure() {
    for is_cut in [false, true] {
        let watch = Watch(BOOKMARK, Duration::from_secs(60), is_cut);
        let (begun, news, _) = watched(Traffic::cautious(), watch, Duration::from_secs(601)).await;
        assert_eq!((begun, news), (11, vec![]), "the next one at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_without_an_end_is_given_up() {
    const PIECE: &[u8] = &[b' '; 1 << 20];
    let taken = Arc::new(Mutex::new(0));
    for path in ["/api/v1/pods?watch=true", "/api/v1/pods?limit=500"] {
        *taken.lock().unwrap() = 0;
        let counted = Arc::clone(&taken);
        let server = service_fn(move |_: Request<()>| {
            let counted = Arc::clone(&counted);
            let pieces = stream::repeat_with(move || {
                *counted.lock().unwrap() += 1;
                Ok::<_, BoxError>(Frame::data(Bytes::from_static(PIECE)))
            });
            async move { Ok::<_, BoxError>(Response::new(StreamBody::new(pieces.boxed()))) }
        });
        let answer = Traffic::cautious().layer(server).call(Request::get(path).body(()).unwrap()).await.unwrap();
        let mut body = std::pin::pin!(StreamBody::new(http_body_util::BodyStream::new(answer.into_body())));
        let mut last = None;
        while let Some(frame) = body.next().await {
            let is_end = frame.is_err();
            last = Some(frame.map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()));
            if is_end {
                break;
            }
        }
        let last = last.unwrap();
        assert!(last.as_ref().is_err() || last.is_ok_and(|text| text.contains("too long")), "{path}");
        assert!(*taken.lock().unwrap() <= 257, "{path}");
    }
}
