//! Which objects are paused at the moment.

use holdfast_core::{
    drift::Live,
    key::{NamespacedName, ObjectKey},
    pause::Pauses,
};
use jiff::Timestamp;

use super::{Inner, World};

impl Inner {
    /// Whether nothing is to be written to an object of a ManagedResource.
    pub(super) fn is_paused(&self, mr: &NamespacedName, object: &ObjectKey) -> bool {
        let Some(mr) = self.mrs.get(mr) else { return false };
        let has_pause = || Pauses::of(mr).of_object(object, Timestamp::now()).is_some();
        mr.is_ignored() || !mr.pauses().is_empty() && has_pause()
    }
}

/// Whether an object says that it is paused, or is not there to say so.
pub(super) fn needs_no_mark(live: &Live) -> bool {
    match live {
        Live::Present(observed) => observed.deleting || observed.is_marked_paused(),
        Live::Gone | Live::Unknown => true,
    }
}

impl World {
    /// Whether nothing is to be written to an object of a ManagedResource, as it is known now.
    pub fn is_paused(&self, mr: &NamespacedName, object: &ObjectKey) -> bool {
        self.lock().is_paused(mr, object)
    }

    /// Whether an object says that it is paused, or is not there to say so. One of which no watch has spoken does not.
    pub fn is_marked(&self, object: &ObjectKey) -> bool {
        let inner = self.lock();
        match inner.objects.latest(object) {
            None => true,
            Some(observed) => observed.deleting || observed.is_marked_paused(),
        }
    }

    /// How many pauses last.
    pub fn lasting_pauses(&self) -> usize {
        let now = Timestamp::now();
        let inner = self.lock();
        let with_pauses = inner.mrs.values().filter(|mr| !mr.pauses().is_empty());
        with_pauses.map(|mr| Pauses::of(mr).active(now).len()).sum()
    }
}
