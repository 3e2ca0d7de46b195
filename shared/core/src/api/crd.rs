//! The CustomResourceDefinition, generated from the types.

use schemars::{
    JsonSchema,
    generate::SchemaSettings,
    transform::{AddNullable, Transform},
};
use serde_json::{Value, json};

use super::{Spec, stored::Stored};
use crate::names;

/// Returns the CRD as the chart installs it, without the chart's own metadata.
///
/// The schema is structural and has no references, because the API server requires that. Every field of Holdfast's own
/// is optional.
pub fn custom_resource_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{}", names::PLURAL, names::GROUP) },
        "spec": {
            "group": names::GROUP,
            "names": {
                "kind": "ManagedResource",
                "listKind": "ManagedResourceList",
                "plural": names::PLURAL,
                "shortNames": ["mr"],
                "singular": "managedresource",
            },
            "scope": "Namespaced",
            "versions": [{
                "name": names::VERSION,
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": printer_columns(),
                "schema": { "openAPIV3Schema": {
                    "description": "ManagedResource describes a list of managed resources.",
                    "type": "object",
                    "properties": {
                        "apiVersion": { "type": "string", "description": "APIVersion defines the versioned schema of this representation of an object." },
                        "kind": { "type": "string", "description": "Kind is the REST resource that this object represents." },
                        "metadata": { "type": "object" },
                        "spec": spec_schema(),
                        "status": status_schema(),
                    },
                }},
            }],
        },
    })
}

fn printer_columns() -> Value {
    let condition = |name: &str, type_: &str, description: &str| {
        json!({
            "name": name,
            "type": "string",
            "jsonPath": format!(".status.conditions[?(@.type==\"{type_}\")].status"),
            "description": description,
        })
    };
    json!([
        { "name": "Class", "type": "string", "jsonPath": ".spec.class", "description": "The class identifies which resource manager is responsible for this ManagedResource." },
        condition("Applied", "ResourcesApplied", "Indicates whether all resources have been applied."),
        condition("Healthy", "ResourcesHealthy", "Indicates whether all resources are healthy."),
        condition("Progressing", "ResourcesProgressing", "Indicates whether some resources are still progressing to be rolled out."),
        { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "description": "Creation timestamp." },
    ])
}

/// `secretRefs` has a serde default, so a missing list never breaks decoding. The API requires it, as the original
/// does.
fn spec_schema() -> Value {
    let mut spec = schema::<Spec>();
    spec["required"] = json!(["secretRefs"]);
    if let Some(refs) = spec["properties"]["secretRefs"].as_object_mut() {
        refs.remove("default");
    }
    spec
}

/// The schema describes inventory entries, but the API server does not check them. Only controllers write them, and the
/// server prunes, defaults, coerces and validates each field of a schema in every write and every event. For 1,000
/// entries this was 110 of 300 ms of the API server's CPU time (Kubernetes 1.37.2).
fn status_schema() -> Value {
    let mut status = schema::<Stored>();
    let entry = &mut status["properties"]["resources"]["items"];
    let fields = entry["properties"].as_object().into_iter().flatten();
    let fields: Vec<String> = fields.map(|(name, field)| format!("{name}: {}", described(field))).collect();
    *entry = json!({
        "description": format!("{} {}", described(entry), fields.join(" ")),
        "type": "object",
        "x-kubernetes-map-type": entry["x-kubernetes-map-type"],
        "x-kubernetes-preserve-unknown-fields": true,
    });
    status
}

fn described(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    AddNullable::default().transform(&mut schema);
    let mut value = schema.to_value();
    tidy(&mut value);
    value
}

/// Removes what a structural schema must not have, and what says nothing: titles, number formats that Kubernetes does
/// not know, nullability of optional fields (absent and null are the same to serde), and the `oneOf`s of enums.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("title");
            map.remove("$schema");
            map.remove("nullable");
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            if let Some(values) = enum_values(map) {
                for key in ["oneOf", "anyOf", "allOf"] {
                    map.remove(key);
                }
                map.insert("type".into(), "string".into());
                map.insert("enum".into(), values.into());
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Returns the values of an enum. schemars writes one alternative per value, because each has a doc comment.
fn enum_values(map: &serde_json::Map<String, Value>) -> Option<Vec<Value>> {
    let alternatives = ["oneOf", "anyOf", "allOf"].iter().find_map(|key| map.get(*key))?.as_array()?;
    let mut values = Vec::new();
    for alternative in alternatives {
        if alternative.get("enum").is_some_and(|list| *list == json!([null])) {
            continue;
        }
        match (alternative.get("const"), alternative.get("enum"), alternative.as_object().and_then(enum_values)) {
            (Some(value), _, _) => values.push(value.clone()),
            (None, Some(Value::Array(list)), _) => values.extend(list.iter().filter(|value| !value.is_null()).cloned()),
            (None, None, Some(nested)) => values.extend(nested),
            _ => return None,
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_is_structural_and_has_a_description_on_every_field() {
        fn check(path: &str, schema: &Value) {
            for forbidden in ["$ref", "oneOf", "anyOf", "allOf", "definitions", "title", "nullable"] {
                assert!(schema.get(forbidden).is_none(), "{path} has {forbidden}: {schema}");
            }
            assert!(schema.get("type").is_some(), "{path} has no type: {schema}");
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(field.get("description").is_some() || name == "metadata", "{path} has no description: {field}");
                check(&path, field);
            }
            if let Some(items) = schema.get("items") {
                check(&format!("{path}[]"), items);
            }
        }
        let crd = custom_resource_definition();
        check("", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    }

    #[test]
    fn entries_of_the_inventory_are_described_and_not_checked() {
        let crd = custom_resource_definition();
        let status = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        let entry = &status["properties"]["resources"]["items"];
        assert!(entry["properties"].is_null() && entry["x-kubernetes-preserve-unknown-fields"] == true, "{entry}");
        let description = described(entry);
        assert!(
            description.starts_with("ResourceReference is an object that a ManagedResource holds."),
            "{description}"
        );
        for field in ["apiVersion", "kind", "namespace", "name", "labels", "annotations", "source", "state"] {
            assert!(description.contains(&format!(" {field}: ")), "{description}");
        }
    }

    #[test]
    fn only_secret_refs_is_required() {
        let crd = custom_resource_definition();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert!(schema.get("required").is_none());
        assert_eq!(schema["properties"]["spec"]["required"], json!(["secretRefs"]));
        assert_eq!(
            schema["properties"]["spec"]["properties"]["protection"]["properties"]["mode"]["enum"],
            json!(["Deny", "Revert", "Warn", "Off"])
        );
    }
}
