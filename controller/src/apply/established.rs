//! Waiting until the kinds of new CustomResourceDefinitions are served.

use std::{collections::BTreeSet, time::Duration};

use holdfast_core::{key::Gvk, position::Position};
use serde_json::Value;
use tokio::time::Instant;

use super::Applier;
use crate::{desired::DesiredSet, status::result::Failures, target::discovery::Snapshot};

/// How long they may take before the pass goes on without them.
const LIMIT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(50);

impl Applier {
    /// Waits until the kinds of CustomResourceDefinitions that were applied just now are served; returns what is served then.
    /// Nobody waits for others: those that could not be applied are tried again by a later pass, and those of somebody else may
    /// never come.
    pub(crate) async fn wait_until_established(
        &self,
        set: &DesiredSet,
        definitions: &[Position],
        failures: &Failures,
        mut snapshot: Snapshot,
    ) -> Snapshot {
        let applied = definitions.iter().filter(|position| !failures.contains_key(position));
        let applied: Vec<_> = applied.filter_map(|position| position.of(&set.objects)).collect();
        let defined: BTreeSet<Gvk> = applied.iter().flat_map(|object| served_by(&object.body.value())).collect();
        let declared = set.objects.iter().map(|object| &*object.gvk);
        let expected: BTreeSet<&Gvk> = declared.filter(|gvk| defined.contains(gvk)).collect();
        let deadline = Instant::now() + LIMIT;
        for name in applied.iter().map(|object| object.key.name()) {
            while Instant::now() < deadline {
                match self.target.client.is_established(name).await {
                    Ok(false) => tokio::time::sleep(INTERVAL).await,
                    Ok(true) => break,
                    Err(error) => {
                        tracing::warn!(definition = name, %error, "cannot tell whether the CustomResourceDefinition is established");
                        break;
                    }
                }
            }
        }
        let is_missing = |snapshot: &Snapshot| expected.iter().any(|gvk| snapshot.kinds.get(gvk).is_none());
        while is_missing(&snapshot) && Instant::now() < deadline {
            match self.target.discovery.refresh_now().await {
                Ok(newer) => snapshot = newer,
                Err(error) => tracing::warn!(%error, "cannot tell what is served"),
            }
            if is_missing(&snapshot) {
                tokio::time::sleep(INTERVAL * 4).await;
            }
        }
        snapshot
    }
}

/// What will be served because of a CustomResourceDefinition.
fn served_by(definition: &Value) -> Vec<Gvk> {
    let spec = &definition["spec"];
    let (Some(group), Some(kind)) = (spec["group"].as_str(), spec["names"]["kind"].as_str()) else { return vec![] };
    let versions = spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true);
    let names = versions.filter_map(|version| version["name"].as_str());
    names.map(|version| Gvk { group: group.into(), version: version.into(), kind: kind.into() }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_says_what_is_served() {
        let gvk = |version: &str| Gvk::new(&format!("example.com/{version}"), "Part");
        let definition = |versions: Value| json!({"spec": {"group": "example.com", "names": {"kind": "Part"}, "versions": versions}});
        let version = |name: &str, served: bool| json!({"name": name, "served": served});
        for (case, definition, expected) in [
            ("one version", definition(json!([version("v1", true)])), vec![gvk("v1")]),
            (
                "one that is not served",
                definition(json!([version("v1", true), version("v2", false), version("v3", true)])),
                vec![gvk("v1"), gvk("v3")],
            ),
            ("no versions", definition(json!([])), vec![]),
            ("nothing that makes sense", json!({"spec": {"group": 1, "versions": "v1"}}), vec![]),
            ("no spec", json!({}), vec![]),
        ] {
            assert_eq!(served_by(&definition), expected, "{case}");
        }
    }
}
