//! What users may do, and what is told.

use super::{Test, said};

/// Every replica of the webhook learns by a watch what users may do.
pub async fn may(test: &Test, args: &[&str]) {
    test.eventually(&format!("kubectl {args:?} to pass"), || async {
        let output = test.alice.with(args).await;
        if output.status.success() { Ok(()) } else { Err(said(&output)) }
    })
    .await;
}

/// Waits until an edit is refused in our words: API server and webhook have heard of the ManagedResource, and of each other.
pub async fn protects(test: &Test, edit: &[&str]) {
    test.eventually("edits to be refused", || async {
        let said = said(&test.alice.with(edit).await);
        if said.contains("is managed by") { Ok(()) } else { Err(said) }
    })
    .await;
}

/// Waits for an Event with all these parts.
pub async fn told(test: &Test, reason: &str, parts: &[&str]) {
    test.eventually(&format!("an Event {reason} with {parts:?}"), || async {
        let notes = test.events(reason).await;
        let is_told = notes.iter().any(|note| parts.iter().all(|part| note.contains(part)));
        if is_told { Ok(()) } else { Err(format!("{notes:?}")) }
    })
    .await;
}
