//! The webhook beside the ManagedResources, for objects in another cluster: who is who, and who asks whom about what.
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_e2e::cache;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::{
    Account, CONTROLLER, Cluster, PROTECTION, Replica, Test, WEBHOOK, printed, text, write_kubeconfig,
};
use crate::install::config_file::answers;
use crate::install::roles::exempt;

const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-holdfast";

fn chart() -> String {
    cache::workspace().join("charts/holdfast").display().to_string()
}

/// A port of this machine that is free now.
async fn free_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// A service account without any rights, and its token.
async fn account(test: &Test, name: &str) -> (String, String) {
    let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    test.create("serviceaccounts", &body).await;
    let path = format!("/api/v1/namespaces/{}/serviceaccounts/{name}/token", test.ns);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = test.call("POST", &path, Some(&request)).await.unwrap();
    (format!("system:serviceaccount:{}:{name}", test.ns), text(&answer, "/status/token"))
}

/// What the chart makes of these values.
async fn rendered(test: &Test, values: &str) -> Vec<Value> {
    let output = test.admin.helm(&["template", "holdfast", &chart(), "--set", values]).await.success().unwrap();
    let documents = serde_yaml::Deserializer::from_str(&output);
    documents.map(|document| serde::Deserialize::deserialize(document).unwrap()).collect()
}

fn names(configuration: &Value) -> Vec<&str> {
    let webhooks = configuration["webhooks"].as_array().unwrap().iter();
    webhooks.map(|webhook| webhook["name"].as_str().unwrap().trim_end_matches(".resources.gardener.cloud")).collect()
}

/// What the chart has for the source, for this namespace only, as other tests use the cluster too.
async fn register_source(source: &Test, url: &str) {
    let values = format!("clusters.role=Source,clusters.targetKubeconfig.secretName=k,clusters.advertiseURL={url}");
    let all = rendered(source, &values).await;
    let kinds: Vec<_> = all.iter().map(|object| object["kind"].as_str().unwrap_or_default()).collect();
    assert!(!kinds.contains(&"MutatingWebhookConfiguration") && kinds.contains(&"Deployment"), "{kinds:?}");
    let found = all.iter().find(|object| object["kind"] == "ValidatingWebhookConfiguration");
    let mut configuration = found.unwrap().clone();
    let expected = ["labelled.secrets", "secrets", "deleted.secrets", "managedresources"];
    assert_eq!(names(&configuration), expected, "nothing about managed objects");
    for webhook in configuration["webhooks"].as_array_mut().unwrap() {
        let path = text(webhook, "/clientConfig/service/path");
        webhook["clientConfig"] = json!({"url": format!("{url}{path}")});
        webhook["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": source.ns}});
        webhook["failurePolicy"] = json!("Fail");
    }
    source.call("POST", VALIDATING, Some(&configuration)).await.unwrap();
}

struct Scene {
    source: Test,
    target: Test,
    webhook: Replica,
    controller: Replica,
    /// Users of ours in the target.
    users: [String; 2],
    url: String,
    /// Where the webhook's probes and metrics are.
    probes: String,
}

impl Scene {
    async fn set() -> Self {
        let scene = Self::of_source().await;
        scene.install_target().await;
        scene
    }

