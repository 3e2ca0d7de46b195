//! Valid names of objects. Kinds of Kubernetes have a form; all other kinds accept almost any name.
//!
//! A name is refused only if every API server from 1.30 on refuses it. The table follows the calls of
//! `ValidateObjectMeta` for each kind there. Kinds outside the table (those of RBAC and PodDisruptionBudgets, for
//! example) accept whatever a URL can carry, and so do custom resources and kinds of aggregated API servers.

use std::net::IpAddr;

use crate::key::ObjectKey;
use crate::url_path;

/// The form of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A DNS subdomain of RFC 1123.
    Subdomain,
    /// A DNS label of RFC 1123.
    Label,
    /// An IP address.
    Address,
    /// `<version>.<group>`; the group may be empty.
    VersionAndGroup,
    /// A DNS subdomain, optionally with the name of a signer and a colon before it.
    BehindSigner,
}

use Form::{Address, BehindSigner, Label, Subdomain, VersionAndGroup};

/// Which kinds have which form: group, form, kinds.
const FORMS: &[(&str, Form, &[&str])] = &[
    // Older versions require that Services begin with a letter.
    ("", Label, &["Namespace", "Service"]),
    (
        "",
        Subdomain,
        &[
            "ConfigMap",
            "Endpoints",
            "LimitRange",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "ServiceAccount",
        ],
    ),
    ("admissionregistration.k8s.io", Subdomain, &["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"]),
    ("admissionregistration.k8s.io", Subdomain, &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]),
    ("admissionregistration.k8s.io", Subdomain, &["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]),
    ("apiextensions.k8s.io", Subdomain, &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", VersionAndGroup, &["APIService"]),
    ("apps", Subdomain, &["ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("autoscaling", Subdomain, &["HorizontalPodAutoscaler"]),
    ("batch", Subdomain, &["CronJob", "Job"]),
    ("certificates.k8s.io", Subdomain, &["PodCertificateRequest"]),
    ("certificates.k8s.io", BehindSigner, &["ClusterTrustBundle"]),
    ("coordination.k8s.io", Subdomain, &["Lease"]),
    ("discovery.k8s.io", Subdomain, &["EndpointSlice"]),
    ("events.k8s.io", Subdomain, &["Event"]),
    ("flowcontrol.apiserver.k8s.io", Subdomain, &["FlowSchema", "PriorityLevelConfiguration"]),
    ("networking.k8s.io", Subdomain, &["Ingress", "IngressClass", "NetworkPolicy", "ServiceCIDR"]),
    ("networking.k8s.io", Address, &["IPAddress"]),
    ("node.k8s.io", Subdomain, &["RuntimeClass"]),
    ("resource.k8s.io", Subdomain, &["DeviceTaintRule"]),
    ("resource.k8s.io", Subdomain, &["DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"]),
    ("scheduling.k8s.io", Subdomain, &["PriorityClass"]),
    ("storage.k8s.io", Subdomain, &["CSIDriver", "CSINode", "CSIStorageCapacity"]),
    ("storage.k8s.io", Subdomain, &["StorageClass", "VolumeAttachment", "VolumeAttributesClass"]),
    ("storagemigration.k8s.io", Subdomain, &["StorageVersionMigration"]),
    // These kinds no longer exist in any of these versions, but old inventories contain them.
    ("extensions", Subdomain, &["DaemonSet", "Deployment", "Ingress", "NetworkPolicy", "ReplicaSet"]),
    ("policy", Subdomain, &["PodSecurityPolicy"]),
];

/// Returns every kind whose names have a form, as group, kind and form.
pub fn forms() -> impl Iterator<Item = (&'static str, &'static str, Form)> {
    FORMS.iter().flat_map(|(group, form, kinds)| kinds.iter().map(|kind| (*group, *kind, *form)))
}

impl Form {
    fn is_of(self, name: &str) -> bool {
        match self {
            Subdomain => is_domain(name),
            Label => is_label(name),
            BehindSigner => name.rsplit(':').next().is_some_and(is_domain),
            Address => name.parse::<IpAddr>().is_ok(),
            VersionAndGroup => name
                .split_once('.')
                .is_some_and(|(version, group)| is_label(version) && (group.is_empty() || is_domain(group))),
        }
    }

    fn described(self) -> &'static str {
        match self {
            Subdomain => {
                "a DNS subdomain of at most 253 characters (lowercase letters, digits, '-' and '.'; letters or digits at \
                 both ends and around each '.')"
            }
            Label => {
                "a DNS label of at most 63 characters (lowercase letters, digits and '-'; letters or digits at both ends)"
            }
            Address => "an IP address",
            BehindSigner => "a DNS subdomain, behind the name of the signer and a ':' if there is one",
            VersionAndGroup => "version and group with a '.' between them",
        }
    }
}

/// Returns why an object of this kind cannot have this name, or `None` if it can. The text does not quote the name.
pub fn refusal(group: &str, kind: &str, name: &str) -> Option<String> {
    if let Err(error) = url_path::check(name) {
        return Some(format!("metadata.name is no name that an object can have: {error}"));
    }
    let (_, kind, form) = forms().find(|(ours, listed, _)| *ours == group && *listed == kind)?;
    (!form.is_of(name))
        .then(|| format!("metadata.name is no name that a {kind} can have: it must be {}", form.described()))
}

/// Returns why no Namespace can have this name, or `None` if one can. The text does not quote the name.
pub fn namespace_refusal(namespace: &str) -> Option<String> {
    (!is_label(namespace))
        .then(|| format!("metadata.namespace is no name that a Namespace can have: it must be {}", Label.described()))
}

/// Whether an object with this key can exist. If not, it counts as gone, and no request is needed to find out.
pub fn is_possible(object: &ObjectKey) -> bool {
    (object.namespace().is_empty() || is_label(object.namespace()))
        && refusal(object.group(), object.kind(), object.name()).is_none()
}

/// Whether a text is a DNS subdomain. Names of Secrets and prefixes of labels must be one.
pub fn is_domain(text: &str) -> bool {
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        let is_edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        is_edge(bytes.first())
            && is_edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && !text.contains('.') && is_domain(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: [&str; 9] = [".", "..", "", "a/b", "a%2Fb", "a%00", "/", "%", "../secrets/x"];
    const SPECIAL: [&str; 14] = [
        "victim#1",
        "victim?a=b",
        "?a=b",
        "victim?watch=true",
        "#",
        "a b",
        "team:a b",
        "a@b",
        "a+b",
        "a&b",
        "ü",
        "it's",
        "a\nb",
        "A",
    ];

    #[test]
    fn what_leads_elsewhere_is_no_name_of_any_kind() {
        for name in HOSTILE {
            for (group, kind) in
                [("", "ConfigMap"), ("rbac.authorization.k8s.io", "Role"), ("example.com", "Widget"), ("policy", "X")]
            {
                let refusal = refusal(group, kind, name).unwrap_or_else(|| panic!("{kind} {name:?}"));
                assert!(refusal.starts_with("metadata.name is no name that"), "{refusal}");
                assert!(!is_possible(&ObjectKey::new(group, kind, "n", name)));
            }
            assert!(namespace_refusal(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn peculiar_names_are_for_kinds_that_can_have_them() {
        for name in SPECIAL {
            for (group, kind, expected) in [
                ("", "ConfigMap", false),
                ("", "Service", false),
                ("apps", "Deployment", false),
                ("networking.k8s.io", "IPAddress", false),
                ("apiregistration.k8s.io", "APIService", false),
                ("rbac.authorization.k8s.io", "ClusterRole", true),
                ("rbac.authorization.k8s.io", "RoleBinding", true),
                ("policy", "PodDisruptionBudget", true),
                ("certificates.k8s.io", "CertificateSigningRequest", true),
                ("example.com", "ConfigMap", true),
            ] {
                assert_eq!(refusal(group, kind, name).is_none(), expected, "{kind}.{group} {name:?}");
                assert_eq!(is_possible(&ObjectKey::new(group, kind, "", name)), expected);
            }
            assert!(namespace_refusal(name).is_some(), "{name:?}");
            assert!(!is_possible(&ObjectKey::new("rbac.authorization.k8s.io", "Role", name, "x")));
        }
    }

    #[test]
    fn names_have_the_form_of_their_kind() {
        let (long, label) = (format!("{}.{}", "a".repeat(126), "b".repeat(126)), "a".repeat(63));
        let (longer, more) = (format!("{long}c"), format!("{label}a"));
        for (group, kind, name, expected) in [
            ("", "ConfigMap", "kube-root-ca.crt", true),
            ("", "ConfigMap", "1.2-3", true),
            ("", "ConfigMap", "a..b", false),
            ("", "ConfigMap", "-a", false),
            ("", "ConfigMap", "a.", false),
            ("", "ConfigMap", &long, true),
            ("", "ConfigMap", &longer, false),
            ("", "Namespace", "a.b", false),
            ("", "Namespace", &label, true),
            ("", "Namespace", &more, false),
            ("", "Service", "1a", true),
            ("", "Service", "a.b", false),
            ("", "Event", "a.17", true),
            ("networking.k8s.io", "IPAddress", "fd00::1", true),
            ("networking.k8s.io", "IPAddress", "10.0.0.1", true),
            ("apiregistration.k8s.io", "APIService", "v1.", true),
            ("apiregistration.k8s.io", "APIService", "v1beta1.metrics.k8s.io", true),
            ("apiregistration.k8s.io", "APIService", "v1", false),
            ("certificates.k8s.io", "ClusterTrustBundle", "example.com:signer:x", true),
            ("certificates.k8s.io", "ClusterTrustBundle", "example.com:signer:", false),
        ] {
            assert_eq!(refusal(group, kind, name).is_none(), expected, "{kind} {name}");
        }
        assert_eq!(namespace_refusal("a-1"), None);
        assert!(!refusal("", "ConfigMap", "HUNTER2").unwrap().contains("HUNTER2"), "names are not quoted");
    }
}
