//! Two controllers and one Lease: one of them writes, whatever happens to the other.
mod clock_jumps;

use std::time::{Duration, Instant};

use holdfast_e2e::audit::{AuditLog, Request};
use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, LEASES, Replica, Test, text, within};

const NAME: &str = "holdfast";
/// Longer than it takes a busy machine to renew, shorter than a test has time for.
const DURATION: Duration = Duration::from_secs(4);
const FLAGS: [&str; 5] = [
    "--leader-elect=true",
    "--lease-name=holdfast",
    "--lease-duration=4s",
    "--renew-deadline=3s",
    "--retry-period=500ms",
];
/// What a busy machine may add to anything.
const MARGIN: Duration = Duration::from_secs(6);

struct Candidate {
    replica: Replica,
    account: Account,
    name: &'static str,
}

/// Two candidates in a namespace, of a class of their own.
struct Pair {
    candidates: [Candidate; 2],
    test: Test,
    log: AuditLog,
}

fn candidate(test: &Test, name: &'static str, account: Account) -> Candidate {
    let process = format!("{}-{name}", test.ns);
    let replica = Replica::direct(&test.cluster, &process, &account.token, &test.ns).with(&FLAGS);
    let namespace = format!("--lease-namespace={}", test.ns);
    // They share the key of the digests, as the pods of a Deployment do.
    let replica = replica.with(&[&namespace, &format!("--lease-identity={name}")]).in_namespace(&test.ns);
    Candidate { replica, account, name }
}

impl Pair {
    /// Both run, and some objects are applied by whoever leads.
    async fn start(topic: &str, objects: usize) -> Self {
        Self::start_with(topic, objects, |_, replica| replica).await
    }

    /// The same, with changes to each process, which is told by its name.
    async fn start_with(topic: &str, objects: usize, change: impl Fn(&str, Replica) -> Replica) -> Self {
        let test = Test::on(Cluster::shared_bare().await, topic).await;
        let log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
        let accounts = (Account::create(&test, "one").await, Account::create(&test, "two").await);
        let candidates = [("one", accounts.0), ("two", accounts.1)].map(|(name, account)| {
            let Candidate { replica, account, name } = candidate(&test, name, account);
            Candidate { replica: change(name, replica), account, name }
        });
        for candidate in &candidates {
            candidate.replica.start();
        }
        let manifests: String = (0..objects).map(|number| test.config_map(&format!("c-{number}"), "one")).collect();
        test.declare("mr", &manifests).class(&test.ns).await;
        Self { candidates, test, log }
    }

    /// All that came since the start.
    fn requests(&self) -> Vec<Request> {
        self.log.clone().read().unwrap()
    }

    /// The same, once it has a write of this candidate: the audit log has a request a moment after others see what it did.
    async fn requests_with(&self, candidate: &Candidate) -> Vec<Request> {
        within(MARGIN, &format!("a write of {} to be in the audit log", candidate.name), || async {
            let requests = self.requests();
            if writes(&requests, candidate).is_empty() { Err("there is none".to_owned()) } else { Ok(requests) }
        })
        .await
    }

    /// Who leads, and who waits.
    async fn roles(&self) -> (&Candidate, &Candidate) {
        let holder = holder(&self.test).await;
        let [one, two] = &self.candidates;
        match holder.as_str() {
            "one" => (one, two),
            "two" => (two, one),
            other => panic!("{other:?} holds the lease"),
        }
    }

    /// Waits until this candidate holds the lease, and returns how long that took.
    async fn led_by(&self, candidate: &Candidate, limit: Duration) -> Duration {
        let begin = Instant::now();
        within(limit, &format!("{} to lead", candidate.name), || async {
            let holder = holder(&self.test).await;
            if holder == candidate.name { Ok(()) } else { Err(format!("{holder:?} does")) }
        })
        .await;
        begin.elapsed()
    }

    /// Somebody edits an object, and that is undone.
    async fn repairs(&self, name: &str) {
        edit(&self.test, name).await;
        self.test.has("configmaps", name, "/data", json!({"k": "one"})).await;
    }

