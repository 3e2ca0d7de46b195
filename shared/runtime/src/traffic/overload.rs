//! Whether the server has too much to do, and not only a resource of it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::resource::Resource;
use crate::reminder::Reminder;

/// 429s of [`MANY`] resources within this time are about all of us.
const AT_ONCE: Duration = Duration::from_secs(1);
const MANY: usize = 3;

/// When nothing is sent at all.
#[derive(Debug, Default)]
pub(super) struct Overload {
    not_before: Option<Instant>,
    /// Resources that have begun to answer 429.
    latest: VecDeque<(Instant, Resource)>,
    trouble: Reminder,
}

impl Overload {
    /// Until when nothing is sent.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|at| *at > now)
    }

    /// Nothing is sent for this time; `is_heeded` unless everybody sends all the same.
    pub(super) fn pause(&mut self, wait: Duration, is_heeded: bool, now: Instant) {
        self.not_before = self.not_before.max(Some(now + wait));
        if is_heeded {
            self.trouble.warn("the API server is overloaded; pausing all requests as it asked");
        }
    }

    /// A resource has begun to answer 429. Whether that is one of several at once, and so about all of us. One that has done so
    /// before says nothing about the others, however often it does.
    pub(super) fn begins(&mut self, resource: &Resource, now: Instant) -> bool {
        self.latest.retain(|(at, other)| now.duration_since(*at) <= AT_ONCE && other != resource);
        self.latest.push_back((now, resource.clone()));
        let is_many = self.latest.len() >= MANY;
        if is_many {
            self.latest.clear();
        }
        is_many
    }
}
