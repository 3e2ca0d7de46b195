//! Input that is made to cost much, and input that is made of nothing: refused in bounded time, on the 2 MiB stack that a
//! worker thread has, without a panic.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "what is measured is time")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use holdfast_core::decode::{DecodeError, Decoded, Limits, decode_secret};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

/// For builds without optimisation, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn decode(key: &'static str, value: Vec<u8>) -> Decoded {
    decode_all(BTreeMap::from([(key.to_owned(), value)]))
}

fn decode_all(data: BTreeMap<String, Vec<u8>>) -> Decoded {
    let start = Instant::now();
    let worker = std::thread::Builder::new().stack_size(2 << 20);
    let run = worker.spawn(move || decode_secret("ns", "sec", &data, &Limits::default())).unwrap();
    let decoded = run.join().unwrap();
    let elapsed = start.elapsed();
    assert!(elapsed < PATIENCE, "took {elapsed:?}");
    decoded
}

fn reasons(decoded: &Decoded) -> Vec<&str> {
    decoded.errors.iter().map(|DecodeError { reason, .. }| reason.as_str()).collect()
}

/// The one error that the text comes to.
fn refused(name: &str, text: String, expected: &str) {
    let decoded = decode("k", text.into_bytes());
    assert_eq!((reasons(&decoded).as_slice(), decoded.manifests.len()), ([expected].as_slice(), 0), "for {name}");
}

#[test]
fn aliases() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        writeln!(laughs, "a{level}: &a{level} [{}]", vec![alias; 10].join(", ")).unwrap();
    }
    let too_much = "the document consists too much of aliases";
    refused("billion laughs", laughs.clone(), too_much);
    refused("billion laughs in maps", laughs.replace("[x,", "[{y: z},"), too_much);

    let quadratic = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(15_000), "*a, ".repeat(15_000));
    refused("quadratic", quadratic, too_much);

    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
    refused("a long text many times", long, "aliases expand to too much");

    let mut merges = "a0: &a0 {x0: 1}\n".to_owned();
    for level in 1..40 {
        let last = level - 1;
        writeln!(merges, "a{level}: &a{level} {{<<: [*a{last}, *a{last}], x{level}: 1}}").unwrap();
    }
    refused("merges of merges", merges, too_much);
    refused("an anchor within itself", "a: &a [*a]\n".to_owned(), "an anchor's value contains itself");

    // Each document alone is within bounds; all of them together are not.
    let document = format!("a: &a {}\nb: [{}]\n---\n", "x".repeat(20_000), "*a, ".repeat(150));
    let decoded = decode("k", document.repeat(100).into_bytes());
    let reasons = reasons(&decoded);
    let refused = reasons.iter().filter(|reason| **reason == "aliases expand to too much").count();
    assert!((90..100).contains(&refused), "{refused} of {}", reasons.len());
}

#[test]
fn nesting() {
    let deep = "maps and lists are nested too deeply";
    refused("[[[", "[".repeat(200_000), deep);
    refused("{{{ ", "{a: ".repeat(50_000), "invalid JSON: expected a key in double quotes");
    refused("a: {{{", format!("a: {}", "{a: ".repeat(50_000)), deep);
    refused("- - -", "- ".repeat(20_000), deep);
    refused("JSON", "{\"a\":".repeat(50_000), deep);
    refused("JSON lists", format!("{{\"a\":{}", "[".repeat(200_000)), deep);
    let maps: String = (0..2000).fold(String::new(), |mut text, level| {
        writeln!(text, "{}a:", " ".repeat(level)).unwrap();
        text
    });
    refused("deep map", maps, deep);
    let mut chain = "a0: &a0 {x: 1}\n".to_owned();
    for level in 1..500 {
        writeln!(chain, "a{level}: &a{level} {{x: *a{}}}", level - 1).unwrap();
    }
    refused("a chain of aliases", chain, deep);
    refused(
        "closing brackets",
        format!("a: {}", "]".repeat(200_000)),
        "invalid YAML: a closing bracket without its opening one",
    );
}

#[test]
fn as_deep_as_allowed() {
    let depth = Limits::default().depth - 1;
    let lists = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    for text in [format!("a: {lists}\n"), format!("{{\"a\":{lists}}}")] {
        assert_eq!(reasons(&decode("k", text.into_bytes())), ["apiVersion is missing"]);
    }
}

#[test]
fn many() {
    let error = "more than 10000 documents in this Secret";
    let decoded = decode("k", "---\n".repeat(100_000).into_bytes());
    assert_eq!(reasons(&decoded), [error]);
    let decoded = decode("k", "{}".repeat(100_000).into_bytes());
    assert_eq!((decoded.errors.len(), decoded.errors.last().unwrap().reason.as_str()), (10_001, error));
    let decoded = decode("k", "x\n--- y\n".repeat(100_000).into_bytes());
    assert_eq!((decoded.errors.len(), decoded.errors.last().unwrap().reason.as_str()), (10_001, error));
    refused(
        "items",
        format!("apiVersion: v1\nkind: List\nitems: [{}]\n", "{},".repeat(100_000)),
        "more than 10000 objects in this Secret",
    );
}

