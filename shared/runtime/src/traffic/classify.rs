//! What an answer says about its resource, and about the server.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Bytes};
use kube::core::Status;
use tokio::time::timeout;
use tower::BoxError;

use super::Traffic;
use super::answer::{Check, Tapped};
use super::flight::Flight;
use super::health::Outcome;
use super::last_activity::LastActivity;
use super::shape::Shape;

/// Nobody is made to wait longer, whatever the server says.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// What is read of a failure, and how long that may take.
const MOST_WORDS: usize = 64 << 10;
const WORDS_LIMIT: Duration = Duration::from_secs(1);

impl Traffic {
    /// Judges an answer by its head and, where it failed, by its words. What is returned goes to the caller.
    pub(super) async fn classify<B>(
        &self,
        response: Response<B>,
        flight: Flight,
        is_watch: bool,
        last_activity: Option<LastActivity>,
    ) -> Result<Response<Tapped<B>>, BoxError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let status = response.status();
        let is_busy = status == StatusCode::TOO_MANY_REQUESTS;
        if !is_busy && !status.is_server_error() {
            return Ok(pass_on(response, flight, is_watch, last_activity));
        }
        let wait = retry_after(response.headers()).unwrap_or(Duration::from_secs(1)).min(LONGEST_WAIT);
        let (parts, body) = response.into_parts();
        let read = timeout(WORDS_LIMIT, Limited::new(body, MOST_WORDS).collect()).await;
        let is_whole = matches!(read, Ok(Ok(_)));
        let bytes = read.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let answer: Option<Status> = serde_json::from_slice(&bytes).ok().filter(|_| is_status(&bytes));
        let words = words(status, answer.as_ref(), flight.is_secret());
        match (is_busy, flight.resource().cloned()) {
            // Of half an answer nobody knows what it is; it came from there.
            (true, Some(resource)) if answer.is_some() || !is_whole => {
                self.is_busy(&resource, wait);
                return Err(flight.refuse(Outcome::Busy(wait, words)).into());
            }
            (true, Some(_)) => {
                self.pause(wait);
                flight.end(Outcome::Busy(wait, words));
            }
            (true, None) => {
                self.pause(wait);
                flight.end(Outcome::Unknown);
            }
            (false, _) if answer.as_ref().is_some_and(is_about_the_manifest) => flight.end(Outcome::Good),
            (false, _) => flight.end(Outcome::Failed(words)),
        }
        Ok(Response::from_parts(parts, Tapped::read(bytes)))
    }
}

fn pass_on<B>(
    response: Response<B>,
    flight: Flight,
    is_watch: bool,
    last_activity: Option<LastActivity>,
) -> Response<Tapped<B>> {
    let is_success = response.status().is_success();
    let last_activity = last_activity.filter(|_| is_success);
    if let Some(last_activity) = &last_activity {
        last_activity.now();
    }
    let check = match (is_watch, is_success) {
        (true, true) => {
            flight.goes_on();
            Check::Events
        }
        (false, true) if flight.is_checked() => Check::Object(Shape::default()),
        _ => Check::Nothing,
    };
    let is_refused = response.status() == StatusCode::UNAUTHORIZED;
    let deadline = flight.deadline();
    response.map(|body| Tapped::live(body, flight, check, last_activity, deadline, is_refused))
}

/// The API server's own way to say no. Others have other ones.
fn is_status(bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: String,
    }
    serde_json::from_slice(bytes).is_ok_and(|Kind { kind }| kind == "Status")
}

/// A manifest that cannot be applied is answered with 500, and says nothing about the server.
fn is_about_the_manifest(status: &Status) -> bool {
    holdfast_core::field_ownership::merge_patch::is_called_for(status.code, &status.message)
}

/// What is told of a failure: the same words as of the answer itself.
fn words(code: StatusCode, status: Option<&Status>, is_secret: bool) -> String {
    let Some(status) = status else { return format!("the server answers {code}") };
    if is_secret {
        return crate::call::withheld(status, "");
    }
    crate::call::explain(&kube::Error::Api(Box::new(status.clone())))
}

/// Seconds; the API server sends no dates.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