    /// In the order of time, each change of hands is one: whoever has written while another did is found.
    fn turns(&self, requests: &[Request]) -> Vec<&'static str> {
        let mut all: Vec<(Timestamp, &'static str)> = Vec::new();
        for candidate in &self.candidates {
            all.extend(writes(requests, candidate).into_iter().map(|request| (request.received, candidate.name)));
        }
        all.sort();
        let mut turns: Vec<&str> = all.into_iter().map(|(_, name)| name).collect();
        turns.dedup();
        turns
    }
}

/// Writes of a candidate that are not about the Lease. Events are left out where the order matters.
fn writes<'a>(requests: &'a [Request], candidate: &Candidate) -> Vec<&'a Request> {
    // The key of the digests is made at the start, by whoever is first.
    let rest = ["leases", "events", "secrets"];
    let is_work = |request: &&Request| request.is_write() && !rest.contains(&request.resource.as_str());
    requests.iter().filter(|request| request.user == candidate.account.user).filter(is_work).collect()
}

async fn holder(test: &Test) -> String {
    let lease = test.get(LEASES, NAME).await.unwrap_or_default();
    text(&lease, "/spec/holderIdentity")
}

/// A foreign change of a declared field.
async fn edit(test: &Test, name: &str) {
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "x"}});
    test.try_apply("configmaps", &body).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_the_other_takes_over_and_repairs() {
    let pair = Pair::start("killed", 10).await;
    let (leader, other) = pair.roles().await;
    leader.replica.kill().await;
    let killed = Timestamp::now();
    edit(&pair.test, "c-3").await;
    let taken = pair.led_by(other, DURATION + MARGIN).await;
    // Renewed at most a retry period before the kill.
    assert!(taken > DURATION / 2, "nobody waits less than the lease lasts: {taken:?}");
    pair.test.has("configmaps", "c-3", "/data", json!({"k": "one"})).await;
    eprintln!("taken over {:.1} s after the kill", taken.as_secs_f64());

    let requests = pair.requests_with(other).await;
    assert_eq!(pair.turns(&requests), [leader.name, other.name], "one after the other");
    let written = writes(&requests, other);
    let objects: Vec<&str> =
        written.iter().filter(|write| write.resource == "configmaps").map(|write| write.name.as_str()).collect();
    assert!(!objects.is_empty() && objects.iter().all(|name| *name == "c-3"), "only what was edited: {objects:?}");
    assert!(written.iter().all(|write| write.received > killed));

    // The former leader comes back, and waits.
    leader.replica.start();
    pair.repairs("c-4").await;
    let late: Vec<_> = pair.requests();
    let late = writes(&late, leader).into_iter().filter(|write| write.received > killed).count();
    assert_eq!(late, 0, "it does not lead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_in_order_hands_over_at_once() {
    let pair = Pair::start("handover", 10).await;
    let (leader, other) = pair.roles().await;
    leader.replica.signal(Signal::TERM);
    let taken = pair.led_by(other, DURATION + MARGIN).await;
    leader.replica.ended().await;
    eprintln!("handed over in {:.2} s", taken.as_secs_f64());
    assert_eq!(leader.replica.exit_code(), Some(0));
    // A released lease counts a second. Without the release it would be four.
    assert!(taken < Duration::from_secs(3), "{taken:?}");
    let lease = pair.test.get(LEASES, NAME).await.unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1, "{lease}");
    pair.repairs("c-5").await;
    let requests = pair.requests_with(other).await;
    assert_eq!(pair.turns(&requests), [leader.name, other.name], "one after the other");
}

