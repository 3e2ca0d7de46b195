//! Calls to an API server, each with a limit, and their errors in one line.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use kube::core::Status;

use crate::api::Mismatch;
use crate::deferred::{Deferred, GARBAGE, deferred};
use crate::exit::chain;

/// Limit for an ordinary call.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(10);

/// A call failed. The text says what was attempted and why it failed, in one line.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came in time. Whether the call had an effect is unknown.
    #[error("timed out after {}s: {what}", limit.as_secs_f32())]
    TimedOut {
        /// What was attempted, such as `get Secret default/x`.
        what: String,
        /// How long it was given.
        limit: Duration,
    },
    /// The server refused it, or could not be reached.
    #[error("{what}: {}", explain(cause))]
    Failed {
        /// What was attempted.
        what: String,
        /// What came back. (Not the error's `source`: its text repeats ours with debug output.)
        cause: kube::Error,
    },
}

impl CallError {
    /// The server's answer, if one came.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Failed { cause: kube::Error::Api(status), .. } => Some(status),
            _ => None,
        }
    }

    /// 404.
    pub fn is_not_found(&self) -> bool {
        self.has_code(404)
    }

    /// 409: the object exists, or it has changed since it was read.
    pub fn is_conflict(&self) -> bool {
        self.has_code(409)
    }

    /// 403.
    pub fn is_forbidden(&self) -> bool {
        self.has_code(403)
    }

    /// 429: the server has too much to do; the same call after a pause. Where only one resource has too much to do, see
    /// [`CallError::deferred`].
    pub fn is_too_busy(&self) -> bool {
        self.has_code(429)
    }

    /// The server has answered this one call, and not that it has too much to do.
    pub fn is_refusal(&self) -> bool {
        self.status().is_some() && !self.is_too_busy()
    }

    /// The call was not sent, or was given up, because its resource does not answer as it should.
    pub fn deferred(&self) -> Option<&Deferred> {
        match self {
            Self::Failed { cause, .. } => deferred(cause),
            Self::TimedOut { .. } => None,
        }
    }

    /// 404 for the path itself: the kind is not served, or not in this version. An object that is missing is named in the
    /// answer.
    pub fn is_not_served(&self) -> bool {
        let is_nameless = |status: &Status| status.details.as_ref().is_none_or(|details| details.name.is_empty());
        self.is_not_found() && self.status().is_some_and(is_nameless)
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Failed { cause, .. } => is_transient(cause),
        }
    }

    fn has_code(&self, code: u16) -> bool {
        self.status().is_some_and(|status| status.code == code)
    }
}

/// Waits for a call at most `limit`; `what` is for the error's text. To be used for every call that is not a watch.
pub async fn call<T>(
    limit: Duration,
    what: impl Into<String>,
    future: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cause)) => Err(CallError::Failed { what: what.into(), cause }),
        Err(_) => Err(CallError::TimedOut { what: what.into(), limit }),
    }
}

/// What is shown of a refusal that is about a Secret, and about these parts of it: the server's words can quote it.
pub fn withheld(status: &Status, about: &str) -> String {
    let Status { reason, code, .. } = status;
    format!("{reason} ({code}){about}; the server's words are withheld, they may quote the Secret")
}

/// What an error says, in one line and without debug output.
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.message.is_empty() => format!("{} ({})", status.reason, status.code),
        kube::Error::Api(status) => status.message.split_whitespace().collect::<Vec<_>>().join(" "),
        kube::Error::SerdeError(_) => GARBAGE.to_owned(),
        other => {
            let text = chain(other);
            without_prefix(&text)
        }
    }
}

/// Without what says only through which libraries an error came.
pub(crate) fn without_prefix(text: &str) -> String {
    ["ServiceError: ", "HyperError: ", "client error (Connect): "]
        .into_iter()
        .fold(text, |text, prefix| text.strip_prefix(prefix).unwrap_or(text))
        .to_owned()
}

/// Whether the same call may succeed later: the server is overloaded, starting or out of reach. A refusal, a certificate
/// that is not trusted and an answer that cannot be read or is about something else stay what they are.
pub fn is_transient(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::Service(error) => !error.is::<Mismatch>() && !is_about_tls(error.as_ref()),
        kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}

fn is_about_tls(error: &(dyn StdError + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner: Option<&(dyn StdError + 'static)> = match inner {
        Some(inner) => Some(inner),
        None => error.source(),
    };
    error.is::<rustls::Error>() || inner.is_some_and(is_about_tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(
            Status { code, message: message.to_owned(), reason: "Reason".to_owned(), ..Status::default() }.boxed(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_an_answer_times_out() {
        let error = call::<()>(DEFAULT_LIMIT, "get Secret default/x", std::future::pending()).await.unwrap_err();
        assert_eq!(error.to_string(), "timed out after 10s: get Secret default/x");
        assert!(error.is_transient() && error.status().is_none());
    }

    #[tokio::test]
    async fn a_refusal_keeps_the_servers_words_and_code() {
        let refused = std::future::ready(Err(api(403, "secrets \"x\" is\n forbidden")));
        let error = call::<()>(DEFAULT_LIMIT, "get Secret default/x", refused).await.unwrap_err();
        assert_eq!(error.to_string(), "get Secret default/x: secrets \"x\" is forbidden");
        assert!(error.is_forbidden() && !error.is_conflict() && !error.is_not_found() && !error.is_transient());
        assert_eq!(explain(&api(502, "")), "Reason (502)");
    }

    #[test]
    fn only_what_may_pass_is_transient() {
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        for (error, expected) in [
            (api(429, ""), true),
            (api(503, ""), true),
            (api(401, ""), false),
            (kube::Error::Service(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused))), true),
            (kube::Error::Service(Box::new(io::Error::other(certificate))), false),
            (
                kube::Error::Service(Box::new(Mismatch { requested: "n/a".to_owned(), answered: "n/b".to_owned() })),
                false,
            ),
            (kube::Error::TlsRequired, false),
        ] {
            assert_eq!(is_transient(&error), expected, "{error}");
        }
    }
}
