//! The command line and environment of a container, as a kubelet renders them.
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use holdfast_runtime::api::Api;
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource, Pod, Secret};
use kube::ResourceExt;

use super::Stage;
use super::volume::{bounded, optional};

const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image FROM scratch has no certificates of authorities: what runs must not look for them.
pub const WITHOUT_AUTHORITIES: [(&str, &str); 2] = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/nonexistent")];

/// What a container is started with, instead of the environment of this process.
pub(super) struct Invocation {
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
}

/// Mount paths and the real directories behind them.
pub(super) struct Mounted(Vec<(String, PathBuf)>);

impl Mounted {
    pub(super) fn new(mut mounts: Vec<(String, PathBuf)>) -> Self {
        // The longest first, so that a mount within a mount is found.
        mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self(mounts)
    }

    fn directory(&self, mount_path: &str) -> Option<&Path> {
        self.0.iter().find(|(path, _)| path == mount_path).map(|(_, directory)| directory.as_path())
    }

    /// Replaces a mount path at the start of `text`, or right after its first `=`.
    pub(super) fn resolve(&self, text: &str) -> String {
        let (flag, path) = match text.split_once('=') {
            Some((flag, rest)) if rest.starts_with('/') => (&text[..=flag.len()], rest),
            _ => ("", text),
        };
        for (mount, directory) in &self.0 {
            if let Some(rest) = path.strip_prefix(mount.trim_end_matches('/'))
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return format!("{flag}{}{rest}", directory.display());
            }
        }
        text.to_owned()
    }
}

/// Renders a container's arguments and environment.
///
/// # Errors
/// A Secret, ConfigMap or key that is not optional is missing, or a source is of a kind that is not played.
pub(super) async fn render(
    stage: &Stage,
    pod: &Pod,
    container: &Container,
    address: Ipv4Addr,
    mounted: &Mounted,
) -> Result<Invocation> {
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), PATH.to_owned()),
        ("HOSTNAME".to_owned(), pod.name_any()),
        ("KUBERNETES_SERVICE_HOST".to_owned(), stage.api_server.ip().to_string()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), stage.api_server.port().to_string()),
        ("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), stage.api_server.port().to_string()),
    ]);
    environment.extend(WITHOUT_AUTHORITIES.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if let Some(directory) = mounted.directory(SERVICE_ACCOUNT) {
        environment.insert("HOLDFAST_SERVICE_ACCOUNT_DIR".to_owned(), directory.display().to_string());
    }
    let namespace = pod.namespace().unwrap_or_default();
    let sources = Sources { stage, pod, address, namespace };
    for source in container.env_from.iter().flatten() {
        environment.extend(sources.all_of(source).await?);
    }
    for variable in container.env.iter().flatten() {
        let value =
            sources.value(variable, &environment).await.with_context(|| format!("the variable {}", variable.name))?;
        if let Some(value) = value {
            environment.insert(variable.name.clone(), mounted.resolve(&value));
        }
    }
    // The first word of a command is the program.
    let command = container.command.iter().flatten().skip(1);
    let arguments = command
        .chain(container.args.iter().flatten())
        .map(|argument| mounted.resolve(&expand(argument, &environment)))
        .collect();
    Ok(Invocation { arguments, environment })
}

/// The named ports of a container.
pub(super) fn named_ports(container: &Container) -> BTreeMap<String, u16> {
    let ports = container.ports.iter().flatten();
    ports.filter_map(|port| Some((port.name.clone()?, u16::try_from(port.container_port).ok()?))).collect()
}

struct Sources<'a> {
    stage: &'a Stage,
    pod: &'a Pod,
    address: Ipv4Addr,
    namespace: String,
}

