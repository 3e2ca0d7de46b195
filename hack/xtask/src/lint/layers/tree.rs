//! Which files a program is made of, as `mod` names them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::file::{self, Declared, Named, Written};

/// A file, and where it stands in its crate.
#[derive(Debug)]
pub(super) struct Module {
    /// The file.
    pub(super) path: PathBuf,
    /// Its names from the root, for which there are none.
    pub(super) names: Vec<String>,
    /// It is compiled for tests only.
    pub(super) is_test: bool,
    /// Paths into its crate, from the root.
    pub(super) paths: Vec<Target>,
}

/// What a path means.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) names: Vec<String>,
    pub(super) line: usize,
}

/// A file that is to be read.
struct Open {
    path: PathBuf,
    /// Where the files of its modules are.
    directory: PathBuf,
    names: Vec<String>,
    is_test: bool,
}

/// All modules with a file of their own, from the first file of a crate.
///
/// # Errors
/// A file cannot be read or is no Rust, or a module has none.
pub(super) fn modules(root: &Path) -> Result<Vec<Module>> {
    let directory = root.parent().context("a file without a directory")?.to_owned();
    let mut open = vec![Open { path: root.to_owned(), directory, names: Vec::new(), is_test: false }];
    let mut modules = Vec::new();
    while let Some(next) = open.pop() {
        let text = std::fs::read_to_string(&next.path).with_context(|| format!("read {}", next.path.display()))?;
        let named = file::read(&text).with_context(|| format!("read {}", next.path.display()))?;
        for declared in &named.modules {
            open.push(next.find(declared)?);
        }
        let paths = next.targets(&named);
        modules.push(Module { path: next.path, names: next.names, is_test: next.is_test, paths });
    }
    Ok(modules)
}

impl Open {
    /// The file of a module.
    fn find(&self, declared: &Declared) -> Result<Self> {
        let Declared { name, within, path, is_test } = declared;
        let names = [&self.names[..], within, std::slice::from_ref(name)].concat();
        let is_test = self.is_test || *is_test;
        let mut directory = self.directory.clone();
        directory.extend(within);
        if let Some(path) = path {
            let beside = if within.is_empty() { self.path.parent().unwrap_or(&self.directory) } else { &directory };
            let path = clean(&beside.join(path));
            let directory = path.parent().context("a file without a directory")?.to_owned();
            return Ok(Self { path, directory, names, is_test });
        }
        let below = directory.join(name);
        let found =
            [directory.join(format!("{name}.rs")), below.join("mod.rs")].into_iter().find(|path| path.is_file());
        match found {
            Some(path) => Ok(Self { path, directory: below, names, is_test }),
            None => bail!("{}: module {name} has no file in {}", self.path.display(), directory.display()),
        }
    }

    /// What the paths of the file mean, as far as that is in the same crate.
    fn targets(&self, named: &Named) -> Vec<Target> {
        let mut children: BTreeMap<&[String], BTreeSet<&str>> = BTreeMap::new();
        for declared in &named.modules {
            children.entry(&declared.within).or_default().insert(&declared.name);
        }
        let target = |written: &Written| {
            let Written { names, within, line } = written;
            let mut at = [&self.names[..], within].concat();
            let mut rest = &names[..];
            let is_child = |name: &str| children.get(&within[..]).is_some_and(|names| names.contains(name));
            match rest.first()?.as_str() {
                "crate" => (at, rest) = (Vec::new(), &rest[1..]),
                "self" => rest = &rest[1..],
                "super" => {}
                name if is_child(name) => {}
                _ => return None,
            }
            while let Some("super") = rest.first().map(String::as_str) {
                at.pop();
                rest = &rest[1..];
            }
            at.extend_from_slice(rest);
            Some(Target { names: at, line: *line })
        };
        named.paths.iter().filter_map(target).collect()
    }
}

/// A path without `..`.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    clean
}

/// Every source file below a directory, but for what is built and for other packages.
///
/// # Errors
/// A directory cannot be read.
pub(in crate::lint) fn source_files(directory: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", directory.display()))?.path();
        if path.is_dir() {
            let is_built = path.file_name().is_some_and(|name| name == "target");
            if !is_built && !path.join("Cargo.toml").exists() {
                source_files(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.insert(path);
        }
    }
    Ok(())
}
