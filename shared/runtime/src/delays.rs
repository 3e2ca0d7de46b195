//! How long a watch waits before another try, and when it counts as failing.

use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use kube::runtime::watcher::{self, Event};
use tokio::time::{Instant, sleep};

use crate::call::explain;
use crate::deferred::deferred;

/// What happens in the meantime is not known, and edits of it pass; and most failures are over at once, such as that of a
/// definition that was just created ("storage is (re)initializing").
const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// A server that is not there is asked more often: that is no burden to anybody, and it may be back soon. And so is one that has
/// only forgotten where a watch began, as it has when it was started anew.
const LONGEST_DELAY_WITHOUT_SERVER: Duration = Duration::from_secs(1);
/// Where requests are held back before they are sent, asking again costs nobody anything.
const SHORTEST_DEFERRAL: Duration = Duration::from_millis(250);
/// A success that lasts so long ends a row of failures. Shorter ones do not: what can be listed and not watched would be listed
/// without end.
const STABLE: Duration = Duration::from_secs(10);
/// A failure after this much quiet counts as a new one.
const QUIET: Duration = Duration::from_secs(60);

/// Doubling delays with a bound; from the start again after a success that lasted.
#[derive(Debug)]
struct Delays {
    next: Duration,
    last_failure: Option<Instant>,
    /// The first success since the last failure: a complete list, or an event.
    success: Option<Instant>,
}

impl Default for Delays {
    fn default() -> Self {
        Self { next: SHORTEST_DELAY, last_failure: None, success: None }
    }
}

impl Delays {
    fn succeeds(&mut self, now: Instant) {
        self.success.get_or_insert(now);
    }

    fn fails(&mut self, is_without_server: bool, now: Instant) -> Duration {
        let has_lasted = self.success.take().is_some_and(|at| now.duration_since(at) >= STABLE);
        let was_quiet = self.last_failure.is_some_and(|at| now.duration_since(at) >= QUIET);
        if has_lasted || was_quiet {
            self.next = SHORTEST_DELAY;
        }
        self.last_failure = Some(now);
        let delay = if is_without_server { self.next.min(LONGEST_DELAY_WITHOUT_SERVER) } else { self.next };
        self.next = (delay * 2).min(LONGEST_DELAY);
        delay
    }
}

/// The events of a watcher, with a pause after each error: from a tenth of a second to five seconds, the longer the more errors
/// there were since the last success that lasted.
///
/// kube's own `backoff` starts again with each event, and `Init`, which comes before each list, is one: so its delays never
/// grow where lists fail.
pub fn patient<K: Send>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send {
    let start = (Box::pin(events), Delays::default(), None);
    stream::unfold(start, |(mut events, mut delays, wait)| async move {
        if let Some(wait) = wait {
            sleep(wait).await;
        }
        let event = events.next().await?;
        let wait = match &event {
            Ok(Event::Init | Event::InitApply(_)) => None,
            Ok(_) => {
                delays.succeeds(Instant::now());
                None
            }
            Err(error) => Some(match deferred_for(error) {
                Some(wait) => wait.clamp(SHORTEST_DEFERRAL, LONGEST_DELAY),
                None => delays.fails(is_without_server(error), Instant::now()),
            }),
        };
        Some((event, (events, delays, wait)))
    })
}

/// What the error of a watch says, in one line and without debug output.
pub fn words(error: &watcher::Error) -> String {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(cause) | WatchStartFailed(cause) | WatchFailed(cause) => explain(cause),
        WatchError(status) => status.message.clone(),
        NoResourceVersion => error.to_string(),
    }
}

/// For how long the next request would not even be sent.
fn deferred_for(error: &watcher::Error) -> Option<Duration> {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(cause) | WatchStartFailed(cause) | WatchFailed(cause) => {
            deferred(cause).map(|deferred| deferred.wait)
        }
        _ => None,
    }
}

/// No answer came, not even a bad one; or there is nothing wrong.
fn is_without_server(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    match error {
        WatchError(status) => status.code == 410,
        InitialListFailed(cause) | WatchStartFailed(cause) | WatchFailed(cause) => {
            matches!(cause, kube::Error::Service(_) | kube::Error::HyperError(_)) && deferred(cause).is_none()
        }
        NoResourceVersion => false,
    }
}

/// A watch has begun to fail, or does so no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It fails, for these reasons.
    Fails(String),
    /// It does not fail any more.
    Well,
}

/// Whether a watch fails: not for a moment, as each does now and then, but beyond that. And whether it is well again: not for
/// a moment, either.
#[derive(Debug, Default)]
pub struct WatchHealth {
    /// Those during which others did well.
    failures: u32,
    /// When the attempt began that was the first of them.
    since: Option<Instant>,
    /// When the first attempt began.
    begun: Option<Instant>,
    /// Since when there was no success at all while others did well.
    silent_since: Option<Instant>,
    last_failure: Option<Instant>,
    success: Option<Instant>,
    reported: Option<(String, Instant)>,
}

