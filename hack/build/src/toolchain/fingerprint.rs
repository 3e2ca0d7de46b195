//! The name under which a build is cached: a hash of everything that decides what comes out.
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Hashes the names and contents of all files below `directory`, and `salt`: the first 16 hex digits of a SHA-256.
///
/// # Errors
/// A file cannot be read.
pub(super) fn of(directory: &Path, salt: &[&str]) -> Result<String> {
    let mut files = Vec::new();
    collect(directory, &mut files)?;
    // Directory order differs between machines.
    files.sort();
    let mut context = Sha256::new();
    let mut part = |bytes: &[u8]| {
        // The length keeps two neighbouring parts from flowing into one.
        context.update(bytes.len().to_le_bytes());
        context.update(bytes);
    };
    for text in salt {
        part(text.as_bytes());
    }
    for path in &files {
        let name = path.strip_prefix(directory).unwrap_or(path);
        part(name.as_os_str().as_encoded_bytes());
        part(&fs::read(path).with_context(|| format!("read {}", path.display()))?);
    }
    let digest = context.finalize();
    let mut text = String::new();
    for byte in digest.iter().take(8) {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", directory.display()))?;
        let path = entry.path();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if hidden || path.ends_with("bin") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn names_contents_and_salt_count_and_order_does_not() {
        let one = tempfile::tempdir().unwrap();
        let two = tempfile::tempdir().unwrap();
        for (directory, names) in [(&one, ["a", "b"]), (&two, ["b", "a"])] {
            for name in names {
                fs::write(directory.path().join(name), format!("content of {name}")).unwrap();
            }
        }
        let before = of(one.path(), &["go1"]).unwrap();
        assert_eq!(before.len(), 16);
        assert_eq!(before, of(two.path(), &["go1"]).unwrap());
        assert_ne!(before, of(one.path(), &["go2"]).unwrap());
        fs::rename(two.path().join("a"), two.path().join("c")).unwrap();
        assert_ne!(before, of(two.path(), &["go1"]).unwrap());
    }
}