    /// Without anything of ours in the target.
    async fn of_source() -> Self {
        let source = Test::on(Cluster::shared_bare().await, "source").await;
        let target = Test::on(Arc::new(Cluster::bare().await), "target").await;
        let port = free_port().await;
        let probes = format!("127.0.0.1:{}", free_port().await);
        let (url, address) = (format!("https://127.0.0.1:{port}"), format!("--bind-address=127.0.0.1:{port}"));
        let (own, theirs) = (Account::create(&source, "ours").await, Account::create(&target, "controller").await);
        let (user, token) = account(&target, "webhook").await;
        let kubeconfig = |test: &Test, name: &str, token: &str| {
            let name = format!("{}-{name}", test.ns);
            write_kubeconfig(&test.cluster, &name, &json!({"token": token})).display().to_string()
        };
        let from = kubeconfig(&source, "ours", &own.token);
        let flags = [
            format!("--kubeconfig={from}"),
            format!("--target-kubeconfig={}", kubeconfig(&target, "webhook", &token)),
            format!("--advertise-url={url}"),
            address,
            format!("--probes-address={probes}"),
            format!("--own-user={}", own.user),
            format!("--target-own-user={}", theirs.user),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let webhook = Replica::only(&source.cluster, WEBHOOK, &format!("{}-webhook", source.ns), &flags);
        let class = format!("--class={}", source.ns);
        let flags = [class.as_str(), "--probes-address=127.0.0.1:0"];
        let controller = Replica::only(&source.cluster, CONTROLLER, &format!("{}-controller", source.ns), &flags)
            .env("KUBECONFIG", &from)
            .env("TARGET_KUBECONFIG", &kubeconfig(&target, "controller", &theirs.token))
            .in_namespace(&source.ns);

        register_source(&source, &url).await;
        let users = [user, theirs.user];
        Self { webhook: webhook.in_namespace(&source.ns), controller, source, target, users, url, probes }
    }

    /// What the webhook may do there is what the chart gives it.
    async fn install_target(&self) {
        let (url, user) = (&self.url, &self.users[0]);
        let values = format!("clusters.role=Target,clusters.advertiseURL={url},clusters.targetUsers={{{user}}}");
        let install = ["install", "protected", &chart(), "--set", &values, "--set", "webhook.failurePolicy=Fail"];
        self.target.admin.helm(&install).await.success().unwrap();
    }

    /// Something is declared in the source, and there in the target.
    async fn declared(&self) {
        self.controller.start();
        self.source.declare("mr", &self.target.config_map("a", "one")).class(&self.source.ns).await;
        self.target.has("configmaps", "a", "/data/k", "one").await;
    }

    /// Nobody else may find what this scene has put into the source that others use, too.
    async fn end(&self) {
        self.source.call("DELETE", &format!("{VALIDATING}/holdfast"), None).await.unwrap();
    }

    /// Waits until both clusters trust the webhook, and the target knows who we are.
    async fn registered(&self) {
        let expected = format!("!(request.userInfo.username in {})", json!(self.users));
        let validating = format!("{VALIDATING}/holdfast");
        for (test, path) in [(&self.source, &*validating), (&self.target, &*validating), (&self.target, MUTATING)] {
            test.eventually(&format!("{path} to be right"), || async {
                let found = test.call("GET", path, None).await.map_err(|error| error.to_string())?;
                for webhook in found["webhooks"].as_array().into_iter().flatten() {
                    let conditions = webhook["matchConditions"].as_array().cloned().unwrap_or_default();
                    let own = conditions.iter().find(|condition| condition["name"] == "not-holdfast");
                    let is_named = own.is_some_and(|own| own["expression"] == expected.as_str());
                    let ca = STANDARD.decode(text(webhook, "/clientConfig/caBundle")).unwrap_or_default();
                    if !ca.starts_with(b"-----BEGIN") || (test.ns == self.target.ns && !is_named) {
                        return Err(webhook.to_string());
                    }
                }
                Ok(())
            })
            .await;
        }
    }

    async fn edit(&self, flags: &[&str], value: &str) -> holdfast_e2e::kubectl::Output {
        let patch = json!({"data": {"k": value}}).to_string();
        self.target.admin.with(&[&["patch", "configmap", "a", "-p", &patch], flags].concat()).await
    }

    async fn edit_is_refused(&self, flags: &[&str]) {
        let refusal = self.edit(flags, "x").await.refusal().unwrap();
        let owner = format!("is managed by ManagedResource {}/mr", self.source.ns);
        assert!(refusal.contains(&owner), "{flags:?}: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_another_cluster_are_protected_there() {
    let scene = Scene::set().await;
    let (source, target) = (&scene.source, &scene.target);
    scene.webhook.start();
    scene.registered().await;
    scene.declared().await;

    // People there are refused, and so is who bears the name of one of ours in the other cluster.
    scene.edit_is_refused(&["--as=alice", "--as-group=team-a"]).await;
    let namesake = format!("--as=system:serviceaccount:{}:ours", source.ns);
    scene.edit_is_refused(&[&namesake, "--as-group=system:masters"]).await;
    // The controller passes.
    source.redeclare("mr", &target.config_map("a", "two")).await;
    target.has("configmaps", "a", "/data/k", "two").await;

    // Manifests are checked where they are.
    let bad = source.try_secret("mr", &[("objects.yaml", b"a: [")]).await.unwrap_err().to_string();
    assert!(bad.contains(r#"key "objects.yaml", document 1"#), "{bad}");
    pauses_are_reviewed_in_the_source(&scene).await;
    scene.edit_is_refused(&[]).await;

    // Whatever an upgrade or a person makes of the registration is put right, in both.
    let upgrade = ["upgrade", "protected", &chart(), "--reuse-values", "--set", "webhook.timeoutSeconds=5"];
    target.admin.helm(&upgrade).await.success().unwrap();
    scene.registered().await;
    for test in [source, target] {
        let emptied = format!("{VALIDATING}/holdfast");
        let mut found = test.call("GET", &emptied, None).await.unwrap();
        for webhook in found["webhooks"].as_array_mut().unwrap() {
            webhook["clientConfig"].as_object_mut().unwrap().remove("caBundle");
            webhook["matchConditions"] = json!([]);
        }
        test.call("PUT", &emptied, Some(&found)).await.unwrap();
        scene.registered().await;
    }
    target
        .eventually("edits to be refused again", || async {
            let output = scene.edit(&[], "x").await;
            if output.stderr.contains("is managed by") { Ok(()) } else { Err(printed(&output)) }
        })
        .await;

    let log = scene.webhook.logged();
    assert!(!log.contains("forbidden"), "{log}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_does_not_wait_for_the_target() {
    let scene = Scene::of_source().await;
    scene.webhook.start();
    answers(&scene.probes, "/readyz", 200).await;
    scene.declared().await;
    for kind in ["Validating", "Mutating"] {
        let absent = format!(
            "holdfast_webhook_configuration_absent{{cluster=\"target\",configuration=\"{kind}WebhookConfiguration\"}} 1"
        );
        let reported = answers(&scene.probes, "/metrics", 200).await;
        assert!(reported.contains(&absent), "{reported}");
        let name = format!("the {kind}WebhookConfiguration ");
        scene.webhook.says(&[&name, "of the target cluster does not exist", "clusters.role=Target"]).await;
    }
    assert!(scene.edit(&[], "x").await.status.success(), "nobody is asked there");
    scene.target.has("configmaps", "a", "/data/k", "one").await;

    // As it comes, it is registered, and nobody has to wait for anything meanwhile.
    scene.install_target().await;
    let begin = Instant::now();
    let refused = scene.target.eventually("edits to be refused", || async {
        let output = scene.edit(&[], "x").await;
        if output.stderr.contains("is managed by") { Ok(()) } else { Err(printed(&output)) }
    });
    let mut refused = std::pin::pin!(refused);
    loop {
        tokio::select! {
            () = &mut refused => break,
            answer = answers(&scene.probes, "/readyz", 200) => assert!(!answer.is_empty()),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("edits were refused {:.1} s after Target was installed", begin.elapsed().as_secs_f64());
    scene.registered().await;
    let reported = answers(&scene.probes, "/metrics", 200).await;
    assert!(reported.contains("configuration=\"MutatingWebhookConfiguration\"} 0"), "{reported}");
    assert!(
        reported.contains(
            "holdfast_webhook_exempt_users{cluster=\"target\",configuration=\"MutatingWebhookConfiguration\"} 2"
        ),
        "{reported}"
    );
    scene.end().await;
}

/// The webhook of the source has named its user there, and is away. Whoever that was is asked about like everybody.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_exempt_any_more_in_a_target_that_stands_alone_again() {
    let scene = Scene::set().await;
    let target = &scene.target;
    scene.webhook.start();
    scene.registered().await;
    scene.webhook.kill().await;
    scene.end().await;
    assert_eq!(exempt(target).await.len(), 7);

    let upgrade = ["upgrade", "protected", &chart(), "--wait", "--timeout=90s", "--set", "image.tag=dev"];
    target.admin.helm(&upgrade).await.success().unwrap();
    target
        .eventually("nobody to be exempt", || async {
            let found = exempt(target).await;
            if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    target.declare("mr", &target.config_map("a", "one")).await;
    target
        .eventually("edits of the former user to be refused", || async {
            let output = scene.edit(&[&format!("--as={}", scene.users[1])], "x").await;
            if output.stderr.contains("is managed by") { Ok(()) } else { Err(printed(&output)) }
        })
        .await;
}

/// Who may pause is a matter of the cluster with the ManagedResources. Then edits pass in the other one.
async fn pauses_are_reviewed_in_the_source(scene: &Scene) {
    let (source, target) = (&scene.source, &scene.target);
    let until = (Timestamp::now() + SignedDuration::from_secs(1800)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let patch = json!({"spec": {"protection": {"pauses": [{"until": until, "reason": "an incident"}]}}}).to_string();
    let pause = ["patch", "managedresource", "mr", "--type=merge", "-p", &patch];
    let group = "rbac.authorization.k8s.io/v1";
    let rules = json!([{"apiGroups": ["resources.gardener.cloud"], "resources": ["managedresources"],
        "verbs": ["get", "patch"]}]);
    source
        .create(
            &format!("{group}/roles"),
            &json!({"apiVersion": group, "kind": "Role", "metadata": {"name": "writer"}, "rules": rules}),
        )
        .await;
    let binding = json!({"apiVersion": group, "kind": "RoleBinding", "metadata": {"name": "writer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "writer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol"}]});
    source.create(&format!("{group}/rolebindings"), &binding).await;
    let refusal = source.admin.with(&[&pause[..], &["--as=carol"]].concat()).await.refusal().unwrap();
    assert!(refusal.contains(r#"user "carol" may not pause"#), "{refusal}");

    let output = source.alice.with(&pause).await;
    assert!(output.status.success(), "{}", printed(&output));
    let label = PROTECTION;
    target.has("configmaps", "a", label, "off").await;
    let output = target
        .eventually("an edit to pass", || async {
            let output = scene.edit(&["--as=alice", "--as-group=team-a"], "three").await;
            if output.status.success() { Ok(printed(&output)) } else { Err(printed(&output)) }
        })
        .await;
    assert!(output.contains("is paused until"), "{output}");
    assert_eq!(text(&target.get("configmaps", "a").await.unwrap(), "/data/k"), "three");
    source.alice.does(r#"patch managedresource mr --type=merge -p {"spec":{"protection":{"pauses":null}}}"#).await;
    target.has("configmaps", "a", "/data/k", "two").await;
    target.has("configmaps", "a", label, "deny").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_do_not_go_together_end_the_webhook() {
    let test = Test::on(Cluster::shared_bare().await, "together").await;
    let (_, token) = account(&test, "webhook").await;
    let kubeconfig = write_kubeconfig(&test.cluster, &test.ns, &json!({"token": token})).display().to_string();
    for (name, flags, expected) in [
        ("alone", vec![format!("--target-kubeconfig={kubeconfig}")], "--target-kubeconfig needs --advertise-url"),
        ("path", vec!["--advertise-url=https://x/y".to_owned()], "must end after host and port"),
        ("plain", vec!["--advertise-url=http://x".to_owned()], "calls https only"),
        ("long", vec!["--ca-lifetime=1h".to_owned()], "--certificate-lifetime must not be longer than --ca-lifetime"),
    ] {
        let common = ["--bind-address=127.0.0.1:0", "--probes-address=127.0.0.1:0"];
        let source = format!("--kubeconfig={kubeconfig}");
        let flags: Vec<&str> = flags.iter().map(String::as_str).chain(common).chain([source.as_str()]).collect();
        let replica = Replica::only(&test.cluster, WEBHOOK, &format!("{}-{name}", test.ns), &flags);
        let replica = replica.in_namespace(&test.ns);
        replica.start();
        replica.ended().await;
        assert_eq!(replica.exit_code(), Some(1), "{name}");
        assert!(replica.logged().contains(expected), "{name}: {}", replica.logged());
    }
}
