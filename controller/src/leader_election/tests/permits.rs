//! What may be sent while the lease is held, and that the release waits for it.

use tokio::time::sleep_until;

use super::*;

#[tokio::test(start_paused = true)]
async fn permits_shrink_with_what_is_left_and_never_outlive_the_lease() {
    let lease = FakeLease::default();
    let waiting = standing().1;
    assert!(waiting.permit(WANT).is_err());
    let replica = Replica::leader(&lease, "a").await;
    let begin = Instant::now();
    lease.fail_always(Fault::NoAnswer);
    // The lease lasts 15 s, requests end by 12.5 s, none begins after 10 s.
    for (at, shortest, longest) in [(1_000, 9_990, 10_000), (5_000, 7_400, 7_500), (9_900, 2_500, 2_600)] {
        sleep_until(begin + Duration::from_millis(at)).await;
        let limit = replica.leadership.permit(WANT).unwrap().limit().as_millis();
        assert!((shortest..=longest).contains(&limit), "{at}: {limit}");
        assert_eq!(replica.leadership.permit(Duration::from_secs(1)).unwrap().limit(), Duration::from_secs(1));
    }
    sleep_until(begin + Duration::from_secs(10)).await;
    assert!(replica.leadership.permit(WANT).is_err());
}

/// A stopped process: time goes on, none of its tasks runs.
#[tokio::test(start_paused = true)]
async fn the_first_thing_after_a_standstill_is_no_request() {
    let lease = FakeLease::default();
    let replica = Replica::leader(&lease, "a").await;
    let permit = replica.leadership.permit(WANT).unwrap();
    // Advances the clock before any other task is polled.
    let (mut sent, begin) = (false, Instant::now());
    let standstill = tokio::time::advance(Duration::from_secs(20));
    assert!(futures::FutureExt::now_or_never(standstill).is_none() && begin.elapsed() >= Duration::from_secs(20));
    assert!(replica.leadership.permit(WANT).is_err() && !replica.leads());
    let answer = permit.call("apply", async {
        sent = true;
        Ok(())
    });
    assert_eq!(answer.await.unwrap_err().to_string(), "timed out after 0s: apply");
    assert!(!sent, "a request that was permitted before the standstill is not sent after it");
    assert!(replica.loses().await.contains("could not be renewed for 10s"));
}

/// What the connections ask: no standing has to be published for the answer to change.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_requests_have_to_be_over() {
    let lease = FakeLease::default();
    let (_publisher, waiting) = standing();
    assert!(!waiting.may_send()());
    let replica = Replica::leader(&lease, "a").await;
    let may_send = replica.leadership.may_send();
    seconds(100).await;
    assert!(may_send(), "each renewal counts");
    let standstill = tokio::time::advance(Duration::from_secs(20));
    assert!(futures::FutureExt::now_or_never(standstill).is_none());
    assert!(!may_send(), "at once after a standstill, before any other task has run");

    // Requests end after those 12.5 s that the publisher knows of.
    let (publisher, leadership) = standing();
    let (may_send, begin) = (leadership.may_send(), Instant::now());
    publisher.lead(SETTINGS.give_up(begin), SETTINGS.requests_end(begin));
    publisher.end();
    drop(publisher);
    sleep_until(begin + Duration::from_millis(12_400)).await;
    assert!(may_send() && leadership.permit(WANT).is_err(), "what was permitted comes to its end");
    sleep_until(begin + Duration::from_millis(12_500)).await;
    assert!(!may_send());

    // Somebody else has the lease.
    let lease = FakeLease::default();
    let replica = Replica::leader(&lease, "a").await;
    let may_send = replica.leadership.may_send();
    lease.put(&record_of("b"));
    replica.loses().await;
    assert!(!may_send());
}

#[tokio::test(start_paused = true)]
async fn a_release_waits_for_the_requests_under_way() {
    let lease = FakeLease::default();
    let replica = Replica::leader(&lease, "a").await;
    let (leadership, permit) = (replica.leadership.clone(), replica.leadership.permit(WANT).unwrap());
    let may_send = leadership.may_send();
    let request = tokio::spawn(permit.call("apply", async {
        seconds(3).await;
        Ok(())
    }));
    replica.token.cancel();
    seconds(1).await;
    assert!(leadership.permit(WANT).is_err(), "nothing new begins");
    assert!(may_send(), "but what is under way goes on");
    assert_eq!(lease.record().holder, "a");
    seconds(3).await;
    assert!(request.is_finished() && replica.task.is_finished());
    assert_eq!(lease.record().holder, "");
    assert!(!may_send(), "a released lease may be taken before it would have expired");

    // But not for ever, and then the lease has to expire.
    let lease = FakeLease::default();
    let replica = Replica::leader(&lease, "a").await;
    let _permit = replica.leadership.permit(WANT).unwrap();
    let begin = Instant::now();
    replica.shut_down().await;
    assert_eq!((begin.elapsed().as_secs(), lease.record().holder.as_str()), (4, "a"));
}

#[tokio::test(start_paused = true)]
async fn a_release_stands_its_ground() {
    // A renewal is under way when the shutdown begins and is stored although nobody waits for its answer.
    let lease = FakeLease::default();
    let replica = Replica::leader(&lease, "a").await;
    lease.fail(&[Fault::AnswerLost]);
    seconds(3).await;
    replica.shut_down().await;
    assert_eq!(lease.record().holder, "");

    // The API server is away: the end is not held up for long.
    let lease = FakeLease::default();
    let replica = Replica::leader(&lease, "a").await;
    lease.fail_always(Fault::NoAnswer);
    let begin = Instant::now();
    replica.shut_down().await;
    assert!(begin.elapsed().as_secs() <= 4);

    // Somebody who only waits has nothing to release.
    let lease = FakeLease::default();
    lease.put(&record_of("b"));
    let replica = Replica::start(&lease, "a");
    seconds(5).await;
    replica.shut_down().await;
    assert_eq!(lease.record().holder, "b");
}

#[tokio::test(start_paused = true)]
async fn without_an_election_everything_is_permitted() {
    let leadership = Leadership::always();
    leadership.wait().await.unwrap();
    seconds(100_000).await;
    assert_eq!(leadership.permit(WANT).unwrap().limit(), WANT);
    assert!(leadership.may_send()());
    assert!(tokio::time::timeout(WANT, leadership.lost()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dead_driver_ends_the_leadership() {
    let lease = FakeLease::default();
    let replica = Replica::leader(&lease, "a").await;
    replica.task.abort();
    replica.leadership.lost().await;
    assert!(!replica.leads());
    assert_eq!(replica.leadership.wait().await, Err(NotLeader));
}
