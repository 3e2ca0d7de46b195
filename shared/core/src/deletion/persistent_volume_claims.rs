//! PersistentVolumeClaims that a StatefulSet has created (`spec.deletePersistentVolumeClaims`).

use serde_json::Value;

/// Identifies the claims of a StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Label selector of the claims.
    pub selector: String,
    /// The parts of their names before the number of the pod.
    prefixes: Vec<String>,
}

impl Claims {
    /// Reads a StatefulSet. Returns `None` if it has no claim templates.
    pub fn of(stateful_set: &Value) -> Option<Self> {
        let name = stateful_set["metadata"]["name"].as_str()?;
        let templates = stateful_set["spec"]["volumeClaimTemplates"].as_array()?.iter();
        let names = templates.filter_map(|template| template["metadata"]["name"].as_str());
        let prefixes: Vec<String> = names.map(|template| format!("{template}-{name}-")).collect();
        let labels = stateful_set["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
        let labels: Vec<String> =
            labels.filter_map(|(label, value)| Some(format!("{label}={}", value.as_str()?))).collect();
        (!prefixes.is_empty()).then(|| Self { selector: labels.join(","), prefixes })
    }

    /// Whether the StatefulSet owns a claim of this name. Labels alone do not decide, since other claims may have them,
    /// too.
    pub fn contains(&self, name: &str) -> bool {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        self.prefixes.iter().any(|prefix| name.strip_prefix(prefix.as_str()).is_some_and(is_number))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_are_found_by_labels_and_name() {
        let stateful_set = json!({"metadata": {"name": "db"}, "spec": {
            "selector": {"matchLabels": {"app": "db", "tier": "x"}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}, {"metadata": {"name": "log"}}]
        }});
        let claims = Claims::of(&stateful_set).unwrap();
        assert_eq!(claims.selector, "app=db,tier=x");
        for (name, expected) in [
            ("data-db-0", true),
            ("log-db-12", true),
            ("data-db-", false),
            ("data-db-x", false),
            ("other", false),
            ("data-db-0-copy", false),
        ] {
            assert_eq!(claims.contains(name), expected, "{name}");
        }
        assert_eq!(Claims::of(&json!({"metadata": {"name": "db"}, "spec": {"volumeClaimTemplates": []}})), None);
        assert_eq!(Claims::of(&json!({"metadata": {"name": "db"}, "spec": {}})), None);
    }
}
