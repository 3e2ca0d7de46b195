//! From Secrets to manifests and errors: one table for each theme.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write as _;

use holdfast_core::decode::{Decoded, Limits, decode_secret};

fn secret(keys: &[(&str, &[u8])]) -> Decoded {
    with_limits(keys, &Limits::default())
}

fn with_limits(keys: &[(&str, &[u8])], limits: &Limits) -> Decoded {
    let data: BTreeMap<String, Vec<u8>> = keys.iter().map(|(key, text)| ((*key).to_owned(), text.to_vec())).collect();
    decode_secret("ns", "sec", &data, limits)
}

/// Returns `key:document:line name` for each manifest and `! text` for each error, in order.
fn summary(decoded: &Decoded) -> Vec<String> {
    let manifests = decoded.manifests.iter().map(|manifest| {
        let source = &manifest.source;
        assert_eq!(source.secret, "sec");
        let name = manifest.object["metadata"]["name"].as_str().unwrap();
        format!("{}:{}:{} {name}", source.key, source.document, source.line)
    });
    manifests.chain(decoded.errors.iter().map(|error| format!("! {error}"))).collect()
}

fn check(keys: &[(&str, &[u8])], expected: &[&str]) {
    assert_eq!(summary(&secret(keys)), expected, "for {keys:?}");
}

fn object(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n")
}

fn brotli(text: &[u8]) -> Vec<u8> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 9, 22);
    writer.write_all(text).unwrap();
    writer.into_inner()
}

#[test]
fn keys_come_in_byte_order_and_every_key_is_decoded() {
    let (a, b, c) = (object("a"), object("b"), object("c"));
    let packed = brotli(c.as_bytes());
    check(
        &[("b", a.as_bytes()), ("B.txt", b.as_bytes()), ("a.br", &packed)],
        &["B.txt:1:1 b", "a.br:1:1 c", "b:1:1 a"],
    );
    check(&[], &[]);
}

