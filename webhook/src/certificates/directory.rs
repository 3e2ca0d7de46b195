//! Certificates that somebody else keeps in a directory, such as the mounted Secret of a cert-manager Certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::data::{CA, Data, LEAF, LEAF_KEY};
use super::inspect::{ServingCertificate, Unusable, read};

/// A directory with `tls.crt`, `tls.key` and `ca.crt`.
pub struct Directory {
    path: PathBuf,
    names: Vec<String>,
    period: Duration,
}

/// What is in a directory is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file cannot be read.
    #[error("certificates: cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Files that clients would not accept.
    #[error("certificates in {}: {why}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why not.
        why: Unusable,
    },
}

impl Directory {
    /// For a server that is called by these names; looked at this often.
    pub fn new(path: PathBuf, names: Vec<String>, period: Duration) -> Self {
        Self { path, names, period }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How often to look. (Volumes swap a link, of which inotify tells nothing.)
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Reads what is in it at the time `now`.
    ///
    /// # Errors
    /// It is of no use: files that are missing, do not belong together, or that clients would not accept.
    pub fn load(&self, now: jiff::Timestamp) -> Result<ServingCertificate, DirectoryError> {
        let unusable = |why| DirectoryError::Unusable { path: self.path.clone(), why };
        let data = self.read()?;
        match read(&data, &self.names, now) {
            // They may have been swapped between two of them.
            Err(_) => read(&self.read()?, &self.names, now).map_err(unusable),
            good => good.map_err(unusable),
        }
    }

    fn read(&self) -> Result<Data, DirectoryError> {
        let file = |name: &str| {
            let path = self.path.join(name);
            let content = std::fs::read(&path).map_err(|source| DirectoryError::Read { path, source })?;
            Ok((name.to_owned(), content))
        };
        [CA, LEAF, LEAF_KEY].into_iter().map(file).collect()
    }
}
