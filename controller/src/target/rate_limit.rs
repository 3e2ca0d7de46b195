//! How fast requests are sent: as the settings say, and as the API server asks for with 429 and `Retry-After`. What it asks
//! for of one resource is heeded below the client (`holdfast_runtime::traffic`).
//!
//! This stands before the leader election's permit and not in the client: a permit and the limit of a request begin with
//! the request, and the time that it waits for a token must not count.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use holdfast_runtime::traffic::Traffic;
use tokio::time::Instant;

/// Paces the requests of passes; watches and the lease are not in it.
pub struct RateLimit {
    traffic: Vec<Traffic>,
    bucket: Option<Mutex<Bucket>>,
}

/// A token bucket, as a moment: the time at which it would be full.
struct Bucket {
    interval: Duration,
    depth: Duration,
    full_at: Instant,
}

impl RateLimit {
    /// At most `per_second` requests a second after a first `burst`; without limit if it is zero. `traffic` is of the
    /// clients whose API servers may ask for a pause.
    pub fn new(traffic: Vec<Traffic>, per_second: u32, burst: u32) -> Self {
        let bucket = (per_second > 0).then(|| {
            let interval = Duration::from_secs(1) / per_second;
            Mutex::new(Bucket { interval, depth: interval * burst.max(1), full_at: Instant::now() })
        });
        Self { traffic, bucket }
    }

    /// Waits until a request may be sent.
    pub async fn wait_for_token(&self) {
        if let Some(bucket) = &self.bucket {
            let wait = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
        }
        self.wait_until_allowed().await;
    }

    /// Whether the API servers want to hear from us.
    pub fn is_allowed(&self) -> bool {
        self.traffic.iter().all(Traffic::is_clear)
    }

    /// Waits until the API servers want to hear from us again.
    pub async fn wait_until_allowed(&self) {
        for traffic in &self.traffic {
            traffic.clear().await;
        }
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> Duration {
        self.full_at = self.full_at.max(now) + self.interval;
        self.full_at.saturating_duration_since(now).saturating_sub(self.depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_comes_at_the_rate() {
        let rate_limit = RateLimit::new(vec![], 100, 20);
        let start = Instant::now();
        for _ in 0..20 {
            rate_limit.wait_for_token().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..50 {
            rate_limit.wait_for_token().await;
        }
        assert_eq!(start.elapsed().as_millis(), 500);
        tokio::time::sleep(Duration::from_secs(9)).await;
        let start = Instant::now();
        for _ in 0..20 {
            rate_limit.wait_for_token().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "the burst is there again");
        let unlimited = RateLimit::new(vec![], 0, 0);
        for _ in 0..10_000 {
            unlimited.wait_for_token().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
