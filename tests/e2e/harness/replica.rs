//! Controllers that a test runs itself, as processes without a pod: several at a time, killed and started at exact moments.
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use holdfast_e2e::fault_proxy::FaultProxy;
use holdfast_e2e::player::WITHOUT_AUTHORITIES;
use holdfast_e2e::process::{self, Process};
use holdfast_e2e::{binaries, leash, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{CONTROLLER, Cluster, LIMIT, Test, text};

/// A service account with all rights, so that the audit log tells who did what.
pub struct Account {
    /// As the audit log names it.
    pub user: String,
    pub token: String,
}

impl Account {
    /// In the namespace of the test.
    pub async fn create(test: &Test, name: &str) -> Self {
        let metadata = json!({"name": name});
        test.create("serviceaccounts", &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}))
            .await;
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{}-{name}", test.ns)},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": test.ns, "name": name}],
        });
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        test.call("POST", path, Some(&binding)).await.expect("bind the account to all rights");
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{name}/token", test.ns);
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let answer = test.call("POST", &path, Some(&request)).await.expect("make a token");
        Self { user: format!("system:serviceaccount:{}:{name}", test.ns), token: text(&answer, "/status/token") }
    }
}

/// A controller. Its process can be killed and started anew; dropping it kills the process.
pub struct Replica {
    program: PathBuf,
    name: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Replica {
    /// Not running yet; works on the ManagedResources of `class`, alone.
    pub fn new(cluster: &Cluster, name: &str, kubeconfig: &Path, class: &str) -> Self {
        let program = binaries::ensure().expect("build the controller")[CONTROLLER].clone();
        let arguments = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--class={class}"),
            // Nobody asks.
            "--probes-address=127.0.0.1:0".to_owned(),
            "--leader-elect=false".to_owned(),
        ];
        let log = cluster.control_plane.directory().join(format!("replica-{name}.log"));
        Self { program, name: name.to_owned(), arguments, environment: vec![], log, process: Mutex::new(None) }
    }

    /// Behind a proxy.
    pub fn behind(cluster: &Cluster, name: &str, proxy: &FaultProxy, token: &str, class: &str) -> Self {
        let kubeconfig = cluster.control_plane.directory().join(format!("replica-{name}.kubeconfig"));
        proxy.write_kubeconfig(&kubeconfig, token).expect("write a kubeconfig");
        Self::new(cluster, name, &kubeconfig, class)
    }

    /// In front of the API server, with nothing between.
    pub fn direct(cluster: &Cluster, name: &str, token: &str, class: &str) -> Self {
        let kubeconfig = write_kubeconfig(cluster, &format!("replica-{name}"), &json!({"token": token}));
        Self::new(cluster, name, &kubeconfig, class)
    }

    /// For the ManagedResources of one class, the name of the test's namespace, with an account of its own and deletions that are
    /// looked at often.
    pub async fn of_test(test: &Test) -> Self {
        let account = Account::create(test, "controller").await;
        let replica = Self::direct(&test.cluster, &test.ns, &account.token, &test.ns).in_namespace(&test.ns);
        replica.with(&["--pending-period=500ms"])
    }

    /// A program of ours with nothing but these arguments.
    pub fn only(cluster: &Cluster, program: &str, name: &str, arguments: &[&str]) -> Self {
        let program = binaries::ensure().expect("build our programs")[program].clone();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let log = cluster.control_plane.directory().join(format!("replica-{name}.log"));
        Self { program, name: name.to_owned(), arguments, environment: vec![], log, process: Mutex::new(None) }
    }

    /// With this variable in its environment, which has no others.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a clock that is off by as many seconds as the file `clock` says; see [`super::clock_library`]. Needs a program that
    /// is not static.
    #[must_use]
    pub fn clocked(mut self, library: &Path, clock: &Path) -> Self {
        let name = self.program.file_name().and_then(|name| name.to_str()).expect("a program has a name").to_owned();
        self.program.clone_from(&binaries::dynamic().expect("build our programs")[&name]);
        self.env("LD_PRELOAD", &library.to_string_lossy()).env("HOLDFAST_CLOCK", &clock.to_string_lossy())
    }

    /// With more arguments; of a flag that is given twice, the later counts.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        for argument in arguments {
            let flag = argument.split('=').next().unwrap_or_default();
            self.arguments.retain(|given| given.split('=').next() != Some(flag));
            self.arguments.push((*argument).to_owned());
        }
        self
    }

    /// With the namespace in which its pod would be; the key of its digests lies there.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        self.env("POD_NAMESPACE", namespace)
    }

    /// Starts the process; there must be none that runs.
    pub fn start(&self) {
        let mut command = leash::command(&self.program).expect("find the leash");
        command.env_clear().args(&self.arguments).envs(WITHOUT_AUTHORITIES).envs(self.environment.iter().cloned());
        let process = Process::start(&self.name, command, &self.log).expect("start a controller");
        let mut running = self.process.lock().expect("no other thread has panicked");
        assert!(!running.as_ref().is_some_and(Process::is_running), "{} runs already", self.name);
        *running = Some(process);
    }

    pub fn is_running(&self) -> bool {
        self.process.lock().expect("no other thread has panicked").as_ref().is_some_and(Process::is_running)
    }

    /// The exit code of the last process, if it ended by itself.
    pub fn exit_code(&self) -> Option<i32> {
        let process = self.process.lock().expect("no other thread has panicked");
        process.as_ref()?.exit_status()?.code()
    }

    pub fn signal(&self, signal: Signal) {
        let process = self.process.lock().expect("no other thread has panicked");
        process.as_ref().expect("it was started").signal(signal).expect("signal a controller");
    }

    /// What it has logged in all its lives.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has logged a line with all these parts, and returns the line.
    pub async fn says(&self, parts: &[&str]) -> String {
        let what = format!("{} to log {parts:?}", self.name);
        let printed = wait::eventually(&what, LIMIT, || async {
            let log = self.logged();
            let line = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            line.map(str::to_owned).ok_or("it has not")
        });
        printed.await.unwrap_or_else(|error| panic!("{error:#}\n{}", self.logged()))
    }

    /// Waits for the end of the process.
    pub async fn ended(&self) {
        let what = format!("{} to end", self.name);
        let ended =
            wait::eventually(&what, LIMIT, || async { if self.is_running() { Err("it runs") } else { Ok(()) } });
        ended.await.expect("the process ends");
    }

    /// Waits for the end of the process, for ever.
    pub async fn ended_at_last(&self) {
        while self.is_running() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it, and starts it again.
    pub async fn restart(&self) {
        self.kill().await;
        self.start();
    }

    /// `SIGKILL`, and its end.
    pub async fn kill(&self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    pub fn resident_bytes(&self) -> u64 {
        let process = self.process.lock().expect("no other thread has panicked");
        process::resident_bytes(process.as_ref().expect("it was started").pid()).expect("look at its memory")
    }
}

/// Writes a kubeconfig of the cluster for this user, and returns where.
pub fn write_kubeconfig(cluster: &Cluster, name: &str, user: &Value) -> PathBuf {
    let directory = cluster.control_plane.directory();
    let server = json!({
        "server": format!("https://{}", cluster.control_plane.api_server()),
        "certificate-authority": directory.join("certificates/apiserver.crt"),
    });
    let content = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": server}], "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    });
    let path = directory.join(format!("{name}.kubeconfig"));
    std::fs::write(&path, content.to_string()).expect("write a kubeconfig");
    path
}

impl Drop for Replica {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("=== {}\n{}", self.name, process::tail(&self.log, 40));
        }
    }
}
