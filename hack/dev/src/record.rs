//! `cargo xtask record`: what the API server sends to our webhook when people and controllers do things, as files for the tests
//! of the webhook.
//!
//! The real controller applies the [`fixtures`] to a control plane with the chart. Then a [`recorder`] takes the webhook's place in
//! the webhook configurations, with the same rules but without exemptions, and kubectl does the actions of `actions.yaml`.
//! The reviews are written, without chance values, into `webhook/tests/data`; the answers beside them stay.
mod action;
mod anonymous;
mod fixtures;
mod recorder;
mod registration;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use holdfast_e2e::control_plane::{ControlPlane, Options, User};
use holdfast_e2e::player::Player;
use holdfast_e2e::toolchain::Tools;
use holdfast_e2e::{binaries, cache, install};
use serde_json::{Value, json};
use xtask::arguments::Record;

use action::Action;
use anonymous::{Anonymous, print};
use fixtures::Fixtures;
use recorder::{RecordedReview, Recorder};

/// Where the files lie.
const DATA: &str = "webhook/tests/data";
/// Writes of the control plane's own, and of our controller: (file, user, operation, resource, subresource, begin of the name).
const BY_CONTROLLERS: [(&str, &str, &str, &str, &str, &str); 5] = [
    ("controller-scale", "kube-system:horizontal-pod-autoscaler", "UPDATE", "deployments", "scale", "auto"),
    ("controller-revision", "kube-system:deployment-controller", "UPDATE", "deployments", "status", "web"),
    ("controller-collection", "kube-system:namespace-controller", "DELETE", "configmaps", "", ""),
    ("controller-copied-label", "kube-system:endpointslice-controller", "CREATE", "endpointslices", "", "web-"),
    ("holdfast-create", "holdfast-system:holdfast-controller", "CREATE", "configmaps", "", "settings"),
];

/// Records everything anew.
///
/// # Errors
/// Something does not start, or an action brings no review.
pub(crate) async fn run(options: Record) -> Result<()> {
    let actions = Action::all()?;
    let directory = options.to.unwrap_or_else(|| cache::workspace().join(DATA));
    Tools::ensure()?;
    let images = binaries::build()?;
    let control_plane = ControlPlane::start(Options::default()).await?;
    let player = Player::start(&control_plane, images)?;
    install::install(&control_plane, &player, &[]).await?;
    let recorder = Recorder::start().await?;
    let fixtures = Fixtures::new(&control_plane)?;
    registration::replace(&fixtures, &recorder).await?;
    fixtures.apply(&player).await?;
    let mut files = Files { directory, stand_ins: action::moments(), written: BTreeSet::new() };
    files.state(&fixtures).await?;
    for action in &actions {
        let before = recorder.count();
        recorder.refuse(action.refused());
        let output = action.run(&control_plane).await?;
        recorder.refuse(None);
        let reviews = recorder.since(before).into_iter();
        let reviews = distinct(reviews.filter(|review| review.text("/userInfo/username") == action.user()));
        match (action.passes, reviews.is_empty()) {
            (true, _) => {}
            (false, true) => anyhow::bail!("{} brings no review: {output}", action.name),
            (false, false) => files.all(&action.name, &reviews)?,
        }
    }
    fixtures.delete_namespace().await?;
    write_controllers(&mut files, &recorder)?;
    files.remove_stale()?;
    println!("{} reviews in {}", files.written.len(), files.directory.display());
    player.stop().await?;
    control_plane.stop().await
}

/// Writes the reviews of controllers.
fn write_controllers(files: &mut Files, recorder: &Recorder) -> Result<()> {
    for (file, user, operation, resource, subresource, name) in BY_CONTROLLERS {
        let user = format!("system:serviceaccount:{user}");
        let expected = [
            ("/userInfo/username", user.as_str()),
            ("/operation", operation),
            ("/resource/resource", resource),
            ("/subResource", subresource),
        ];
        let is_it = |review: &RecordedReview| {
            review.path == "/protect"
                && expected.iter().all(|(field, text)| review.text(field) == *text)
                && review.text("/name").starts_with(name)
        };
        let first = recorder.since(0).into_iter().find(is_it).with_context(|| format!("there was no {file}"))?;
        files.all(file, &[first])?;
    }
    Ok(())
}

