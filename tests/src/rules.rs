//! The rules of a ManagedResource: what each says, where it comes from, how ours compares with the Go original, and which
//! end-to-end tests prove it on the real API server.
//!
//! `cargo xtask gen` makes `docs/rules.md` of it; a test sees to it that the tests named exist.

mod certificates;
mod configuration;
mod deletion;
mod guard;
mod held;
mod managed_resources;
mod mistakes;
mod objects;
mod pauses;
mod preserved;
mod protection;
mod safety;
mod secrets;

use std::fmt::Write as _;

/// How a rule compares with the Go original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// One rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What it says, a sentence for users.
    pub rule: &'static str,
    /// Where the original's behaviour is specified (`§7.4`), or our design (`design §4`).
    pub source: &'static str,
    /// How ours compares.
    pub relation: Relation,
    /// In which way it is better or different; empty for [`Relation::Same`].
    pub note: &'static str,
    /// The tests that prove it, as `module::function` below `tests/e2e`.
    pub tests: &'static [&'static str],
}

/// A chapter of the table.
#[derive(Clone, Copy, Debug)]
pub struct Chapter {
    /// Its heading.
    pub title: &'static str,
    /// Its rules.
    pub rules: &'static [Rule],
}

/// All rules.
pub const CHAPTERS: &[Chapter] = &[
    Chapter { title: "ManagedResources", rules: managed_resources::RULES },
    Chapter { title: "Deletion", rules: deletion::RULES },
    Chapter { title: "Secrets", rules: secrets::RULES },
    Chapter { title: "Mistakes and migration", rules: mistakes::RULES },
    Chapter { title: "Objects", rules: objects::RULES },
    Chapter { title: "What is left to others", rules: preserved::RULES },
    Chapter { title: "Protection by the webhook", rules: protection::RULES },
    Chapter { title: "What the webhook refuses", rules: held::RULES },
    Chapter { title: "Break-glass", rules: pauses::RULES },
    Chapter { title: "While the webhook is away", rules: guard::RULES },
    Chapter { title: "Safety of the webhook", rules: safety::RULES },
    Chapter { title: "Certificates and clusters", rules: certificates::RULES },
    Chapter { title: "Configuration", rules: configuration::RULES },
];

/// The table as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "<!-- Generated from tests/src/rules by: cargo xtask gen -->\n# Rules of a ManagedResource\n\nEach row is proved by tests on a real API \
         server. *Same* is what Gardener Resource Manager does, *fixed* is what it means to do, *different* is on purpose, \
         *added* it does not have. Sections are those of the specification of the original that this project was built from.\n",
    );
    for chapter in CHAPTERS {
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\n## {}\n\n| Rule | Source | Against the original | Tests |\n| --- | --- | --- | --- |\n",
            chapter.title
        );
        for rule in chapter.rules {
            let tests: Vec<String> = rule.tests.iter().map(|test| format!("`{test}`")).collect();
            let relation = format!("{:?}", rule.relation).to_lowercase();
            let note = if rule.note.is_empty() { relation } else { format!("{relation}: {}", rule.note) };
            let _ = writeln!(text, "| {} | {} | {note} | {} |", rule.rule, rule.source, tests.join(", "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache;

    #[test]
    fn every_rule_is_proved_by_tests_that_exist() {
        let root = cache::workspace().join("tests/e2e");
        for rule in CHAPTERS.iter().flat_map(|chapter| chapter.rules) {
            assert!(!rule.tests.is_empty(), "no test for: {}", rule.rule);
            assert_eq!(rule.note.is_empty(), rule.relation == Relation::Same, "in which way? {}", rule.rule);
            assert!(!rule.rule.contains('|') && !rule.note.contains('|'), "breaks the table: {}", rule.rule);
            for test in rule.tests {
                let (module, function) = test.rsplit_once("::").unwrap();
                let path = root.join(module.replace("::", "/")).with_extension("rs");
                let code = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{test}: {error}"));
                assert!(code.contains(&format!("async fn {function}()")), "no such test: {test}");
            }
        }
    }
}
