//! Limits against expensive texts, and the parts that earlier documents have used up.

use crate::error::Reason;

/// Limits of reading. To exceed one is an error, never a truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds three totals over all documents: the bytes that aliases expand to, the bytes that are parsed again
    /// because YAML 1.1 and 1.2 differ, and (times 32) the memory of the values. It usually equals the bytes of text
    /// that the caller accepts. The caller itself must enforce that limit on the texts.
    pub total_bytes: usize,
    /// Most bytes of one document, and most bytes that the aliases of one document expand to. The API server accepts
    /// requests of up to 3 MiB.
    pub document_bytes: usize,
    /// Most documents in all texts, including empty ones.
    pub documents: usize,
    /// Deepest nesting of maps and lists, with aliases followed. The default is below the 127 levels that `serde_json`
    /// reads, so every decoded value can be written and read again.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total_bytes: 16 << 20, document_bytes: 3 << 20, documents: 10_000, depth: 120 }
    }
}

/// Memory that all values may take in bytes, as a multiple of [`Limits::total_bytes`].
///
/// A list of the smallest maps (`[{a},{a},…]`) takes more than 150 times the size of its text; manifests take 10 to 20
/// times theirs.
const MEMORY_FACTOR: usize = 32;

/// Estimated memory of a value in a map or a list, apart from its text, in bytes.
const VALUE_MEMORY: usize = 64;

/// Estimated memory of a non-empty map, apart from its entries, in bytes.
const MAP_MEMORY: usize = 600;

/// Bytes to count for a node that is built for an alias, apart from its text.
const NODE_BYTES: usize = 4;

/// The rest of [`Limits`] that several texts share.
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
    /// Starts with the full limits.
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

    /// Counts a document. After an error, neither this document nor any further one may be read.
    pub(crate) fn document(&mut self) -> Result<(), Reason> {
        self.document_expansion = self.limits.document_bytes;
        self.memory(0)?;
        let allowed = take(&mut self.documents, 1);
        if allowed { Ok(()) } else { Err(Reason::TooManyDocuments(self.limits.documents)) }
    }

    /// Counts a value or a key with `text` bytes of text.
    pub(crate) fn value(&mut self, text: usize) -> Result<(), Reason> {
        self.memory(VALUE_MEMORY.saturating_add(text))
    }

    /// Counts a non-empty map. Its value is counted separately.
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

    /// Counts a value that is built for an alias, with `text` bytes of text.
    pub(crate) fn expansion(&mut self, text: usize) -> Result<(), Reason> {
        let bytes = NODE_BYTES.saturating_add(text);
        let allowed = take(&mut self.document_expansion, bytes) && take(&mut self.expansion, bytes);
        if allowed { Ok(()) } else { Err(Reason::TooMuchExpansion) }
    }

    /// Counts bytes to parse again. Returns false if the limit is exceeded.
    pub(crate) fn reparse(&mut self, bytes: usize) -> bool {
        let allowed = take(&mut self.reparsing, bytes);
        if !allowed {
            self.reparsing = 0;
        }
        allowed
    }
}

/// Subtracts the amount if enough remains.
fn take(remaining: &mut usize, amount: usize) -> bool {
    let rest = remaining.checked_sub(amount);
    *remaining = rest.unwrap_or(*remaining);
    rest.is_some()
}
