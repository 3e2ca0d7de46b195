//! A real control plane: etcd, kube-apiserver and kube-controller-manager on loopback addresses, ready in seconds.
//!
//! There is no scheduler and no node, so Pods stay unbound; [`crate::player`] runs those of our own images, and
//! [`crate::node`] brings a real node.
//!
//! All components are on the [leash](crate::leash) of this process. Dropping a [`ControlPlane`] kills them without waiting.
mod access;
mod components;
mod files;
mod users;

use holdfast_runtime::api::Api;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::{self, Process};
use crate::toolchain::Tools;
use crate::wait;
use components::Ports;
use files::Home;
pub use users::User;

const READY: Duration = Duration::from_secs(90);
const GRACE: Duration = Duration::from_secs(5);

/// Where a control plane is, and what it is made for.
#[derive(Debug, Clone)]
pub struct Site {
    /// The API server's address.
    pub address: IpAddr,
    /// From where Services get their ClusterIPs.
    pub service_cidr: String,
    /// Whether kubelets take part.
    pub nodes: bool,
}

impl Default for Site {
    /// Loopback addresses also for Services: whoever plays kube-proxy can bind them without being root.
    fn default() -> Self {
        Self { address: IpAddr::V4(components::LOOPBACK), service_cidr: "127.96.0.0/16".to_owned(), nodes: false }
    }
}

/// What may differ between control planes.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Where it is.
    pub site: Site,
    /// Where data, certificates, logs and the kubeconfig lie; emptied at the start. If not given, a temporary directory
    /// that is removed at the end, or by the next start if this process was killed.
    pub directory: Option<PathBuf>,
    /// More arguments for kube-apiserver.
    pub api_server_args: Vec<String>,
}

/// One process of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
}

impl Component {
    /// In the order of their start.
    pub const ALL: [Self; 3] = [Self::Etcd, Self::ApiServer, Self::ControllerManager];
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
        })
    }
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    tools: Tools,
    options: Options,
    ports: Ports,
    running: Mutex<BTreeMap<Component, Process>>,
    // Last, so that the directory goes after the processes that write to it.
    home: Home,
}

impl ControlPlane {
    /// Starts a control plane and returns when it is ready for work: the API server answers, the test users have their
    /// rights, and the controller manager has made the first ServiceAccount.
    ///
    /// # Errors
    /// The tools cannot be built, or a component ends or is not ready within 90 s (with the end of its log).
    pub async fn start(options: Options) -> Result<Self> {
        crate::install_crypto_provider();
        let tools = tokio::task::spawn_blocking(Tools::ensure).await.context("build the tools")??;
        let mut last = None;
        // Between our finding a free port and its use, another process may have taken it.
        for _ in 0..3 {
            match Self::attempt(tools.clone(), options.clone()).await {
                Ok(control_plane) => return Ok(control_plane),
                Err(error) if format!("{error:#}").contains("address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        last.map_or_else(|| bail!("the control plane did not start"), Err)
    }

    async fn attempt(tools: Tools, options: Options) -> Result<Self> {
        let home = Home::prepare(options.directory.as_deref())?;
        let ports = Ports::free()?;
        files::write(home.path(), ports.api_server_address(&options.site))?;
        let control_plane = Self { tools, options, ports, running: Mutex::default(), home };
        // The API server waits for etcd by itself.
        control_plane.launch(Component::Etcd)?;
        control_plane.launch(Component::ApiServer)?;
        control_plane.wait_until_ready().await?;
        access::grant(&control_plane.client(User::Admin)?).await?;
        control_plane.launch(Component::ControllerManager)?;
        control_plane.wait_for_first_job().await?;
        Ok(control_plane)
    }

    /// The tools this control plane runs on.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Where its files lie.
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// A kubeconfig with the contexts `admin` (current), `alice` and `bob`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory().join(files::KUBECONFIG)
    }

    /// The API server's audit log: see [`crate::audit`].
    pub fn audit_log(&self) -> PathBuf {
        self.directory().join(files::AUDIT_LOG)
    }

    /// The log of a component.
    pub fn log(&self, component: Component) -> PathBuf {
        self.directory().join(format!("{component}.log"))
    }

    /// The address of the API server, such as `127.0.0.1:40123`.
    pub fn api_server(&self) -> SocketAddr {
        self.ports.api_server_address(&self.options.site)
    }

    /// How to reach the API server as `user`. Answers come within 30 s or are errors, and the first answer is what counts:
    /// nothing is retried. (A watch that is silent for 30 s is reconnected by kube's watcher.)
    ///
    /// # Errors
    /// The address or the certificate is unusable.
    pub fn config(&self, user: User) -> Result<kube::Config> {
        users::config(user, self.api_server(), &self.directory().join(files::SERVING_CERTIFICATE))
    }

    /// A certificate with which the API server takes whoever has this key (PKCS#8, PEM) for this user in this group.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn certificate(&self, user: &str, group: &str, key: &str) -> Result<String> {
        files::certificate(self.directory(), user, Some(group), key)
    }

    /// The kubeconfig of a component that has a certificate for this user, in this group if one is given.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn component_kubeconfig(&self, user: &str, group: Option<&str>) -> Result<String> {
        files::component_kubeconfig(self.directory(), self.api_server(), user, group)
    }

