//! Which words names in the code may have. `words.yaml` lists those that they may not: relative clauses (`left`, `told`), actors
//! (`somebody`) and images (`glass`), for which the field has terms of its own.
//!
//! It reads modules, types, variants, functions, fields and bindings, as they are declared; not names of tests, which are sentences,
//! nor what stands in calls of macros, nor variants of enums that `words.yaml` exempts, since users see them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident};

use super::layers::{Package, shown, source_files};

/// Where the words are, from the top of the workspace.
const RULES: &str = "hack/xtask/words.yaml";

/// What `words.yaml` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    /// By word: what to say instead.
    words: BTreeMap<String, String>,
    /// Enums whose variants are not read, and why.
    #[serde(default)]
    exempt_enums: BTreeMap<String, String>,
    /// Packages that are not read yet, and why.
    #[serde(default)]
    later: BTreeMap<String, String>,
}

/// Which names of the packages have words that are done away with: `file:line: what`.
///
/// # Errors
/// A file cannot be read, or is no Rust.
pub(super) fn complaints(workspace: &Path, packages: &[Package]) -> Result<Vec<String>> {
    let rules = std::fs::read_to_string(workspace.join(RULES)).with_context(|| format!("read {RULES}"))?;
    let rules: Rules = serde_yaml::from_str(&rules).with_context(|| format!("read {RULES}"))?;
    let mut texts = Vec::new();
    for package in packages.iter().filter(|package| !rules.later.contains_key(&package.name)) {
        let mut paths = BTreeSet::new();
        source_files(&package.directory, &mut paths)?;
        for path in paths {
            texts.extend(in_file(&path, &rules)?.into_iter().map(|(line, name, word)| {
                let (file, instead) = (shown(workspace, &path), &rules.words[&word]);
                format!("{file}:{line}: `{name}` has the word `{word}`; {RULES} says: {instead}")
            }));
        }
    }
    Ok(texts)
}

/// Line, name and word.
fn in_file(path: &PathBuf, rules: &Rules) -> Result<Vec<(usize, String, String)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let file = syn::parse_file(&text).with_context(|| format!("read {}", path.display()))?;
    let mut names = Names { found: Vec::new(), exempt_enums: &rules.exempt_enums };
    names.visit_file(&file);
    let mut found = Vec::new();
    for (line, name) in names.found {
        let parts = parts(&name).into_iter().filter(|part| rules.words.contains_key(part));
        found.extend(parts.map(|part| (line, name.clone(), part)));
    }
    Ok(found)
}

/// The words of a name, in lower case: of `is_left` and of `IsLeft` alike.
fn parts(name: &str) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    let mut word = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && was_lower) {
            parts.insert(std::mem::take(&mut word));
        }
        was_lower = letter.is_lowercase();
        word.extend(letter.to_lowercase().filter(|letter| letter.is_alphanumeric()));
    }
    parts.insert(word);
    parts
}

/// Names where they are declared, with their lines.
struct Names<'r> {
    found: Vec<(usize, String)>,
    exempt_enums: &'r BTreeMap<String, String>,
}

impl Names<'_> {
    fn add(&mut self, name: &Ident) {
        self.found.push((name.span().start().line, name.to_string()));
    }
}

/// Whether a function is a test.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().segments.last().is_some_and(|last| last.ident == "test"))
}

impl<'a> Visit<'a> for Names<'_> {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        self.add(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.add(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.add(&item.ident);
        if !self.exempt_enums.contains_key(&item.ident.to_string()) {
            item.variants.iter().for_each(|variant| self.add(&variant.ident));
        }
        visit::visit_item_enum(self, item);
    }

    fn visit_item_type(&mut self, item: &'a syn::ItemType) {
        self.add(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_trait(&mut self, item: &'a syn::ItemTrait) {
        self.add(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.add(&item.ident);
        visit::visit_item_const(self, item);
    }

    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        self.add(&item.ident);
        visit::visit_item_static(self, item);
    }

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.add(&item.sig.ident);
        }
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.add(&item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        self.add(&item.sig.ident);
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_field(&mut self, field: &'a syn::Field) {
        if let Some(name) = &field.ident {
            self.add(name);
        }
        visit::visit_field(self, field);
    }

    fn visit_pat_ident(&mut self, pattern: &'a syn::PatIdent) {
        self.add(&pattern.ident);
        visit::visit_pat_ident(self, pattern);
    }
}

#[cfg(test)]
mod tests;
