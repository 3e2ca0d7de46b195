//! Plays kubelet and kube-proxy for Pods of our own images, so that what runs is what the chart renders: arguments,
//! environment, mounts, service-account tokens, RBAC, the Service's ClusterIP.
//!
//! A Pod is played if it has one container whose image's last path component, without tag, is in the map from image to
//! program. Such a Pod gets a loopback address of its own and a process. Pods stay unbound: there is no node, so a deletion
//! removes the Pod at once and the process then gets its grace period.
//!
//! The image is one FROM scratch: there are no authorities of the system ([`WITHOUT_AUTHORITIES`]).
//!
//! What differs from a kubelet: no isolation (a process must listen on its Pod's address, not on all addresses); mount paths
//! exist only as text that is replaced at the start of arguments and of environment values (also after the `=` of a flag),
//! and the directory of the service account is handed over in `HOLDFAST_SERVICE_ACCOUNT_DIR`; no init containers, `subPath`,
//! resource limits, lifecycle hooks, `exec` and gRPC probes, probes over HTTPS; a Pod that is not ready yet is probed more
//! often. What differs from kube-proxy: Services on ClusterIPs only, TCP only. As with it, a Pod that is told to end
//! gets new connections for a moment still, and keeps those that it has.
mod addresses;
mod environment;
mod kubelet;
mod mounts;
mod pod;
mod probe;
mod proxy;
mod roster;
mod status;
mod token;
mod volume;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::control_plane::{ControlPlane, User};
use crate::process;
use addresses::Addresses;
pub use environment::WITHOUT_AUTHORITIES;
pub use proxy::forward_all;
pub use roster::PlayedPod;
use roster::Roster;

const STOP: Duration = Duration::from_secs(20);

/// What all parts of the player share.
struct Stage {
    client: kube::Client,
    api_server: SocketAddr,
    images: BTreeMap<String, PathBuf>,
    /// Of the player: logs and volumes.
    directory: PathBuf,
    addresses: Addresses,
    roster: Roster,
    tasks: TaskTracker,
    /// Cancelled when the player stops.
    stop: CancellationToken,
}

/// A running player. It has a runtime of its own, so it outlives the test that started it. Dropping it kills its processes.
pub struct Player {
    stage: Arc<Stage>,
    // Only `None` while it is dropped.
    runtime: Option<Runtime>,
}

