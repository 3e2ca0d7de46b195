//! Who is on stage: the played Pods as the proxy, the tests and the status reports see them.
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::sync::watch;

use crate::process::Process;

/// A Pod that is being played.
#[derive(Debug, Clone)]
pub struct PlayedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The last path component of its image, without the tag.
    pub image: String,
    /// Its labels, now.
    pub labels: BTreeMap<String, String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its named ports.
    pub ports: BTreeMap<String, u16>,
    /// Whether its program runs and its readiness probe succeeds.
    pub ready: bool,
    /// How often its program was started again.
    pub restarts: u32,
    /// What its tokens are bound to, if not to the Pod.
    pub(super) token_secret: Option<String>,
    pub(super) process: Option<Arc<Process>>,
}

impl PlayedPod {
    /// The process id of its program, if that runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().filter(|process| process.is_running()).map(|process| process.pid())
    }

    /// Sends a signal to its program.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let running = self.process.as_ref().filter(|process| process.is_running());
        running.with_context(|| format!("the program of {}/{} does not run", self.namespace, self.name))?.signal(signal)
    }
}

impl fmt::Display for PlayedPod {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readiness = if self.ready { "ready" } else { "not ready" };
        let pid = self.pid().map_or_else(|| "no process".to_owned(), |pid| format!("pid {pid}"));
        write!(
            formatter,
            "{}/{} ({}): {readiness}, {pid}, {} restarts, {}",
            self.namespace, self.name, self.image, self.restarts, self.address
        )
    }
}

/// All of them, by uid; changes can be followed.
#[derive(Debug)]
pub(super) struct Roster(watch::Sender<BTreeMap<String, PlayedPod>>);

impl Default for Roster {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }
}

impl Roster {
    pub(super) fn pods(&self) -> Vec<PlayedPod> {
        let mut pods: Vec<PlayedPod> = self.0.borrow().values().cloned().collect();
        pods.sort_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        pods
    }

    pub(super) fn insert(&self, pod: PlayedPod) {
        self.0.send_modify(|pods| {
            pods.insert(pod.uid.clone(), pod);
        });
    }

    pub(super) fn remove(&self, uid: &str) {
        self.0.send_modify(|pods| {
            pods.remove(uid);
        });
    }

    pub(super) fn change(&self, uid: &str, change: impl FnOnce(&mut PlayedPod)) {
        self.0.send_modify(|pods| {
            if let Some(pod) = pods.get_mut(uid) {
                change(pod);
            }
        });
    }

    /// The Secret that the tokens of a Pod are bound to, if not to the Pod.
    pub(super) fn token_secret(&self, uid: &str) -> Option<String> {
        self.0.borrow().get(uid)?.token_secret.clone()
    }

    pub(super) fn changes(&self) -> watch::Receiver<BTreeMap<String, PlayedPod>> {
        self.0.subscribe()
    }
}
