//! What came through the proxy.
use std::collections::BTreeMap;
use std::time::Instant;

use http::Method;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// Without the query.
    pub path: String,
    /// Empty if there is none.
    pub query: String,
    /// When it was read.
    pub received: Instant,
}

impl Request {
    pub(super) fn of(parts: &http::request::Parts) -> Self {
        Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            received: Instant::now(),
        }
    }

    /// Whether the method may change something.
    pub fn is_write(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method)
    }

    /// Whether the answer is a stream of events.
    pub fn is_watch(&self) -> bool {
        self.query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
    }

    /// Whether it is about an Event, which no work depends on.
    pub fn is_about_events(&self) -> bool {
        self.path.contains("/events")
    }
}

/// A request and what became of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The request.
    pub request: Request,
    /// Whether a rule selected it.
    pub is_faulty: bool,
    /// When it was over for the proxy; for a watch, when it began. `None` while it is under way.
    pub ended: Option<Instant>,
    /// The status that the client was told; `None` if it was told nothing.
    pub code: Option<u16>,
}

/// All requests, by number.
#[derive(Debug, Default)]
pub(super) struct Record {
    next: u64,
    entries: BTreeMap<u64, Entry>,
    open: BTreeMap<u64, String>,
}

impl Record {
    pub(super) fn begin(&mut self, request: Request, is_faulty: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        if !request.is_watch() {
            self.open.insert(number, format!("{} {}", request.method, request.path));
        }
        self.entries.insert(number, Entry { request, is_faulty, ended: None, code: None });
        number
    }

    /// It was answered with this code, or with nothing.
    pub(super) fn end(&mut self, number: u64, code: Option<u16>) {
        self.open.remove(&number);
        if let Some(entry) = self.entries.get_mut(&number) {
            (entry.ended, entry.code) = (Some(Instant::now()), code);
        }
    }

    /// It waits for nothing but its client's patience.
    pub(super) fn hangs(&mut self, number: u64) {
        self.open.remove(&number);
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.values().cloned().collect()
    }

    /// Requests under way that are no watches.
    pub(super) fn open(&self) -> Vec<String> {
        self.open.values().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
