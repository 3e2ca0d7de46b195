//! What `holdfast-controller --finalizer-notice` prints before an uninstall. It ends with code 0 in any case: Helm's hook must
//! not fail because of it. (The hook itself is tested where pods run, on a real node.)
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use holdfast_core::names;
use holdfast_e2e::player::WITHOUT_AUTHORITIES;
use holdfast_e2e::{binaries, leash};
use serde_json::json;

use crate::harness::{Account, CONTROLLER, Cluster, Test, text, write_kubeconfig};

/// More than a page of a list.
const MANY: usize = 503;

/// What the program prints. It must end well.
async fn notice(kubeconfig: &Path, flags: &[&str]) -> String {
    let mut command = leash::command(&binaries::ensure().unwrap()[CONTROLLER]).unwrap();
    command.env_clear().envs(WITHOUT_AUTHORITIES).arg(format!("--kubeconfig={}", kubeconfig.display()));
    command.arg("--finalizer-notice").args(flags).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = leash::spawn(command).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let Output { status, stdout, stderr } = output;
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(status.success() && stderr.is_empty(), "{flags:?}: {status}: {stdout}{stderr}");
    stdout
}

/// A kubeconfig for a service account that may do nothing.
async fn nobody(test: &Test) -> std::path::PathBuf {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}});
    test.create("serviceaccounts", &account).await;
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/nobody/token", test.ns);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = test.call("POST", &path, Some(&request)).await.unwrap();
    write_kubeconfig(&test.cluster, "nobody", &json!({"token": text(&answer, "/status/token")}))
}

async fn retained(test: &Test, name: &str, finalizers: &[&str]) {
    let body = json!({"apiVersion": "resources.gardener.cloud/v1alpha1", "kind": "ManagedResource",
        "metadata": {"name": name, "finalizers": finalizers}, "spec": {"secretRefs": [{"name": "none"}]}});
    test.create("managedresources", &body).await;
}

#[track_caller]
fn says(notice: &str, parts: &[&str], absent: &[&str]) {
    assert!(parts.iter().all(|part| notice.contains(part)), "{parts:?}: {notice}");
    assert!(!absent.iter().any(|part| notice.contains(part)), "without {absent:?}: {notice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_notice_tells_who_keeps_a_finalizer_and_never_fails() {
    let test = Test::on(Arc::new(Cluster::bare().await), "notice").await;
    let account = Account::create(&test, "admin").await;
    let admin = write_kubeconfig(&test.cluster, "notice", &json!({"token": account.token}));
    let none = format!("No ManagedResource keeps the finalizer {}.\n", names::FINALIZER);
    assert_eq!(notice(&admin, &[]).await, format!("The API server serves no ManagedResources. {none}"));
    test.cluster.define().await.unwrap();
    assert_eq!(notice(&admin, &[]).await, none);

    let all = "`kubectl delete managedresources -A --all`";
    let names: Vec<String> = (0..MANY).map(|number| format!("mr-{number:03}")).collect();
    stream::iter(&names)
        .for_each_concurrent(16, |name| retained(&test, name, &["example.com/x", names::FINALIZER]))
        .await;
    let first = format!("{MANY} ManagedResources keep the finalizer {}: {}/mr-000, ", names::FINALIZER, test.ns);
    let ninth = format!(", {}/mr-009, and {} more. ", test.ns, MANY - 10);
    says(&notice(&admin, &[]).await, &[&first, &ninth, all], &["Not all"]);
    // Its own class, and the namespaces of its configuration, as the chart names them. Nothing that hits others is named.
    let other = names::finalizer_for("other");
    retained(&test, "other", &[&other]).await;
    says(&notice(&admin, &[]).await, &[&first, "managedresources -n NAMESPACE NAME`"], &[all]);
    let one = format!("1 ManagedResource keeps the finalizer {other}: {}/other. ", test.ns);
    says(&notice(&admin, &["--class=other"]).await, &[&one, "-n NAMESPACE NAME`"], &[all, "Not all"]);
    says(&notice(&admin, &["--source-namespaces=default"]).await, &[&none], &["kubectl"]);

    // Whom nobody answers, who may not ask, and who was not told whom.
    let may = "There may be ManagedResources that keep the finalizer";
    let refused = notice(&nobody(&test).await, &[]).await;
    says(&refused, &[may, "Not all could be seen: list ManagedResources: ", "is forbidden", "kubectl patch"], &[all]);
    says(&notice(Path::new("/none"), &[]).await, &[may, "cannot use kubeconfig /none"], &[all]);
    says(&notice(&admin, &["--class=", "--no-such-flag"]).await, &[may, "Not all could be seen: error: "], &[all]);
    let deaf = test.cluster.control_plane.directory().join("deaf.kubeconfig");
    let address = test.cluster.control_plane.api_server().to_string();
    std::fs::write(&deaf, std::fs::read_to_string(&admin).unwrap().replace(&address, "127.0.0.1:1")).unwrap();
    let begin = Instant::now();
    says(&notice(&deaf, &[]).await, &[may, "Not all could be seen: list ManagedResources: "], &[all]);
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}
