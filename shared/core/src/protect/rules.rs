//! What the decision obeys beside the index.

use std::time::Duration;

use super::exempt::Exempt;
use crate::api::{Mode, Repair};

/// What the decision obeys beside the index.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Users who are never refused.
    pub exempt: Exempt,
    /// Mode of ManagedResources that ask for none.
    pub default_mode: Mode,
    /// When edits that pass are undone, where the ManagedResource does not say: for texts.
    pub default_repair: Repair,
    /// Nothing is refused or put back: what would be is told of.
    pub audit_only: bool,
    /// Refuse while ManagedResources are not known yet (failure policy Fail); otherwise allow with a warning.
    pub fail_closed: bool,
    /// Namespace that we run in.
    pub home: String,
    /// Refuse to delete namespaces that hold managed objects; otherwise warn.
    pub keep_namespaces: bool,
    /// How long a pause may be.
    pub longest_pause: Duration,
}

/// How long a pause may be unless the settings say so.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

impl Default for Rules {
    fn default() -> Self {
        Self {
            exempt: Exempt::default(),
            default_mode: Mode::default(),
            default_repair: Repair::default(),
            audit_only: false,
            fail_closed: false,
            home: String::new(),
            keep_namespaces: false,
            longest_pause: LONGEST_PAUSE,
        }
    }
}
