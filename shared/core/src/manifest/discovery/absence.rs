//! Decides whether a kind no longer exists, so that no object of it can exist either.
//!
//! A kind counts as gone only if the server says so. A server that does not answer proves nothing: its objects live on
//! and come back with it.

use crate::{key::GroupKind, manifest::discovery::Discovery};

/// An APIService. It names the server of one version of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiService {
    /// `spec.group`; empty for the core group.
    pub group: String,
    /// `spec.version`.
    pub version: String,
    /// The API server itself serves this version: there is no `spec.service`.
    pub is_local: bool,
    /// The condition `Available` is `True`.
    pub is_available: bool,
}

/// Checks that the kind does not exist.
///
/// `served` must be newer than the question. `services` are all APIServices of the kind's group. `definitions` are the
/// kinds of all CustomResourceDefinitions of that group, including those that are being deleted or serve no version.
///
/// # Errors
/// The kind exists or may exist; the error says why.
pub fn absence(
    kind: &GroupKind,
    served: &Discovery,
    services: &[ApiService],
    definitions: &[GroupKind],
) -> Result<(), String> {
    if let Some(gvk) = served.preferred(kind) {
        return Err(format!("{gvk} is served"));
    }
    if definitions.contains(kind) {
        return Err(format!("there is a CustomResourceDefinition of kind {kind}, and none of its versions is served"));
    }
    if let Some(version) = served.stale_versions(&kind.group).next() {
        return Err(does_not_answer(&kind.group, version));
    }
    let services = services.iter().filter(|service| service.group == kind.group);
    for service in services.filter(|service| !service.is_local) {
        // Discovery lists a new APIService only a moment after it becomes available.
        if !service.is_available || !served.is_current(&service.group, &service.version) {
            return Err(does_not_answer(&service.group, &service.version));
        }
    }
    Ok(())
}

fn does_not_answer(group: &str, version: &str) -> String {
    format!("the server of {group}/{version} does not answer, so nobody can tell what is left there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{key::Gvk, manifest::discovery::ApiInfo};

    fn kind(group: &str, kind: &str) -> GroupKind {
        GroupKind { group: group.to_owned(), kind: kind.to_owned() }
    }

    /// Serves one kind each in `policy/v1`, `example.com/v1` and `metrics.example.com/v1`. `dead.example.com/v1` does
    /// not answer.
    fn served() -> Discovery {
        let mut served = Discovery::default();
        for (group, name) in
            [("policy", "PodDisruptionBudget"), ("example.com", "Widget"), ("metrics.example.com", "Sample")]
        {
            served.insert_version(group, "v1", false);
            served.insert(Gvk::new(&format!("{group}/v1"), name), ApiInfo::default());
        }
        served.insert_version("dead.example.com", "v1", true);
        served
    }

    fn service(group: &str, version: &str, is_local: bool, is_available: bool) -> ApiService {
        ApiService { group: group.into(), version: version.into(), is_local, is_available }
    }

    #[test]
    fn a_kind_is_gone_only_where_the_server_says_so() {
        let definitions =
            [kind("example.com", "Widget"), kind("example.com", "Dying"), kind("gone.example.com", "Old")];
        let local = service("example.com", "v1", true, true);
        let remote = |version: &str, is_available| service("metrics.example.com", version, false, is_available);
        for (case, requested, services, expected) in [
            ("removed from a group that lives on", kind("policy", "PodSecurityPolicy"), vec![], None),
            ("one CRD of several of a group", kind("example.com", "Gadget"), vec![local.clone()], None),
            ("nobody serves the group, and nobody is to", kind("nowhere.example.com", "Thing"), vec![], None),
            ("served", kind("example.com", "Widget"), vec![local], Some("example.com/v1/Widget is served")),
            (
                "a CRD that serves no version or is being deleted",
                kind("example.com", "Dying"),
                vec![],
                Some("there is a Cust"),
            ),
            (
                "a CRD of a group that is not there yet",
                kind("gone.example.com", "Old"),
                vec![],
                Some("there is a Custom"),
            ),
            ("stale", kind("dead.example.com", "Thing"), vec![], Some("the server of dead.example.com/v1 does not")),
            (
                "a live aggregated group without the kind",
                kind("metrics.example.com", "Other"),
                vec![remote("v1", true)],
                None,
            ),
            (
                "one version is not available",
                kind("metrics.example.com", "Other"),
                vec![remote("v1", true), remote("v2", false)],
                Some("the server of metrics.example.com/v2 does not"),
            ),
            (
                "available, and not discovered yet",
                kind("metrics.example.com", "Other"),
                vec![remote("v3", true)],
                Some("the server of metrics.example.com/v3 does not"),
            ),
            ("an APIService of another group", kind("policy", "PodSecurityPolicy"), vec![remote("v2", false)], None),
            (
                "an APIService without a server",
                kind("lost.example.com", "Thing"),
                vec![service("lost.example.com", "v1", false, false)],
                Some("the server of lost.example.com/v1 does not"),
            ),
        ] {
            let found = absence(&requested, &served(), &services, &definitions);
            match expected {
                None => assert_eq!(found, Ok(()), "{case}"),
                Some(part) => assert!(found.as_ref().is_err_and(|text| text.starts_with(part)), "{case}: {found:?}"),
            }
        }
    }
}
