//! Reviews as the API server sends them, of objects as it stores them.
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_e2e::wait;
use holdfast_runtime::api::Api;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use super::super::declare;
use super::super::stage::{HOME, Stage, resource};

/// The ManagedResource that holds the objects in question; it says nothing of a mode, so edits are refused.
pub(super) const MR: &str = "guarding";
const LIMIT: Duration = Duration::from_secs(30);
/// So that the reviews have the sizes that the targets are about.
const FILLER: usize = 930;
const DEPLOYMENT: (&str, &str, &str) = ("apps", "deployments", "Deployment");
const VARIABLES: usize = 58;

/// Bodies of requests.
pub(super) struct Reviews {
    /// An annotation of a managed ConfigMap changes, which passes.
    pub(super) config_map: Arc<[u8]>,
    /// The same of a Deployment.
    pub(super) deployment: Arc<[u8]>,
    /// A declared field of the Deployment changes.
    pub(super) denied: Arc<[u8]>,
}

impl Reviews {
    /// Declares the objects, and reads what became of them.
    ///
    /// # Errors
    /// They are not applied, or the reviews are not as large as they should be.
    pub(super) async fn collect(stage: &Stage) -> Result<Self> {
        declare(stage).await?;
        let config_map = stored(stage, "", "v1", "ConfigMap", "configmaps").await?;
        let deployment = stored(stage, "apps", "v1", "Deployment", "deployments").await?;
        let mut scaled = deployment.clone();
        scaled["spec"]["replicas"] = json!(7);
        let reviews = Self {
            config_map: review(("", "configmaps", "ConfigMap"), "UPDATE", MR, &config_map, &annotated(&config_map)),
            deployment: review(DEPLOYMENT, "UPDATE", MR, &deployment, &annotated(&deployment)),
            denied: review(DEPLOYMENT, "UPDATE", MR, &deployment, &scaled),
        };
        for (what, body, expected) in
            [("ConfigMap", &reviews.config_map, 4_500), ("Deployment", &reviews.deployment, 21_000)]
        {
            let size = body.len();
            ensure!(
                size.abs_diff(expected) < expected / 10,
                "the review of the {what} has {size} bytes, not {expected}"
            );
        }
        Ok(reviews)
    }
}

async fn declare(stage: &Stage) -> Result<()> {
    let mut variables = String::new();
    for number in 0..VARIABLES {
        // Writing to a String does not fail.
        let _ = write!(variables, "{{name: VARIABLE_{number:03}, value: the value of variable {number:03}}}, ");
    }
    let manifests = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {MR}, namespace: {HOME}}}, data: {{filler: {}}}}}\n---\n\
         {{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {MR}, namespace: {HOME}}}, spec: {{replicas: 0, \
         selector: {{matchLabels: {{app: x}}}}, template: {{metadata: {{labels: {{app: x}}}}, \
         spec: {{containers: [{{name: c, image: nginx, env: [{variables}]}}]}}}}}}}}\n",
        "x".repeat(FILLER),
    );
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": MR}, "stringData": {"x.yaml": manifests}});
    let mr = json!({"apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource", "metadata": {"name": MR},
        "spec": {"secretRefs": [{"name": MR}]}});
    for (api, object) in [(declare::secrets(stage), secret), (declare::objects_of_mrs(stage), mr)] {
        let object: DynamicObject = serde_json::from_value(object).context("make an object")?;
        api.create(&PostParams::default(), &object).await.context("declare what is reviewed")?;
    }
    wait::eventually("the objects to be applied", LIMIT, || async {
        let mr = declare::mrs(stage).get(MR).await?;
        if declare::is_applied(&mr) { Ok(()) } else { bail!("{:?}", mr.status) }
    })
    .await
}

async fn stored(stage: &Stage, group: &str, version: &str, kind: &str, plural: &str) -> Result<Value> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(stage.client.clone(), HOME, &resource(group, version, kind, plural));
    serde_json::to_value(api.get(MR).await.context("get what is reviewed")?).context("read what is reviewed")
}

fn annotated(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["annotations"]["example.com/note"] = json!("from somebody");
    object
}

/// The body of a review of something that alice does to an object in [`HOME`]; `null` for a state that is absent.
pub(super) fn review(
    (group, plural, kind): (&str, &str, &str),
    operation: &str,
    name: &str,
    old: &Value,
    new: &Value,
) -> Arc<[u8]> {
    let kind = json!({"group": group, "version": "v1", "kind": kind});
    let resource = json!({"group": group, "version": "v1", "resource": plural});
    let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": kind, "resource": resource, "requestKind": kind,
        "requestResource": resource, "name": name, "namespace": HOME, "operation": operation,
        "userInfo": {"username": "alice", "uid": "014fbff9a07c", "groups": ["system:authenticated", "developers"]},
        "object": new, "oldObject": old, "dryRun": false,
        "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-edit"},
    }});
    review.to_string().into_bytes().into()
}
