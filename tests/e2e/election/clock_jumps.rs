//! Wall clocks that jump: time that matters to a lease is measured, not read.
use std::fs;

use super::*;
use crate::harness::{clock_library, nothing_happens_for};

/// By how many seconds the lease was renewed in the future of this machine.
async fn renewed_ahead(test: &Test) -> f64 {
    let lease = test.get(LEASES, NAME).await.unwrap_or_default();
    let renewed: Timestamp = text(&lease, "/spec/renewTime").parse().unwrap();
    renewed.duration_since(Timestamp::now()).as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_moves_no_lease_and_stops_no_repair() {
    // Minutes. The API server's certificate is valid from an hour before it was made.
    const AHEAD: i64 = 120;
    const BEHIND: i64 = -30;
    let directory = tempfile::tempdir().unwrap();
    let library = clock_library(directory.path());
    let clock = |name: &str| directory.path().join(name);
    let pair = Pair::start_with("jumps", 10, |name, replica| replica.clocked(&library, &clock(name))).await;
    let (leader, other) = pair.roles().await;
    for (minutes, object) in [(AHEAD, "c-1"), (BEHIND, "c-2"), (0, "c-3")] {
        let seconds = minutes * 60;
        fs::write(clock(leader.name), seconds.to_string()).unwrap();
        within(MARGIN, &format!("the leader's clock to be {minutes} min off"), || async {
            let ahead = renewed_ahead(&pair.test).await;
            let is_off = (ahead - SignedDuration::from_secs(seconds).as_secs_f64()).abs() < 60.0;
            if is_off { Ok(()) } else { Err(format!("renewed {ahead:.0} s ahead")) }
        })
        .await;
        // Long enough for a lease that is not renewed to be taken.
        nothing_happens_for(DURATION * 2, "the lease is taken").await;
        assert_eq!(holder(&pair.test).await, leader.name, "{minutes} min");
        pair.repairs(object).await;
    }
    for minutes in [AHEAD, BEHIND] {
        fs::write(clock(other.name), (minutes * 60).to_string()).unwrap();
        nothing_happens_for(DURATION * 2, "the lease is taken").await;
        assert_eq!(holder(&pair.test).await, leader.name, "whoever waits is {minutes} min off");
    }
    assert_eq!(pair.turns(&pair.requests()), [leader.name], "nobody else has written");

    // With the wrong clock it knows all the same when the lease has expired.
    leader.replica.kill().await;
    pair.led_by(other, DURATION + MARGIN).await;
    pair.repairs("c-4").await;
}
