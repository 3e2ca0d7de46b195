//! Objects to be edited, and who edits them.
use std::sync::Mutex;
use std::time::{Duration, Instant};

use holdfast_e2e::control_plane::User;
use holdfast_testing::Definition;
use holdfast_testing::edits::{self, Edit, Form};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::Test;

const KINDS: &str = include_str!("kinds.yaml");
/// Until the controller has undone what it undoes, on a busy machine.
const UNDONE: Duration = Duration::from_secs(30);
/// Never refused, and allowed everything.
const EXEMPT: [(&str, &str); 2] =
    [("Impersonate-User", "system:kube-controller-manager"), ("Impersonate-Group", "system:masters")];

/// The ManagedResources of a generation: name, protection, and whether they have objects with fields that are left to others.
const MRS: [(&str, &str, bool); 4] = [
    ("exact", r#"{"scope": "Exact"}"#, true),
    ("declared", r#"{"scope": "Declared"}"#, true),
    (
        "partly",
        r#"{"ignorePaths": [{"path": "/data/free"}, {"path": "/spec/template/spec/containers[name=main]/image"},
            {"kind": "Widget", "path": "/spec/parts[name=a]"}, {"kind": "Service", "path": "/spec/selector"}]}"#,
        false,
    ),
    ("revert", r#"{"mode": "Revert"}"#, false),
];

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    resource: String,
    manifest: Value,
    /// Fields that the kind knows, with values: some are its defaults.
    more: Vec<(String, Value)>,
    #[serde(default)]
    is_custom: bool,
    /// Some of its content is left to others.
    #[serde(default)]
    partly: bool,
}

/// An object that is edited.
#[derive(Clone)]
pub struct Target {
    pub mr: String,
    pub kind: String,
    pub name: String,
    pub more: Vec<(String, Value)>,
    pub is_custom: bool,
    path: String,
}

impl Target {
    pub fn is_reverted(&self) -> bool {
        self.mr.starts_with("revert")
    }
}

/// What the server says to an edit.
pub enum Answer {
    Stored(Value),
    /// By us.
    Refused(String),
    /// By the server, whoever sends it.
    Invalid,
}

pub struct Stage {
    test: Test,
    admin: Client,
    alice: Client,
    current: Mutex<Vec<String>>,
}

impl Stage {
    pub async fn set() -> Self {
        let test = Test::shared("property").await;
        test.create("customresourcedefinitions", &definition(&test.ns)).await;
        let client = |user| test.cluster.control_plane.client(user).expect("make a client");
        Self { admin: client(User::Admin), alice: client(User::Alice), test, current: Mutex::default() }
    }

    fn current(&self) -> Vec<String> {
        self.current.lock().expect("no other thread has panicked").clone()
    }

