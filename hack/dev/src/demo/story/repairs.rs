//! The steps without the webhook: edits pass, and are undone.
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use holdfast_e2e::wait;
use holdfast_runtime::api::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use super::super::memory;
use super::super::repair::{self, Watched};
use super::super::shell::Shell;
use super::{EDIT_DATA, EDIT_REPLICAS, Story};

/// How long the webhook's processes may take to end.
const GONE: Duration = Duration::from_secs(30);
/// What a repair of a ConfigMap should take at most.
const AIM: Duration = Duration::from_millis(200);

impl Story<'_> {
    pub(super) async fn without_webhook(&mut self, shell: &Shell) -> Result<()> {
        self.page.step("Without the webhook, the same edit passes - and is undone");
        let scale = "kubectl -n holdfast-system scale deployment holdfast-webhook --replicas=0";
        self.show(shell, scale, &["scaled"]).await?;
        let supervisor = self.supervisor_pid()?;
        let gone = wait::eventually("the webhook's processes to end", GONE, || async {
            let processes = memory::processes(supervisor, "holdfast-webhook");
            if processes.is_empty() { Ok(()) } else { Err(format!("{} are left", processes.len())) }
        });
        gone.await?;
        self.page.good("both processes of the webhook have ended");

        let deployments = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
        let look = |object: Option<&Value>| Some(object?.pointer("/spec/replicas")?.to_string());
        let watched = Watched::begin(self.client().await?, &deployments, "nginx-deployment", look).await?;
        let repair = tokio::spawn(watched.repair());
        self.show(shell, EDIT_REPLICAS, &["scaled"]).await?;
        let repair = repair.await.context("watch the Deployment")??;
        let time = milliseconds(repair.repaired.saturating_duration_since(repair.edited));
        let get = "kubectl get deployment nginx-deployment -o jsonpath='{.spec.replicas}'";
        let replicas = self.show(shell, get, &[]).await?;
        if replicas.trim() != "2" {
            bail!("the Deployment should have 2 replicas again, and has {}", replicas.trim());
        }
        self.page
            .good(&format!("passed, and undone after {time} (between the two events in a watch of the Deployment)"));
        self.repairs.insert("Deployment scaled", time);
        Ok(())
    }

    pub(super) async fn drifted_config_map(&mut self, shell: &Shell) -> Result<()> {
        self.page.step("The same with ConfigMaps: example 1 once more, still without the webhook");
        self.apply(shell, "hack/examples/1.yaml").await?;
        self.show(shell, "kubectl wait --for=delete deployment/nginx-deployment --timeout=10s", &[]).await?;
        let get = "kubectl get configmaps test-1234 test-5678";
        self.show(shell, get, &["test-1234", "test-5678"]).await?;
        self.page.good("the ConfigMaps are back, the Deployment is pruned");
        self.page.note(
            "The next two requests are those of the commands, but sent by this program: the time runs from the API server's \
             answer to the moment at which a watch sees the object put right, without the start of a kubectl in it.",
        );
        let data = json!({"data": {"owner": "alice"}});
        self.timed("ConfigMap edited", EDIT_DATA, "test-5678", async |api| {
            let patched = api.patch("test-5678", &PatchParams::default(), &Patch::Merge(&data)).await;
            patched.map(|_| ())
        })
        .await?;
        let delete = "kubectl --context alice delete configmap test-1234";
        self.timed("ConfigMap deleted", delete, "test-1234", async |api| {
            api.delete("test-1234", &DeleteParams::default()).await.map(|_| ())
        })
        .await
    }

    /// Edits a ConfigMap by a request of alice's, and takes the time until it is put right.
    async fn timed(
        &mut self,
        what: &'static str,
        command: &str,
        name: &str,
        edit: impl AsyncFnOnce(Api<DynamicObject>) -> kube::Result<()>,
    ) -> Result<()> {
        self.page.command(command);
        let client = self.client().await?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
        let look = |object: Option<&Value>| object.map(|object| format!("there, with data {}", object["data"]));
        let watched = Watched::begin(client.clone(), &resource, name, look).await?;
        let repair = tokio::spawn(watched.repair());
        let sent = tokio::time::timeout(repair::LIMIT, edit(Api::namespaced_with(client, "default", &resource))).await;
        let acknowledged = Instant::now();
        sent.with_context(|| format!("`{command}` was not answered"))?
            .with_context(|| format!("`{command}` failed"))?;
        let repair = repair.await.context("watch the ConfigMap")??;
        let time = repair.repaired.saturating_duration_since(acknowledged);
        let aim = if time <= AIM { "" } else { ": more than the 200 ms that are aimed at; is the machine busy?" };
        let text = milliseconds(time);
        self.page.good(&format!("passed, and undone after {text}{aim}"));
        self.repairs.insert(what, text);
        Ok(())
    }

    pub(super) fn summary(&mut self) {
        self.page.title("\nWhat you have seen");
        self.page.good("applied: two ConfigMaps and a Deployment, from Secrets; a label injected down to the Pods");
        self.page.good("pruned: what the ManagedResource no longer declares");
        self.page.good("refused: edits and a deletion by a cluster-admin, and a Secret that cannot be read");
        let repairs: Vec<String> = self.repairs.iter().map(|(what, time)| format!("{what}, {time}")).collect();
        self.page.good(&format!("undone while the webhook was stopped: {}", repairs.join("; ")));
        if let Ok(supervisor) = self.supervisor_pid() {
            self.page.good(&format!(
                "memory (resident): controller {}, webhook {}",
                memory::resident(supervisor, "holdfast-controller"),
                memory::resident(supervisor, "holdfast-webhook")
            ));
        }
        self.page.note(&format!("{} steps in {} s, each checked.", super::STEPS, self.page.seconds()));
    }

    async fn client(&self) -> Result<kube::Client> {
        let state = self.state.as_ref().context("the control plane is not up")?;
        repair::client(&state.kubeconfig, "alice").await
    }

    fn supervisor_pid(&self) -> Result<u32> {
        self.state.as_ref().and_then(|state| state.pid).context("the control plane has no supervisor")
    }
}

fn milliseconds(time: Duration) -> String {
    if time < Duration::from_millis(1) { "less than 1 ms".to_owned() } else { format!("{} ms", time.as_millis()) }
}
