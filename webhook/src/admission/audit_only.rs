//! Events about what would be refused without `--audit-only`. Best effort and rate-limited: the user sees a warning, and the
//! API server's audit log and our metrics have each decision.

use holdfast_core::key::NamespacedName;
use holdfast_core::protect::{Decision, Verdict};
use holdfast_runtime::index::SharedIndex;

use super::review::Request;
use crate::events::{Events, Reason, Warning};

/// Publishes Events on ManagedResources.
pub struct AuditOnlyEvents(pub Events);

impl AuditOnlyEvents {
    /// Publishes in the background what would be refused, unless it is a dry run.
    pub(crate) fn publish(&self, request: &Request, verdict: &Verdict, index: &SharedIndex) {
        let Verdict::Allow { warnings, audit } = verdict else { return };
        if verdict.decision() != Some(Decision::WouldDeny) || request.dry_run == Some(true) {
            return;
        }
        // If there are several ManagedResources, the first one gets the Event.
        let first = audit.get("managed-resource").and_then(|keys| keys.split(", ").next());
        let Some((namespace, name)) = first.and_then(|key| key.split_once('/')) else { return };
        let key = NamespacedName::new(namespace, name);
        let Some(uid) = index.read(|index| index?.get(&key)?.uid.clone()) else { return };
        let note = format!("{}: {}", request.user_info.username, warnings.join("; "));
        self.0.publish_limited(&key, Some(&uid), Warning { reason: Reason::WouldDeny, note });
    }
}
