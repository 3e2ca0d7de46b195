//! Turns the parser events of one YAML document into an arena. Aliases are not followed.
//!
//! The parser (granit) reads YAML 1.2, and `go.yaml.in/yaml/v2` reads 1.1. Where Go reads the same text differently, we
//! correct the text before parsing, or refuse it afterwards.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StrInput, StructureStyle, YamlVersion};

use crate::arena::{Arena, Kind};
use crate::error::Fault;
use crate::scalar::Tag;
use crate::syntax_error;
use crate::text::{self, Mend, Text};

/// Why a text could not be parsed, and what to change in it before another attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    mend: Option<Mend>,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { fault, mend: None }
    }
}

/// Corrects a place that stops the parser but not Go, so that the text can be parsed again. Returns false if the text
/// is wrong for both.
///
/// The parser stops at one place at a time and starts again from the top, so the caller bounds the number of attempts.
pub(crate) fn mend(text: &mut Text, failure: &Failure) -> bool {
    failure.mend.is_some_and(|mend| text.mend(mend))
}

/// Parses the first document of a text. An arena without nodes means that there is no document.
///
/// Ignores everything after the first document, as Go does. Errors contain line numbers in `text`.
pub(crate) fn parse(text: &Text, depth: usize) -> Result<Arena<'_>, Failure> {
    let mut composer = Composer {
        text,
        depth,
        arena: Arena::default(),
        open: Vec::new(),
        flow_depth: 0,
        anchors: BTreeMap::new(),
        breaks: 0,
    };
    for event in parser(text, depth) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset();
            let mend = match error.kind() {
                ErrorKind::CommentNotSeparated => at.map(Mend::GluedComment),
                ErrorKind::TabInBlockIndentation => at.map(Mend::Tab),
                _ => None,
            };
            Failure { fault: Fault::new(Some(error.marker().line().max(1)), syntax_error::of(error.kind())), mend }
        })?;
        if composer.event(event, span)? {
            break;
        }
    }
    Ok(composer.finish()?)
}

fn parser(text: &Text, depth: usize) -> Parser<'_, StrInput<'_>> {
    let options = granit_parser::options! {
        block_scalar_eof_without_line_feed: true,
        emit_anchor_events: true,
        flow_nesting_limit: depth,
        block_nesting_limit: depth,
    };
    Parser::new_from_str_with_options(text.as_str(), options)
}

struct Composer<'a> {
    text: &'a Text,
    depth: usize,
    arena: Arena<'a>,
    /// Collections that have not ended.
    open: Vec<usize>,
    /// How many of the innermost open collections are in brackets.
    flow_depth: usize,
    /// Maps the parser's number of an anchor to its node.
    anchors: BTreeMap<usize, usize>,
    /// Number of U+2028 and U+2029 that certainly mean the same to Go.
    breaks: usize,
}

impl<'a> Composer<'a> {
    /// Handles an event. Returns true if the document is complete.
    fn event(&mut self, event: Event<'a>, span: Span) -> Result<bool, Fault> {
        let line = span.start.line();
        let fault = |reason| Err(Fault::new(Some(line), reason));
        if span.tag_span().is_some_and(|tag| self.text.is_tag_glued(tag)) {
            return fault("a tag right before a bracket or a comma (put a space between)");
        }
        let (index, anchor) = match event {
            Event::Scalar(value, style, anchor, tag) => {
                self.breaks += text::certain_breaks(self.text.as_str(), &span, style);
                let plain = style == ScalarStyle::Plain;
                let value = self.text.restore(value, style);
                if plain && self.flow_depth > 0 && (value.starts_with(':') || value.contains('?')) {
                    return fault("a '?', or a ':' at the start, of text between brackets (quote it)");
                }
                let tag = tag.map_or(Tag::None, |tag| Tag::of(&format!("{}{}", tag.handle(), tag.suffix())));
                (self.arena.push(Kind::Scalar { text: value, plain, tag }, line), anchor)
            }
            Event::SequenceStart(style, anchor, _) => (self.start(Kind::List, style, line)?, anchor),
            Event::MappingStart(style, anchor, _) => (self.start(Kind::Map, style, line)?, anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                self.flow_depth = self.flow_depth.saturating_sub(1);
                if let Some(index) = self.open.pop() {
                    self.arena.close(index);
                }
                return Ok(false);
            }
            Event::Alias(anchor) => {
                let Some(&target) = self.anchors.get(&anchor) else {
                    return fault("an alias without an anchor before it");
                };
                (self.arena.push(Kind::Alias(target), line), 0)
            }
            Event::Anchor(_, name) if !name.chars().all(text::is_anchor_character) => {
                return fault("an anchor's name holds something else than letters, digits, '-' and '_'");
            }
            Event::DocumentStart(_, Some(version)) if version != YamlVersion::new(1, 1) => {
                return fault("a %YAML directive asks for another version than 1.1");
            }
            Event::DocumentEnd | Event::StreamEnd => return Ok(true),
            _ => return Ok(false),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, index);
        }
        Ok(false)
    }

    fn start(&mut self, kind: Kind<'a>, style: StructureStyle, line: usize) -> Result<usize, Fault> {
        if self.open.len() >= self.depth {
            return Err(Fault::new(Some(line), "maps and lists are nested too deeply"));
        }
        let index = self.arena.push(kind, line);
        self.open.push(index);
        self.flow_depth += usize::from(style == StructureStyle::Flow);
        Ok(index)
    }

    fn finish(self) -> Result<Arena<'a>, Fault> {
        if !self.open.is_empty() {
            return Err(Fault::new(None, "the text ends inside a map or a list"));
        }
        if text::breaks(self.text.as_str()) != self.breaks {
            return Err(Fault::new(
                None,
                "U+2028 and U+2029 are line breaks to Kubernetes, write them as \\u2028 and \\u2029 in double quotes",
            ));
        }
        Ok(self.arena)
    }
}
