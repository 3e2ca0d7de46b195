//! A small workspace in a temporary directory: one package in order, and what each mistake in it is told as.

use serde_json::json;

use super::*;

const RULES_OF_A: &str = "layers:\n  a:\n    - names\n    - api\n    - plan\n";

/// The files of a package in order.
const FILES: &[(&str, &str)] = &[
    (RULES, RULES_OF_A),
    ("a/Cargo.toml", ""),
    (
        "a/src/lib.rs",
        "//! Its root uses everything: [`plan`].\npub mod api;\npub mod names;\npub mod plan;\npub use plan::Plan;\n",
    ),
    ("a/src/names.rs", "/// Not read: [`crate::plan`].\npub const NAME: &str = \"crate::plan\"; // crate::plan\n"),
    ("a/src/api.rs", "mod text;\npub use text::Text;\nuse std::fmt;\nuse crate::names::{self, NAME};\n"),
    ("a/src/api/text.rs", "use super::super::names;\npub struct Text(super::Text2);\n"),
    (
        "a/src/plan.rs",
        "use crate::{api::Text, names};\n#[cfg(test)]\nuse crate::later::{A, B};\npub fn f() { crate::api::g(); self::f() }\n\
         #[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::later::C;\n}\n#[cfg(test)]\n#[path = \"edits/some.rs\"]\nmod edits;\n",
    ),
    ("a/src/edits/some.rs", "mod more;\nuse crate::later::D;\n"),
    ("a/src/edits/more.rs", ""),
    ("a/tests/it.rs", "mod common;\n"),
    ("a/tests/common.rs", ""),
    // Another package, which cargo does not name.
    ("a/fuzz/Cargo.toml", ""),
    ("a/fuzz/unnamed.rs", ""),
];

