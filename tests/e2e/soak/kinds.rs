//! Kinds of objects: their manifests, what of them is compared, and how others change them.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_core::key::ObjectKey;
use holdfast_testing::Definition;
use serde_json::{Value, json};

/// Custom resources of this group have definitions of their own.
pub const GROUP: &str = "soak.example.com";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    ConfigMap,
    Secret,
    Service,
    Deployment,
    Role,
    RoleBinding,
    ServiceAccount,
    Widget,
    ClusterRole,
    /// The definition of gadgets, declared by one ManagedResource together with its gadgets.
    Definition,
    Gadget,
    /// A namespace, declared by one ManagedResource together with what is in it.
    Namespace,
}

/// Kind, apiVersion, kind in the API, plural, whether it is in a namespace.
const KINDS: [(Kind, &str, &str, &str, bool); 12] = [
    (Kind::ConfigMap, "v1", "ConfigMap", "configmaps", true),
    (Kind::Secret, "v1", "Secret", "secrets", true),
    (Kind::Service, "v1", "Service", "services", true),
    (Kind::Deployment, "apps/v1", "Deployment", "deployments", true),
    (Kind::Role, "rbac.authorization.k8s.io/v1", "Role", "roles", true),
    (Kind::RoleBinding, "rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", true),
    (Kind::ServiceAccount, "v1", "ServiceAccount", "serviceaccounts", true),
    (Kind::Widget, "soak.example.com/v1", "Widget", "widgets", true),
    (Kind::ClusterRole, "rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", false),
    (Kind::Definition, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    (Kind::Gadget, "soak.example.com/v1", "Gadget", "gadgets", true),
    (Kind::Namespace, "v1", "Namespace", "namespaces", false),
];

impl Kind {
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|(kind, ..)| *kind)
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str, bool) {
        KINDS.iter().find(|(kind, ..)| *kind == self).expect("each kind has a row")
    }

    pub fn api_version(self) -> &'static str {
        self.row().1
    }

    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Whether other objects go with it.
    pub fn is_ground(self) -> bool {
        matches!(self, Self::Definition | Self::Namespace)
    }

    pub fn is_namespaced(self) -> bool {
        self.row().4
    }

    pub fn key(self, namespace: &str, name: &str) -> ObjectKey {
        let group = self.api_version().rsplit_once('/').map_or("", |(group, _)| group);
        let namespace = if self.is_namespaced() { namespace } else { "" };
        ObjectKey::new(group, self.name(), namespace, name)
    }

    pub fn of(key: &ObjectKey) -> Self {
        KINDS.iter().find(|(_, _, kind, ..)| *kind == key.kind()).expect("a kind of the soak").0
    }

    /// The path of all objects of the kind in all namespaces.
    pub fn path(self) -> String {
        let (_, version, _, plural, _) = self.row();
        let root = if version.contains('/') { "apis" } else { "api" };
        format!("/{root}/{version}/{plural}")
    }

    /// The path of an object.
    pub fn path_of(key: &ObjectKey) -> String {
        let (_, version, _, plural, is_namespaced) = Self::of(key).row();
        let root = if version.contains('/') { "apis" } else { "api" };
        let place = if *is_namespaced { format!("namespaces/{}/", key.namespace()) } else { String::new() };
        format!("/{root}/{version}/{place}{plural}/{}", key.name())
    }

    /// What a manifest says beside its metadata, for a value.
    pub fn content(self, value: u64, name: &str) -> Value {
        let text = format!("value-{value}");
        let verbs =
            json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": [text]}]);
        match self {
            Self::ConfigMap => json!({"data": {"k": text, format!("k{}", value % 3): "x"}}),
            Self::Secret => json!({"type": "Opaque", "stringData": {"k": text}}),
            Self::Service => json!({"spec": {"selector": {"app": text}, "ports": [{"port": 80 + value % 100}]}}),
            Self::Deployment => deployment(value, name),
            Self::Role | Self::ClusterRole => json!({"rules": verbs}),
            Self::RoleBinding => json!({
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": format!("view-{}", value % 3)},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": text}],
            }),
            Self::ServiceAccount => json!({"automountServiceAccountToken": value.is_multiple_of(2)}),
            Self::Widget | Self::Gadget => json!({"spec": {"text": text, "number": value, "list": [value, "x"]}}),
            Self::Definition => definition("Gadget"),
            Self::Namespace => json!({}),
        }
    }

    /// What the live object must have, and where: `null` stands for nothing. Whole subtrees, so that additions show.
    pub fn expected(self, value: u64, name: &str) -> Vec<(&'static str, Value)> {
        let content = self.content(value, name);
        let at = |pointer: &'static str| (pointer, content.pointer(pointer).cloned().unwrap_or_default());
        match self {
            Self::ConfigMap => vec![at("/data")],
            Self::Secret => vec![("/data", json!({"k": STANDARD.encode(format!("value-{value}"))})), at("/type")],
            Self::Service => vec![
                at("/spec/selector"),
                at("/spec/ports/0/port"),
                ("/spec/ports/1", Value::Null),
                ("/spec/sessionAffinity", json!("None")),
            ],
            Self::Deployment => vec![
                at("/spec/template/spec/containers/0/image"),
                ("/spec/template/spec/containers/1", Value::Null),
                ("/spec/minReadySeconds", Value::Null),
                at("/spec/selector"),
            ],
            Self::Role | Self::ClusterRole => vec![at("/rules")],
            Self::RoleBinding => vec![at("/subjects"), at("/roleRef")],
            Self::ServiceAccount => vec![at("/automountServiceAccountToken")],
            Self::Widget | Self::Gadget => vec![at("/spec")],
            Self::Definition => vec![at("/spec/names/plural"), ("/spec/versions/1", Value::Null)],
            Self::Namespace => vec![("/status/phase", json!("Active"))],
        }
    }

    /// Changes that others make and that are undone: of what is declared, and additions. Merge patches; those without `null`
    /// serve as applies, too.
    pub fn edits(self) -> Vec<Value> {
        match self {
            Self::ConfigMap => vec![
                json!({"data": {"k": "alice"}}),
                json!({"data": {"alice": "x"}}),
                json!({"data": null}),
                json!({"binaryData": {"alice": "eA=="}, "data": {"k": "alice"}}),
            ],
            Self::Secret => vec![json!({"data": {"k": "YWxpY2U="}}), json!({"data": {"alice": "eA=="}})],
            Self::Service => {
                vec![json!({"spec": {"sessionAffinity": "ClientIP"}}), json!({"spec": {"selector": {"alice": "x"}}})]
            }
            Self::Deployment => vec![
                json!({"spec": {"minReadySeconds": 7}}),
                json!({"spec": {"template": {"metadata": {"labels": {"alice": "x"}}}}}),
                json!({"spec": {"replicas": 3, "minReadySeconds": 5}}),
            ],
            Self::Role | Self::ClusterRole => vec![json!({"rules": []})],
            Self::RoleBinding => vec![json!({"subjects": []}), json!({"subjects": null})],
            Self::ServiceAccount => {
                vec![json!({"automountServiceAccountToken": null}), json!({"automountServiceAccountToken": true})]
            }
            Self::Widget | Self::Gadget => {
                vec![json!({"spec": {"alice": 1}}), json!({"spec": {"number": 7}}), json!({"spec": null})]
            }
            Self::Definition | Self::Namespace => vec![],
        }
    }
}

fn deployment(value: u64, name: &str) -> Value {
    json!({"spec": {
        "replicas": value % 2,
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": format!("registry.example.com/app:{value}")}]},
        },
    }})
}

/// The rest of a definition: its kind in the group, with any fields.
fn definition(kind: &str) -> Value {
    json!({"spec": Definition::new(GROUP, kind).object()["spec"]})
}

/// The definition of widgets, which every ManagedResource may use.
pub fn widgets() -> Value {
    Definition::new(GROUP, "Widget").object()
}
