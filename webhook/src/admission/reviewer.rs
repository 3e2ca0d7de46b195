//! Sends each review to the decision for its endpoint, then logs, counts and publishes the verdict.

use std::sync::Arc;

use holdfast_core::key::NamespacedName;
use holdfast_core::protect::{self as core, Decision, Rules, Verdict};
use holdfast_runtime::index::SharedIndex;

use super::audit_only::AuditOnlyEvents;
use super::endpoint::Endpoint;
use super::manifests::Checker;
use super::pause_access::PauseAccess;
use super::pause_authorizer::PauseAuthorizer;
use super::protect::Rule;
use super::review::{Request, ReviewHeader};
use super::secret_reader::SecretReader;
use super::{managed_resources, namespaces, protect, secrets};
use crate::metrics::Metrics;

/// Decides about reviews.
pub struct Reviewer {
    index: SharedIndex,
    rules: ClusterRules,
    /// The rule for managed objects.
    rule: Rule,
    content: ContentChecks,
    pauses: PauseAuthorizer,
    audit_only: Option<AuditOnlyEvents>,
    metrics: Metrics,
}

/// The rules of each cluster: user names of one cluster mean nothing in the other.
struct ClusterRules {
    source: Rules,
    /// Only if the target is another cluster.
    target: Option<Rules>,
}

impl ClusterRules {
    /// The rules of the cluster of the managed objects.
    fn target(&self) -> &Rules {
        self.target.as_ref().unwrap_or(&self.source)
    }
}

/// What the checks of Secrets and ManagedResources need.
struct ContentChecks {
    secrets: Arc<dyn SecretReader>,
    checker: Checker,
}

impl Reviewer {
    /// Decides by this index and these rules.
    pub fn new(
        index: SharedIndex,
        rules: Rules,
        secrets: Arc<dyn SecretReader>,
        access: Arc<dyn PauseAccess>,
        metrics: Metrics,
    ) -> Self {
        Self {
            index,
            pauses: PauseAuthorizer { access, longest: rules.longest_pause },
            rules: ClusterRules { source: rules, target: None },
            rule: core::judge,
            content: ContentChecks { secrets, checker: Checker::default() },
            audit_only: None,
            metrics,
        }
    }

    /// Managed objects live in another cluster, with these rules.
    #[must_use]
    pub fn with_target_rules(mut self, rules: Rules) -> Self {
        self.rules.target = Some(rules);
        self
    }

    /// Replaces the decision about managed objects, for tests.
    #[must_use]
    pub fn with_rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    /// Publishes Events about what would be refused, if the rules say audit only.
    #[must_use]
    pub fn with_audit_only_events(mut self, events: AuditOnlyEvents) -> Self {
        self.audit_only = self.rules.source.audit_only.then_some(events);
        self
    }

    /// Where it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Decides about a managed object, or the deletion of a namespace, by the index alone. `None` for the other endpoints:
    /// they need [`Reviewer::decide_declaration`].
    pub fn decide_object(&self, endpoint: Endpoint, request: &Request) -> Option<Verdict> {
        let rules = self.rules.target();
        let verdict = match endpoint {
            Endpoint::Revert => protect::decide(request, &self.index, rules, core::revert),
            Endpoint::Protect => protect::decide(request, &self.index, rules, self.rule),
            Endpoint::Namespaces => self.enforced(namespaces::decide(request, &self.index, rules)),
            Endpoint::Secrets | Endpoint::ManagedResources => return None,
        };
        Some(self.finish(request, verdict))
    }

    /// Decides about a Secret or a ManagedResource. May have to ask the cluster, and decodes manifests.
    pub async fn decide_declaration(&self, endpoint: Endpoint, request: &Request) -> Verdict {
        let verdict = if endpoint == Endpoint::ManagedResources {
            self.managed_resource(request).await
        } else {
            self.enforced(secrets::validate(request, &self.index, &self.rules.source, &self.content.checker).await)
        };
        self.finish(request, verdict)
    }

    async fn managed_resource(&self, request: &Request) -> Verdict {
        let authorized = match self.pauses.authorize(request, &self.metrics).await {
            Ok(authorized) => authorized,
            Err(refusal) => return self.enforced(with_name(refusal, request)),
        };
        let ContentChecks { secrets, checker } = &self.content;
        let verdict =
            managed_resources::validate(request, &self.index, &self.rules.source, secrets.as_ref(), checker).await;
        self.pauses.record(request, authorized, self.enforced(with_name(verdict, request)), &self.metrics)
    }

    /// The verdict without a decision, see [`Endpoint::without_decision`].
    pub fn without_decision(&self, endpoint: Endpoint, header: &ReviewHeader, why: &str) -> Verdict {
        self.enforced(endpoint.without_decision(header, why))
    }

    fn enforced(&self, verdict: Verdict) -> Verdict {
        if self.rules.source.audit_only { verdict.into_audit_only() } else { verdict }
    }

    fn finish(&self, request: &Request, verdict: Verdict) -> Verdict {
        log(request, &verdict);
        self.metrics.decided(&verdict);
        if let Some(events) = &self.audit_only {
            events.publish(request, &verdict, &self.index);
        }
        verdict
    }
}

/// Names the reviewed ManagedResource in the audit annotations of a refusal.
fn with_name(mut verdict: Verdict, request: &Request) -> Verdict {
    if let Verdict::Deny { audit, .. } = &mut verdict {
        let key = NamespacedName::new(&request.namespace, request.object_name());
        audit.insert("managed-resource".to_owned(), key.to_string());
    }
    verdict
}

/// Logs what was refused, put back or warned about, and its objects; never a value of a field.
fn log(request: &Request, verdict: &Verdict) {
    let outcome = match verdict.decision() {
        Some(Decision::Revert) => "put back",
        Some(Decision::Warn) => "passed with a warning",
        Some(Decision::WouldDeny) => "would be denied",
        Some(Decision::Paused) => "passed while it is paused",
        None if verdict.is_allowed() => return,
        Some(Decision::Deny) | None => "denied",
    };
    let audit = verdict.audit();
    let part = |name: &str| audit.get(name).map(String::as_str);
    let (slash, subresource) =
        if request.sub_resource.is_empty() { ("", "") } else { ("/", request.sub_resource.as_str()) };
    tracing::info!(
        resource = format!("{}{slash}{subresource}", request.resource.resource),
        group = request.resource.group,
        namespace = request.namespace,
        name = request.object_name(),
        operation = ?request.operation,
        user = request.user_info.username,
        managed_resource = part("managed-resource"),
        paths = part("paths"),
        pause = part("pause"),
        undecodable = part("undecodable"),
        dry_run = request.dry_run.unwrap_or_default(),
        "{outcome}"
    );
}
