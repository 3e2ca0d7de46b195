//! `kill -9` of the controller at each of its writes: just before the API server sees it, and just after it was carried out.
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use holdfast_e2e::fault_proxy::{Entry, Fault, Hook, Request, Rule};
use http::Method;

use super::Stage;
use super::scenario::{Play, Scenario};

/// Controllers at work side by side, each for a class of its own.
const LANES: usize = 8;

/// Stands for the namespace in a path.
const PLACE: &str = "{ns}";

/// A write of the scenario, whatever the namespace: method, path, and the how many-th of these it is.
type Write = (Method, String, usize);

/// A kill: at which write, before or after.
type Case = (Write, Fault);

/// A controller that plays one scenario after another.
struct Lane(Stage);

impl Lane {
    async fn new() -> Self {
        // One request after another: a kill between two of them is a kill between two of all.
        Self(Stage::set("kill", &["--concurrent-requests=1", "--pending-period=300ms"]).await)
    }

    /// The key of the digests is written at the start, before all else. Of the lanes, two are killed there.
    async fn start(&self, fault: Option<Fault>) {
        let is_killed = fault.is_some();
        if let Some(fault) = fault {
            let select = |request: &Request| request.method == Method::POST && request.path.ends_with("/secrets");
            self.0.proxy.add(Rule::new(fault, select).nth(1).hook(self.kill(&Arc::default())));
        }
        self.0.replica.start();
        if is_killed {
            self.0.replica.ended_at_last().await;
            self.0.proxy.settled().await.unwrap();
            self.0.replica.start();
        }
    }

    fn kill(&self, fired: &Arc<AtomicBool>) -> Hook {
        let (killing, fired) = (self.0.killing(), Arc::clone(fired));
        Arc::new(move |request| {
            fired.store(true, Ordering::SeqCst);
            killing(request)
        })
    }

    /// Plays the scenario, with a kill and a restart in it, and returns its writes; `None` if the write to be killed at never
    /// came.
    async fn play(&self, play: Play, case: Option<Case>) -> Option<Vec<Write>> {
        let scenario = Scenario::new(&self.0.test.cluster, &self.0.class).await;
        let ns = scenario.test.ns.clone();
        let fired = Arc::new(AtomicBool::new(false));
        let described = format!("{ns}: {case:?}");
        self.0.proxy.clear();
        self.0.proxy.forget();
        if let Some(((method, path, number), fault)) = case {
            let path = path.replace(PLACE, &ns);
            let select = move |request: &Request| request.method == method && request.path == path;
            self.0.proxy.add(Rule::new(fault, select).nth(number).hook(self.kill(&fired)));
        }
        let restart = async || {
            assert!(fired.load(Ordering::SeqCst), "{described}: the controller ended by itself");
            self.0.proxy.settled().await.unwrap();
            scenario.check().await;
            self.0.replica.start();
        };
        let restarted = async {
            self.0.replica.ended_at_last().await;
            restart().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = scenario.play(play) => {}
            () = restarted => {}
        }
        if !self.0.replica.is_running() {
            restart().await;
        }
        let is_undisturbed = described.ends_with("None");
        (is_undisturbed || fired.load(Ordering::SeqCst)).then(|| self.writes(&ns))
    }

    fn writes(&self, ns: &str) -> Vec<Write> {
        let mut numbers: BTreeMap<(String, String), usize> = BTreeMap::new();
        let entries = self.0.proxy.entries();
        let own = entries.into_iter().filter(|entry| {
            let request = &entry.request;
            request.is_write() && !request.is_about_events() && request.path.contains(ns)
        });
        own.filter_map(|Entry { request, code, .. }| {
            let path = request.path.replace(ns, PLACE);
            let number = numbers.entry((request.method.to_string(), path.clone())).or_default();
            *number += 1;
            // What is refused changes nothing, and may come or not: the finalizer is taken off once more when an event of the
            // last object comes in between.
            code.is_some_and(|code| code < 400).then_some((request.method, path, *number))
        })
        .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_write_it_leaks_nothing_and_converges() {
    let begin = Instant::now();
    let starts = [Some(Fault::CutBefore), Some(Fault::CutAfter)].into_iter().chain(std::iter::repeat(None));
    let lanes = futures::future::join_all(starts.take(LANES).map(async |start| {
        let lane = Lane::new().await;
        lane.start(start).await;
        lane
    }))
    .await;

    let mut cases = VecDeque::new();
    // The shorter ones last, so that all lanes end at about the same time.
    for (play, least) in [(Play::Life, 20), (Play::Kind, 9)] {
        let writes = lanes[2].play(play, None).await.unwrap();
        let listed: Vec<_> = writes.iter().map(|(method, path, number)| format!("{method} {path} #{number}")).collect();
        eprintln!("{play:?}: {} writes:\n{}", writes.len(), listed.join("\n"));
        assert!(writes.len() >= least, "the scenario is what it was meant to be");
        for write in writes {
            cases.extend([Fault::CutBefore, Fault::CutAfter].map(|side| (play, (write.clone(), side))));
        }
    }
    let count = cases.len();
    let (cases, missed) = (Mutex::new(cases), Mutex::new(Vec::new()));
    futures::future::join_all(lanes.iter().map(|lane| async {
        loop {
            let Some((play, case)) = cases.lock().unwrap().pop_front() else { return };
            if lane.play(play, Some(case.clone())).await.is_none() {
                missed.lock().unwrap().push(case);
            }
        }
    }))
    .await;
    // Two states written one after the other may become one, as they come.
    let missed = missed.into_inner().unwrap();
    assert!(missed.len() <= 4, "writes that came once and then never again: {missed:#?}");
    let (killed, seconds) = (count - missed.len(), begin.elapsed().as_secs_f64());
    eprintln!("{killed} kills in {seconds:.1} s, with the start of the control plane; never came: {missed:?}");
}
