//! Reading Secrets, and making desired objects of their manifests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use holdfast_core::{
    api::ManagedResource,
    digest::Key,
    field_ownership::ManagedScope,
    inventory::plan,
    key::{GroupKind, NamespacedName, ObjectKey},
    object_name,
    validation::managed_resource,
};
use holdfast_runtime::{
    api::Api,
    call::{CallError, DEFAULT_LIMIT, call},
    traffic::Traffic,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Client, ResourceExt as _};
use ring::digest;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    DesiredSet, OwnershipMetadata,
    secret::{Part, Recipe},
    set::MadeFrom,
    unreadable::Unreadable,
};
use crate::target::discovery::Snapshot;

/// Secrets of a ManagedResource read at a time.
const READS: usize = 4;
/// Secrets decoded at a time: bounds memory.
const DECODERS: usize = 2;

/// Reads what ManagedResources desire.
pub(crate) struct Loader {
    source: Client,
    ownership: OwnershipMetadata,
    digest_key: Key,
    /// Bounds what is decoded at a time.
    decoders: Semaphore,
    unreadable: Unreadable,
}

impl Loader {
    /// Reads Secrets by `source`; `traffic` is what is sent by it. Digests are made with `digest_key`.
    pub(crate) fn new(source: Client, traffic: Traffic, ownership: OwnershipMetadata, digest_key: Key) -> Self {
        let unreadable = Unreadable::new(traffic);
        Self { source, ownership, digest_key, decoders: Semaphore::new(DECODERS), unreadable }
    }

    /// Settings that end up on objects.
    pub(crate) fn ownership(&self) -> &OwnershipMetadata {
        &self.ownership
    }

    /// Key of the digests.
    pub(crate) fn digest_key(&self) -> &Key {
        &self.digest_key
    }

    /// The ManagedResource is gone.
    pub(crate) fn forget(&self, mr: &NamespacedName) {
        self.unreadable.forget(mr);
    }

    /// Reads, decodes and prepares. `before` is what was loaded last; a Secret is read again only if its version of
    /// then `is_outdated`. A Secret that is missing, or that the server cannot give out, is a finding, not an error.
    ///
    /// # Errors
    /// The API server does not answer, or has failed just now and may do better at the next attempt.
    pub(crate) async fn load(
        &self,
        mr: &ManagedResource,
        served: &Snapshot,
        before: Option<&DesiredSet>,
        is_outdated: impl Fn(&str, Option<&str>) -> bool,
    ) -> Result<DesiredSet, CallError> {
        let made_from = MadeFrom::new(mr, &self.ownership, served);
        let before = before.filter(|before| before.made_from == made_from);
        let names = mr.secret_names();
        self.unreadable.retain(&mr.key(), |secret| names.contains(&secret));
        let jobs = names.iter().map(|name| {
            let earlier = before.and_then(|before| before.parts.get(*name));
            let earlier = earlier.filter(|part| !is_outdated(name, part.version.as_deref())).cloned();
            async move {
                match earlier {
                    Some(part) => Ok(part),
                    None => self.part(mr, served, name).await.map(Arc::new),
                }
            }
        });
        let jobs: Vec<_> = jobs.collect();
        let parts: Vec<Arc<Part>> = stream::iter(jobs).buffered(READS).try_collect().await?;
        Ok(self.join(mr, served, names.iter().map(|name| (*name).to_owned()).zip(parts).collect(), made_from))
    }

