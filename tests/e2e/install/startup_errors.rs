//! What the programs say when they cannot work: one clear line and a code other than zero, or a line and another try.
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_e2e::player::WITHOUT_AUTHORITIES;
use holdfast_e2e::process::{self, Process};
use holdfast_e2e::{binaries, leash};
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{Cluster, Test, nothing_happens_for};

const PROGRAMS: [&str; 2] = ["holdfast-controller", "holdfast-webhook"];
const LIMIT: Duration = Duration::from_secs(20);

/// A program that was started on the machine itself.
struct Run {
    process: Process,
    log: PathBuf,
    probes: SocketAddr,
}

fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn start(directory: &Path, program: &str, kubeconfig: Option<&Path>, probes: SocketAddr) -> Run {
    let binary = binaries::ensure().unwrap()[program].clone();
    let log = directory.join(format!("{program}-{}.log", probes.port()));
    let mut command = leash::command(binary).unwrap();
    command.env_clear().envs(WITHOUT_AUTHORITIES).arg("--probes-address").arg(probes.to_string());
    if program == "holdfast-webhook" {
        command.args(["--namespace", "default", "--bind-address", &free().to_string()]);
    } else {
        command.args(["--lease-namespace", "default"]);
    }
    if let Some(kubeconfig) = kubeconfig {
        command.arg("--kubeconfig").arg(kubeconfig);
    }
    Run { process: Process::start(program, command, &log).unwrap(), log, probes }
}

impl Run {
    fn printed(&self) -> String {
        process::tail(&self.log, 100)
    }

    /// It ends by itself, with one line that is an error and has these parts.
    async fn fails(&self, what: &str, parts: &[&str]) {
        let ended = tokio::time::timeout(LIMIT, self.process.exited()).await;
        let printed = self.printed();
        assert!(ended.is_ok(), "{what}: it is still running: {printed}");
        let code = self.process.exit_status().and_then(|status| status.code());
        assert!(code.is_some_and(|code| code != 0 && code != 101), "{what}: {code:?}: {printed}");
        assert!(!printed.contains("panicked"), "{what}: {printed}");
        let errors: Vec<&str> = printed.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{what}: {printed}");
        for part in parts {
            assert!(errors[0].contains(part), "{what}: {part:?} is not in: {printed}");
        }
    }

    /// It goes on, and has a line in its log with all these parts.
    async fn says(&self, what: &str, parts: &[&str]) {
        let waited = holdfast_e2e::wait::eventually(what, LIMIT, || async {
            let printed = self.printed();
            let line = printed.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            line.map(ToOwned::to_owned).ok_or(printed)
        });
        waited.await.unwrap();
        assert!(self.process.is_running(), "{what}: {}", self.printed());
        assert!(!self.printed().contains("panicked"), "{what}: {}", self.printed());
    }

    /// It goes on, says so, and is not ready.
    async fn waits(&self, what: &str, parts: &[&str]) {
        self.says(what, parts).await;
        let answer = self.ready();
        assert!(answer.contains(" 503 "), "{what}: {answer}");
    }

    /// The first line of the answer to a question for its readiness.
    fn ready(&self) -> String {
        let mut stream = std::net::TcpStream::connect(self.probes).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    }
}

/// Something that says that it is Kubernetes, of an old version, to one caller after another.
fn old_kubernetes() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while request.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let version =
                json!({"major": "1", "minor": "29+", "gitVersion": "v1.29.9", "gitCommit": "", "gitTreeState": "",
                "buildDate": "", "goVersion": "", "compiler": "", "platform": ""})
                .to_string();
            let length = version.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{version}"
            );
        }
    });
    address
}

