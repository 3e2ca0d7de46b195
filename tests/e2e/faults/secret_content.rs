//! Secrets whose content harms, with no webhook that keeps them out.
use std::time::{Duration, Instant};

use holdfast_e2e::audit::AuditLog;
use serde_json::json;

use super::Stage;

fn brotli(bytes: impl std::io::Read) -> Vec<u8> {
    let mut compressed = Vec::new();
    // Fast in builds for tests as well.
    let params = brotli::enc::BrotliEncoderParams { quality: 2, ..Default::default() };
    brotli::BrotliCompress(&mut { bytes }, &mut compressed, &params).unwrap();
    compressed
}

/// Good and bad in quick turns: nothing is ever deleted, and the good state is reached in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_flips_between_good_and_bad_deletes_nothing() {
    const FLIPS: usize = 30;
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let stage = Stage::set("flip", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    let good = |value: &str| NAMES.map(|name| test.config_map(name, value)).concat();
    stage.submit("mr", &good("first")).await;
    test.applied("mr").await;
    let mut uids = Vec::new();
    for name in NAMES {
        uids.push(test.uid("configmaps", name).await);
    }
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    let corrupt = b"not brotli at all";
    for flip in 0..FLIPS {
        let objects = good(&format!("good {flip}"));
        let cut = &test.config_map("a", "bad")[..40];
        let bad: Vec<(&str, &[u8])> = match flip % 3 {
            0 => vec![("objects.yaml", cut.as_bytes())],
            1 => vec![("objects.yaml.br", corrupt)],
            _ => vec![("objects.yaml", b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [\n")],
        };
        test.try_secret("mr", &bad).await.unwrap();
        // Not in step with anything, so that passes meet it in all places.
        tokio::time::sleep(Duration::from_millis(7 * (flip as u64 % 10))).await;
        test.try_secret("mr", &[("objects.yaml", objects.as_bytes())]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5 * (flip as u64 % 7))).await;
    }
    for name in NAMES {
        test.has("configmaps", name, "/data", json!({"k": format!("good {}", FLIPS - 1)})).await;
    }
    test.applied("mr").await;
    for (name, uid) in NAMES.iter().zip(uids) {
        assert_eq!(test.uid("configmaps", name).await, uid, "{name} was deleted and created anew");
    }
    let requests = log.read_of(&stage.account.user).unwrap();
    let deletions: Vec<_> = requests.iter().filter(|request| request.verb.starts_with("delete")).collect();
    assert!(deletions.is_empty(), "{deletions:?}");
    let writes = requests.iter().filter(|request| request.is_write()).count();
    eprintln!("{FLIPS} flips: {writes} writes, no deletion");
    assert!(writes > 0, "the audit log is about this controller");
}

/// Neither corrupt nor malicious Brotli costs memory, and other ManagedResources go on.
#[tokio::test(flavor = "multi_thread")]
async fn corrupt_brotli_costs_no_memory() {
    /// Unpacked; the packed form is a few hundred bytes.
    const BOMB: u64 = 128 << 20;
    /// Unpacked text is refused beyond 16 MiB, two Secrets are decoded at a time, and a vector grows by doubling.
    const MOST_MORE: u64 = 112 << 20;
    let stage = Stage::set("bomb", &[]).await;
    let test = &stage.test;
    stage.replica.start();
    stage.submit("other", &test.config_map("other", "one")).await;
    test.applied("other").await;
    let before = stage.replica.resident_bytes();
    let bomb = tokio::task::spawn_blocking(|| brotli(std::io::Read::take(std::io::repeat(b' '), BOMB))).await.unwrap();
    eprintln!("a bomb of {} bytes", bomb.len());

    let corrupt: [(&str, &[u8]); 3] = [("corrupt", b"not brotli at all"), ("bomb", &bomb), ("bombs", &bomb)];
    for (name, content) in corrupt {
        // Beside it something that can be read.
        let good = test.config_map(&format!("{name}-good"), "one");
        test.try_secret(name, &[("objects.yaml.br", content), ("good.yaml", good.as_bytes())]).await.unwrap();
        test.mr(name, &[name], json!({"class": stage.class})).await;
    }
    let begin = Instant::now();
    let mut most = 0;
    for round in 0.. {
        let value = format!("{round}");
        test.secret("other", &test.config_map("other", &value)).await;
        // Each change has them all read again.
        for (name, _) in corrupt {
            let patch =
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": {"round": value}}});
            test.try_apply_as("round", "secrets", &patch).await.unwrap();
        }
        let turn = Instant::now();
        while test.get("configmaps", "other").await.unwrap()["data"]["k"] != *value {
            most = most.max(stage.replica.resident_bytes());
            assert!(turn.elapsed() < Duration::from_secs(20), "another ManagedResource has to wait");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if begin.elapsed() > Duration::from_secs(4) && round > 5 {
            break;
        }
    }
    for (name, _) in corrupt {
        test.message(name, "DecodingFailed", &["objects.yaml.br"]).await;
        test.has("configmaps", &format!("{name}-good"), "/data/k", "one").await;
    }
    let after = stage.replica.resident_bytes();
    eprintln!("{} KiB resident before, at most {} KiB, {} KiB after", before >> 10, most >> 10, after >> 10);
    assert!(most.max(after) < before + MOST_MORE, "{most} bytes resident, {before} before");
    assert!(stage.replica.is_running());
}