impl WatchHealth {
    /// Failures that are needed at the least, and for how long there is no success.
    const FEW: (u32, Duration) = (3, Duration::from_secs(2));
    /// Where each takes its time, one is enough.
    const LONG: Duration = Duration::from_secs(10);
    /// How long a success has to last.
    const STABLE: Duration = Duration::from_secs(2);
    /// Other words are told after this time.
    const REPEAT: Duration = Duration::from_secs(30);

    /// Takes in what the watch says. `rest_is_healthy` tells whether the server has answered others since a moment: where it
    /// has not, this is an outage, and no news about this watch.
    pub fn take<K>(
        &mut self,
        event: &watcher::Result<Event<K>>,
        rest_is_healthy: impl FnOnce(Instant) -> bool,
        now: Instant,
    ) -> Option<News> {
        match event {
            Ok(Event::Init) => self.begins(now),
            Ok(Event::InitApply(_)) => {}
            Ok(_) => self.succeeds(now),
            Err(error) => return self.fails(words(error), rest_is_healthy, now),
        }
        None
    }

    /// A complete list, or an event.
    pub fn succeeds(&mut self, now: Instant) {
        self.success.get_or_insert(now);
        self.silent_since = Some(now);
    }

    fn begins(&mut self, now: Instant) {
        self.begun.get_or_insert(now);
    }

    /// When to ask [`WatchHealth::settle`], should nothing else come.
    pub fn due(&self) -> Option<Instant> {
        let last = self.last_failure?;
        Some(self.success.map_or(last + QUIET, |success| success + Self::STABLE))
    }

