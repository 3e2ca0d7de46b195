//! Exec plugins of a kubeconfig: programs that print a credential.

use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

/// How long a plugin may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What a plugin gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Credential {
    pub(super) token: Option<String>,
    /// Certificate and key, PEM.
    pub(super) certificate: Option<(String, String)>,
    pub(super) expires: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Answer {
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<Timestamp>,
}

/// Runs a plugin. What it writes to standard error is ours.
///
/// # Errors
/// It gives no credential; the text never quotes what it printed.
pub(super) async fn run(plugin: &ExecConfig) -> Result<Credential, String> {
    let program = plugin.command.as_deref().ok_or("the exec plugin names no command")?;
    let failed = |reason: &str| format!("exec plugin {program}: {reason}");
    if plugin.interactive_mode == Some(ExecInteractiveMode::Always) {
        return Err(failed("it needs a terminal (interactiveMode: Always)"));
    }
    let mut spec = json!({"interactive": false});
    if let Some(cluster) = &plugin.cluster {
        spec["cluster"] = serde_json::to_value(cluster).map_err(|_| failed("there is no telling it the cluster"))?;
    }
    let info = json!({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec});
    let mut command = Command::new(program);
    command.args(plugin.args.iter().flatten());
    for variable in plugin.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    command.env("KUBERNETES_EXEC_INFO", info.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    // What it has to say about a failure is for whoever reads our log.
    command.stderr(Stdio::inherit()).kill_on_drop(true);
    let child = command.spawn().map_err(|error| failed(&error.to_string()))?;
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let output = output.map_err(|_| failed("it did not end within 30 s"))?;
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        return Err(failed(&format!("it failed ({})", output.status)));
    }
    read(&output.stdout).ok_or_else(|| failed("it printed no ExecCredential with a token or a certificate and its key"))
}

/// JSON, or YAML as client-go takes it.
fn read(printed: &[u8]) -> Option<Credential> {
    let Answer { status } = serde_yaml::from_slice(printed).ok()?;
    let certificate = status.client_certificate_data.zip(status.client_key_data);
    let token = status.token.filter(|token| !token.is_empty());
    let is_something = token.is_some() || certificate.is_some();
    is_something.then_some(Credential { token, certificate, expires: status.expiration_timestamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_or_not() {
        let token = Credential { token: Some("t".to_owned()), certificate: None, expires: None };
        assert_eq!(read(br#"{"kind": "ExecCredential", "status": {"token": "t"}}"#), Some(token));
        let read = |status: &str| read(format!("kind: ExecCredential\nstatus: {status}").as_bytes());
        let both = read("{clientCertificateData: c, clientKeyData: k, expirationTimestamp: '2030-01-02T03:04:05Z'}");
        let both = both.unwrap();
        assert_eq!(both.certificate, Some(("c".to_owned(), "k".to_owned())));
        assert_eq!(both.expires, Some("2030-01-02T03:04:05Z".parse().unwrap()));
        for none in ["{}", "{token: ''}", "{clientCertificateData: c}", "{token: t, expirationTimestamp: soon}", "[]"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
