//! The steps of the demo. Each runs what a reader could type and checks that it shows what it should.
mod repairs;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::page::Page;
use super::shell::Shell;
use crate::cluster::{Kind, State, Supervisor};

/// How many steps there are, with the build.
pub(super) const STEPS: usize = 11;

/// What a command may write before the rest is left out.
const SHOWN: usize = 14;

const EDIT_REPLICAS: &str = "kubectl --context alice scale deployment nginx-deployment --replicas=5";
const EDIT_DATA: &str =
    "kubectl --context alice patch configmap test-5678 --type merge -p '{\"data\":{\"owner\":\"alice\"}}'";
const WEBHOOK_READY: &str = "kubectl -n holdfast-system rollout status deployment holdfast-webhook --timeout=60s";

/// A Secret whose second document lost a space.
const MALFORMED: &str = "kubectl apply -f - <<'EOF'
apiVersion: v1
kind: Secret
metadata:
  name: managedresource-example2
  namespace: default
type: Opaque
stringData:
  other-objects.yaml: |
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: this-one-is-fine
      namespace: default
    ---
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: this-one-is-not
     namespace: default
EOF";

/// The story, and where it is.
pub(super) struct Story<'a> {
    page: Page,
    supervisor: &'a mut Supervisor,
    kind: Kind,
    state: Option<State>,
    /// What the summary says about each repair.
    repairs: BTreeMap<&'static str, String>,
}

impl<'a> Story<'a> {
    /// From the step that starts the control plane.
    pub(super) fn new(page: Page, supervisor: &'a mut Supervisor, kind: Kind) -> Self {
        Self { page, supervisor, kind, state: None, repairs: BTreeMap::new() }
    }

    /// How to reach the control plane, once it is up.
    pub(super) fn state(self) -> Option<State> {
        self.state
    }

    /// Tells it to the end.
    ///
    /// # Errors
    /// The first step that does not show what it should.
    pub(super) async fn run(&mut self) -> Result<()> {
        let outcome = self.steps().await;
        if let Err(error) = outcome {
            self.page.bad("not what it should be");
            return Err(error).context(format!("the demo ends at {}", self.page.here()));
        }
        Ok(())
    }

    async fn steps(&mut self) -> Result<()> {
        let shell = self.control_plane().await?;
        self.installation(&shell).await?;
        self.example_1(&shell).await?;
        self.edit_of_config_maps(&shell).await?;
        self.example_2(&shell).await?;
        self.edit_of_deployment(&shell).await?;
        self.malformed_secret(&shell).await?;
        self.without_webhook(&shell).await?;
        self.drifted_config_map(&shell).await?;
        self.webhook_back(&shell).await?;
        self.summary();
        Ok(())
    }

    async fn control_plane(&mut self) -> Result<Shell> {
        let start = Instant::now();
        let state = self.supervisor.ready().await?;
        self.page.good(&format!(
            "{} are ready after {:.1} s",
            match self.kind {
                Kind::ControlPlane => "etcd, kube-apiserver and kube-controller-manager",
                Kind::Node => "control plane, kubelet, kube-proxy and containerd",
            },
            start.elapsed().as_secs_f64()
        ));
        let shell = Shell::new(&state)?;
        self.state = Some(state);
        self.quietly(&shell, "kubectl version", &["Server Version: v1."]).await?;
        self.show(&shell, "kubectl --context alice auth can-i '*' '*' --all-namespaces", &["yes"]).await?;
        self.page.good("alice may do everything, as far as RBAC is concerned");
        Ok(shell)
    }

