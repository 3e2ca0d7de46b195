//! Reviews as the API server sends them, recorded by `cargo xtask record`, through the service, without a socket.
//!
//! `data/reviews/<path>/<act>.json` is what was sent, `data/managedresources.json` and `data/secrets.json` what there was in the
//! cluster. Beside a review, `<act>.yaml` says what is answered, and `<act>@<setting>.yaml` what is answered in another [`Setting`].
//! A recording leaves these alone. `HOLDFAST_BLESS=1 cargo test -p holdfast-webhook recorded` writes them as it is now, to be
//! read by a person before they are committed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use holdfast_core::api::ManagedResource;
use holdfast_core::key::NamespacedName;
use holdfast_core::protect::{Exempt, Rules};
use holdfast_runtime::index::SharedIndex;
use holdfast_runtime::watch::MrEvent;
use holdfast_webhook::admission::manifests::Data;
use holdfast_webhook::admission::pause_access::PauseAccess;
use holdfast_webhook::admission::review::{Request, UserInfo};
use holdfast_webhook::admission::reviewer::Reviewer;
use holdfast_webhook::admission::secret_reader::SecretReader;
use holdfast_webhook::events::Reason;
use holdfast_webhook::metrics::Metrics;
use holdfast_webhook::server::app::App;
use serde_json::{Value, json};

use crate::fixtures::{OURS, post};

/// What the webhook is told, and how it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setting {
    /// As it was when the reviews were recorded.
    Recorded,
    /// No ManagedResource is known yet.
    Unknown,
    /// The same under failure policy Fail.
    UnknownClosed,
    /// Nothing is refused so far.
    AuditOnly,
    /// Namespaces with managed objects are kept.
    KeepNamespaces,
    /// A ManagedResource that does not say what it wants has mode Off.
    OffByDefault,
    /// Nobody says who may override, and no Secret can be read.
    Mute,
}

impl Setting {
    const ALL: [Self; 7] = [
        Self::Recorded,
        Self::Unknown,
        Self::UnknownClosed,
        Self::AuditOnly,
        Self::KeepNamespaces,
        Self::OffByDefault,
        Self::Mute,
    ];

    fn name(self) -> String {
        format!("{self:?}")
    }

    /// The known ManagedResources.
    pub(crate) fn index(self) -> SharedIndex {
        let index = SharedIndex::default();
        if !matches!(self, Self::Unknown | Self::UnknownClosed) {
            let objects: Vec<ManagedResource> = read("managedresources.json");
            index.apply(&MrEvent::Restarted { objects, unreadable: BTreeSet::new() });
        }
        index
    }

    /// How the webhook is set.
    pub(crate) fn rules(self) -> Rules {
        let webhook = OURS.replace("controller", "webhook");
        Rules {
            exempt: Exempt::new(vec![OURS.to_owned(), webhook], vec![], vec![]),
            fail_closed: self == Self::UnknownClosed,
            audit_only: self == Self::AuditOnly,
            keep_namespaces: self == Self::KeepNamespaces,
            default_mode: if self == Self::OffByDefault {
                holdfast_core::api::Mode::Off
            } else {
                Rules::default().default_mode
            },
            home: "holdfast-system".to_owned(),
            ..Rules::default()
        }
    }

    /// The service in this setting.
    pub(crate) fn app(self) -> Arc<App> {
        let (index, rules) = (self.index(), self.rules());
        let cluster = Arc::new(Cluster { secrets: read("secrets.json"), is_mute: self == Self::Mute });
        Arc::new(App::new(Reviewer::new(index, rules, Arc::clone(&cluster) as _, cluster, Metrics::default())))
    }
}

/// Reviews that are judged in other worlds, too.
const IN_SETTINGS: [(Setting, &[&str]); 6] = [
    (
        Setting::Unknown,
        &[
            "protect/edit-declared",
            "protect/scale",
            "protect/edit-as-node",
            "protect/delete",
            "secrets/secret-broken",
            "namespaces/delete-namespace-with-objects",
            "revert/revert-edit",
            "managedresources/mr-annotated",
        ],
    ),
    (
        Setting::UnknownClosed,
        &[
            "protect/edit-declared",
            "protect/scale",
            "protect/edit-as-node",
            "protect/foreign-label",
            "namespaces/delete-namespace-with-objects",
        ],
    ),
    (
        Setting::AuditOnly,
        &[
            "protect/edit-declared",
            "protect/delete",
            "protect/warn-edit",
            "protect/paused-edit",
            "revert/revert-edit",
            "secrets/secret-broken",
            "managedresources/mr-created-broken",
            "managedresources/mr-pause-not-allowed",
        ],
    ),
    (Setting::KeepNamespaces, &["namespaces/delete-namespace-with-objects", "namespaces/delete-empty-namespace"]),
    (Setting::OffByDefault, &["protect/edit-declared", "protect/delete", "protect/warn-edit", "protect/revert-edit"]),
    (Setting::Mute, &["managedresources/mr-created", "managedresources/mr-pause", "managedresources/mr-ignore"]),
];

/// The cluster as it was recorded.
struct Cluster {
    secrets: BTreeMap<String, BTreeMap<String, String>>,
    is_mute: bool,
}

impl SecretReader for Cluster {
    fn read<'a>(&'a self, secret: &'a NamespacedName) -> BoxFuture<'a, Result<Option<Data>, String>> {
        let decoded = |data: &BTreeMap<String, String>| {
            data.iter().map(|(key, text)| (key.clone(), STANDARD.decode(text).unwrap())).collect()
        };
        let found = self.secrets.get(&secret.name).map(decoded);
        let answer = if self.is_mute { Err(format!("get Secret {secret}: no answer")) } else { Ok(found) };
        async move { answer }.boxed()
    }
}

