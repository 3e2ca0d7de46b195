//! When objects are applied again although nothing was heard of them: all of them once in a period, a few at a time.
//!
//! Batches of all ManagedResources have slots in one timetable. Without it, batches of many ManagedResources came at once,
//! and a repair waited 4 s behind 840 objects (measured).

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
const BATCH: usize = 8;
/// Time for one batch.
const SLOT: Duration = Duration::from_millis(25);
/// So many slots further on a batch shares one with another. There are then more of them than the period has room for.
const MOST_SLOTS: u32 = 400;
/// Of all ManagedResources.
pub(super) struct Schedule {
    period: Duration,
    rounds: Mutex<Rounds>,
}

struct Rounds {
    by_key: BTreeMap<NamespacedName, Round>,
    slots: Slots,
}

/// When batches are due.
struct Slots {
    /// Beginning of the first one.
    origin: Instant,
    taken: BTreeSet<u32>,
}

struct Round {
    /// When the next batch is due.
    slot: u32,
    /// The object before it; none at the beginning of a round.
    cursor: Option<ObjectKey>,
}

impl Slots {
    /// Takes the first slot from this time on that is nobody's.
    fn take(&mut self, earliest: Instant) -> u32 {
        let first = earliest.saturating_duration_since(self.origin).as_millis().div_ceil(SLOT.as_millis());
        let first = u32::try_from(first).unwrap_or(u32::MAX - MOST_SLOTS);
        let slot = (first..first.saturating_add(MOST_SLOTS)).find(|slot| !self.taken.contains(slot)).unwrap_or(first);
        self.taken.insert(slot);
        slot
    }

    fn release(&mut self, slot: u32) {
        self.taken.remove(&slot);
    }

    fn beginning(&self, slot: u32) -> Instant {
        self.origin + SLOT * slot
    }
}

impl Schedule {
    /// Applies every object again once in a `period`.
    pub(super) fn new(period: Duration) -> Self {
        let slots = Slots { origin: Instant::now(), taken: BTreeSet::new() };
        Self { period, rounds: Mutex::new(Rounds { by_key: BTreeMap::new(), slots }) }
    }

    /// Positions of the objects that are to be applied again now, changed or not. A round goes through all objects, a few at
    /// a time, spread over the period.
    pub(super) fn batch(&self, mr: &NamespacedName, desired: &[Arc<Desired>], now: Instant) -> Range<usize> {
        let batches = u32::try_from(desired.len().div_ceil(BATCH).max(1)).unwrap_or(u32::MAX);
        let gap = self.period / batches;
        let mut rounds = self.rounds();
        let Rounds { by_key, slots } = &mut *rounds;
        let Some(round) = by_key.get_mut(mr) else {
            // Not all at the same moment after a start.
            let slot = slots.take(now + gap / 1000 * thousandths(mr).max(100));
            by_key.insert(mr.clone(), Round { slot, cursor: None });
            return 0..0;
        };
        if slots.beginning(round.slot) > now {
            return 0..0;
        }
        slots.release(round.slot);
        // Up to a tenth later than the period says, so that ManagedResources stay apart.
        round.slot = slots.take(now + gap + gap / 10_000 * thousandths(mr));
        let start = round.cursor.as_ref().map_or(0, |cursor| desired.partition_point(|object| object.key <= *cursor));
        let end = (start + BATCH).min(desired.len());
        let is_last = end == desired.len();
        round.cursor = desired.get(end.wrapping_sub(1)).filter(|_| !is_last).map(|object| object.key.clone());
        start..end
    }

    /// Time to the next batch.
    pub(super) fn until_batch(&self, mr: &NamespacedName, now: Instant) -> Duration {
        let Rounds { by_key, slots } = &*self.rounds();
        by_key.get(mr).map_or(self.period, |round| slots.beginning(round.slot).saturating_duration_since(now))
    }

    /// The ManagedResource is gone.
    pub(super) fn forget(&self, mr: &NamespacedName) {
        let mut rounds = self.rounds();
        if let Some(round) = rounds.by_key.remove(mr) {
            rounds.slots.release(round.slot);
        }
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
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
        field_ownership::ManagedScope,
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
            managed_scope: &ManagedScope::default(),
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
        let (schedule, mr, desired) = (Schedule::new(period), NamespacedName::new("n", "a"), desired(20));
        let start = Instant::now();
        assert_eq!(schedule.batch(&mr, &desired, start), 0..0, "not at the start");
        let mut now = start + schedule.until_batch(&mr, start);
        assert!(now > start);
        let mut rounds = Vec::new();
        for _ in 0..6 {
            rounds.push(schedule.batch(&mr, &desired, now));
            assert_eq!(schedule.batch(&mr, &desired, now), 0..0, "once");
            now += schedule.until_batch(&mr, now);
        }
        assert_eq!(rounds, [0..8, 8..16, 16..20, 0..8, 8..16, 16..20]);
        let taken = now - start;
        assert!(taken >= 2 * period && taken < 3 * period, "{taken:?}");
        assert_eq!(schedule.batch(&NamespacedName::new("n", "none"), &[], now), 0..0);
    }

    #[tokio::test(start_paused = true)]
    async fn batches_of_many_come_one_after_the_other() {
        let (schedule, start) = (Schedule::new(Duration::from_secs(60)), Instant::now());
        let many: Vec<_> = (0..200).map(|number| NamespacedName::new("n", format!("mr-{number:03}"))).collect();
        let desired = desired(25);
        let mut times = Vec::new();
        let mut queue: BTreeSet<(Instant, &NamespacedName)> = many.iter().map(|mr| (start, mr)).collect();
        while let Some((now, mr)) = queue.pop_first().filter(|(now, _)| *now < start + Duration::from_secs(300)) {
            if !schedule.batch(mr, &desired, now).is_empty() {
                times.push(now);
            }
            queue.insert((now + schedule.until_batch(mr, now), mr));
        }
        assert!(times.len() > 200 * 4 * 4, "{}", times.len());
        assert!(times.iter().zip(times.iter().skip(1)).all(|(one, next)| *next >= *one + SLOT));
        for mr in &many {
            schedule.forget(mr);
        }
        assert!(schedule.rounds().slots.taken.is_empty(), "nothing is left of those that are gone");
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
}
