//! From a ManagedResource's Secrets to what is desired.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use holdfast_core::{
    api::{ManagedResource, Mode},
    decode::{self, Limits, Manifest},
    digest::{Digest, Key},
    key::{GroupKind, Gvk, NamespacedName, ObjectKey},
    manifest::{self, Context, Desired},
    plan::{self, Duplicate},
};
use holdfast_runtime::call::{CallError, DEFAULT_LIMIT, call};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt as _};
use ring::digest;
use tokio::sync::Semaphore;

use crate::discover::Snapshot;

/// Settings of the controller that end up on objects.
#[derive(Clone, Debug)]
pub struct Marks {
    /// Prefix of the origin annotation.
    pub cluster_id: String,
    /// Value of the managed-by label.
    pub managed_by: String,
    /// Protection mode of ManagedResources that ask for none.
    pub default_mode: Mode,
}

/// The Secrets of a ManagedResource, read and decoded.
pub struct Read {
    versions: BTreeMap<String, Option<String>>,
    manifests: Vec<Manifest>,
    decode_errors: Vec<String>,
    missing: Vec<String>,
    checksum: String,
}

/// What a ManagedResource desires, and what it was made from.
pub struct Loaded {
    /// Each object once.
    pub desired: Vec<Desired>,
    /// Objects that their manifests take out of our hands.
    pub released: BTreeSet<ObjectKey>,
    digests: Vec<Digest>,
    /// Kinds of the desired objects.
    pub kinds: BTreeSet<GroupKind>,
    /// Objects that are declared twice with different content.
    pub duplicates: Vec<Duplicate>,
    /// Documents that cannot be read, one text each.
    pub decode_errors: Vec<String>,
    /// Secrets that cannot be read, one text each.
    pub missing: Vec<String>,
    /// Checksum of all data.
    pub checksum: String,
    versions: BTreeMap<String, Option<String>>,
    made_from: MadeFrom,
}

/// Everything beside the Secrets that the desired objects depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MadeFrom {
    generation: Option<i64>,
    mode: Mode,
    snapshot: u64,
}

impl MadeFrom {
    fn new(mr: &ManagedResource, marks: &Marks, snapshot: &Snapshot) -> Self {
        Self { generation: mr.metadata.generation, mode: mode(mr, marks), snapshot: snapshot.number }
    }
}

impl Loaded {
    /// Whether every Secret and every document could be read.
    pub fn is_complete(&self) -> bool {
        self.decode_errors.is_empty() && self.missing.is_empty()
    }

    /// Digest of the manifest at a position of `desired`.
    pub fn digest(&self, position: usize) -> Digest {
        self.digests.get(position).copied().unwrap_or_default()
    }

    /// Names of the Secrets that were read or found missing.
    pub fn secrets(&self) -> impl Iterator<Item = &String> {
        self.versions.keys()
    }

    /// Whether this version of a Secret is what was read; `None`: it was missing.
    pub fn has_version(&self, secret: &str, version: Option<&str>) -> bool {
        self.versions.get(secret).is_some_and(|read| read.as_deref() == version)
    }

    /// Whether nothing beside the Secrets has changed since.
    pub fn is_current(&self, mr: &ManagedResource, marks: &Marks, snapshot: &Snapshot) -> bool {
        self.made_from == MadeFrom::new(mr, marks, snapshot)
    }
}

/// Mode that the label announces. Modes without an implementation protect like Deny.
fn mode(mr: &ManagedResource, marks: &Marks) -> Mode {
    match mr.mode(marks.default_mode) {
        Mode::Off => Mode::Off,
        Mode::Deny | Mode::Revert | Mode::Warn => Mode::Deny,
    }
}

/// Reads and decodes all Secrets of a ManagedResource. A missing Secret is a finding, not an error.
///
/// # Errors
/// The API server does not answer, or refuses for another reason than that the Secret does not exist.
pub async fn read(client: &Client, mr: &ManagedResource, decoders: &Semaphore) -> Result<Read, CallError> {
    let NamespacedName { namespace, .. } = mr.key();
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let mut read = Read {
        versions: BTreeMap::new(),
        manifests: vec![],
        decode_errors: vec![],
        missing: vec![],
        checksum: String::new(),
    };
    let mut checksum = digest::Context::new(&digest::SHA256);
    for name in mr.secret_names() {
        let secret = match call(DEFAULT_LIMIT, format!("get Secret {namespace}/{name}"), api.get(name)).await {
            Ok(secret) => secret,
            Err(error) if error.is_not_found() => {
                read.missing.push(format!("Secret {namespace}/{name} does not exist"));
                read.versions.insert(name.to_owned(), None);
                continue;
            }
            Err(error) => return Err(error),
        };
        read.versions.insert(name.to_owned(), secret.resource_version());
        let data: BTreeMap<String, Vec<u8>> =
            secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        for (key, value) in &data {
            // Lengths first, so that no other split of the same bytes has the same checksum.
            for part in [name.as_bytes(), key.as_bytes(), value] {
                checksum.update(&(part.len() as u64).to_be_bytes());
                checksum.update(part);
            }
        }
        // A permit is never refused: the semaphore is not closed.
        let _permit = decoders.acquire().await;
        let (space, secret_name) = (namespace.clone(), name.to_owned());
        let decoded =
            tokio::task::spawn_blocking(move || decode::decode_secret(&space, &secret_name, &data, &Limits::default()))
                .await;
        match decoded {
            Ok(decoded) => {
                read.manifests.extend(decoded.manifests);
                read.decode_errors.extend(decoded.errors.iter().map(ToString::to_string));
            }
            Err(_) => {
                read.decode_errors.push(format!("Secret {namespace}/{name}: the decoder failed; please report this"));
            }
        }
    }
    for byte in checksum.finish().as_ref() {
        // Writing to a String does not fail.
        let _ = write!(read.checksum, "{byte:02x}");
    }
    Ok(read)
}

/// Turns manifests into desired objects.
pub fn prepare(read: &Read, mr: &ManagedResource, marks: &Marks, snapshot: &Snapshot, key: &Key) -> Loaded {
    let mr_key = mr.key();
    let context = Context {
        mr: &mr_key,
        cluster_id: &marks.cluster_id,
        inject_labels: mr.spec.inject_labels.as_ref(),
        managed_by: &marks.managed_by,
        mode: mode(mr, marks),
    };
    let (mut desired, mut released) = (Vec::new(), BTreeSet::new());
    // Thousands of objects are of few kinds.
    let mut gvks: BTreeSet<Arc<Gvk>> = BTreeSet::new();
    for manifest in read.manifests.iter().cloned() {
        match manifest::prepare(manifest, &context, &snapshot.kinds) {
            Ok(mut object) => {
                if let Some(known) = gvks.get(&object.gvk) {
                    object.gvk = Arc::clone(known);
                } else {
                    gvks.insert(Arc::clone(&object.gvk));
                }
                desired.push(object);
            }
            Err(object) => drop(released.insert(object)),
        }
    }
    let (desired, duplicates) = plan::deduplicate(desired);
    Loaded {
        kinds: desired.iter().map(|object| object.key.group_kind()).collect(),
        digests: desired.iter().map(|object| object.body.digest(key)).collect(),
        desired,
        released,
        duplicates,
        decode_errors: read.decode_errors.clone(),
        missing: read.missing.clone(),
        checksum: read.checksum.clone(),
        versions: read.versions.clone(),
        made_from: MadeFrom::new(mr, marks, snapshot),
    }
}
