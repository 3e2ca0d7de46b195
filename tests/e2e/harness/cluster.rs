//! Control planes with the chart installed on them.
use std::process::Stdio;
use std::sync::{Arc, Weak};
use std::time::Instant;

use holdfast_e2e::control_plane::{ControlPlane, Options, User};
use holdfast_e2e::player::{PlayedPod, Player};
use holdfast_e2e::{binaries, install, leash, wait};
use tokio::sync::{Mutex, OnceCell, Semaphore, SemaphorePermit};

/// Images and Deployments.
pub const CONTROLLER: &str = "holdfast-controller";
pub const WEBHOOK: &str = "holdfast-webhook";
/// Where we are installed.
pub const SYSTEM: &str = install::NAMESPACE;

static SHARED: OnceCell<Result<Arc<Cluster>, String>> = OnceCell::const_new();
/// The one without the chart that some tests share, as long as one of them runs.
static SHARED_BARE: Mutex<Weak<Cluster>> = Mutex::const_new(Weak::new());
/// Control planes of single tests that run at a time: half a gigabyte each.
static OWN: Semaphore = Semaphore::const_new(2);

/// A control plane, and who plays our pods on it.
pub struct Cluster {
    // In the order of their end.
    pub player: Player,
    pub control_plane: ControlPlane,
    _slot: Option<SemaphorePermit<'static>>,
}

impl Cluster {
    /// The one that all tests share, started by the first of them.
    pub async fn shared() -> Arc<Self> {
        let started = SHARED.get_or_init(|| async {
            let started = Self::start(None, Options::default(), Some(&[])).await?;
            remove_at_exit(&started)?;
            Ok(Arc::new(started))
        });
        started.await.clone().expect("start the shared control plane")
    }

    /// A new one with the chart. Waits for its turn.
    pub async fn installed() -> Self {
        let slot = OWN.acquire().await.expect("wait for a turn");
        Self::start(Some(slot), Options::default(), Some(&[])).await.expect("start a control plane")
    }

    /// The same with these values of the chart.
    pub async fn installed_with(values: &[&str]) -> Self {
        let slot = OWN.acquire().await.expect("wait for a turn");
        Self::start(Some(slot), Options::default(), Some(values)).await.expect("start a control plane")
    }

    /// A new one without the chart. Waits for its turn.
    pub async fn bare() -> Self {
        let slot = OWN.acquire().await.expect("wait for a turn");
        Self::start(Some(slot), Options::default(), None).await.expect("start a control plane")
    }

    /// The same with these options.
    pub async fn bare_with(options: Options) -> Self {
        let slot = OWN.acquire().await.expect("wait for a turn");
        Self::start(Some(slot), options, None).await.expect("start a control plane")
    }

    /// One without the chart that knows ManagedResources: for tests that start controllers themselves. They share it.
    pub async fn shared_bare() -> Arc<Self> {
        let mut shared = SHARED_BARE.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::bare().await);
        started.define().await.expect("define ManagedResources");
        *shared = Arc::downgrade(&started);
        started
    }

    /// Creates the CustomResourceDefinition, and returns when it is served.
    pub async fn define(&self) -> anyhow::Result<()> {
        let client = self.control_plane.client(User::Admin)?;
        let definition = holdfast_core::api::custom_resource_definition().to_string().into_bytes();
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        let request = http::Request::post(path).header("Content-Type", "application/json").body(definition)?;
        client.request_text(request).await?;
        wait::eventually("ManagedResources to be served", super::LIMIT, || async {
            let path = "/apis/resources.gardener.cloud/v1alpha1/managedresources";
            client.request_text(http::Request::get(path).body(Vec::new())?).await.map_err(anyhow::Error::from)
        })
        .await?;
        Ok(())
    }

    /// With the chart and these values of it, or without.
    async fn start(
        slot: Option<SemaphorePermit<'static>>,
        options: Options,
        chart: Option<&[&str]>,
    ) -> Result<Self, String> {
        static PROGRAMS: OnceCell<Result<Vec<(String, std::path::PathBuf)>, String>> = OnceCell::const_new();
        let programs = PROGRAMS.get_or_init(|| async {
            let programs = tokio::task::spawn_blocking(binaries::ensure).await.map_err(|error| error.to_string())?;
            programs.map(|programs| programs.into_iter().collect()).map_err(|error| format!("{error:#}"))
        });
        let programs = programs.await.clone()?;
        let begin = Instant::now();
        let started = async {
            let control_plane = ControlPlane::start(options).await?;
            let player = Player::start(&control_plane, programs)?;
            if let Some(values) = chart {
                install::install(&control_plane, &player, values).await?;
            }
            anyhow::Ok(Self { player, control_plane, _slot: slot })
        };
        let started = started.await.map_err(|error| format!("{error:#}"))?;
        eprintln!("a control plane is ready after {:.1} s", begin.elapsed().as_secs_f64());
        Ok(started)
    }

    /// The played pod of the controller.
    pub fn controller(&self) -> Result<PlayedPod, String> {
        self.player.pods_of(CONTROLLER).into_iter().next().ok_or_else(|| "no pod of the controller".to_owned())
    }
}

/// Nothing drops a static, and processes die by the leash; what is left is a directory. Whoever holds the other end of a
/// pipe learns of our end, whatever it was.
fn remove_at_exit(cluster: &Cluster) -> Result<(), String> {
    let mut command = std::process::Command::new("sh");
    let script = r#"cat >/dev/null; for i in 1 2 3; do rm -rf "$1" 2>/dev/null && exit; sleep 0.3; done"#;
    command.args(["-c", script, "sh"]).arg(cluster.control_plane.directory());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = leash::spawn(command).map_err(|error| format!("{error:#}"))?;
    // The pipe's end is to be closed by the kernel, and not before.
    std::mem::forget(child);
    Ok(())
}
