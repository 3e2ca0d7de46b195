//! Quiet moments: everything is as the model says, and nobody writes.
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use holdfast_core::api::ManagedResource;
use holdfast_core::key::ObjectKey;
use holdfast_core::names;
use holdfast_e2e::audit::{AuditLog, Request};
use serde_json::Value;

use super::kinds::Kind;
use super::model::{Declared, Expected, Health, Model, Mr, Presence, Rule, Thing, Touch};
use super::stage::Soak;

/// For everything to settle. Fights are given half a minute between two repairs.
const LIMIT: Duration = Duration::from_secs(150);
/// After which it is told what everybody waits for.
const PATIENCE: Duration = Duration::from_secs(15);
/// Nothing is written for so long; observations are written down after two seconds.
const IDLE: Duration = Duration::from_secs(4);
/// Until that is so.
const UNREST: Duration = Duration::from_secs(90);
/// Problems that are shown.
const SHOWN: usize = 10;

/// What there is in the cluster.
pub struct Live {
    objects: BTreeMap<ObjectKey, Value>,
    mrs: BTreeMap<String, (Value, ManagedResource)>,
}

impl Soak {
    async fn look(&self) -> Live {
        let mut objects = BTreeMap::new();
        for kind in Kind::all() {
            for item in self.list(kind).await {
                let text = |field: &str| item["metadata"][field].as_str().unwrap_or_default().to_owned();
                objects.insert(kind.key(&text("namespace"), &text("name")), item);
            }
        }
        let list = self.get(self.mr_path("").trim_end_matches('/')).await;
        let mut mrs = BTreeMap::new();
        for item in list["items"].as_array().into_iter().flatten() {
            let mr: ManagedResource = serde_json::from_value(item.clone()).expect("read a ManagedResource");
            mrs.insert(mr.metadata.name.clone().unwrap_or_default(), (item.clone(), mr));
        }
        Live { objects, mrs }
    }

