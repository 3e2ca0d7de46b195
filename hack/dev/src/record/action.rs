//! A kubectl command of one user.
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use holdfast_e2e::control_plane::ControlPlane;
use holdfast_e2e::kubectl::Kubectl;
use serde::Deserialize;

const ACTIONS: &str = include_str!("actions.yaml");
/// Stands in actions and in files for a time in an hour from now, which the tests put in its place.
const IN_AN_HOUR: &str = "IN-AN-HOUR";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Action {
    /// The name of the file.
    pub(super) name: String,
    #[serde(default)]
    by: Option<String>,
    #[serde(default, rename = "as")]
    impersonates: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    run: Vec<String>,
    #[serde(default)]
    edit: Vec<String>,
    #[serde(default)]
    input: Option<String>,
    /// The review is allowed and not recorded.
    #[serde(default)]
    pub(super) passes: bool,
}

impl Action {
    pub(super) fn all() -> Result<Vec<Self>> {
        serde_yaml::from_str(ACTIONS).context("read the actions")
    }

    fn context(&self) -> &str {
        self.by.as_deref().unwrap_or("alice")
    }

    /// As reviews name it.
    pub(super) fn user(&self) -> &str {
        self.impersonates.as_deref().unwrap_or_else(|| self.context())
    }

    pub(super) fn refused(&self) -> Option<&str> {
        (!self.passes).then(|| self.user())
    }

    /// Runs kubectl and returns what it said. Whether it succeeds does not matter.
    pub(super) async fn run(&self, control_plane: &ControlPlane) -> Result<String> {
        let mut kubectl = Kubectl::new(control_plane.tools(), &control_plane.kubeconfig(), self.context())
            .with_env("TMPDIR", &control_plane.directory().display().to_string());
        let (later, _) = moments().into_iter().next().context("a moment")?;
        let mut arguments: Vec<String> = self.run.iter().map(|word| word.replace(IN_AN_HOUR, &later)).collect();
        if let [kind, name, script] = self.edit.as_slice() {
            kubectl = kubectl.with_env("KUBE_EDITOR", &format!("sed -i {script}"));
            arguments = ["edit", kind, name].map(str::to_owned).to_vec();
        }
        if !arguments.iter().any(|word| word == "--raw") {
            arguments.extend(["--namespace", "team"].map(str::to_owned));
        }
        arguments.extend(self.impersonates.iter().map(|user| format!("--as={user}")));
        arguments.extend(self.groups.iter().map(|group| format!("--as-group={group}")));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = kubectl.run(&arguments, self.input.as_deref()).await?;
        Ok(format!("{}{}", output.stdout, output.stderr))
    }
}

/// Times with a meaning, and their stand-ins in files.
pub(super) fn moments() -> BTreeMap<String, String> {
    static LATER: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let later = LATER.get_or_init(|| {
        let later = SystemTime::now() + Duration::from_secs(3600);
        jiff::Timestamp::try_from(later).map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
    });
    BTreeMap::from([(later.clone(), IN_AN_HOUR.to_owned())])
}
