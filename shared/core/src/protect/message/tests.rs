use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    api::{ManagedResource, Mode},
    inventory::index::Index,
    key::{NamespacedName, ObjectKey},
    protect::{Operation, Request, mode},
};

#[derive(Debug)]
struct Names {
    namespace: String,
    owner: String,
    secrets: Vec<String>,
    contact: Option<String>,
    subresource: &'static str,
    group: String,
    resource: String,
    kind: String,
    object: String,
}

fn plain() -> Names {
    let text = str::to_owned;
    Names {
        namespace: text("default"),
        owner: text("example"),
        secrets: vec![text("s1"), text("s2")],
        contact: None,
        subresource: "",
        group: text("apps"),
        resource: text("deployments"),
        kind: text("Deployment"),
        object: text("nginx"),
    }
}

/// Returns the text, and the list of paths for the audit log.
fn message(names: &Names, offence: Offence, tone: Tone) -> (String, String) {
    let (text, paths, _) = message_with(names, offence, tone);
    (text, paths)
}

/// Also returns the commands with which the text may end.
fn message_with(names: &Names, offence: Offence, tone: Tone) -> (String, String, [String; 3]) {
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
        kind: &names.kind,
        subresource: names.subresource,
        namespace: "default",
        name: &names.object,
        username: "alice",
        groups: &[],
        object: None,
        old_object: None,
        now: "2026-01-01T12:00:00Z".parse().unwrap(),
    };
    let owner = index.get(&NamespacedName::new(&names.namespace, &names.owner)).unwrap();
    let object = ObjectKey::new(&names.group, &names.kind, &names.namespace, &names.object);
    let (mode, repair, longest_pause) = (Mode::Deny, Repair::Resync, crate::protect::LONGEST_PAUSE);
    let case = Case { request: &request, object, owner, mode, repair, longest_pause, offence };
    let audit = mode::audit(&case, mode::Decision::Deny);
    assert!(subject(&case).len() < 800, "room for what is said of a pause");
    (text(&case, tone), audit["paths"].clone(), command::proposals(&case))
}

fn fields(count: usize, length: usize) -> Vec<Path> {
    (0..count).map(|number| Path::of(&["spec", &format!("f{number}{}", "x".repeat(length))])).collect()
}

#[test]
fn many_paths_are_counted_and_secrets_listed() {
    let changes = Changes { declared: fields(8, 0), ..Changes::default() };
    let (text, paths) = message(&plain(), Offence::Change(changes), Tone::Refused);
    assert!(text.contains("spec.f0, spec.f1, spec.f2, spec.f3, spec.f4 and 3 more fields are declared in Secret default/s1 or default/s2 and would be reset"), "{text}");
    assert_eq!(paths, "spec.f0, spec.f1, spec.f2, spec.f3, spec.f4 and 3 more fields");
}

#[test]
fn the_contact_stands_in_one_line_beside_what_to_do() {
    for (contact, expected) in [
        ("team-a@example.com", "Change the Secret (ask team-a@example.com), or pause it until "),
        ("Team A\n\t#team-a\u{7}", "Change the Secret (ask Team A #team-a), or pause it until "),
        (" \n ", "Change the Secret, or pause it until "),
    ] {
        let names = Names { contact: Some(contact.to_owned()), ..plain() };
        let changes = Changes { declared: fields(1, 0), ..Changes::default() };
        let (text, _) = message(&names, Offence::Change(changes), Tone::Refused);
        assert!(text.contains(expected), "{text}");
        let (text, _) = message(&names, Offence::Deletion, Tone::Refused);
        assert!(
            text.contains(&expected.replace("Change the Secret", "Remove it from Secret default/s1 or default/s2")),
            "{text}"
        );
    }
}

#[test]
fn the_command_is_as_exact_as_there_is_room_for() {
    let denial = |names: &Names| {
        let (text, _, commands) = message_with(names, Offence::Deletion, Tone::Refused);
        (commands.iter().position(|command| text.ends_with(command)), text)
    };
    let quoted = Names { object: "it's".to_owned(), ..plain() };
    let (which, text) = denial(&quoted);
    assert!(which == Some(0) && text.contains(r"it'\''s"), "{text}");
    let [long, longer] = [63, 253].map(|length| "n".repeat(length));
    let usual =
        Names { namespace: long.clone(), owner: long.clone(), object: long.clone(), kind: long.clone(), ..plain() };
    assert_eq!(denial(&usual).0, Some(0), "all that is long, but not as long as can be");
    let (which, text) =
        denial(&Names { object: long.clone(), owner: longer.clone(), group: longer.clone(), ..plain() });
    assert!(
        which == Some(1) && text.contains(r#"-p '{"spec":{"protection":{"pauses":[{"kind":"Deployment","#),
        "{text}"
    );
    let (which, text) = denial(&Names { object: longer.clone(), owner: longer.clone(), group: longer, ..usual });
    assert!(which == Some(2) && text.contains("pause it in spec.protection.pauses: kubectl edit mr -n n"), "{text}");
}

fn name(most: usize) -> impl Strategy<Value = String> {
    (1..=most).prop_map(|length| "n".repeat(length))
}

prop_compose! {
    fn any_names()(
        namespace in name(63), owner in name(253), secrets in prop::collection::vec(name(253), 0..4),
        contact in prop::option::of("\\PC{0,400}"), group in name(253), resource in name(100), kind in name(63),
        object in "[a-z]{1,253}|\\PC{1,100}", debugs in any::<bool>(),
    ) -> Names {
        let subresource = if debugs { "ephemeralcontainers" } else { "" };
        Names { namespace, owner, secrets, contact, subresource, group, resource, kind, object }
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
        let (text, paths, commands) = message_with(&names, offence, tone);
        prop_assert!(text.len() <= MOST && paths.len() <= 1100, "{}: {text}", text.len());
        prop_assert!(commands.iter().any(|command| text.ends_with(command)), "{text}");
    }
}
