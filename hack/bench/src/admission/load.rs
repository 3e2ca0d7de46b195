//! Reviews over several connections, as quickly as they are answered or so many a second.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use hyper::body::Bytes;

use super::super::numbers::{count, millis, percentile};
use super::client::{Connection, Trust};

#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// The next when the last is answered.
    Saturated,
    /// Evenly, whatever becomes of them: a review that has to wait for an earlier answer counts from the time at which it was
    /// due. That our own timer comes late (it knows whole milliseconds) does not count.
    PerSecond(u32),
}

/// Which reviews, and where to.
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) trust: Trust,
    pub(super) path: &'static str,
    /// Taken in turn.
    pub(super) bodies: Vec<Arc<[u8]>>,
    pub(super) connections: usize,
    pub(super) pace: Pace,
}

/// How long the answers took, in milliseconds.
pub(super) struct Times {
    each: Vec<f64>,
    total: Duration,
}

impl Load {
    /// Sends so many reviews.
    ///
    /// # Errors
    /// One is not answered.
    pub(super) async fn run(&self, reviews: usize) -> Result<Times> {
        let (next, begun) = (AtomicUsize::new(0), Instant::now());
        let bodies: Vec<Bytes> = self.bodies.iter().map(|body| Bytes::from_owner(Arc::clone(body))).collect();
        let workers = (0..self.connections).map(|_| self.worker(&bodies, &next, reviews, begun));
        let each = try_join_all(workers).await?.concat();
        Ok(Times { each, total: begun.elapsed() })
    }

    async fn worker(&self, bodies: &[Bytes], next: &AtomicUsize, reviews: usize, begun: Instant) -> Result<Vec<f64>> {
        let mut connection = Connection::open(self.address, &self.trust).await?;
        let mut times = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= reviews {
                return Ok(times);
            }
            let due = match self.pace {
                Pace::Saturated => Instant::now(),
                Pace::PerSecond(rate) => {
                    let due = begun + Duration::from_secs(1) * u32::try_from(number).unwrap_or(u32::MAX) / rate.max(1);
                    if Instant::now() < due {
                        tokio::time::sleep_until(due.into()).await;
                        Instant::now()
                    } else {
                        due
                    }
                }
            };
            connection.ask(self.path, bodies[number % bodies.len()].clone()).await?;
            times.push(millis(due.elapsed()));
        }
    }
}

impl Times {
    pub(super) fn len(&self) -> usize {
        self.each.len()
    }

    /// Reviews in a second.
    pub(super) fn rate(&self) -> f64 {
        count(self.each.len()) / self.total.as_secs_f64()
    }

    pub(super) fn percentile(&self, percent: usize) -> f64 {
        percentile(&self.each, percent)
    }

    pub(super) fn note(&self) -> String {
        let (middle, high) = (self.percentile(50), self.percentile(99));
        format!("n={}, p50 {middle:.2} ms, p99 {high:.2} ms", self.len())
    }
}
