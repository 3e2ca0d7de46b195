//! Who owns what a program makes for itself: its service account. What is owned goes when the account goes, by the garbage
//! collector of the cluster, with an uninstalled release for example.
//!
//! A service account, because it lives exactly as long as a release and an upgrade keeps its uid; and because no right is
//! needed to learn its uid: everybody may ask who he is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Client;
use kube::api::ObjectMeta;

use crate::identity;

const KIND: &str = "ServiceAccount";
const USER_PREFIX: &str = "system:serviceaccount:";

/// The flag.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct OwnerArgs {
    /// Make our service account the owner of what this program makes for itself (Lease, Secrets) in the account's namespace. It is
    /// then deleted with the account.
    #[arg(long, env = "HOLDFAST_OWNED_BY_SERVICE_ACCOUNT")]
    pub owned_by_service_account: bool,
}

/// Our service account as an owner of objects in its namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    reference: OwnerReference,
    /// The field manager of what we write.
    manager: &'static str,
}

impl OwnerArgs {
    /// Asks the API server who we are. `None`: nothing is to be owned, since the flag is off, we are no service account of
    /// `namespace`, or there is no telling. That is logged, and no reason not to work. `agent` is our User-Agent.
    pub async fn owner(self, client: &Client, namespace: Option<&str>, agent: &'static str) -> Option<Owner> {
        if !self.owned_by_service_account {
            return None;
        }
        match identity::ask(client).await {
            Ok(user) => {
                let (user, uid) = (user.username.unwrap_or_default(), user.uid.unwrap_or_default());
                let owner = Owner::of(&user, &uid, namespace?, agent);
                if owner.is_none() {
                    tracing::info!(
                        user,
                        namespace,
                        "not running as a service account of this namespace: objects created here get no owner"
                    );
                }
                owner
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the name of our own account: objects created here get no owner");
                None
            }
        }
    }
}

impl Owner {
    /// The owner of objects in `namespace`, if this user is a service account of it.
    pub fn of(user: &str, uid: &str, namespace: &str, agent: &'static str) -> Option<Self> {
        let (home, name) = user.strip_prefix(USER_PREFIX)?.split_once(':')?;
        let reference = OwnerReference {
            api_version: "v1".to_owned(),
            kind: KIND.to_owned(),
            name: name.to_owned(),
            uid: uid.to_owned(),
            // Nothing waits for what we make, and to ask for that would need rights.
            block_owner_deletion: None,
            controller: None,
        };
        let manager = agent.split('/').next().unwrap_or(agent);
        (home == namespace && !uid.is_empty()).then_some(Self { reference, manager })
    }

    /// What an object that we create says of its owners.
    pub fn references(&self) -> Vec<OwnerReference> {
        vec![self.reference.clone()]
    }

    /// Makes us the owner of an object that was made by us alone: by a version that did not say so, or by a former
    /// installation with an account of the same name. Returns whether that is a change. What has a field of somebody else's,
    /// or another owner, is left alone.
    pub fn adopt(&self, metadata: &mut ObjectMeta) -> bool {
        let references = metadata.owner_references.get_or_insert_default();
        if references.iter().any(|reference| !self.is_ours(reference)) || references.contains(&self.reference) {
            return false;
        }
        let entries = metadata.managed_fields.iter().flatten();
        let is_ours_alone = entries.into_iter().all(|entry| entry.manager.as_deref() == Some(self.manager));
        if is_ours_alone {
            *references = self.references();
        }
        is_ours_alone
    }

    /// The reverse, for an object that somebody else has taken into use. Returns whether that is a change.
    pub fn disown(&self, metadata: &mut ObjectMeta) -> bool {
        let references = metadata.owner_references.get_or_insert_default();
        let before = references.len();
        references.retain(|reference| !self.is_ours(reference));
        references.len() != before
    }

    /// Whether somebody else's write gave a field of the spec its value. `field` is its name in `managedFields`.
    pub fn is_foreign(&self, metadata: &ObjectMeta, field: &str) -> bool {
        let pointer = format!("/f:spec/f:{field}");
        let mut writers = metadata
            .managed_fields
            .iter()
            .flatten()
            .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer(&pointer).is_some()));
        writers.any(|entry| entry.manager.as_deref() != Some(self.manager))
    }

    /// An account of our name, whenever it lived.
    fn is_ours(&self, reference: &OwnerReference) -> bool {
        let same = |one: &OwnerReference| (one.api_version.clone(), one.kind.clone(), one.name.clone());
        same(reference) == same(&self.reference)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owner() -> Owner {
        Owner::of("system:serviceaccount:holdfast:controller", "u2", "holdfast", "ours/0.1.0").unwrap()
    }

    fn metadata(managers: &[&str], owners: &Value) -> ObjectMeta {
        let entries: Vec<Value> = managers
            .iter()
            .map(|manager| json!({"manager": manager, "fieldsV1": {"f:spec": {"f:holderIdentity": {}}}}))
            .collect();
        serde_json::from_value(json!({"managedFields": entries, "ownerReferences": owners})).unwrap()
    }

    fn account(name: &str, uid: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "name": name, "uid": uid})
    }

    #[test]
    fn only_a_service_account_of_the_namespace_owns() {
        assert_eq!(serde_json::to_value(owner().references()).unwrap(), json!([account("controller", "u2")]));
        for (user, uid) in [
            ("system:serviceaccount:other:controller", "u"),
            ("system:serviceaccount:holdfast:controller", ""),
            ("system:node:n", "u"),
            ("admin", "u"),
            ("", ""),
        ] {
            assert_eq!(Owner::of(user, uid, "holdfast", "ours"), None, "{user}");
        }
    }

    #[test]
    fn what_is_ours_alone_is_adopted() {
        for (case, managers, owners, adopts) in [
            ("of a version without owners", &["ours"][..], json!([]), true),
            ("of a former installation", &["ours"], json!([account("controller", "u1")]), true),
            ("owned already", &["ours"], json!([account("controller", "u2")]), false),
            ("somebody else has a field", &["ours", "other"], json!([]), false),
            ("somebody else's", &["other"], json!([]), false),
            ("another owner", &["ours"], json!([account("other", "u3")]), false),
            ("another owner, too", &["ours"], json!([account("controller", "u1"), account("other", "u3")]), false),
        ] {
            let mut metadata = metadata(managers, &owners);
            assert_eq!(owner().adopt(&mut metadata), adopts, "{case}");
            let expected = if adopts { json!([account("controller", "u2")]) } else { owners };
            assert_eq!(serde_json::to_value(metadata.owner_references).unwrap(), expected, "{case}");
        }
    }

    #[test]
    fn what_others_took_is_disowned() {
        let mut taken = metadata(&["other"], &json!([account("controller", "u2"), account("other", "u3")]));
        assert!(owner().is_foreign(&taken, "holderIdentity") && !owner().is_foreign(&taken, "renewTime"));
        assert!(owner().disown(&mut taken) && !owner().disown(&mut taken));
        assert_eq!(serde_json::to_value(taken.owner_references).unwrap(), json!([account("other", "u3")]));
        assert!(!owner().is_foreign(&metadata(&["ours"], &json!([])), "holderIdentity"));
        assert!(!owner().is_foreign(&ObjectMeta::default(), "holderIdentity"));
    }
}
