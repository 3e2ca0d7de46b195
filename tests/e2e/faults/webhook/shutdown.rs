//! A webhook that is told to end.
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_end_is_not_ready_first_and_goes_on_for_a_while() {
    let stage = Stage::set("leaving", &["--shutdown-delay=8s"]).await;
    stage.apply_once(&stage.test.config_map("a", "one")).await;
    stage.webhook.start();
    stage.edit_says("a", "is managed by").await;
    let begin = Instant::now();
    stage.webhook.signal(Signal::TERM);
    stage.probes("/readyz", &["HTTP/1.1 503", "not ready: it is shutting down"]).await;
    let printed = stage.edit("a").await;
    assert!(printed.contains("is managed by"), "it goes on answering: {printed}");
    stage.webhook.ended().await;
    assert!(begin.elapsed() >= Duration::from_secs(8), "{:?}", begin.elapsed());
    assert_eq!(stage.webhook.exit_code(), Some(0));

    // Whoever asks twice does not want to wait.
    let webhook = stage.webhook.with(&["--shutdown-delay=5m"]);
    let stage = Stage { webhook, ..stage };
    stage.webhook.start();
    stage.probes("/readyz", &["HTTP/1.1 200"]).await;
    stage.webhook.signal(Signal::TERM);
    stage.probes("/readyz", &["it is shutting down"]).await;
    stage.webhook.signal(Signal::TERM);
    stage.webhook.ended().await;
    assert_eq!(stage.webhook.exit_code(), Some(0));
}