/// What is said of the files, some of them replaced or added.
fn messages(changes: &[(&str, &str)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in FILES.iter().chain(changes) {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let path = |path: &str| directory.path().join(path);
    let package = json!({"name": "a", "manifest_path": path("a/Cargo.toml"), "targets": [
        {"kind": ["lib"], "src_path": path("a/src/lib.rs")}, {"kind": ["test"], "src_path": path("a/tests/it.rs")},
    ]});
    complaints(directory.path(), &[Package::of(&package).unwrap()]).unwrap()
}

#[test]
fn what_is_in_order_is_not_mentioned() {
    assert_eq!(messages(&[]), [""; 0]);
}

#[test]
fn an_arrow_upwards_is_told_however_it_is_written() {
    for (text, line, path) in [
        ("use crate::plan;", 1, "plan"),
        ("\n\nuse crate::{\n    names,\n    plan::{self},\n};", 5, "plan"),
        ("pub(crate) use crate::plan::*;", 1, "plan::*"),
        ("use crate::plan as p;", 1, "plan"),
        ("use super::plan::Plan;", 1, "plan::Plan"),
        ("\npub fn f() { let _ = crate::plan::f(); }", 2, "plan::f"),
        ("fn f() {\n    use super::plan;\n}", 2, "plan"),
        ("fn f() -> Vec<super::plan::Plan> {}", 1, "plan::Plan"),
        ("#[derive(Debug)]\nstruct S { p: Option<crate::plan::Plan> }", 2, "plan::Plan"),
        ("const A: &str = concat!(crate::plan::NAME, \"\");", 1, "plan::NAME"),
        ("mod inner {\n    use super::super::plan::Plan;\n}", 2, "plan::Plan"),
        ("mod inner {\n    use crate::plan::Plan;\n}", 2, "plan::Plan"),
        ("#[cfg(test)]\nfn f() {}\nuse crate::plan::Plan;", 3, "plan::Plan"),
        ("#[cfg(test)]\nconst A: B = B {};\nuse crate::plan::Plan;", 3, "plan::Plan"),
        ("#[cfg(not(test))]\nuse crate::plan::Plan;", 2, "plan::Plan"),
    ] {
        let path = format!(
            "a/src/names.rs:{line}: names → plan, by crate::{path}: a module uses only those before it in {RULES}"
        );
        assert_eq!(messages(&[("a/src/names.rs", text)]), [path], "{text}");
    }
    let messages =
        messages(&[("a/src/api/text.rs", "use super::super::plan::Plan;"), ("a/src/names.rs", "use super::Plan;")]);
    let expected = [
        "a/src/api/text.rs:1: api → plan, by crate::plan::Plan: a module uses only those before it in hack/xtask/layers.yaml",
        "a/src/names.rs:1: names → the crate's root, by crate::Plan: a module uses only those before it in hack/xtask/layers.yaml",
    ];
    assert_eq!(messages.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

#[test]
fn code_of_tests_may_use_everything() {
    for text in [
        "#[cfg(test)]\nuse crate::plan::{Plan, f};",
        "#[cfg(all(test, unix))]\npub(crate) mod tests {\n    use crate::plan;\n}",
        "#[cfg(test)]\n#[allow(unused)]\npub(crate) const fn f() { crate::plan::f(); }",
        "struct S;\n#[cfg(test)]\nimpl S { fn f() { crate::plan::f() } }",
        "// use crate::plan;\n/* crate::plan::f() */\n//! `crate::plan::f()`\n",
    ] {
        assert_eq!(messages(&[("a/src/names.rs", text)]), [""; 0], "{text}");
    }
}

#[test]
fn a_module_below_may_have_a_place_of_its_own() {
    let rules = "layers:\n  a:\n    - names\n    - api::text\n    - plan\n    - api\n";
    let expected =
        format!("a/src/plan.rs:4: plan → api, by crate::api::g: a module uses only those before it in {RULES}");
    let text = messages(&[(RULES, rules)]);
    assert!(text.contains(&expected), "{text:?}");
    assert!(!text.iter().any(|text| text.contains("crate::names")), "{text:?}");
}

#[test]
fn files_and_modules_that_are_not_named_are_told() {
    let unnamed = "a/src/api/lost.rs: no `mod` names it, so nobody compiles it";
    assert_eq!(messages(&[("a/src/api/lost.rs", "")]), [unnamed]);
    assert_eq!(
        messages(&[("a/tests/common/lost.rs", "")]),
        ["a/tests/common/lost.rs: no `mod` names it, so nobody compiles it"]
    );
    let added = [("a/src/lib.rs", "mod api;\nmod names;\nmod new;\nmod plan;\n"), ("a/src/new.rs", "")];
    assert_eq!(messages(&added), [format!("a/src/new.rs: {RULES} does not say where new stands")]);
    let rules = format!("{RULES_OF_A}    - old\n  b: []\n");
    assert_eq!(
        messages(&[(RULES, &rules)]),
        [format!("{RULES}: there is no package b"), format!("{RULES}: a has no module old"),]
    );
}

#[test]
fn an_arrow_upwards_may_be_known_with_a_reason_and_only_while_it_is_there() {
    let upward = |reason: &str, files: &str| {
        format!("{RULES_OF_A}upward:\n  - path: plan::Plan\n    reason: {reason}\n    files: [{files}]\n")
    };
    let arrow = |file: &str, path: &str| {
        let (from, what) = (file.trim_end_matches(".rs"), "a module uses only those before it in");
        format!("a/src/{file}:1: {from} → plan, by crate::{path}: {what} {RULES}")
    };
    let needless = |file: &str| {
        format!(
            "{RULES}: `upward` names a/src/{file} → plan::Plan, which is no arrow that leads back, or has no reason"
        )
    };
    let rules = upward("it is cut soon", "a/src/names.rs");
    let with = |names: &str, api: &str| messages(&[(RULES, &rules), ("a/src/names.rs", names), ("a/src/api.rs", api)]);
    let (api, plan) = ("mod text;", "use crate::plan::Plan;");
    assert_eq!(with(plan, api), [""; 0]);
    assert_eq!(with(&format!("{plan} fn f() -> super::plan::Plan {{}}"), api), [""; 0], "the same path once more");
    // Neither another path of the file, nor the same path of another file.
    assert_eq!(with("use crate::plan::{Plan, f};", api), [arrow("names.rs", "plan::f")]);
    assert_eq!(with(plan, "mod text; use crate::plan::Plan;"), [arrow("api.rs", "plan::Plan")]);
    // It is gone, or not there for the program, or leads where it may.
    assert_eq!(with("", api), [needless("names.rs")]);
    assert_eq!(with("#[cfg(test)]\nuse crate::plan::Plan;", api), [needless("names.rs")]);
    let rules = upward("it is cut soon", "a/src/plan.rs, a/src/none.rs");
    let moved = "use crate::plan::Plan;\n#[cfg(test)]\n#[path = \"edits/some.rs\"]\nmod edits;\n";
    assert_eq!(messages(&[(RULES, &rules), ("a/src/plan.rs", moved)]), [needless("plan.rs"), needless("none.rs")]);
    let rules = upward("\" \"", "a/src/names.rs");
    let expected = [arrow("names.rs", "plan::Plan"), needless("names.rs")];
    assert_eq!(messages(&[(RULES, &rules), ("a/src/names.rs", plan)]), expected);
}

#[test]
fn a_long_file_needs_a_reason_and_a_reason_needs_a_long_file() {
    let (most, more) = ("\n".repeat(400), "\n".repeat(401));
    assert_eq!(messages(&[("a/src/names.rs", &most)]), [""; 0]);
    let expected = format!("a/src/names.rs: 401 lines; more than 400 need a reason under `long` in {RULES}");
    assert_eq!(messages(&[("a/src/names.rs", &more)]), std::slice::from_ref(&expected));
    let excused = format!("{RULES_OF_A}long:\n  a/src/names.rs: it is one table\n");
    assert_eq!(messages(&[("a/src/names.rs", &more), (RULES, &excused)]), [""; 0]);
    let no_long =
        format!("{RULES}: `long` names a/src/names.rs, which is no file of more than 400 lines, or has no reason");
    assert_eq!(messages(&[(RULES, &excused)]), std::slice::from_ref(&no_long));
    let silent = format!("{RULES_OF_A}long:\n  a/src/names.rs: \" \"\n");
    assert_eq!(messages(&[("a/src/names.rs", &more), (RULES, &silent)]), [expected, no_long]);
}

#[test]
fn siblings_that_need_each_other_are_a_circle() {
    let with = |text: &str, other: &str| {
        let texts = messages(&[
            (RULES, "layers: {}\n"),
            ("a/src/plan.rs", "#[cfg(test)]\n#[path = \"edits/some.rs\"]\nmod edits;\n"),
            ("a/src/api.rs", "mod one;\nmod other;\nuse one::One;\n"),
            ("a/src/api/one.rs", text),
            ("a/src/api/other.rs", other),
        ]);
        texts.into_iter().filter(|text| text.starts_with("a circle")).collect::<Vec<_>>()
    };
    let circle = "a circle of siblings: one → other (a/src/api/one.rs:1), other → one (a/src/api/other.rs:2)";
    assert_eq!(with("use super::other::A;", "\nuse crate::api::one;"), [circle]);
    assert_eq!(with("fn f() { super::other::f() }", "\nfn f() { super::one::f() }"), [circle]);
    // Neither an arrow in one direction, nor one between child and parent, nor one of tests.
    assert_eq!(with("use super::other::A;", "use super::B;"), [""; 0]);
    assert_eq!(with("use super::other::A;", "#[cfg(test)]\nuse super::one::B;"), [""; 0]);
}

#[test]
fn half_of_the_files_are_short() {
    let long = "\n".repeat(121);
    let changes =
        [("a/src/names.rs", &long[..]), ("a/src/plan.rs", "#[cfg(test)]\n#[path = \"edits/some.rs\"]\nmod edits;\n")];
    assert_eq!(messages(&changes), [""; 0]);
    let text = format!("{}mod text;\n", "\n".repeat(121));
    let expected = "half of all files have 121 lines and more; 120 are enough: cut some";
    assert_eq!(messages(&[changes[0], changes[1], ("a/src/api.rs", &text), ("a/src/api/text.rs", &long)]), [expected]);
}
