//! The verdict on a case, in each mode and in audit-only operation.

use std::collections::BTreeMap;

use super::case::{Case, Offence};
use super::message::{self, Tone};
use super::verdict::Verdict;
use crate::{api::Mode, inventory::index::Paused, names, pause};

/// Prefix of the warning in audit-only operation, where nothing is refused.
const AUDIT_ONLY: &str = "this would be refused, but Holdfast only watches so far: ";
/// Audit annotation with a [`Decision`].
const DECISION: &str = "decision";
/// Audit annotation with a [`Mode`].
const MODE: &str = "mode";

/// The decision about a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// The request was refused.
    Deny,
    /// Protected fields were put back.
    Revert,
    /// The request passed with a warning.
    Warn,
    /// The request passed with a warning. It would be refused without audit-only operation.
    WouldDeny,
    /// The request passed with a warning, because the object is paused.
    Paused,
}

impl Decision {
    const ALL: [Self; 5] = [Self::Deny, Self::Revert, Self::Warn, Self::WouldDeny, Self::Paused];

    /// Returns the word in metrics and audit annotations.
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

/// Decides in the validating webhook (`/protect`). In mode `Revert` it refuses what the mutating webhook could not put
/// back, and what another webhook has changed since.
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

/// Lets the edit of a paused object pass. The warning says until when, and what happens to the edit then.
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

/// Returns the audit annotations: the owner, the mode, the decision and the fields.
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
    /// Turns a refusal into a warning, for audit-only operation.
    #[must_use]
    pub fn into_audit_only(self) -> Self {
        match self {
            Self::Deny { message, mut audit } => {
                audit.insert(DECISION.to_owned(), Decision::WouldDeny.label().to_owned());
                Self::Allow { warnings: vec![format!("{AUDIT_ONLY}{message}")], audit }
            }
            other => other,
        }
    }

    /// Returns the annotations for the API server's audit log.
    pub fn audit(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Allow { audit, .. } | Self::Revert { audit, .. } | Self::Deny { audit, .. } => audit,
        }
    }

    /// Returns the decision, if the request concerned a managed object.
    pub fn decision(&self) -> Option<Decision> {
        let word = self.audit().get(DECISION)?;
        Decision::ALL.into_iter().find(|decision| decision.label() == word)
    }

    /// Returns the mode of the ManagedResource; `None` for Secrets and ManagedResources themselves.
    pub fn mode(&self) -> Option<Mode> {
        self.audit().get(MODE).and_then(|mode| Mode::parse(mode))
    }
}