    /// The CA of all users that have certificates.
    pub fn client_ca(&self) -> PathBuf {
        self.directory().join(files::CLIENT_CA)
    }

    /// A client for `user`, bound to the current tokio runtime; see [`Self::config`].
    ///
    /// # Errors
    /// As [`Self::config`].
    pub fn client(&self, user: User) -> Result<kube::Client> {
        kube::Client::try_from(self.config(user)?).context("make a client")
    }

    /// Starts a component that was stopped or killed, on the same port and data, and returns when the API server is ready.
    ///
    /// # Errors
    /// It cannot be started, or is not ready within 90 s.
    pub async fn start_component(&self, component: Component) -> Result<()> {
        self.launch(component)?;
        self.wait_until_ready().await
    }

    /// Stops a component: `SIGTERM`, and `SIGKILL` if it takes more than 5 s. Does nothing if it does not run.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop_component(&self, component: Component) -> Result<()> {
        match self.take(component) {
            Some(process) => process.stop(GRACE).await,
            None => Ok(()),
        }
    }

    /// Kills a component (`SIGKILL`). Does nothing if it does not run.
    ///
    /// # Errors
    /// It does not end.
    pub async fn kill_component(&self, component: Component) -> Result<()> {
        match self.take(component) {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// The process id of a component, if it runs: for signals such as `SIGSTOP`.
    pub fn pid(&self, component: Component) -> Option<u32> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(&component).filter(|process| process.is_running()).map(Process::pid)
    }

    /// Stops all components, last started first; each gets 5 s.
    ///
    /// # Errors
    /// One does not end even by `SIGKILL`.
    pub async fn stop(self) -> Result<()> {
        for component in Component::ALL.into_iter().rev() {
            self.stop_component(component).await?;
        }
        Ok(())
    }

    fn take(&self, component: Component) -> Option<Process> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&component)
    }

    fn launch(&self, component: Component) -> Result<()> {
        let command = components::command(component, &self.tools, self.directory(), self.ports, &self.options)?;
        let process = Process::start(&component.to_string(), command, &self.log(component))?;
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(component, process);
        Ok(())
    }

    /// Fails with the end of its log if a component has ended.
    fn check_running(&self) -> Result<()> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        for (component, process) in &*running {
            if let Some(status) = process.exit_status() {
                bail!("{component} ended ({status}):\n{}", process::tail(&self.log(*component), 15));
            }
        }
        Ok(())
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let certificate = self.directory().join(files::SERVING_CERTIFICATE);
        let ready = wait::eventually("the API server to be ready", READY, || async {
            if let Err(ended) = self.check_running() {
                return Ok(Err(ended));
            }
            if !certificate.is_file() {
                bail!("it has not written its certificate yet");
            }
            let request = http::Request::get("/readyz").body(Vec::new())?;
            self.client(User::Admin)?.request_text(request).await?;
            Ok(Ok(()))
        });
        ready.await?
    }

    async fn wait_for_first_job(&self) -> Result<()> {
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(self.client(User::Admin)?, "default");
        let first = wait::eventually("the controller manager to make its first ServiceAccount", READY, || async {
            if let Err(ended) = self.check_running() {
                return Ok(Err(ended));
            }
            accounts.get("default").await.map(|_| Ok(()))
        });
        first.await?
    }
}
