//! The nodes of a YAML document. Aliases are not followed.

use std::borrow::Cow;

use crate::scalar::Tag;

/// The nodes of a document in the order of the text. The content of a collection directly follows it.
#[derive(Debug, Default)]
pub(crate) struct Arena<'a> {
    nodes: Vec<Node<'a>>,
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) kind: Kind<'a>,
    /// Line in the prepared text, from 1.
    pub(crate) line: usize,
    /// Index of the first node after this one and its content.
    end: usize,
}

/// The kind of a node.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// `plain` means neither quoted nor a block.
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
        tag: Tag,
    },
    List,
    /// A map. Its content alternates between keys and values.
    Map,
    /// An alias for the node with this index.
    Alias(usize),
}

impl<'a> Arena<'a> {
    /// Returns the node with an index, if there is one.
    pub(crate) fn get(&self, index: usize) -> Option<&Node<'a>> {
        self.nodes.get(index)
    }

    /// Returns the indices of the direct children of a collection.
    pub(crate) fn children(&self, index: usize) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let end = self.nodes.get(index).map_or(0, |node| node.end);
        let mut next = index + 1;
        std::iter::from_fn(move || {
            let child = next;
            next = self.nodes.get(child)?.end;
            (child < end).then_some(child)
        })
    }

    /// Adds a node without content, and returns its index.
    pub(crate) fn push(&mut self, kind: Kind<'a>, line: usize) -> usize {
        let index = self.nodes.len();
        self.nodes.push(Node { kind, line, end: index + 1 });
        index
    }

    pub(crate) fn close(&mut self, index: usize) {
        let end = self.nodes.len();
        if let Some(node) = self.nodes.get_mut(index) {
            node.end = end;
        }
    }
}
