//! The webhook without a cluster: reviews through the service, certificates, a real HTTPS server.

#![allow(missing_docs, reason = "a test")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may fail loudly")]
#![allow(clippy::print_stderr, reason = "seeds are told")]

mod certificates;
mod fixtures;
mod hostile;
mod https;
mod modes;
mod recorded;
mod reviews;
