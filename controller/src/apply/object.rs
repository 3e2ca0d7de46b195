//! Making one object equal to its manifest.

use std::sync::Arc;

use holdfast_core::{
    api::Scope,
    digest::Digest,
    field_ownership::{
        Reach, adoption_policy,
        foreign::{Change, Foreign},
        preserve::Left,
    },
    field_set,
    inventory::drift::{Applied, Observed, State},
    key::NamespacedName,
    manifest::{Desired, body::Opened, discovery::ApiInfo},
};
use holdfast_runtime::traffic::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::{kinds::manageable, merge_patch};
use crate::{
    desired::Loaded,
    metrics,
    reconcile::Reconciler,
    state::Written,
    target::{
        client::{self, ApplyError},
        discovery::Snapshot,
        payload::Cut,
        slots::unanswered,
    },
};

/// How often foreign fields are adopted in one go. More than once only if somebody writes at the same moment, or through
/// several versions.
const ADOPTIONS: usize = 10;

/// What holding an object came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Others had changed or deleted it.
    pub(crate) repaired: Option<Change>,
    /// It was repaired so often that this is a fight.
    pub(crate) is_fight: bool,
    /// Who had written the object before we took it over.
    pub(crate) adopted: Vec<String>,
    /// The server's words, when it had to be written without apply for the first time.
    pub(crate) fallback: Option<String>,
    /// The server's words, when it was deleted and created again because an update was invalid.
    pub(crate) replaced: Option<String>,
}

/// What came of taking over foreign fields.
#[derive(PartialEq, Eq)]
enum Adoption {
    /// There are none that could be taken over.
    Nothing,
    /// They are ours now, or the object has moved meanwhile and has to be looked at again.
    Tried,
}

/// One object to be held.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) mr: &'a NamespacedName,
    pub(crate) object: &'a Desired,
    /// Its manifest.
    pub(crate) body: &'a Opened<'a>,
    pub(crate) digest: Digest,
    pub(crate) snapshot: &'a Snapshot,
    /// What of it is held.
    pub(crate) reach: &'a Reach,
    /// The inventory did not have it before.
    pub(crate) is_fresh: bool,
}

impl<'a> Task<'a> {
    /// What others wrote that is not left to them.
    fn foreign<'b>(&self, managed_fields: &'b [Value]) -> Foreign<'b>
    where
        'a: 'b,
    {
        Foreign::new(managed_fields, self.object.key.kind(), self.reach).leaving(self.left())
    }

    /// The same, when the object stands like this.
    pub(crate) fn left_of(&self, state: State) -> Left<'a> {
        self.left().settled(matches!(state, State::InSync | State::Drifted))
    }

    /// How its kind is served.
    pub(crate) fn info(&self) -> Result<&'a ApiInfo, ApplyError> {
        manageable(&self.object.gvk, &self.snapshot.kinds)
    }

    /// What is left to others.
    pub(crate) fn left(&self) -> Left<'a> {
        if self.leaves_nothing() {
            // The manifest would make no difference.
            return Left::new(self.object.key.kind(), self.object.preserve);
        }
        self.object.left(self.body.value()).ignoring(&self.reach.ignored)
    }

    /// Whether all of the object is held.
    pub(crate) fn leaves_nothing(&self) -> bool {
        self.object.preserve.is_none() && self.reach.ignored.is_none()
    }
}

impl Reconciler {
    /// [`Self::hold_one`] for the object at a position, with the position. Waits no longer than its resource deserves.
    pub(crate) async fn hold_at(
        &self,
        mr: (&Arc<NamespacedName>, &Reach),
        loaded: &Loaded,
        snapshot: &Snapshot,
        position: usize,
        is_fresh: bool,
    ) -> (usize, Result<Held, ApplyError>) {
        let (mr, reach) = mr;
        let Some(object) = loaded.desired.get(position) else { return (position, Ok(Held::default())) };
        if !self.world.may_write(mr, &object.key) {
            return (position, Ok(Held::default()));
        }
        let info = match manageable(&object.gvk, &snapshot.kinds) {
            Ok(info) => info,
            Err(obstacle) => return (position, Err(obstacle)),
        };
        self.world.owe_one(&object.key);
        let Some(this) = self.this.upgrade() else { return (position, Ok(Held::default())) };
        let resource = Resource::new(&object.gvk.group, &info.plural);
        let (owner, snapshot, reach) = (Arc::clone(mr), snapshot.clone(), reach.of_object(&object.key));
        let (desired, digest, asked) = (Arc::clone(object), loaded.digest(position), resource.clone());
        let work = async move {
            let (body, object) = (&Opened::new(&desired.body), &*desired);
            let task = Task { mr: &owner, object, body, digest, snapshot: &snapshot, reach: &reach, is_fresh };
            let held = this.in_turn(&asked, ApplyError::call, || async {
                // The pass that began this may be over for long, and each attempt begins later.
                if !this.world.may_write(&owner, &object.key) {
                    return Ok(Held::default());
                }
                let _writing = this.world.writing(&object.key);
                this.hold_one(task).await
            });
            Box::pin(held).await
        };
        let (owner, desired) = (Arc::clone(mr), Arc::clone(object));
        let late = move |this: &Self, held| this.tell_late(&owner, &desired, held);
        let held = self.patiently(mr, &object.key, &resource, Box::pin(work), late).await;
        let held = held.unwrap_or_else(|mut hold| {
            hold.is_brief |= self.background.is_under_way(&object.key);
            Err(unanswered("apply", hold).into())
        });
        if held.is_err() {
            self.waits_for(mr, &resource);
        }
        (position, held)
    }

