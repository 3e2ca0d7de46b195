use serde_json::json;

use super::*;

/// An object such as `apiVersion/Kind name` or `apiVersion/Kind namespace/name`, which a change has dropped.
fn object(text: &str, change: &str) -> ResourceReference {
    let (gvk, name) = text.split_once(' ').unwrap();
    let (api_version, kind) = gvk.rsplit_once('/').unwrap();
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    ResourceReference {
        api_version: api_version.into(),
        kind: kind.into(),
        namespace: namespace.into(),
        name: name.into(),
        resource: Some(format!("{}s", kind.to_lowercase()).into()),
        dropped: (!change.is_empty()).then(|| change.into()),
        ..ResourceReference::default()
    }
}

const OPERATOR: [&str; 10] = [
    "example.com/v1/Widget t/g",
    "apiextensions.k8s.io/v1/CustomResourceDefinition widgets.example.com",
    "apiextensions.k8s.io/v1/CustomResourceDefinition gadgets.example.com",
    "apps/v1/Deployment t/operator",
    "v1/ServiceAccount t/operator",
    "rbac.authorization.k8s.io/v1/ClusterRole operator",
    "v1/ConfigMap t/named",
    "v1/ConfigMap t/other",
    "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration operator",
    "v1/Namespace t",
];

struct Case<'a> {
    deletions: Deletions<'a>,
}

impl<'a> Case<'a> {
    fn pruned(references: &'a [ResourceReference]) -> Self {
        let mut deletions = Deletions::pruned(references, |_| false);
        let mut named = PodReferences::default();
        named.add(&json!({"metadata": {"namespace": "t"}, "spec": {"volumes": [{"configMap": {"name": "named"}}]}}));
        deletions.keep_for_pods(&named);
        Self { deletions }
    }

    /// Tries all due objects until none is due. `outcome` decides the result for each object. Returns the names, round
    /// by round.
    fn run(&mut self, outcome: impl Fn(&ResourceReference) -> Option<Progress>) -> Vec<Vec<String>> {
        let mut rounds = Vec::new();
        loop {
            let due = self.deletions.due();
            if due.is_empty() {
                return rounds;
            }
            let names = due.iter().map(|at| self.deletions.reference(*at).unwrap().object_key().to_string());
            rounds.push(names.collect());
            for at in due {
                match outcome(self.deletions.reference(at).unwrap()) {
                    None => self.deletions.finish(at),
                    Some(progress) => self.deletions.set_progress(at, progress),
                }
            }
        }
    }

    fn waiting(&self) -> Vec<(String, Vec<String>)> {
        let tried = self.deletions.remaining().filter(|at| self.deletions.progress(*at) != Some(Progress::Due));
        let texts = |at: Position| {
            let waiting = self.deletions.waiting_for(at).iter().map(ToString::to_string).collect();
            (self.deletions.reference(at).unwrap().name.clone(), waiting)
        };
        tried.map(texts).collect()
    }
}

fn all(texts: &[&str], change: &str) -> Vec<ResourceReference> {
    texts.iter().map(|text| object(text, change)).collect()
}

#[test]
fn an_operator_outlives_what_it_has_to_finish() {
    let references = all(&OPERATOR, "c");
    let mut case = Case::pruned(&references);
    let terminating = |reference: &ResourceReference| (reference.kind == "Widget").then_some(Progress::Finalizing);
    let rounds = case.run(terminating);
    assert_eq!(
        rounds[0],
        [
            "CustomResourceDefinition.apiextensions.k8s.io gadgets.example.com",
            "ValidatingWebhookConfiguration.admissionregistration.k8s.io operator",
        ]
    );
    assert_eq!(rounds[1], ["Widget.example.com t/g", "ConfigMap t/other"], "all else goes at once");
    assert_eq!(rounds.len(), 2);
    let (blocker, waiting) = &case.waiting()[0];
    assert_eq!(blocker, "g");
    assert_eq!(
        waiting,
        &[
            "CustomResourceDefinition.apiextensions.k8s.io widgets.example.com",
            "Deployment.apps t/operator",
            "ServiceAccount t/operator",
            "ClusterRole.rbac.authorization.k8s.io operator",
            "ConfigMap t/named",
            "Namespace t",
        ]
    );
    // The stuck object goes.
    let at = case.deletions.remaining().find(|at| case.deletions.progress(*at) == Some(Progress::Finalizing)).unwrap();
    case.deletions.finish(at);
    let rounds = case.run(|_| None);
    assert_eq!(
        rounds,
        [
            vec!["CustomResourceDefinition.apiextensions.k8s.io widgets.example.com"],
            vec!["Deployment.apps t/operator"],
            vec!["ServiceAccount t/operator", "ClusterRole.rbac.authorization.k8s.io operator", "ConfigMap t/named"],
            vec!["Namespace t"],
        ]
    );
    assert_eq!(case.deletions.remaining().count(), 0);
}

