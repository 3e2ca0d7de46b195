//! Secrets to manifests, read as the Go original and the rest of Kubernetes read them.
//!
//! [`decode_secret`] is the one way from the bytes of a Secret to objects; the webhook and the controller both call it, so
//! what is admitted can be applied. [`holdfast_yaml`] reads the texts.
//!
//! What it promises:
//! * It never panics and never loops, whatever the bytes; work and memory are bounded by [`Limits`].
//! * Each fault is one [`DecodeError`]; it does not hide the other documents and keys.
//! * No error quotes the text: values may be secret. Only the names of keys and fields of the Kubernetes API and the keys
//!   of label and annotation entries are named.

mod brotli;
mod object;

use std::collections::BTreeMap;
use std::fmt;

use holdfast_yaml::{Budget, Document, Documents, Error, Reason};
use serde_json::{Map, Value};

pub use holdfast_yaml::{Limits, documents};

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
/// The limits count over all keys; [`Limits::total_bytes`] are bytes of text after decompression, and
/// [`Limits::documents`] bounds, separately, objects, too: items of lists included.
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
    let mut decoder = Decoder {
        limits: *limits,
        remaining_bytes: limits.total_bytes,
        budget: Budget::of(limits),
        remaining_objects: limits.documents,
        errors: Vec::new(),
        take,
    };
    for (key, value) in data {
        decoder.key(SecretKey { namespace, name, key }, value);
    }
    decoder.errors
}

/// A key of a Secret.
#[derive(Clone, Copy)]
struct SecretKey<'a> {
    namespace: &'a str,
    name: &'a str,
    key: &'a str,
}

/// One Secret's decoding: what remains of its limits, and what has been found.
struct Decoder<F> {
    limits: Limits,
    remaining_bytes: usize,
    budget: Budget,
    remaining_objects: usize,
    errors: Vec<DecodeError>,
    take: F,
}

impl<F: FnMut(Manifest)> Decoder<F> {
    fn key(&mut self, key: SecretKey<'_>, value: &[u8]) {
        let decompressed;
        let text = if key.key.ends_with(BROTLI_SUFFIX) {
            match brotli::decompress(value, self.remaining_bytes) {
                Ok(bytes) => {
                    decompressed = bytes;
                    decompressed.as_slice()
                }
                Err(brotli::Error::TooLarge) => return self.too_large(key),
                Err(brotli::Error::Corrupt(reason)) => return self.error(key, None, None, reason.to_owned()),
            }
        } else {
            value
        };
        if text.len() > self.remaining_bytes {
            return self.too_large(key);
        }
        self.remaining_bytes -= text.len();

        let mut documents = Documents::within(text, self.budget);
        for document in documents.by_ref() {
            match document {
                Ok(Document { value: Value::Null, .. }) => {}
                Ok(document) => self.document(key, document),
                Err(Error { document, line, reason }) => self.error(key, Some(document), line, reason_text(reason)),
            }
        }
        self.budget = documents.budget();
    }

    fn document(&mut self, key: SecretKey<'_>, document: Document) {
        let Document { number, line, value } = document;
        let source = Source { secret: key.name.to_owned(), key: key.key.to_owned(), document: number, line };
        for object in object::manifests(value, &mut self.remaining_objects, self.limits.documents) {
            match object {
                Ok(object) => (self.take)(Manifest { object, source: source.clone() }),
                Err(reason) => self.error(key, Some(number), Some(line), reason),
            }
        }
    }

    fn too_large(&mut self, key: SecretKey<'_>) {
        // What does not fit ends the Secret: else many small bombs would each be inflated up to the limit.
        self.remaining_bytes = 0;
        let reason = format!("the Secret's text exceeds {} bytes (after decompression)", self.limits.total_bytes);
        self.error(key, None, None, reason);
    }

    fn error(&mut self, key: SecretKey<'_>, document: Option<usize>, line: Option<usize>, reason: String) {
        let secret = format!("{}/{}", key.namespace, key.name);
        self.errors.push(DecodeError { secret, key: key.key.to_owned(), document, line, reason });
    }
}

/// What is wrong with a document; what its Secret has used up is said of the Secret.
fn reason_text(reason: Reason) -> String {
    match reason {
        Reason::TooManyDocuments(limit) => format!("more than {limit} documents in this Secret"),
        Reason::TooMuchMemory => "the objects of the Secret take too much memory".to_owned(),
        other => other.to_string(),
    }
}
