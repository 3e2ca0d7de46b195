//! Sibling modules that need each other, directly or through further siblings. Parent and child may.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use super::tree::Module;

/// A step of a circle: the path that leads from one sibling to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// Which sibling uses which, and where first.
type Arrows = BTreeMap<String, BTreeMap<String, (PathBuf, usize)>>;

/// A shortest circle through each module that is part of one and of none that was found before. Not those of the crate's first
/// modules, if these are in an order: each circle of them has an arrow upwards, which is told already.
pub(super) fn circles(modules: &[Module], is_ordered: bool) -> Vec<Vec<Step>> {
    let names: BTreeSet<&[String]> = modules.iter().map(|module| &module.names[..]).collect();
    let mut families: BTreeMap<&[String], Arrows> = BTreeMap::new();
    for module in modules.iter().filter(|module| !module.is_test) {
        for path in &module.paths {
            let shared = module.names.iter().zip(&path.names).take_while(|(one, other)| one == other).count();
            let (Some(from), Some(to)) = (module.names.get(shared), path.names.get(shared)) else { continue };
            // What is no module is an item of the parent.
            if names.contains(&path.names[..=shared]) {
                let arrows = families.entry(&module.names[..shared]).or_default().entry(from.clone()).or_default();
                arrows.entry(to.clone()).or_insert_with(|| (module.path.clone(), path.line));
            }
        }
    }
    let families = families.iter().filter(|(parent, _)| !(is_ordered && parent.is_empty()));
    families.flat_map(|(_, arrows)| of_siblings(arrows)).collect()
}

fn of_siblings(arrows: &Arrows) -> Vec<Vec<Step>> {
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for name in arrows.keys() {
        if seen.contains(name) {
            continue;
        }
        if let Some(circle) = shortest(arrows, name) {
            seen.extend(circle.iter().map(|step| step.from.clone()));
            circles.push(circle);
        }
    }
    circles
}

/// The shortest way from a sibling back to itself.
fn shortest(arrows: &Arrows, start: &str) -> Option<Vec<Step>> {
    let mut before: BTreeMap<&str, Step> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(from) = open.pop_front() {
        for (to, (file, line)) in arrows.get(from).into_iter().flatten() {
            if before.contains_key(to.as_str()) {
                continue;
            }
            before.insert(to, Step { from: from.to_owned(), to: to.clone(), file: file.clone(), line: *line });
            if to == start {
                return Some(back(&before, start));
            }
            open.push_back(to);
        }
    }
    None
}

/// The steps that led to `start`, in their order.
fn back(before: &BTreeMap<&str, Step>, start: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = start;
    while let Some(step) = before.get(at) {
        steps.push(step.clone());
        at = &step.from;
        if at == start {
            break;
        }
    }
    steps.reverse();
    steps
}