    /// New objects of all kinds, for each of [`MRS`]; returns when they are settled.
    pub async fn declare_generation(&self, generation: usize) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut names = Vec::new();
        for (mr, protection, has_partly) in MRS {
            let name = format!("{mr}-{generation}");
            let text = KINDS.replace("GEN", &name).replace("NS", &self.test.ns);
            let mut rows: Vec<Row> = serde_yaml::from_str(&text).expect("read the kinds");
            rows.retain(|row| has_partly || !row.partly);
            let mut manifests = String::new();
            for row in &mut rows {
                row.manifest["metadata"]["namespace"] = self.test.ns.clone().into();
                manifests.extend([row.manifest.to_string().as_str(), "\n---\n"]);
            }
            self.test.secret(&name, &manifests).await;
            let protection: Value = serde_json::from_str(protection).expect("read the protection");
            self.test.mr(&name, &[&name], json!({"protection": protection})).await;
            for row in rows {
                let object = row.manifest["metadata"]["name"].as_str().expect("a name").to_owned();
                targets.push(Target {
                    mr: name.clone(),
                    kind: row.manifest["kind"].as_str().expect("a kind").to_owned(),
                    path: self.test.path(&row.resource, &object),
                    name: object,
                    more: row.more,
                    is_custom: row.is_custom,
                });
            }
            names.push(name);
        }
        for name in &names {
            self.test.applied(name).await;
        }
        *self.current.lock().expect("no other thread has panicked") = names;
        targets
    }

    /// Deletes the ManagedResources of a generation; does not wait.
    pub async fn forget(&self, generation: usize) {
        for (mr, ..) in MRS {
            self.test.delete("managedresources", &format!("{mr}-{generation}")).await;
        }
    }

    pub async fn get(&self, target: &Target) -> Value {
        self.ask(&self.admin, "GET", "application/json", &target.path, &Value::Null, false)
            .await
            .unwrap_or_else(|error| panic!("read {}: {error}", target.path))
    }

    /// As alice, whom the webhook judges.
    pub async fn edit_as_alice(&self, target: &Target, edit: &Edit, is_dry: bool) -> Answer {
        self.edit(&self.alice, target, edit, is_dry, false).await
    }

    /// In the same field manager's name, by somebody whom the webhook does not see.
    pub async fn edit_exempt(&self, target: &Target, edit: &Edit, is_dry: bool) -> Answer {
        self.edit(&self.admin, target, edit, is_dry, true).await
    }

    async fn edit(&self, client: &Client, target: &Target, edit: &Edit, is_dry: bool, is_exempt: bool) -> Answer {
        let dry = if is_dry { "&dryRun=All" } else { "" };
        let force = if edit.form == Form::Apply { "&force=true" } else { "" };
        let path = format!("{}?fieldManager=alice{force}{dry}", target.path);
        match self.ask(client, "PATCH", edit.form.content_type(), &path, &edit.body, is_exempt).await {
            Ok(object) => Answer::Stored(object),
            Err(kube::Error::Api(status)) if status.message.contains("denied the request") => {
                Answer::Refused(status.message)
            }
            Err(kube::Error::Api(_)) => Answer::Invalid,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    async fn ask(
        &self,
        client: &Client,
        method: &str,
        kind: &str,
        path: &str,
        body: &Value,
        is_exempt: bool,
    ) -> kube::Result<Value> {
        let mut request = http::Request::builder().method(method).uri(path).header("Content-Type", kind);
        for (name, value) in EXEMPT.iter().filter(|_| is_exempt) {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        client.request(request.body(body).expect("make a request")).await
    }

    /// Waits until the content is another one than this; the object if it stays.
    pub async fn still(&self, target: &Target, stored: &Value) -> Option<Value> {
        let begin = Instant::now();
        loop {
            let now = edits::content(&self.get(target).await);
            if now != *stored {
                return None;
            }
            if begin.elapsed() > UNDONE {
                return Some(now);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Whether the server refuses the manifest as it is now, in a scope that leaves what others add.
    pub async fn is_invalid(&self, target: &Target) -> bool {
        let mr = self.test.get("managedresources", &target.mr).await.unwrap_or_default();
        let conditions = mr["status"]["conditions"].to_string();
        target.mr.starts_with("declared")
            && conditions.contains(&format!("{} {}", target.kind, self.test.ns))
            && conditions.contains(&format!("/{} ", target.name))
            && conditions.contains(" is invalid: ")
    }

    /// Makes the content what it was.
    pub async fn put_back(&self, target: &Target, content: &Value) {
        let fields = content.as_object().into_iter().flatten();
        let body =
            fields.map(|(name, value)| json!({"op": "add", "path": format!("/{name}"), "value": value})).collect();
        self.edit_exempt(target, &Edit { form: Form::Json, body }, false).await;
    }

    /// Has everything of this generation applied once more.
    pub async fn resync(&self) {
        let names = self.current();
        futures::future::join_all(names.iter().map(|name| self.test.resync(name))).await;
    }
}

/// With a list of every sort.
fn definition(ns: &str) -> Value {
    let keyed = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
        "type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "count": {"type": "integer", "default": 1}}}});
    let set = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    let properties = json!({
        "size": {"type": "integer"}, "colour": {"type": "string", "default": "red"}, "parts": keyed, "set": set,
        "list": {"type": "array", "items": {"type": "integer"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    });
    Definition::new(&format!("{ns}.example.com"), "Widget").spec(&properties).object()
}

/// Pointers at which two values differ.
pub fn differences(old: &Value, new: &Value) -> Vec<String> {
    let mut all = Vec::new();
    differ(old, new, "", &mut all);
    all
}

fn differ(old: &Value, new: &Value, place: &str, all: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                differ(
                    before.get(name).unwrap_or(&Value::Null),
                    after.get(name).unwrap_or(&Value::Null),
                    &format!("{place}/{name}"),
                    all,
                );
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                differ(before, after, &format!("{place}/{index}"), all);
            }
        }
        _ if old != new => all.push(place.to_owned()),
        _ => {}
    }
}

/// An object as users leave it: what controllers report of it comes at any time.
pub fn apart_from_status(object: &Value) -> Value {
    let mut object = object.clone();
    let fields = object.as_object_mut().expect("an object");
    let reports = fields.remove("status").is_some();
    let metadata = fields["metadata"].as_object_mut().expect("metadata");
    if let Some(entries) = metadata.get_mut("managedFields").and_then(Value::as_array_mut) {
        entries.retain(|entry| entry["subresource"] != "status" && entry["manager"] != "kube-controller-manager");
    }
    if reports {
        metadata.remove("resourceVersion");
        metadata.remove("annotations");
    }
    object
}