impl Player {
    /// Starts to play Pods whose image is a key of `images` with the program it maps to.
    ///
    /// # Errors
    /// A program is missing, or no range of loopback addresses is free.
    pub fn start(control_plane: &ControlPlane, images: impl IntoIterator<Item = (String, PathBuf)>) -> Result<Self> {
        let images: BTreeMap<String, PathBuf> = images.into_iter().collect();
        for (image, program) in &images {
            if !program.is_file() {
                bail!("the program for the image {image} is not there: {}", program.display());
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("player")
            .enable_all()
            .build()
            .context("make a runtime for the player")?;
        let directory = control_plane.directory().join("player");
        fs::create_dir_all(directory.join("pods")).with_context(|| format!("create {}", directory.display()))?;
        let client = {
            let _in_runtime = runtime.enter();
            control_plane.client(User::Player)?
        };
        let stage = Arc::new(Stage {
            client,
            api_server: control_plane.api_server(),
            images,
            directory,
            addresses: Addresses::reserve()?,
            roster: Roster::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        stage.tasks.spawn_on(kubelet::run(Arc::clone(&stage)), runtime.handle());
        stage.tasks.spawn_on(proxy::run(Arc::clone(&stage)), runtime.handle());
        Ok(Self { stage, runtime: Some(runtime) })
    }

    /// The Pods being played, by namespace and name.
    pub fn pods(&self) -> Vec<PlayedPod> {
        self.stage.roster.pods()
    }

    /// The Pods being played whose image (last path component, no tag) is `image`.
    pub fn pods_of(&self, image: &str) -> Vec<PlayedPod> {
        self.pods().into_iter().filter(|pod| pod.image == image).collect()
    }

    /// One Pod.
    ///
    /// # Errors
    /// It is not being played.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<PlayedPod> {
        let found = self.pods().into_iter().find(|pod| pod.namespace == namespace && pod.name == name);
        found.with_context(|| format!("the Pod {namespace}/{name} is not being played"))
    }

    /// The process id of a Pod's program.
    ///
    /// # Errors
    /// It does not run at the moment.
    pub fn pid(&self, namespace: &str, name: &str) -> Result<u32> {
        self.pod(namespace, name)?.pid().with_context(|| format!("the program of {namespace}/{name} does not run"))
    }

    /// Sends a signal to a Pod's program, such as `KILL`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// It does not run at the moment.
    pub fn signal(&self, namespace: &str, name: &str, signal: Signal) -> Result<()> {
        self.pod(namespace, name)?.signal(signal)
    }

    /// Has the tokens of a Pod replaced by ones that end with this Secret of its namespace, within about a second, as a kubelet
    /// replaces those that are about to expire: the files change, and the former tokens stay valid.
    ///
    /// # Errors
    /// It is not being played.
    pub fn bind_tokens(&self, namespace: &str, name: &str, secret: &str) -> Result<()> {
        let uid = self.pod(namespace, name)?.uid;
        self.stage.roster.change(&uid, |pod| pod.token_secret = Some(secret.to_owned()));
        Ok(())
    }

    /// The resident memory of a Pod's program in bytes.
    ///
    /// # Errors
    /// It does not run at the moment.
    pub fn resident_bytes(&self, namespace: &str, name: &str) -> Result<u64> {
        process::resident_bytes(self.pid(namespace, name)?)
    }

    /// What a Pod's program wrote, over all its restarts; also after the Pod is gone. Empty if it never ran.
    pub fn logs(&self, namespace: &str, name: &str) -> String {
        let mut text = String::new();
        for path in self.log_files(&format!("{namespace}_{name}_")) {
            text.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap_or_default()));
        }
        text
    }

    /// What all programs wrote, over all Pods that ever ran here.
    pub fn all_logs(&self) -> String {
        self.log_files("")
            .iter()
            .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned())
            .collect()
    }

    /// Where the logs lie: one file for each run, `<namespace>_<pod>_<run>.log`.
    pub fn log_directory(&self) -> PathBuf {
        self.stage.log_directory()
    }

    /// All Pods with their state and the last `lines` lines of each log, if any: for the messages of failed tests.
    pub fn dump(&self, lines: usize) -> String {
        let mut text = String::new();
        for pod in self.pods() {
            let _ = writeln!(text, "{pod}");
        }
        for path in self.log_files("").into_iter().filter(|_| lines > 0) {
            let _ = writeln!(text, "--- {}\n{}", path.display(), process::tail(&path, lines));
        }
        text
    }

    /// Stops all programs, each with its grace period, and ends the player.
    ///
    /// # Errors
    /// Something does not end within 20 s; it is killed then.
    pub async fn stop(self) -> Result<()> {
        self.stage.stop.cancel();
        self.stage.tasks.close();
        match tokio::time::timeout(STOP, self.stage.tasks.wait()).await {
            Ok(()) => Ok(()),
            Err(_) => bail!("the player's programs did not end within {} s and were killed", STOP.as_secs()),
        }
    }

    fn log_files(&self, prefix: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.log_directory())
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()))
            .map(|entry| entry.path())
            .collect();
        files.sort();
        files
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stage.stop.cancel();
        for pod in self.pods() {
            let _ = pod.signal(Signal::KILL);
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Stage {
    fn log_directory(&self) -> PathBuf {
        self.directory.join("pods")
    }

    /// The image's short name and its program, if this player plays it.
    fn program(&self, image: &str) -> Option<(&str, &Path)> {
        let last = image.rsplit('/').next().unwrap_or(image);
        let name = last.split(['@', ':']).next().unwrap_or(last);
        self.images.get_key_value(name).map(|(name, path)| (name.as_str(), path.as_path()))
    }
}
