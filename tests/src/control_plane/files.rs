//! The files a control plane starts from.
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use tempfile::TempDir;

use super::users;
use crate::cache::Lock;

const PREFIX: &str = "holdfast-cluster-";
const LOCK: &str = "lock";
pub(super) const KUBECONFIG: &str = "kubeconfig";
pub(super) const CONTROLLER_MANAGER_KUBECONFIG: &str = "controller-manager.kubeconfig";
pub(super) const AUDIT_LOG: &str = "audit.log";
pub(super) const AUDIT_POLICY: &str = "audit-policy.yaml";
pub(super) const TOKENS: &str = "tokens.csv";
pub(super) const CERTIFICATES: &str = "certificates";
/// Certificate and CA in one, as kube-apiserver writes them.
pub(super) const SERVING_CERTIFICATE: &str = "certificates/apiserver.crt";
/// Signs the certificates of users.
pub(super) const CLIENT_CA: &str = "client-ca.crt";
/// Certificate and key with which the API server asks kubelets.
pub(super) const KUBELET_CLIENT: &str = "kubelet-client.pem";
const CLIENT_CA_KEY: &str = "client-ca.key";
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

/// Writes tokens, kubeconfigs, the audit policy, and the key that signs service-account tokens.
pub(super) fn write(directory: &Path, api_server: SocketAddr) -> Result<()> {
    let put = |name: &str, content: &str| {
        fs::write(directory.join(name), content).with_context(|| format!("write {name} in {}", directory.display()))
    };
    put(TOKENS, &users::tokens())?;
    let kubeconfig = users::kubeconfig(api_server, &directory.join(SERVING_CERTIFICATE));
    put(KUBECONFIG, &serde_yaml::to_string(&kubeconfig).context("write the kubeconfig")?)?;
    // One entry for each request, when its answer is known; watches get another one when they begin.
    put(
        AUDIT_POLICY,
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n",
    )?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("make the key for service-account tokens")?;
    put(SIGNING_KEY, &key.serialize_pem())?;
    put(SIGNING_KEY_PUBLIC, &key.public_key_pem())?;
    let key = KeyPair::generate().context("make the key of the CA for users")?;
    let authority = client_ca()?.self_signed(&key).context("make the CA for users")?;
    put(CLIENT_CA, &authority.pem())?;
    put(CLIENT_CA_KEY, &key.serialize_pem())?;
    put(CONTROLLER_MANAGER_KUBECONFIG, &component_kubeconfig(directory, api_server, users::CONTROLLER_MANAGER, None)?)?;
    let key = KeyPair::generate().context("make a key")?.serialize_pem();
    let certificate = certificate(directory, "kube-apiserver-kubelet-client", Some("system:masters"), &key)?;
    put(KUBELET_CLIENT, &format!("{certificate}{key}"))
}

/// The kubeconfig of a component that has a certificate for this user, in this group if one is given.
pub(super) fn component_kubeconfig(
    directory: &Path,
    api_server: SocketAddr,
    user: &str,
    group: Option<&str>,
) -> Result<String> {
    let key = KeyPair::generate().context("make the key of a component")?.serialize_pem();
    let certificate = certificate(directory, user, group, &key)?;
    let kubeconfig =
        users::component_kubeconfig(user, api_server, &directory.join(SERVING_CERTIFICATE), &certificate, &key);
    serde_yaml::to_string(&kubeconfig).context("write a kubeconfig")
}

fn client_ca() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![]).context("name the CA for users")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "users");
    Ok(params)
}

/// A certificate with which the API server takes whoever has this key (PKCS#8, PEM) for this user, in this group if one is
/// given.
pub(super) fn certificate(directory: &Path, user: &str, group: Option<&str>, key: &str) -> Result<String> {
    let authority = fs::read_to_string(directory.join(CLIENT_CA_KEY)).context("read the key of the CA for users")?;
    let authority = KeyPair::from_pem(&authority).context("read the key of the CA for users")?;
    let mut params = CertificateParams::new(vec![]).context("name the user")?;
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ClientAuth);
    let key = KeyPair::from_pem(key).context("read the user's key")?;
    let signed =
        params.signed_by(&key, &Issuer::new(client_ca()?, authority)).context("make the user's certificate")?;
    Ok(signed.pem())
}
