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
use super::heard::Heard;
use super::hold::GARBAGE;
use super::shape::Shape;

/// An answer that stops in the middle is given up after this time.
const LONGEST_GAP: Duration = Duration::from_secs(30);

/// A watch without an event for this long is taken for dead. The API server sends bookmarks, about one a minute.
const LONGEST_SILENCE: Duration = Duration::from_secs(90);
/// What the API server says itself of a watch that cannot go on: all is listed anew, and so it shows what is wrong.
const EXPIRED: &[u8] = concat!(
    r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"#,
    r#""message":"the watch was silent for too long"}}"#,
    "\n"
)
.as_bytes();

/// A body that is listened to.
pub struct Tapped<B> {
    source: Source<B>,
    heard: Option<Heard>,
    flight: Option<Flight>,
    check: Check,
    deadline: Option<Pin<Box<Sleep>>>,
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
        heard: Option<Heard>,
        deadline: Option<Instant>,
        is_refused: bool,
    ) -> Self {
        let deadline = match check {
            Check::Events => Instant::now() + LONGEST_SILENCE,
            Check::Object(_) | Check::Nothing => deadline.unwrap_or_else(|| Instant::now() + LONGEST_GAP),
        };
        let deadline = Some(Box::pin(sleep_until(deadline)));
        Self { source: Source::Live(body), heard, flight: Some(flight), check, deadline, is_refused }
    }

    /// A body that was read before.
    pub(super) fn read(bytes: Bytes) -> Self {
        let source = Source::Read(Some(bytes));
        Self { source, heard: None, flight: None, check: Check::Nothing, deadline: None, is_refused: false }
    }

    fn end(&mut self, outcome: Outcome) -> Option<BoxError> {
        self.flight.take().map(|flight| flight.refuse(outcome).into())
    }

    /// Takes note of a piece, and moves the deadline where only gaps are limited.
    fn take(&mut self, data: &[u8]) {
        if let Some(heard) = &self.heard {
            heard.now();
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
        let (is_events, is_limited) =
            (matches!(self.check, Check::Events), self.flight.as_ref().is_some_and(Flight::is_limited));
        let gap = if is_events { LONGEST_SILENCE } else { LONGEST_GAP };
        if let Some(deadline) = self.deadline.as_mut().filter(|_| is_events || !is_limited) {
            deadline.as_mut().reset(Instant::now() + gap);
        }
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
            if matches!(this.check, Check::Events) {
                this.source = Source::Read(None);
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(EXPIRED)))));
            }
            return Poll::Ready(this.end(Outcome::Silent).map(Err));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                this.take(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
                Some(Ok(frame))
            }
            // Half an answer; of a stream, its end.
            Some(Err(error)) => {
                let error = error.into();
                if !matches!(this.check, Check::Events) {
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
