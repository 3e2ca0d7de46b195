//! What must hold whatever bytes come: no panic, bounded time, and values that can be written and read again.
//!
//! The same function is used by cargo-fuzz (`cd shared/yaml && cargo +nightly fuzz run documents`) and, with a stable toolchain,
//! by `tests/hostile.rs`.

#![allow(missing_docs, reason = "no library: the function is named like the target")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is what is looked for")]
#![allow(clippy::disallowed_methods, reason = "what is measured is time")]

use std::time::{Duration, Instant};

use holdfast_yaml::Limits;
use serde_json::json;

/// For builds without optimisation, on a busy machine.
const LIMIT: Duration = Duration::from_secs(15);

/// Whatever is read of a text can be written as JSON, and is the same when it is read again.
pub fn documents(text: &[u8]) {
    let begin = Instant::now();
    let limits = Limits::default();
    // One level for the map around it: a text that begins with a brace is read as JSON.
    let deeper = Limits { depth: limits.depth + 1, ..limits };
    for document in holdfast_yaml::documents(text, &limits).flatten() {
        let written = json!({ "value": document.value });
        let text = written.to_string();
        let read = holdfast_yaml::documents(text.as_bytes(), &deeper).map(|again| again.map(|document| document.value));
        assert_eq!(read.collect::<Vec<_>>(), [Ok(written)], "{text}");
    }
    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
}
