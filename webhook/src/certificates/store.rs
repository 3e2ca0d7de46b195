//! The Secret with the certificates.

use holdfast_core::key::NamespacedName;
use holdfast_runtime::call::{CallError, DEFAULT_LIMIT, call};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::inspect::{Data, Finding, Loaded, inspect};
use super::issue::{IssueError, Issued, Lifetimes, issue, renew};

/// Key of the CA in the Secret.
pub(super) const CA: &str = "ca.crt";
/// Key of the CA's private key.
pub(super) const CA_KEY: &str = "ca.key";
/// Key of the server certificate.
pub(super) const LEAF: &str = "tls.crt";
/// Key of the server certificate's private key.
pub(super) const LEAF_KEY: &str = "tls.key";

/// Replicas that write at the same time; each round one of them succeeds.
const ROUNDS: usize = 5;

/// The Secret, and what its certificates are for.
pub struct Store {
    api: Api<Secret>,
    secret: NamespacedName,
    names: Vec<String>,
    lifetimes: Lifetimes,
}

/// There is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The Secret cannot be read or written.
    #[error("certificates: {0}")]
    Call(#[from] CallError),
    /// Certificates cannot be made.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Somebody keeps writing something else.
    #[error("certificates: Secret {0} keeps being changed by somebody else")]
    Contended(NamespacedName),
}

impl Store {
    /// Certificates in this Secret, for a server that is called by these names.
    pub fn new(client: Client, secret: NamespacedName, names: Vec<String>, lifetimes: Lifetimes) -> Self {
        Self { api: Api::namespaced(client, &secret.namespace), secret, names, lifetimes }
    }

    /// Where they are.
    pub fn secret(&self) -> &NamespacedName {
        &self.secret
    }

    /// Reads the Secret, and writes it first if it is missing, unusable or near its end.
    ///
    /// # Errors
    /// The Secret cannot be read or written.
    pub async fn ensure(&self, now: Timestamp) -> Result<Loaded, StoreError> {
        for _ in 0..ROUNDS {
            let found =
                call(DEFAULT_LIMIT, format!("get Secret {}", self.secret), self.api.get_opt(&self.secret.name)).await?;
            let Some(found) = found else {
                tracing::info!("making certificates in Secret {}", self.secret);
                self.create(&issue(&self.names, self.lifetimes, now)?).await?;
                continue;
            };
            let data: Data = found.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect();
            let issued = match inspect(&data, &self.names, now) {
                Finding::Good(loaded) => return Ok(loaded),
                Finding::Renew { why, authority, authority_key } => {
                    tracing::info!(reason = %why, "renewing the server certificate in Secret {}", self.secret);
                    renew(&authority, &authority_key, &self.names, self.lifetimes, now)?
                }
                Finding::Replace(why) => {
                    tracing::warn!(reason = %why, "replacing the certificates in Secret {}", self.secret);
                    issue(&self.names, self.lifetimes, now)?
                }
            };
            self.replace(found, &issued).await?;
        }
        Err(StoreError::Contended(self.secret.clone()))
    }

    async fn create(&self, issued: &Issued) -> Result<(), StoreError> {
        let secret = Secret {
            metadata: ObjectMeta { name: Some(self.secret.name.clone()), ..ObjectMeta::default() },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(data(issued)),
            ..Secret::default()
        };
        let what = format!("create Secret {}", self.secret);
        lost_races_pass(call(DEFAULT_LIMIT, what, self.api.create(&PostParams::default(), &secret)).await)
    }

    /// Guarded by the resourceVersion in `found`.
    async fn replace(&self, mut found: Secret, issued: &Issued) -> Result<(), StoreError> {
        // Whatever else is in it stays.
        found.data.get_or_insert_default().extend(data(issued));
        found.metadata.managed_fields = None;
        let what = format!("update Secret {}", self.secret);
        lost_races_pass(
            call(DEFAULT_LIMIT, what, self.api.replace(&self.secret.name, &PostParams::default(), &found)).await,
        )
    }
}

/// Another replica was faster: look again.
fn lost_races_pass(result: Result<Secret, CallError>) -> Result<(), StoreError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn data(issued: &Issued) -> std::collections::BTreeMap<String, ByteString> {
    [(CA, &issued.authority), (CA_KEY, &issued.authority_key), (LEAF, &issued.leaf), (LEAF_KEY, &issued.leaf_key)]
        .into_iter()
        .map(|(key, pem)| (key.to_owned(), ByteString(pem.clone().into_bytes())))
        .collect()
}
