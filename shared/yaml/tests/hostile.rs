//! Texts that are made to cost much, and texts that are made of nothing: refused in bounded time, on the 2 MiB stack that a
//! worker thread has, without a panic. The target of cargo-fuzz runs here as well, on pieces and on damaged texts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "what is measured is time")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use holdfast_yaml::{Limits, documents};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

#[path = "../fuzz/targets.rs"]
mod targets;

/// For builds without optimisation, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is wrong with the documents that cannot be read.
fn reasons(text: String, limits: Limits) -> Vec<String> {
    let start = Instant::now();
    let worker = std::thread::Builder::new().stack_size(2 << 20);
    let read =
        move || documents(text.as_bytes(), &limits).filter_map(Result::err).map(|e| e.reason.to_string()).collect();
    let reasons = worker.spawn(read).unwrap().join().unwrap();
    let elapsed = start.elapsed();
    assert!(elapsed < PATIENCE, "took {elapsed:?}");
    reasons
}

/// The one error that the text comes to.
fn refused(name: &str, text: String, expected: &str) {
    assert_eq!(reasons(text, Limits::default()), [expected], "for {name}");
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
    let reasons = reasons(document.repeat(100), Limits::default());
    let refused = reasons.iter().filter(|reason| *reason == "aliases expand to too much").count();
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
        assert_eq!(reasons(text, Limits::default()), [""; 0]);
    }
}

#[test]
fn what_is_parsed_again_is_bounded() {
    // As many bytes are parsed again as all texts may have.
    let limits = Limits { total_bytes: 1 << 20, ..Limits::default() };
    let comments = |count| "a: \"b\"# c\n".repeat(count);
    let tabs = |count| format!("a: [\n{}]\n", "\t\"b\",\n".repeat(count));
    for (text, expected) in [
        (comments(100), ""),
        (comments(1000), "invalid YAML: a comment without a space before it"),
        (tabs(100), ""),
        (tabs(1000), "invalid YAML: a tab where only spaces may stand"),
    ] {
        assert_eq!(reasons(text, limits).concat(), expected);
    }
    // Every character that could stand for another is taken.
    let private: String = ('\u{e000}'..='\u{f8ff}').collect();
    let text = format!("a: {private}\nb: [-]\n").repeat(10);
    assert_eq!(reasons(text, Limits::default()).len(), 1);
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
        1 => Just(b"{\"a\":{\"b\":[\"c\"]}}".to_vec()),
    ]
}

/// Texts as people write them, and one with what they rarely write.
const TEXTS: [&str; 2] = [
    include_str!("data/manifests.yaml"),
    "a: &a [x, x]\nb: &b [*a, *a]\nc: {<<: {d: e}, f: !!binary aGk=}\n--- |\n text\n--- >-\n folded\n\n more\n...\n{\"a\": 1.0e3, 'b': 0x1F, c: 0o7, d: ~}\n",
];

/// One of the texts with pieces put in, or in the place of something, here and there.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..200_usize, vec(piece(), 0..3));
    (0..TEXTS.len(), vec(edit, 1..5)).prop_map(|(text, edits)| {
        let mut bytes = TEXTS[text].as_bytes().to_vec();
        for (at, length, pieces) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + length.saturating_sub(100)).min(bytes.len());
            bytes.splice(at..end, pieces.concat());
        }
        bytes
    })
}

proptest! {
    #[test]
    fn pieces_are_read_or_not(pieces in vec(piece(), 0..40)) {
        let text = pieces.concat();
        targets::documents(&text);
        let small = Limits { total_bytes: 64, document_bytes: 24, documents: 3, depth: 3 };
        documents(&text, &small).for_each(drop);
    }

    #[test]
    fn any_bytes_are_read_or_not(bytes in vec(any::<u8>(), 0..300)) {
        targets::documents(&bytes);
    }

    #[test]
    fn damaged_texts_are_read_or_not(text in damaged()) {
        targets::documents(&text);
    }
}
