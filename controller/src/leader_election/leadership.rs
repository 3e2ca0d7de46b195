//! The answer to "may I write?".

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use holdfast_runtime::call::{CallError, call};
use holdfast_runtime::guarded::MaySend;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// There is no election.
    Always,
    Waiting,
    Leading {
        give_up: Instant,
        requests_end: Instant,
    },
    /// Lost or given back; it does not come again. Requests under way may last until this instant.
    Over {
        requests_end: Option<Instant>,
    },
}

impl Standing {
    fn over(self) -> Self {
        let requests_end = match self {
            Self::Always | Self::Waiting => None,
            Self::Leading { requests_end, .. } => Some(requests_end),
            Self::Over { requests_end } => requests_end,
        };
        Self::Over { requests_end }
    }
}

/// Whether this replica leads. Clones are cheap and say the same.
///
/// A replica leads at most once: first it waits, then it leads, then it is over.
#[derive(Clone, Debug)]
pub struct Leadership {
    standing: watch::Receiver<Standing>,
    requests: TaskTracker,
}

/// This replica must not write: it does not lead, or not for long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica is not the leader")]
pub struct NotLeader;

/// Leave for one request. At shutdown the lease is not released before all permits are dropped, so it is to be kept
/// until the answer is there, and not longer.
#[derive(Debug)]
#[must_use = "the lease may be released as soon as the permit is dropped"]
pub struct Permit {
    ends: Instant,
    _request: TaskTrackerToken,
}

/// The other end of [`Leadership`]. Dropping it ends the leadership.
#[derive(Debug)]
pub struct Publisher {
    standing: watch::Sender<Standing>,
    requests: TaskTracker,
}

/// A leadership that waits, and its other end.
pub fn standing() -> (Publisher, Leadership) {
    let (sender, receiver) = watch::channel(Standing::Waiting);
    let requests = TaskTracker::new();
    (Publisher { standing: sender, requests: requests.clone() }, Leadership { standing: receiver, requests })
}

impl Leadership {
    /// Everything is permitted for ever.
    pub fn always() -> Self {
        Self { standing: watch::channel(Standing::Always).1, requests: TaskTracker::new() }
    }

    /// Asks for leave to send one request that may take up to `want`; to be asked right before each.
    ///
    /// The request has to end within [`Permit::limit`], which is at most `want` and lies before the end of the lease by a
    /// margin. It is never next to nothing: at least half of what lies between renew deadline and lease duration, if
    /// `want` is not less.
    ///
    /// # Errors
    /// This replica does not lead, the renew deadline has passed, or it is shutting down.
    pub fn permit(&self, want: Duration) -> Result<Permit, NotLeader> {
        // Counted before it is judged: whoever ends the leadership either is seen here or sees the request.
        let request = self.requests.token();
        let standing = *self.standing.borrow();
        // After the standing was read, which may have waited for a lock.
        let now = Instant::now();
        let ends = match standing {
            Standing::Always => now + want,
            Standing::Leading { give_up, requests_end } if now < give_up => requests_end.min(now + want),
            _ => return Err(NotLeader),
        };
        Ok(Permit { ends, _request: request })
    }

    /// Whether a request would be permitted now.
    pub fn is_leader(&self) -> bool {
        self.permit(Duration::ZERO).is_ok()
    }

    /// Whether a byte of a request may go to the network at the time of asking: without an election always, else while
    /// requests of the last renewal may last. So it does not end with the permits, but with what was permitted.
    pub fn may_send(&self) -> MaySend {
        let standing = self.standing.clone();
        Arc::new(move || {
            let standing = *standing.borrow();
            // After the standing was read, as in `permit`.
            let now = Instant::now();
            match standing {
                Standing::Always => true,
                Standing::Waiting => false,
                Standing::Leading { requests_end, .. } => now < requests_end,
                Standing::Over { requests_end } => requests_end.is_some_and(|end| now < end),
            }
        })
    }

    /// Returns when this replica leads.
    ///
    /// # Errors
    /// It does not, and will not any more: it is shutting down, or has lost.
    pub async fn wait(&self) -> Result<(), NotLeader> {
        let mut standing = self.standing.clone();
        let reached = standing.wait_for(|standing| *standing != Standing::Waiting).await;
        match reached.as_deref() {
            Ok(Standing::Always | Standing::Leading { .. }) => Ok(()),
            _ => Err(NotLeader),
        }
    }

    #[cfg(test)]
    /// Returns when leadership, or the prospect of it, is over: lost, or given back at shutdown.
    pub async fn lost(&self) {
        let mut standing = self.standing.clone();
        if *standing.borrow() == Standing::Always {
            return std::future::pending().await;
        }
        // An error says that nobody renews the lease any more.
        let _ = standing.wait_for(|standing| matches!(standing, Standing::Over { .. })).await;
    }
}

impl Permit {
    /// How long the request may take from now on.
    pub fn limit(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    /// Sends the request with this limit; like [`holdfast_runtime::call::call`]. Looks at the clock each time before the
    /// request gets on, so that one that was held up in here past its time (a stopped process) is dropped, not sent. What
    /// has left here already, for the tasks of the connection, is stopped by [`Leadership::may_send`].
    ///
    /// # Errors
    /// As [`holdfast_runtime::call::call`].
    pub async fn call<T>(
        self,
        what: impl Into<String>,
        future: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        let ends = self.ends;
        let mut future = pin!(future);
        // Past the end `call`'s own timer is due and wakes us.
        let in_time =
            poll_fn(|context| if Instant::now() < ends { future.as_mut().poll(context) } else { Poll::Pending });
        call(self.limit(), what, in_time).await
    }
}

impl Publisher {
    /// This replica leads, until `give_up` unless told again; requests have to be over by `requests_end`.
    pub fn lead(&self, give_up: Instant, requests_end: Instant) {
        self.standing.send_if_modified(|standing| {
            let is_new = !matches!(standing, Standing::Leading { .. });
            *standing = Standing::Leading { give_up, requests_end };
            is_new
        });
    }

    /// No permits from now on; requests under way may come to their end.
    pub fn end(&self) {
        self.standing.send_modify(|standing| *standing = standing.over());
    }

    /// No permits from now on, and not a byte of any request.
    pub fn cut(&self) {
        self.standing.send_replace(Standing::Over { requests_end: None });
    }

    /// Returns when all permits are dropped, and what may be left of their requests will not be sent any more. To be called
    /// after [`Publisher::end`].
    pub async fn drained(&self) {
        self.requests.close();
        self.requests.wait().await;
        self.cut();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end();
    }
}
