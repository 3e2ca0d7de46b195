//! Which crates are linked into our programs.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use holdfast_build::{binaries, cargo};
use serde::Deserialize;

/// The crates by name and version (`serde 1.0.0`).
pub(super) type Crates = BTreeMap<String, Crate>;

/// A crate that is linked into one of our programs.
#[derive(Debug, Default)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
    /// As its author wrote it; empty if not at all.
    pub(super) licence: String,
    /// SHA-256 of what was downloaded, in hexadecimal digits; none for our own.
    pub(super) checksum: Option<String>,
    /// The crates that it needs itself.
    pub(super) needs: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// Asks cargo, with the features with which the programs are built (both at once); what only runs while building is not
/// among them.
///
/// # Errors
/// cargo fails, or a crate is not in Cargo.lock.
pub(super) fn linked(sources: &Path, home: Option<&Path>) -> Result<Crates> {
    resolve(cargo::command()?, sources, home)
}

fn resolve(mut command: Command, sources: &Path, home: Option<&Path>) -> Result<Crates> {
    command.args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--target", binaries::TARGET]);
    command.args(["--prefix", "depth", "--format", "|{p}|{l}|"]);
    for name in binaries::NAMES {
        command.args(["--package", name]);
    }
    command.envs(home.map(|home| ("CARGO_HOME", home)));
    let output = command.current_dir(sources).output().context("run cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let lock = std::fs::read_to_string(sources.join("Cargo.lock")).context("read Cargo.lock")?;
    let lock: Lock = toml::from_str(&lock).context("read Cargo.lock")?;
    let mut crates = of_tree(&String::from_utf8_lossy(&output.stdout))?;
    for each in crates.values_mut() {
        let locked = lock.package.iter().find(|locked| locked.name == each.name && locked.version == each.version);
        let locked = locked.with_context(|| format!("{} {} is not in Cargo.lock", each.name, each.version))?;
        each.checksum.clone_from(&locked.checksum);
    }
    Ok(crates)
}

/// Those that a crate needs, directly or not, and itself.
pub(super) fn closure<'a>(crates: &'a Crates, root: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(crates.get(id).into_iter().flat_map(|each| &each.needs).map(String::as_str));
        }
    }
    found
}

/// Reads lines such as `2|serde v1.0.0|MIT| (*)`: depth, package, licence; those marked were told with their needs before.
fn of_tree(text: &str) -> Result<Crates> {
    let mut crates = Crates::new();
    // The crates above the line, from the root on.
    let mut above: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split('|').collect();
        let [depth, package, licence, _] = parts[..] else { bail!("cargo tree says {line:?}") };
        let mut words = package.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next().and_then(|word| word.strip_prefix('v'))) else {
            bail!("cargo tree says {line:?}");
        };
        let id = format!("{name} {version}");
        above.truncate(depth.parse().with_context(|| format!("cargo tree says {line:?}"))?);
        if let Some(parent) = above.last().and_then(|parent| crates.get_mut(parent)) {
            parent.needs.insert(id.clone());
        }
        let each = crates.entry(id.clone()).or_default();
        (each.name, each.version, each.licence) = (name.to_owned(), version.to_owned(), licence.to_owned());
        above.push(id);
    }
    Ok(crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_is_told_twice_has_its_needs() {
        let text = "0|a v0.1.0 (/sources/a)|Apache-2.0|\n1|b v1.2.3+x|MIT/Apache-2.0|\n2|c v1.0.0|MIT|\n1|d v1.0.0||\n\n0|e v0.1.0 (/sources/e)|Apache-2.0|\n1|b v1.2.3+x|MIT/Apache-2.0| (*)\n";
        let crates = of_tree(text).unwrap();
        assert_eq!(Vec::from_iter(closure(&crates, "e 0.1.0")), ["b 1.2.3+x", "c 1.0.0", "e 0.1.0"]);
        assert_eq!(Vec::from_iter(closure(&crates, "a 0.1.0")), ["a 0.1.0", "b 1.2.3+x", "c 1.0.0", "d 1.0.0"]);
        assert_eq!(crates["b 1.2.3+x"].licence, "MIT/Apache-2.0");
        assert!(of_tree("1 a v1").is_err());
    }

    #[test]
    fn programs_have_what_is_linked_and_not_what_builds_or_tests() {
        // Not on the leash, which does not lie beside the tests of this crate.
        let crates = resolve(Command::new(env!("CARGO")), &holdfast_e2e::cache::workspace(), None).unwrap();
        let named = |root: &str| {
            let (id, _) = crates.iter().find(|(_, each)| each.name == root).unwrap();
            closure(&crates, id).into_iter().map(|id| crates[id].name.as_str()).collect::<Vec<_>>()
        };
        let webhook = named("holdfast-webhook");
        assert!(["holdfast-core", "rcgen", "ring", "tokio"].iter().all(|name| webhook.contains(name)), "{webhook:?}");
        assert!(
            ["holdfast-controller", "proptest", "serde_derive", "syn", "cc"].iter().all(|name| !webhook.contains(name))
        );
        let controller = named("holdfast-controller");
        assert!(controller.contains(&"granit-parser") && !controller.contains(&"holdfast-webhook"), "{controller:?}");
        let ours = |name: &str| name.starts_with("holdfast-");
        assert!(crates.values().all(|each| each.checksum.is_some() != ours(&each.name) && !each.licence.is_empty()));
    }
}
