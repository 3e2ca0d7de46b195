//! Whether the dependencies keep the rules of `deny.toml`, as far as cargo itself knows: licences, banned crates, sources.
//!
//! `cargo deny check bans licenses sources` reads the same file and sees more (several versions of a crate, the texts of
//! licences). It is no crate of this workspace, and building it takes longer than all of `cargo xtask lint`.
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use holdfast_build::{cache, cargo};
use serde::Deserialize;
use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};

const RULES: &str = "deny.toml";
/// As cargo names crates.io, wherever the crates are downloaded from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The part of `deny.toml` that is checked here.
#[derive(Debug, Deserialize)]
struct Rules {
    graph: Graph,
    bans: Bans,
    licenses: Licenses,
}

#[derive(Debug, Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Crate>,
}

#[derive(Debug, Deserialize)]
struct Crate {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Licences of one crate beside those of all.
#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

/// Compares the dependencies with the rules.
///
/// # Errors
/// One breaks a rule, or cargo fails.
pub(crate) fn run() -> Result<()> {
    let text = std::fs::read_to_string(cache::workspace().join(RULES)).with_context(|| format!("read {RULES}"))?;
    let rules: Rules = toml::from_str(&text).with_context(|| format!("read {RULES}"))?;
    let packages = packages(&rules.graph.targets)?;
    let violations: Vec<String> = packages.values().flat_map(|package| violations(package, &rules)).collect();
    for violation in &violations {
        println!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} dependencies break {RULES}", violations.len());
    }
    println!("{} dependencies keep {RULES}", packages.len());
    Ok(())
}

/// All packages that are built for one of the targets, by id.
fn packages(targets: &[String]) -> Result<BTreeMap<String, Value>> {
    let mut command = cargo::command()?;
    command.args(["metadata", "--format-version", "1", "--locked", "--all-features"]);
    command.args(targets.iter().flat_map(|target| ["--filter-platform", target]));
    let output = command.output().context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let mut metadata: Value = serde_json::from_slice(&output.stdout).context("read what cargo metadata says")?;
    let Value::Array(packages) = metadata["packages"].take() else { bail!("cargo metadata lists no packages") };
    let nodes = metadata["resolve"]["nodes"].as_array().context("cargo metadata lists no dependencies")?;
    let is_built: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = packages.into_iter().filter_map(|package| Some((package["id"].as_str()?.to_owned(), package)));
    Ok(packages.filter(|(id, _)| is_built.contains(id.as_str())).collect())
}

/// The rules that a package breaks.
fn violations(package: &Value, rules: &Rules) -> Vec<String> {
    let text = |key: &str| package[key].as_str().unwrap_or_default();
    let (name, version, license) = (text("name"), text("version"), text("license"));
    let mut violations = Vec::new();
    // A package without a source is in this workspace.
    if !package["source"].is_null() && text("source") != REGISTRY {
        violations.push(format!("{name} {version} comes from {}", text("source")));
    }
    if rules.bans.deny.iter().any(|banned| banned.name == name) {
        violations.push(format!("{name} {version} is banned"));
    }
    if !is_allowed(license, name, &rules.licenses) {
        violations.push(format!("{name} {version} has the licence {license:?}"));
    }
    violations
}

/// Whether the allowed licences satisfy the expression.
fn is_allowed(expression: &str, name: &str, rules: &Licenses) -> bool {
    let exceptions = rules.exceptions.iter().filter(|exception| exception.name == name);
    let allowed = rules.allow.iter().chain(exceptions.flat_map(|exception| &exception.allow));
    let allowed: Vec<Licensee> = allowed.filter_map(|license| Licensee::parse(license).ok()).collect();
    let Ok(expression) = Expression::parse_mode(expression, ParseMode::LAX) else { return false };
    expression.evaluate(|license| allowed.iter().any(|allowed| allowed.satisfies(license)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_package_keeps_the_rules_or_says_which_it_breaks() {
        let rules: Rules = toml::from_str(
            r#"
            graph.targets = []
            bans.deny = [{ crate = "openssl-sys" }]
            [licenses]
            allow = ["MIT", "Unicode-3.0"]
            exceptions = [{ crate = "odd", allow = ["ISC"] }]
            "#,
        )
        .unwrap();
        for (case, name, source, license, expected) in [
            ("ours", "a", Value::Null, "MIT", vec![]),
            ("a choice", "a", json!(REGISTRY), "Apache-2.0 OR MIT", vec![]),
            ("a choice in the old form", "a", json!(REGISTRY), "MIT/Apache-2.0", vec![]),
            ("both allowed", "a", json!(REGISTRY), "(MIT OR Apache-2.0) AND Unicode-3.0", vec![]),
            ("one missing", "a", json!(REGISTRY), "MIT AND ISC", vec![r#"a 1 has the licence "MIT AND ISC""#]),
            ("an exception", "odd", json!(REGISTRY), "ISC", vec![]),
            ("no licence", "a", json!(REGISTRY), "", vec![r#"a 1 has the licence """#]),
            ("banned", "openssl-sys", json!(REGISTRY), "MIT", vec!["openssl-sys 1 is banned"]),
            (
                "from Git",
                "a",
                json!("git+https://example.com/a"),
                "MIT",
                vec!["a 1 comes from git+https://example.com/a"],
            ),
        ] {
            let package = json!({ "name": name, "version": "1", "source": source, "license": license });
            assert_eq!(violations(&package, &rules), expected, "{case}");
        }
    }
}