    async fn part(&self, mr: &ManagedResource, served: &Snapshot, name: &str) -> Result<Part, CallError> {
        let mut part = Part::default();
        if !object_name::is_domain(name) {
            part.problem = Some(format!("spec.secretRefs names {name:?}, which is no name that a Secret can have"));
            return Ok(part);
        }
        let (key, begun) = (mr.key(), Instant::now());
        let namespace = &key.namespace;
        let api: Api<Secret> = Api::namespaced(self.source.clone(), namespace);
        let read = call(DEFAULT_LIMIT, format!("get Secret {namespace}/{name}"), api.get(name)).await;
        let problem = match &read {
            Err(error) if error.is_not_found() => None,
            // Refused for good, such as for want of permission.
            Err(error) if error.status().is_some() && !error.is_transient() => Some(error.to_string()),
            Err(error) => self.unreadable.fails(&key, name, begun, error),
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
                self.unreadable.is_well(&key, name);
                let Ok(secret) = read else { return Ok(part) };
                secret
            }
        };
        part.version = secret.resource_version();
        let data: BTreeMap<String, Vec<u8>> =
            secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
        part.checksum = checksum(name, &data);
        // A permit is never refused: the semaphore is not closed.
        let _permit = self.decoders.acquire().await;
        let (recipe, secret) = (self.recipe(mr, served), name.to_owned());
        match tokio::task::spawn_blocking(move || recipe.make(&secret, &data)).await {
            Ok(made) => part.made = made,
            Err(_) => {
                part.made.errors.push(format!("Secret {namespace}/{name}: the decoder failed; please report this"));
            }
        }
        Ok(part)
    }

    fn recipe(&self, mr: &ManagedResource, served: &Snapshot) -> Recipe {
        Recipe {
            mr: mr.key(),
            inject_labels: mr.spec.inject_labels.clone(),
            mode: mr.mode(self.ownership.default_mode),
            scope: ManagedScope::of(mr),
            ownership: self.ownership.clone(),
            kinds: Arc::clone(&served.kinds),
        }
    }

    /// The parts, in the order of their names in the specification.
    fn join(
        &self,
        mr: &ManagedResource,
        served: &Snapshot,
        parts: Vec<(String, Arc<Part>)>,
        made_from: MadeFrom,
    ) -> DesiredSet {
        let mut warnings = managed_resource::unknown_kinds(mr, &served.kinds);
        let (mut missing, mut decode_errors) = (Vec::new(), Vec::new());
        for (name, part) in &parts {
            decode_errors.extend(part.made.errors.iter().cloned());
            warnings.extend(part.made.warnings.iter().cloned());
            if let Some(problem) = &part.problem {
                missing.push(problem.clone());
            } else if part.version.is_none() {
                missing.push(format!("Secret {}/{name} does not exist", mr.key().namespace));
            }
        }
        let objects = parts.iter().flat_map(|(_, part)| part.made.desired.iter().cloned()).collect();
        let (objects, duplicates) = plan::deduplicate(objects);
        let scope = ManagedScope::of(mr);
        let orphaned: BTreeSet<ObjectKey> =
            parts.iter().flat_map(|(_, part)| part.made.orphaned.iter().cloned()).collect();
        let kinds: BTreeSet<GroupKind> = objects.iter().map(|object| object.key.group_kind()).collect();
        let is_unknown = |kind: &GroupKind| served.kinds.preferred(kind).is_none();
        warnings.extend(managed_resource::unwatchable_kinds(&kinds, &served.kinds));
        let all = kinds.iter().cloned().chain(orphaned.iter().map(ObjectKey::group_kind));
        DesiredSet {
            unknown: all.filter(is_unknown).collect(),
            kinds,
            digests: objects
                .iter()
                .map(|object| object.digest(&scope.of_object(&object.key), &self.digest_key))
                .collect(),
            heeds_autoscalers: objects.iter().any(|object| object.heeds_autoscalers()),
            scope,
            objects,
            orphaned,
            duplicates,
            decode_errors,
            missing,
            is_denied: parts.iter().any(|(_, part)| part.is_denied),
            warnings,
            checksum: joint_checksum(parts.iter().map(|(_, part)| &**part)),
            parts: parts.into_iter().collect(),
            made_from,
        }
    }
}

/// Of the data of one Secret.
fn checksum(name: &str, data: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut checksum = digest::Context::new(&digest::SHA256);
    for (key, value) in data {
        // Lengths first, so that no other split of the same bytes has the same checksum.
        for bytes in [name.as_bytes(), key.as_bytes(), value] {
            checksum.update(&(bytes.len() as u64).to_be_bytes());
            checksum.update(bytes);
        }
    }
    checksum.finish().as_ref().to_vec()
}

/// Of the data of all Secrets.
fn joint_checksum<'a>(parts: impl Iterator<Item = &'a Part>) -> String {
    let mut all = digest::Context::new(&digest::SHA256);
    parts.for_each(|part| all.update(&part.checksum));
    let mut text = String::new();
    for byte in all.finish().as_ref() {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
