//! What is due although nothing was heard: objects to be applied again, observations to be written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use holdfast_core::{
    key::{NamespacedName, ObjectKey},
    manifest::Desired,
};
use tokio::time::Instant;

/// Objects applied again at a time. Few, so that no repair has to wait for long.
const SLICE: usize = 8;
/// Time for one slice. Those of all ManagedResources come one after the other: where many came at once, a repair waited for
/// seconds (4 s behind 840 objects, measured).
const SLOT: Duration = Duration::from_millis(25);
/// So many slots further on a slice shares one with another. There are then more of them than the period has room for.
const MOST_SLOTS: u32 = 400;
/// Observations of repairs are written down after this time without another one,
const QUIET: Duration = Duration::from_secs(2);
/// and this much for each object in the inventory: a status of a thousand objects costs the API server more than a hundred
/// milliseconds, in which repairs have to wait.
const QUIET_PER_OBJECT: Duration = Duration::from_millis(10);
/// Objects that count for it.
const MOST_OBJECTS: u32 = 2000;
/// And after this time in any case.
const LONGEST_DEBT: Duration = Duration::from_secs(60);

/// Of all ManagedResources.
pub struct Rhythms {
    period: Duration,
    schedule: Mutex<Schedule>,
}

struct Schedule {
    rhythms: BTreeMap<NamespacedName, Rhythm>,
    slots: Slots,
}

/// When slices are due.
struct Slots {
    /// Beginning of the first one.
    origin: Instant,
    taken: BTreeSet<u32>,
}

struct Rhythm {
    /// When the next slice is due.
    slot: u32,
    /// The object before it; none at the beginning of a round.
    cursor: Option<ObjectKey>,
    last_work: Option<Instant>,
    /// Since when observations wait to be written down.
    owed: Option<Instant>,
}

impl Slots {
    /// Takes the first slot from this time on that is nobody's.
    fn take(&mut self, wanted: Instant) -> u32 {
        let first = wanted.saturating_duration_since(self.origin).as_millis().div_ceil(SLOT.as_millis());
        let first = u32::try_from(first).unwrap_or(u32::MAX - MOST_SLOTS);
        let slot = (first..first.saturating_add(MOST_SLOTS)).find(|slot| !self.taken.contains(slot)).unwrap_or(first);
        self.taken.insert(slot);
        slot
    }

    fn give_back(&mut self, slot: u32) {
        self.taken.remove(&slot);
    }

    fn beginning(&self, slot: u32) -> Instant {
        self.origin + SLOT * slot
    }
}

impl Rhythms {
    /// Applies every object again once in a `period`.
    pub fn new(period: Duration) -> Self {
        let slots = Slots { origin: Instant::now(), taken: BTreeSet::new() };
        Self { period, schedule: Mutex::new(Schedule { rhythms: BTreeMap::new(), slots }) }
    }

    /// Positions of the objects that are to be applied again now, changed or not. A round goes through all objects, a few at
    /// a time, spread over the period.
    pub fn slice(&self, mr: &NamespacedName, desired: &[Arc<Desired>], now: Instant) -> Range<usize> {
        let slices = u32::try_from(desired.len().div_ceil(SLICE).max(1)).unwrap_or(u32::MAX);
        let gap = self.period / slices;
        let mut schedule = self.schedule();
        let Schedule { rhythms, slots } = &mut *schedule;
        let Some(rhythm) = rhythms.get_mut(mr) else {
            // Not all at the same moment after a start.
            let slot = slots.take(now + gap / 1000 * thousandths(mr).max(100));
            rhythms.insert(mr.clone(), Rhythm { slot, cursor: None, last_work: None, owed: None });
            return 0..0;
        };
        if slots.beginning(rhythm.slot) > now {
            return 0..0;
        }
        slots.give_back(rhythm.slot);
        // Up to a tenth later than the period says, so that ManagedResources stay apart.
        rhythm.slot = slots.take(now + gap + gap / 10_000 * thousandths(mr));
        let start = rhythm.cursor.as_ref().map_or(0, |cursor| desired.partition_point(|object| object.key <= *cursor));
        let end = (start + SLICE).min(desired.len());
        let is_last = end == desired.len();
        rhythm.cursor = desired.get(end.wrapping_sub(1)).filter(|_| !is_last).map(|object| object.key.clone());
        start..end
    }

    /// Time to the next slice.
    pub fn until_slice(&self, mr: &NamespacedName, now: Instant) -> Duration {
        let Schedule { rhythms, slots } = &*self.schedule();
        rhythms.get(mr).map_or(self.period, |rhythm| slots.beginning(rhythm.slot).saturating_duration_since(now))
    }

    /// Whether observations are written down now, after a pass that did some work or none; otherwise the time until then.
    /// A burst of repairs is one write that way, and no repair waits for it. `objects` are in the inventory.
    pub fn debt(&self, mr: &NamespacedName, did_work: bool, objects: usize, now: Instant) -> Option<Duration> {
        let mut schedule = self.schedule();
        let rhythm = schedule.rhythms.get_mut(mr)?;
        if did_work {
            rhythm.last_work = Some(now);
        }
        let patience = QUIET + QUIET_PER_OBJECT * u32::try_from(objects).unwrap_or(u32::MAX).min(MOST_OBJECTS);
        let quiet = rhythm.last_work.map_or(now, |last| last + patience);
        let due = quiet.min(*rhythm.owed.get_or_insert(now) + LONGEST_DEBT);
        if due > now {
            return Some(due - now);
        }
        rhythm.owed = None;
        None
    }

