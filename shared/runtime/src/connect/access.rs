//! How to reach a cluster and as whom, as files say it at one moment.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri, header};
use jiff::{SignedDuration, Timestamp};
use kube::Config;
use kube::config::{AuthInfo, Kubeconfig, KubeconfigError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};

use super::ConnectError;
use super::exec;

/// Where kubelet mounts the service account.
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Overrides [`SERVICE_ACCOUNT_DIR`], for pods that run without a container of their own.
const SERVICE_ACCOUNT_DIR_VARIABLE: &str = "HOLDFAST_SERVICE_ACCOUNT_DIR";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A silence longer than any watch lasts (290 s, and 5 s more until the watcher gives it up) means a dead connection.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
/// What expires is renewed so long before.
const BEFORE_EXPIRY: SignedDuration = SignedDuration::from_secs(60);

/// Where it is said.
pub(super) enum Origin {
    Kubeconfig(PathBuf),
    Pod,
}

/// What was read.
pub(super) struct Access {
    /// Complete: what it says is not read again from a file, but for the authority of the pod's API server.
    pub(super) config: Config,
    contents: Contents,
    plugin: Option<Plugin>,
}

/// A plugin was run.
struct Plugin {
    /// Until when what it gave is good, if it said so.
    expires: Option<Timestamp>,
}

impl Access {
    /// Whether there is something new to read.
    pub(super) fn is_outdated(&self) -> bool {
        let expires = self.plugin.as_ref().and_then(|plugin| plugin.expires);
        expires.is_some_and(|expires| Timestamp::now() + BEFORE_EXPIRY >= expires) || self.contents.have_changed()
    }

    /// Whether reading again may yield something else although no file has changed.
    pub(super) fn is_from_plugin(&self) -> bool {
        self.plugin.is_some()
    }
}

impl Origin {
    pub(super) async fn load(&self, agent: &str) -> Result<Access, ConnectError> {
        // Files first, contents second, meaning last: what changes in between is noticed by the next look.
        let contents = Contents::of(self.read()?.1);
        let (mut config, _) = self.read()?;
        let failed = |reason| match self {
            Self::Kubeconfig(path) => ConnectError::Kubeconfig { path: path.clone(), reason },
            Self::Pod => ConnectError::Client { cluster: config.cluster_url.to_string(), reason },
        };
        let plugin = credentials(&mut config.auth_info).await.map_err(failed)?;
        let is_unchecked = config.accept_invalid_certs || config.cluster_url.scheme_str() != Some("https");
        if is_unchecked && config.root_cert.is_none() {
            // None at all, rather than those of the system, without which kube would fail.
            config.root_cert = Some(Vec::new());
        }
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        config.reset_reader_on_write = true;
        config.default_retry = false;
        // The server would spend more on compressing than the network does on carrying.
        config.disable_compression = true;
        if let Ok(agent) = HeaderValue::from_str(agent) {
            config.headers.push((header::USER_AGENT, agent));
        }
        Ok(Access { config, contents, plugin })
    }

    /// The configuration, and the files that it is from.
    fn read(&self) -> Result<(Config, Vec<PathBuf>), ConnectError> {
        match self {
            Self::Kubeconfig(path) => from_file(path),
            Self::Pod => from_pod(|name| std::env::var(name).ok()),
        }
    }
}

/// Files and a digest of what was in them.
struct Contents {
    files: Vec<PathBuf>,
    hasher: RandomState,
    digest: u64,
}

impl Contents {
    fn of(files: Vec<PathBuf>) -> Self {
        let hasher = RandomState::new();
        let digest = digest(&files, &hasher);
        Self { files, hasher, digest }
    }

    fn have_changed(&self) -> bool {
        digest(&self.files, &self.hasher) != self.digest
    }
}

fn digest(files: &[PathBuf], hasher: &RandomState) -> u64 {
    let contents: Vec<Option<Vec<u8>>> = files.iter().map(|file| std::fs::read(file).ok()).collect();
    hasher.hash_one(contents)
}

fn from_file(path: &Path) -> Result<(Config, Vec<PathBuf>), ConnectError> {
    let failed = |error: KubeconfigError| ConnectError::Kubeconfig { path: path.to_owned(), reason: reason(&error) };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    let authorities =
        kubeconfig.clusters.iter().filter_map(|named| named.cluster.as_ref()?.certificate_authority.clone());
    let mut files: Vec<PathBuf> = authorities.map(PathBuf::from).collect();
    let config = Config::try_from(kubeconfig).map_err(failed)?;
    let AuthInfo { client_certificate, client_key, token_file, .. } = &config.auth_info;
    files.extend([client_certificate, client_key, token_file].into_iter().flatten().map(PathBuf::from));
    files.push(path.to_owned());
    Ok((config, files))
}

