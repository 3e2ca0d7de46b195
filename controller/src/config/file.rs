//! What becomes of the keys of the configuration file.

use holdfast_runtime::config_file::{
    Kind::{Duration, LabelValue, List, NonEmpty, Positive, Rate, Switch, Text, Word},
    Meaning::{Address, Checked, Flag, Ignored, Off, OtherProgram},
    Row,
};
use holdfast_runtime::settings::Sources;

const NOT_IMPLEMENTED: &str = "it is not implemented";
const JSON_ONLY: &str = "what is sent and received is JSON";
const NO_CACHE_RESYNC: &str = "watches need no resync; see controllers.managedResource.syncPeriod";

/// The settings of the controller, beside its flags.
pub const SOURCES: Sources = Sources {
    rows: ROWS,
    before_file: &[("KUBECONFIG", "kubeconfig"), ("TARGET_KUBECONFIG", "target-kubeconfig")],
    after_file: &[("POD_NAMESPACE", "lease-namespace")],
};

/// Of two rows with the same flag, the later counts.
const ROWS: &[Row] = &[
    Row { path: "sourceClientConnection.kubeconfig", meaning: Flag("kubeconfig", Text) },
    Row { path: "sourceClientConnection.namespaces", meaning: Flag("source-namespaces", List) },
    Row { path: "sourceClientConnection.qps", meaning: Flag("qps", Rate) },
    Row { path: "sourceClientConnection.burst", meaning: Flag("burst", Positive) },
    Row { path: "sourceClientConnection.acceptContentTypes", meaning: Ignored(JSON_ONLY) },
    Row { path: "sourceClientConnection.contentType", meaning: Ignored(JSON_ONLY) },
    Row { path: "sourceClientConnection.cacheResyncPeriod", meaning: Ignored(NO_CACHE_RESYNC) },
    Row { path: "targetClientConnection.kubeconfig", meaning: Flag("target-kubeconfig", Text) },
    Row {
        path: "targetClientConnection.namespaces",
        meaning: Ignored("kinds in use are watched in all namespaces of the target"),
    },
    Row { path: "targetClientConnection.qps", meaning: Flag("qps", Rate) },
    Row { path: "targetClientConnection.burst", meaning: Flag("burst", Positive) },
    Row { path: "targetClientConnection.acceptContentTypes", meaning: Ignored(JSON_ONLY) },
    Row { path: "targetClientConnection.contentType", meaning: Ignored(JSON_ONLY) },
    Row { path: "targetClientConnection.cacheResyncPeriod", meaning: Ignored(NO_CACHE_RESYNC) },
    Row { path: "leaderElection.leaderElect", meaning: Flag("leader-elect", Switch) },
    Row { path: "leaderElection.leaseDuration", meaning: Flag("lease-duration", Duration) },
    Row { path: "leaderElection.renewDeadline", meaning: Flag("renew-deadline", Duration) },
    Row { path: "leaderElection.retryPeriod", meaning: Flag("retry-period", Duration) },
    Row { path: "leaderElection.resourceLock", meaning: Checked(Word(&["leases"])) },
    Row { path: "leaderElection.resourceName", meaning: Flag("lease-name", Text) },
    Row { path: "leaderElection.resourceNamespace", meaning: Flag("lease-namespace", Text) },
    Row { path: "server.healthProbes", meaning: Address("probes-address", 8081) },
    Row { path: "server.metrics", meaning: Address("metrics-address", 8080) },
    // The webhook is a program of its own.
    Row { path: "server.webhooks", meaning: OtherProgram },
    Row { path: "debugging", meaning: Ignored(NOT_IMPLEMENTED) },
    Row { path: "logLevel", meaning: Flag("log-level", Word(&["error", "warn", "info", "debug", "trace"])) },
    Row { path: "logFormat", meaning: Flag("log-format", Word(&["json", "text"])) },
    Row { path: "controllers.clusterID", meaning: Flag("cluster-id", Text) },
    Row { path: "controllers.resourceClass", meaning: Flag("class", NonEmpty) },
    Row {
        path: "controllers.cacheSyncTimeout",
        meaning: Ignored("the first lists may take as long as they need; /readyz tells"),
    },
    // Not in the original.
    Row { path: "controllers.managedResource.enabled", meaning: Off("disable-controllers", "managedresource") },
    Row { path: "controllers.managedResource.concurrentSyncs", meaning: Flag("concurrent-syncs", Positive) },
    Row { path: "controllers.managedResource.syncPeriod", meaning: Flag("resync-period", Duration) },
    // A sync applies every object, whatever is known of it.
    Row { path: "controllers.managedResource.alwaysUpdate", meaning: Checked(Switch) },
    Row { path: "controllers.managedResource.managedByLabelValue", meaning: Flag("managed-by", LabelValue) },
    // Not in the original. (How objects are protected is a setting of the webhook as well, and no key of this file.)
    Row { path: "controllers.managedResource.pendingPeriod", meaning: Flag("pending-period", Duration) },
    Row { path: "controllers.managedResource.concurrentRequests", meaning: Flag("concurrent-requests", Positive) },
    Row { path: "controllers.managedResource.repair", meaning: Flag("repair", Word(&["watch", "resync"])) },
    Row { path: "controllers.managedResource.prune", meaning: Flag("prune", Word(&["always", "on-success"])) },
    Row { path: "controllers.health", meaning: Ignored(NOT_IMPLEMENTED) },
    // The collector is somebody else's; what it deletes is left to it.
    Row { path: "controllers.garbageCollector.enabled", meaning: Flag("garbage-collector", Switch) },
    Row { path: "controllers.garbageCollector.syncPeriod", meaning: Ignored(NOT_IMPLEMENTED) },
    Row { path: "controllers.tokenRequestor", meaning: Ignored(NOT_IMPLEMENTED) },
    Row { path: "controllers.csrApprover", meaning: Ignored(NOT_IMPLEMENTED) },
    Row { path: "controllers.networkPolicy", meaning: Ignored(NOT_IMPLEMENTED) },
    Row { path: "controllers.istioClusterConfiguration", meaning: Ignored(NOT_IMPLEMENTED) },
    Row { path: "controllers.nodeCriticalComponents", meaning: Ignored(NOT_IMPLEMENTED) },
    Row { path: "controllers.nodeAgentReconciliationDelay", meaning: Ignored(NOT_IMPLEMENTED) },
    Row { path: "webhooks", meaning: Ignored(NOT_IMPLEMENTED) },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::config::Args;

    #[test]
    fn every_row_names_a_flag_that_there_is() {
        let command = Args::command();
        let flags: BTreeSet<&str> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
        for row in ROWS {
            if let Flag(flag, _) | Off(flag, _) | Address(flag, _) = row.meaning {
                assert!(flags.contains(flag), "{}: --{flag}", row.path);
            }
        }
        for (_, flag) in SOURCES.before_file.iter().chain(SOURCES.after_file) {
            assert!(flags.contains(flag), "--{flag}");
        }
    }
}
