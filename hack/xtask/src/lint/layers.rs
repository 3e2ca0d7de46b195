//! The order of modules: what each may use, circles of siblings, that every file is a part of a program, and how long a file is.
//!
//! What it reads are tokens, not resolved names: it sees each path that begins with `crate`, `super` or `self` and each `use`,
//! also in macros. It does not see names that come with a glob, methods, and paths in strings (such as serde's).

mod circles;
mod file;
mod tree;
pub(super) use tree::source_files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use circles::Step;
use tree::Module;

/// Where the rules are, from the top of the workspace.
const RULES: &str = "hack/xtask/layers.yaml";
/// Lines of a file without a reason.
const MOST_LINES: usize = 400;
/// Lines of the file in the middle, of all that are not for tests.
const MEDIAN_LINES: usize = 120;

/// What `layers.yaml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    /// By package: its modules, each of which uses only those before it. What is below a module belongs to it.
    layers: BTreeMap<String, Vec<String>>,
    /// Arrows that lead back all the same.
    #[serde(default)]
    upward: Vec<Upward>,
    /// Packages whose circles are not told yet, and why.
    #[serde(default)]
    circular: BTreeMap<String, String>,
    /// Files that are longer than others, and why.
    #[serde(default)]
    long: BTreeMap<PathBuf, String>,
}

/// Arrows to one place that lead back, until their reason is gone. They are named one by one, so that no other comes unseen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Upward {
    /// Where they lead, from the root of the crate: `plan::Plan`.
    path: String,
    /// Why.
    reason: String,
    /// Where they begin, from the top of the workspace.
    files: Vec<String>,
}

/// A file from the top of the workspace, and a path from the root of its crate.
type Arrow = (String, String);

/// A package of the workspace.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    /// The first files of its library, of its programs, and of its tests and examples.
    library: Option<PathBuf>,
    programs: Vec<PathBuf>,
    roots: Vec<PathBuf>,
}

impl Package {
    /// Of what cargo says.
    pub(super) fn of(metadata: &Value) -> Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned).context("cargo metadata lacks a text");
        let manifest = PathBuf::from(text(&metadata["manifest_path"])?);
        let directory = manifest.parent().context("a manifest without a directory")?.to_owned();
        let mut package =
            Self { name: text(&metadata["name"])?, directory, library: None, programs: Vec::new(), roots: Vec::new() };
        for target in metadata["targets"].as_array().context("cargo metadata lacks the targets")? {
            let root = PathBuf::from(text(&target["src_path"])?);
            let is = |kind: &str| target["kind"].as_array().into_iter().flatten().any(|each| each == kind);
            if is("lib") {
                package.library = Some(root);
            } else if is("bin") {
                package.programs.push(root);
            } else {
                package.roots.push(root);
            }
        }
        Ok(package)
    }
}

/// What is wrong with the sources of the packages, one text each: `file:line: what`.
///
/// # Errors
/// A file cannot be read, or is no Rust.
pub(super) fn complaints(workspace: &Path, packages: &[Package]) -> Result<Vec<String>> {
    let rules = std::fs::read_to_string(workspace.join(RULES)).with_context(|| format!("read {RULES}"))?;
    let rules: Rules = serde_yaml::from_str(&rules).with_context(|| format!("read {RULES}"))?;
    let names: BTreeSet<&String> = packages.iter().map(|package| &package.name).collect();
    let unknown = rules.layers.keys().filter(|name| !names.contains(name));
    let mut texts: Vec<String> = unknown.map(|name| format!("{RULES}: there is no package {name}")).collect();

    let accepted = accepted(&rules.upward);
    let mut excused = BTreeSet::new();
    let (mut compiled, mut produced, mut files) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for package in packages {
        let library = package.library.as_deref().map(tree::modules).transpose()?.unwrap_or_default();
        if let Some(layers) = rules.layers.get(&package.name) {
            let order = Order { workspace, package: &package.name, layers, accepted: &accepted };
            texts.extend(order.complaints(&library, &mut excused));
        }
        let programs = package.programs.iter().map(|root| tree::modules(root)).collect::<Result<Vec<_>>>()?;
        for modules in programs.into_iter().chain([library]) {
            let is_ordered = rules.layers.contains_key(&package.name);
            if !rules.circular.contains_key(&package.name) {
                texts.extend(circles::circles(&modules, is_ordered).iter().map(|circle| circular(workspace, circle)));
            }
            produced.extend(modules.iter().filter(|module| !module.is_test).map(|module| module.path.clone()));
            compiled.extend(modules.into_iter().map(|module| module.path));
        }
        for root in &package.roots {
            compiled.extend(tree::modules(root)?.into_iter().map(|module| module.path));
        }
        tree::source_files(&package.directory, &mut files)?;
    }
    for path in files.difference(&compiled) {
        texts.push(format!("{}: no `mod` names it, so nobody compiles it", shown(workspace, path)));
    }
    texts.extend(lengths(workspace, &files, &rules.long)?);
    texts.extend(median(&produced)?);
    let listed = rules.upward.iter().flat_map(|upward| upward.files.iter().map(move |file| (file, &upward.path)));
    let needless = listed.filter(|(file, path)| !excused.contains(&((*file).clone(), (*path).clone())));
    texts.extend(needless.map(|(file, path)| {
        format!("{RULES}: `upward` names {file} → {path}, which is no arrow that leads back, or has no reason")
    }));
    Ok(texts)
}

