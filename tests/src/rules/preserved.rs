//! Rules of fields that are set at creation and then left to others.
use super::Rule;

pub(super) const RULES: &[Rule] = &[];
