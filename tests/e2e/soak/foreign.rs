//! What alice does to objects.
use holdfast_core::key::ObjectKey;
use holdfast_core::names;
use serde_json::{Value, json};

use super::kinds::Kind;
use super::model::{Declared, Expected, Presence, Rule};
use super::stage::Soak;

const MERGE: &str = "application/merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

#[derive(Debug, Clone, Copy)]
pub enum Deed {
    Edit,
    Apply,
    Delete,
    StripLabels,
    StripOwnership,
    ForgetManagers,
    Label,
    Own,
    Keep,
    Scale,
}

pub const DEEDS: [(usize, Deed); 10] = [
    (40, Deed::Edit),
    (10, Deed::Apply),
    (16, Deed::Delete),
    (6, Deed::StripLabels),
    (5, Deed::StripOwnership),
    (6, Deed::ForgetManagers),
    (8, Deed::Label),
    (3, Deed::Own),
    (3, Deed::Keep),
    (6, Deed::Scale),
];

/// Whose an object is at the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stake {
    /// Changes are undone.
    Ours(Declared),
    /// It is to be there, and hers to change.
    There(bool),
    /// Nobody's, for the time being.
    Nobodys,
}

impl Soak {
    /// Does it to an object that is fit for it; none if it is not.
    pub async fn deed(&mut self, deed: Deed) -> Option<()> {
        let is_rare = |key: &ObjectKey| matches!(Kind::of(key), Kind::Deployment);
        let wants_rare = matches!(deed, Deed::Scale);
        let mut keys: Vec<ObjectKey> = self
            .model
            .things
            .iter()
            .filter(|(_, thing)| thing.remaining != Presence::No)
            .map(|(key, _)| key.clone())
            .collect();
        keys.retain(|key| !Kind::of(key).is_ground() && (!wants_rare || is_rare(key)));
        let key = self.dice.of(&keys).cloned()?;
        let stake = self.stake(&key);
        match (deed, stake) {
            (Deed::Edit, Stake::Ours(_)) => self.change(&key).await,
            (Deed::Edit | Deed::Apply, Stake::There(_) | Stake::Nobodys) => self.edit_for_good(&key).await,
            (Deed::Apply, Stake::Ours(_)) => self.apply(&key).await,
            (Deed::Delete, _) => self.delete_object(&key, stake).await,
            (Deed::StripLabels, Stake::Ours(_)) => {
                let patch = json!({"metadata": {"labels": null}});
                self.model.thing(&key).label = None;
                self.patch(&key, &patch, "takes all labels off").await;
            }
            (Deed::StripOwnership, Stake::Ours(_)) => {
                let label = json!({"metadata": {"labels": {names::LABEL_PROTECTION: null}}});
                let origin = json!({"metadata": {"annotations": {names::ANNOTATION_ORIGIN: null}}});
                let patch = if self.dice.percent(60) { label } else { origin };
                self.patch(&key, &patch, "takes a mark off").await;
            }
            (Deed::ForgetManagers, Stake::Ours(_)) => {
                self.patch(&key, &json!({"metadata": {"managedFields": [{}]}}), "clears managedFields").await;
            }
            (Deed::Label, Stake::Ours(_) | Stake::Nobodys) => self.label(&key).await,
            (Deed::Own, Stake::Ours(_)) => self.own_falsely(&key).await,
            (Deed::Keep, Stake::Ours(declared)) => self.keep(&key, declared).await,
            (Deed::Scale, Stake::Ours(declared)) => self.scale(&key, declared).await,
            _ => return None,
        }
        Some(())
    }

    fn stake(&self, key: &ObjectKey) -> Stake {
        match self.model.expected(key) {
            Expected::Applied(_, declared) => Stake::Ours(declared),
            Expected::Ensured(_) => Stake::There(true),
            _ => {
                let managed = self.model.holder(key).filter(|mr| !mr.is_paused);
                let is_desired = managed.is_some_and(|mr| mr.desired().any(|(desired, _)| desired == key));
                if is_desired { Stake::There(false) } else { Stake::Nobodys }
            }
        }
    }

    async fn patch(&mut self, key: &ObjectKey, patch: &Value, what: &str) -> Value {
        self.send(key, MERGE, "fieldManager=alice", patch, what).await
    }

    /// Whatever the server says to it, the object may be on its way out.
    async fn send(&mut self, key: &ObjectKey, kind: &str, query: &str, body: &Value, what: &str) -> Value {
        let answer = self.ask("PATCH", kind, &format!("{}?{query}", Kind::path_of(key)), Some(body)).await;
        let (act, outcome) = (
            self.acts,
            match &answer {
                Ok(Value::Null) => ", which is not there",
                Ok(_) => "",
                Err(_) => ", which is refused",
            },
        );
        self.model.thing(key).describe(format!("#{act} alice {what}{outcome}"));
        answer.unwrap_or_default()
    }

