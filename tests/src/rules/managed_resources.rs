//! Rules of ManagedResources as a whole.
use super::Rule;

pub(super) const RULES: &[Rule] = &[];