/// One review of each kind: kubectl may try again.
fn distinct(reviews: impl Iterator<Item = RecordedReview>) -> Vec<RecordedReview> {
    let mut seen = BTreeSet::new();
    let what = |review: &RecordedReview| {
        ["/operation", "/resource/resource", "/subResource", "/name"]
            .map(|field| review.text(field).to_owned())
            .into_iter()
            .chain([review.path.clone()])
            .collect::<Vec<_>>()
    };
    let mut all: Vec<RecordedReview> = reviews.filter(|review| seen.insert(what(review))).collect();
    all.sort_by_key(what);
    all
}

struct Files {
    directory: PathBuf,
    stand_ins: std::collections::BTreeMap<String, String>,
    written: BTreeSet<PathBuf>,
}

impl Files {
    /// `reviews/<path>/<action>.json`, with a number from the second of one path on.
    fn all(&mut self, name: &str, reviews: &[RecordedReview]) -> Result<()> {
        for path in reviews.iter().map(|review| review.path.as_str()).collect::<BTreeSet<_>>() {
            for (number, review) in reviews.iter().filter(|review| review.path == path).enumerate() {
                let suffix = if number == 0 { String::new() } else { format!("-{}", number + 1) };
                let file = format!("reviews{path}/{name}{suffix}.json");
                self.write(Path::new(&file), &shortened(review.review.clone()))?;
            }
        }
        Ok(())
    }

    /// The webhook's state: ManagedResources and the Secrets that can be read.
    async fn state(&mut self, fixtures: &Fixtures) -> Result<()> {
        let mut mrs = fixtures.list("/apis/resources.gardener.cloud/v1alpha1/namespaces/team/managedresources").await?;
        for mr in &mut mrs {
            let resources = mr["status"]["resources"].as_array().cloned().unwrap_or_default();
            mr["status"] = json!({"resources": resources});
            if let Some(metadata) = mr["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
        }
        self.write(Path::new("managedresources.json"), &Value::Array(mrs))?;
        let secrets = fixtures.list("/api/v1/namespaces/team/secrets").await?;
        let data = secrets.iter().filter(|secret| secret["metadata"]["name"] != "password");
        let data = data.filter_map(|secret| {
            Some((secret.pointer("/metadata/name")?.as_str()?.to_owned(), secret["data"].clone()))
        });
        self.write(Path::new("secrets.json"), &Value::Object(data.collect()))
    }

    fn write(&mut self, file: &Path, value: &Value) -> Result<()> {
        let mut value = value.clone();
        Anonymous::keeping(self.stand_ins.clone()).rewrite(&mut value);
        let path = self.directory.join(file);
        std::fs::create_dir_all(path.parent().context("a directory")?)?;
        std::fs::write(&path, print(&value)).with_context(|| format!("write {}", path.display()))?;
        self.written.insert(path);
        Ok(())
    }

    /// Removes the reviews of actions that no longer exist.
    fn remove_stale(&self) -> Result<()> {
        for directory in std::fs::read_dir(self.directory.join("reviews"))? {
            for file in std::fs::read_dir(directory?.path())? {
                let path = file?.path();
                if path.extension().is_some_and(|extension| extension == "json") && !self.written.contains(&path) {
                    std::fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }
}

/// Without what no decision looks at, and what a controller may or may not have written yet.
fn shortened(mut review: Value) -> Value {
    let request = &mut review["request"];
    if let Some(prefix) = request.pointer("/object/metadata/generateName").and_then(Value::as_str) {
        request["name"] = format!("{prefix}xxxxx").into();
    }
    let is_status = request["subResource"] == "status";
    let is_mr = request["resource"]["resource"] == "managedresources";
    for state in ["object", "oldObject"] {
        let Some(object) = request.get_mut(state).and_then(Value::as_object_mut) else { continue };
        if !is_status && !is_mr {
            object.remove("status");
        }
        let entries = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("managedFields"));
        if let (Some(entries), false) = (entries.and_then(Value::as_array_mut), is_status) {
            entries.retain(|entry| entry["subresource"] != "status");
        }
    }
    review
}

/// Sends a request that would take kubectl more than one.
async fn request(client: &kube::Client, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = http::Request::builder().method(method).uri(path).header("Content-Type", kind).body(body)?;
    client.request(request).await.with_context(|| format!("{method} {path}"))
}

/// The admin's client.
fn client(control_plane: &ControlPlane) -> Result<kube::Client> {
    control_plane.client(User::Admin)
}