/// The leader is stopped in the middle of work, past the end of its lease, and goes on when another one leads.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_past_its_lease_writes_nothing_any_more() {
    const OBJECTS: usize = 200;
    let pair = Pair::start("asleep", OBJECTS).await;
    let (leader, other) = pair.roles().await;
    let test = &pair.test;
    let manifests: String = (0..OBJECTS).map(|number| test.config_map(&format!("c-{number}"), "two")).collect();
    test.secret("mr", &manifests).await;
    within(MARGIN, "the leader to be in the middle of it", || async {
        let all = test.list("configmaps").await;
        if all.iter().any(|object| object["data"]["k"] == "two") { Ok(()) } else { Err("it has not begun") }
            .map_err(String::from)
    })
    .await;
    leader.replica.signal(Signal::STOP);
    // What was sent is carried out; nothing more comes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let remaining = test.list("configmaps").await.iter().filter(|object| object["data"]["k"] == "one").count();
    eprintln!("stopped with {remaining} of {OBJECTS} objects to do");
    pair.led_by(other, DURATION + MARGIN).await;
    let taken_over = Timestamp::now();
    test.applied("mr").await;
    edit(test, "c-1").await;
    leader.replica.signal(Signal::CONT);
    for name in ["c-2", "c-3", "c-4"] {
        edit(test, name).await;
    }
    leader.replica.ended().await;
    assert!(leader.replica.exit_code().is_some_and(|code| code != 0), "it says that it has lost its lease");
    for number in 0..OBJECTS {
        test.has("configmaps", &format!("c-{number}"), "/data", json!({"k": "two"})).await;
    }

    let requests = pair.requests_with(other).await;
    assert!(remaining > 0, "it was in the middle");
    let own = requests.iter().filter(|request| request.user == leader.account.user && request.is_write());
    let late = own.filter(|request| request.received > taken_over);
    // It may try to renew what is not its own any more, in vain.
    let (about_lease, rest): (Vec<_>, Vec<_>) = late.partition(|request| request.resource == "leases");
    assert!(rest.is_empty(), "written after {taken_over}: {rest:#?}");
    assert!(about_lease.iter().all(|request| request.code == 409), "{about_lease:#?}");
    let last = writes(&requests, leader).into_iter().max_by_key(|request| request.answered);
    assert_eq!(
        pair.turns(&requests),
        [leader.name, other.name],
        "one after the other; the last of {}: {last:#?}",
        leader.name
    );
}

/// To the microsecond, so that each is another: a renewal that says the same as the one before is none.
fn foreign_lease(renewed: Timestamp) -> Value {
    let renewed = renewed.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME},
        "spec": {
            "holderIdentity": "somebody-else", "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": renewed, "renewTime": renewed, "leaseTransitions": 3,
        },
    })
}

/// The holder's clock is an hour ahead, or an hour behind, and may jump: what counts is for how long nothing changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_with_a_wrong_clock_is_neither_robbed_nor_waited_for() {
    let test = Test::on(Cluster::shared_bare().await, "clocks").await;
    let account = Account::create(&test, "one").await;
    let candidate = candidate(&test, "one", account);
    let hour = SignedDuration::from_hours(1);
    test.try_apply(LEASES, &foreign_lease(Timestamp::now() + hour)).await.unwrap();
    candidate.replica.start();
    let begin = Instant::now();
    // As long as it is renewed, with times that jump, it is respected.
    let mut ahead = false;
    while begin.elapsed() < DURATION * 2 {
        let second = SignedDuration::from_millis(i64::try_from(begin.elapsed().as_millis()).unwrap());
        let time = if ahead { Timestamp::now() + hour } else { Timestamp::now() - hour - second };
        test.try_apply(LEASES, &foreign_lease(time)).await.unwrap();
        ahead = !ahead;
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(holder(&test).await, "somebody-else", "robbed after {:?}", begin.elapsed());
    }
    // Then it is silent, and its last word lies an hour ahead.
    test.try_apply(LEASES, &foreign_lease(Timestamp::now() + hour)).await.unwrap();
    let silent = Instant::now();
    within(DURATION + MARGIN, "the lease to be taken", || async {
        let holder = holder(&test).await;
        if holder == "one" { Ok(()) } else { Err(holder) }
    })
    .await;
    let waited = silent.elapsed();
    eprintln!("taken after {:.1} s of silence", waited.as_secs_f64());
    assert!(waited >= DURATION, "{waited:?}");
}