#[test]
fn empty_documents_are_skipped_and_counted() {
    let text = format!("# head\n---\n\n# only a comment\n---\nnull\n---\n{}---\n~\n", object("a"));
    check(&[("k", text.as_bytes())], &["k:4:8 a"]);
    check(
        &[("k", b""), ("l", b"\n \n"), ("m", b"---\n---\n---\n"), ("n", b"{}")],
        &[r#"! Secret ns/sec, key "n", document 1, line 1: apiVersion is missing"#],
    );
}

#[test]
fn one_bad_document_does_not_hide_the_others() {
    let (a, b, c) = (object("a"), object("b"), object("c"));
    let text = format!("{a}---\n: : :\n  - [\n---\n{b}--- x\n{c}");
    check(
        &[("k", text.as_bytes())],
        &[
            "k:1:1 a",
            "k:4:12 c",
            r#"! Secret ns/sec, key "k", document 2, line 6: invalid YAML: did not find expected key"#,
            r#"! Secret ns/sec, key "k", document 3, line 11: text behind a document separator (---), which drops the document before it"#,
        ],
    );
    // A bad key does not hide other keys either.
    check(
        &[("a", b"\xff"), ("b", a.as_bytes())],
        &["b:1:1 a", r#"! Secret ns/sec, key "a", document 1, line 1: the text is not UTF-8"#],
    );
}

#[test]
fn what_an_object_must_have() {
    let head = "apiVersion: v1\nkind: ConfigMap\n";
    let cases: &[(&str, &str)] = &[
        ("- a", "document is a list, expected an object"),
        ("hello", "document is a string, expected an object"),
        ("12", "document is a number, expected an object"),
        ("kind: A\nmetadata: {name: a}", "apiVersion is missing"),
        ("apiVersion: ''\nkind: A\nmetadata: {name: a}", "apiVersion is empty"),
        ("apiVersion: 1\nkind: A\nmetadata: {name: a}", "apiVersion is a number, expected a string"),
        ("apiVersion: v1\nmetadata: {name: a}", "kind is missing"),
        ("HEAD", "metadata is missing"),
        ("HEADmetadata: x", "metadata is a string, expected a map"),
        ("HEADmetadata: {}", "metadata.name is missing"),
        ("HEADmetadata: {name: 12}", "metadata.name is a number, expected a string"),
        ("HEADmetadata: {name: ''}", "metadata.name is empty"),
        ("HEADmetadata: {generateName: a-}", "metadata.generateName is not supported, set metadata.name"),
        ("HEADmetadata: {name: a, namespace: 1}", "metadata.namespace is a number, expected a string"),
        ("HEADmetadata: {name: a, labels: [x]}", "metadata.labels is a list, expected a map"),
        (
            "HEADmetadata: {name: a, labels: {x: 'y', on: yes}}",
            r#"metadata.labels: the value of "true" is a boolean, expected a string (quote it)"#,
        ),
        (
            "HEADmetadata: {name: a, annotations: {'e.org/n': ~}}",
            "metadata.annotations: an entry is null, expected a string (quote it)",
        ),
        ("apiVersion: v1\nkind: List", "items is missing"),
        ("apiVersion: v1\nkind: List\nitems: {}", "items is a map, expected a list"),
    ];
    for (text, expected) in cases {
        let text = text.replace("HEAD", head);
        let decoded = secret(&[("k", text.as_bytes())]);
        let reasons: Vec<_> = decoded.errors.iter().map(|error| error.reason.as_str()).collect();
        assert_eq!((reasons.as_slice(), decoded.manifests.len()), ([*expected].as_slice(), 0), "for {text:?}");
    }
    let fine = format!("{head}metadata: {{name: a, namespace: ~, labels: ~, annotations: {{}}, generateName: b-}}");
    assert_eq!(summary(&secret(&[("k", fine.as_bytes())])), ["k:1:1 a"]);
}

#[test]
fn names_that_no_object_can_have_are_faults() {
    let role =
        |name: &str| format!("{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: {name}}}}}");
    let map = |metadata: &str| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{{metadata}}}}}");
    for (text, expected) in [
        (map("name: 'victim#1'"), "metadata.name is no name that a ConfigMap can have: it must be a DNS subdomain of"),
        (map("name: 'victim?a=b'"), "metadata.name is no name that a ConfigMap can have"),
        (map("name: '?a=b'"), "metadata.name is no name that a ConfigMap can have"),
        (map("name: \"a\\n\""), "metadata.name is no name that a ConfigMap can have"),
        (map("name: 'a/b'"), "metadata.name is no name that an object can have: it contains '/' or '%'"),
        (map("name: a, namespace: 'n?x'"), "metadata.namespace is no name that a Namespace can have: it must be a DNS"),
        (map("name: a, namespace: '..'"), "metadata.namespace is no name that a Namespace can have"),
        (map("name: a, namespace: 'a/b'"), "metadata.namespace is no name that a Namespace can have"),
        (role("'..'"), "metadata.name is no name that an object can have: it is '.' or '..'"),
        (role("'a%2Fb'"), "metadata.name is no name that an object can have: it contains '/' or '%'"),
    ] {
        let decoded = secret(&[("k", format!("a: 1\n---\n{text}").as_bytes())]);
        let [_, error] = &decoded.errors[..] else { panic!("{text}: {:?}", decoded.errors) };
        assert!(error.reason.starts_with(expected), "{text}: {error}");
        assert_eq!((error.key.as_str(), error.document, error.line), ("k", Some(2), Some(3)), "{text}");
        assert!(!error.reason.contains("victim"), "it is not quoted: {error}");
    }
    for name in ["'team:a b'", "'a?b'", "'#'", "'ü'", "'it''s'", "'a+b&c@d'", "\"a\\nb\""] {
        assert_eq!(secret(&[("k", role(name).as_bytes())]).errors, [], "{name}");
    }
    let fine = map("name: a, namespace: ''");
    assert_eq!(summary(&secret(&[("k", fine.as_bytes())])), ["k:1:1 a"]);
}

#[test]
fn lists_are_expanded() {
    let item = |name: &str| format!("{{apiVersion: v1, kind: A, metadata: {{name: {name}}}}}");
    let inner = format!("{{apiVersion: v1, kind: List, items: [{}, 5]}}", item("c"));
    let text = format!("x: 1\n---\napiVersion: v1\nkind: List\nitems: [{}, {{}}, {}, {inner}]\n", item("a"), item("b"));
    check(
        &[("k", text.as_bytes())],
        &[
            "k:2:3 a",
            "k:2:3 b",
            "k:2:3 c",
            r#"! Secret ns/sec, key "k", document 1, line 1: apiVersion is missing"#,
            r#"! Secret ns/sec, key "k", document 2, line 3: items[1]: apiVersion is missing"#,
            r#"! Secret ns/sec, key "k", document 2, line 3: items[3].items[1] is a number, expected an object"#,
        ],
    );
    let typed = format!("apiVersion: v1\nkind: ConfigMapList\nmetadata: {{}}\nitems: [{}]\n", item("a"));
    check(&[("k", typed.as_bytes())], &["k:1:1 a"]);
    let named = "apiVersion: e.org/v1\nkind: AllowList\nmetadata: {name: a}\nitems: [1]\n";
    check(&[("k", named.as_bytes())], &["k:1:1 a"]);
    check(&[("k", b"apiVersion: v1\nkind: List\nitems: []\n")], &[]);
}