fn kubeconfig(directory: &TempDir, name: &str, cluster: &serde_json::Value, user: &serde_json::Value) -> PathBuf {
    let path = directory.path().join(name);
    let content = json!({"apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": cluster}], "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]});
    std::fs::write(&path, content.to_string()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_settings_are_one_line() {
    // Builds the programs once.
    let cluster = Cluster::shared().await;
    let directory = TempDir::new().unwrap();
    let broken = directory.path().join("broken");
    std::fs::write(&broken, "clusters: [hunter2").unwrap();
    let server = format!("https://{}", cluster.control_plane.api_server());
    let no_ca = json!({"server": server, "certificate-authority": "/no/such/ca.crt"});
    let no_ca = kubeconfig(&directory, "no-ca", &no_ca, &json!({"token": "x"}));
    std::fs::write(directory.path().join("bad.crt"), "no certificate").unwrap();
    let bad_ca = json!({"server": server, "certificate-authority": directory.path().join("bad.crt")});
    let bad_ca = kubeconfig(&directory, "bad-ca", &bad_ca, &json!({"token": "x"}));
    let unknown = json!({"server": server, "insecure-skip-tls-verify": true});
    let unknown = kubeconfig(&directory, "unknown", &unknown, &json!({"token": "nobody-token"}));
    let stranger = rcgen::generate_simple_self_signed(vec!["stranger".to_owned()]).unwrap();
    std::fs::write(directory.path().join("stranger.crt"), stranger.cert.pem()).unwrap();
    let stranger = json!({"server": server, "certificate-authority": directory.path().join("stranger.crt")});
    let untrusted = kubeconfig(&directory, "untrusted", &stranger, &json!({"token": "x"}));
    let nothing = kubeconfig(&directory, "nothing", &json!({"server": server}), &json!({"token": "x"}));
    let old = json!({"server": format!("http://{}", old_kubernetes())});
    let old = kubeconfig(&directory, "old", &old, &json!({}));
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let good = cluster.control_plane.kubeconfig();
    let missing = directory.path().join("missing");
    for program in PROGRAMS {
        let run = |kubeconfig| start(directory.path(), program, kubeconfig, free());
        run(None).fails("no kubeconfig", &["no --kubeconfig is given"]).await;
        run(Some(&missing)).fails("missing kubeconfig", &["cannot use kubeconfig", "No such file"]).await;
        let run_broken = run(Some(&broken));
        run_broken.fails("broken kubeconfig", &["cannot use kubeconfig", "not a kubeconfig in YAML"]).await;
        assert!(!run_broken.printed().contains("hunter2"), "it quotes the file");
        run(Some(&no_ca)).fails("missing CA", &["ca.crt"]).await;
        run(Some(&bad_ca)).fails("unreadable CA", &["certificate"]).await;
        run(Some(&untrusted)).fails("unknown CA", &["cannot talk to the API server", "certificate"]).await;
        run(Some(&nothing)).fails("no CA, and none in the image", &["No CA certificates were loaded"]).await;
        run(Some(&unknown)).fails("unknown user", &["cannot talk to the API server", "Unauthorized"]).await;
        run(Some(&old)).fails("old Kubernetes", &["is Kubernetes 1.29", "needs 1.30 or newer"]).await;
        let run = start(directory.path(), program, Some(&good), taken.local_addr().unwrap());
        run.fails("port in use", &["cannot listen on", "probes and metrics", "address already in use"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_come_later_is_waited_for() {
    let test = Test::on(std::sync::Arc::new(Cluster::bare().await), "bare").await;
    let directory = TempDir::new().unwrap();
    let admin = test.cluster.control_plane.kubeconfig();
    test.admin.does("create serviceaccount nobody").await;
    let token = test.admin.does("create token nobody").await;
    let authority = test.cluster.control_plane.directory().join("certificates/apiserver.crt");
    let at = |address| json!({"server": format!("https://{address}"), "certificate-authority": authority});
    let closed = kubeconfig(&directory, "closed", &at(free()), &json!({}));
    let server = at(test.cluster.control_plane.api_server());
    let nobody = kubeconfig(&directory, "nobody", &server, &json!({"token": token.trim()}));
    for program in PROGRAMS {
        start(directory.path(), program, Some(&nobody), free())
            .waits("no permission", &["forbidden", "system:serviceaccount:", "managedresources"])
            .await;
        let closed = start(directory.path(), program, Some(&closed), free());
        closed.says("no API server", &["the API server cannot be reached; trying again"]).await;
    }
    for program in PROGRAMS {
        let run = start(directory.path(), program, Some(&admin), free());
        run.waits("no CRD", &["managedresources.resources.gardener.cloud", "not installed"]).await;
        let lines = run.printed().lines().count();
        nothing_happens_for(Duration::from_secs(2), "it floods its log").await;
        assert!(run.printed().lines().count() <= lines + 5, "it does not flood its log: {}", run.printed());
    }

    let waiting = start(directory.path(), PROGRAMS[0], Some(&admin), free());
    waiting.waits("no CRD", &["not installed"]).await;
    test.create("customresourcedefinitions", &holdfast_core::api::custom_resource_definition()).await;
    test.eventually("the controller to go on once the CRD is there", || async {
        let answer = waiting.ready();
        if answer.contains(" 200 ") { Ok(()) } else { Err(format!("{answer}{}", waiting.printed())) }
    })
    .await;
    test.declare("mr", &test.config_map("a", "one")).await;
    waiting.process.stop(LIMIT).await.unwrap();
    assert_eq!(waiting.process.exit_status().and_then(|status| status.code()), Some(0), "{}", waiting.printed());

    // Somebody who may read everything and write nothing.
    test.create("secrets", &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "new"}})).await;
    test.mr("new", &["new"], json!({})).await;
    let context = std::fs::read_to_string(&admin).unwrap().replace("current-context: admin", "current-context: bob");
    let bob = directory.path().join("bob");
    std::fs::write(&bob, context).unwrap();
    let reader = start(directory.path(), PROGRAMS[0], Some(&bob), free());
    reader.says("may not write", &["leader election", "forbidden", "bob", "leases"]).await;
}
