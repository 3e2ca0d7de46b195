//! The Secret with the certificates.

use std::time::Duration;

use holdfast_core::key::NamespacedName;
use holdfast_runtime::api::Api;
use holdfast_runtime::call::{CallError, DEFAULT_LIMIT, call};
use holdfast_runtime::owner::Owner;
use holdfast_runtime::traffic::Traffic;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{ObjectMeta, PostParams};

use super::data::{CA, CA_KEY, Data, LEAF, LEAF_KEY};
use super::inspect::{Finding, ServingCertificate, inspect, read};
use super::issue::{IssueError, Issued, Lifetimes, issue, renew};
use super::pem::joined;

/// How often to try against other replicas; one of them succeeds each time.
const ROUNDS: usize = 5;

/// The Secret, and the properties of its certificates.
pub struct SecretStore {
    client: Client,
    secret: NamespacedName,
    names: Vec<String>,
    lifetimes: Lifetimes,
    traffic: Traffic,
    owner: Option<Owner>,
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
    /// Another client keeps changing the Secret.
    #[error("certificates: Secret {0} keeps being changed by another client")]
    Contended(NamespacedName),
}

impl SecretStore {
    /// Certificates in this Secret, for a server with these names. `traffic` is that of the client.
    pub fn new(
        client: Client,
        traffic: Traffic,
        secret: NamespacedName,
        names: Vec<String>,
        lifetimes: Lifetimes,
    ) -> Self {
        Self { client, secret, names, lifetimes, traffic, owner: None }
    }

    /// Sets the owner of a Secret that we make: the Secret is deleted with it.
    #[must_use]
    pub fn owned_by(self, owner: Option<Owner>) -> Self {
        Self { owner, ..self }
    }

    /// Sets the owner of a Secret that an earlier release of ours made. A refusal does no harm.
    pub async fn adopt(&self) {
        let Some(owner) = &self.owner else { return };
        let adopted = async {
            if let Some(mut found) = self.get().await?
                && owner.adopt(&mut found.metadata)
            {
                let what = format!("adopt Secret {}", self.secret);
                let params = PostParams::default();
                call(DEFAULT_LIMIT, what, self.api().replace(&self.secret.name, &params, &found)).await?;
            }
            Ok::<_, CallError>(())
        };
        if let Err(error) = adopted.await {
            tracing::debug!("{error}");
        }
    }

    /// The name of the Secret.
    pub fn secret(&self) -> &NamespacedName {
        &self.secret
    }

    /// The longest time between two looks.
    pub fn period(&self) -> Duration {
        let part = Duration::try_from(self.lifetimes.leaf / 12).unwrap_or_default();
        part.clamp(Duration::from_millis(250), Duration::from_secs(30))
    }

    /// Reads the Secret, and writes it first if it is missing, unusable or near its end.
    ///
    /// The CAs of the stored and of the `active` certificate stay in the bundle: replicas serve with the former certificate until
    /// the new CA is registered. The clock of the API server decides about ages: it has to accept the certificate, and a
    /// replica with a wrong clock must not replace a good one.
    ///
    /// # Errors
    /// The Secret cannot be read or written.
    pub async fn ensure(&self, active: Option<&ServingCertificate>) -> Result<ServingCertificate, StoreError> {
        for _ in 0..ROUNDS {
            let found = self.get().await?;
            let now = self.traffic.server_time();
            let Some(found) = found else {
                tracing::info!("making certificates in Secret {}", self.secret);
                self.create(issue(&self.names, self.lifetimes, now)?, active, now).await?;
                continue;
            };
            let data = data_of(&found);
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
            self.replace(found, issued, active, now).await?;
        }
        Err(StoreError::Contended(self.secret.clone()))
    }

    /// Whether this is the bundle in the Secret now.
    ///
    /// # Errors
    /// The Secret cannot be read.
    pub async fn is_current(&self, bundle: &[u8]) -> Result<bool, CallError> {
        let found = self.get().await?;
        Ok(found.is_some_and(|found| data_of(&found).get(CA).is_some_and(|current| current == bundle)))
    }

    async fn get(&self) -> Result<Option<Secret>, CallError> {
        call(DEFAULT_LIMIT, format!("get Secret {}", self.secret), self.api().get_opt(&self.secret.name)).await
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.secret.namespace)
    }

    async fn create(
        &self,
        issued: Issued,
        active: Option<&ServingCertificate>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.secret.name.clone()),
                owner_references: self.owner.as_ref().map(Owner::references),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(content(issued, &[], None, active, now)),
            ..Secret::default()
        };
        let what = format!("create Secret {}", self.secret);
        lost_races_pass(call(DEFAULT_LIMIT, what, self.api().create(&PostParams::default(), &secret)).await)
    }

    /// Guarded by the resourceVersion in `found`.
    async fn replace(
        &self,
        mut found: Secret,
        issued: Issued,
        active: Option<&ServingCertificate>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let data = data_of(&found);
        let stored = read(&data, &self.names, now).ok();
        let bundle = data.get(CA).map(Vec::as_slice).unwrap_or_default();
        // Other keys stay.
        found.data.get_or_insert_default().extend(content(issued, bundle, stored.as_ref(), active, now));
        found.metadata.managed_fields = None;
        let what = format!("update Secret {}", self.secret);
        lost_races_pass(
            call(DEFAULT_LIMIT, what, self.api().replace(&self.secret.name, &PostParams::default(), &found)).await,
        )
    }
}

/// Another replica was faster: read again.
fn lost_races_pass(result: Result<Secret, CallError>) -> Result<(), StoreError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_conflict() || error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn data_of(secret: &Secret) -> Data {
    secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

/// The issued certificate. Its bundle includes the CAs of the certificates that it replaces: replicas still serve with them.
fn content(
    issued: Issued,
    bundle: &[u8],
    stored: Option<&ServingCertificate>,
    active: Option<&ServingCertificate>,
    now: Timestamp,
) -> std::collections::BTreeMap<String, ByteString> {
    let replaced = [stored, active].into_iter().flatten();
    let needed: Vec<_> = replaced.flat_map(|loaded| loaded.authorities_among(&[bundle, &loaded.bundle], now)).collect();
    let authority = joined(&issued.authority, &needed);
    [(CA, authority), (CA_KEY, issued.authority_key), (LEAF, issued.leaf), (LEAF_KEY, issued.leaf_key)]
        .into_iter()
        .map(|(key, pem)| (key.to_owned(), ByteString(pem.into_bytes())))
        .collect()
}
