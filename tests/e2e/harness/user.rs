//! People with kubectl.
use std::path::Path;

use holdfast_e2e::control_plane::{ControlPlane, User};
use holdfast_e2e::kubectl::{Kubectl, Output};

/// Somebody who works in one namespace.
#[derive(Clone)]
pub struct Person {
    kubectl: Kubectl,
    ns: String,
    /// Where kubectl may leave what it could not send.
    directory: std::path::PathBuf,
}

impl Person {
    pub fn new(control_plane: &ControlPlane, user: User, ns: &str) -> Self {
        let kubectl = Kubectl::new(control_plane.tools(), &control_plane.kubeconfig(), user.name());
        Self { kubectl, ns: ns.to_owned(), directory: control_plane.directory().to_path_buf() }
    }

    /// Runs `kubectl` with these words, in the namespace of the test. Quotes are not known: see [`Self::with`].
    pub async fn run(&self, words: &str) -> Output {
        self.with(&words.split_whitespace().collect::<Vec<_>>()).await
    }

    /// Runs `kubectl` with these arguments.
    pub async fn with(&self, args: &[&str]) -> Output {
        self.input(args, None).await
    }

    /// Runs `kubectl <args> -f -` with this input.
    pub async fn send(&self, words: &str, yaml: &str) -> Output {
        let mut args: Vec<&str> = words.split_whitespace().collect();
        args.extend(["-f", "-"]);
        self.input(&args, Some(yaml)).await
    }

    /// Pastes a command line into a shell.
    pub async fn pastes(&self, line: &str) -> Output {
        self.kubectl.shell(line).await.expect("run sh")
    }

    /// Runs `helm` with these arguments, in the namespace of the test.
    pub async fn helm(&self, args: &[&str]) -> Output {
        let args = [args, &["--namespace", &self.ns]].concat();
        self.kubectl.helm(&args).await.expect("run helm")
    }

    /// Runs `kubectl <args> -f -` with this input.
    pub async fn send_with(&self, args: &[&str], input: &str) -> Output {
        self.input(&[args, &["-f", "-"]].concat(), Some(input)).await
    }

    /// Opens an object in an editor that executes this `sed` script.
    pub async fn edit(&self, object: &str, script: &str) -> Output {
        let editor = format!("sed -i {script}");
        let directory = self.directory.display().to_string();
        let kubectl = self.kubectl.clone().with_env("KUBE_EDITOR", &editor).with_env("TMPDIR", &directory);
        kubectl.run(&["edit", object, "--namespace", &self.ns], None).await.expect("run kubectl edit")
    }

    /// Must succeed; returns what it said on both outputs.
    #[track_caller]
    pub fn does(&self, words: &str) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        async move {
            let output = self.run(words).await;
            assert!(
                output.status.success(),
                "{}:{}: kubectl {words}: {}",
                place.file(),
                place.line(),
                printed(&output)
            );
            printed(&output)
        }
    }

    /// Runs `kubectl` with these arguments, which must succeed; returns what it said on both outputs.
    pub async fn succeeds(&self, args: &[&str]) -> String {
        let output = self.with(args).await;
        assert!(output.status.success(), "{args:?}: {}", printed(&output));
        printed(&output)
    }

    /// The same with an input; returns its warnings and what else it said.
    pub async fn sends(&self, words: &str, yaml: &str) -> String {
        let output = self.send(words, yaml).await;
        assert!(output.status.success(), "{words}: {}", printed(&output));
        printed(&output)
    }

    /// Runs `kubectl` with these arguments, which must be refused with all these parts; returns the refusal.
    pub async fn is_refused(&self, args: &[&str], parts: &[&str]) -> String {
        refusal(&args.join(" "), &self.with(args).await, parts)
    }

    /// The same with an input.
    pub async fn send_is_refused(&self, words: &str, yaml: &str, parts: &[&str]) -> String {
        refusal(words, &self.send(words, yaml).await, parts)
    }

    async fn input(&self, args: &[&str], stdin: Option<&str>) -> Output {
        let mut all = args.to_vec();
        if !args.iter().any(|arg| matches!(*arg, "-n" | "--namespace" | "-A")) {
            all.extend(["--namespace", &self.ns]);
        }
        self.kubectl.run(&all, stdin).await.expect("run kubectl")
    }

    /// Applies a file, which must succeed.
    pub async fn applies_file(&self, path: &Path) -> String {
        let path = path.display().to_string();
        let output = self.kubectl.run(&["apply", "-f", &path], None).await.expect("run kubectl");
        assert!(output.status.success(), "kubectl apply -f {path}: {}", printed(&output));
        printed(&output)
    }
}

/// What a command said that must have been refused by a webhook, with all these parts.
#[track_caller]
pub fn refusal(what: &str, output: &Output, parts: &[&str]) -> String {
    assert_eq!(output.status.code(), Some(1), "{what}: {}", printed(output));
    for part in parts.iter().chain(&[r#"admission webhook ""#, "denied the request"]) {
        assert!(output.stderr.contains(part), "{what}: {part:?} is not in: {}", printed(output));
    }
    output.stderr.clone()
}

/// Both outputs.
pub fn printed(output: &Output) -> String {
    format!("{}{}", output.stdout, output.stderr)
}
