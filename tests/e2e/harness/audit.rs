//! What the controller wrote, from the API server's audit log.
use std::time::{Duration, Instant};

use holdfast_e2e::audit::{AuditLog, Request};

use super::{LIMIT, SYSTEM, Test};

/// Resources in which the controller keeps its books; they are no targets.
const BOOKS: [&str; 2] = ["managedresources", "events"];

/// Reads on from a moment.
pub struct Writes {
    log: AuditLog,
    ns: String,
    user: String,
}

impl Test {
    /// What the controller writes to targets of this test from now on.
    pub fn writes(&self) -> Writes {
        let log = AuditLog::from_now(&self.cluster.control_plane.audit_log()).expect("open the audit log");
        Writes { log, ns: self.ns.clone(), user: format!("system:serviceaccount:{SYSTEM}:holdfast-controller") }
    }
}

impl Writes {
    /// Writes since the last call, successful or not: in the test's namespace, or to cluster-wide objects with its name in
    /// theirs.
    pub fn more(&mut self) -> Vec<Request> {
        let mut requests = self.log.read_of(&self.user).expect("read the audit log");
        requests.retain(|request| {
            let is_of_test = request.namespace.contains(&self.ns) || request.name.contains(&self.ns);
            is_of_test && request.is_write() && !BOOKS.contains(&request.resource.as_str())
        });
        requests
    }

    /// Waits until there are so many of them since the last call, and returns them.
    pub async fn at_least(&mut self, count: usize) -> Vec<Request> {
        let mut requests = self.more();
        let deadline = Instant::now() + LIMIT;
        while requests.len() < count {
            assert!(Instant::now() < deadline, "waited for {count} writes: {requests:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            requests.extend(self.more());
        }
        requests
    }
}
