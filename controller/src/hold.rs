//! Making one object equal to its manifest.

use holdfast_core::{
    api::Scope,
    digest::Digest,
    drift::{Observed, State},
    foreign,
    manifest::Desired,
};

use crate::{
    discover::Snapshot,
    execute::{self, ApplyError},
    fallback,
    load::Loaded,
    metrics,
    reconcile::Reconciler,
};

/// How often foreign fields are adopted in one go. More than once only if somebody writes at the same moment.
const ADOPTIONS: usize = 10;

/// What came of taking over foreign fields.
#[derive(PartialEq, Eq)]
enum Adoption {
    /// There are none that could be taken over.
    Nothing,
    /// They are ours now.
    Done,
    /// The object has moved meanwhile: its present state has to be looked at.
    Moved,
}

impl Reconciler {
    /// [`Self::hold_one`] for the object at a position, with the position.
    pub(crate) async fn hold_at(
        &self,
        loaded: &Loaded,
        snapshot: &Snapshot,
        position: usize,
        scope: Scope,
    ) -> (usize, Result<State, ApplyError>) {
        let result = match loaded.desired.get(position) {
            Some(object) => self.hold_one(object, loaded.digest(position), snapshot, scope).await,
            None => Ok(State::InSync),
        };
        (position, result)
    }

    /// Applies one object and, in exact scope, removes what others added. Returns how it stood before, in sync if nothing
    /// had to be written.
    async fn hold_one(
        &self,
        object: &Desired,
        digest: Digest,
        snapshot: &Snapshot,
        scope: Scope,
    ) -> Result<State, ApplyError> {
        let before = self.world.state(&object.key, digest);
        // Before the request, because the watch may be quicker than the answer.
        let version = self.world.live(&object.key).map(|live| live.resource_version);
        // A permit is never refused: the semaphore is not closed.
        let _permit = self.requests.acquire().await;
        if scope == Scope::Exact
            && let Some(known) = self.world.live(&object.key)
        {
            let fields = known.foreign.as_deref().unwrap_or_default();
            // Changes of declared fields are taken back by the apply alone.
            if !foreign::all_declared(fields, &object.key.kind, &object.body) {
                self.adopt(object, snapshot, &known).await?;
            }
        }
        let mut observed = match self.apply_guarded(object, snapshot).await {
            Err(error) if error.calls_for_fallback() => {
                let observed = self.write_plainly(object, snapshot, &error).await?;
                return Ok(self.record(object, digest, observed, before, version.as_deref()));
            }
            result => result?,
        };
        let mut tries = 0;
        while scope == Scope::Exact && self.adopt(object, snapshot, &observed).await? != Adoption::Nothing {
            tries += 1;
            if tries > ADOPTIONS {
                return Err(ApplyError::Contended);
            }
            observed = self.apply_guarded(object, snapshot).await?;
        }
        Ok(self.record(object, digest, observed, before, version.as_deref()))
    }

    /// Takes down what was written. Returns how the object stood before, in sync if the write changed nothing.
    fn record(
        &self,
        object: &Desired,
        digest: Digest,
        observed: Observed,
        before: State,
        version: Option<&str>,
    ) -> State {
        let is_unchanged = version == Some(observed.resource_version.as_str());
        self.world.applied(&object.key, digest, observed);
        if is_unchanged {
            // A change that does not concern us, such as a foreign annotation; now we know.
            return State::InSync;
        }
        let cause = match before {
            State::Drifted => Some("changed"),
            State::Missing => Some("deleted"),
            _ => None,
        };
        if let Some(cause) = cause {
            self.metrics.repairs.get_or_create(&metrics::Cause { cause }).inc();
        }
        before
    }

    /// Writes an object that the server refuses to apply.
    async fn write_plainly(
        &self,
        object: &Desired,
        snapshot: &Snapshot,
        why: &ApplyError,
    ) -> Result<Observed, ApplyError> {
        let Some(info) = snapshot.kinds.get(&object.gvk) else {
            return Err(ApplyError::UnknownKind(object.gvk.clone()));
        };
        let observed = fallback::write(&self.gate, &self.target, &self.digest_key, info, object).await?;
        tracing::warn!(object = %object.key, reason = why.words(&object.key), "the server refuses to apply this manifest; it is written without apply");
        Ok(observed)
    }

    /// Makes foreign fields of the object as it was observed ours.
    async fn adopt(&self, object: &Desired, snapshot: &Snapshot, observed: &Observed) -> Result<Adoption, ApplyError> {
        let (Some(fields), Some(info)) = (&observed.foreign, snapshot.kinds.get(&object.gvk)) else {
            return Ok(Adoption::Nothing);
        };
        let Some(adopted) = foreign::adopted(fields, &object.key.kind) else { return Ok(Adoption::Nothing) };
        tracing::info!(object = %object.key, managers = foreign::managers(fields, &object.key.kind).join(", "), "taking over fields that others wrote");
        let is_done =
            execute::adopt(&self.gate, &self.target, info, object, &adopted, &observed.resource_version).await?;
        Ok(if is_done { Adoption::Done } else { Adoption::Moved })
    }

    /// Applies; guarded by the uid that was last seen, so that an object that was deleted meanwhile is created anew as a
    /// decision, and not by an update that comes too late.
    async fn apply_guarded(&self, object: &Desired, snapshot: &Snapshot) -> Result<Observed, ApplyError> {
        let info = snapshot.kinds.get(&object.gvk);
        let uid = self.world.uid(&object.key);
        let is_guarded = uid.is_some();
        match execute::apply(&self.gate, &self.target, &self.digest_key, info, object, uid).await {
            Err(error) if is_guarded && error.is_uid_conflict() => {
                self.world.forget(&object.key);
                execute::apply(&self.gate, &self.target, &self.digest_key, info, object, None).await
            }
            result => result,
        }
    }
}
