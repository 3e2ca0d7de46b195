//! Secrets that are large, and Secrets that are made to cost much.
use std::fmt::Write;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::super::numbers::{millis, percentile};
use super::super::report::Measured;
use super::super::stage::{self, HOME};
use super::Subject;
use super::client::Connection;
use super::load::{Load, Pace};
use super::reviews;

/// So many times, of which the middle or the worst counts.
const ROUNDS: usize = 15;
/// What the bomb expands to.
const BOMB: usize = 512 << 20;

/// A review of a Secret that says of itself that it has manifests.
fn review(key: &str, value: &[u8]) -> Arc<[u8]> {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": "hostile", "namespace": HOME, "labels": {"resources.gardener.cloud/manifests": "true"}},
        "data": {key: STANDARD.encode(value)}});
    reviews::review(("", "secrets", "Secret"), "CREATE", "hostile", &Value::Null, &secret)
}

/// One mebibyte, 1,000 documents.
fn large_secret() -> Vec<u8> {
    let mut text = String::new();
    for number in 0..1000 {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: map-{number:04}\n  namespace: {HOME}\n  labels:\n    app: x\n\
             data:\n"
        );
        for line in 0..16 {
            let _ = writeln!(text, "  key-{line:02}: some value that is neither long nor short {line:02}");
        }
    }
    text.truncate(text.rfind("---").unwrap_or_default().min(1 << 20));
    text.into_bytes()
}

fn brotli_bomb() -> Result<Vec<u8>> {
    let mut compressed = brotli::CompressorWriter::new(Vec::new(), 1 << 16, 9, 24);
    let block = vec![b' '; 1 << 20];
    for _ in 0..BOMB / block.len() {
        compressed.write_all(&block).context("compress")?;
    }
    Ok(compressed.into_inner())
}

/// Each level names the one before ten times.
fn alias_bomb() -> Vec<u8> {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{aliases}]");
    }
    text.into_bytes()
}

/// # Errors
/// It is refused, or not answered.
pub(super) async fn large(subject: &Subject) -> Result<Vec<Measured>> {
    let manifests = large_secret();
    let times = times(subject, &review("objects.yaml", &manifests), "\"allowed\":true").await?;
    let note = format!("{} bytes, n={}, p99 {:.1} ms", manifests.len(), times.len(), percentile(&times, 99));
    Ok(vec![Measured::new(percentile(&times, 50), note)])
}

/// # Errors
/// One of them is not refused.
pub(super) async fn bombs(subject: &Subject) -> Result<Vec<Measured>> {
    let mut figures = Vec::new();
    for (key, value) in
        [("a.yaml.br", brotli_bomb()?), ("a.yaml", alias_bomb()), ("a.yaml", "[".repeat(200_000).into_bytes())]
    {
        let times = times(subject, &review(key, &value), "\"allowed\":false").await?;
        let note =
            format!("{} bytes, the slowest of {}, p50 {:.2} ms", value.len(), times.len(), percentile(&times, 50));
        figures.push(Measured::new(percentile(&times, 100), note));
    }
    Ok(figures)
}

/// Milliseconds of each, over one connection.
async fn times(subject: &Subject, review: &Arc<[u8]>, expected: &str) -> Result<Vec<f64>> {
    let mut connection = Connection::open(subject.address, &subject.trust).await?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let (took, answer) = connection.ask("/secrets", Bytes::from_owner(Arc::clone(review))).await?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.contains(expected), "expected {expected}: {answer}");
        times.push(millis(took));
    }
    Ok(times)
}

/// Memory while eight clients send the largest and the worst.
///
/// # Errors
/// One of them is not answered.
pub(super) async fn memory(subject: &Subject, reviews: usize) -> Result<Vec<Measured>> {
    let large = large_secret();
    let quarter = vec![b'x'; 700 << 10];
    let bodies = vec![
        review("objects.yaml", &large),
        review("a.yaml.br", &brotli_bomb()?),
        review("a.yaml", &alias_bomb()),
        review("a.yaml", &[b"a: &a ".as_slice(), &quarter, b"\nb: [*a, *a, *a]\n"].concat()),
        review("objects.yaml", &"{a: [".repeat(large.len() / 5).into_bytes()),
    ];
    let (address, trust) = (subject.address, subject.trust.clone());
    let load = Load { address, trust, path: "/secrets", bodies, connections: 8, pace: Pace::Saturated };
    let (pid, before) = (subject.pid()?, stage::memory_of(subject.pid()?)?);
    stage::forget_peak(pid)?;
    let times = load.run(reviews).await?;
    let during = stage::memory_of(pid)?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = stage::memory_of(pid)?;
    let note = format!("{:.1} before, {:.1} afterwards; {}", before.resident, after.resident, times.note());
    Ok(vec![Measured::new(during.peak, note)])
}
