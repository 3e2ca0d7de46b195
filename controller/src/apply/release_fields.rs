//! Fields that are left to others once they are there: not applied again, and released where they are ours.
//!
//! An apply that leaves out a field which nobody but us owns removes it. So ownership is given away first, or right after a
//! creation; the value is never read and sent back, so nothing races (design §4).

use holdfast_core::{
    field_ownership::preserve::Preserve,
    inventory::drift::{Observed, State},
};
use holdfast_runtime::api::Api;
use serde_json::Value;

use super::object::Task;
use crate::{
    reconcile::Reconciler,
    target::{
        client::{self, ApplyError},
        partial_object::{Metadata, api},
        payload::{Content, Cut},
    },
};

/// How often an object is looked at that moves while its fields are being released.
const TRIES: usize = 10;

impl Reconciler {
    /// The manifest without what is left alone and there. What of it is ours is released before.
    pub(crate) async fn cut<'a>(
        &self,
        task: Task<'a>,
        before: State,
        known: Option<&Observed>,
    ) -> Result<Cut<'a>, ApplyError> {
        let (object, left) = (task.object, task.left_of(before));
        let whole = |uid| Cut { content: Content::Whole(task.body.body()), uid };
        let part = |value, uid| Cut { content: Content::Part(value), uid };
        let is_ignored = !task.reach.ignored.is_none();
        let is_nothing = object.preserve == Preserve::of_kind(&object.key) || self.world.has_released(object);
        if task.leaves_nothing() || is_nothing && !left.is_declared() {
            return Ok(whole(self.world.uid(&object.key)));
        }
        if before == State::InSync && !is_ignored {
            // As it was applied the last time.
            return Ok(part(left.stripped(&[]), self.world.uid(&object.key)));
        }
        let mut seen = known.filter(|known| !known.deleting).cloned();
        for _ in 0..TRIES {
            let live = match seen.take() {
                Some(live) => live,
                None => match self.look(task).await? {
                    Some(live) => live,
                    None => return Ok(whole(None)),
                },
            };
            let uid = Some(live.uid.clone());
            let Some(released) = left.released(&live.managed_fields) else {
                return Ok(part(left.missing(&live.managed_fields), uid));
            };
            if self.give(task, &released, &live).await?.is_some() {
                return Ok(part(left.missing(&released), uid));
            }
        }
        Err(ApplyError::Contended)
    }

    /// Releases what an apply has just made ours.
    pub(crate) async fn release_fields(&self, task: Task<'_>, mut observed: Observed) -> Result<Observed, ApplyError> {
        if task.leaves_nothing() {
            return Ok(observed);
        }
        for _ in 0..TRIES {
            let Some(released) = task.left().released(&observed.managed_fields) else { return Ok(observed) };
            if let Some(given) = self.give(task, &released, &observed).await? {
                return Ok(given);
            }
            // Gone again: the watch tells.
            let Some(moved) = self.look(task).await? else { return Ok(observed) };
            observed = moved;
        }
        Err(ApplyError::Contended)
    }

    /// Puts `managedFields` in place. `None` if the object has moved meanwhile.
    async fn give(
        &self,
        task: Task<'_>,
        managed_fields: &[Value],
        live: &Observed,
    ) -> Result<Option<Observed>, ApplyError> {
        let (object, info) = (task.object, task.info()?);
        tracing::debug!(object = %object.key, "leaving fields to others");
        let answer =
            client::adopt(&self.gate, &self.target, info, object, managed_fields, &live.resource_version).await?;
        Ok(answer.map(|metadata| self.observed(task, metadata)))
    }

    /// The live object; `None` if there is none.
    async fn look(&self, task: Task<'_>) -> Result<Option<Observed>, ApplyError> {
        let (object, info) = (task.object, task.info()?);
        let api: Api<Metadata> = api(&self.target, &object.gvk, &info.plural, object.key.namespace());
        match self.gate.call("get", api.get(object.key.name())).await {
            Ok(live) => Ok(Some(self.observed(task, live.metadata))),
            Err(error) if error.is_not_found() && !error.is_not_served() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
