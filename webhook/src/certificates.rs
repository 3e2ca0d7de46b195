//! Our certificates: one CA and one server certificate, shared by all replicas through a Secret; or the files that another
//! program keeps in a directory.
//!
//! The first replica makes them. A replica that finds them unusable, or near their end, makes new ones, guarded by the Secret's
//! resourceVersion, so that all replicas end up with the same ([`source`]). The CA is registered with the API servers
//! ([`ca_bundle`]), and the certificate is served without a restart once they trust it ([`rollout`]).

pub mod ca_bundle;
mod current;
mod data;
mod directory;
mod inspect;
mod issue;
mod object_changes;
pub(crate) mod pem;
pub mod rollout;
mod secret_store;
pub mod server_names;
pub mod source;
mod trust;

pub use current::{CertificateSender, CertificateWatch};
pub use data::Data;
pub use directory::{Directory, DirectoryError};
pub use inspect::{Finding, ServingCertificate, Unusable, inspect, read};
pub use issue::{IssueError, Issued, Lifetimes, issue, renew};
pub use secret_store::{SecretStore, StoreError};
pub use server_names::service_names;
pub use trust::Distrust;
