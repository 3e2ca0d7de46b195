//! What the values of the chart change in what it renders: `data/chart-values.yaml` says it, and names each value.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_e2e::{cache, crds};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::harness::{Cluster, SYSTEM, Test, printed};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    name: String,
    set: Value,
    /// By kind and name, then by pointer.
    #[serde(default)]
    has: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(default)]
    lacks: Vec<String>,
    refused: Option<String>,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(cache::workspace().join(path)).unwrap()
}

fn cases() -> Vec<Case> {
    serde_yaml::from_str(&read("tests/e2e/data/chart-values.yaml")).unwrap()
}

/// Dotted paths of everything that is no map, or an empty one.
fn leaves(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        Some(map) => map.iter().for_each(|(key, value)| leaves(value, &format!("{path}.{key}"), found)),
        None => drop(found.insert(path.to_owned())),
    }
}

#[test]
fn each_value_is_in_the_table() {
    let (mut values, mut set) = (BTreeSet::new(), BTreeSet::new());
    leaves(&serde_yaml::from_str(&read("charts/holdfast/values.yaml")).unwrap(), "", &mut values);
    cases().iter().filter(|case| case.refused.is_none()).for_each(|case| leaves(&case.set, "", &mut set));
    // A map may be filled in several ways, and a part of it may be left as it is.
    let is_set = |value: &&String| !set.iter().any(|path| path == *value || path.starts_with(&format!("{value}.")));
    let missing: Vec<&String> = values.iter().filter(is_set).collect();
    let parts_that_stay = [".podSecurityContext.", ".securityContext.", ".resources."];
    let missing: Vec<_> =
        missing.into_iter().filter(|path| !parts_that_stay.iter().any(|part| path.contains(part))).collect();
    assert!(missing.is_empty(), "values without a case in chart-values.yaml: {missing:?}");
}

/// What the chart makes of values: by kind and name, and as one text.
async fn rendered(test: &Test, values: &Value) -> Result<(BTreeMap<String, Value>, String), String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    let chart = cache::workspace().join("charts/holdfast").display().to_string();
    let output = test.admin.helm(&["template", "holdfast", &chart, "-f", &file.path().display().to_string()]).await;
    let yaml = output.success().map_err(|error| format!("{error:#}"))?;
    let documents = serde_yaml::Deserializer::from_str(&yaml);
    let objects = documents.map(|document| Value::deserialize(document).unwrap()).filter(Value::is_object);
    let name =
        |object: &Value| [&object["kind"], &object["metadata"]["name"]].map(|it| it.as_str().unwrap().to_owned());
    Ok((objects.map(|object| (name(&object).join("/"), object)).collect(), yaml))
}

/// What is at a pointer is not what is expected: what it is.
fn differs(object: &Value, pointer: &str, expected: &Value) -> Option<String> {
    if let Some(list) = pointer.strip_suffix("/-") {
        let found = object.pointer(list).cloned().unwrap_or_default();
        let has = found.as_array().is_some_and(|items| items.contains(expected));
        return (!has).then(|| found.to_string());
    }
    let found = object.pointer(pointer).unwrap_or(&Value::Null);
    (found != expected).then(|| found.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_have_their_effect_and_the_server_takes_what_comes_out() {
    let test = Test::on(Arc::new(Cluster::bare().await), "values").await;
    test.create("namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})).await;
    let system = Test::within(Arc::clone(&test.cluster), SYSTEM);
    let find = || anyhow::Ok([crds::pod_monitors()?, crds::certificates()?]);
    for definition in tokio::task::spawn_blocking(find).await.unwrap().unwrap() {
        system.admin.with(&["create", "-f", &definition.display().to_string()]).await.success().unwrap();
    }
    for name in ["podmonitors.monitoring.coreos.com", "certificates.cert-manager.io"] {
        system.admin.does(&format!("wait --for=condition=Established crd/{name} --timeout=30s")).await;
    }
    let about: Map<String, Value> = serde_yaml::from_str(&read("charts/holdfast/Chart.yaml")).unwrap();
    let version = about["appVersion"].as_str().unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"), "appVersion, which is the tag of the images");

    for case in cases() {
        let reported = if case.name.is_empty() { case.set.to_string() } else { case.name.clone() };
        let result = rendered(&system, &case.set).await;
        let (objects, yaml) = match (&case.refused, result) {
            (Some(part), Err(refusal)) => {
                assert!(refusal.contains(part.as_str()), "{reported}: {refusal}");
                continue;
            }
            (Some(_), Ok(_)) => panic!("{reported}: it is not refused"),
            (None, result) => result.unwrap_or_else(|error| panic!("{reported}: {error}")),
        };
        for (name, pointers) in &case.has {
            let object = objects.get(name).unwrap_or_else(|| panic!("{reported}: there is no {name}"));
            for (pointer, expected) in pointers {
                let expected: Value = match expected.as_str() {
                    Some(word) => word.replace("APP_VERSION", version).into(),
                    None => expected.clone(),
                };
                let difference = differs(object, pointer, &expected);
                assert!(difference.is_none(), "{reported}: {name} {pointer}: {difference:?} instead of {expected}");
            }
        }
        let found: Vec<_> = case.lacks.iter().filter(|name| objects.contains_key(*name)).collect();
        assert!(found.is_empty(), "{reported}: {found:?}");
        let output = system.admin.send("apply --dry-run=server --validate=strict", &yaml).await;
        // A dry run does not know the warnings of admission; there are to be none of validation either.
        assert!(output.status.success() && output.stderr.is_empty(), "{reported}: {}", printed(&output));
    }
}