/// Everybody but carol has the verb `override`.
impl PauseAccess for Cluster {
    fn may_override<'a>(&'a self, user: &'a UserInfo, _mr: &'a NamespacedName) -> BoxFuture<'a, Result<bool, String>> {
        let answer = if self.is_mute { Err("no answer".to_owned()) } else { Ok(user.username != "carol") };
        async move { answer }.boxed()
    }

    fn publish(&self, _request: &Request, _reason: Reason, _note: String) {}
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn read<T: serde::de::DeserializeOwned>(file: &str) -> T {
    let text = std::fs::read_to_string(data().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&in_time(&text)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// With the time that is meant in its place.
fn in_time(text: &str) -> String {
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    text.replace("IN-AN-HOUR", &later.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Names such as `protect/edit-declared`, of files with this suffix.
pub(crate) fn files(suffix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for directory in std::fs::read_dir(data().join("reviews")).unwrap() {
        let directory = directory.unwrap();
        let path = directory.file_name().into_string().unwrap();
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            names.extend(file.strip_suffix(suffix).map(|act| format!("{path}/{act}")));
        }
    }
    names.sort();
    names
}

/// The body of a review.
pub(crate) fn body(name: &str) -> String {
    in_time(&std::fs::read_to_string(data().join(format!("reviews/{name}.json"))).unwrap())
}

/// What is answered, for people: no uid, no time of today, the patch as what it is.
fn readable(answer: &Value) -> Value {
    let mut response = answer["response"].clone();
    let fields = response.as_object_mut().unwrap();
    fields.remove("uid");
    if let Some(patch) = fields.get("patch").and_then(Value::as_str) {
        let patch: Value = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
        fields.insert("patch".to_owned(), patch);
    }
    timeless(&response)
}

/// With `<time>` for every time but those of 2999.
fn timeless(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text_without_times(text)),
        Value::Array(items) => items.iter().map(timeless).collect(),
        Value::Object(fields) => fields.iter().map(|(name, child)| (name.clone(), timeless(child))).collect(),
        other => other.clone(),
    }
}

pub(crate) fn text_without_times(text: &str) -> String {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let is_time = |part: &[u8]| {
        part.iter().zip(SHAPE).all(|(byte, shape)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape })
            && !part.starts_with(b"2999")
            && !part.starts_with(b"2026-01-01")
    };
    let times: BTreeSet<&[u8]> = text.as_bytes().windows(SHAPE.len()).filter(|part| is_time(part)).collect();
    times.into_iter().fold(text.to_owned(), |text, time| text.replace(std::str::from_utf8(time).unwrap(), "<time>"))
}

#[tokio::test]
async fn recorded_reviews_are_answered_as_written_beside_them() {
    let is_blessed = std::env::var_os("HOLDFAST_BLESS").is_some();
    let names = files(".json");
    assert!(names.len() >= 60, "{} reviews", names.len());
    let recorded = names.iter().map(|name| (Setting::Recorded, name.clone()));
    let in_settings =
        IN_SETTINGS.iter().flat_map(|(setting, names)| names.iter().map(|name| (*setting, (*name).to_owned())));
    let apps: BTreeMap<Setting, Arc<App>> = Setting::ALL.map(|setting| (setting, setting.app())).into();
    let (mut wrong, mut golden) = (Vec::new(), BTreeSet::new());
    for (setting, name) in recorded.chain(in_settings) {
        let path = name.split_once('/').unwrap().0;
        let body = body(&name);
        let (status, answer) = post(&apps[&setting], &format!("/{path}"), body.clone()).await;
        let review: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &answer["response"]["uid"]), (200, &review["request"]["uid"]), "{name}: {answer}");
        let file = if setting == Setting::Recorded { name.clone() } else { format!("{name}@{}", setting.name()) };
        let found = serde_yaml::to_string(&readable(&answer)).unwrap();
        let place = data().join(format!("reviews/{file}.yaml"));
        if is_blessed {
            std::fs::write(&place, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&place).unwrap_or_default();
        if expected != found {
            wrong.push(format!("{file}: expected\n{expected}but found\n{found}"));
        }
        golden.insert(file);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let stray: Vec<String> = files(".yaml").into_iter().filter(|name| !golden.contains(name)).collect();
    assert!(stray.is_empty(), "expectations without a review: {stray:?}");
}

/// What all answers have in common.
#[tokio::test]
async fn answers_are_short_and_keep_secrets() {
    for setting in Setting::ALL {
        let app = setting.app();
        for name in files(".json") {
            let path = name.split_once('/').unwrap().0;
            let (_, answer) = post(&app, &format!("/{path}"), body(&name)).await;
            let response = &answer["response"];
            let message = response["status"]["message"].as_str().unwrap_or_default();
            assert!(message.chars().count() < 1024, "{name} in {setting:?}: {message}");
            let text = response.to_string();
            for value in ["hunter2", "aHVudGVyMg", "c2VzYW1l"] {
                assert!(!text.contains(value), "{name} in {setting:?}: {text}");
            }
            if response["allowed"] == false {
                assert_eq!(
                    (&response["status"]["code"], &response["status"]["reason"]),
                    (&json!(403), &json!("Forbidden"))
                );
            }
            if path == "revert" {
                assert_eq!(response["allowed"], true, "{name} in {setting:?}: {text}");
            }
        }
    }
}
