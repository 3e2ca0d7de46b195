//! Secrets to manifests, read as the Go original and the rest of Kubernetes read them.
//!
//! [`decode_secret`] is the one way from the bytes of a Secret to objects; the webhook and the controller both call it, so
//! what is admitted can be applied. YAML is YAML 1.1 as `go.yaml.in/yaml/v2` implements it behind
//! `k8s.io/apimachinery/pkg/util/yaml` (`0644` is 420, `yes` is true, `<<` merges where it stands, the last duplicate wins),
//! checked against answers of the real decoder in `tests/yaml_vectors.rs`.
//!
//! What it promises:
//! * It never panics and never loops, whatever the bytes; work and memory are bounded by [`Limits`].
//! * Each fault is one [`DecodeError`]; it does not hide the other documents and keys.
//! * No error quotes the text: values may be secret. Only the names of keys and fields of the Kubernetes API and the keys
//!   of label and annotation entries are named.
//!
//! Where it differs from Go, compared with the real decoder on some 100,000 generated texts and 25,000 files:
//! * It reads some texts that Go refuses: tabs as separation (`-<tab>a`), the escapes `\/` and `\uD83D\uDE00` in double
//!   quotes, a key over two lines in a flow map, directives that nobody knows. The vectors' test names those it meets.
//! * It refuses some texts that no YAML specification allows and Go takes: an alias that a colon follows at once
//!   (`*a: 1`), `?` within unquoted text between brackets, brackets in tags, a `|` in the column of its key, and text
//!   behind a complete document, which Go drops.
//! * U+2028 and U+2029, line breaks to Go, are taken within quotes only.
//! * A decoding error does not lead to an endless loop.

mod brotli;
mod object;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use holdfast_yaml::Budget;
pub use holdfast_yaml::{Document, DocumentError, Limits, Stream, decode_stream};

/// Suffix of the keys whose value is a Brotli stream.
pub const BROTLI_SUFFIX: &str = ".br";

/// Where a manifest came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Name of the Secret; its namespace is the one asked for.
    pub secret: String,
    /// Key in the Secret's `data`.
    pub key: String,
    /// Number of the document in the key, counted from 1; empty documents count, items of a list share their list's.
    pub document: usize,
    /// Line of the key's (decompressed) text where the document's content starts, counted from 1.
    pub line: usize,
}

/// One object to be applied: a map with `apiVersion`, `kind` and `metadata.name`, labels and annotations of strings.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The object. Numbers are `i64` where that fits, `f64` otherwise.
    pub object: Map<String, Value>,
    /// Where it came from.
    pub source: Source,
}

/// One thing in a Secret that could not be read. Shown as one line without the text it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DecodeError {
    /// `namespace/name` of the Secret.
    pub secret: String,
    /// Key in the Secret's `data`.
    pub key: String,
    /// Number of the document, from 1; none if the whole key is meant.
    pub document: Option<usize>,
    /// Line of the key's (decompressed) text, from 1, where known.
    pub line: Option<usize>,
    /// What is wrong, without a full stop and without quoting values.
    pub reason: String,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {}, key {:?}", self.secret, self.key)?;
        if let Some(document) = self.document {
            write!(f, ", document {document}")?;
        }
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What a Secret holds: its objects in order and everything that could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The objects, by key in ascending byte order, then by document and item.
    pub manifests: Vec<Manifest>,
    /// The faults, in the same order. Not empty means that the set of objects is incomplete.
    pub errors: Vec<DecodeError>,
}

/// Decodes every key of a Secret, in ascending byte order; keys that end in `.br` are Brotli streams.
///
/// Blank, comment-only and null documents are skipped but counted. Faults are values ([`Decoded::errors`]); a broken
/// document, a broken Brotli stream or an exceeded limit is one error each, and decoding goes on behind it where that is
/// possible. Once a limit of the whole Secret is reached, each further key is one error.
///
/// This is CPU-bound for up to about a second at the default limits: call it off the async threads.
pub fn decode_secret(namespace: &str, name: &str, data: &BTreeMap<String, Vec<u8>>, limits: &Limits) -> Decoded {
    let mut manifests = Vec::new();
    let errors = decode_secret_into(namespace, name, data, limits, |manifest| manifests.push(manifest));
    Decoded { manifests, errors }
}

/// Like [`decode_secret`], but hands over each object as soon as it is read, so that there is never more than a document of
/// them as trees, which take several times the memory of their text. Returns the faults.
pub fn decode_secret_into(
    namespace: &str,
    name: &str,
    data: &BTreeMap<String, Vec<u8>>,
    limits: &Limits,
    take: impl FnMut(Manifest),
) -> Vec<DecodeError> {
    let mut run = Run {
        limits: *limits,
        bytes_left: limits.decompressed_bytes,
        budget: Budget::of(limits),
        objects_left: limits.documents,
        errors: Vec::new(),
        take,
    };
    for (key, value) in data {
        run.key(Place { namespace, name, key }, value);
    }
    run.errors
}

#[derive(Clone, Copy)]
struct Place<'a> {
    namespace: &'a str,
    name: &'a str,
    key: &'a str,
}

/// One Secret's decoding: what is left of its limits, and what has been found.
struct Run<F> {
    limits: Limits,
    bytes_left: usize,
    budget: Budget,
    objects_left: usize,
    errors: Vec<DecodeError>,
    take: F,
}

impl<F: FnMut(Manifest)> Run<F> {
    fn key(&mut self, place: Place<'_>, value: &[u8]) {
        let unpacked;
        let text = if place.key.ends_with(BROTLI_SUFFIX) {
            match brotli::decompress(value, self.bytes_left) {
                Ok(bytes) => {
                    unpacked = bytes;
                    unpacked.as_slice()
                }
                Err(brotli::Error::TooLarge) => return self.too_large(place),
                Err(brotli::Error::Corrupt(reason)) => return self.error(place, None, None, reason.to_owned()),
            }
        } else {
            value
        };
        if text.len() > self.bytes_left {
            return self.too_large(place);
        }
        self.bytes_left -= text.len();

        let mut stream = Stream::new(text, &self.limits, self.budget);
        for document in stream.by_ref() {
            match document {
                Ok(Document { value: Value::Null, .. }) => {}
                Ok(document) => self.document(place, document),
                Err(DocumentError { document, line, reason }) => self.error(place, document, line, reason),
            }
        }
        self.budget = stream.budget();
    }

    fn document(&mut self, place: Place<'_>, document: Document) {
        let Document { number, line, value } = document;
        let source = Source { secret: place.name.to_owned(), key: place.key.to_owned(), document: number, line };
        for object in object::manifests(value, &mut self.objects_left, self.limits.documents) {
            match object {
                Ok(object) => (self.take)(Manifest { object, source: source.clone() }),
                Err(reason) => self.error(place, Some(number), Some(line), reason),
            }
        }
    }

    fn too_large(&mut self, place: Place<'_>) {
        // What does not fit ends the Secret: else many small bombs would each be inflated up to the limit.
        self.bytes_left = 0;
        let reason =
            format!("the Secret's text exceeds {} bytes (after decompression)", self.limits.decompressed_bytes);
        self.error(place, None, None, reason);
    }

    fn error(&mut self, place: Place<'_>, document: Option<usize>, line: Option<usize>, reason: String) {
        let secret = format!("{}/{}", place.namespace, place.name);
        self.errors.push(DecodeError { secret, key: place.key.to_owned(), document, line, reason });
    }
}
