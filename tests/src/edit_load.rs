//! Edits of a managed ConfigMap all the time, and what became of each.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Request;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

/// 50 edits a second.
const INTERVAL: Duration = Duration::from_millis(20);

/// Edits that go on until the end.
#[derive(Debug)]
pub struct EditLoad {
    tally: Arc<Mutex<Tally>>,
    sending: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// What became of the edits.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many were refused in our words.
    pub refused: usize,
    /// How many of these by the admission policy, which is asked before the webhook.
    pub by_policy: usize,
    /// When those were sent and answered that passed.
    pub passed: Vec<(Instant, Instant)>,
    /// How many were refused because no webhook answered.
    pub unanswered: usize,
    /// Other answers.
    pub failed: Vec<String>,
    /// The longest time until an answer.
    pub slowest: Duration,
}

impl EditLoad {
    /// From now on, 50 merge patches a second of what is at this path, whether or not the earlier ones have been answered.
    pub fn start(client: Client, path: &str) -> Self {
        let tally = Arc::<Mutex<Tally>>::default();
        let (stop, mut stopped) = oneshot::channel();
        let (path, counted) = (path.to_owned(), Arc::clone(&tally));
        let sending = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            let mut open = JoinSet::new();
            for turn in 0_usize.. {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = &mut stopped => break,
                }
                let (client, path, tally) = (client.clone(), path.clone(), Arc::clone(&counted));
                open.spawn(async move {
                    let sent = Instant::now();
                    let answer = edit(&client, &path, turn).await;
                    tally.lock().unwrap_or_else(PoisonError::into_inner).count(sent, answer);
                });
                while open.try_join_next().is_some() {}
            }
            while open.join_next().await.is_some() {}
        });
        Self { tally, sending, stop }
    }

    /// What has become of them until now.
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends, and returns what has become of all.
    ///
    /// # Errors
    /// An edit neither passed nor was refused, or sending them has failed.
    pub async fn end(self) -> Result<Tally> {
        // An error says that it has ended already.
        let _ = self.stop.send(());
        self.sending.await.context("send edits")?;
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match tally.failed.first() {
            Some(first) => bail!("{} edits failed otherwise, such as: {first}", tally.failed.len()),
            None => Ok(tally),
        }
    }
}

async fn edit(client: &Client, path: &str, turn: usize) -> kube::Result<Value> {
    let body = json!({"data": {"k": format!("edit-{turn}")}}).to_string().into_bytes();
    let request = Request::patch(path).header("Content-Type", "application/merge-patch+json").body(body);
    client.request(request.map_err(kube::Error::HttpError)?).await
}

impl Tally {
    fn count(&mut self, sent: Instant, answer: kube::Result<Value>) {
        let answered = Instant::now();
        self.slowest = self.slowest.max(answered - sent);
        match answer {
            Ok(_) => self.passed.push((sent, answered)),
            Err(kube::Error::Api(status)) if status.message.contains("is managed by ManagedResource") => {
                self.refused += 1;
                self.by_policy += usize::from(status.message.contains("ValidatingAdmissionPolicy"));
            }
            Err(kube::Error::Api(status)) if status.message.contains("failed calling webhook") => self.unanswered += 1,
            Err(error) => self.failed.push(error.to_string()),
        }
    }

    /// Whether all were refused in our words, and more than so many, without which it was no load.
    pub fn are_all_refused(&self, more_than: usize) -> bool {
        self.passed.is_empty() && self.unanswered == 0 && self.failed.is_empty() && self.refused > more_than
    }

    /// In words, for a report.
    #[must_use]
    pub fn described(&self) -> String {
        let unanswered = if self.unanswered == 0 { String::new() } else { format!(", {} unanswered", self.unanswered) };
        format!("{} refused, {} passed{unanswered}", self.refused, self.passed.len())
    }
}
