//! Reviews of managed objects: from JSON to core's decision and back.

use holdfast_core::inventory::index::Index;
use holdfast_core::protect::{self, Rules, Verdict};
use holdfast_runtime::index::SharedIndex;

use super::review::Request;

/// A decision of core; a parameter, so that tests can replace it by one that hangs or panics.
pub type Rule = fn(&protect::Request<'_>, Option<&Index>, &Rules) -> Verdict;

/// Decides about an object by one of core's rules.
pub fn decide(request: &Request, index: &SharedIndex, rules: &Rules, rule: Rule) -> Verdict {
    let view = protect::Request {
        operation: request.operation.into(),
        group: &request.resource.group,
        version: &request.resource.version,
        resource: &request.resource.resource,
        kind: &request.kind.kind,
        subresource: &request.sub_resource,
        namespace: &request.namespace,
        name: &request.name,
        username: &request.user_info.username,
        groups: request.groups(),
        object: request.object.as_ref(),
        old_object: request.old_object.as_ref(),
        now: jiff::Timestamp::now(),
    };
    index.read(|index| rule(&view, index, rules))
}
