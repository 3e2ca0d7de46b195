//! Who acts on a test's control plane.
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::config::AuthInfo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// Someone with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// In `system:masters`.
    Admin,
    /// An ordinary person in the group `team-a` who is cluster-admin by RBAC.
    Alice,
    /// May only read.
    Bob,
    /// The [player](crate::player). Not in the kubeconfig: its requests should not be mistaken for anyone's in the audit log.
    Player,
}

impl fmt::Display for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl User {
    const ALL: [Self; 4] = [Self::Admin, Self::Alice, Self::Bob, Self::Player];
    const PEOPLE: [Self; 3] = [Self::Admin, Self::Alice, Self::Bob];

    /// The user name, which is also the name of the context in the kubeconfig.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Alice => "alice",
            Self::Bob => "bob",
            Self::Player => "player",
        }
    }

    fn groups(self) -> &'static str {
        match self {
            Self::Admin | Self::Player => "system:masters",
            Self::Alice => "team-a",
            Self::Bob => "team-b",
        }
    }

    fn token(self) -> String {
        format!("{self}-token")
    }
}

/// The user that kube-controller-manager is; the built-in roles name it.
pub(super) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";

/// The content of kube-apiserver's `--token-auth-file`.
pub(super) fn tokens() -> String {
    User::ALL.map(|user| format!("{},{user},{user},\"{}\"\n", user.token(), user.groups())).concat()
}

/// The kubeconfig, as JSON (which YAML readers accept).
pub(super) fn kubeconfig(api_server: SocketAddr, certificate: &Path) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": User::Admin.name(),
        "clusters": [{"name": "holdfast", "cluster": {
            "server": format!("https://{api_server}"),
            "certificate-authority": certificate,
        }}],
        "users": User::PEOPLE.map(|user| json!({"name": user.name(), "user": {"token": user.token()}})),
        "contexts": User::PEOPLE.map(|user| json!({
            "name": user.name(),
            "context": {"cluster": "holdfast", "user": user.name(), "namespace": "default"},
        })),
    })
}

/// The kubeconfig of a component: a client certificate, as installers of clusters give it.
pub(super) fn component_kubeconfig(
    user: &str,
    api_server: SocketAddr,
    authority: &Path,
    certificate: &str,
    key: &str,
) -> Value {
    let data = json!({
        "client-certificate-data": STANDARD.encode(certificate), "client-key-data": STANDARD.encode(key),
    });
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": user,
        "clusters": [{"name": "holdfast", "cluster": {
            "server": format!("https://{api_server}"),
            "certificate-authority": authority,
        }}],
        "users": [{"name": user, "user": data}],
        "contexts": [{"name": user, "context": {"cluster": "holdfast", "user": user}}],
    })
}

/// A client configuration; see [`super::ControlPlane::config`].
pub(super) fn config(user: User, api_server: SocketAddr, certificate: &Path) -> Result<kube::Config> {
    let address = format!("https://{api_server}").parse().context("parse the API server's address")?;
    let mut config = kube::Config::new(address);
    // Read here, so that no authorities of the system are needed.
    let authorities = CertificateDer::pem_file_iter(certificate).context("read the certificate of the API server")?;
    let authorities: Result<Vec<_>, _> = authorities.map(|each| each.map(|certificate| certificate.to_vec())).collect();
    config.root_cert = Some(authorities.context("read the certificate of the API server")?);
    let auth: AuthInfo = serde_json::from_value(json!({"token": user.token()})).context("make a token")?;
    config.auth_info = auth;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(30));
    config.write_timeout = Some(Duration::from_secs(30));
    config.reset_reader_on_write = true;
    config.default_retry = false;
    Ok(config)
}
