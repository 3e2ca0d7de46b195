//! The election in time, on a Lease in memory. Time is paused: it passes only when nobody has anything to do.

mod decision;
mod losing;
mod owned;
mod permits;

use std::time::Duration;

use holdfast_runtime::owner::Owner;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::fake::{FakeLease, Fault};
use super::leadership::{Leadership, NotLeader, standing};
use super::lease::Record;
use super::settings::Settings;
use super::{Driver, LostError};

const SETTINGS: Settings = Settings {
    lease_duration: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry_period: Duration::from_secs(2),
};
const WANT: Duration = Duration::from_secs(10);

struct Replica {
    leadership: Leadership,
    token: CancellationToken,
    task: JoinHandle<Result<(), LostError>>,
}

impl Replica {
    fn start(lease: &FakeLease, identity: &str) -> Self {
        Self::owned(lease, identity, None)
    }

    fn owned(lease: &FakeLease, identity: &str, owner: Option<Owner>) -> Self {
        let (publisher, leadership) = standing();
        let token = CancellationToken::new();
        let mut driver = Driver::new(lease.clone(), identity.to_owned(), SETTINGS, publisher);
        driver.set_owner(owner);
        let task = tokio::spawn(driver.run(token.clone()));
        Self { leadership, token, task }
    }

    async fn leader(lease: &FakeLease, identity: &str) -> Self {
        let replica = Self::start(lease, identity);
        replica.leadership.wait().await.unwrap();
        replica
    }

    fn leads(&self) -> bool {
        self.leadership.is_leader()
    }

    async fn shut_down(self) {
        self.token.cancel();
        self.task.await.unwrap().unwrap();
    }

    async fn loses(self) -> String {
        self.leadership.lost().await;
        assert!(!self.leads());
        self.task.await.unwrap().unwrap_err().to_string()
    }
}

fn record_of(holder: &str) -> Record {
    let now = Some(Timestamp::now());
    Record {
        holder: holder.to_owned(),
        duration: Some(SETTINGS.lease_duration),
        acquired: now,
        renewed: now,
        transitions: 4,
    }
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_one_creates_the_lease_and_renews_it_with_one_call_each_time() {
    let lease = FakeLease::default();
    let replica = Replica::leader(&lease, "a").await;
    assert_eq!(lease.calls(), ["get", "create"]);
    let first = lease.record();
    assert_eq!((first.holder.as_str(), first.transitions, first.duration), ("a", 0, Some(Duration::from_secs(15))));
    seconds(21).await;
    assert_eq!(lease.calls(), ["replace"; 10]);
    let last = lease.record();
    assert!(last.renewed > first.renewed && last.acquired == first.acquired && last.transitions == 0);
    assert!(replica.leads());
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_within_a_retry_period() {
    let lease = FakeLease::default();
    let (first, second) = (Replica::leader(&lease, "a").await, Replica::start(&lease, "b"));
    seconds(30).await;
    assert!(first.leads() && !second.leads());
    let begin = Instant::now();
    first.shut_down().await;
    let released = lease.record();
    assert_eq!((released.holder.as_str(), released.duration), ("", Some(Duration::from_secs(1))));
    second.leadership.wait().await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(2100), "{:?}", begin.elapsed());
    assert_eq!((lease.record().holder.as_str(), lease.record().transitions), ("b", 1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_leaders_lease_is_taken_when_it_has_been_watched_for_its_whole_duration() {
    let lease = FakeLease::default();
    // Whatever its clock said when it died.
    lease.put(&Record { renewed: Some(Timestamp::UNIX_EPOCH), ..record_of("dead") });
    let begin = Instant::now();
    let replica = Replica::leader(&lease, "a").await;
    let waited = begin.elapsed();
    assert!((Duration::from_secs(15)..Duration::from_millis(15_100)).contains(&waited), "{waited:?}");
    assert_eq!((lease.record().holder.as_str(), lease.record().transitions), ("a", 5));
    replica.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_former_life_is_not_waited_for() {
    let lease = FakeLease::default();
    lease.put(&record_of("a"));
    let begin = Instant::now();
    let _replica = Replica::leader(&lease, "a").await;
    assert!(begin.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn of_many_candidates_one_leads() {
    let lease = FakeLease::default();
    lease.put(&record_of("dead"));
    let replicas: Vec<_> = (0..20).map(|index| Replica::start(&lease, &format!("r{index}"))).collect();
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        assert!(replicas.iter().filter(|replica| replica.leads()).count() <= 1);
    }
    assert_eq!(replicas.iter().filter(|replica| replica.leads()).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_no_leadership() {
    // Another candidate creates or takes the Lease between our look and our write.
    for before in [None, Some(Record::default())] {
        let lease = FakeLease::default();
        if let Some(before) = &before {
            lease.put(before);
        }
        lease.rival(record_of("rival"));
        let replica = Replica::start(&lease, "a");
        seconds(14).await;
        assert!(!replica.leads() && lease.record().holder == "rival", "{before:?}");
        assert!(lease.calls().len() <= 10, "no tight loop");
    }
}

#[tokio::test(start_paused = true)]
async fn a_take_whose_answer_was_lost_is_found_out() {
    let lease = FakeLease::default();
    lease.fail(&[Fault::Fine, Fault::AnswerLost]);
    let replica = Replica::start(&lease, "a");
    seconds(4).await;
    assert!(!replica.leads() && lease.record().holder == "a", "it holds the lease and does not know");
    seconds(4).await;
    assert!(replica.leads());

    // At shutdown as well.
    let lease = FakeLease::default();
    lease.fail(&[Fault::Fine, Fault::AnswerLost]);
    let replica = Replica::start(&lease, "a");
    seconds(1).await;
    replica.shut_down().await;
    assert_eq!(lease.record().holder, "");
}
