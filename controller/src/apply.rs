//! Applying desired objects, wave by wave ([`waves`]).
//!
//! [`object`] makes one object equal to its manifest: it takes over fields of others ([`external_fields`]), releases those that we do
//! not manage ([`release_fields`]), writes plainly what the server refuses to apply ([`merge_patch`]), deletes and creates again what
//! cannot be updated ([`recreate`]), and only creates what asks for no more ([`create_only`]). [`adoption`] looks at what exists
//! before it is taken over for the first time. [`established`] waits for the kinds of new definitions, [`terminating`] looks at
//! objects whose end no watch tells of, and [`pause_label`] labels objects that are paused.

mod adoption;
mod context;
mod create_only;
mod established;
mod events;
mod external_fields;
pub(crate) mod kinds;
mod merge_patch;
mod object;
mod pause_label;
mod recreate;
mod release_fields;
mod repair;
mod terminating;
mod waves;

use std::sync::Arc;

use holdfast_core::{digest::Key, key::NamespacedName};

use crate::{metrics::Metrics, state::ClusterState, status::events::Events, target::Target};
use adoption::Answers;

pub(crate) use waves::Batch;

/// Makes objects equal to their manifests.
pub(crate) struct Applier {
    target: Arc<Target>,
    state: Arc<ClusterState>,
    events: Arc<Events>,
    metrics: Metrics,
    digest_key: Key,
    cluster_id: String,
    /// Of objects that may be taken over.
    answers: Answers,
}

impl Applier {
    /// `cluster_id` is the prefix of origin annotations.
    pub(crate) fn new(
        target: Arc<Target>,
        state: Arc<ClusterState>,
        events: Arc<Events>,
        metrics: Metrics,
        digest_key: Key,
        cluster_id: String,
    ) -> Self {
        Self { target, state, events, metrics, digest_key, cluster_id, answers: Answers::default() }
    }

    /// The ManagedResource is gone.
    pub(crate) fn forget(&self, mr: &NamespacedName) {
        self.answers.forget(mr);
    }
}