#[test]
fn bombs() {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 1 << 16, 5, 22);
    let zeros = vec![b' '; 1 << 20];
    (0..64).for_each(|_| writer.write_all(&zeros).unwrap());
    let bomb = writer.into_inner();
    assert!(bomb.len() < 1000, "{} bytes", bomb.len());
    let too_large = "the Secret's text exceeds 16777216 bytes (after decompression)";
    assert_eq!(reasons(&decode("k.br", bomb.clone())), [too_large]);
    // The first one uses the allowance up.
    let decoded = decode_all((0..500).map(|key| (format!("{key:03}.br"), bomb.clone())).collect());
    assert_eq!(reasons(&decoded), vec![too_large; 500]);
}

#[test]
fn memory() {
    // 32 times as much memory as text, here 2 MiB: enough for about 2,500 maps with an entry each.
    let limits = Limits { decompressed_bytes: 1 << 16, ..Limits::default() };
    let reason = "the objects of the Secret take too much memory";
    let yaml = format!("apiVersion: v1\nkind: A\nmetadata: {{name: a}}\nx: [{}]\n---\n", "{a},".repeat(400));
    let json = format!("{{\"x\":[{}1]}}", "{\"a\":1},".repeat(400));
    for text in [yaml, json] {
        let data = BTreeMap::from([("k".to_owned(), text.repeat(12).into_bytes())]);
        let decoded = decode_secret("ns", "sec", &data, &limits);
        let read = decoded.manifests.len() + decoded.errors.len() - 2;
        assert!((4..8).contains(&read), "{read} of 12");
        // The document in which it runs out, and the next one, at which reading ends.
        assert!(reasons(&decoded).ends_with(&[reason, reason]));
    }
}

#[test]
fn what_is_parsed_again_is_bounded() {
    // As many bytes are parsed again as a Secret may have.
    let limits = Limits { decompressed_bytes: 1 << 20, ..Limits::default() };
    let comments = |count| "a: \"b\"# c\n".repeat(count);
    let tabs = |count| format!("a: [\n{}]\n", "\t\"b\",\n".repeat(count));
    for (text, expected) in [
        (comments(100), "apiVersion is missing"),
        (comments(1000), "invalid YAML: a comment without a space before it"),
        (tabs(100), "apiVersion is missing"),
        (tabs(1000), "invalid YAML: a tab where only spaces may stand"),
    ] {
        let data = BTreeMap::from([("k".to_owned(), text.into_bytes())]);
        assert_eq!(reasons(&decode_secret("ns", "sec", &data, &limits)), [expected]);
    }
    // Every character that could stand for another is taken.
    let private: String = ('\u{e000}'..='\u{f8ff}').collect();
    let text = format!("a: {private}\nb: [-]\n").repeat(10);
    assert_eq!(decode("k", text.into_bytes()).errors.len(), 1);
}

/// Pieces that mean something to the readers.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "---\n",
        "...\n",
        "\n",
        "  ",
        " ",
        ": ",
        ":",
        "- ",
        "-",
        "? ",
        ", ",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "!!int ",
        "!!binary ",
        "! ",
        "<<: ",
        "#",
        "\t",
        "\r\n",
        "\\",
        "\\u00e9",
        "\\'",
        "%YAML 1.1\n",
        "@",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "\u{e000}",
        "é",
        "0644",
        "1e999",
        "~",
        ".inf",
        "apiVersion: v1\n",
        "kind: List\n",
        "items: [",
        "metadata: {name: a}\n",
        "{\"a\":",
        "null",
        "a: 1\n",
        "\"b\"",
    ];
    prop_oneof![
        8 => (0..PIECES.len()).prop_map(|index| PIECES.get(index).unwrap().as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
        1 => Just(b"{\"apiVersion\":\"v1\",\"kind\":\"A\",\"metadata\":{\"name\":\"a\"}}".to_vec()),
    ]
}

proptest! {
    #[test]
    fn nothing_panics(pieces in vec(piece(), 0..40), key in prop_oneof![Just("k"), Just("k.br")]) {
        let data = BTreeMap::from([(key.to_owned(), pieces.concat())]);
        decode_secret("ns", "sec", &data, &Limits::default());
        let small = Limits { decompressed_bytes: 64, document_bytes: 24, documents: 3, depth: 3 };
        decode_secret("ns", "sec", &data, &small);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), key in prop_oneof![Just("k"), Just("k.br")]) {
        decode_secret("ns", "sec", &BTreeMap::from([(key.to_owned(), bytes)]), &Limits::default());
    }
}