#[test]
fn brotli_is_complete_or_one_error() {
    let good = brotli(object("a").as_bytes());
    check(&[("k.br", &good)], &["k.br:1:1 a"]);
    let cut = &good[..good.len() - 3];
    let more = [good.as_slice(), b"x"].concat();
    let cases: &[(&[u8], &str)] = &[
        (b"", "the value is empty, expected a Brotli stream"),
        (cut, "the Brotli stream is cut off"),
        (&more, "there are bytes after the Brotli stream"),
        (b"apiVersion: v1", "not a Brotli stream, or corrupt"),
        (&[0x11, 0x1e, 0, 0, 0, 0], "not a Brotli stream, or corrupt"),
    ];
    for (bytes, reason) in cases {
        check(&[("k.br", bytes)], &[&format!("! Secret ns/sec, key \"k.br\": {reason}")]);
    }
}

/// The decoder measures streams above 1 MiB before it keeps them. The result must not depend on that.
#[test]
fn brotli_streams_of_any_length_are_read_to_the_end() {
    let (first, last) = (object("a"), object("b"));
    let frame = format!("{first}---\n# \n---\n{last}").len();
    for length in [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, (1 << 20) + (64 << 10), 3 << 20] {
        let text = format!("{first}---\n# {}\n---\n{last}", "x".repeat(length - frame));
        let found = summary(&secret(&[("k.br", &brotli(text.as_bytes()))]));
        assert_eq!(found, ["k.br:1:1 a", "k.br:3:7 b"], "{length} bytes");

        let tight = |bytes| Limits { total_bytes: bytes, ..Limits::default() };
        let read = |bytes| summary(&with_limits(&[("k.br", &brotli(text.as_bytes()))], &tight(bytes)));
        assert_eq!(read(length), found, "{length} bytes are allowed");
        assert!(read(length - 1)[0].starts_with("! Secret ns/sec, key \"k.br\""), "one byte less is allowed");
    }
}

#[test]
fn limits_are_errors_of_what_exceeds_them() {
    let limits = Limits { total_bytes: 300, document_bytes: 100, documents: 4, depth: 4 };
    let (a, b) = (object("a"), object("b"));
    let large = format!("x: {}\n", "y".repeat(100));
    let run = |keys: &[(&str, &[u8])]| summary(&with_limits(keys, &limits));

    let text = format!("{a}---\n{large}---\n{b}");
    let error = |rest: &str| format!("! Secret ns/sec, key {rest}");
    assert_eq!(
        run(&[("k", text.as_bytes())]),
        [
            "k:1:1 a".to_owned(),
            "k:3:7 b".to_owned(),
            error(r#""k", document 2, line 5: the document exceeds 100 bytes"#),
        ]
    );
    let json = format!("{{\"a\":1}}{{\"x\":\"{}\"}}{{\"b\":1}}{{\"c\":[[[[1]]]]}}", "y".repeat(100));
    let reasons: Vec<_> =
        with_limits(&[("k", json.as_bytes())], &limits).errors.into_iter().map(|e| e.reason).collect();
    assert_eq!(
        reasons,
        [
            "apiVersion is missing",
            "the document exceeds 100 bytes",
            "apiVersion is missing",
            "maps and lists are nested too deeply",
        ]
    );

    // Two keys together are too long. The decoder does not try the keys after them.
    let long = "# 3456789\n".repeat(20);
    assert_eq!(
        run(&[("a", long.as_bytes()), ("b.br", &brotli(long.as_bytes())), ("c", a.as_bytes())]),
        [
            error(r#""a", document 1, line 1: the document exceeds 100 bytes"#),
            error(r#""b.br": the Secret's text exceeds 300 bytes (after decompression)"#),
            error(r#""c": the Secret's text exceeds 300 bytes (after decompression)"#),
        ]
    );

    let many = "a\n---\n".repeat(3);
    let decoded = with_limits(&[("k", many.as_bytes()), ("l", many.as_bytes())], &limits);
    let last = decoded.errors.last().unwrap().to_string();
    assert_eq!(decoded.errors.len(), 5);
    assert_eq!(last, r#"Secret ns/sec, key "l", document 2, line 3: more than 4 documents in this Secret"#);

    assert_eq!(
        run(&[("k", b"apiVersion: v1\nkind: List\nitems: [1, 2, 3, 4, 5]\n")]),
        [error(r#""k", document 1, line 1: more than 4 objects in this Secret"#,)]
    );
    assert_eq!(
        run(&[("k", b"a: [[[[1]]]]\n")]),
        [error(r#""k", document 1, line 1: maps and lists are nested too deeply"#,)]
    );
}
