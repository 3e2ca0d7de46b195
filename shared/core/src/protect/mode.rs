//! What becomes of a case in each mode, and while we only watch.

use std::collections::BTreeMap;

use super::case::{Case, Offence};
use super::message::{self, Tone};
use super::verdict::Verdict;
use crate::{api::Mode, inventory::index::Paused, names, pause};

/// Begins the warning about what is not refused because we only watch.
const TRIAL: &str = "this would be refused, but Holdfast only watches so far: ";
/// Name of the audit annotation with a [`Decision`].
const DECISION: &str = "decision";
/// Name of the audit annotation with a [`Mode`].
const MODE: &str = "mode";

/// What was decided about a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// It was refused.
    Deny,
    /// What is protected was put back.
    Revert,
    /// It passed with a warning.
    Warn,
    /// It passed with a warning, and is refused when we do more than watch.
    WouldDeny,
    /// It passed with a warning, because somebody paused the object.
    Paused,
}

impl Decision {
    const ALL: [Self; 5] = [Self::Deny, Self::Revert, Self::Warn, Self::WouldDeny, Self::Paused];

    /// Its word in metrics and audit annotations.
    pub fn label(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Revert => "revert",
            Self::Warn => "warn",
            Self::WouldDeny => "would-deny",
            Self::Paused => "paused",
        }
    }
}

/// Modes that a request can meet at `/protect`. What `Revert` could not put back before, or what another webhook changed
/// after that, is refused.
pub(super) fn verdict(case: &Case<'_>) -> Verdict {
    match case.mode {
        Mode::Off => Verdict::pass(),
        Mode::Warn => {
            Verdict::Allow { warnings: vec![message::text(case, Tone::Accepted)], audit: audit(case, Decision::Warn) }
        }
        Mode::Deny | Mode::Revert => {
            Verdict::Deny { message: message::text(case, Tone::Refused), audit: audit(case, Decision::Deny) }
        }
    }
}

/// The edit of a paused object passes; the warning says until when, and what becomes of it.
pub(super) fn paused(case: &Case<'_>, paused: Paused<'_>) -> Verdict {
    let end = match paused {
        Paused::Until(entry) => pause::time(entry.until()),
        Paused::Ignored => format!("annotation {} is taken off", names::ANNOTATION_IGNORE),
    };
    let fate = match case.offence {
        Offence::Change(_) => "the change will be undone then",
        Offence::Deletion => "it will be created again then",
        Offence::Creation => "it will be made as declared then",
    };
    let warning = format!("{} and is paused until {end}: {fate}", message::subject(case));
    Verdict::Allow { warnings: vec![warning], audit: audit(case, Decision::Paused) }
}

/// For the audit log: whose object, which mode, what was decided, about which fields.
pub(super) fn audit(case: &Case<'_>, decision: Decision) -> BTreeMap<String, String> {
    let parts = [
        ("managed-resource", case.owner.key.to_string()),
        (MODE, case.mode.label().to_owned()),
        (DECISION, decision.label().to_owned()),
        ("paths", message::paths(&case.offence)),
    ];
    parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Verdict {
    /// The same while we only watch: what would be refused passes with a warning.
    #[must_use]
    pub fn into_audit_only(self) -> Self {
        match self {
            Self::Deny { message, mut audit } => {
                audit.insert(DECISION.to_owned(), Decision::WouldDeny.label().to_owned());
                Self::Allow { warnings: vec![format!("{TRIAL}{message}")], audit }
            }
            other => other,
        }
    }

    /// Annotations for the API server's audit log.
    pub fn audit(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Allow { audit, .. } | Self::Revert { audit, .. } | Self::Deny { audit, .. } => audit,
        }
    }

    /// What was decided, if the request was about something that matters.
    pub fn decision(&self) -> Option<Decision> {
        let word = self.audit().get(DECISION)?;
        Decision::ALL.into_iter().find(|decision| decision.label() == word)
    }

    /// The mode of the ManagedResource in question; none for Secrets and ManagedResources themselves.
    pub fn mode(&self) -> Option<Mode> {
        self.audit().get(MODE).and_then(|mode| Mode::parse(mode))
    }
}
