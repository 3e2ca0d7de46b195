//! Reviews of ManagedResources: who begins or prolongs a pause needs the verb `override`. Each pause is recorded in audit
//! annotations, an Event and a metric.
//!
//! All users are checked, and changes of metadata, too. Ending a pause, or making it shorter or smaller, needs no verb. If the
//! cluster does not answer, the pause passes, and the warning, the Event and the metric say that it was not checked: whoever
//! may update the ManagedResource could switch protection off anyway.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::api::ManagedResource;
use holdfast_core::key::NamespacedName;
use holdfast_core::names;
use holdfast_core::pause::{self, PauseChange};
use holdfast_core::protect::Verdict;
use jiff::Timestamp;
use serde::Deserialize as _;

use super::pause_access::PauseAccess;
use super::review::{Request, Verb};
use crate::events::Reason;
use crate::metrics::{Metrics, PauseResult};

/// Authorizes pauses.
pub struct PauseAuthorizer {
    /// Asks the cluster of the ManagedResources.
    pub access: Arc<dyn PauseAccess>,
    /// The longest pause.
    pub longest: Duration,
}

/// A pause that may begin or end, unless something else is wrong with the ManagedResource.
pub struct AuthorizedPause {
    change: PauseChange,
    /// Why it was not checked whether the user may.
    unchecked: Option<String>,
}

impl PauseAuthorizer {
    /// Decides about the pauses in a review. `Err` is a refusal.
    pub async fn authorize(&self, request: &Request, metrics: &Metrics) -> Result<Option<AuthorizedPause>, Verdict> {
        let authorized = self.check(request).await;
        if authorized.is_err() && !request.dry_run.unwrap_or_default() {
            metrics.paused(PauseResult::Refused);
        }
        authorized
    }

    async fn check(&self, request: &Request) -> Result<Option<AuthorizedPause>, Verdict> {
        let Some(new) = written_resource(request) else { return Ok(None) };
        let old = request.old_object.as_ref().and_then(|old| ManagedResource::deserialize(old).ok());
        let now = Timestamp::now();
        let change = pause::change(old.as_ref(), &new, now);
        if change == PauseChange::default() {
            return Ok(None);
        }
        if !change.unreadable.is_empty() {
            return Err(refused(&change, change.unreadable.join("\n")));
        }
        let too_long = change.too_long(self.longest, now);
        if !too_long.is_empty() {
            return Err(refused(&change, self.too_long(&too_long, now)));
        }
        if !change.needs_override() {
            return Ok(Some(AuthorizedPause { change, unchecked: None }));
        }
        let mr = NamespacedName::new(&request.namespace, new.metadata.name.as_deref().unwrap_or(&request.name));
        match self.access.may_override(&request.user_info, &mr).await {
            Ok(true) => Ok(Some(AuthorizedPause { change, unchecked: None })),
            Ok(false) => Err(refused(&change, not_allowed(request, &mr))),
            Err(why) => Ok(Some(AuthorizedPause { change, unchecked: Some(why) })),
        }
    }

    fn too_long(&self, pauses: &[String], now: Timestamp) -> String {
        let last = now.checked_add(self.longest).map(pause::time).unwrap_or_default();
        let minutes = self.longest.as_secs() / 60;
        let longest = if minutes.is_multiple_of(60) { format!("{}h", minutes / 60) } else { format!("{minutes}m") };
        format!(
            "{} is too long: a pause may last {longest} at most, so until {last} (it can be prolonged later)",
            pauses.join(", ")
        )
    }

