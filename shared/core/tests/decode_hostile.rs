//! Input designed to be expensive, and random input. The decoder refuses both in bounded time and without a panic, on
//! the 2 MiB stack of a worker thread.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "what is measured is time")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use holdfast_core::decode::{DecodeError, Decoded, Limits, decode_secret};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

/// Enough for unoptimized builds on a busy machine.
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

/// Checks that the text yields exactly this error.
fn refused(name: &str, text: String, expected: &str) {
    let decoded = decode("k", text.into_bytes());
    assert_eq!((reasons(&decoded).as_slice(), decoded.manifests.len()), ([expected].as_slice(), 0), "for {name}");
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
    // The first key uses up the allowance.
    let decoded = decode_all((0..500).map(|key| (format!("{key:03}.br"), bomb.clone())).collect());
    assert_eq!(reasons(&decoded), vec![too_large; 500]);
}

#[test]
fn memory() {
    // The limit is 32 times the text, here 2 MiB: enough for about 2,500 maps with one entry each.
    let limits = Limits { total_bytes: 1 << 16, ..Limits::default() };
    let reason = "the objects of the Secret take too much memory";
    let yaml = format!("apiVersion: v1\nkind: A\nmetadata: {{name: a}}\nx: [{}]\n---\n", "{a},".repeat(400));
    let json = format!("{{\"x\":[{}1]}}", "{\"a\":1},".repeat(400));
    for text in [yaml, json] {
        let data = BTreeMap::from([("k".to_owned(), text.repeat(12).into_bytes())]);
        let decoded = decode_secret("ns", "sec", &data, &limits);
        let read = decoded.manifests.len() + decoded.errors.len() - 2;
        assert!((4..8).contains(&read), "{read} of 12");
        // One error for the document that exceeds the limit, and one for the next document, which ends reading.
        assert!(reasons(&decoded).ends_with(&[reason, reason]));
    }
}

/// Pieces that have a meaning to the readers.
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
        let small = Limits { total_bytes: 64, document_bytes: 24, documents: 3, depth: 3 };
        decode_secret("ns", "sec", &data, &small);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300), key in prop_oneof![Just("k"), Just("k.br")]) {
        decode_secret("ns", "sec", &BTreeMap::from([(key.to_owned(), bytes)]), &Limits::default());
    }
}
