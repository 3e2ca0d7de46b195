//! What is left of a Secret's limits while it is decoded.

use std::borrow::Cow;

/// Bounds of one Secret's decoding. What exceeds one is an error, not a truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of text over all keys of a Secret, after decompression. It also bounds what aliases of all its documents
    /// expand to, and, times 32, the memory that its objects take.
    pub decompressed_bytes: usize,
    /// Bytes of one document, and bytes that the aliases of one document expand to. The API server takes requests up to
    /// 3 MiB.
    pub document_bytes: usize,
    /// Documents of a Secret over all keys, empty ones included; separately, objects of a Secret, items of lists included.
    pub documents: usize,
    /// Levels of maps and lists inside one another, aliases followed. The default stays below the 127 that `serde_json`
    /// reads, so that whatever is decoded can be written and read again.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { decompressed_bytes: 16 << 20, document_bytes: 3 << 20, documents: 10_000, depth: 120 }
    }
}

/// Bytes of memory that the objects of a Secret may take, as a multiple of [`Limits::decompressed_bytes`].
///
/// A text of lists of the smallest maps (`[{a},{a},…]`) takes more than 150 times its size, and Brotli makes 16 MiB of it
/// from a kilobyte; manifests take 10 to 20 times theirs.
const MEMORY_FACTOR: usize = 32;

/// Estimate of what a value takes within a map or a list, beside its text, in bytes.
const VALUE_MEMORY: usize = 64;

/// Estimate of what a map takes that is not empty, beside its entries, in bytes.
const MAP_MEMORY: usize = 600;

/// Bytes that a node built for an alias counts for, beside its text.
const NODE_BYTES: usize = 4;

/// What is left of the limits, over any number of texts.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    documents: usize,
    memory: usize,
    expansion: usize,
    document_expansion: usize,
    reparsing: usize,
    limits: Limits,
}

/// Something is used up: why.
pub(crate) type Exceeded = Cow<'static, str>;

impl Budget {
    /// All of the limits.
    pub fn of(limits: &Limits) -> Self {
        Self {
            documents: limits.documents,
            memory: limits.decompressed_bytes.saturating_mul(MEMORY_FACTOR),
            expansion: limits.decompressed_bytes,
            document_expansion: limits.document_bytes,
            reparsing: limits.decompressed_bytes,
            limits: *limits,
        }
    }

    /// Counts a document. An error means that neither this one nor any further one is to be read.
    pub(crate) fn document(&mut self) -> Result<(), Exceeded> {
        self.document_expansion = self.limits.document_bytes;
        self.memory(0)?;
        if take(&mut self.documents, 1) {
            return Ok(());
        }
        Err(format!("more than {} documents in this Secret", self.limits.documents).into())
    }

    /// Counts a value, or a key, with `text` bytes of text of its own.
    pub(crate) fn value(&mut self, text: usize) -> Result<(), Exceeded> {
        self.memory(VALUE_MEMORY.saturating_add(text))
    }

    /// Counts, beside its value, a map that is not empty.
    pub(crate) fn map(&mut self) -> Result<(), Exceeded> {
        self.memory(MAP_MEMORY)
    }

    fn memory(&mut self, bytes: usize) -> Result<(), Exceeded> {
        if self.memory > 0 && take(&mut self.memory, bytes) {
            return Ok(());
        }
        self.memory = 0;
        Err("the objects of the Secret take too much memory".into())
    }

    /// Counts a value that is built for an alias, with `text` bytes of text of its own.
    pub(crate) fn expansion(&mut self, text: usize) -> Result<(), Exceeded> {
        let bytes = NODE_BYTES.saturating_add(text);
        let taken = take(&mut self.document_expansion, bytes) && take(&mut self.expansion, bytes);
        if taken { Ok(()) } else { Err("aliases expand to too much".into()) }
    }

    /// Counts that many bytes that are to be parsed once more. False if it has been enough.
    pub(crate) fn reparse(&mut self, bytes: usize) -> bool {
        let allowed = take(&mut self.reparsing, bytes);
        if !allowed {
            self.reparsing = 0;
        }
        allowed
    }
}

fn take(left: &mut usize, amount: usize) -> bool {
    let rest = left.checked_sub(amount);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}
