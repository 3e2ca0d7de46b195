//! Reviews of deletions of namespaces that are not managed themselves: managed objects may be in them. Always fails open.

use holdfast_core::protect::{self, Rules, Verdict};
use holdfast_runtime::index::SharedIndex;

use super::protect::judge as judge_object;
use super::review::Request;

/// Decides about the deletion of a namespace.
pub fn judge(request: &Request, index: &SharedIndex, rules: &Rules) -> Verdict {
    judge_object(request, index, rules, protect::judge_namespace)
}
