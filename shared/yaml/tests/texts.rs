//! Texts in, documents and errors out: what the recorded vectors do not have.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests")]

use holdfast_yaml::{Limits, documents};
use serde_json::{Value, json};

#[test]
fn lines_are_those_of_the_text() {
    let cases: &[(&str, usize)] = &[
        ("a: 1\n---\n# c\nb: 1\nc: 'x\n", 5),
        ("a: 1\r\n---\r\nb:\r\n  c: 1\r\n d: 2\r\n", 5),
        ("a: 1\n---\nb: \u{1}\n", 3),
        ("{\"a\": 1}\n{\"b\": 2}\n\n{\"c\":\n}", 5),
        ("a: 1\n---\nx: 1\nb: .inf\n", 4),
        ("a: 1\n---\nx: 1\nb: {~: 1}\n", 4),
        ("a: 1\n---\nx: 1\nb: !!int x\n", 4),
    ];
    for (text, expected) in cases {
        let errors: Vec<_> =
            documents(text.as_bytes(), &Limits::default()).filter_map(Result::err).map(|error| error.line).collect();
        assert_eq!(errors, [Some(*expected)], "for {text:?}");
    }
}

#[test]
fn json_streams() {
    let cases: &[(&str, &[Option<Value>])] = &[
        (r#"{"a":1}{"b":2} {"c":3}"#, &[Some(json!({"a":1})), Some(json!({"b":2})), Some(json!({"c":3}))]),
        ("{\"a\":1}\n---\nb: yes\n", &[Some(json!({"a":1})), Some(json!({"b":true}))]),
        // Behind a second value Go's decoder spins; here the key ends.
        ("{\"a\":1}{\"b\":2}\n---\nc: 3\n", &[Some(json!({"a":1})), Some(json!({"b":2})), None]),
        ("{\"a\":1}}", &[Some(json!({"a":1})), None]),
        ("{", &[None]),
        ("{a: 1}\n---\nb: 2\n", &[Some(json!({"a":1})), Some(json!({"b":2}))]),
        ("  \n{\"a\": 1e2, \"a\": 1e3}", &[Some(json!({"a":1000}))]),
        (r#"{"a":"\ud800x\ud83d\ude00"}"#, &[Some(json!({"a":"\u{fffd}x😀"}))]),
        (
            r#"{"a":[9223372036854775807,9223372036854775808,-0,1.0]}"#,
            &[Some(json!({"a":[i64::MAX, 9_223_372_036_854_775_808.0, 0, 1]}))],
        ),
        (
            r#"{"a":1}{"b":1}{"n":1e999}{"c":1}"#,
            &[Some(json!({"a":1})), Some(json!({"b":1})), None, Some(json!({"c":1}))],
        ),
    ];
    for (text, expected) in cases {
        let documents: Vec<_> =
            documents(text.as_bytes(), &Limits::default()).map(|document| document.ok().map(|d| d.value)).collect();
        assert_eq!(documents, *expected, "for {text:?}");
    }
    let replacing_invalid: Vec<_> =
        documents(b"{\"a\":\"\xff\xed\xa0\x80\"}", &Limits::default()).map(|d| d.unwrap().value).collect();
    assert_eq!(replacing_invalid, [json!({"a": "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"})]);
}

#[test]
fn what_yaml_11_reads_differently() {
    let cases: &[(&str, Value)] = &[
        ("[cat, -, -x]", json!(["cat", "-", "-x"])),
        ("{a: -, b:}", json!({"a": "-", "b:": null})),
        ("[a:, b:]", json!(["a:", "b:"])),
        ("\"it\\'s \\\\'\"", json!("it's \\'")),
        ("'a\\'", json!("a\\")),
        ("\"x\"# comment", json!("x")),
        ("{\n\t\"a\": \"b\",\n\t\"c\": [\n\t\t\"d\"\n\t]\n}", json!({"a": "b", "c": ["d"]})),
        ("a\u{feff}b", json!("a\u{feff}b")),
        ("\"a\u{2028}b\"", json!("a\u{2028}b")),
        ("\"a\u{85}b\"", json!("a b")),
        (
            "{1e6: a, 1234567.0: b, 0.5: c, 1e300: d, 123456789.0: e}",
            json!(
                {"1e+06": "a", "1.234567e+06": "b", "0.5": "c", ".inf": "d", "1.2345679e+08": "e"}
            ),
        ),
        (
            "[4611686018427387904.0, .5_0, ._5, 0b-11, +0x1F]",
            json!([4_611_686_018_427_388_000_i64, 0.5, "._5", -3, 31]),
        ),
        ("{a: .inf, a: 1}", json!({"a": 1})),
    ];
    for (text, expected) in cases {
        let text = format!("t: {text}\n");
        let documents: Vec<_> = documents(text.as_bytes(), &Limits::default()).collect();
        let value = documents.first().unwrap().as_ref().unwrap_or_else(|error| panic!("{error:?} for {text:?}"));
        assert_eq!(value.value["t"], *expected, "for {text:?}");
    }
}
