//! Responses: reviews as JSON, and plain text for clients that are not the API server.

use holdfast_core::protect::Verdict;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Bytes;

use crate::admission::review;

/// The answer to the review with this uid.
pub(crate) fn verdict(uid: &str, verdict: &Verdict) -> Response<Full<Bytes>> {
    match review::write(uid, verdict) {
        Ok(body) => {
            let mut response = Response::new(Full::new(body.into()));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written"),
    }
}

/// A line of text.
pub(crate) fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(format!("{text}\n").into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
