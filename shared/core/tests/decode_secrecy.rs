//! No error reveals any part of a value. Errors go to conditions, Events, logs and admission messages.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;

use holdfast_core::decode::{Limits, decode_secret};

/// Stands wherever a value can stand.
const MARKER: &str = "hunter2";

/// Each text is valid as it is.
const YAML: &[&str] = &[
    r#"apiVersion: v1 # hunter2
kind: Secret
metadata:
  name: hunter2
  labels: &hunter2 {app: hunter2, 'e.org/x': "hunter2"}
  annotations: {a: &x "hunter2"}
data: {<<: *hunter2, b: *x}
"#,
    r#"apiVersion: hunter2
kind: A
metadata:
  name: "hunter2"
  annotations:
    first: |
      hunter2
       hunter2
    second: >-
      hunter2
    third: 'hunter2'
"#,
    r#"--- # hunter2
apiVersion: v1
kind: List
metadata: {namespace: hunter2}
items:
- {apiVersion: v1, kind: hunter2, metadata: {name: hunter2}}
- apiVersion: hunter2
  kind: A
  metadata: {name: a}
  data: !hunter2
    key: !!binary aHVudGVyMg==
    list: [hunter2, "hunter2\n", {a: hunter2}]
"#,
];

const JSON: &str = r#"{"apiVersion": "hunter2", "kind": "hunter2", "metadata": {"name": "hunter2", "labels": {"a": "hunter2"}},
 "data": {"hunter2": "hunter2\u0041", "b": ["hunter2", "hunter2"]}}
{"apiVersion": "v1", "kind": "List", "items": ["hunter2", {"metadata": "hunter2"}]}
{"x": "hunter2"}
"#;

fn check(text: &[u8]) -> usize {
    let data = BTreeMap::from([("k".to_owned(), text.to_vec())]);
    let decoded = decode_secret("ns", "sec", &data, &Limits::default());
    for error in &decoded.errors {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(MARKER), "{shown}\nfor:\n{}", String::from_utf8_lossy(text));
        assert!(!shown.contains('\n'), "{shown:?}");
    }
    decoded.errors.len()
}

/// At each byte: cuts the text off, removes the byte, and inserts something before it or in its place.
fn break_everywhere(text: &str) {
    let bytes = text.as_bytes();
    let mut errors = 0;
    for at in 0..bytes.len() {
        let (before, after) = bytes.split_at(at);
        errors += check(before);
        errors += check(&[before, &after[1..]].concat());
        for piece in
            ["\"", "'", ": ", "\n", "\n---", "[", "}", "\t", "\\", "&", "*", "!", "%", "|", "\u{1}", "<<: ", "- ", ","]
        {
            errors += check(&[before, piece.as_bytes(), after].concat());
            errors += check(&[before, piece.as_bytes(), &after[1..]].concat());
        }
        errors += check(&[before, b"\xff", after].concat());
    }
    assert!(errors > bytes.len(), "only {errors} errors");
}

#[test]
fn broken_yaml_shows_no_value() {
    for text in YAML {
        break_everywhere(text);
    }
}

#[test]
fn broken_json_shows_no_value() {
    break_everywhere(JSON);
}