    async fn installation(&mut self, shell: &Shell) -> Result<()> {
        self.page.step("Install the chart");
        let mut install = "helm install holdfast charts/holdfast -n holdfast-system --create-namespace".to_owned();
        if self.kind == Kind::ControlPlane {
            install.push_str(" --set image.tag=dev");
        }
        self.quietly(shell, &install, &["STATUS: deployed"]).await?;
        self.show(
            shell,
            "kubectl -n holdfast-system rollout status deployment holdfast-controller --timeout=60s",
            &["successfully rolled out"],
        )
        .await?;
        self.show(shell, WEBHOOK_READY, &["successfully rolled out"]).await?;
        self.show(shell, "kubectl -n holdfast-system get pods", &["holdfast-controller-", "holdfast-webhook-"]).await?;
        self.page.good("controller and webhook run, with the rights of their service accounts");
        Ok(())
    }

    async fn example_1(&mut self, shell: &Shell) -> Result<()> {
        self.page.step("Example 1: a ManagedResource with a Secret that declares two ConfigMaps");
        self.apply(shell, "hack/examples/1.yaml").await?;
        self.show(shell, "kubectl get mr example", &["True"]).await?;
        let get = "kubectl get configmaps test-1234 test-5678";
        self.show(shell, get, &["test-1234", "test-5678"]).await?;
        self.page.good("both ConfigMaps are there");
        Ok(())
    }

    async fn edit_of_config_maps(&mut self, shell: &Shell) -> Result<()> {
        self.page.step("A manual modification is refused, also for a cluster-admin");
        let owner = "is managed by ManagedResource default/example";
        self.refused(shell, EDIT_DATA, &[owner, "data.owner", " with: kubectl patch mr "]).await?;
        let delete = "kubectl --context alice delete configmap test-1234";
        self.refused(shell, delete, &[owner, "Secret default/managedresource-example1"]).await?;
        self.quietly(shell, "kubectl get configmap test-1234", &["test-1234"]).await?;
        self.page.good("refused; the message says who owns the object, what to change instead, and how to pause");
        Ok(())
    }

    async fn example_2(&mut self, shell: &Shell) -> Result<()> {
        self.page.step("Example 2 replaces it: a Deployment, with foo=bar injected");
        self.apply(shell, "hack/examples/2.yaml").await?;
        let gone = "kubectl wait --for=delete configmap/test-1234 configmap/test-5678 --timeout=10s";
        self.show(shell, gone, &[]).await?;
        self.refused(
            shell,
            "kubectl get configmaps test-1234 test-5678",
            &["\"test-1234\" not found", "\"test-5678\" not found"],
        )
        .await?;
        self.page.good("the ConfigMaps, which are not declared any more, are pruned");
        let pods = "kubectl wait --for=jsonpath='{.status.replicas}'=2 deployment/nginx-deployment --timeout=10s";
        self.show(shell, pods, &["condition met"]).await?;
        let get = "kubectl get deployments,replicasets,pods --selector foo=bar --label-columns foo";
        let labelled =
            self.show(shell, get, &["deployment.apps/nginx-deployment ", "replicaset.apps/nginx-deployment-"]).await?;
        let pods = labelled.lines().filter(|line| line.starts_with("pod/nginx-deployment-")).count();
        if pods != 2 {
            bail!("`{get}` should show 2 Pods and shows {pods}");
        }
        if self.kind == Kind::Node {
            let run = "kubectl rollout status deployment nginx-deployment --timeout=60s";
            self.show(shell, run, &["successfully rolled out"]).await?;
        }
        let state = if self.kind == Kind::Node { "which run" } else { "which are Pending, as there is no node" };
        self.page.good(&format!("the label is on the Deployment, its ReplicaSet and its Pods, {state}"));
        Ok(())
    }

    async fn edit_of_deployment(&mut self, shell: &Shell) -> Result<()> {
        self.page.step("Its edits are refused");
        let secret = "Secret default/managedresource-example2";
        self.refused(shell, EDIT_REPLICAS, &["spec.replicas is declared in", secret]).await?;
        let image = "kubectl --context alice set image deployment nginx-deployment nginx=nginx:1.27";
        self.refused(shell, image, &["image", secret]).await?;
        self.page.good("refused; the messages name the fields and the Secret");
        Ok(())
    }

