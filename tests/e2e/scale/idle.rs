//! When nothing happens, nothing is written; and what that costs in memory.
use std::time::Duration;

use holdfast_e2e::audit::AuditLog;
use holdfast_e2e::binaries;
use holdfast_e2e::player::PlayedPod;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{CONTROLLER, SYSTEM, Test, WEBHOOK, nothing_happens_for};

const WATCHED: Duration = Duration::from_secs(60);
const MOST_MEMORY: u64 = 20 << 20;

async fn probe(pod: &PlayedPod, path: &str) -> String {
    let mut stream = TcpStream::connect((pod.address, pod.ports["probes"])).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_installation_writes_nothing_and_is_small() {
    let test = Test::own("idle").await;
    for part in 0..5 {
        let mut manifests = String::new();
        for number in 0..17 {
            manifests.push_str(&test.config_map(&format!("c-{part}-{number}"), "one"));
        }
        for (kind, spec) in [("Service", ", spec: {selector: {a: b}, ports: [{port: 80}]}"), ("ServiceAccount", "")] {
            let name = format!("{}-{part}", kind.to_lowercase());
            let object = format!(
                "{{apiVersion: v1, kind: {kind}, metadata: {{name: {name}, namespace: {}}}{spec}}}\n---\n",
                test.ns
            );
            manifests.push_str(&object);
        }
        manifests.push_str(&test.deployment(&format!("d-{part}")));
        test.declare(&format!("mr-{part}"), &manifests).await;
    }
    for part in 0..5 {
        test.has("deployments", &format!("d-{part}"), "/status/replicas", 2).await;
    }
    let total: usize =
        test.list("managedresources").await.iter().map(|mr| mr["status"]["resources"].as_array().unwrap().len()).sum();
    assert_eq!(total, 100);
    for pod in test.cluster.player.pods() {
        for path in ["/healthz", "/readyz"] {
            assert!(probe(&pod, path).await.starts_with("HTTP/1.1 200"), "{pod} {path}");
        }
        let metrics = probe(&pod, "/metrics").await;
        assert!(metrics.contains("\nholdfast_") && metrics.ends_with("# EOF\n"), "{pod}: {metrics}");
    }

    // The answers to the last creations have come to rest by then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
    nothing_happens_for(WATCHED, "anything is written").await;
    let requests = log.read().unwrap();
    for name in [CONTROLLER, WEBHOOK] {
        let user = format!("system:serviceaccount:{SYSTEM}:{name}");
        let own: Vec<_> = requests.iter().filter(|request| request.user == user).collect();
        let written: Vec<_> = own.iter().filter(|request| request.is_write() && request.resource != "leases").collect();
        assert!(written.is_empty(), "{name} wrote: {written:?}");
        eprintln!("{name}: {} requests in {} s, none of them a write", own.len(), WATCHED.as_secs());
    }
    for pod in test.cluster.player.pods() {
        let resident = test.cluster.player.resident_bytes(&pod.namespace, &pod.name).unwrap();
        eprintln!("{}: {} KiB resident with 100 objects", pod.image, resident >> 10);
        assert_eq!(pod.restarts, 0, "{pod}");
        if binaries::profile() == "release" {
            assert!(resident <= MOST_MEMORY, "{pod}: {resident} bytes");
        }
    }
}
