//! From a ManagedResource's Secrets to what is desired.

mod secret;
mod unreadable;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use holdfast_core::{
    api::{ManagedResource, Mode},
    decode::Source,
    digest::{Digest, Key},
    field_ownership::Reach,
    inventory::plan::{self, Duplicate},
    key::{GroupKind, ObjectKey},
    manifest::Desired,
    object_name,
    validation::managed_resource,
};
use holdfast_runtime::{
    api::Api,
    call::{CallError, DEFAULT_LIMIT, call},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, ResourceExt as _};
use ring::digest;
use tokio::{sync::Semaphore, time::Instant};

use crate::target::discovery::Snapshot;
use secret::{Part, Recipe};
pub(crate) use unreadable::Unreadable;

/// Digits of a checksum that tell one change from another.
const CHANGE: usize = 12;

/// Secrets of a ManagedResource read at a time.
const READS: usize = 4;

/// Settings of the controller that end up on objects.
#[derive(Clone, Debug)]
pub struct Marks {
    /// Prefix of the origin annotation.
    pub cluster_id: String,
    /// Value of the managed-by label.
    pub managed_by: String,
    /// Protection mode of ManagedResources that ask for none.
    pub default_mode: Mode,
    /// There is an admission policy that protects objects, too.
    pub guard: bool,
}

/// What a ManagedResource desires, and what it was made from.
pub struct Loaded {
    /// Each object once, in the order of their keys.
    pub desired: Vec<Arc<Desired>>,
    /// Objects that their manifests take out of our hands.
    pub released: BTreeSet<ObjectKey>,
    digests: Vec<Digest>,
    /// What of the objects is held.
    reach: Reach,
    /// Kinds of the desired objects.
    pub kinds: BTreeSet<GroupKind>,
    /// Those of them, and of what is released, of which no version is served.
    pub unknown: BTreeSet<GroupKind>,
    /// Objects that are declared twice with different content.
    pub duplicates: Vec<Duplicate>,
    /// Documents that cannot be read, one text each.
    pub decode_errors: Vec<String>,
    /// Annotations and settings that have no effect, one text each.
    pub remarks: Vec<String>,
    /// Secrets that cannot be read, one text each.
    pub missing: Vec<String>,
    /// Whether some of them may be there all the same: they are to be read again.
    pub is_denied: bool,
    /// Checksum of all data.
    pub checksum: String,
    parts: BTreeMap<String, Arc<Part>>,
    made_from: MadeFrom,
    heeds_autoscalers: bool,
}

/// An object that is not as declared, where that is declared, and why.
pub(crate) fn failure_text(object: &Desired, why: &str) -> String {
    let Source { secret, key, document, .. } = &object.source;
    format!("{} (Secret {secret}, key {key:?}, document {document}): {why}", object.key)
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
        Self { generation: mr.metadata.generation, mode: mr.mode(marks.default_mode), snapshot: snapshot.number }
    }
}

impl Loaded {
    /// Tells this content of the Secrets from others.
    pub fn change(&self) -> &str {
        self.checksum.get(..CHANGE).unwrap_or_default()
    }

    /// Whether every Secret and every document could be read.
    pub fn is_complete(&self) -> bool {
        self.decode_errors.is_empty() && self.missing.is_empty()
    }

    /// Whether it matters for any object if an autoscaler scales it.
    pub fn heeds_autoscalers(&self) -> bool {
        self.heeds_autoscalers
    }

    /// Makes those objects anew that autoscalers scale.
    pub fn scale(&mut self, key: &Key, is_scaled: impl Fn(&ObjectKey) -> bool) {
        for (object, digest) in self.desired.iter_mut().zip(&mut self.digests) {
            if object.heeds_autoscalers() && is_scaled(&object.key) {
                *object = Arc::new(object.autoscaled(true));
                *digest = object.digest(&self.reach.of_object(&object.key), key);
            }
        }
    }

    /// Digest of the manifest at a position of `desired`.
    pub fn digest(&self, position: usize) -> Digest {
        self.digests.get(position).copied().unwrap_or_default()
    }

    /// Names of the Secrets that were read or found missing.
    pub fn secrets(&self) -> impl Iterator<Item = &String> {
        self.parts.keys()
    }

    /// Whether this version of a Secret is what was read; `None`: it was missing.
    pub fn has_version(&self, secret: &str, version: Option<&str>) -> bool {
        self.parts.get(secret).is_some_and(|part| part.version.as_deref() == version)
    }

    /// Whether nothing beside the Secrets has changed since.
    pub fn is_current(&self, mr: &ManagedResource, marks: &Marks, snapshot: &Snapshot) -> bool {
        self.made_from == MadeFrom::new(mr, marks, snapshot)
    }
}

/// How to make desired objects of a ManagedResource's manifests.
pub struct Loader<'a> {
    /// The ManagedResource.
    pub mr: &'a ManagedResource,
    /// Settings that end up on objects.
    pub marks: &'a Marks,
    /// What is served.
    pub snapshot: &'a Snapshot,
    /// Key of the digests.
    pub key: &'a Key,
    /// Bounds what is decoded at a time.
    pub decoders: &'a Semaphore,
    /// Secrets that could not be read.
    pub(crate) unreadable: &'a Unreadable,
}