/// The arrows that have a reason.
fn accepted(upward: &[Upward]) -> BTreeSet<Arrow> {
    let with_reason = upward.iter().filter(|upward| !upward.reason.trim().is_empty());
    with_reason.flat_map(|upward| upward.files.iter().map(|file| (file.clone(), upward.path.clone()))).collect()
}

/// A path from the top of the workspace.
pub(super) fn shown(workspace: &Path, path: &Path) -> String {
    path.strip_prefix(workspace).unwrap_or(path).display().to_string()
}

fn lengths(workspace: &Path, files: &BTreeSet<PathBuf>, long: &BTreeMap<PathBuf, String>) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let mut excused = BTreeSet::new();
    for path in files {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let (lines, name) = (text.lines().count(), shown(workspace, path));
        if lines <= MOST_LINES {
            continue;
        }
        if long.get(Path::new(&name)).is_some_and(|why| !why.trim().is_empty()) {
            excused.insert(PathBuf::from(name));
        } else {
            texts.push(format!("{name}: {lines} lines; more than {MOST_LINES} need a reason under `long` in {RULES}"));
        }
    }
    let needless = long.keys().filter(|path| !excused.contains(*path));
    texts.extend(needless.map(|path| {
        format!(
            "{RULES}: `long` names {}, which is no file of more than {MOST_LINES} lines, or has no reason",
            path.display()
        )
    }));
    Ok(texts)
}

/// What is wrong with the length of the file in the middle.
fn median(files: &BTreeSet<PathBuf>) -> Result<Option<String>> {
    let mut lengths = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        lengths.push(text.lines().count());
    }
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
    Ok((median > MEDIAN_LINES)
        .then(|| format!("half of all files have {median} lines and more; {MEDIAN_LINES} are enough: cut some")))
}

/// A circle as text: every step with the place where it begins.
fn circular(workspace: &Path, circle: &[Step]) -> String {
    let step = |step: &Step| {
        let Step { from, to, file, line } = step;
        format!("{from} → {to} ({}:{line})", shown(workspace, file))
    };
    format!("a circle of siblings: {}", circle.iter().map(step).collect::<Vec<_>>().join(", "))
}

/// The order of one package's modules.
struct Order<'a> {
    workspace: &'a Path,
    package: &'a str,
    layers: &'a [String],
    /// Arrows that may lead back.
    accepted: &'a BTreeSet<Arrow>,
}

impl Order<'_> {
    /// What is wrong. Known arrows are not told, but taken down as `excused`.
    fn complaints(&self, modules: &[Module], excused: &mut BTreeSet<Arrow>) -> Vec<String> {
        let mut texts = Vec::new();
        for module in modules.iter().filter(|module| !module.is_test && !module.names.is_empty()) {
            let file = shown(self.workspace, &module.path);
            let Some(from) = self.layer(&module.names) else {
                texts.push(format!("{file}: {RULES} does not say where {} stands", module.names.join("::")));
                continue;
            };
            for path in &module.paths {
                let to = self.layer(&path.names);
                if to.is_some_and(|to| to <= from) {
                    continue;
                }
                let arrow = (file.clone(), path.names.join("::"));
                if self.accepted.contains(&arrow) {
                    excused.insert(arrow);
                    continue;
                }
                let to = to.map_or("the crate's root", |to| &self.layers[to]);
                let (from, path, line) = (&self.layers[from], arrow.1, path.line);
                texts.push(format!(
                    "{file}:{line}: {from} → {to}, by crate::{path}: a module uses only those before it in {RULES}"
                ));
            }
        }
        let names = |layer: &str| modules.iter().any(|module| module.names.join("::") == layer);
        let unknown = self.layers.iter().filter(|layer| !names(layer));
        texts.extend(unknown.map(|layer| format!("{RULES}: {} has no module {layer}", self.package)));
        texts
    }

    /// The place of the module to which a path belongs: the longest that it begins with.
    fn layer(&self, names: &[String]) -> Option<usize> {
        let places = self.layers.iter().enumerate().filter(|(_, layer)| {
            let mut names = names.iter();
            layer.split("::").all(|name| names.next().is_some_and(|other| other == name))
        });
        places.max_by_key(|(_, layer)| layer.len()).map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests;
