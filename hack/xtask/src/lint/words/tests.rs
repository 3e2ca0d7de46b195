//! What is a name, and what a word of it.

use super::*;

#[test]
fn a_name_is_cut_into_its_words() {
    for (name, words) in [
        ("left", &["left"][..]),
        ("is_left", &["is", "left"]),
        ("IsLeftTo", &["is", "left", "to"]),
        ("LEFT_TO", &["left", "to"]),
        ("MRLeft", &["mrleft"]),
        ("leftover", &["leftover"]),
        ("_left2", &["", "left2"]),
        ("r#type", &["r", "type"]),
    ] {
        assert_eq!(parts(name), words.iter().map(ToString::to_string).collect(), "{name}");
    }
}

#[test]
fn names_are_read_where_they_are_declared() {
    let file = tempfile::NamedTempFile::with_suffix(".rs").unwrap();
    let found = |text: &str| {
        std::fs::write(file.path(), text).unwrap();
        let rules = serde_yaml::from_str("{words: {left: rest}, exempt_enums: {Reason: users see it}}").unwrap();
        let found = in_file(&file.path().to_owned(), &rules).unwrap();
        found.into_iter().map(|(line, name, _)| (line, name)).collect::<Vec<_>>()
    };
    for text in [
        "mod left;",
        "mod left {}",
        "fn left() {}",
        "impl A { fn left(&self) {} }",
        "trait A { fn left(&self); }",
        "struct A { left: u8 }",
        "enum A { B { left: u8 } }",
        "enum Reason { B { left: u8 } }",
        "enum A { Left }",
        "fn f(left: u8) {}",
        "fn f() { let left = 1; }",
        "fn f() { if let Some(left) = g() {} }",
        "fn f() { let A { left, .. } = g(); }",
        "fn f() { g(|left| 1); }",
    ] {
        let names: Vec<_> = found(text).into_iter().map(|(line, name)| (line, name.to_lowercase())).collect();
        assert_eq!(names, [(1, "left".to_owned())], "{text}");
    }
    assert_eq!(found("\n\nstruct Left;"), [(3, "Left".to_owned())]);
    for text in [
        "enum Reason { Left }",
        "#[test]\nfn nothing_is_left() {}",
        "#[tokio::test]\nasync fn nothing_is_left() {}",
        "fn f() { assert!(left == right, \"left\"); left(); a.left; }",
        "// left\n/// left\nfn f() {}",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}