impl Loader<'_> {
    /// Reads, decodes and prepares. `before` is what was loaded last; a Secret is read again only if its version of
    /// then `is_outdated`. A Secret that is missing, or that the server cannot give out, is a finding, not an error.
    ///
    /// # Errors
    /// The API server does not answer, or has failed just now and may do better at the next attempt.
    pub async fn load(
        &self,
        client: &Client,
        before: Option<&Loaded>,
        is_outdated: impl Fn(&str, Option<&str>) -> bool,
    ) -> Result<Loaded, CallError> {
        let made_from = MadeFrom::new(self.mr, self.marks, self.snapshot);
        let before = before.filter(|before| before.made_from == made_from);
        let names = self.mr.secret_names();
        self.unreadable.retain(&self.mr.key(), |secret| names.contains(&secret));
        let jobs = names.iter().map(|name| {
            let known = before.and_then(|before| before.parts.get(*name));
            let known = known.filter(|part| !is_outdated(name, part.version.as_deref())).cloned();
            async move {
                match known {
                    Some(part) => Ok(part),
                    None => self.part(client, name).await.map(Arc::new),
                }
            }
        });
        let jobs: Vec<_> = jobs.collect();
        let parts: Vec<Arc<Part>> = stream::iter(jobs).buffered(READS).try_collect().await?;
        Ok(self.join(&names, parts, made_from))
    }

    async fn part(&self, client: &Client, name: &str) -> Result<Part, CallError> {
        let namespace = self.mr.key().namespace;
        let mut part = Part::default();
        if !object_name::is_domain(name) {
            part.problem = Some(format!("spec.secretRefs names {name:?}, which is no name that a Secret can have"));
            return Ok(part);
        }
        let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
        let (mr, begun) = (self.mr.key(), Instant::now());
        let read = call(DEFAULT_LIMIT, format!("get Secret {namespace}/{name}"), api.get(name)).await;
        let problem = match &read {
            Err(error) if error.is_not_found() => None,
            // Refused for good, such as for want of permission.
            Err(error) if error.status().is_some() && !error.is_transient() => Some(error.to_string()),
            Err(error) => self.unreadable.fails(&mr, name, begun, error),
            Ok(_) => None,
        };
        if let Some(problem) = problem {
            part.problem = Some(format!("could not read secret '{name}': {problem}"));
            part.is_denied = true;
            return Ok(part);
        }
        let secret = match read {
            Err(error) if !error.is_not_found() => return Err(error),
            read => {
                self.unreadable.is_well(&mr, name);
                let Ok(secret) = read else { return Ok(part) };
                secret
            }
        };
        part.version = secret.resource_version();
        let data: BTreeMap<String, Vec<u8>> =
            secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        let mut checksum = digest::Context::new(&digest::SHA256);
        for (key, value) in &data {
            // Lengths first, so that no other split of the same bytes has the same checksum.
            for bytes in [name.as_bytes(), key.as_bytes(), value] {
                checksum.update(&(bytes.len() as u64).to_be_bytes());
                checksum.update(bytes);
            }
        }
        part.checksum = checksum.finish().as_ref().to_vec();
        // A permit is never refused: the semaphore is not closed.
        let _permit = self.decoders.acquire().await;
        let (recipe, secret) = (self.recipe(), name.to_owned());
        match tokio::task::spawn_blocking(move || recipe.make(&secret, &data)).await {
            Ok(made) => part.made = made,
            Err(_) => {
                part.made.errors.push(format!("Secret {namespace}/{name}: the decoder failed; please report this"));
            }
        }
        Ok(part)
    }

    fn recipe(&self) -> Recipe {
        Recipe {
            mr: self.mr.key(),
            inject_labels: self.mr.spec.inject_labels.clone(),
            mode: self.mr.mode(self.marks.default_mode),
            reach: Reach::of(self.mr),
            marks: self.marks.clone(),
            kinds: Arc::clone(&self.snapshot.kinds),
        }
    }

    fn join(&self, names: &[&str], parts: Vec<Arc<Part>>, made_from: MadeFrom) -> Loaded {
        let namespace = self.mr.key().namespace;
        let mut all = digest::Context::new(&digest::SHA256);
        let (mut missing, mut decode_errors) = (Vec::new(), Vec::new());
        let mut remarks = managed_resource::unknown_kinds(self.mr, &self.snapshot.kinds);
        for (name, part) in names.iter().zip(&parts) {
            all.update(&part.checksum);
            decode_errors.extend(part.made.errors.iter().cloned());
            remarks.extend(part.made.remarks.iter().cloned());
            if let Some(problem) = &part.problem {
                missing.push(problem.clone());
            } else if part.version.is_none() {
                missing.push(format!("Secret {namespace}/{name} does not exist"));
            }
        }
        let mut checksum = String::new();
        for byte in all.finish().as_ref() {
            // Writing to a String does not fail.
            let _ = write!(checksum, "{byte:02x}");
        }
        let desired = parts.iter().flat_map(|part| part.made.desired.iter().cloned()).collect();
        let (desired, duplicates) = plan::deduplicate(desired);
        let reach = Reach::of(self.mr);
        let released: BTreeSet<ObjectKey> = parts.iter().flat_map(|part| part.made.released.iter().cloned()).collect();
        let kinds: BTreeSet<GroupKind> = desired.iter().map(|object| object.key.group_kind()).collect();
        let is_unknown = |kind: &GroupKind| self.snapshot.kinds.preferred(kind).is_none();
        remarks.extend(managed_resource::unwatched_kinds(&kinds, &self.snapshot.kinds));
        let all = kinds.iter().cloned().chain(released.iter().map(ObjectKey::group_kind));
        Loaded {
            unknown: all.filter(is_unknown).collect(),
            kinds,
            digests: desired.iter().map(|object| object.digest(&reach.of_object(&object.key), self.key)).collect(),
            heeds_autoscalers: desired.iter().any(|object| object.heeds_autoscalers()),
            reach,
            desired,
            released,
            duplicates,
            decode_errors,
            missing,
            is_denied: parts.iter().any(|part| part.is_denied),
            remarks,
            checksum,
            parts: names.iter().map(|name| (*name).to_owned()).zip(parts).collect(),
            made_from,
        }
    }
}