    /// Does for one object what its manifest asks for.
    async fn hold_one(&self, task: Task<'_>) -> Result<Held, ApplyError> {
        self.world.leave(task.object);
        if !task.object.handling.is_held() {
            return self.ensure(task).await;
        }
        match self.make_equal(task).await {
            Err(error) if error.is_invalid() => self.replace(task, error).await,
            result => result,
        }
    }

    /// Applies one object and removes what others added.
    pub(crate) async fn make_equal(&self, task: Task<'_>) -> Result<Held, ApplyError> {
        let Task { object, digest, .. } = task;
        let before = self.world.state(&object.key, digest);
        // Before the request, because the watch may be quicker than the answer.
        let known = self.world.live(&object.key);
        if object.heeds_autoscalers() && !self.is_scaled_as_known(task)? {
            return Ok(Held::default());
        }
        if let Some(known) = &known {
            let foreign = task.foreign(&known.managed_fields);
            // Changes of declared fields are taken back by the apply alone.
            if !foreign.is_empty() && !foreign.is_declared(task.body.value()) {
                self.adopt(task, known).await?;
            }
        }
        let mut held = Held::default();
        let mut cut = self.cut(task, before, known.as_ref()).await?;
        let mut observed = match self.apply_guarded(task, &mut cut).await {
            Err(error) if error.calls_for_fallback() => {
                let observed = self.write_plainly(task, before, &error, &mut held).await?;
                self.record(task, observed, before, known.as_ref(), &mut held);
                return Ok(held);
            }
            result => result?,
        };
        self.world.set_fallback(&object.key, false);
        if task.is_fresh {
            let managers = adoption_policy::managers(&observed.managed_fields);
            held.adopted = managers.into_iter().map(str::to_owned).collect();
        }
        let mut tries = 0;
        while self.take_over(task, &observed).await? == Adoption::Tried {
            tries += 1;
            if tries > ADOPTIONS {
                return Err(ApplyError::Contended);
            }
            observed = self.apply_guarded(task, &mut cut).await?;
        }
        let observed = self.release_fields(task, observed).await?;
        self.record(task, observed, before, known.as_ref(), &mut held);
        Ok(held)
    }

    /// Takes down what was written, and what it put right.
    fn record(&self, task: Task<'_>, observed: Observed, before: State, known: Option<&Observed>, held: &mut Held) {
        let Task { object, digest, .. } = task;
        let is_unchanged = known.is_some_and(|known| observed.is_same_as(known));
        let generation = (self.world.written_generation(&object.key), observed.generation);
        // Others may change it, and have done so several times: so this is not what we had heard of.
        let is_allowed = task.reach.scope == Scope::Declared || !task.reach.ignored.is_none();
        let own = field_set::own_entry_of(&observed.managed_fields);
        let is_entry_of = |known: &Observed| field_set::own_entry_of(&known.managed_fields) == own;
        let is_untouched = is_allowed && own.is_some() && known.is_some_and(is_entry_of);
        let applied = Applied { manifest: digest, handling: object.handling, observed };
        let Written { waited, is_changed_again } = self.world.applied(task.mr, &object.key, applied);
        if is_changed_again {
            self.queue.add(task.mr.clone());
        }
        // Unchanged: a change that does not concern us, such as a foreign annotation; now we know.
        if is_unchanged || !matches!(before, State::Drifted | State::Missing) {
            return;
        }
        let change = match known {
            Some(known) if before == State::Drifted => {
                let left = task.left_of(before).of(task.body.value());
                task.foreign(&known.managed_fields).change(&left.stripped(&known.managed_fields))
            }
            _ => Change::default(),
        };
        if is_untouched && before == State::Drifted && change == Change::default() {
            return;
        }
        let is_content_the_same = matches!(generation, (Some(written), Some(now)) if written == now);
        let is_metadata = change.paths.is_empty() || change.paths.iter().any(|path| path.starts_with("metadata"));
        let cause = match before {
            State::Missing => "deleted",
            _ if is_content_the_same && !is_metadata => "tidied",
            _ => "changed",
        };
        if before == State::Drifted && change == Change::default() && known.is_some_and(Observed::is_marked_paused) {
            // Nobody but us.
            return;
        }
        let kind = kind_label(object);
        self.metrics.repairs.get_or_create(&metrics::Repair { kind, cause }).inc();
        if cause == "tidied" {
            return;
        }
        if let Some(waited) = waited {
            self.metrics.repair_seconds.observe(waited.as_secs_f64());
        }
        held.is_fight = self.world.repaired(&object.key, &change.managers);
        if held.is_fight {
            self.metrics.fight(&change.managers);
        }
        held.repaired = Some(change);
    }