/// Others may have objects of that kind, which only a running operator can finish.
#[test]
fn an_operator_outlives_its_definition() {
    let references = all(&OPERATOR[1..], "c");
    let mut case = Case::pruned(&references);
    let rounds = case.run(|reference| (reference.name == "widgets.example.com").then_some(Progress::Finalizing));
    assert!(
        !rounds.concat().iter().any(|name| name.contains("operator") && !name.starts_with("Validating")),
        "{rounds:?}"
    );
}

#[test]
fn what_another_change_has_dropped_does_not_wait() {
    let mut references = all(&OPERATOR[..1], "earlier");
    references.extend(all(&OPERATOR[1..], "c"));
    let mut case = Case::pruned(&references);
    case.run(|reference| (reference.kind == "Widget").then_some(Progress::Finalizing));
    assert_eq!(case.deletions.remaining().count(), 1);
}

#[test]
fn a_refusal_holds_up_an_operator_only_where_it_may_have_to_do_something() {
    for (refused, is_waited_for) in
        [("example.com/v1/Widget t/g", true), ("v1/ConfigMap t/x", false), ("policy/v1/PodDisruptionBudget t/x", false)]
    {
        let references = all(&[refused, "apps/v1/Deployment t/operator"], "c");
        let mut case = Case::pruned(&references);
        case.run(|reference| (reference.kind != "Deployment").then_some(Progress::Refused));
        assert_eq!(case.deletions.remaining().count(), if is_waited_for { 2 } else { 1 }, "{refused}");
    }
}

/// The claim ends only after the pods. The same goes for all objects that Kubernetes keeps until nothing uses them.
#[test]
fn nobody_waits_for_what_waits_for_him() {
    for blocked in [
        "v1/PersistentVolumeClaim t/x",
        "resource.k8s.io/v1/ResourceClaim t/x",
        "storage.k8s.io/v1/VolumeAttributesClass x",
        "networking.k8s.io/v1/ServiceCIDR x",
    ] {
        let references = all(&[blocked, "apps/v1/StatefulSet t/db", "v1/Service t/db"], "c");
        let mut case = Case::pruned(&references);
        case.run(|reference| (reference.name == "x").then_some(Progress::Terminating));
        assert_eq!(case.deletions.remaining().count(), 1, "{blocked}");
    }
}

/// Whatever object foreign finalizers delay: until they are gone, the operator stays, with all it needs.
#[test]
fn an_operator_outlives_whatever_it_has_to_finish() {
    let operator = ["apps/v1/Deployment ops/operator", "v1/ServiceAccount ops/operator", "v1/Namespace ops"];
    for blocked in [
        "example.com/v1/Widget t/g",
        "v1/ConfigMap t/g",
        "v1/Secret t/g",
        "v1/Service t/g",
        "v1/ServiceAccount t/g",
        "v1/PersistentVolumeClaim t/g",
        "v1/Namespace g",
        "rbac.authorization.k8s.io/v1/Role t/g",
        "networking.k8s.io/v1/Ingress t/g",
        "apps/v1/Deployment t/g",
        "apiextensions.k8s.io/v1/CustomResourceDefinition gs.example.com",
    ] {
        let references = all(&[&operator[..], &[blocked]].concat(), "");
        let is_finalized = |object: &ObjectKey| object.name().starts_with('g');
        for mut deletions in
            [Deletions::pruned(&references, is_finalized), Deletions::with_managed_resource(&references, is_finalized)]
        {
            deletions.keep_for_pods(&PodReferences::default());
            let mut case = Case { deletions };
            for progress in [Progress::Finalizing, Progress::Unanswered] {
                let tried = case.run(|reference| reference.name.starts_with('g').then_some(progress)).concat();
                assert!(!tried.iter().any(|name| name.contains("ops")), "{blocked}, {progress:?}: {tried:?}");
                let at =
                    case.deletions.remaining().find(|at| case.deletions.reference(*at).unwrap().name.starts_with('g'));
                case.deletions.set_progress(at.unwrap(), progress);
            }
            case.deletions.finish(Position::new(3));
            case.run(|_| None);
            assert_eq!(case.deletions.remaining().count(), 0, "{blocked}: it ends");
        }
    }
}