    /// Adds warnings and audit annotations about the pause to the verdict about the rest, publishes Events, and counts.
    pub fn record(
        &self,
        request: &Request,
        authorized: Option<AuthorizedPause>,
        verdict: Verdict,
        metrics: &Metrics,
    ) -> Verdict {
        let Some(AuthorizedPause { change, unchecked }) = authorized else { return verdict };
        let Verdict::Allow { mut warnings, mut audit } = verdict else { return verdict };
        warnings.extend(warnings_of(&change));
        let is_dry_run = request.dry_run.unwrap_or_default();
        if change.is_end() {
            audit.insert("pause-end".to_owned(), ended(&change));
            if !is_dry_run {
                self.access.publish(request, Reason::Unpaused, note(request, "", &ended(&change)));
            }
        }
        if !change.needs_override() {
            return Verdict::Allow { warnings, audit };
        }
        if let Some(why) = &unchecked {
            let verb = names::VERB_OVERRIDE;
            warnings.push(format!("whether you may do that (verb {verb}) was not checked: {why}; it was let through"));
        }
        let result = if unchecked.is_some() { PauseResult::Unchecked } else { PauseResult::Allowed };
        audit.extend(audit_of(&change, result));
        if !is_dry_run {
            metrics.paused(result);
            let unchecked = unchecked.map(|why| format!(" (not checked whether that user may: {why})"));
            self.access.publish(
                request,
                Reason::Paused,
                note(request, &unchecked.unwrap_or_default(), &description(&change)),
            );
        }
        Verdict::Allow { warnings, audit }
    }
}

/// The ManagedResource that is written, if its pauses may take effect.
fn written_resource(request: &Request) -> Option<ManagedResource> {
    let is_write = matches!(request.operation, Verb::Create | Verb::Update) && request.sub_resource.is_empty();
    let new = request.object.as_ref().filter(|_| is_write && !request.is_being_deleted())?;
    ManagedResource::deserialize(new).ok()
}

fn refused(change: &PauseChange, message: String) -> Verdict {
    Verdict::Deny { message, audit: audit_of(change, PauseResult::Refused) }
}

fn audit_of(change: &PauseChange, result: PauseResult) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("pause".to_owned(), description(change)),
        ("pause-decision".to_owned(), result.label().to_owned()),
    ])
}

fn not_allowed(request: &Request, mr: &NamespacedName) -> String {
    format!(
        "user {:?} may not pause ManagedResource {mr}: that needs the verb {:?} on {}.{} (ClusterRole holdfast-override)",
        request.user_info.username,
        names::VERB_OVERRIDE,
        names::PLURAL,
        names::GROUP
    )
}

/// `ConfigMap default/a is paused until …`, one after the other.
fn description(change: &PauseChange) -> String {
    let mut texts: Vec<String> = change.begun.iter().map(ToString::to_string).collect();
    if change.ignore {
        texts.push(format!("all objects are paused without an end (annotation {})", names::ANNOTATION_IGNORE));
    }
    texts.join("; ")
}

fn warnings_of(change: &PauseChange) -> Vec<String> {
    let mut warnings = change.past.clone();
    warnings.extend(change.begun.iter().map(|entry| format!("{entry}: edits pass, and are undone then")));
    if change.begun.iter().any(|entry| !entry.has_reason()) {
        warnings.push("say why in the field reason of the pause".to_owned());
    }
    if change.ignore {
        let text = "has no end: until it is taken off, edits pass and nothing is repaired, updated or deleted. A pause in \
                    spec.protection.pauses ends by itself";
        warnings.push(format!("annotation {} {text}", names::ANNOTATION_IGNORE));
    }
    warnings
}

/// The pauses that end, or become shorter or smaller.
fn ended(change: &PauseChange) -> String {
    let mut texts: Vec<String> = change.ended.iter().map(|entry| format!("no longer: {entry}")).collect();
    if change.unignored {
        texts.push(format!(
            "no longer: all objects are paused without an end (annotation {})",
            names::ANNOTATION_IGNORE
        ));
    }
    texts.join("; ")
}

/// Who, what, until when, why.
fn note(request: &Request, detail: &str, what: &str) -> String {
    format!("By user {:?}{detail}: {what}", request.user_info.username)
}
