//! Values of labels. Dashboards and alerts use them, so they stay when a variant gets another name.

use std::fmt;

use holdfast_core::api::Mode;
use holdfast_core::protect::{Decision, Verdict};
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

use crate::endpoint::Endpoint;

/// Encodes types as the text of their method `label`.
macro_rules! encode_by_label {
    ($($label:ty),+ $(,)?) => {$(
        impl EncodeLabelValue for $label {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
                self.label().encode(encoder)
            }
        }
    )+};
}

encode_by_label!(ReviewOutcome, PauseResult, Protocol, ConnectionEnd, ClientRefusal, Side, ModeLabel, DecisionLabel,);

impl EncodeLabelValue for Endpoint {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.path().encode(encoder)
    }
}

/// The answer to a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReviewOutcome {
    /// It was allowed.
    Allowed,
    /// It was allowed with a warning.
    Warned,
    /// Protected fields were put back.
    Reverted,
    /// It was denied.
    Denied,
    /// There was no decision; the endpoint's default was answered.
    Undecided,
    /// There was no decision and no uid to answer to: an HTTP error.
    Error,
}

impl ReviewOutcome {
    fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allow",
            Self::Warned => "warn",
            Self::Reverted => "revert",
            Self::Denied => "deny",
            Self::Undecided => "unjudged",
            Self::Error => "error",
        }
    }
}

impl From<&Verdict> for ReviewOutcome {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Allow { warnings, .. } if warnings.is_empty() => Self::Allowed,
            Verdict::Allow { .. } => Self::Warned,
            Verdict::Revert { .. } => Self::Reverted,
            Verdict::Deny { .. } => Self::Denied,
        }
    }
}

/// The result of a request for a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PauseResult {
    /// It was allowed.
    Allowed,
    /// The user may not, or it is too long or cannot be read.
    Refused,
    /// It passed: the cluster did not say whether the user may.
    Unchecked,
}

impl PauseResult {
    /// The text in labels and in the audit log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Allowed => "granted",
            Self::Refused => "refused",
            Self::Unchecked => "unchecked",
        }
    }
}

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    fn label(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionEnd {
    /// One side ended it.
    Done,
    /// An error; in the handshake, too.
    Failed,
    /// The client did not speak TLS.
    Plain,
    /// Another connection needed its slot.
    Evicted,
    /// It never sent a request.
    Silent,
}

impl ConnectionEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Plain => "plain-http",
            Self::Evicted => "crowded",
            Self::Silent => "silent",
        }
    }
}

/// Why a client may not connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientRefusal {
    /// It shows no certificate.
    NoCertificate,
    /// Its certificate is of another CA.
    OtherAuthority,
    /// Its certificate has another name.
    OtherName,
    /// Its certificate has expired, is not for clients, or cannot be read.
    Unusable,
}

impl ClientRefusal {
    /// The text in labels and in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::OtherAuthority => "other-authority",
            Self::OtherName => "other-name",
            Self::Unusable => "unusable",
        }
    }
}

/// The cluster of a webhook configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The cluster of the ManagedResources. The chart installs the configuration with us, so we wait for it.
    Source,
    /// Another cluster. Its owner may install the configuration at any time, and we do not wait.
    Target,
}

impl Side {
    fn label(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// The mode of a ManagedResource. Secrets and ManagedResources have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ModeLabel(pub(super) Option<Mode>);

impl ModeLabel {
    fn label(self) -> &'static str {
        self.0.map_or("none", Mode::label)
    }
}

/// The decision about a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct DecisionLabel(pub(super) Decision);

impl DecisionLabel {
    fn label(self) -> &'static str {
        self.0.label()
    }
}