    /// Writes an object that the server refuses to apply.
    async fn write_plainly(
        &self,
        task: Task<'_>,
        before: State,
        why: &ApplyError,
        held: &mut Held,
    ) -> Result<Observed, ApplyError> {
        let (object, left) = (task.object, task.left_of(before));
        let metadata = merge_patch::write(&self.gate, &self.target, task.info()?, object, task.reach, left).await?;
        self.metrics.fallbacks.inc();
        if self.world.set_fallback(&object.key, true) {
            held.fallback = Some(why.words(&object.key));
        }
        Ok(self.observed(task, metadata))
    }

    /// Makes foreign fields of the object as it was observed ours; those written through another version are removed.
    async fn take_over(&self, task: Task<'_>, observed: &Observed) -> Result<Adoption, ApplyError> {
        if self.adopt(task, observed).await? == Adoption::Tried {
            return Ok(Adoption::Tried);
        }
        let object = task.object;
        let foreign = task.foreign(&observed.managed_fields);
        let Some(elsewhere) = foreign.elsewhere() else { return Ok(Adoption::Nothing) };
        let gvk = holdfast_core::key::Gvk::new(&elsewhere.api_version, &object.gvk.kind);
        // A version that is not served any more: nobody writes through it, and neither can we.
        let Some(info) = task.snapshot.kinds.get(&gvk) else { return Ok(Adoption::Nothing) };
        tracing::info!(object = %object.key, version = elsewhere.api_version, managers = foreign.managers().join(", "), "removing fields that others wrote through another version");
        let version = &observed.resource_version;
        if client::adopt(&self.gate, &self.target, info, object, &elsewhere.managed_fields, version).await?.is_some() {
            client::remove_fields(&self.gate, &self.target, info, &gvk, &object.key).await?;
        }
        Ok(Adoption::Tried)
    }

    /// Makes foreign fields of the object as it was observed ours.
    async fn adopt(&self, task: Task<'_>, observed: &Observed) -> Result<Adoption, ApplyError> {
        let Task { object, snapshot, .. } = task;
        let Some(info) = snapshot.kinds.get(&object.gvk) else { return Ok(Adoption::Nothing) };
        let foreign = task.foreign(&observed.managed_fields);
        let Some(adopted) = foreign.adopted() else { return Ok(Adoption::Nothing) };
        tracing::info!(object = %object.key, managers = foreign.managers().join(", "), "taking over fields that others wrote");
        client::adopt(&self.gate, &self.target, info, object, &adopted, &observed.resource_version).await?;
        Ok(Adoption::Tried)
    }

    /// Applies; guarded by the uid that was last seen, so that an object that was deleted meanwhile is created anew as a
    /// decision, and not by an update that comes too late.
    async fn apply_guarded<'a>(&self, task: Task<'a>, cut: &mut Cut<'a>) -> Result<Observed, ApplyError> {
        let (object, info) = (task.object, task.info()?);
        let metadata = match client::apply(&self.gate, &self.target, info, object, cut).await {
            Err(error) if cut.uid.is_some() && error.is_uid_conflict() => {
                self.world.unguard(&object.key);
                *cut = self.cut(task, State::Missing, None).await?;
                client::apply(&self.gate, &self.target, info, object, cut).await?
            }
            result => result?,
        };
        Ok(self.observed(task, metadata))
    }

    /// What an answer says of the object.
    pub(crate) fn observed(&self, task: Task<'_>, metadata: ObjectMeta) -> Observed {
        let Desired { key, preserve, .. } = task.object;
        Observed::of(metadata, key.kind(), *preserve, task.reach, &self.digest_key)
    }

    /// Whether the object was made with what is known of autoscalers now. If not, it is made anew.
    fn is_scaled_as_known(&self, task: Task<'_>) -> Result<bool, ApplyError> {
        let Task { mr, object, .. } = task;
        let is_scaled = self.world.is_autoscaled(&object.key);
        let is_scaled = is_scaled.ok_or_else(|| ApplyError::Autoscalers(self.targets.autoscalers.why()))?;
        let is_same = is_scaled == object.is_autoscaled();
        if !is_same {
            self.queue.add(mr.clone());
        }
        Ok(is_same)
    }
}

/// A kind in a metric's label, such as `Deployment.apps`.
pub(crate) fn kind_label(object: &Desired) -> String {
    object.key.group_kind().to_string()
}