impl Sources<'_> {
    async fn value(&self, variable: &EnvVar, before: &BTreeMap<String, String>) -> Result<Option<String>> {
        match &variable.value_from {
            None => Ok(Some(expand(variable.value.as_deref().unwrap_or_default(), before))),
            Some(source) => self.from(source).await,
        }
    }

    async fn from(&self, source: &EnvVarSource) -> Result<Option<String>> {
        if let Some(field) = &source.field_ref {
            return field_of(self.pod, self.address, &field.field_path).map(Some);
        }
        let (data, key, may_lack) = if let Some(reference) = &source.secret_key_ref {
            (self.secret(&reference.name, reference.optional).await?, &reference.key, reference.optional)
        } else if let Some(reference) = &source.config_map_key_ref {
            (self.config_map(&reference.name, reference.optional).await?, &reference.key, reference.optional)
        } else {
            bail!("the player knows the sources fieldRef, secretKeyRef and configMapKeyRef only");
        };
        match data.get(key) {
            Some(value) => Ok(Some(value.clone())),
            None if may_lack == Some(true) => Ok(None),
            None => bail!("there is no key {key}"),
        }
    }

    async fn all_of(&self, source: &EnvFromSource) -> Result<BTreeMap<String, String>> {
        let data = if let Some(reference) = &source.secret_ref {
            self.secret(&reference.name, reference.optional).await?
        } else if let Some(reference) = &source.config_map_ref {
            self.config_map(&reference.name, reference.optional).await?
        } else {
            BTreeMap::new()
        };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        Ok(data.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)).collect())
    }

    async fn secret(&self, name: &str, may_lack: Option<bool>) -> Result<BTreeMap<String, String>> {
        let api: Api<Secret> = Api::namespaced(self.stage.client.clone(), &self.namespace);
        let data = optional(bounded(api.get(name)).await, may_lack)
            .with_context(|| format!("the Secret {name}"))?
            .and_then(|secret| secret.data)
            .unwrap_or_default();
        Ok(data.into_iter().map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())).collect())
    }

    async fn config_map(&self, name: &str, may_lack: Option<bool>) -> Result<BTreeMap<String, String>> {
        let api: Api<ConfigMap> = Api::namespaced(self.stage.client.clone(), &self.namespace);
        let found =
            optional(bounded(api.get(name)).await, may_lack).with_context(|| format!("the ConfigMap {name}"))?;
        Ok(found.and_then(|map| map.data).unwrap_or_default())
    }
}

/// A field of the Pod that the downward API offers.
///
/// # Errors
/// It is not one of those that are played.
pub(super) fn field_of(pod: &Pod, address: Ipv4Addr, path: &str) -> Result<String> {
    Ok(match path {
        "metadata.name" => pod.name_any(),
        "metadata.namespace" => pod.namespace().unwrap_or_default(),
        "metadata.uid" => pod.uid().unwrap_or_default(),
        "status.podIP" | "status.podIPs" | "status.hostIP" => address.to_string(),
        "spec.serviceAccountName" => {
            pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "spec.nodeName" => String::new(),
        _ => bail!("the player does not know the field {path}"),
    })
}

/// Replaces `$(NAME)` by the variable if there is one; `$$` stands for one `$`.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(position) = rest.find('$') {
        result.push_str(&rest[..position]);
        let after = &rest[position + 1..];
        let name = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        if let Some(escaped) = after.strip_prefix('$') {
            result.push('$');
            rest = escaped;
        } else if let Some((value, behind)) = name.and_then(|(name, behind)| Some((variables.get(name)?, behind))) {
            result.push_str(value);
            rest = behind;
        } else {
            result.push('$');
            rest = after;
        }
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_expand_as_in_kubernetes() {
        let variables = BTreeMap::from([("IP".to_owned(), "127.97.0.1".to_owned())]);
        for (text, expected) in [
            ("--bind=$(IP):8080", "--bind=127.97.0.1:8080"),
            ("$(IP)$(IP)", "127.97.0.1127.97.0.1"),
            ("$(MISSING)", "$(MISSING)"),
            ("$$(IP)", "$(IP)"),
            ("cost: 5$", "cost: 5$"),
            ("$(IP", "$(IP"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &variables), expected, "{text}");
        }
    }

    #[test]
    fn mount_paths_are_replaced_where_a_path_begins() {
        let mounted = Mounted::new(vec![
            ("/etc/tls".to_owned(), PathBuf::from("/real/tls")),
            ("/etc/tls/inner/".to_owned(), PathBuf::from("/real/inner")),
        ]);
        for (text, expected) in [
            ("/etc/tls", "/real/tls"),
            ("/etc/tls/tls.crt", "/real/tls/tls.crt"),
            ("/etc/tls/inner/x", "/real/inner/x"),
            ("--cert=/etc/tls/tls.crt", "--cert=/real/tls/tls.crt"),
            ("/etc/tls2", "/etc/tls2"),
            ("--note=see /etc/tls", "--note=see /etc/tls"),
            ("a=b", "a=b"),
        ] {
            assert_eq!(mounted.resolve(text), expected, "{text}");
        }
    }
}
