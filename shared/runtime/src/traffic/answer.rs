//! The body of an answer on its way to the caller: listened to, checked and limited in time.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::BoxError;

use super::flight::Flight;
use super::health::Outcome;
use super::last_activity::LastActivity;
use super::shape::Shape;
use crate::deferred::GARBAGE;

/// An answer that stops in the middle is given up after this time.
const LONGEST_GAP: Duration = Duration::from_secs(30);

/// A watch without an event for this long is taken for dead. The API server sends bookmarks, about one a minute.
const LONGEST_IDLE: Duration = Duration::from_secs(90);
/// A watch that ends sooner than this has failed, whatever it said before. kube begins the next one at once and says nothing
/// of it, and so a server that ends each would be asked without a pause.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// What is taken of one answer, and of one line of a watch: more than an API server sends.
const MOST_BYTES: usize = 256 << 20;
const MOST_LINE: usize = 64 << 20;

/// The event of a watch that cannot go on. Half a line may come before it.
macro_rules! error_event {
    ($reason:literal, $code:literal, $message:literal) => {
        concat!(
            "\n",
            r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":""#,
            $reason,
            r#"","code":"#,
            $code,
            r#","message":""#,
            $message,
            "\"}}\n"
        )
        .as_bytes()
    };
}

/// What the API server says itself: all is listed anew, and so it shows what is wrong.
const EXPIRED: &[u8] = error_event!("Expired", 410, "the watch was silent for too long");
/// The watch begins again where it was, after the pause that follows an error.
const ENDED_EARLY: &[u8] = error_event!("ServiceUnavailable", 503, "the watch ended as soon as it had begun");
/// A line without an end.
const TOO_LONG: &[u8] = error_event!("InternalError", 500, "the watch sends a line that is too long");

/// A body that is listened to.
pub struct Tapped<B> {
    source: Source<B>,
    last_activity: Option<LastActivity>,
    flight: Option<Flight>,
    check: Check,
    deadline: Option<Pin<Box<Sleep>>>,
    began: Instant,
    /// Bytes so far; of a stream, of its last line.
    size: usize,
    /// The server does not know us, which is no good answer.
    is_refused: bool,
}

enum Source<B> {
    Live(B),
    /// It was read before.
    Read(Option<Bytes>),
}

/// What is expected of a body.
pub(super) enum Check {
    /// One object in JSON.
    Object(Shape),
    /// A stream of events, each of which says that the resource is alive.
    Events,
    /// Anything.
    Nothing,
}

impl<B> Tapped<B> {
    /// A body that comes. It is given up at the `deadline`; without one, when it stops for too long, unless it is a stream of
    /// events.
    pub(super) fn live(
        body: B,
        flight: Flight,
        check: Check,
        last_activity: Option<LastActivity>,
        deadline: Option<Instant>,
        is_refused: bool,
    ) -> Self {
        let deadline = match check {
            Check::Events => Instant::now() + LONGEST_IDLE,
            Check::Object(_) | Check::Nothing => deadline.unwrap_or_else(|| Instant::now() + LONGEST_GAP),
        };
        let deadline = Some(Box::pin(sleep_until(deadline)));
        let (flight, began) = (Some(flight), Instant::now());
        Self { source: Source::Live(body), last_activity, flight, check, deadline, began, size: 0, is_refused }
    }

    /// A body that was read before.
    pub(super) fn read(bytes: Bytes) -> Self {
        let source = Source::Read(Some(bytes));
        let (check, began) = (Check::Nothing, Instant::now());
        Self { source, last_activity: None, flight: None, check, deadline: None, began, size: 0, is_refused: false }
    }

    fn end(&mut self, outcome: Outcome) -> Option<BoxError> {
        self.flight.take().map(|flight| flight.refuse(outcome).into())
    }

    /// Takes note of a piece, and moves the deadline where only gaps are limited.
    fn take(&mut self, data: &[u8]) {
        if let Some(last_activity) = &self.last_activity {
            last_activity.now();
        }
        match &mut self.check {
            Check::Object(shape) => shape.take(data),
            Check::Events if data.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{') => {
                if let Some(flight) = &self.flight {
                    flight.is_alive();
                }
            }
            Check::Events | Check::Nothing => {}
        }
        self.size = match data.iter().rposition(|byte| *byte == b'\n').filter(|_| self.is_watch()) {
            Some(end) => data.len() - end - 1,
            None => self.size + data.len(),
        };
        let (is_events, is_limited) = (self.is_watch(), self.flight.as_ref().is_some_and(Flight::is_limited));
        let gap = if is_events { LONGEST_IDLE } else { LONGEST_GAP };
        if let Some(deadline) = self.deadline.as_mut().filter(|_| is_events || !is_limited) {
            deadline.as_mut().reset(Instant::now() + gap);
        }
    }

    fn is_watch(&self) -> bool {
        matches!(self.check, Check::Events)
    }

    /// A watch ends with this.
    fn end_watch(&mut self, last: &'static [u8]) -> Frame<Bytes> {
        self.source = Source::Read(None);
        Frame::data(Bytes::from_static(last))
    }

    fn is_too_long(&self) -> bool {
        self.size > if self.is_watch() { MOST_LINE } else { MOST_BYTES }
    }

    /// The body is complete.
    fn finish(&mut self) -> Option<BoxError> {
        match &self.check {
            Check::Object(shape) if !shape.is_whole() => self.end(Outcome::Failed(GARBAGE.to_owned())),
            Check::Events => None,
            Check::Object(_) | Check::Nothing => {
                if let Some(flight) = self.flight.take() {
                    flight.end(if self.is_refused { Outcome::Unknown } else { Outcome::Good });
                }
                None
            }
        }
    }
}

impl<B> Body for Tapped<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let body = match &mut this.source {
            Source::Live(body) => body,
            Source::Read(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(context) else {
            let Some(deadline) = &mut this.deadline else { return Poll::Pending };
            ready!(deadline.as_mut().poll(context));
            if this.is_watch() {
                return Poll::Ready(Some(Ok(this.end_watch(EXPIRED))));
            }
            return Poll::Ready(this.end(Outcome::Silent).map(Err));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                this.take(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
                match (this.is_too_long(), this.is_watch()) {
                    (false, _) => Some(Ok(frame)),
                    (true, true) => Some(Ok(this.end_watch(TOO_LONG))),
                    (true, false) => this.end(Outcome::Failed(GARBAGE.to_owned())).map(Err),
                }
            }
            Some(Err(_)) | None if this.is_watch() && this.began.elapsed() < SHORTEST_WATCH => {
                Some(Ok(this.end_watch(ENDED_EARLY)))
            }
            // Half an answer; of a stream, its end.
            Some(Err(error)) => {
                let error = error.into();
                if !this.is_watch() {
                    this.end(Outcome::Failed(GARBAGE.to_owned()));
                }
                Some(Err(error))
            }
            None => this.finish().map(Err),
        })
    }

    fn is_end_stream(&self) -> bool {
        // Whoever is told so would not ask for the end, at which the body is judged.
        match &self.source {
            Source::Live(body) => self.flight.is_none() && body.is_end_stream(),
            Source::Read(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Live(body) => body.size_hint(),
            Source::Read(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
