use serde_json::json;

use super::*;

fn field(name: &str) -> Segment {
    Segment::Field(name.to_owned())
}

#[test]
fn patterns_are_pointers_with_more() {
    let element = |field: &str, value: &str| Segment::Element(vec![(field.to_owned(), value.to_owned())]);
    for (pointer, expected) in [
        ("/spec", vec![field("spec")]),
        ("/data/a~1b~0c", vec![field("data"), field("a/b~c")]),
        ("/spec/*/x", vec![field("spec"), Segment::Any, field("x")]),
        ("/c[name=app]/image", vec![field("c"), element("name", "app"), field("image")]),
        ("/c[*]/image", vec![field("c"), Segment::Any, field("image")]),
        ("/c[name=a~1b]", vec![field("c"), element("name", "a/b")]),
        ("/metadata/labels/team", vec![field("metadata"), field("labels"), field("team")]),
    ] {
        assert_eq!(Pattern::parse(pointer), Ok(Pattern(expected)), "{pointer}");
    }
    for (pointer, part) in [
        ("", "no JSON pointer"),
        ("spec/replicas", "no JSON pointer"),
        ("/", "empty"),
        ("/spec//x", "empty"),
        ("/spec/", "empty"),
        ("/a~b", "~0"),
        ("/a~", "~0"),
        ("/c[name]", "[name=app]"),
        ("/c[name=a", "containers[name=app]"),
        ("/[name=a]", "containers[name=app]"),
        ("/c[a=b][c=d]", "containers[name=app]"),
    ] {
        let error = Pattern::parse(pointer).unwrap_err();
        assert!(error.contains(part), "{pointer}: {error}");
    }
}

#[test]
fn elements_are_meant_by_their_key() {
    let none = Map::new();
    let element = |text: &str| Pattern::parse(&format!("/p[{text}]")).unwrap().0.remove(1);
    let port = r#"k:{"containerPort":80,"protocol":"TCP"}"#;
    for (segment, name, expected) in [
        (element("containerPort=80"), port, true),
        (element("containerPort=80,protocol=TCP"), port, true),
        (element("containerPort=81"), port, false),
        (element("name=http"), port, false),
        (Segment::Any, port, true),
        (Segment::Any, "v:\"x\"", true),
        (Segment::Any, ".", false),
        (field("x"), "f:x", true),
        (field("x"), port, false),
    ] {
        assert_eq!(segment.means(name, &none), expected, "{segment:?} {name}");
    }
    let key = json!({"containerPort": 80}).as_object().unwrap().clone();
    assert!(!Segment::Any.means("f:containerPort", &key) && Segment::Any.means("f:hostPort", &key));
}
