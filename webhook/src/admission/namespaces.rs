//! Reviews of deletions of namespaces that are not managed but may contain managed objects. Always fails open.

use holdfast_core::protect::{self, Rules, Verdict};
use holdfast_runtime::index::SharedIndex;

use super::protect::decide as decide_object;
use super::review::Request;

/// Decides about the deletion of a namespace.
pub fn decide(request: &Request, index: &SharedIndex, rules: &Rules) -> Verdict {
    decide_object(request, index, rules, protect::judge_namespace)
}
