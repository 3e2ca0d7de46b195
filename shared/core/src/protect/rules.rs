//! The settings of the decision, apart from the index.

use std::time::Duration;

use super::exempt::Exempt;
use crate::api::{Mode, Repair};

/// The settings of the decision, apart from the index.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Users whom the webhook never refuses.
    pub exempt: Exempt,
    /// Mode of ManagedResources that do not set one.
    pub default_mode: Mode,
    /// When the controller undoes edits that pass, if the ManagedResource does not say. Only texts use it.
    pub default_repair: Repair,
    /// Audit-only operation: nothing is refused or put back, but warnings say what would be.
    pub audit_only: bool,
    /// Refuse while the ManagedResources are still unknown (failure policy Fail). Otherwise allow with a warning.
    pub fail_closed: bool,
    /// Our own namespace.
    pub home: String,
    /// Refuse to delete namespaces with managed objects. Otherwise warn.
    pub keep_namespaces: bool,
    /// Longest allowed pause.
    pub longest_pause: Duration,
}

/// Longest allowed pause by default.
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