    async fn malformed_secret(&mut self, shell: &Shell) -> Result<()> {
        self.page.step("A Secret that cannot be read is refused, before it does harm");
        let place = ["managedresource-example2", "other-objects.yaml", "document 2", "line"];
        self.refused(shell, MALFORMED, &place).await?;
        self.page.good("refused; the message says where the error is");
        Ok(())
    }

    async fn webhook_back(&mut self, shell: &Shell) -> Result<()> {
        self.page.step("The webhook is back");
        let scale = "kubectl -n holdfast-system scale deployment holdfast-webhook --replicas=2";
        self.show(shell, scale, &["scaled"]).await?;
        self.show(shell, WEBHOOK_READY, &["successfully rolled out"]).await?;
        self.refused(shell, EDIT_DATA, &["is managed by ManagedResource default/example"]).await?;
        self.page.good("the edit that passed a moment ago is refused again");
        Ok(())
    }

    /// Applies a file and waits until the controller has carried it out.
    async fn apply(&self, shell: &Shell, file: &str) -> Result<()> {
        let created = ["secret/managedresource-example", "managedresource.resources.gardener.cloud/example"];
        self.show(shell, &format!("kubectl apply -f {file}"), &created).await?;
        let wait = "kubectl wait --for=condition=ResourcesApplied managedresource/example --timeout=10s";
        self.show(shell, wait, &["condition met"]).await?;
        Ok(())
    }

    /// Runs a command that must succeed and write all of `expected`.
    async fn show(&self, shell: &Shell, command: &str, expected: &[&str]) -> Result<String> {
        self.page.command(command);
        let mut lines = 0;
        let (status, text) = shell
            .run(command, |line| {
                lines += 1;
                if lines <= SHOWN && !line.is_empty() {
                    self.page.output(line);
                }
            })
            .await?;
        if lines > SHOWN {
            self.page.output(&format!("... ({} more lines)", lines - SHOWN));
        }
        if !status.success() {
            bail!("`{}` should succeed, but failed ({status})", first_line(command));
        }
        contains(command, text, expected)
    }

    /// The same, without its output: of many lines, only the expected ones.
    async fn quietly(&self, shell: &Shell, command: &str, expected: &[&str]) -> Result<String> {
        self.page.command(command);
        let (status, text) = shell.run(command, |_| {}).await?;
        for line in text.lines().filter(|line| !status.success() || expected.iter().any(|part| line.contains(part))) {
            self.page.output(line);
        }
        if !status.success() {
            bail!("`{}` should succeed, but failed ({status})", first_line(command));
        }
        contains(command, text, expected)
    }

    /// Runs a command that must fail and say all of `expected`.
    async fn refused(&self, shell: &Shell, command: &str, expected: &[&str]) -> Result<String> {
        self.page.command(command);
        let (status, text) = shell.run(command, |line| self.page.refusal(without_patch(line))).await?;
        if status.success() {
            bail!("`{}` should be refused, but succeeded", first_line(command));
        }
        contains(command, text, expected)
    }
}

/// Fails unless the text, which a command wrote, has all that is expected.
fn contains(command: &str, text: String, expected: &[&str]) -> Result<String> {
    let missing: Vec<String> =
        expected.iter().filter(|part| !text.contains(**part)).map(|part| format!("{part:?}")).collect();
    if !missing.is_empty() {
        bail!("`{}` should show {}", first_line(command), missing.join(" and "));
    }
    Ok(text)
}

/// kubectl repeats the whole patch before it says what the server said, which is what counts here.
fn without_patch(line: &str) -> &str {
    if line.starts_with('{') && line.ends_with('}') { "{ ... the patch ... }" } else { line }
}

/// For messages: a command without its here-document.
fn first_line(command: &str) -> &str {
    command.lines().next().unwrap_or_default()
}
