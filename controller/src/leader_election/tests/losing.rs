//! How leadership ends, and what does not end it.

use super::*;

#[tokio::test(start_paused = true)]
async fn leadership_ends_at_the_deadline_even_if_no_call_returns() {
    for fault in [Fault::NoAnswer, Fault::Code(500), Fault::Code(403)] {
        let lease = FakeLease::default();
        let replica = Replica::leader(&lease, "a").await;
        // At a leader's start the lease counts from about now.
        let begin = Instant::now();
        lease.fail_always(fault);
        let leadership = replica.leadership.clone();
        let error = replica.loses().await;
        let lasted = begin.elapsed();
        assert!((Duration::from_millis(9_990)..=Duration::from_secs(10)).contains(&lasted), "{fault:?}: {lasted:?}");
        assert!(error.starts_with("lost leadership: Lease garden/grm could not be renewed for 10s: "), "{error}");
        assert_eq!(leadership.permit(WANT).unwrap_err(), NotLeader);
        // It is not released: what was permitted may still be under way.
        assert_eq!(lease.record().holder, "a");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_deadline_is_survived() {
    for (fault, tenths) in [
        (Fault::NoAnswer, 70),
        (Fault::AnswerLost, 70),
        (Fault::Code(503), 79),
        (Fault::Code(429), 79),
        // Tried again soon, so that the renewal succeeds right before the deadline.
        (Fault::Code(409), 98),
    ] {
        let lease = FakeLease::default();
        let replica = Replica::leader(&lease, "a").await;
        let acquired = lease.record().acquired;
        lease.fail_always(fault);
        for _ in 0..tenths {
            sleep(Duration::from_millis(100)).await;
            assert!(replica.leads(), "{fault:?}");
        }
        lease.heal();
        seconds(60).await;
        assert!(replica.leads(), "{fault:?}");
        assert_eq!((lease.record().acquired, lease.record().transitions), (acquired, 0), "the same term");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_finds_another_in_the_lease_has_lost() {
    let foreign_take = record_of("b");
    let twin = record_of("a");
    let cleared = Record { holder: String::new(), ..record_of("") };
    for (record, holder) in [(foreign_take, "\"b\""), (twin, "\"a\""), (cleared, "\"\"")] {
        let lease = FakeLease::default();
        let replica = Replica::leader(&lease, "a").await;
        lease.put(&record);
        let begin = Instant::now();
        assert_eq!(replica.loses().await, format!("lost leadership: Lease garden/grm was taken by {holder}"));
        assert!(begin.elapsed() < Duration::from_millis(2_200));
        assert_eq!(lease.record(), record, "nothing of the other's is overwritten");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_created_anew_in_the_same_term() {
    let lease = FakeLease::default();
    let replica = Replica::leader(&lease, "a").await;
    let before = lease.record();
    lease.delete();
    seconds(3).await;
    let after = lease.record();
    assert!(replica.leads() && after.holder == "a" && after.acquired == before.acquired);
}
