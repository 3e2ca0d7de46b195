//! Users whom the webhook never refuses. They are identities, not places (`docs/design/defence.md`).

use std::{collections::BTreeSet, sync::LazyLock};

use serde::Deserialize;

/// The chart turns this list into matchConditions, so writes of these users do not even reach the webhook.
const LIST: &str = include_str!("../../../../charts/holdfast/files/exempt-users.yaml");

/// The built-in list: controllers of kube-controller-manager by name, users of the control plane, nodes.
#[derive(Debug, Default, Deserialize)]
struct BuiltIn {
    controllers: Vec<String>,
    users: Vec<String>,
    groups: Vec<String>,
}

static BUILT_IN: LazyLock<BuiltIn> = LazyLock::new(|| {
    let documents = holdfast_yaml::documents(LIST.as_bytes(), &holdfast_yaml::Limits::default());
    let first = documents.into_iter().next().and_then(Result::ok);
    first.and_then(|document| serde_json::from_value(document.value).ok()).unwrap_or_default()
});

/// Users and groups whom the webhook never refuses. Cluster-admins and `system:masters` are not among them.
#[derive(Clone, Debug, Default)]
pub struct Exempt {
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Exempt {
    /// Adds our own identities and the configured users and groups to the built-in list.
    pub fn new(own_users: Vec<String>, users: Vec<String>, groups: Vec<String>) -> Self {
        let controllers = BUILT_IN.controllers.iter().map(|name| format!("system:serviceaccount:kube-system:{name}"));
        Self {
            users: controllers.chain(BUILT_IN.users.iter().cloned()).chain(own_users).chain(users).collect(),
            groups: BUILT_IN.groups.iter().cloned().chain(groups).collect(),
        }
    }

    /// Whether this user is exempt.
    pub fn contains(&self, username: &str, groups: &[String]) -> bool {
        self.users.contains(username) || groups.iter().any(|group| self.groups.contains(group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_plane_is_exempt_and_people_are_not() {
        let exempt = Exempt::new(
            vec!["system:serviceaccount:holdfast-system:holdfast-controller".into()],
            vec![],
            vec!["robots".into()],
        );
        for (user, group, expected) in [
            ("system:serviceaccount:kube-system:namespace-controller", "", true),
            ("system:serviceaccount:kube-system:generic-garbage-collector", "", true),
            ("system:serviceaccount:kube-system:deployment-controller", "", true),
            ("system:kube-controller-manager", "", true),
            ("system:kube-scheduler", "", true),
            ("system:apiserver", "", true),
            ("system:node:n1", "system:nodes", true),
            ("system:serviceaccount:holdfast-system:holdfast-controller", "", true),
            ("x", "robots", true),
            ("admin", "system:masters", false),
            ("alice", "system:authenticated", false),
            ("system:serviceaccount:kube-system:some-addon", "system:serviceaccounts:kube-system", false),
        ] {
            assert_eq!(exempt.contains(user, &[group.to_owned()]), expected, "{user} {group}");
        }
    }
}
