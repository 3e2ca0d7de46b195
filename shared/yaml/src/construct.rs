//! Turns the nodes of a document into one JSON value. Follows `decode.go` of `go.yaml.in/yaml/v2` for `interface{}`,
//! and then what `sigs.k8s.io/yaml` does to get JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::arena::{Arena, Kind};
use crate::budget::Budget;
use crate::error::{Fault, Reason};
use crate::number;
use crate::scalar::{Scalar, Tag, resolve};

/// A value, or why JSON cannot represent it. Go notices the latter only after reading everything, so such a value is
/// harmless if a later duplicate of its key overwrites it.
type Deferred = Result<Value, Fault>;

/// Builds the value of a document. An empty document is null.
///
/// `depth` bounds the nesting with aliases followed. The budget is charged for what is built.
pub(crate) fn construct(arena: &Arena<'_>, depth: usize, budget: &mut Budget) -> Result<Value, Fault> {
    if arena.get(0).is_none() {
        return Ok(Value::Null);
    }
    // Go counts the document itself.
    let mut constructor = Constructor { arena, budget, steps: 1, alias_steps: 0, active: Vec::new() };
    constructor.value(0, depth)?
}

struct Constructor<'a, 'n> {
    arena: &'a Arena<'n>,
    budget: &'a mut Budget,
    /// Nodes built so far. A node counts each time it is built.
    steps: u32,
    /// How many of these were built for an alias.
    alias_steps: u32,
    /// Aliases that are being followed.
    active: Vec<usize>,
}

/// A map under construction.
#[derive(Default)]
struct Entries {
    map: Map<String, Value>,
    /// Entries whose value JSON cannot represent.
    faults: BTreeMap<String, Fault>,
    /// A key that JSON cannot represent. No other key overwrites it.
    key_fault: Option<Fault>,
}

impl Entries {
    fn insert(&mut self, key: String, value: Deferred) {
        match value {
            Ok(value) => {
                self.faults.remove(&key);
                self.map.insert(key, value);
            }
            Err(fault) => {
                self.map.remove(&key);
                self.faults.insert(key, fault);
            }
        }
    }

    fn finish(self) -> Deferred {
        match self.key_fault.or_else(|| self.faults.into_values().next()) {
            Some(fault) => Err(fault),
            None => Ok(Value::Object(self.map)),
        }
    }
}

impl<'a, 'n> Constructor<'a, 'n> {
    fn value(&mut self, index: usize, depth: usize) -> Result<Deferred, Fault> {
        let (kind, line) = self.enter(index, depth)?;
        match kind {
            Kind::Scalar { text, plain, tag } => {
                let scalar = resolve(*tag, *plain, text).map_err(|reason| Fault::new(Some(line), reason))?;
                Ok(json(scalar).ok_or_else(|| Fault::new(Some(line), "infinity and NaN cannot be written as JSON")))
            }
            Kind::List => {
                let mut list = Ok(Vec::new());
                for child in self.arena.children(index) {
                    match (self.value(child, depth - 1)?, &mut list) {
                        (Ok(value), Ok(list)) => list.push(value),
                        (Err(fault), Ok(_)) => list = Err(fault),
                        (_, Err(_)) => {}
                    }
                }
                Ok(list.map(Value::Array))
            }
            Kind::Map => {
                let mut entries = Entries::default();
                self.entries(index, depth - 1, &mut entries)?;
                Ok(entries.finish())
            }
            Kind::Alias(target) => self.follow(index, *target, |this, target| this.value(target, depth)),
        }
    }

    /// Counts a node, and checks the limits before it is built.
    fn enter(&mut self, index: usize, depth: usize) -> Result<(&'a Kind<'n>, usize), Fault> {
        let arena = self.arena;
        let Some(node) = arena.get(index) else { return Err(Fault::new(None, "invalid YAML")) };
        let fault = |reason: Reason| Fault::new(Some(node.line), reason);
        let text = if let Kind::Scalar { text, .. } = &node.kind { text.len() } else { 0 };
        self.steps += 1;
        self.budget.value(text).map_err(fault)?;
        if !self.active.is_empty() {
            self.alias_steps += 1;
            self.budget.expansion(text).map_err(fault)?;
        }
        if matches!(node.kind, Kind::Map) && arena.children(index).next().is_some() {
            self.budget.map().map_err(fault)?;
        }
        if self.alias_steps > 100 && self.steps > 1000 && self.alias_share() > allowed_alias_share(self.steps) {
            return Err(fault("the document consists too much of aliases".into()));
        }
        if depth == 0 && matches!(node.kind, Kind::List | Kind::Map) {
            return Err(fault("maps and lists are nested too deeply".into()));
        }
        Ok((&node.kind, node.line))
    }

    fn alias_share(&self) -> f64 {
        f64::from(self.alias_steps) / f64::from(self.steps)
    }

