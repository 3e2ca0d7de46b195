//! Events about what would be refused, while we only watch (`--audit-only`).
//!
//! Best effort and rate-limited: what was decided is also in the API server's audit log, in our metrics and in the warning
//! that the user saw.

use holdfast_core::key::NamespacedName;
use holdfast_core::protect::{Decision, Verdict};
use holdfast_runtime::events::{Publisher, Series};
use holdfast_runtime::index::SharedIndex;
use kube::Client;

use super::review::Request;
use crate::events::{publisher, send, warning};

const REASON: &str = "WouldDeny";

/// Publishes Events on ManagedResources.
pub struct Trial {
    publisher: Publisher,
}

impl Trial {
    /// Publishes as this webhook.
    pub fn new(client: Client) -> Self {
        Self { publisher: publisher(client) }
    }

    /// Publishes in the background what would have been refused, unless nothing would have been stored anyway.
    pub(crate) fn tell(&self, request: &Request, verdict: &Verdict, index: &SharedIndex) {
        let Verdict::Allow { warnings, audit } = verdict else { return };
        if verdict.decision() != Some(Decision::WouldDeny) || request.dry_run == Some(true) {
            return;
        }
        // Of several, the first is told.
        let first = audit.get("managed-resource").and_then(|keys| keys.split(", ").next());
        let Some((namespace, name)) = first.and_then(|key| key.split_once('/')) else { return };
        let key = NamespacedName::new(namespace, name);
        let Some(uid) = index.read(|index| index?.get(&key)?.uid.clone()) else { return };
        let note = format!("{}: {}", request.user_info.username, warnings.join("; "));
        let notice = warning(REASON, "Admit", note, Series::Counted);
        if let Some(sending) = self.publisher.limited(&key, Some(&uid), notice) {
            send(REASON, sending);
        }
    }
}
