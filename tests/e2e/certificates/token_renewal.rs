//! Tokens of service accounts that are replaced while the programs run.
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{CONTROLLER, Cluster, SYSTEM, Test, WEBHOOK, nothing_happens_for, protects};
use crate::install::config_file::answers;

/// What the programs log for each file that they have read again.
const RENEWED: &str = "reloaded the credentials";

/// Two Secrets that tokens can be bound to, and what each program is to go on doing.
struct Scene {
    test: Test,
    system: Test,
}

impl Scene {
    async fn set() -> Self {
        let test = Test::on(Arc::new(Cluster::installed().await), "renewed").await;
        let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
        for name in ["former", "next"] {
            system.create("secrets", &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}})).await;
        }
        test.declare("mr", &test.config_map("a", "one")).await;
        let scene = Self { test, system };
        scene.observed("former", 1).await;
        scene
    }

    fn pods(&self) -> Vec<holdfast_e2e::player::PlayedPod> {
        let player = &self.test.cluster.player;
        [player.pods_of(CONTROLLER), player.pods_of(WEBHOOK)].concat()
    }

    /// Has all tokens bound to this Secret, and waits until each program has noticed that `times` in all.
    async fn observed(&self, secret: &str, times: usize) -> Duration {
        self.bind(secret);
        let begin = Instant::now();
        self.test
            .eventually("all programs to read their tokens again", || async {
                let logs: Vec<String> =
                    self.pods().iter().map(|pod| self.test.cluster.player.logs(SYSTEM, &pod.name)).collect();
                let counts: Vec<usize> = logs.iter().map(|log| log.matches(RENEWED).count()).collect();
                if counts.len() == 3 && counts.iter().all(|count| *count >= times) {
                    Ok(())
                } else {
                    Err(format!("{counts:?}"))
                }
            })
            .await;
        begin.elapsed()
    }

    fn bind(&self, secret: &str) {
        for pod in self.pods() {
            self.test.cluster.player.bind_tokens(SYSTEM, &pod.name, secret).unwrap();
        }
    }

    /// Edits are refused, what passes is put right, what is new is applied.
    async fn goes_on(&self, name: &str) {
        let test = &self.test;
        protects(test, &["patch", "configmap", "a", "-p", r#"{"data":{"k":"x"}}"#]).await;
        test.declare(name, &test.config_map(name, "one")).mode("Off").await;
        test.merge("configmaps", name, "kubectl-edit", &json!({"data": {"k": "x"}})).await;
        test.has("configmaps", name, "/data/k", "one").await;
    }

    /// Passes of the controller that came to a bad end.
    async fn failed_passes(&self) -> Vec<String> {
        let pod = self.test.cluster.controller().unwrap();
        let reported = answers(&format!("{}:8081", pod.address), "/metrics", 200).await;
        let passes = reported.lines().filter(|line| line.starts_with("holdfast_controller_passes_total{"));
        passes.filter(|line| line.contains(r#"result="error""#)).map(str::to_owned).collect()
    }

    fn restarts(&self) -> u32 {
        self.pods().iter().map(|pod| pod.restarts).sum()
    }
}

/// Lines of a log without their microseconds, in which any three digits may stand. What is no JSON stays as it is.
fn without_timestamps(log: &str) -> String {
    let without = |line: &str| match serde_json::from_str(line) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("timestamp");
            format!("{}\n", Value::Object(fields))
        }
        _ => format!("{line}\n"),
    };
    log.lines().map(without).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_after_it_was_replaced_is_missed_by_nobody() {
    let scene = Scene::set().await;
    let before = scene.failed_passes().await;
    let after = scene.observed("next", 2).await;
    eprintln!("a token in a volume was noticed by three programs within {:.1} s", after.as_secs_f64());
    scene.system.delete("secrets", "former").await;
    // The API server remembers for ten seconds whom it knew.
    nothing_happens_for(Duration::from_secs(12), "a program notices").await;
    scene.goes_on("b").await;
    assert_eq!(scene.failed_passes().await, before);
    for pod in scene.pods() {
        let log = without_timestamps(&scene.test.cluster.player.logs(SYSTEM, &pod.name));
        assert!(!log.contains("Unauthorized") && !log.contains("401"), "{}: {log}", pod.name);
    }
    assert_eq!(scene.restarts(), 0);
}

/// A kubelet that comes late: the former token counts no more when its successor is written. A refusal has the files read again.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_as_it_is_replaced_costs_no_restart() {
    let scene = Scene::set().await;
    scene.system.delete("secrets", "former").await;
    let after = scene.observed("next", 2).await;
    scene.goes_on("b").await;
    eprintln!(
        "a token in place of one that had ended was noticed by three programs within {:.1} s",
        after.as_secs_f64()
    );
    assert_eq!(scene.restarts(), 0);
}
