//! What users may do, and what is told.

use super::{Test, printed};

/// Every replica of the webhook learns by a watch what users may do.
pub async fn may(test: &Test, args: &[&str]) {
    test.eventually(&format!("kubectl {args:?} to pass"), || async {
        let output = test.alice.with(args).await;
        if output.status.success() { Ok(()) } else { Err(printed(&output)) }
    })
    .await;
}

/// Waits until an edit is refused in our words: API server and webhook have heard of the ManagedResource, and of each other.
pub async fn protects(test: &Test, edit: &[&str]) {
    test.eventually("edits to be refused", || async {
        let printed = printed(&test.alice.with(edit).await);
        if printed.contains("is managed by") { Ok(()) } else { Err(printed) }
    })
    .await;
}

/// Waits for an Event with all these parts.
pub async fn reported(test: &Test, reason: &str, parts: &[&str]) {
    test.eventually(&format!("an Event {reason} with {parts:?}"), || async {
        let notes = test.events(reason).await;
        let is_reported = notes.iter().any(|note| parts.iter().all(|part| note.contains(part)));
        if is_reported { Ok(()) } else { Err(format!("{notes:?}")) }
    })
    .await;
}