/// A definition that serves no version would never go. Its objects go with it.
#[test]
fn a_definition_that_serves_nothing_does_not_wait_for_its_objects() {
    let references = all(&OPERATOR[..2], "c");
    let mut case = Case::pruned(&references);
    case.run(|reference| (reference.kind == "Widget").then_some(Progress::Unserved));
    assert_eq!(case.deletions.remaining().count(), 1);
}

#[test]
fn accounts_stay_until_workloads_have_ended() {
    let references = all(&["apps/v1/Deployment t/web", "v1/ServiceAccount t/web", "v1/Namespace t"], "c");
    let mut case = Case::pruned(&references);
    let rounds = case.run(|reference| (reference.kind == "Deployment").then_some(Progress::Terminating));
    assert_eq!(rounds, [["Deployment.apps t/web"]]);
    assert_eq!(case.waiting()[0].1, ["ServiceAccount t/web", "Namespace t"]);
}

#[test]
fn an_api_service_outlives_its_objects() {
    let references =
        all(&["metrics.example.com/v1/Sample s", "apiregistration.k8s.io/v1/APIService v1.metrics.example.com"], "c");
    let mut case = Case::pruned(&references);
    assert_eq!(case.run(|reference| (reference.kind == "Sample").then_some(Progress::Refused)).len(), 1);
    assert_eq!(case.waiting()[0].1, ["APIService.apiregistration.k8s.io v1.metrics.example.com"]);
}

#[test]
fn with_its_managed_resource_everything_that_programs_read_goes_after_them() {
    // The order includes what an earlier change dropped.
    let references = [all(&OPERATOR[..1], "earlier"), all(&OPERATOR[1..], "")].concat();
    let mut deletions = Deletions::with_managed_resource(&references, |_| false);
    assert!(deletions.unread_workloads().is_empty(), "nothing depends on what templates name");
    let mut rounds: Vec<Vec<&str>> = Vec::new();
    while deletions.remaining().next().is_some() {
        let due = deletions.due();
        rounds.push(due.iter().map(|at| deletions.reference(*at).unwrap().kind.as_str()).collect());
        for at in due {
            deletions.finish(at);
        }
    }
    assert_eq!(
        rounds,
        [
            vec!["CustomResourceDefinition", "ValidatingWebhookConfiguration"],
            vec!["Widget"],
            vec!["CustomResourceDefinition"],
            vec!["Deployment"],
            vec!["ServiceAccount", "ClusterRole", "ConfigMap", "ConfigMap"],
            vec!["Namespace"],
        ]
    );
}

#[test]
fn workloads_are_read_only_where_something_may_be_named() {
    let deployment = "apps/v1/Deployment t/web";
    for (rest, expected) in [
        (&["v1/ConfigMap t/x"][..], true),
        (&["v1/Secret t/x"], true),
        (&["v1/ConfigMap elsewhere/x"], false),
        (&["v1/Service t/x"], false),
        (&[], false),
    ] {
        let references = all(&[&[deployment], rest].concat(), "c");
        assert_eq!(
            Deletions::pruned(&references, |_| false).unread_workloads().len(),
            usize::from(expected),
            "{rest:?}"
        );
    }
}

/// Nothing waits for ever: whatever is refused or terminating, each object was tried, or waits for one that was.
#[test]
fn whoever_waits_waits_for_one_that_was_tried() {
    let references = [all(&OPERATOR, "c"), all(&["v1/PersistentVolumeClaim t/p", "batch/v1/Job t/j"], "c")].concat();
    for seed in 0..4_096_u32 {
        let mut case = Case::pruned(&references);
        let all = [Progress::Terminating, Progress::Finalizing, Progress::Refused, Progress::Unanswered];
        let some = all[usize::try_from(seed).unwrap() % 4];
        let bit = |reference: &ResourceReference, shift: u32| {
            let position = references.iter().position(|other| other == reference).unwrap();
            seed >> (u32::try_from(position).unwrap() + shift) & 1 == 1
        };
        case.run(|reference| match (bit(reference, 0), bit(reference, 1)) {
            (true, true) => Some(some),
            (true, false) => Some(Progress::Unserved),
            _ => None,
        });
        let named: Vec<String> = case.waiting().into_iter().flat_map(|(_, waiting)| waiting).collect();
        for at in case.deletions.remaining().filter(|at| case.deletions.progress(*at) == Some(Progress::Due)) {
            let object = case.deletions.reference(at).unwrap().object_key().to_string();
            assert!(named.contains(&object), "{object} waits for nobody, seed {seed}");
        }
    }
}
