//! Kubeconfigs in all their forms, and credentials that are replaced while the controller runs.
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::audit::AuditLog;
use serde_json::{Value, json};

use crate::harness::{Account, Cluster, Replica, Test, text, write_kubeconfig};

/// Keys in all the forms that there are; made for these tests, and of no use elsewhere.
const RSA: &str = include_str!("../data/keys/rsa-pkcs8.pem");
const RSA_OLD: &str = include_str!("../data/keys/rsa-pkcs1.pem");
const ECDSA: &str = include_str!("../data/keys/ecdsa-pkcs8.pem");
const ECDSA_OLD: &str = include_str!("../data/keys/ecdsa-sec1.pem");

/// A replica whose credentials are looked at often.
struct Scene {
    // Before the test, with whose control plane its log goes.
    replica: Replica,
    test: Test,
    kubeconfig: PathBuf,
    log: AuditLog,
    /// How often the object was declared; each time with something new, or nothing would be written.
    declared: u32,
}

impl Scene {
    async fn set(topic: &str, user: &Value) -> Self {
        let test = Test::on(Cluster::shared_bare().await, topic).await;
        Self::on(test, user)
    }

    fn on(test: Test, user: &Value) -> Self {
        let kubeconfig = write_kubeconfig(&test.cluster, &test.ns, user);
        let replica = Replica::new(&test.cluster, &test.ns, &kubeconfig, &test.ns);
        let replica = replica.with(&["--credentials-period=300ms"]).in_namespace(&test.ns);
        let log = AuditLog::from_now(&test.cluster.control_plane.audit_log()).unwrap();
        Self { replica, test, kubeconfig, log, declared: 0 }
    }

    async fn start(&self) {
        self.replica.start();
        self.test.declare("mr", &self.test.config_map("a", "start")).class(&self.test.ns).await;
    }

