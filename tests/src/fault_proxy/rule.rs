//! Which requests come to harm, and how.
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::Request;

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and not passed on.
    Answer {
        /// Such as 409.
        code: u16,
        /// Seconds, for the header `Retry-After`.
        retry_after: Option<u32>,
    },
    /// It is answered with this, whatever it is, and not passed on.
    Raw {
        /// The HTTP status.
        code: u16,
        /// Seconds, for the header `Retry-After`.
        retry_after: Option<u32>,
        /// The content type and the body.
        content: (&'static str, &'static str),
    },
    /// It is passed on later.
    Delay(Duration),
    /// The head of a good answer comes, and nothing after it, until the client gives up.
    HangInBody,
    /// It is passed on, and half of the answer comes back.
    Half,
    /// It is neither passed on nor answered, until the client gives up.
    Hang,
    /// The connection is cut before the API server sees the request.
    CutBefore,
    /// The connection is cut when the API server has answered, before the client sees the answer.
    CutAfter,
}

/// Called at the moment of the fault: for [`Fault::CutAfter`] when the server has answered, otherwise before anything else.
pub type Hook = Arc<dyn Fn(&Request) -> BoxFuture<'static, ()> + Send + Sync>;

/// A fault and the requests that it befalls.
pub struct Rule {
    fault: Fault,
    select: Box<dyn Fn(&Request) -> bool + Send>,
    /// Selected requests that pass unharmed first.
    skip: usize,
    /// Selected requests that come to harm afterwards.
    times: usize,
    chance: Option<Chance>,
    hook: Option<Hook>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rule").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Rule {
    /// The fault befalls every request that `select` selects.
    pub fn new(fault: Fault, select: impl Fn(&Request) -> bool + Send + 'static) -> Self {
        Self { fault, select: Box::new(select), skip: 0, times: usize::MAX, chance: None, hook: None }
    }

    /// Only the `number`-th selected request, counted from 1.
    #[must_use]
    pub fn nth(mut self, number: usize) -> Self {
        (self.skip, self.times) = (number.saturating_sub(1), 1);
        self
    }

    /// Only the first `times` selected requests.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Only so many percent of the selected requests, by a sequence that `seed` determines.
    #[must_use]
    pub fn percent(mut self, percent: u8, seed: u64) -> Self {
        self.chance = Some(Chance { percent, state: seed });
        self
    }

    /// Calls this at the moment of the fault, which waits for its end.
    #[must_use]
    pub fn hook(mut self, hook: Hook) -> Self {
        self.hook = Some(hook);
        self
    }

    fn befalls(&mut self, request: &Request) -> bool {
        if self.times == 0 || !(self.select)(request) || !self.chance.as_mut().is_none_or(Chance::draw) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

/// A fixed sequence of numbers (SplitMix64): the same in each run.
struct Chance {
    percent: u8,
    state: u64,
}

impl Chance {
    fn draw(&mut self) -> bool {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.state;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % 100 < u64::from(self.percent)
    }
}

/// Rules in the order in which they were added.
#[derive(Default)]
pub(super) struct Rules(Vec<Rule>);

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What befalls this request.
    pub(super) fn decide(&mut self, request: &Request) -> Option<(Fault, Option<Hook>)> {
        let rule = self.0.iter_mut().find_map(|rule| rule.befalls(request).then_some(&*rule))?;
        Some((rule.fault.clone(), rule.hook.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::Method;

    use super::*;

    fn request(method: Method, path: &str) -> Request {
        Request { method, path: path.to_owned(), query: String::new(), received: Instant::now() }
    }

    fn answer(code: u16) -> Fault {
        Fault::Answer { code, retry_after: None }
    }

    #[test]
    fn the_first_rule_that_has_not_run_out_decides() {
        let mut rules = Rules::default();
        rules.add(Rule::new(answer(409), Request::is_write).nth(2));
        rules.add(Rule::new(answer(500), |request| request.path == "/a").times(2));
        let mut decide = |method, path: &str| match rules.decide(&request(method, path)) {
            Some((Fault::Answer { code, .. }, _)) => code,
            _ => 0,
        };
        let found = [
            decide(Method::PATCH, "/b"),
            decide(Method::GET, "/a"),
            decide(Method::PUT, "/b"),
            decide(Method::DELETE, "/b"),
            decide(Method::POST, "/a"),
            decide(Method::GET, "/a"),
        ];
        assert_eq!(found, [0, 500, 409, 0, 500, 0]);
    }

    #[test]
    fn chance_is_the_same_in_each_run_and_about_as_often_as_asked_for() {
        let run = |seed| {
            let mut rules = Rules::default();
            rules.add(Rule::new(Fault::CutBefore, |_| true).percent(20, seed));
            (0..1000).map(|_| rules.decide(&request(Method::GET, "/")).is_some()).collect::<Vec<_>>()
        };
        let hits = run(1).into_iter().filter(|hit| *hit).count();
        assert!((150..250).contains(&hits), "{hits}");
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
