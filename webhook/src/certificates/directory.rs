//! Certificates that another program keeps in a directory, such as the mounted Secret of a cert-manager Certificate.

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

/// The content of a directory is unusable.
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
    /// For a server with these names; `period` is the time between two looks.
    pub fn new(path: PathBuf, names: Vec<String>, period: Duration) -> Self {
        Self { path, names, period }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The time between two looks. (Volumes swap a link, which inotify does not see.)
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Reads the certificate at the time `now`.
    ///
    /// # Errors
    /// Files are missing, do not belong together, or clients would not accept them.
    pub fn load(&self, now: jiff::Timestamp) -> Result<ServingCertificate, DirectoryError> {
        let unusable = |why| DirectoryError::Unusable { path: self.path.clone(), why };
        let data = self.read()?;
        match read(&data, &self.names, now) {
            // The files may have been swapped meanwhile.
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
