//! Values of Secrets appear nowhere: not in logs, Events, conditions, refusals, the audit log.
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::harness::{Test, printed};

/// Marks whatever must not be seen, plain or in base64.
struct Marker(String);

impl Marker {
    fn new(test: &Test, what: &str) -> Self {
        // Long enough that it is in the base64 of any text around it, whatever the offset.
        Self(format!("hunter2-{what}-{}-hunter2", test.ns))
    }

    fn is_in(&self, text: &str) -> bool {
        text.contains(&self.0) || (0..3).any(|offset| text.contains(&self.encoded(offset)))
    }

    /// The part of the base64 that does not depend on neighbours.
    fn encoded(&self, offset: usize) -> String {
        let encoded = STANDARD.encode([&vec![b'.'; offset][..], self.0.as_bytes()].concat());
        encoded[8..encoded.len() - 8].to_owned()
    }
}

/// Tries to store manifests that cannot be read, in all ways that quote something. What the user sees.
async fn refuse_broken(test: &Test, broken: &Marker) -> String {
    let mut observed = String::new();
    for text in [
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: x}}\nstringData: {{password: {}", broken.0),
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: x, labels: [{}]}}", broken.0),
        format!("{}\n---\n- {}\n---\n*{}\n", broken.0, broken.0, broken.0),
        format!("{{\"kind\": \"{}\"", broken.0),
    ] {
        let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mr"}, "stringData": {"objects.yaml": text}});
        let output = test.alice.send("replace", &body.to_string()).await;
        assert!(!output.status.success() && output.stderr.contains("cannot be read"), "{}", printed(&output));
        observed.push_str(&printed(&output));
    }
    observed
}

fn appear_nowhere(test: &Test, observed: String, markers: &[&Marker]) {
    let places = [
        ("messages, conditions, Events", observed),
        ("logs of our pods", test.cluster.player.all_logs()),
        ("the audit log", std::fs::read_to_string(test.cluster.control_plane.audit_log()).unwrap()),
    ];
    for (place, text) in places {
        assert!(text.contains(&test.ns), "{place} must have something to say");
        for marker in markers {
            let line = text.lines().find(|line| marker.is_in(line));
            assert!(line.is_none(), "{} in {place}: {line:?}", marker.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_secrets_appear_nowhere() {
    let test = Test::shared("secrecy").await;
    let mut observed = String::new();
    let managed = |value: &str| {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: managed, namespace: {}}}, stringData: {{password: {value}}}}}\n---\n",
            test.ns
        )
    };
    let declared = Marker::new(&test, "declared");
    test.declare("mr", &managed(&declared.0)).await;
    assert_eq!(test.get("secrets", "managed").await.unwrap()["data"]["password"], STANDARD.encode(&declared.0));

    // An edit that is refused, and one that passes and is undone.
    let edited = Marker::new(&test, "edited");
    let patch = json!({"stringData": {"password": edited.0}}).to_string();
    let output = test.alice.with(&["patch", "secret", "managed", "-p", &patch]).await;
    let _ = write!(observed, "{}", output.clone().refusal().unwrap());
    assert!(observed.contains("data.password is declared in"), "{observed}");
    let exempt = "--as=system:serviceaccount:kube-system:generic-garbage-collector";
    assert!(test.admin.with(&["patch", "secret", "managed", "-p", &patch, exempt]).await.status.success());
    test.has("secrets", "managed", "/data/password", STANDARD.encode(&declared.0)).await;

    // Manifests that cannot be read, in all ways that quote something, and one that the server refuses.
    let broken = Marker::new(&test, "broken");
    observed.push_str(&refuse_broken(&test, &broken).await);
    // The webhook does not look into Secrets of other types; the controller does.
    let body = json!({"apiVersion": "v1", "kind": "Secret", "type": "example.com/manifests", "metadata": {"name": "typed"},
        "stringData": {"objects.yaml": format!("a: {}\n---\nx: {{{}", broken.0, broken.0)}});
    test.mr("typed", &["typed"], json!({})).await;
    test.create("secrets", &body).await;
    test.reason("typed", "DecodingFailed").await;
    let refused = Marker::new(&test, "refused");
    let invalid = managed("x")
        .replace("name: managed", "name: other")
        .replace("stringData", "immutable: true, type: {}, data")
        .replace("{}", "kubernetes.io/tls")
        .replace("password: x", &format!("tls.crt: '{}!'", refused.0));
    test.declare("invalid", &invalid).write().await;
    test.reason("invalid", "ApplyFailed").await;

    for name in ["mr", "typed", "invalid"] {
        let _ = write!(observed, "{}", test.get("managedresources", name).await.unwrap());
    }
    let _ = write!(observed, "{}", json!(test.list("events").await));
    appear_nowhere(&test, observed, &[&declared, &edited, &broken, &refused]);
}
