//! `cargo xtask record`: what the API server sends to our webhook when people and controllers do things, as files for the tests
//! of the webhook.
//!
//! A control plane with the chart, on which a [`scene`] is set by the real controller. Then the webhook's own registrations
//! give way to a [`listener`] with the same rules, but for the exemptions, and the acts of `acts.yaml` are done with
//! kubectl. What was sent is written anonymised into `webhook/tests/data`; expectations beside it are left alone.
mod act;
mod anonymous;
mod listener;
mod registration;
mod scene;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use holdfast_e2e::control_plane::{ControlPlane, Options, User};
use holdfast_e2e::player::Player;
use holdfast_e2e::toolchain::Tools;
use holdfast_e2e::{binaries, cache, install};
use serde_json::{Value, json};
use xtask::arguments::Record;

use act::Act;
use anonymous::{Anonymous, print};
use listener::{Heard, Listener};
use scene::Scene;

/// Where the files lie.
const DATA: &str = "webhook/tests/data";
/// Writes of the control plane's own, and of our controller: (file, user, operation, resource, subresource, begin of the name).
const BY_THEMSELVES: [(&str, &str, &str, &str, &str, &str); 5] = [
    ("controller-scale", "kube-system:horizontal-pod-autoscaler", "UPDATE", "deployments", "scale", "auto"),
    ("controller-revision", "kube-system:deployment-controller", "UPDATE", "deployments", "status", "web"),
    ("controller-collection", "kube-system:namespace-controller", "DELETE", "configmaps", "", ""),
    ("controller-copied-label", "kube-system:endpointslice-controller", "CREATE", "endpointslices", "", "web-"),
    ("holdfast-create", "holdfast-system:holdfast-controller", "CREATE", "configmaps", "", "settings"),
];

/// Records everything anew.
///
/// # Errors
/// Something does not start, or an act brings no review.
pub(crate) async fn run(options: Record) -> Result<()> {
    let acts = Act::all()?;
    let directory = options.to.unwrap_or_else(|| cache::workspace().join(DATA));
    Tools::ensure()?;
    let images = binaries::build()?;
    let control_plane = ControlPlane::start(Options::default()).await?;
    let player = Player::start(&control_plane, images)?;
    install::install(&control_plane, &player, &[]).await?;
    let listener = Listener::start().await?;
    let scene = Scene::new(&control_plane)?;
    registration::replace(&scene, &listener).await?;
    scene.set(&player).await?;
    let mut files = Files { directory, kept: act::moments(), written: BTreeSet::new() };
    files.world(&scene).await?;
    for act in &acts {
        let before = listener.count();
        listener.refuse(act.refused());
        let said = act.done(&control_plane).await?;
        listener.refuse(None);
        let heard =
            distinct(listener.since(before).into_iter().filter(|heard| heard.text("/userInfo/username") == act.user()));
        match (act.passes, heard.is_empty()) {
            (true, _) => {}
            (false, true) => anyhow::bail!("{} brings no review: {said}", act.name),
            (false, false) => files.all(&act.name, &heard)?,
        }
    }
    scene.doom().await?;
    for (file, user, operation, resource, subresource, name) in BY_THEMSELVES {
        let user = format!("system:serviceaccount:{user}");
        let wanted = [
            ("/userInfo/username", user.as_str()),
            ("/operation", operation),
            ("/resource/resource", resource),
            ("/subResource", subresource),
        ];
        let is_it = |heard: &Heard| {
            heard.path == "/protect"
                && wanted.iter().all(|(field, text)| heard.text(field) == *text)
                && heard.text("/name").starts_with(name)
        };
        let first = listener.since(0).into_iter().find(is_it).with_context(|| format!("there was no {file}"))?;
        files.all(file, &[first])?;
    }
    files.forget_the_others()?;
    println!("{} reviews in {}", files.written.len(), files.directory.display());
    player.stop().await?;
    control_plane.stop().await
}

/// One review of each kind: kubectl may try again.
fn distinct(heard: impl Iterator<Item = Heard>) -> Vec<Heard> {
    let mut seen = BTreeSet::new();
    let what = |heard: &Heard| {
        ["/operation", "/resource/resource", "/subResource", "/name"]
            .map(|field| heard.text(field).to_owned())
            .into_iter()
            .chain([heard.path.clone()])
            .collect::<Vec<_>>()
    };
    let mut all: Vec<Heard> = heard.filter(|heard| seen.insert(what(heard))).collect();
    all.sort_by_key(what);
    all
}

struct Files {
    directory: PathBuf,
    kept: std::collections::BTreeMap<String, String>,
    written: BTreeSet<PathBuf>,
}

impl Files {
    /// `reviews/<path>/<act>.json`, with a number from the second of one path on.
    fn all(&mut self, name: &str, heard: &[Heard]) -> Result<()> {
        for path in heard.iter().map(|heard| heard.path.as_str()).collect::<BTreeSet<_>>() {
            for (number, heard) in heard.iter().filter(|heard| heard.path == path).enumerate() {
                let suffix = if number == 0 { String::new() } else { format!("-{}", number + 1) };
                let file = format!("reviews{path}/{name}{suffix}.json");
                self.write(Path::new(&file), &shortened(heard.review.clone()))?;
            }
        }
        Ok(())
    }

    /// What the webhook knows: ManagedResources and the Secrets that can be read.
    async fn world(&mut self, scene: &Scene) -> Result<()> {
        let mut mrs = scene.list("/apis/resources.gardener.cloud/v1alpha1/namespaces/team/managedresources").await?;
        for mr in &mut mrs {
            let resources = mr["status"]["resources"].as_array().cloned().unwrap_or_default();
            mr["status"] = json!({"resources": resources});
            if let Some(metadata) = mr["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
        }
        self.write(Path::new("managedresources.json"), &Value::Array(mrs))?;
        let secrets = scene.list("/api/v1/namespaces/team/secrets").await?;
        let data = secrets.iter().filter(|secret| secret["metadata"]["name"] != "password");
        let data = data.filter_map(|secret| {
            Some((secret.pointer("/metadata/name")?.as_str()?.to_owned(), secret["data"].clone()))
        });
        self.write(Path::new("secrets.json"), &Value::Object(data.collect()))
    }

    fn write(&mut self, file: &Path, value: &Value) -> Result<()> {
        let mut value = value.clone();
        Anonymous::keeping(self.kept.clone()).rewrite(&mut value);
        let path = self.directory.join(file);
        std::fs::create_dir_all(path.parent().context("a directory")?)?;
        std::fs::write(&path, print(&value)).with_context(|| format!("write {}", path.display()))?;
        self.written.insert(path);
        Ok(())
    }

    /// Removes reviews of acts that are done no more.
    fn forget_the_others(&self) -> Result<()> {
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

/// A client for the requests that kubectl would make a journey of.
async fn ask(client: &kube::Client, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
    let request = holdfast_request(method, path, kind, body)?;
    client.request(request).await.with_context(|| format!("{method} {path}"))
}

fn holdfast_request(method: &str, path: &str, kind: &str, body: Vec<u8>) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::builder().method(method).uri(path).header("Content-Type", kind).body(body)?)
}

/// The admin's client.
fn client(control_plane: &ControlPlane) -> Result<kube::Client> {
    control_plane.client(User::Admin)
}
