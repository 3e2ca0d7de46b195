use std::time::Duration;

use holdfast_testing::managed_resource;
use serde_json::json;

use super::*;

const NOW: &str = "2026-01-01T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn paused(pauses: &Value) -> ManagedResource {
    managed_resource("mr").spec(&json!({"protection": {"pauses": pauses}})).read()
}

fn object(kind: &str, namespace: &str, name: &str) -> ObjectKey {
    let group = if kind == "Deployment" { "apps" } else { "" };
    ObjectKey::new(group, kind, namespace, name)
}

#[test]
fn a_pause_is_for_what_it_names_and_until_its_time() {
    let pauses = Pauses::of(&paused(&json!([
        {"kind": "ConfigMap", "name": "a", "until": "2026-01-01T12:00:01Z"},
        {"group": "apps", "namespace": "d", "until": "2026-01-01T15:00:00+02:00", "reason": "an\n incident; x is paused until y"},
        {"group": "", "kind": "Node", "namespace": "", "until": "2026-01-01T12:30:00Z"},
        {"until": "2026-01-01T11:59:59Z"},
        {"until": "soon"},
    ])));
    assert_eq!(pauses.len(), 4);
    for (kind, namespace, name, at, until) in [
        ("ConfigMap", "d", "a", NOW, Some("2026-01-01T12:00:01Z")),
        ("ConfigMap", "e", "a", NOW, Some("2026-01-01T12:00:01Z")),
        ("ConfigMap", "d", "a", "2026-01-01T12:00:01Z", None),
        ("ConfigMap", "d", "b", NOW, None),
        ("ConfigMap", "d", "b", "2026-01-01T11:00:00Z", Some("2026-01-01T11:59:59Z")),
        ("Deployment", "d", "b", NOW, Some("2026-01-01T13:00:00Z")),
        ("Deployment", "e", "b", NOW, None),
        ("Node", "", "n", NOW, Some("2026-01-01T12:30:00Z")),
    ] {
        let found = pauses.of_object(&object(kind, namespace, name), at.parse().unwrap());
        assert_eq!(found.map(|entry| time(entry.until())).as_deref(), until, "{kind} {namespace}/{name} at {at}");
    }
    assert_eq!(pauses.next_look(now()), Some(Duration::from_secs(1)));
    assert_eq!(pauses.next_look("2026-01-01T12:00:02Z".parse().unwrap()), Some(Duration::from_secs(60)), "not longer");
    assert_eq!(pauses.next_look("2026-01-01T13:00:00Z".parse().unwrap()), None);
    let active = pauses.active(now());
    assert_eq!(
        active.texts(2, 1),
        [
            "ConfigMap */a is paused until 2026-01-01T12:00:01Z",
            "*.apps d/* is paused until 2026-01-01T13:00:00Z (reason: an incident, x is paused until y)",
            "Node * is paused until 2026-01-01T12:30:00Z",
            "2 objects wait for the end of the pause to be as their manifests say",
            "1 object that no manifest declares stays until the end of the pause",
        ]
    );
    assert_eq!(active.objects(), ["ConfigMap */a", "*.apps d/*", "Node *"]);
    assert!(pauses.active("2027-01-01T00:00:00Z".parse().unwrap()).texts(1, 1).is_empty());
    let all = Pauses::of(&paused(&json!([{"until": "2100-01-01T00:00:00Z", "reason": "x".repeat(300)}])));
    let text = all.texts(0, 0).concat();
    assert!(text.starts_with("all objects are paused until 2100") && text.len() < 280, "{text}");
}

#[test]
fn pauses_that_cannot_be_read_are_named() {
    let texts = warnings(&paused(&json!([{"until": NOW}, {"until": "2026-01-01T12:00:00"}, {"until": ""}])));
    assert_eq!(texts.len(), 2);
    assert!(texts[0].starts_with("spec.protection.pauses[1].until: \"2026-01-01T12:00:00\" is no time"), "{texts:?}");
}

