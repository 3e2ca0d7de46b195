//! Decodes Secrets into manifests, the way the Go original and the rest of Kubernetes read them.
//!
//! [`decode_secret`] is the only way from the bytes of a Secret to objects. Webhook and controller both call it, so the
//! controller can apply what the webhook admits. [`holdfast_yaml`] reads the texts.
//!
//! Guarantees:
//! * It never panics and never loops, whatever the bytes. [`Limits`] bound work and memory.
//! * Each fault is one [`DecodeError`], and hides no other document or key.
//! * No error quotes the text, since values may be secret. Errors name only keys of the Secret, fields of the
//!   Kubernetes API, and keys of labels and annotations.

mod brotli;
mod object;

use std::collections::BTreeMap;
use std::fmt;

use holdfast_yaml::{Budget, Document, Documents, Error, Reason};
use serde_json::{Map, Value};

pub use holdfast_yaml::{Limits, documents};

/// Suffix of keys whose value is a Brotli stream.
pub const BROTLI_SUFFIX: &str = ".br";

/// Origin of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Name of the Secret. Its namespace is the one that the caller passed.
    pub secret: String,
    /// Key in the Secret's `data`.
    pub key: String,
    /// Number of the document in the key, from 1. Empty documents count; items of a list have the number of their list.
    pub document: usize,
    /// Line where the content of the document starts in the (decompressed) text of the key, from 1.
    pub line: usize,
}

/// One object to apply: a map with `apiVersion`, `kind` and `metadata.name`. Its labels and annotations are strings.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The object. Numbers are `i64` where they fit, otherwise `f64`.
    pub object: Map<String, Value>,
    /// The object's origin.
    pub source: Source,
}

/// One fault in a Secret. It prints as one line, without the text that caused it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DecodeError {
    /// `namespace/name` of the Secret.
    pub secret: String,
    /// Key in the Secret's `data`.
    pub key: String,
    /// Number of the document, from 1; `None` if the fault concerns the whole key.
    pub document: Option<usize>,
    /// Line of the (decompressed) text of the key, from 1, if known.
    pub line: Option<usize>,
    /// What is wrong. It has no full stop and quotes no values.
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

/// The content of a Secret: its objects in order, and its faults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// The objects, sorted by key in byte order, then by document and item.
    pub manifests: Vec<Manifest>,
    /// The faults, in the same order. If there is any, the set of objects is incomplete.
    pub errors: Vec<DecodeError>,
}

/// Decodes all keys of a Secret in byte order. Keys that end in `.br` are Brotli streams.
///
/// Documents that are blank, null or only comments are skipped, but count. Faults are values ([`Decoded::errors`]):
/// each broken document, broken Brotli stream and exceeded limit is one error. Decoding continues after it where
/// possible. Once a limit of the whole Secret is reached, each further key is one error.
///
/// The limits hold for all keys together. [`Limits::total_bytes`] counts text after decompression.
/// [`Limits::documents`] also bounds the number of objects, counted separately and with the items of lists.
///
/// At the default limits this uses the CPU for up to about a second, so do not call it on async threads.
pub fn decode_secret(namespace: &str, name: &str, data: &BTreeMap<String, Vec<u8>>, limits: &Limits) -> Decoded {
    let mut manifests = Vec::new();
    let errors = decode_secret_into(namespace, name, data, limits, |manifest| manifests.push(manifest));
    Decoded { manifests, errors }
}

/// Like [`decode_secret`], but passes on each object as soon as it is read. So at most one document's objects exist as
/// trees, which take several times the memory of their text. Returns the faults.
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

/// State of decoding one Secret: the rest of its limits, and the faults so far.
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
        // A key that does not fit ends the whole Secret. Otherwise many small bombs would each inflate up to the limit.
        self.remaining_bytes = 0;
        let reason = format!("the Secret's text exceeds {} bytes (after decompression)", self.limits.total_bytes);
        self.error(key, None, None, reason);
    }

    fn error(&mut self, key: SecretKey<'_>, document: Option<usize>, line: Option<usize>, reason: String) {
        let secret = format!("{}/{}", key.namespace, key.name);
        self.errors.push(DecodeError { secret, key: key.key.to_owned(), document, line, reason });
    }
}

/// Describes what is wrong with a document. Exceeded limits of the whole Secret mention the Secret.
fn reason_text(reason: Reason) -> String {
    match reason {
        Reason::TooManyDocuments(limit) => format!("more than {limit} documents in this Secret"),
        Reason::TooMuchMemory => "the objects of the Secret take too much memory".to_owned(),
        other => other.to_string(),
    }
}
