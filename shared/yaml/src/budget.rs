//! Limits against texts that are made to cost much, and what earlier documents have used of them.

use crate::error::Reason;

/// Bounds of what is read. What exceeds one is an error, not a truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that aliases expand to over all documents, that are parsed once more because of what YAML 1.1 and 1.2 read
    /// differently and, times 32, memory that the values take. As a rule the bytes of text that the caller accepts, to which the
    /// caller holds the texts itself.
    pub total_bytes: usize,
    /// Bytes of one document, and bytes that the aliases of one document expand to. The API server takes requests up to
    /// 3 MiB.
    pub document_bytes: usize,
    /// Documents over all texts, empty ones included.
    pub documents: usize,
    /// Levels of maps and lists inside one another, aliases followed. The default stays below the 127 that `serde_json`
    /// reads, so that whatever is decoded can be written and read again.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total_bytes: 16 << 20, document_bytes: 3 << 20, documents: 10_000, depth: 120 }
    }
}

/// Bytes of memory that all values may take, as a multiple of [`Limits::total_bytes`].
///
/// A text of lists of the smallest maps (`[{a},{a},…]`) takes more than 150 times its size; manifests take 10 to 20 times
/// theirs.
const MEMORY_FACTOR: usize = 32;

/// Estimate of what a value takes within a map or a list, beside its text, in bytes.
const VALUE_MEMORY: usize = 64;

/// Estimate of what a map takes that is not empty, beside its entries, in bytes.
const MAP_MEMORY: usize = 600;

/// Bytes that a node built for an alias counts for, beside its text.
const NODE_BYTES: usize = 4;

/// What remains of [`Limits`] that several texts share.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    documents: usize,
    memory: usize,
    expansion: usize,
    document_expansion: usize,
    reparsing: usize,
    limits: Limits,
}

impl Budget {
    /// All of the limits.
    pub fn of(limits: &Limits) -> Self {
        Self {
            documents: limits.documents,
            memory: limits.total_bytes.saturating_mul(MEMORY_FACTOR),
            expansion: limits.total_bytes,
            document_expansion: limits.document_bytes,
            reparsing: limits.total_bytes,
            limits: *limits,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Counts a document. An error means that neither this one nor any further one is to be read.
    pub(crate) fn document(&mut self) -> Result<(), Reason> {
        self.document_expansion = self.limits.document_bytes;
        self.memory(0)?;
        let allowed = take(&mut self.documents, 1);
        if allowed { Ok(()) } else { Err(Reason::TooManyDocuments(self.limits.documents)) }
    }

    /// Counts a value, or a key, with `text` bytes of text of its own.
    pub(crate) fn value(&mut self, text: usize) -> Result<(), Reason> {
        self.memory(VALUE_MEMORY.saturating_add(text))
    }

    /// Counts, beside its value, a map that is not empty.
    pub(crate) fn map(&mut self) -> Result<(), Reason> {
        self.memory(MAP_MEMORY)
    }

    fn memory(&mut self, bytes: usize) -> Result<(), Reason> {
        if self.memory > 0 && take(&mut self.memory, bytes) {
            return Ok(());
        }
        self.memory = 0;
        Err(Reason::TooMuchMemory)
    }

    /// Counts a value that is built for an alias, with `text` bytes of text of its own.
    pub(crate) fn expansion(&mut self, text: usize) -> Result<(), Reason> {
        let bytes = NODE_BYTES.saturating_add(text);
        let allowed = take(&mut self.document_expansion, bytes) && take(&mut self.expansion, bytes);
        if allowed { Ok(()) } else { Err(Reason::TooMuchExpansion) }
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

/// Takes the amount if so much remains.
fn take(remaining: &mut usize, amount: usize) -> bool {
    let rest = remaining.checked_sub(amount);
    *remaining = rest.unwrap_or(*remaining);
    rest.is_some()
}
