//! How a program of ours ends.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

/// Prints one line on failure, `error: <what>: <why>: …`, and returns the exit code that belongs to it.
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done about a closed standard error.
            let _ = writeln!(std::io::stderr(), "error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The messages of an error and of its causes on one line.
///
/// A cause whose text its parent already quotes (kube's errors do) is not repeated.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = one_line(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = one_line(&error.to_string());
        if !next.is_empty() && !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn causes_are_joined_and_quoted_ones_left_out() {
        let error = anyhow!("connection refused").context("tcp: connection refused").context("cannot\n  list");
        assert_eq!(chain(error.as_ref()), "cannot list: tcp: connection refused");
        assert_eq!(chain(anyhow!("plain").as_ref()), "plain");
    }
}
