//! The rules of a ManagedResource: `docs/rules.yaml` says what each of them is, how it compares with Gardener Resource
//! Manager, and which end-to-end tests prove it on a real API server.
//!
//! `cargo xtask gen` renders it as `docs/rules.md`. A test checks that the tests exist.
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cache;

/// The source, from the top of the workspace.
pub const SOURCE: &str = "docs/rules.yaml";

/// All rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What stands above the rules, in Markdown.
    pub introduction: String,
    /// The rules, in the order of the page.
    pub chapters: Vec<Chapter>,
}

/// Rules about one matter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chapter {
    /// Its heading.
    pub title: String,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What holds, in one or a few sentences for users.
    pub rule: String,
    /// How it compares with the original.
    pub relation: Relation,
    /// In which way it differs; empty for [`Relation::Same`].
    #[serde(default)]
    pub note: String,
    /// The tests that prove it, as `folder::file::function` below `tests/e2e`.
    pub tests: Vec<String>,
}

/// How a rule compares with Gardener Resource Manager.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// It does the same.
    Same,
    /// It does the same where the original has a bug.
    Fixed,
    /// It does it differently, on purpose.
    Different,
    /// The original has no such thing.
    Added,
}

impl Relation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Fixed => "fixed",
            Self::Different => "different",
            Self::Added => "added",
        }
    }
}

/// Reads [`SOURCE`].
///
/// # Errors
/// It cannot be read, or is not what this module describes.
pub fn read() -> Result<Reference> {
    let text = std::fs::read_to_string(cache::workspace().join(SOURCE)).with_context(|| format!("read {SOURCE}"))?;
    serde_yaml::from_str(&text).with_context(|| format!("parse {SOURCE}"))
}

impl Reference {
    /// The page `docs/rules.md`.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "<!-- Generated from {SOURCE} by: cargo xtask gen -->\n# Rules of a ManagedResource\n\n{}\n",
            self.introduction.trim_end()
        );
        for Chapter { title, rules } in &self.chapters {
            // Writing to a String does not fail.
            let _ = write!(text, "\n## {title}\n\n| Rule | Against the original | Tests |\n| --- | --- | --- |\n");
            for Rule { rule, relation, note, tests } in rules {
                let colon = if note.is_empty() { "" } else { ": " };
                let tests: Vec<String> = tests.iter().map(|test| format!("`{test}`")).collect();
                let _ = writeln!(text, "| {rule} | {}{colon}{note} | {} |", relation.as_str(), tests.join(", "));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The proxy is a part of the testbed, and the soak test compares with a model of its own.
    const NO_RULE: [&str; 2] = ["faults::proxy", "soak"];

    /// Files below `directory` with tests, as `folder::file`.
    fn files_with_tests(directory: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_stem().unwrap().to_str().unwrap());
            if path.is_dir() {
                files_with_tests(&path, &format!("{name}::"), found);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && std::fs::read_to_string(&path).unwrap().contains("#[tokio::test")
            {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_rule_is_proved_by_tests_that_exist() {
        let root = cache::workspace().join("tests/e2e");
        for rule in read().unwrap().chapters.iter().flat_map(|chapter| &chapter.rules) {
            assert!(!rule.tests.is_empty(), "no test for: {}", rule.rule);
            assert_eq!(rule.note.is_empty(), rule.relation == Relation::Same, "in which way? {}", rule.rule);
            assert!(!rule.rule.contains('|') && !rule.note.contains('|'), "breaks the table: {}", rule.rule);
            for test in &rule.tests {
                let (module, function) = test.rsplit_once("::").unwrap();
                let path = root.join(module.replace("::", "/")).with_extension("rs");
                let code = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{test}: {error}"));
                assert!(code.contains(&format!("async fn {function}()")), "no such test: {test}");
            }
        }
    }

    #[test]
    fn every_file_of_tests_proves_a_rule() {
        let reference = read().unwrap();
        let tests = reference.chapters.iter().flat_map(|chapter| &chapter.rules).flat_map(|rule| &rule.tests);
        let proofs: BTreeSet<&str> = tests.filter_map(|test| Some(test.rsplit_once("::")?.0)).collect();
        let mut files = BTreeSet::new();
        files_with_tests(&cache::workspace().join("tests/e2e"), "", &mut files);
        files.retain(|file| !proofs.contains(file.as_str()));
        assert_eq!(files.iter().collect::<Vec<_>>(), NO_RULE, "files of tests that no rule in {SOURCE} names");
    }
}