/// Puts what a token file or an exec plugin says into plain words. kube would do so, too: it would take the line feed at the
/// end of a file for a part of the token, and quote what a plugin printed in its errors.
async fn credentials(auth: &mut AuthInfo) -> Result<Option<Plugin>, String> {
    if let Some(path) = auth.token_file.take() {
        auth.token = Some(token(Path::new(&path))?.into());
    }
    let Some(plugin) = auth.exec.take().filter(|_| auth.token.is_none() && auth.password.is_none()) else {
        return Ok(None);
    };
    let credential = exec::run(&plugin).await?;
    if let Some((certificate, key)) = credential.certificate {
        auth.client_certificate_data = Some(STANDARD.encode(certificate));
        auth.client_key_data = Some(STANDARD.encode(key).into());
    }
    auth.token = credential.token.map(Into::into);
    Ok(Some(Plugin { expires: credential.expires }))
}

fn token(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    match text.trim() {
        "" => Err(format!("there is no token in {}", path.display())),
        token => Ok(token.to_owned()),
    }
}

fn reason(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        // The error's own text shows lines of the file, which has credentials in it.
        KubeconfigError::Parse(error) => match error.location() {
            Some(at) => format!("not a kubeconfig in YAML (line {}, column {})", at.line(), at.column()),
            None => "not a kubeconfig in YAML".to_owned(),
        },
        KubeconfigError::CurrentContextNotSet => "it sets no current-context".to_owned(),
        other => crate::exit::chain(other),
    }
}