    /// Waits until all is as it must be and nobody writes, and takes what is there for the truth.
    pub async fn quiet(&mut self) {
        let (begin, mut reported) = (Instant::now(), Instant::now());
        let settled = loop {
            let live = self.look().await;
            let problems = self.problems(&live);
            if problems.is_empty() {
                break begin.elapsed();
            }
            if reported.elapsed() > PATIENCE {
                reported = Instant::now();
                eprintln!(
                    "after {:.0} s, {} to go, such as {}",
                    begin.elapsed().as_secs_f64(),
                    problems.len(),
                    problems[0]
                );
            }
            if begin.elapsed() > LIMIT {
                let (count, shown) = (problems.len(), problems.into_iter().take(SHOWN).collect::<Vec<_>>().join("\n"));
                self.fail(&format!("{count} things are not as they must be:\n{shown}"));
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        self.idle().await;
        let live = self.look().await;
        let problems = self.problems(&live);
        if !problems.is_empty() {
            self.fail(&format!("it was settled, and is not any more:\n{}", problems.join("\n")));
        }
        eprintln!(
            "act {}: {} ManagedResources, {} objects, as they must be after {:.1} s, silent after {:.1} s",
            self.acts,
            live.mrs.len(),
            live.objects.len(),
            settled.as_secs_f64(),
            begin.elapsed().as_secs_f64()
        );
        self.learn(&live);
    }

    /// Waits until our controllers write nothing any more.
    async fn idle(&self) {
        let mut log = AuditLog::from_now(&self.test.cluster.control_plane.audit_log()).expect("open the audit log");
        let (begin, mut last) = (Instant::now(), Instant::now());
        let mut recent: Vec<Request> = Vec::new();
        while last.elapsed() < IDLE {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut requests = log.read().expect("read the audit log");
            requests.retain(|request| {
                let is_ours = self.accounts.iter().any(|account| account.user == request.user);
                is_ours && request.is_write() && request.resource != "leases"
            });
            if !requests.is_empty() {
                last = Instant::now();
                recent.extend(requests);
            }
            if begin.elapsed() > UNREST {
                let lines =
                    recent.iter().rev().take(SHOWN).map(|request| {
                        format!("{} {} {} as {}", request.verb, request.uri, request.code, request.user)
                    });
                self.fail(&format!("everything is settled, and still:\n{}", lines.collect::<Vec<_>>().join("\n")));
            }
        }
    }

    fn problems(&self, live: &Live) -> Vec<String> {
        let model = &self.model;
        let mut problems: Vec<String> = model.mrs.values().filter_map(|mr| self.problem_of_mr(mr, live)).collect();
        for name in live.mrs.keys().filter(|name| !model.mrs.contains_key(*name)) {
            problems.push(format!("ManagedResource {name} is not gone: {}", live.mrs[name].0["status"]["conditions"]));
        }
        let keys: BTreeSet<&ObjectKey> = model.things.keys().chain(live.objects.keys()).collect();
        let nothing = Thing::default();
        for key in keys {
            let thing = model.things.get(key).unwrap_or(&nothing);
            let object = live.objects.get(key);
            if let Some(what) = self.problem(model, key, thing, object) {
                let history: Vec<&str> = thing.history.iter().map(String::as_str).collect();
                let managed = live.mrs.iter().filter(|(_, (_, mr))| holds(mr, key)).map(|(name, _)| name.as_str());
                let managed = managed.collect::<Vec<_>>().join(" and ");
                let expected = describe(model.expected(key));
                problems.push(format!(
                    "{key}: {what}\n  must be: {expected}\n  metadata: {}\n  in the inventory of: {managed}\n  {}",
                    object.map_or("none".to_owned(), |object| without_fields(&object["metadata"])),
                    history.join("\n  ")
                ));
            }
        }
        problems
    }

    fn problem_of_mr(&self, mr: &Mr, live: &Live) -> Option<String> {
        let Some((raw, found)) = live.mrs.get(&mr.name) else { return Some(format!("{} is not there", mr.name)) };
        let status = found.status.clone().unwrap_or_default();
        let applied = status.conditions.iter().find(|condition| condition.type_ == "ResourcesApplied");
        let (reason, message) = applied.map_or(("", ""), |one| (&one.reason, &one.message));
        let fail = |what: &str| Some(format!("{}: {what}; {reason}: {message}; {}", mr.name, raw["metadata"]));
        if !expected_reasons(mr).contains(&reason) {
            return fail(&format!("the reason must be {:?}", expected_reasons(mr)));
        }
        if reason == "ApplySucceeded" && status.observed_generation != found.metadata.generation {
            return fail("the generation is not observed");
        }
        let finalizers = found.metadata.finalizers.clone().unwrap_or_default();
        if finalizers != [names::finalizer_for(&self.classes[mr.managed_by])] {
            return fail(&format!("the finalizer must be that of class {}", mr.managed_by));
        }
        let inventory: BTreeSet<ObjectKey> =
            status.resources.iter().map(holdfast_core::api::ResourceReference::object_key).collect();
        if inventory != mr.inventory {
            let more: Vec<String> = inventory.difference(&mr.inventory).map(ToString::to_string).collect();
            let less: Vec<String> = mr.inventory.difference(&inventory).map(ToString::to_string).collect();
            return fail(&format!("in the inventory there are {more:?} too many, and {less:?} are missing"));
        }
        None
    }

    fn problem(&self, model: &Model, key: &ObjectKey, thing: &Thing, object: Option<&Value>) -> Option<String> {
        let expected = model.expected(key);
        let Some(object) = object else {
            let must_be = !matches!(expected, Expected::Absent | Expected::Free);
            return must_be.then(|| "it is not there".to_owned());
        };
        if matches!(expected, Expected::Absent) {
            return Some("it must not be there".to_owned());
        }
        let metadata = &object["metadata"];
        if thing.uid.as_ref().is_some_and(|uid| metadata["uid"] != **uid) {
            return Some(format!("it is another one, not {:?} any more", thing.uid));
        }
        if thing.edit.as_ref().is_some_and(|edit| object["data"]["alice"] != **edit) {
            return Some(format!("alice wrote {:?}, and that is not there", thing.edit));
        }
        if metadata["deletionTimestamp"].is_string() {
            return Some("it is being deleted".to_owned());
        }
        match expected {
            Expected::Applied(mr, declared) => self.difference(key, mr, declared, thing, object),
            Expected::Ensured(_) => {
                let label = &metadata["labels"][names::LABEL_PROTECTION];
                (label != "off").then(|| format!("its label says {label}"))
            }
            _ => None,
        }
    }

    fn difference(
        &self,
        key: &ObjectKey,
        mr: &Mr,
        declared: Declared,
        thing: &Thing,
        object: &Value,
    ) -> Option<String> {
        let kind = Kind::of(key);
        let manifest = declared.manifest(key);
        for (pointer, value) in kind.expected(declared.value, key.name()) {
            if object.pointer(pointer).unwrap_or(&Value::Null) != &value {
                return Some(format!("{pointer} differs"));
            }
        }
        if kind == Kind::Deployment {
            let replicas = object["spec"]["replicas"].as_u64();
            let must =
                if declared.rule == Rule::Preserved { thing.replicas } else { manifest["spec"]["replicas"].as_u64() };
            if must.is_some() && replicas != must {
                return Some(format!("it has {replicas:?} replicas, not {must:?}"));
            }
        }
        let metadata = &object["metadata"];
        let mut labels: BTreeMap<String, String> = mr.labels();
        labels.insert("soak".to_owned(), format!("v{}", declared.value % 5));
        labels.insert(names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY_DEFAULT.to_owned());
        labels.insert(names::LABEL_PROTECTION.to_owned(), "deny".to_owned());
        if kind == Kind::Namespace {
            labels.insert("kubernetes.io/metadata.name".to_owned(), key.name().to_owned());
        }
        if let Some(label) = thing.label.as_ref().filter(|_| !mr.forces_labels) {
            labels.insert("alice".to_owned(), label.clone());
        }
        if let Some((label, value)) = labels.iter().find(|(label, value)| metadata["labels"][*label] != **value) {
            return Some(format!("label {label} must be {value}"));
        }
        if mr.forces_labels && metadata["labels"].as_object().is_none_or(|found| found.len() != labels.len()) {
            return Some("it has foreign labels".to_owned());
        }
        let mut annotations = manifest["metadata"]["annotations"].clone();
        annotations[names::ANNOTATION_ORIGIN] = format!("{}/{}", self.test.ns, mr.name).into();
        annotations[names::ANNOTATION_DESCRIPTION] = names::DESCRIPTION.into();
        let wrong =
            annotations.as_object().into_iter().flatten().find(|(key, value)| metadata["annotations"][key] != **value);
        if let Some((annotation, _)) = wrong {
            return Some(format!("annotation {annotation} differs"));
        }
        (!metadata["ownerReferences"].is_null()).then(|| "it has an owner".to_owned())
    }

    /// What is there is the truth from now on.
    fn learn(&mut self, live: &Live) {
        let Model { mrs, things } = &mut self.model;
        for (key, thing) in things.iter_mut() {
            (thing.is_fresh, thing.is_deleted) = (false, false);
            if let Some(object) = live.objects.get(key) {
                thing.remaining = Presence::Yes;
                thing.uid = object["metadata"]["uid"].as_str().map(str::to_owned);
                thing.replicas = object["spec"]["replicas"].as_u64();
                thing.label = object["metadata"]["labels"]["alice"].as_str().map(str::to_owned);
                thing.is_bare &= object["metadata"]["labels"][names::LABEL_PROTECTION].is_null();
            } else {
                thing.renew();
                (thing.remaining, thing.is_retained, thing.value) = (Presence::No, false, None);
            }
        }
        for mr in mrs.values_mut() {
            mr.touch = Touch::None;
        }
        self.gone.clear();
    }
}

fn expected_reasons(mr: &Mr) -> Vec<&'static str> {
    let has = |health: Health| mr.sources.iter().any(|source| source.health == health);
    if mr.is_paused {
        return vec!["ManagedResourceIgnored"];
    }
    let mut reasons = Vec::new();
    if has(Health::Missing) {
        reasons.push("CannotReadSecret");
    }
    if has(Health::Torn) || has(Health::Broken) {
        reasons.push("DecodingFailed");
    }
    match reasons.is_empty() {
        true if mr.waits_for().is_empty() => vec!["ApplySucceeded"],
        true => vec!["ApplyFailed"],
        false => reasons,
    }
}

fn holds(mr: &ManagedResource, key: &ObjectKey) -> bool {
    mr.status.iter().flat_map(|status| &status.resources).any(|reference| reference.object_key() == *key)
}

fn describe(expected: Expected<'_>) -> String {
    match expected {
        Expected::Applied(mr, declared) => format!("held by {} as {declared:?}", mr.name),
        Expected::Ensured(mr) => format!("ensured by {}", mr.name),
        other => format!("{other:?}"),
    }
}

fn without_fields(metadata: &Value) -> String {
    let mut metadata = metadata.clone();
    metadata.as_object_mut().map(|fields| fields.remove("managedFields"));
    metadata.to_string()
}