    fn follow<T>(
        &mut self,
        alias: usize,
        target: usize,
        build: impl FnOnce(&mut Self, usize) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.active.contains(&alias) {
            let line = self.arena.get(alias).map(|node| node.line);
            return Err(Fault::new(line, "an anchor's value contains itself"));
        }
        self.active.push(alias);
        let value = build(self, target)?;
        self.active.pop();
        Ok(value)
    }

    /// Adds the entries of a map in the order of the text. Later entries win, merged or not.
    fn entries(&mut self, map: usize, depth: usize, entries: &mut Entries) -> Result<(), Fault> {
        let arena = self.arena;
        let mut children = arena.children(map);
        while let (Some(key), Some(value)) = (children.next(), children.next()) {
            if self.is_merge(key) {
                self.merge(value, depth, entries)?;
                continue;
            }
            let line = arena.get(key).map(|node| node.line);
            let key = self.key(key, depth)?;
            let value = self.value(value, depth)?;
            match key {
                Ok(key) => entries.insert(key, value),
                Err(reason) => {
                    entries.key_fault.get_or_insert(Fault::new(line, reason));
                }
            }
        }
        Ok(())
    }

    /// Returns a key as text, or why JSON cannot represent it.
    fn key(&mut self, index: usize, depth: usize) -> Result<Result<String, &'static str>, Fault> {
        let (kind, line) = self.enter(index, depth)?;
        let fault = |reason| Fault::new(Some(line), reason);
        match kind {
            Kind::Scalar { text, plain, tag } => Ok(match resolve(*tag, *plain, text).map_err(fault)? {
                Scalar::Null => Err("null cannot be a key"),
                Scalar::Bool(true) => Ok("true".to_owned()),
                Scalar::Bool(false) => Ok("false".to_owned()),
                Scalar::Int(integer) => Ok(integer.to_string()),
                Scalar::Uint(_) => Err("an integer above 9223372036854775807 cannot be a key"),
                Scalar::Float(float) => Ok(number::key_from_f64(float)),
                Scalar::Str(text) => Ok(text.into_owned()),
            }),
            Kind::List | Kind::Map => Err(fault("a map or a list cannot be a key")),
            Kind::Alias(target) => self.follow(index, *target, |this, target| this.key(target, depth)),
        }
    }

    fn is_merge(&self, key: usize) -> bool {
        match self.arena.get(key).map(|node| &node.kind) {
            Some(Kind::Scalar { text, plain, tag }) => {
                text == "<<" && (*plain && *tag == Tag::None || matches!(tag, Tag::NonSpecific | Tag::Merge))
            }
            _ => false,
        }
    }

    /// Merges a map, the alias of a map, or a list of these. Goes through a list from last to first, since the first
    /// map wins.
    fn merge(&mut self, index: usize, depth: usize, entries: &mut Entries) -> Result<(), Fault> {
        if matches!(self.arena.get(index).map(|node| &node.kind), Some(Kind::List)) {
            let maps: Vec<usize> = self.arena.children(index).collect();
            return maps.into_iter().rev().try_for_each(|map| self.merge_map(map, depth, entries));
        }
        self.merge_map(index, depth, entries)
    }

    fn merge_map(&mut self, index: usize, depth: usize, entries: &mut Entries) -> Result<(), Fault> {
        let (kind, line) = self.enter(index, depth)?;
        match kind {
            Kind::Map => self.entries(index, depth - 1, entries),
            Kind::Alias(target) => self.follow(index, *target, |this, target| this.merge_map(target, depth, entries)),
            Kind::Scalar { .. } | Kind::List => {
                Err(Fault::new(Some(line), "a merge (<<) takes a map or a list of maps"))
            }
        }
    }
}

fn json(scalar: Scalar<'_>) -> Option<Value> {
    match scalar {
        Scalar::Null => Some(Value::Null),
        Scalar::Bool(boolean) => Some(boolean.into()),
        Scalar::Int(integer) => Some(integer.into()),
        #[expect(clippy::cast_precision_loss, reason = "integers beyond i64 are floats in JSON as Kubernetes reads it")]
        Scalar::Uint(integer) => number::from_f64(integer as f64),
        Scalar::Float(float) => number::from_f64(float),
        Scalar::Str(text) => Some(text.into_owned().into()),
    }
}

/// Share of nodes that may be built for aliases: 99 % up to 400,000 nodes, falling to 10 % at 4,000,000, as in Go.
fn allowed_alias_share(steps: u32) -> f64 {
    const LOW: f64 = 400_000.0;
    const HIGH: f64 = 4_000_000.0;
    let above = (f64::from(steps).clamp(LOW, HIGH) - LOW) / (HIGH - LOW);
    0.99 - 0.89 * above
}
