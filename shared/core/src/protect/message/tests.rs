use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    api::{ManagedResource, Mode},
    key::{NamespacedName, ObjectKey},
    ownership::Index,
    protect::{Operation, Request, mode},
};

#[derive(Debug)]
struct Names {
    namespace: String,
    owner: String,
    secrets: Vec<String>,
    contact: Option<String>,
    group: String,
    resource: String,
    object: String,
}

fn plain() -> Names {
    let text = str::to_owned;
    Names {
        namespace: text("default"),
        owner: text("example"),
        secrets: vec![text("s1"), text("s2")],
        contact: None,
        group: text("apps"),
        resource: text("deployments"),
        object: text("nginx"),
    }
}

/// The text and the list of paths for the audit log.
fn said(names: &Names, offence: Offence, tone: Tone) -> (String, String) {
    let secrets: Vec<_> = names.secrets.iter().map(|name| json!({"name": name})).collect();
    let annotations = names.contact.iter().map(|contact| (crate::names::ANNOTATION_OWNER_CONTACT, contact));
    let mr: ManagedResource = serde_json::from_value(json!({
        "metadata": {"namespace": names.namespace, "name": names.owner,
            "annotations": annotations.collect::<std::collections::BTreeMap<_, _>>()},
        "spec": {"secretRefs": secrets}
    }))
    .unwrap();
    let mut index = Index::default();
    index.upsert(&mr);
    let request = Request {
        operation: Operation::Update,
        group: &names.group,
        version: "v1",
        resource: &names.resource,
        kind: "Deployment",
        subresource: "",
        namespace: "default",
        name: &names.object,
        username: "alice",
        groups: &[],
        object: None,
        old_object: None,
    };
    let owner = index.get(&NamespacedName::new(&names.namespace, &names.owner)).unwrap();
    let object = ObjectKey { name: names.object.clone(), ..ObjectKey::default() };
    let case = Case { request: &request, object, owner, mode: Mode::Deny, repair: Repair::Resync, offence };
    let audit = mode::audit(&case, mode::Decision::Deny);
    (text(&case, tone), audit["paths"].clone())
}

fn fields(count: usize, length: usize) -> Vec<Path> {
    (0..count).map(|number| Path::of(&["spec", &format!("f{number}{}", "x".repeat(length))])).collect()
}

#[test]
fn many_paths_are_counted_and_secrets_listed() {
    let changes = Changes { declared: fields(8, 0), ..Changes::default() };
    let (text, paths) = said(&plain(), Offence::Change(changes), Tone::Refused);
    assert!(text.contains("spec.f0, spec.f1, spec.f2, spec.f3, spec.f4 and 3 more fields are declared in Secret default/s1 or default/s2 and would be reset"), "{text}");
    assert_eq!(paths, "spec.f0, spec.f1, spec.f2, spec.f3, spec.f4 and 3 more fields");
}

#[test]
fn the_contact_stands_in_one_line_beside_what_to_do() {
    for (contact, expected) in [
        ("team-a@example.com", "Change the Secret (ask team-a@example.com), or pause with: "),
        ("Team A\n\t#team-a\u{7}", "Change the Secret (ask Team A #team-a), or pause with: "),
        (" \n ", "Change the Secret, or pause with: "),
    ] {
        let names = Names { contact: Some(contact.to_owned()), ..plain() };
        let changes = Changes { declared: fields(1, 0), ..Changes::default() };
        let (text, _) = said(&names, Offence::Change(changes), Tone::Refused);
        assert!(text.contains(expected), "{text}");
        let (text, _) = said(&names, Offence::Deletion, Tone::Refused);
        assert!(
            text.contains(&expected.replace("Change the Secret", "Remove it from Secret default/s1 or default/s2")),
            "{text}"
        );
    }
}

fn name(most: usize) -> impl Strategy<Value = String> {
    (1..=most).prop_map(|length| "n".repeat(length))
}

prop_compose! {
    fn any_names()(
        namespace in name(63), owner in name(253), secrets in prop::collection::vec(name(253), 0..4),
        contact in prop::option::of("\\PC{0,400}"), group in name(253), resource in name(100), object in "[a-z]{1,253}|\\PC{1,100}",
    ) -> Names {
        Names { namespace, owner, secrets, contact, group, resource, object }
    }
}

proptest! {
    #[test]
    fn no_text_is_too_long_and_the_command_is_always_whole(
        names in any_names(), counts in [0_usize..30, 0..30, 0..30], length in 0_usize..400, kind in 0..3, tone in 0..4,
    ) {
        let [declared, undeclared, reserved] = counts.map(|count| fields(count, length));
        let offence = match kind {
            0 => Offence::Deletion,
            1 => Offence::Creation,
            _ => Offence::Change(Changes { declared, undeclared, reserved }),
        };
        let tone = match tone {
            0 => Tone::Refused,
            1 => Tone::Accepted,
            2 => Tone::PutBack { keeps_some: true },
            _ => Tone::PutBack { keeps_some: false },
        };
        let command = format!("annotate managedresource -n {} {} resources.gardener.cloud/ignore=true", names.namespace, names.owner);
        let (text, paths) = said(&names, offence, tone);
        prop_assert!(text.len() <= MOST && paths.len() <= 1100, "{}: {text}", text.len());
        prop_assert!(text.ends_with(&command), "{text}");
    }
}