#[test]
fn what_is_more_than_before_is_asked_for() {
    let one = |until: &str| json!({"kind": "ConfigMap", "name": "a", "until": until});
    let all = |until: &str| json!({"until": until});
    let (later, late, past) = ("2026-01-01T13:00:00Z", "2026-01-01T14:00:00Z", "2026-01-01T11:00:00Z");
    for (case, old, new, begun) in [
        ("added", json!([]), json!([one(later)]), 1),
        ("the same", json!([one(later)]), json!([one(later)]), 0),
        ("prolonged", json!([one(later)]), json!([one(late)]), 1),
        ("shortened", json!([one(late)]), json!([one(later)]), 0),
        ("ended", json!([one(late)]), json!([]), 0),
        ("ended by a time", json!([one(late)]), json!([one(past)]), 0),
        ("narrowed", json!([all(late)]), json!([one(later)]), 0),
        ("widened", json!([one(late)]), json!([all(later)]), 1),
        (
            "another reason",
            json!([one(later)]),
            json!([{"kind": "ConfigMap", "name": "a", "until": later, "reason": "y"}]),
            0,
        ),
        ("begun anew", json!([one(past)]), json!([one(later)]), 1),
        ("two at once", json!([]), json!([one(later), all(late)]), 2),
        ("over already", json!([]), json!([one(past)]), 0),
    ] {
        let ask = change(Some(&paused(&old)), &paused(&new), now());
        assert_eq!((ask.begun.len(), ask.needs_override()), (begun, begun > 0), "{case}");
        assert_eq!(ask.past.len(), usize::from(case == "over already"), "{case}");
        // "widened" ends an hour earlier.
        let ends = ["shortened", "ended", "ended by a time", "narrowed", "widened"].contains(&case);
        assert_eq!((ask.ended.len(), ask.is_end()), (usize::from(ends), ends), "{case}");
    }
    assert_eq!(change(None, &paused(&json!([one(later)])), now()).begun.len(), 1, "with a new ManagedResource");
    let unreadable = change(Some(&paused(&json!([all("x")]))), &paused(&json!([all("x"), all("y")])), now()).unreadable;
    assert_eq!(unreadable.len(), 1, "{unreadable:?}");
}

#[test]
fn the_annotation_is_asked_for_when_it_is_set() {
    let with = |value: &str| {
        let mut mr = paused(&json!([]));
        mr.metadata.annotations = Some([(names::ANNOTATION_IGNORE.to_owned(), value.to_owned())].into());
        mr
    };
    for (old, new, expected) in
        [(None, "true", true), (Some("false"), "1", true), (Some("true"), "1", false), (Some("true"), "no", false)]
    {
        let ask = change(old.map(with).as_ref(), &with(new), now());
        assert_eq!((ask.ignore, ask.needs_override()), (expected, expected), "{old:?} {new}");
        assert_eq!((ask.unignored, ask.is_end()), (new == "no", new == "no"), "{old:?} {new}");
    }
}

#[test]
fn the_longest_pause_is_measured_with_some_tolerance() {
    let too_long = |until: &str, hours: u64| {
        let ask = change(None, &paused(&json!([{"kind": "ConfigMap", "until": until}])), now());
        ask.too_long(Duration::from_secs(hours * 3600), now())
    };
    assert!(too_long("2026-01-02T12:00:59Z", 24).is_empty());
    assert_eq!(too_long("2026-01-02T12:02:00Z", 24), ["the pause of ConfigMap */* until 2026-01-02T12:02:00Z"]);
    assert!(too_long("9999-01-01T00:00:00Z", u64::MAX / 3600).is_empty(), "no limit at all");
}

#[test]
fn the_mark_is_one_label_and_guarded() {
    let patch = set_label("u");
    assert_eq!(patch[0], json!({"op": "replace", "path": "/metadata/uid", "value": "u"}));
    assert_eq!(patch[1]["path"], "/metadata/labels/resources.gardener.cloud~1protection");
    assert!(has_label(&[json!({"manager": "x"}), json!({"manager": "holdfast-pause"})]));
    assert!(!has_label(&[json!({"manager": "holdfast"})]));
}

#[test]
fn the_end_of_a_pause_is_announced_once_and_repaired_until_the_status_says_so() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (case, active, reported, seen, is_any_reported, news) in [
        ("no pause", vec![], vec![], Some(vec![]), false, vec![]),
        ("one is active", vec!["a"], vec!["a"], Some(vec!["a"]), false, vec![]),
        ("one has ended", vec![], vec!["a"], Some(vec!["a"]), true, vec!["a"]),
        ("its end was announced already", vec![], vec!["a"], Some(vec![]), true, vec![]),
        ("one of two has ended", vec!["b"], vec!["a", "b"], Some(vec!["a", "b"]), true, vec!["a"]),
        ("it came and went between two statuses", vec![], vec![], Some(vec!["a"]), false, vec!["a"]),
        ("it ended while nothing of ours ran", vec![], vec!["a"], None, true, vec!["a"]),
    ] {
        let expected = EndedPauses { is_any_reported, news: names(&news) };
        assert_eq!(ended(&names(&active), names(&reported), seen.map(|seen| names(&seen))), expected, "{case}");
    }
}