    /// It is quiet.
    pub fn settle(&mut self, now: Instant) -> Option<News> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.reset()
    }

    fn reset(&mut self) -> Option<News> {
        let was_reported = self.reported.is_some();
        *self = Self::default();
        was_reported.then_some(News::Well)
    }

    /// An error, with these words.
    pub fn fails(
        &mut self,
        words: String,
        rest_is_healthy: impl FnOnce(Instant) -> bool,
        now: Instant,
    ) -> Option<News> {
        let has_lasted = self.success.is_some_and(|at| now.duration_since(at) >= Self::STABLE);
        let well = if has_lasted { self.reset() } else { self.settle(now) };
        self.success = None;
        let before = self.last_failure.replace(now).or(self.begun).unwrap_or(now);
        if !rest_is_healthy(before) {
            self.silent_since = Some(now);
            return well;
        }
        self.failures = self.failures.saturating_add(1);
        let lasted = now.duration_since(*self.since.get_or_insert(before));
        let idle = now.duration_since(*self.silent_since.get_or_insert(before));
        let (failures, time) = Self::FEW;
        let fails_often = self.failures >= failures && lasted >= time;
        if !fails_often && idle < Self::LONG {
            return well;
        }
        let is_repeated =
            |(reported, at): &(String, Instant)| *reported == words || now.duration_since(*at) < Self::REPEAT;
        if self.reported.as_ref().is_some_and(is_repeated) {
            return None;
        }
        self.reported = Some((words.clone(), now));
        Some(News::Fails(words))
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::deferred::Deferred;

    fn refused(code: u16) -> watcher::Error {
        let status = Status { code, message: format!("no {code}"), ..Status::default() };
        watcher::Error::InitialListFailed(kube::Error::Api(status.boxed()))
    }

    fn unreachable() -> watcher::Error {
        watcher::Error::InitialListFailed(kube::Error::Service("connection refused".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn delays_grow_although_each_list_begins_with_an_event() {
        let lists = stream::iter(0..8).flat_map(|_| stream::iter([Ok(Event::<()>::Init), Err(refused(429))]));
        let (mut events, start) = (Box::pin(patient(lists)), Instant::now());
        let mut begins = Vec::new();
        while let Some(event) = events.next().await {
            if event.is_ok() {
                begins.push(start.elapsed().as_millis());
            }
        }
        assert_eq!(begins, [0, 100, 300, 700, 1500, 3100, 6300, 11_300]);
    }

    #[test]
    fn only_a_success_that_lasts_ends_a_row_of_failures() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        for (case, good, failure, is_without_server, expected) in [
            ("none", None, 1, false, 3200),
            ("a short one", Some(1), 10, false, 3200),
            ("one that lasted", Some(1), 11, false, 100),
            ("none for long", None, 60, false, 100),
            ("no server", None, 1, true, 1000),
        ] {
            let mut delays = Delays::default();
            for _ in 0..5 {
                delays.fails(false, start);
            }
            if let Some(at) = good {
                delays.succeeds(start + second * at);
                delays.succeeds(start + second * failure);
            }
            let delay = delays.fails(is_without_server, start + second * failure);
            assert_eq!(delay.as_millis(), expected, "{case}");
        }
        assert!(is_without_server(&unreachable()) && !is_without_server(&refused(429)));
    }

    #[test]
    fn a_blip_is_no_news_and_what_lasts_is_told_once() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut health = WatchHealth::default();
        let failure = || Err::<Event<()>, _>(refused(503));
        health.take(&Ok(Event::<()>::Init), |_| true, at(0));
        for millis in [0, 100, 300, 700] {
            assert_eq!(health.take(&failure(), |_| true, at(millis)), None);
        }
        health.take(&Ok(Event::<()>::InitDone), |_| true, at(1500));
        assert_eq!(health.settle(at(3500)), None, "nobody was told");
        // A list that succeeds and a watch that fails, again and again.
        let mut reported = Vec::new();
        for round in 0..20 {
            let begin = 10_000 + round * 3000;
            health.take(&Ok(Event::<()>::Init), |_| true, at(begin));
            health.take(&Ok(Event::<()>::InitDone), |_| true, at(begin + 10));
            reported.extend(health.settle(at(begin + 20)));
            reported.extend(health.take(&failure(), |_| true, at(begin + 30)));
        }
        assert_eq!(reported, [News::Fails("no 503".to_owned())]);
        health.take(&Ok(Event::<()>::InitDone), |_| true, at(80_000));
        assert_eq!(health.due(), Some(at(82_000)));
        assert_eq!(health.settle(at(82_000)), Some(News::Well));
        assert_eq!((health.settle(at(90_000)), health.due()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_is_asked_for_when_that_is_over() {
        let deferred_for = |wait| {
            let (words, wait) = ("no".to_owned(), Duration::from_millis(wait));
            let deferred = Deferred { words, wait, is_brief: false, is_for_all: true };
            Err(watcher::Error::InitialListFailed(deferred.into()))
        };
        let events = stream::iter([
            deferred_for(0),
            deferred_for(3000),
            deferred_for(60_000),
            deferred_for(1),
            Ok(Event::<()>::InitDone),
        ]);
        let (mut events, start) = (Box::pin(patient(events)), Instant::now());
        let mut times = Vec::new();
        while events.next().await.is_some() {
            times.push(start.elapsed().as_millis());
        }
        assert_eq!(times, [0, 250, 3250, 8250, 8500]);
    }

    #[test]
    fn after_a_long_success_one_failure_is_a_blip() {
        let start = Instant::now();
        let mut health = WatchHealth::default();
        let hour = Duration::from_secs(3600);
        for event in [Event::<()>::Init, Event::InitDone] {
            health.take(&Ok(event), |_| true, start);
        }
        assert_eq!(health.take(&Err::<Event<()>, _>(refused(410)), |_| true, start + hour), None);
        health.take(&Ok(Event::<()>::Init), |_| true, start + hour);
        health.take(&Ok(Event::<()>::InitDone), |_| true, start + hour);
        assert_eq!(health.take(&Err::<Event<()>, _>(refused(410)), |_| true, start + hour * 2), None);
    }

    #[test]
    fn one_long_silence_is_enough() {
        let start = Instant::now();
        let mut health = WatchHealth::default();
        health.take(&Ok(Event::<()>::Init), |_| true, start);
        let news = health.take(&Err::<Event<()>, _>(refused(504)), |_| true, start + Duration::from_secs(30));
        assert_eq!(news, Some(News::Fails("no 504".to_owned())));
        assert_eq!(health.settle(start + Duration::from_secs(90)), Some(News::Well), "no failure for a minute");
    }

    #[test]
    fn an_outage_soon_after_another_is_no_news_either() {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let mut health = WatchHealth::default();
        let failure = || Err::<Event<()>, _>(unreachable());
        let mut reported = Vec::new();
        for (second, rest_is_healthy) in [(0, true), (1, false), (9, true), (10, false), (17, false), (30, true)] {
            if second == 9 {
                health.succeeds(at(8));
            }
            reported.extend(health.take(&failure(), |_| rest_is_healthy, at(second)));
        }
        assert_eq!(reported, [News::Fails("connection refused".to_owned())], "thirteen seconds after the last of them");
        health.succeeds(at(30));
        assert_eq!(health.settle(at(32)), Some(News::Well));
    }

    #[test]
    fn an_outage_is_no_news_about_a_watch() {
        let start = Instant::now();
        let mut health = WatchHealth::default();
        for second in 0..100 {
            let at = start + Duration::from_secs(second);
            let down = second < 90;
            let news = health.take(&Err::<Event<()>, _>(unreachable()), |_| !down, at);
            assert_eq!(news.is_some(), second == 92, "{second}: only what goes on when others do well");
        }
    }
}
