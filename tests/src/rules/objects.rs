//! Rules of single objects.
use super::Rule;

pub(super) const RULES: &[Rule] = &[];
