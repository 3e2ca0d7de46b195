//! Contention: objects that another manager changes as often as we repair them.
//!
//! Nobody wins such a fight, and it loads the API server. So the controller repairs a contested object less and less
//! often, but never stops.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use crate::key::ObjectKey;

/// More repairs than this within [`WINDOW`] count as a fight.
const MOST_REPAIRS: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
const FIRST_DELAY: Duration = Duration::from_secs(2);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A fight is over if this much time passes without a repair, counted from when the next repair was allowed.
const CALM: Duration = Duration::from_secs(60);
/// Most manager names to keep per fight.
const MOST_MANAGERS: usize = 5;

/// Recent repairs. Times count from any fixed moment.
#[derive(Clone, Debug, Default)]
pub struct Contests(BTreeMap<ObjectKey, Contest>);

#[derive(Clone, Debug, Default)]
struct Contest {
    repairs: VecDeque<Duration>,
    /// Time between repairs; zero unless there is a fight.
    delay: Duration,
    managers: BTreeSet<String>,
}

impl Contest {
    fn last(&self) -> Duration {
        self.repairs.back().copied().unwrap_or_default()
    }

    fn is_over(&self, now: Duration) -> bool {
        now >= self.last() + self.delay + CALM
    }
}

impl Contests {
    /// Records the repair of an object that these managers had changed. The list is empty if they are unknown, or if
    /// the object was deleted. Returns true if the fight begins with this repair.
    pub fn repaired(&mut self, object: &ObjectKey, managers: &[String], now: Duration) -> bool {
        self.0.retain(|_, contest| !contest.is_over(now));
        let contest = self.0.entry(object.clone()).or_default();
        contest.repairs.push_back(now);
        while contest.repairs.len() > MOST_REPAIRS + 1 {
            contest.repairs.pop_front();
        }
        let room = MOST_MANAGERS.saturating_sub(contest.managers.len());
        contest.managers.extend(managers.iter().take(room).cloned());
        if !contest.delay.is_zero() {
            contest.delay = (contest.delay * 2).min(LONGEST_DELAY);
            return false;
        }
        let since = contest.repairs.front().map_or(now, |first| now.saturating_sub(*first));
        if contest.repairs.len() > MOST_REPAIRS && since <= WINDOW {
            contest.delay = FIRST_DELAY;
            return true;
        }
        false
    }

    /// Returns how long to wait before the next repair; zero if it is allowed now.
    pub fn wait(&self, object: &ObjectKey, now: Duration) -> Duration {
        self.0.get(object).map_or(Duration::ZERO, |contest| (contest.last() + contest.delay).saturating_sub(now))
    }

    /// Returns the known opponents if an object is contested.
    pub fn with(&self, object: &ObjectKey, now: Duration) -> Option<&BTreeSet<String>> {
        let contest = self.0.get(object)?;
        (!contest.delay.is_zero() && !contest.is_over(now)).then_some(&contest.managers)
    }

    /// Returns how long until the fight over an object ends if nothing else happens.
    pub fn until_over(&self, object: &ObjectKey, now: Duration) -> Duration {
        self.0.get(object).map_or(Duration::ZERO, |contest| (contest.last() + contest.delay + CALM).saturating_sub(now))
    }

    /// Number of contested objects.
    pub fn count(&self, now: Duration) -> usize {
        self.0.keys().filter(|object| self.with(object, now).is_some()).count()
    }

    /// Forgets an object that is no longer ours.
    pub fn forget(&mut self, object: &ObjectKey) {
        self.0.remove(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_sixth_repair_in_a_minute_is_a_fight_and_repairs_come_ever_more_rarely() {
        let (mut contests, object) = (Contests::default(), ObjectKey::default());
        for second in 0..5 {
            assert!(!contests.repaired(&object, &["kubectl".to_owned()], seconds(second)));
            assert_eq!(contests.wait(&object, seconds(second)), Duration::ZERO);
        }
        assert_eq!(contests.with(&object, seconds(4)), None);
        assert!(contests.repaired(&object, &["argo".to_owned()], seconds(5)));
        let names: Vec<&str> = contests.with(&object, seconds(5)).unwrap().iter().map(String::as_str).collect();
        assert_eq!(names, ["argo", "kubectl"]);
        let mut now = seconds(5);
        for expected in [2, 4, 8, 16, 30, 30] {
            let wait = contests.wait(&object, now);
            assert_eq!(wait, seconds(expected));
            now += wait;
            assert_eq!(contests.wait(&object, now), Duration::ZERO, "it still holds");
            assert!(!contests.repaired(&object, &[], now), "said once");
            assert_eq!(contests.count(now), 1);
        }
        let rest = contests.until_over(&object, now);
        assert_eq!(rest, seconds(90));
        assert_eq!(contests.with(&object, now + rest), None);
        assert!(!contests.repaired(&object, &[], now + rest), "it begins anew");
        assert_eq!(contests.wait(&object, now + rest), Duration::ZERO);
    }

    #[test]
    fn repairs_now_and_then_are_none() {
        let (mut contests, object) = (Contests::default(), ObjectKey::default());
        for number in 0..50 {
            assert!(!contests.repaired(&object, &[], seconds(13 * number)));
        }
        assert_eq!(contests.count(seconds(13 * 49)), 0);
        contests.forget(&object);
        assert!(contests.0.is_empty());
    }
}
