//! A controller that gets no good answer is not ready, and says why.
use std::net::TcpListener;
use std::time::Duration;

use holdfast_e2e::fault_proxy::{Fault, Request, Rule};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::Stage;
use crate::harness::Test;

async fn readyz(port: u16) -> Result<String, String> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    };
    ask.await.map_err(|error| error.to_string())
}

async fn is_ready(test: &Test, port: u16, parts: &[&str]) {
    test.eventually(&format!("readiness to say {parts:?}"), || async {
        let answer = readyz(port).await?;
        if parts.iter().all(|part| answer.contains(part)) { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_no_good_answer_is_not_ready() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("--probes-address=127.0.0.1:{port}");
    let stage = Stage::set("unready", &[&address, "--unanswered-limit=3s"]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("mr", &test.config_map("a", "one")).await;
    test.applied("mr").await;
    is_ready(test, port, &["HTTP/1.1 200"]).await;
    // Nothing is asked, and nothing is wrong.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(readyz(port).await.unwrap().contains("HTTP/1.1 200"), "idle");
    }
    for fault in [Fault::Answer { code: 503, retry_after: None }, Fault::Hang, Fault::CutBefore] {
        stage.proxy.add(Rule::new(fault, |_: &Request| true));
        stage.proxy.cut_connections();
        is_ready(test, port, &["HTTP/1.1 503", "answers of the API server (source)", "no good answer came"]).await;
        stage.proxy.clear();
        is_ready(test, port, &["HTTP/1.1 200"]).await;
    }
    // One kind that fails is no reason.
    let path = "/configmaps";
    stage.proxy.add(Rule::new(Fault::Answer { code: 500, retry_after: None }, move |request: &Request| {
        request.path.contains(path)
    }));
    stage.proxy.cut_connections();
    test.secret("mr", &test.config_map("a", "two")).await;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(readyz(port).await.unwrap().contains("HTTP/1.1 200"), "one kind");
    }
    stage.proxy.clear();
    test.has("configmaps", "a", "/data/k", "two").await;
}