    async fn change(&mut self, key: &ObjectKey) {
        let Some(edit) = self.dice.of(&Kind::of(key).edits()).cloned() else { return };
        self.is_hers(key, &edit);
        self.patch(key, &edit, "changes it").await;
    }

    /// Replicas, where they are left alone, are hers from now on.
    fn is_hers(&mut self, key: &ObjectKey, edit: &Value) {
        if edit.to_string().contains("replicas") {
            self.model.thing(key).replicas = None;
        }
    }

    /// What is not undone has to stay.
    async fn edit_for_good(&mut self, key: &ObjectKey) {
        if Kind::of(key) != Kind::ConfigMap {
            return;
        }
        let value = format!("alice-{}", self.acts);
        let answer = self.patch(key, &json!({"data": {"alice": value}}), "changes it for good").await;
        let thing = self.model.thing(key);
        if thing.uid.is_some() && !thing.is_fresh && !answer.is_null() {
            thing.edit = Some(value);
        }
    }

    /// As another field manager, of the very object that she has seen.
    async fn apply(&mut self, key: &ObjectKey) {
        let kind = Kind::of(key);
        let Some(uid) = self.model.thing(key).uid.clone() else { return };
        let Some(mut body) = self.dice.of(&kind.edits()).cloned().filter(|edit| !edit.to_string().contains("null"))
        else {
            return;
        };
        self.is_hers(key, &body);
        body["apiVersion"] = kind.api_version().into();
        body["kind"] = kind.name().into();
        body["metadata"] = json!({"name": key.name(), "uid": uid});
        self.send(key, APPLY, "fieldManager=kubectl&force=true", &body, "applies over it").await;
    }

    async fn delete_object(&mut self, key: &ObjectKey, stake: Stake) {
        let act = self.acts;
        let thing = self.model.thing(key);
        thing.describe(format!("#{act} alice deletes it"));
        thing.renew();
        thing.is_deleted = true;
        thing.is_retained = matches!(stake, Stake::Ours(Declared { rule: Rule::Retained, .. }));
        thing.remaining = match stake {
            Stake::Ours(_) | Stake::There(true) => Presence::Yes,
            Stake::Nobodys if !thing.is_fresh => Presence::No,
            Stake::There(false) | Stake::Nobodys => Presence::Either,
        };
        self.delete(&Kind::path_of(key)).await;
    }

    /// A label of hers stays, unless labels are forced.
    async fn label(&mut self, key: &ObjectKey) {
        let value = format!("v{}", self.acts);
        let answer = self.patch(key, &json!({"metadata": {"labels": {"alice": value}}}), "labels it").await;
        let is_forced = self.model.mrs.values().any(|mr| mr.forces_labels && mr.keys().contains(key));
        let thing = self.model.thing(key);
        let stays = !is_forced && thing.uid.is_some() && !thing.is_fresh && !answer.is_null();
        thing.label = stays.then_some(value);
    }

    /// An owner that there is not: the garbage collector deletes the object at once.
    async fn own_falsely(&mut self, key: &ObjectKey) {
        self.model.thing(key).renew();
        self.model.thing(key).is_deleted = true;
        let owner = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "00000000-0000-0000-0000-000000000001",
        });
        self.patch(key, &json!({"metadata": {"ownerReferences": [owner]}}), "gives it an owner").await;
    }

    /// Alice wants it to live on.
    async fn keep(&mut self, key: &ObjectKey, declared: Declared) {
        let is_alone = key.namespace() != self.inner_place();
        let is_simple = Kind::of(key) == Kind::ConfigMap && declared.rule == Rule::Plain && is_alone;
        let thing = self.model.thing(key);
        if !is_simple || thing.is_fresh || thing.uid.is_none() {
            return;
        }
        let patch = json!({"metadata": {"annotations": {names::ANNOTATION_KEEP_OBJECT: "true"}}});
        let answer = self.patch(key, &patch, "wants it kept").await;
        if !answer.is_null() {
            self.model.thing(key).is_retained = true;
        }
    }

    async fn scale(&mut self, key: &ObjectKey, declared: Declared) {
        let replicas = self.dice.throw(3) as u64;
        let path = format!("{}/scale?fieldManager=alice", Kind::path_of(key));
        let done = self.ask("PATCH", MERGE, &path, Some(&json!({"spec": {"replicas": replicas}}))).await;
        let act = self.acts;
        let thing = self.model.thing(key);
        thing.describe(format!("#{act} alice scales it to {replicas}"));
        let is_certain = thing.uid.is_some() && !thing.is_fresh && done.is_ok_and(|answer| !answer.is_null());
        if declared.rule == Rule::Preserved {
            thing.replicas = is_certain.then_some(replicas);
        }
    }
}
