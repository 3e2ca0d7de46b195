//! Whether the API server answers requests about a resource.

use holdfast_runtime::traffic::{Resource, Standing, Traffic};

use super::write_gate::WriteGate;

/// How the resources of the target stand.
#[derive(Clone)]
pub(super) struct ResourceHealth {
    pub(super) gate: WriteGate,
    pub(super) traffic: Traffic,
}

impl ResourceHealth {
    /// Whether requests for a resource may not be answered. One that hangs is enough, whatever others of its resource do.
    pub(super) fn is_doubtful(&self, resource: &Resource) -> bool {
        self.gate.is_allowed() && self.standing(resource) != Standing::Well
    }

    /// How a resource stands. One with objects that hang is asked again as one that is sick: nobody else would try these again.
    pub(super) fn standing(&self, resource: &Resource) -> Standing {
        match self.traffic.standing(resource) {
            Standing::Well if self.traffic.is_suspicious(resource) => Standing::Due,
            standing => standing,
        }
    }
}
