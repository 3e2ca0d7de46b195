//! Rules of the configuration of the processes.
use super::Rule;

pub(super) const RULES: &[Rule] = &[];
