//! Repairs while a kind of the same ManagedResource does not answer as it should.
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_e2e::wait;
use holdfast_runtime::api::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::declare::{self, Declaration};
use super::numbers::{count, percentile};
use super::repair::{self, Harm};
use super::report::Measured;
use super::row::Row;
use super::stage::{HOME, Stage, resource};
use super::{Run, limited};

const NAME: &str = "sick";
const GROUP: &str = "sick.example.com";
const LIMIT: Duration = Duration::from_secs(60);
/// After this, nobody takes the trouble for something that may be over at once.
const SETTLED: Duration = Duration::from_secs(6);

/// Measures it, if it is wanted.
pub(super) async fn measure(run: &mut Run) {
    let Some(stage) = run.stage(&[Row::Sick]).await else { return };
    let probes = run.sizes.probes;
    let result = limited(repairs(&stage, probes)).await;
    run.report.add(Row::Sick, result);
    if let Err(error) = stage.stop().await {
        run.report.progress(&format!("{error:#}"));
    }
}

async fn repairs(stage: &Stage, probes: usize) -> Result<Vec<Measured>> {
    stage.namespace(NAME).await?;
    define(stage).await?;
    let all = Declaration::small(NAME, NAME, probes);
    all.create_secrets(stage).await?;
    let part = json!({
        "apiVersion": format!("{GROUP}/v2"), "kind": "Part",
        "metadata": {"name": "part", "namespace": NAME}, "spec": {"size": 2},
    });
    let secret = json!({"metadata": {"name": "part"}, "stringData": {"part.yaml": part.to_string()}});
    create(&declare::secrets(stage), &secret).await?;
    let mr = json!({
        "apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource", "metadata": {"name": NAME},
        "spec": {
            "secretRefs": [{"name": all.secret_name(0)}, {"name": "part"}], "protection": {"mode": "Off"},
        },
    });
    create(&declare::objects_of_mrs(stage), &mr).await?;
    let (mrs, failed) = (declare::objects_of_mrs(stage), "the ManagedResource to name the object that is sick");
    wait::eventually(failed, LIMIT, || async {
        let mr = mrs.get(NAME).await?;
        let conditions = mr.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_named = conditions.iter().any(|condition| condition["reason"] == "ApplyFailed");
        anyhow::ensure!(is_named, "{conditions:?}");
        Ok(())
    })
    .await?;
    tokio::time::sleep(SETTLED).await;
    let (objects, api) = (all.objects(), declare::config_maps(&stage.client, NAME));
    let (mut log, begun) = (stage.audit()?, std::time::Instant::now());
    let times = repair::one_by_one(&api, Harm::Edit, objects.iter(), repair::uneven).await?;
    let requests = super::stage::sent(&mut log)?.iter().filter(|request| request.resource == "parts").count();
    repair::check(&api, &objects).await?;
    let rate = count(requests) / begun.elapsed().as_secs_f64();
    let note = format!("{} to {:.0} ms", percentile(&times, 0).round(), percentile(&times, 100));
    Ok(vec![
        Measured::new(percentile(&times, 50), note.clone()),
        Measured::new(percentile(&times, 99), note),
        Measured::new(rate, format!("{requests} in {} s", begun.elapsed().as_secs())),
    ])
}

/// A kind with an object of another version, and nobody who could convert it.
async fn define(stage: &Stage) -> Result<()> {
    let kind = resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
    let definitions: Api<DynamicObject> = Api::all_with(stage.client.clone(), &kind);
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        })
    };
    let name = format!("parts.{GROUP}");
    let definition = json!({
        "metadata": {"name": name},
        "spec": {
            "group": GROUP, "scope": "Namespaced", "names": {"plural": "parts", "kind": "Part"},
            "versions": [version("v1", true), version("v2", false)],
        },
    });
    create(&definitions, &definition).await?;
    let parts: Api<DynamicObject> =
        Api::namespaced_with(stage.client.clone(), NAME, &resource(GROUP, "v1", "Part", "parts"));
    wait::eventually("the kind to be served", LIMIT, || async {
        create(&parts, &json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Part", "metadata": {"name": "old"}})).await
    })
    .await?;
    let service = json!({"name": "nobody", "namespace": HOME});
    let conversion = json!({"spec": {"conversion": {"strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"], "clientConfig": {"service": service},
    }}}});
    definitions.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&conversion)).await.context("break it")?;
    Ok(())
}

async fn create(api: &Api<DynamicObject>, object: &Value) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(object.clone()).context("make an object")?;
    api.create(&PostParams::default(), &object).await.context("create an object").map(drop)
}
