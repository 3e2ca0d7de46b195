//! Changes of manifests that are texts.

/// A manifest in block style, with `metadata:` on a line of its own.
pub trait Manifest {
    /// Adds a line to the metadata of the first object, such as `finalizers: [example.com/hold]`.
    fn with_metadata(&self, line: &str) -> String;
}

impl Manifest for str {
    fn with_metadata(&self, line: &str) -> String {
        self.replacen("metadata:\n", &format!("metadata:\n  {line}\n"), 1)
    }
}
