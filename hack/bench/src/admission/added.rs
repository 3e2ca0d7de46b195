//! What the webhook adds to a write that it allows, beside what one adds that allows everything.
use std::time::Instant;

use anyhow::{Context, Result};
use holdfast_runtime::api::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::super::declare;
use super::super::numbers::{median, millis};
use super::super::report::Measured;
use super::super::stage::{HOME, Stage};
use super::allow::{self, Allows};
use super::reviews::MR;

/// Writes that are not counted: connections are opened, caches filled.
const WARM_UP: usize = 20;

/// What is written, given the number of the round.
type Change = fn(usize) -> Value;

/// The same annotation of three ConfigMaps, in turn: one that no webhook is asked about, one of the yardstick, and ours. No
/// controller runs meanwhile: it would look at what becomes of its own object, on the same cores.
///
/// Of an annotation of ours the API server sees by itself that it is free. So there is a note of what is added to a write that
/// the webhook is asked about, which is allowed as well: a finalizer.
///
/// # Errors
/// A write fails.
pub(super) async fn measure(stage: &Stage, rounds: usize) -> Result<Vec<Measured>> {
    let api = declare::config_maps(&stage.client, HOME);
    let managed = api.get(MR).await.context("get the managed ConfigMap")?;
    copy(&api, &managed, "free", None).await?;
    copy(&api, &managed, "allowed", Some(allow::LABEL)).await?;
    let allows = Allows::start(stage).await?;
    let (annotation, finalizer): (Change, Change) = (
        |round| json!({"metadata": {"annotations": {"example.com/round": round.to_string()}}}),
        |round| json!({"metadata": {"finalizers": [format!("example.com/round-{}", round % 2)]}}),
    );
    let result = stage
        .without_controller(async {
            let without_review = rounds_of(&api, rounds, annotation).await?;
            Ok([without_review, rounds_of(&api, rounds, finalizer).await?])
        })
        .await;
    allows.stop().await?;
    let [without_review, with_review] = result?;
    let ratio = |[free, allowed, ours]: [f64; 3]| (ours - free) / (allowed - free);
    let text = |[free, allowed, ours]: [f64; 3]| {
        format!("{:.3} ms beside {:.3}; the write takes {free:.3} ms", ours - free, allowed - free)
    };
    let note = format!(
        "an annotation: {}, p50 of {rounds}. A finalizer, which the webhook is asked about: {:.2} x, {}",
        text(without_review),
        ratio(with_review),
        text(with_review)
    );
    Ok(vec![Measured::new(ratio(without_review), note)])
}

/// With the same data, and as many managed fields, but none of our marks.
async fn copy(api: &Api<DynamicObject>, managed: &DynamicObject, name: &str, label: Option<&str>) -> Result<()> {
    let labels: Value = label.map_or_else(|| json!({"example.com/a": "b"}), |label| json!({label: "true"}));
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": labels, "annotations": managed.metadata.annotations},
        "data": managed.data["data"]});
    api.patch(name, &PatchParams::apply("bench"), &Patch::Apply(object)).await.context("create a ConfigMap")?;
    Ok(())
}

/// The medians, in milliseconds.
async fn rounds_of(api: &Api<DynamicObject>, rounds: usize, change: Change) -> Result<[f64; 3]> {
    let parameters = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    let mut times: [Vec<f64>; 3] = Default::default();
    for round in 0..rounds + WARM_UP {
        let patch = Patch::Merge(change(round));
        for (name, times) in ["free", "allowed", MR].into_iter().zip(&mut times) {
            let begun = Instant::now();
            api.patch_metadata(name, &parameters, &patch).await.with_context(|| format!("patch {name}"))?;
            if round >= WARM_UP {
                times.push(millis(begun.elapsed()));
            }
        }
    }
    Ok(times.map(|times| median(&times)))
}
