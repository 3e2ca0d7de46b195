//! Generates the CEL expression by which the chart's ValidatingAdmissionPolicy protects while our pods are away.
//!
//! The policy compares the content of an object before and after. One expression excludes fields that are left to
//! others ([`preserve`]) and fields that anybody may write ([`allowed`]). `cargo xtask gen` writes it into the chart.
//! The object's `managedFields` and annotations tell whether a rule is on. CEL cannot evaluate
//! `spec.protection.ignorePaths` and declared scope, so an annotation on the object announces them
//! ([`steps_aside`](crate::field_ownership::steps_aside)).

use std::{collections::BTreeMap, fmt::Write as _};

use crate::field_ownership::{
    allowed,
    preserve::{self, Rule},
};

/// Top-level fields that are no content, or cannot change.
const NO_CONTENT: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];
/// Steps of a path from the top of the object.
type Steps = &'static [&'static str];
/// A path that others may change, and an optional CEL condition.
type Row = (Steps, Option<&'static str>);
/// A kind, and its groups if a row names them.
type Kind = (&'static str, Vec<&'static str>);

/// Fields that others may change, as a tree. A leaf has no children.
#[derive(Default)]
struct Node {
    children: BTreeMap<&'static str, Node>,
    /// The condition under which others may change the field; none means always.
    when: Option<&'static str>,
}

impl Node {
    fn add(&mut self, path: Steps, when: Option<&'static str>) {
        let is_first = self.children.is_empty() && self.when.is_none();
        if is_first {
            self.when = when;
        } else if self.when != when {
            // The children have different conditions, so each carries its own.
            self.when = None;
        }
        if let Some((first, rest)) = path.split_first() {
            self.children.entry(first).or_default().add(rest, when);
        }
    }
}

/// Returns the policy's variable that tells whether a rule is on for the object.
fn variable(rule: Rule) -> Option<&'static str> {
    match rule {
        // A field that others may set is not in our entry, even if the manifest declares it, because we have released
        // it.
        Rule::Replicas => Some("variables.leavesReplicas"),
        Rule::Resources => Some("variables.leavesResources"),
        Rule::Restart | Rule::Claims | Rule::Token => None,
    }
}

/// Returns a CEL expression over `oldObject` and `object`: an update leaves the content unchanged, apart from what
/// others may change.
pub fn is_content_unchanged() -> String {
    let mut kinds: BTreeMap<Kind, Vec<Row>> = BTreeMap::new();
    let mut of_any: Vec<Row> = Vec::new();
    for (kind, path) in allowed::allowed_to_anybody() {
        if kind.is_empty() {
            of_any.push((path, None));
        } else {
            kinds.entry((kind, Vec::new())).or_default().push((path, None));
        }
    }
    for (rule, objects, path) in preserve::table() {
        let mut groups: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
        for (group, kind) in objects {
            groups.entry(kind).or_default().push(group);
        }
        for (kind, groups) in groups {
            kinds.entry((kind, groups)).or_default().push((path, variable(rule)));
        }
    }
    let same = |rows: &[Row]| {
        let mut root = Node::default();
        for (path, when) in rows.iter().chain(&of_any) {
            root.add(path, *when);
        }
        // Other rules of the policy cover the fields that are no content.
        let fields = NO_CONTENT.map(|field| format!("'{field}'")).join(", ");
        map("oldObject", "object", &root, &format!("k0 in [{fields}]"), 0)
    };
    let mut text = String::new();
    for ((kind, groups), rows) in &kinds {
        let mut is_kind = format!("request.kind.kind == '{kind}'");
        if !groups.is_empty() {
            let list: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
            // Writing to a String does not fail.
            let _ = write!(is_kind, " && request.kind.group in [{}]", list.join(", "));
        }
        let _ = writeln!(text, "{is_kind} ? {} :", same(rows));
    }
    text + &same(&[])
}

/// Compares two values, apart from what others may change below.
fn same(old: &str, new: &str, node: &Node, depth: usize) -> String {
    if let Some(item) = node.children.get("*") {
        let (before, after) = (format!("e{depth}"), format!("f{depth}"));
        let items = same(&before, &after, item, depth + 1);
        return format!(
            "({old} == {new} || type({old}) == list && type({new}) == list && size({old}) == size({new}) && \
             {old}.all({before}, {new}.exists({after}, {before}.?name == {after}.?name && {items})))"
        );
    }
    format!("({old} == {new} || {})", map(old, new, node, "", depth))
}

/// Compares two maps, apart from keys that satisfy `but` and what others may change. Values that are no maps are
/// unequal.
fn map(old: &str, new: &str, node: &Node, but: &str, depth: usize) -> String {
    let key = format!("k{depth}");
    let mut rest = if but.is_empty() { Vec::new() } else { vec![but.to_owned()] };
    let mut inner = Vec::new();
    for (name, child) in &node.children {
        let is_it = format!("{key} == '{name}'");
        rest.push(child.when.map_or(is_it.clone(), |when| format!("{is_it} && {when}")));
        if !child.children.is_empty() {
            let empty = if child.children.contains_key("*") { "[]" } else { "{}" };
            // Each step gets a short name.
            let (before, after) = (format!("o{depth}"), format!("n{depth}"));
            let below = |value: &str| format!("dyn({value})[?'{name}'].orValue(dyn({empty}))");
            let same = same(&before, &after, child, depth + 1);
            let same = format!("[{}].all({before}, [{}].all({after}, {same}))", below(old), below(new));
            inner.push(child.when.map_or(same.clone(), |when| format!("(!{when} || {same})")));
        }
    }
    rest.push(String::new());
    let rest = rest.join(" || ");
    let mut parts = vec![
        format!("type({old}) == map && type({new}) == map"),
        format!("{old}.all({key}, {rest}{key} in {new} && {new}[{key}] == {old}[{key}])"),
        format!("{new}.all({key}, {rest}{key} in {old})"),
    ];
    parts.extend(inner);
    format!("({})", parts.join(" && "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expression_follows_the_tables() {
        let text = is_content_unchanged();
        let of = |kind: &str| text.lines().find(|line| line.contains(&format!("== '{kind}'"))).unwrap_or_default();
        assert!(of("Deployment").contains("group in ['apps', 'extensions']"), "{text}");
        assert!(of("Deployment").contains("k1 == 'replicas' && variables.leavesReplicas"), "{text}");
        assert!(of("Deployment").contains("(!variables.leavesResources || "), "{text}");
        assert!(of("Service").contains("k1 == 'loadBalancerIP'"), "{text}");
        assert!(!of("Service").contains("replicas"), "{text}");
        for line in text.lines() {
            assert!(line.contains("'kubectl.kubernetes.io/restartedAt'"), "of every kind: {line}");
            assert_eq!(line.matches('(').count(), line.matches(')').count(), "{line}");
        }
        assert_eq!(text.lines().count(), kinds().len() + 1, "one line for each kind, and one for the others:\n{text}");
        assert!(text.len() < 50_000, "CEL takes 100,000 characters: {}", text.len());
    }

    fn kinds() -> std::collections::BTreeSet<&'static str> {
        let foreign = allowed::allowed_to_anybody().map(|(kind, _)| kind).filter(|kind| !kind.is_empty());
        foreign.chain(preserve::table().flat_map(|(_, kinds, _)| kinds.iter().map(|(_, kind)| *kind))).collect()
    }
}
