//! When nothing is sent at all.

use super::layer::{CONFIG_MAP, FINE, STATUS, Server, send};
use super::*;

#[tokio::test(start_paused = true)]
async fn kinds_that_are_busy_for_ever_hold_up_no_other() {
    const BUSY: Server = Server::Answer(429, Some("1"), STATUS);
    let traffic = Traffic::cautious();
    let (start, mut deferred, mut sent) = (Instant::now(), vec![], [0; 15]);
    while start.elapsed() < Duration::from_secs(300) {
        for (kind, sent) in sent.iter_mut().enumerate() {
            let path = format!("/apis/x.example.com/v1/k{kind}s");
            for (method, path) in [("GET", path.clone()), ("PATCH", format!("{path}/o"))] {
                *sent += usize::from(send(&traffic, BUSY, method, &path).await.1);
            }
        }
        assert!(send(&traffic, FINE, "PATCH", CONFIG_MAP).await.1);
        if !traffic.is_clear() {
            deferred.push(start.elapsed());
        }
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    assert!(deferred.iter().all(|at| *at < Duration::from_millis(1100)), "{deferred:?}");
    assert!(!deferred.is_empty(), "in the first moment nobody knows");
    assert!(sent.iter().all(|sent| (20..150).contains(sent)), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn an_overload_is_told_from_a_kind_that_was_busy_before() {
    const BUSY: Server = Server::Answer(429, Some("2"), STATUS);
    let traffic = Traffic::cautious();
    for plural in ["a", "b"] {
        send(&traffic, BUSY, "GET", &format!("/api/v1/{plural}")).await.0.unwrap_err();
    }
    tokio::time::advance(Duration::from_secs(20)).await;
    for plural in ["a", "b", "c", "d"] {
        assert!(send(&traffic, BUSY, "GET", &format!("/api/v1/{plural}")).await.1);
    }
    assert!(traffic.is_clear());
    assert!(send(&traffic, BUSY, "GET", "/api/v1/e").await.1);
    assert!(!traffic.is_clear(), "three that were well");
}
