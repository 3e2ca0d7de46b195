//! Reviews of ManagedResources: who begins or prolongs a pause needs the verb `override`, and leaves a trace (design §7).
//!
//! Pauses are judged whoever writes them, and also where only metadata changes. Ending one, or making it shorter or smaller,
//! needs nothing. Like everything about ManagedResources it fails open: a pause that cannot be checked is let through, and
//! the warning, the Event and the metric say so. Whoever may update the ManagedResource could switch protection off anyway.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_core::api::ManagedResource;
use holdfast_core::key::NamespacedName;
use holdfast_core::names;
use holdfast_core::pause::{self, Ask};
use holdfast_core::protect::Verdict;
use jiff::Timestamp;
use serde::Deserialize as _;

use super::pause_access::Overrides;
use super::review::{Request, Verb};
use crate::metrics::{Metrics, PauseResult};

/// Decides about pauses.
pub struct Glass {
    /// The cluster of the ManagedResources.
    pub overrides: Arc<dyn Overrides>,
    /// How long a pause may be.
    pub longest: Duration,
}

/// Pauses that are let through, if nothing else is wrong with the ManagedResource.
pub struct Granted {
    ask: Ask,
    /// Why nobody knows whether the user may do it.
    unchecked: Option<String>,
}

impl Glass {
    /// Decides about the pauses in a review. `Err` is a refusal.
    pub async fn judge(&self, request: &Request, metrics: &Metrics) -> Result<Option<Granted>, Verdict> {
        let judged = self.check(request).await;
        if judged.is_err() && !request.dry_run.unwrap_or_default() {
            metrics.paused(PauseResult::Refused);
        }
        judged
    }

    async fn check(&self, request: &Request) -> Result<Option<Granted>, Verdict> {
        let Some(new) = written(request) else { return Ok(None) };
        let old = request.old_object.as_ref().and_then(|old| ManagedResource::deserialize(old).ok());
        let now = Timestamp::now();
        let ask = pause::asked(old.as_ref(), &new, now);
        if ask == Ask::default() {
            return Ok(None);
        }
        if !ask.unreadable.is_empty() {
            return Err(refused(&ask, ask.unreadable.join("\n")));
        }
        let too_long = ask.too_long(self.longest, now);
        if !too_long.is_empty() {
            return Err(refused(&ask, self.too_long(&too_long, now)));
        }
        if !ask.needs_override() {
            return Ok(Some(Granted { ask, unchecked: None }));
        }
        let mr = NamespacedName::new(&request.namespace, new.metadata.name.as_deref().unwrap_or(&request.name));
        match self.overrides.may(&request.user_info, &mr).await {
            Ok(true) => Ok(Some(Granted { ask, unchecked: None })),
            Ok(false) => Err(refused(&ask, not_allowed(request, &mr))),
            Err(why) => Ok(Some(Granted { ask, unchecked: Some(why) })),
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

    /// Adds to the verdict about the rest what is to be said, and leaves the trace.
    pub fn conclude(
        &self,
        request: &Request,
        granted: Option<Granted>,
        verdict: Verdict,
        metrics: &Metrics,
    ) -> Verdict {
        let Some(Granted { ask, unchecked }) = granted else { return verdict };
        let Verdict::Allow { mut warnings, mut audit } = verdict else { return verdict };
        warnings.extend(warnings_of(&ask));
        let is_dry_run = request.dry_run.unwrap_or_default();
        if ask.is_end() {
            audit.insert("pause-end".to_owned(), ends(&ask));
            if !is_dry_run {
                self.overrides.tell(request, "Unpaused", by(request, "", &ends(&ask)));
            }
        }
        if !ask.needs_override() {
            return Verdict::Allow { warnings, audit };
        }
        if let Some(why) = &unchecked {
            let verb = names::VERB_OVERRIDE;
            warnings.push(format!("whether you may do that (verb {verb}) was not checked: {why}; it was let through"));
        }
        let result = if unchecked.is_some() { PauseResult::Unchecked } else { PauseResult::Granted };
        audit.extend(audit_of(&ask, result));
        if !is_dry_run {
            metrics.paused(result);
            let unchecked = unchecked.map(|why| format!(" (not checked whether that user may: {why})"));
            self.overrides.tell(request, "Paused", by(request, &unchecked.unwrap_or_default(), &what(&ask)));
        }
        Verdict::Allow { warnings, audit }
    }
}

/// The ManagedResource in a review, where pauses may come into effect by it.
fn written(request: &Request) -> Option<ManagedResource> {
    let is_write = matches!(request.operation, Verb::Create | Verb::Update) && request.sub_resource.is_empty();
    let new = request.object.as_ref().filter(|_| is_write && !request.is_being_deleted())?;
    ManagedResource::deserialize(new).ok()
}

fn refused(ask: &Ask, message: String) -> Verdict {
    Verdict::Deny { message, audit: audit_of(ask, PauseResult::Refused) }
}

fn audit_of(ask: &Ask, result: PauseResult) -> BTreeMap<String, String> {
    BTreeMap::from([("pause".to_owned(), what(ask)), ("pause-decision".to_owned(), result.text().to_owned())])
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
fn what(ask: &Ask) -> String {
    let mut texts: Vec<String> = ask.begun.iter().map(ToString::to_string).collect();
    if ask.ignore {
        texts.push(format!("all objects are paused without an end (annotation {})", names::ANNOTATION_IGNORE));
    }
    texts.join("; ")
}

fn warnings_of(ask: &Ask) -> Vec<String> {
    let mut warnings = ask.past.clone();
    warnings.extend(ask.begun.iter().map(|entry| format!("{entry}: edits pass, and are undone then")));
    if ask.begun.iter().any(|entry| !entry.has_reason()) {
        warnings.push("say why in the field reason of the pause".to_owned());
    }
    if ask.ignore {
        let text = "has no end: until it is taken off, edits pass and nothing is repaired, updated or deleted. A pause in \
                    spec.protection.pauses ends by itself";
        warnings.push(format!("annotation {} {text}", names::ANNOTATION_IGNORE));
    }
    warnings
}

/// What goes on no longer, or not for so long or so many.
fn ends(ask: &Ask) -> String {
    let mut texts: Vec<String> = ask.ended.iter().map(|entry| format!("no longer: {entry}")).collect();
    if ask.unignored {
        texts.push(format!(
            "no longer: all objects are paused without an end (annotation {})",
            names::ANNOTATION_IGNORE
        ));
    }
    texts.join("; ")
}

/// Who, what, until when, why.
fn by(request: &Request, remark: &str, what: &str) -> String {
    format!("By user {:?}{remark}: {what}", request.user_info.username)
}
