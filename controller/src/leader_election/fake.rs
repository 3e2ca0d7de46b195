//! A Lease in memory with the API server's rules, for races and silences that a real one does not produce on demand.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_runtime::call::{CallError, call};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ObjectMeta;
use kube::core::Status;

use super::lease::LeaseStore;
use super::lease::Record;

/// What happens to a call instead of what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Never arrives; no answer.
    NoAnswer,
    /// Has its effect; no answer.
    AnswerLost,
    /// An answer with this code.
    Code(u16),
    /// No fault.
    Fine,
}

#[derive(Debug, Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    faults: VecDeque<Fault>,
    /// Once the list is used up.
    standing_fault: Option<Fault>,
    /// Applied right before the next write is looked at.
    rival: Option<Record>,
    calls: Vec<&'static str>,
}

/// Clones are the same Lease.
#[derive(Clone, Debug, Default)]
pub struct FakeLease(Arc<Mutex<State>>);

impl FakeLease {
    /// As if somebody else wrote it.
    pub fn put(&self, record: &Record) {
        self.0.lock().unwrap().store(record);
    }

    pub fn delete(&self) {
        self.0.lock().unwrap().lease = None;
    }

    /// Nobody counts on the Lease; its metadata are these.
    pub fn put_metadata(&self, metadata: ObjectMeta) {
        self.put(&Record::default());
        let mut state = self.0.lock().unwrap();
        let lease = state.lease.take().unwrap_or_default();
        let resource_version = lease.metadata.resource_version;
        state.lease = Some(Lease { metadata: ObjectMeta { resource_version, ..metadata }, ..lease });
    }

    /// The uids of its owners.
    pub fn owners(&self) -> Vec<String> {
        let lease = self.0.lock().unwrap().lease.clone().unwrap_or_default();
        lease.metadata.owner_references.into_iter().flatten().map(|owner| owner.uid).collect()
    }

    pub fn record(&self) -> Record {
        self.0.lock().unwrap().lease.as_ref().map(Record::of).unwrap_or_default()
    }

    /// For the next calls, in order.
    pub fn fail(&self, faults: &[Fault]) {
        self.0.lock().unwrap().faults.extend(faults);
    }

    /// For all calls after those.
    pub fn fail_always(&self, fault: Fault) {
        self.0.lock().unwrap().standing_fault = Some(fault);
    }

    pub fn heal(&self) {
        self.fail_always(Fault::Fine);
    }

    /// Somebody else is a little faster than the next write.
    pub fn rival(&self, record: Record) {
        self.0.lock().unwrap().rival = Some(record);
    }

    /// The calls since this was last asked.
    pub fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap().calls)
    }

    async fn serve<T>(
        &self,
        verb: &'static str,
        limit: Duration,
        act: impl FnOnce(&mut State) -> kube::Result<T> + Send,
    ) -> Result<T, CallError> {
        let answer = async {
            // The way to the server takes time.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let outcome = self.0.lock().unwrap().serve(verb, act);
            match outcome {
                Some(outcome) => outcome,
                None => pending().await,
            }
        };
        call(limit, verb, answer).await
    }
}

impl State {
    fn store(&mut self, record: &Record) {
        let mut lease = self.lease.take().unwrap_or_default();
        record.write_to(&mut lease);
        self.bump(lease);
    }

    fn bump(&mut self, mut lease: Lease) -> Lease {
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }

    fn serve<T>(
        &mut self,
        verb: &'static str,
        act: impl FnOnce(&mut Self) -> kube::Result<T>,
    ) -> Option<kube::Result<T>> {
        self.calls.push(verb);
        if verb != "get"
            && let Some(rival) = self.rival.take()
        {
            self.store(&rival);
        }
        match self.faults.pop_front().or(self.standing_fault).unwrap_or(Fault::Fine) {
            Fault::NoAnswer => None,
            Fault::AnswerLost => {
                let _ = act(self);
                None
            }
            Fault::Code(code) => Some(Err(refusal(code))),
            Fault::Fine => Some(act(self)),
        }
    }
}

fn refusal(code: u16) -> kube::Error {
    kube::Error::Api(Status { code, reason: "Refused".to_owned(), ..Status::default() }.boxed())
}

impl LeaseStore for FakeLease {
    fn describe(&self) -> String {
        "garden/grm".to_owned()
    }

    async fn get(&self, limit: Duration) -> Result<Option<Lease>, CallError> {
        self.serve("get", limit, |state| Ok(state.lease.clone())).await
    }

    async fn create(&self, lease: &Lease, limit: Duration) -> Result<Lease, CallError> {
        let lease = lease.clone();
        let act = |state: &mut State| if state.lease.is_some() { Err(refusal(409)) } else { Ok(state.bump(lease)) };
        self.serve("create", limit, act).await
    }

    async fn replace(&self, lease: &Lease, limit: Duration) -> Result<Lease, CallError> {
        let lease = lease.clone();
        let act = |state: &mut State| {
            let version = |lease: &Lease| lease.metadata.resource_version.clone();
            assert!(version(&lease).is_some(), "a replace without a resourceVersion");
            match &state.lease {
                Some(live) if version(live) == version(&lease) => Ok(state.bump(lease)),
                _ => Err(refusal(409)),
            }
        };
        self.serve("replace", limit, act).await
    }
}