/// kube's own reader has the directory built in.
fn from_pod(variable: impl Fn(&'static str) -> Option<String>) -> Result<(Config, Vec<PathBuf>), ConnectError> {
    let required = |name| variable(name).ok_or(ConnectError::NotInPod(name));
    let address = address(&required("KUBERNETES_SERVICE_HOST")?, &required("KUBERNETES_SERVICE_PORT")?)?;
    let directory =
        PathBuf::from(variable(SERVICE_ACCOUNT_DIR_VARIABLE).unwrap_or_else(|| SERVICE_ACCOUNT_DIR.to_owned()));
    let (token, certificate) = (directory.join("token"), directory.join("ca.crt"));
    for path in [&token, &certificate] {
        std::fs::read(path).map_err(|source| ConnectError::ServiceAccount { path: path.clone(), source })?;
    }
    let mut config = Config::new(address);
    // With the file alone, kube would read the authorities of the system, and fail in an image that has none, before it
    // replaces them by those of the file.
    config.root_cert = Some(authorities(&certificate)?);
    config.root_cert_file = Some(certificate.clone());
    config.auth_info.token_file = Some(token.to_string_lossy().into_owned());
    if let Ok(namespace) = std::fs::read_to_string(directory.join("namespace")) {
        namespace.trim().clone_into(&mut config.default_namespace);
    }
    Ok((config, vec![token, certificate]))
}

fn authorities(path: &Path) -> Result<Vec<Vec<u8>>, ConnectError> {
    let failed = |error: pem::Error| ConnectError::ServiceAccount {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(failed)?;
    certificates.map(|certificate| Ok(certificate.map_err(failed)?.to_vec())).collect()
}

fn address(host: &str, port: &str) -> Result<Uri, ConnectError> {
    let text = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(host)) => format!("https://[{host}]:{port}"),
        _ => format!("https://{host}:{port}"),
    };
    text.parse().map_err(|_| ConnectError::Address(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some authority; its key is thrown away.
    const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUb4TVng8Z5S8Czo4jiFqxadh0gJMwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMzAxNTE0NTlaGA8yMTI2MTEwNjE1MTQ1
OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCf/
qkJMIs2/jacCjtyZ07EllCerFCX0PMl1Lb3SUZII7BcaxZnqDUmzslasQZuNw+jb
PZPTMBpXGAsGpNGQdCGjUzBRMB0GA1UdDgQWBBRlryuIuhO8NmXUArb2OOvWxiIJ
ejAfBgNVHSMEGDAWgBRlryuIuhO8NmXUArb2OOvWxiIJejAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQCgGAWDbfZu/WuZg1xuSlUEV9Hb3Yjy7P+e
MzBvYV21/AIgASxnLDubon7juLnUfUHT9PjoU/ZS15hq4zHn0jXBHwU=
-----END CERTIFICATE-----
";

    fn kubeconfig(user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{{name: x, context: {{cluster: x, user: x}}}}]\n\
             clusters: [{{name: x, cluster: {{server: 'https://127.0.0.1:1'}}}}]\nusers: [{{name: x, user: {user}}}]\n"
        )
    }

    #[tokio::test]
    async fn broken_kubeconfigs_get_one_line_without_their_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let shown = path.display();
        std::fs::write(directory.path().join("empty"), " \n").unwrap();
        let (empty, none) = (kubeconfig("{tokenFile: empty}"), kubeconfig("{tokenFile: none}"));
        let (silent, absent) = (kubeconfig("{exec: {command: 'true'}}"), kubeconfig("{exec: {command: ./none}}"));
        let leaky = kubeconfig("{exec: {command: echo, args: [hunter2]}}");
        for (content, expected) in [
            (None, "No such file or directory"),
            (Some("users:\n- name: x\n  user: {token: hunter2\n"), "not a kubeconfig in YAML"),
            (Some("hunter2"), "not a kubeconfig in YAML"),
            (Some(""), "it sets no current-context"),
            (
                Some("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: []\n"),
                "failed to load current context: x",
            ),
            (Some(&*empty), "there is no token in "),
            (Some(&*none), "cannot read "),
            (Some(&*silent), "exec plugin true: it printed no ExecCredential"),
            (Some(&*absent), "exec plugin "),
            (Some(&*leaky), "exec plugin echo: it printed no ExecCredential"),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let error = Origin::Kubeconfig(path.clone()).load("test").await.err().unwrap().to_string();
            assert!(error.starts_with(&format!("cannot use kubeconfig {shown}: {expected}")), "{error}");
            assert!(!error.contains("hunter2") && !error.contains('\n'), "{error}");
        }
    }

    #[tokio::test]
    async fn what_is_replaced_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let token = directory.path().join("token");
        std::fs::write(&token, "one\n").unwrap();
        std::fs::write(&path, kubeconfig("{tokenFile: token}")).unwrap();
        let origin = Origin::Kubeconfig(path.clone());
        let access = origin.load("test").await.unwrap();
        assert!(access.config.auth_info.token.is_some() && !access.is_outdated());
        std::fs::write(&token, "two\n").unwrap();
        assert!(access.is_outdated());
        let access = origin.load("test").await.unwrap();
        assert!(!access.is_outdated());
        std::fs::write(&path, kubeconfig("{token: three}")).unwrap();
        assert!(access.is_outdated());
    }

    /// In a process of its own, since the variables are those of the process.
    #[test]
    fn no_authorities_of_the_system_are_needed() {
        const NAME: &str = "connect::access::tests::no_authorities_of_the_system_are_needed";
        const CHILD: &str = "HOLDFAST_TEST_WITHOUT_AUTHORITIES";
        if std::env::var_os(CHILD).is_none() {
            let program = std::env::current_exe().unwrap();
            let mut child = std::process::Command::new(program);
            child.args(["--exact", NAME, "--nocapture"]).env(CHILD, "1");
            child.env("SSL_CERT_FILE", "/dev/null").env("SSL_CERT_DIR", "/nonexistent");
            let output = child.output().unwrap();
            let message =
                String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && message.contains("1 passed"), "{message}");
            return;
        }
        super::super::install_crypto_provider();
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        std::fs::write(place.join("token"), "t").unwrap();
        std::fs::write(place.join("ca.crt"), AUTHORITY).unwrap();
        let variables = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("127.0.0.1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("6443".to_owned()),
            _ => Some(place.display().to_string()),
        };
        let pod = from_pod(variables).unwrap().0;
        assert_eq!(pod.root_cert.as_ref().map(Vec::len), Some(1));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let kubeconfig = |server: &str| {
            let text = kubeconfig("{token: t}").replace("server: 'https://127.0.0.1:1'", server);
            std::fs::write(place.join("config"), text).unwrap();
            runtime.block_on(Origin::Kubeconfig(place.join("config")).load("test")).unwrap().config
        };
        for (config, expected) in [
            (pod, true),
            (kubeconfig("server: 'https://127.0.0.1:1', certificate-authority: ca.crt"), true),
            (kubeconfig("server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true"), true),
            (kubeconfig("server: 'http://127.0.0.1:1'"), true),
            // Whoever wants those of the system is told that there are none.
            (kubeconfig("server: 'https://127.0.0.1:1'"), false),
        ] {
            let built = crate::guarded::transport(&config, None).map(|_| ());
            let reason = built.as_ref().err().map(crate::call::explain).unwrap_or_default();
            assert_eq!(built.is_ok(), expected, "{}: {reason}", config.cluster_url);
            assert_eq!(reason.contains("No CA certificates were loaded from the system"), !expected, "{reason}");
        }
    }

    #[tokio::test]
    async fn a_pod_is_read_from_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let variables = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("6443".to_owned()),
            SERVICE_ACCOUNT_DIR_VARIABLE => Some(directory.path().display().to_string()),
            _ => None,
        };
        let error = from_pod(variables).unwrap_err().to_string();
        assert!(error.contains("/token of the service account: No such file"), "{error}");
        for (name, content) in [("token", "t"), ("ca.crt", "c"), ("namespace", "garden\n")] {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        let (config, files) = from_pod(variables).unwrap();
        assert_eq!(config.cluster_url.to_string(), "https://[fd00::1]:6443/");
        assert_eq!(config.default_namespace, "garden");
        assert_eq!(config.root_cert_file.unwrap(), directory.path().join("ca.crt"));
        assert_eq!(files, [directory.path().join("token"), directory.path().join("ca.crt")]);

        let error = from_pod(|_| None).unwrap_err().to_string();
        assert_eq!(error, "no --kubeconfig is given, and this is not a pod: KUBERNETES_SERVICE_HOST is not set");
    }
}
