//! The files a control plane starts from.
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use tempfile::TempDir;

use super::components::LOOPBACK;
use super::users;
use crate::cache::Lock;

const PREFIX: &str = "holdfast-cluster-";
const LOCK: &str = "lock";
pub(super) const KUBECONFIG: &str = "kubeconfig";
pub(super) const AUDIT_LOG: &str = "audit.log";
pub(super) const AUDIT_POLICY: &str = "audit-policy.yaml";
pub(super) const TOKENS: &str = "tokens.csv";
pub(super) const CERTIFICATES: &str = "certificates";
/// Certificate and CA in one, as kube-apiserver writes them.
pub(super) const SERVING_CERTIFICATE: &str = "certificates/apiserver.crt";
pub(super) const SIGNING_KEY: &str = "service-account.key";
pub(super) const SIGNING_KEY_PUBLIC: &str = "service-account.pub";

/// The directory of a control plane. Dropping it removes it if it is a temporary one.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    _temporary: Option<(TempDir, Lock)>,
}

impl Home {
    /// Empties the given directory, or makes a temporary one.
    ///
    /// # Errors
    /// The disk says no.
    pub(super) fn prepare(given: Option<&Path>) -> Result<Self> {
        let Some(path) = given else { return Self::temporary() };
        if path.exists() {
            fs::remove_dir_all(path).with_context(|| format!("empty {}", path.display()))?;
        }
        fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("resolve {}", path.display()))?;
        Ok(Self { path, _temporary: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn temporary() -> Result<Self> {
        remove_abandoned();
        for _ in 0..10 {
            let directory = tempfile::Builder::new().prefix(PREFIX).tempdir().context("make a temporary directory")?;
            // Another process that clears up may have been quicker.
            if let Some(lock) = Lock::attempt(&directory.path().join(LOCK))? {
                return Ok(Self { path: directory.path().to_path_buf(), _temporary: Some((directory, lock)) });
            }
        }
        bail!("other processes took away ten temporary directories in a row")
    }
}

/// Removes what processes left that were killed, or that never dropped their control plane: nobody holds its lock.
fn remove_abandoned() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let lock = entry.path().join(LOCK);
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && lock.is_file()
            && let Ok(Some(_lock)) = Lock::attempt(&lock)
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Writes tokens, kubeconfig, the audit policy, and the key that signs service-account tokens.
pub(super) fn write(directory: &Path, port: u16) -> Result<()> {
    let put = |name: &str, content: &str| {
        fs::write(directory.join(name), content).with_context(|| format!("write {name} in {}", directory.display()))
    };
    put(TOKENS, &users::tokens())?;
    let api_server = SocketAddr::from((LOOPBACK, port));
    let kubeconfig = users::kubeconfig(api_server, &directory.join(SERVING_CERTIFICATE));
    put(KUBECONFIG, &serde_yaml::to_string(&kubeconfig).context("write the kubeconfig")?)?;
    // One entry for each request, when its answer is known; watches get another one when they begin.
    put(
        AUDIT_POLICY,
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n",
    )?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("make the key for service-account tokens")?;
    put(SIGNING_KEY, &key.serialize_pem())?;
    put(SIGNING_KEY_PUBLIC, &key.public_key_pem())
}