    /// Waits until the object is written by this user.
    async fn written_by(&mut self, user: &str) {
        for _ in 0..100 {
            self.declared += 1;
            let data = format!("declared-{}", self.declared);
            self.test.redeclare("mr", &self.test.config_map("a", &data)).await;
            let requests = self.log.read().unwrap();
            let is_it = |user: &str| {
                requests.iter().any(|request| request.user == user && request.name == "a" && request.verb == "patch")
            };
            if is_it(user) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{user} has written nothing");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.test.cluster.control_plane.directory().join(format!("{}-{name}", self.test.ns))
    }
}

/// The user of a certificate and its key, in files or inline.
fn certified(scene: &Scene, user: &str, pkcs8: &str, key: &str, inline: bool) -> Value {
    let certificate = scene.test.cluster.control_plane.certificate(user, "system:masters", pkcs8).unwrap();
    if inline {
        return json!({
            "client-certificate-data": STANDARD.encode(certificate), "client-key-data": STANDARD.encode(key),
        });
    }
    let (certificate_path, key_path) = (scene.path("client.crt"), scene.path("client.key"));
    std::fs::write(&certificate_path, certificate).unwrap();
    std::fs::write(&key_path, key).unwrap();
    // Relative to the kubeconfig.
    json!({"client-certificate": certificate_path.file_name().unwrap().to_str(), "client-key": key_path})
}

#[tokio::test(flavor = "multi_thread")]
async fn client_certificates_of_all_kinds_work_and_are_followed() {
    let mut scene = Scene::set("certificates", &json!({})).await;
    let write = |scene: &Scene, user: &Value| {
        let path = write_kubeconfig(&scene.test.cluster, &scene.test.ns, user);
        assert_eq!(path, scene.kubeconfig);
    };
    let user = certified(&scene, "rsa-old", RSA, RSA_OLD, true);
    write(&scene, &user);
    scene.start().await;
    scene.written_by("rsa-old").await;
    for (name, pkcs8, key, inline) in [
        ("rsa", RSA, RSA, true),
        ("ecdsa-old", ECDSA, ECDSA_OLD, true),
        ("ecdsa", ECDSA, ECDSA, true),
        ("rsa-in-files", RSA, RSA, false),
    ] {
        let user = certified(&scene, name, pkcs8, key, inline);
        write(&scene, &user);
        scene.written_by(name).await;
    }
    // Now only the files that the kubeconfig names change.
    certified(&scene, "ecdsa-in-files", ECDSA, ECDSA_OLD, false);
    scene.written_by("ecdsa-in-files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn token_files_and_kubeconfigs_are_followed() {
    let mut scene = Scene::set("tokens", &json!({})).await;
    let (one, two) = (Account::create(&scene.test, "one").await, Account::create(&scene.test, "two").await);
    let file = scene.path("token");
    // With a line feed, as an editor leaves it.
    std::fs::write(&file, format!("{}\n", one.token)).unwrap();
    write_kubeconfig(&scene.test.cluster, &scene.test.ns, &json!({"tokenFile": file}));
    scene.start().await;
    scene.written_by(&one.user).await;
    std::fs::write(&file, &two.token).unwrap();
    scene.written_by(&two.user).await;

    // Half a file is no reason to stop.
    std::fs::write(&scene.kubeconfig, "apiVersion: v1\nkind: Conf").unwrap();
    scene.replica.says(&["cannot use kubeconfig", "the former credentials stay in use"]).await;
    scene.written_by(&two.user).await;
    write_kubeconfig(&scene.test.cluster, &scene.test.ns, &json!({"token": one.token}));
    scene.written_by(&one.user).await;
    let log = scene.replica.logged();
    assert!(!log.contains(&one.token) && !log.contains(&two.token), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_plugins_are_run_again_before_their_credential_expires() {
    let mut scene = Scene::set("plugins", &json!({})).await;
    let (one, two) = (Account::create(&scene.test, "one").await, Account::create(&scene.test, "two").await);
    let (plugin, token) = (scene.path("plugin.sh"), scene.path("plugin-token"));
    let script = "#!/bin/sh\n\
        now=$(/bin/date -u +%s)\n\
        expires=$(/bin/date -u -d @$((now + LIFETIME)) +%Y-%m-%dT%H:%M:%SZ)\n\
        echo \"{\\\"apiVersion\\\": \\\"client.authentication.k8s.io/v1\\\", \\\"kind\\\": \\\"ExecCredential\\\", \
        \\\"status\\\": {\\\"token\\\": \\\"$(/bin/cat \"$1\")\\\", \\\"expirationTimestamp\\\": \\\"$expires\\\"}}\"\n";
    std::fs::write(&plugin, script).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(&token, &one.token).unwrap();
    let name = format!("./{}", plugin.file_name().unwrap().to_str().unwrap());
    let user = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": name, "args": [token],
        "env": [{"name": "LIFETIME", "value": "5"}], "interactiveMode": "IfAvailable",
    }});
    write_kubeconfig(&scene.test.cluster, &scene.test.ns, &user);
    scene.start().await;
    scene.written_by(&one.user).await;
    std::fs::write(&token, &two.token).unwrap();
    scene.written_by(&two.user).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_runs_on_with_dead_credentials() {
    let mut scene = Scene::set("dead", &json!({})).await;
    let account = Account::create(&scene.test, "mortal").await;
    write_kubeconfig(&scene.test.cluster, &scene.test.ns, &json!({"token": account.token}));
    scene.start().await;
    scene.written_by(&account.user).await;
    scene.test.delete("serviceaccounts", "mortal").await;
    // The API server remembers for a while whom it knew. Then nothing can be repaired any more.
    scene
        .test
        .eventually("the process to end", || async {
            scene.test.merge("configmaps", "a", "e2e", &json!({"data": {"k": "x"}})).await;
            if scene.replica.is_running() { Err("it runs".to_owned()) } else { Ok(()) }
        })
        .await;
    assert_eq!(scene.replica.exit_code(), Some(1));
    scene.replica.says(&["error: credentials: ", "has refused our credentials (401) for"]).await;
    assert_eq!(text(&scene.test.get("configmaps", "a").await.unwrap(), "/data/k"), "x");
}
