//! The first call: is the API server there, does it know us, is it new enough?

use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use crate::call::{CallError, DEFAULT_LIMIT, call};

/// The oldest minor version of Kubernetes 1 that has everything that we use (matchConditions, admission policies).
const OLDEST: u32 = 30;
/// How long an API server may be out of reach when we start.
const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// The API server is of no use to us.
#[derive(Debug, thiserror::Error)]
pub enum ServerVersionError {
    /// It refused the call, or stayed out of reach.
    #[error("cannot talk to the API server: {0}")]
    Call(CallError),
    /// It is older than 1.30.
    #[error("the API server is Kubernetes {found}; Holdfast needs 1.{OLDEST} or newer")]
    TooOld {
        /// Its version.
        found: String,
    },
}

/// Succeeds when the API server answers and is new enough.
///
/// One that is out of reach is tried again with growing delays and a log line each, for about a minute. A refusal is an
/// error at once.
pub async fn check_server_version(client: &Client) -> Result<(), ServerVersionError> {
    let give_up = Instant::now() + PATIENCE;
    let mut delay = Duration::from_secs(1);
    let info = loop {
        match call(DEFAULT_LIMIT, "get /version", client.apiserver_version()).await {
            Ok(info) => break info,
            Err(error) if error.is_transient() && Instant::now() + delay < give_up => {
                tracing::warn!(error = %error, "the API server cannot be reached; trying again in {} s", delay.as_secs());
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(LONGEST_DELAY);
            }
            Err(error) => return Err(ServerVersionError::Call(error)),
        }
    };
    if is_supported(&info.major, &info.minor) {
        tracing::info!(version = info.git_version, "connected to the API server");
        Ok(())
    } else {
        Err(ServerVersionError::TooOld { found: format!("{}.{}", info.major, info.minor) })
    }
}

/// Providers append to the minor version (`31+`). What is no number at all is taken for new: refusing to start would be worse.
fn is_supported(major: &str, minor: &str) -> bool {
    let leading = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text.get(..end).and_then(|digits| digits.parse::<u32>().ok())
    };
    match (leading(major), leading(minor)) {
        (Some(major), Some(minor)) => (major, minor) >= (1, OLDEST),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_told_apart() {
        for (major, minor, expected) in [
            ("1", "29", false),
            ("1", "29+", false),
            ("1", "30", true),
            ("1", "37", true),
            ("2", "0", true),
            ("", "", true),
        ] {
            assert_eq!(is_supported(major, minor), expected, "{major}.{minor}");
        }
    }
}
