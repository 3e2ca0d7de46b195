//! The nodes of a YAML document, aliases not followed.

use std::borrow::Cow;

use crate::scalar::Tag;

/// The nodes of a document in the order of the text; a collection is followed by its content.
#[derive(Debug, Default)]
pub(crate) struct Arena<'a> {
    nodes: Vec<Node<'a>>,
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) kind: Kind<'a>,
    /// Line of the prepared text, from 1.
    pub(crate) line: usize,
    /// Index of the node behind this one and its content.
    end: usize,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// `plain` says that it was neither quoted nor a block.
    Scalar {
        text: Cow<'a, str>,
        plain: bool,
        tag: Tag,
    },
    List,
    /// Its content is keys and values in turn.
    Map,
    /// Stands for the node of that index.
    Alias(usize),
}

impl<'a> Arena<'a> {
    /// The node of an index, if there is one.
    pub(crate) fn get(&self, index: usize) -> Option<&Node<'a>> {
        self.nodes.get(index)
    }

    /// Indices of the nodes directly in a collection.
    pub(crate) fn children(&self, index: usize) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let end = self.nodes.get(index).map_or(0, |node| node.end);
        let mut next = index + 1;
        std::iter::from_fn(move || {
            let child = next;
            next = self.nodes.get(child)?.end;
            (child < end).then_some(child)
        })
    }

    /// Adds a node that ends with itself. Returns its index.
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