    /// Nothing is owed: the status was written, or is as it should be.
    pub fn settled(&self, mr: &NamespacedName) {
        if let Some(rhythm) = self.schedule().rhythms.get_mut(mr) {
            rhythm.owed = None;
        }
    }

    /// The ManagedResource is gone.
    pub fn forget(&self, mr: &NamespacedName) {
        let mut schedule = self.schedule();
        if let Some(rhythm) = schedule.rhythms.remove(mr) {
            schedule.slots.give_back(rhythm.slot);
        }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same for the same name, different for different ones.
fn thousandths(mr: &NamespacedName) -> u32 {
    let mut hasher = DefaultHasher::new();
    mr.hash(&mut hasher);
    u32::try_from(hasher.finish() % 1000).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use holdfast_core::{
        api::Mode,
        decode::{Limits, decode_secret},
        field_ownership::Reach,
        manifest::{Context, discovery::Discovery, prepare},
    };

    use super::*;

    fn desired(count: usize) -> Vec<Arc<Desired>> {
        let mr = NamespacedName::new("n", "a");
        let context = Context {
            mr: &mr,
            cluster_id: "",
            inject_labels: None,
            managed_by: "gardener",
            mode: Mode::Deny,
            reach: &Reach::default(),
            guard: false,
        };
        let mut text = String::new();
        for number in 0..count {
            let _ = write!(text, "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c{number:03}}}}}\n---\n");
        }
        let data = BTreeMap::from([("k".to_owned(), text.into_bytes())]);
        let manifests = decode_secret("n", "s", &data, &Limits::default()).manifests;
        let prepared = |manifest| Arc::new(prepare(manifest, &context, &Discovery::default()).unwrap());
        manifests.into_iter().map(prepared).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_takes_a_period_and_each_object_once() {
        let period = Duration::from_secs(100);
        let (rhythms, mr, desired) = (Rhythms::new(period), NamespacedName::new("n", "a"), desired(20));
        let start = Instant::now();
        assert_eq!(rhythms.slice(&mr, &desired, start), 0..0, "not at the start");
        let mut now = start + rhythms.until_slice(&mr, start);
        assert!(now > start);
        let mut rounds = Vec::new();
        for _ in 0..6 {
            rounds.push(rhythms.slice(&mr, &desired, now));
            assert_eq!(rhythms.slice(&mr, &desired, now), 0..0, "once");
            now += rhythms.until_slice(&mr, now);
        }
        assert_eq!(rounds, [0..8, 8..16, 16..20, 0..8, 8..16, 16..20]);
        let taken = now - start;
        assert!(taken >= 2 * period && taken < 3 * period, "{taken:?}");
        assert_eq!(rhythms.slice(&NamespacedName::new("n", "none"), &[], now), 0..0);
    }

    #[tokio::test(start_paused = true)]
    async fn slices_of_many_come_one_after_the_other() {
        let (rhythms, start) = (Rhythms::new(Duration::from_secs(60)), Instant::now());
        let many: Vec<_> = (0..200).map(|number| NamespacedName::new("n", format!("mr-{number:03}"))).collect();
        let desired = desired(25);
        let mut times = Vec::new();
        let mut queue: BTreeSet<(Instant, &NamespacedName)> = many.iter().map(|mr| (start, mr)).collect();
        while let Some((now, mr)) = queue.pop_first().filter(|(now, _)| *now < start + Duration::from_secs(300)) {
            if !rhythms.slice(mr, &desired, now).is_empty() {
                times.push(now);
            }
            queue.insert((now + rhythms.until_slice(mr, now), mr));
        }
        assert!(times.len() > 200 * 4 * 4, "{}", times.len());
        assert!(times.iter().zip(times.iter().skip(1)).all(|(one, next)| *next >= *one + SLOT));
        for mr in &many {
            rhythms.forget(mr);
        }
        assert!(rhythms.schedule().slots.taken.is_empty(), "nothing is left of those that are gone");
    }

    #[test]
    fn names_that_are_alike_lie_apart() {
        let mut tenths = [0; 10];
        for number in 0..200 {
            let place = thousandths(&NamespacedName::new("n", format!("mr-{number:03}"))) / 100;
            tenths[usize::try_from(place).unwrap()] += 1;
        }
        assert!(tenths.iter().all(|count| (5..40).contains(count)), "{tenths:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn observations_wait_for_quiet_but_not_for_ever() {
        let (rhythms, mr) = (Rhythms::new(Duration::from_secs(3600)), NamespacedName::new("n", "a"));
        rhythms.slice(&mr, &[], Instant::now());
        assert_eq!(rhythms.debt(&mr, false, 0, Instant::now()), None, "nothing was done");
        assert_eq!(rhythms.debt(&mr, true, 0, Instant::now()), Some(QUIET));
        tokio::time::advance(QUIET).await;
        assert_eq!(rhythms.debt(&mr, false, 0, Instant::now()), None);
        let start = Instant::now();
        while rhythms.debt(&mr, true, 0, Instant::now()).is_some() {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(start.elapsed(), LONGEST_DEBT);
        assert_eq!(
            rhythms.debt(&mr, true, 1000, Instant::now()),
            Some(Duration::from_secs(12)),
            "what costs more waits longer"
        );
    }
}
