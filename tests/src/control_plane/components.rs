//! How each component is called.
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Component, Options, Site, files};
use crate::leash;
use crate::toolchain::Tools;

pub(super) const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ISSUER: &str = "https://kubernetes.default.svc";

/// The ports of one control plane, kept over restarts of its components.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    api_server: u16,
    etcd_clients: u16,
    etcd_peers: u16,
    controller_manager: u16,
}

impl Ports {
    /// Ports that were free a moment ago.
    pub(super) fn free() -> Result<Self> {
        let mut listeners = Vec::new();
        for _ in 0..4 {
            // All are held until all are found, so that they differ.
            listeners.push(TcpListener::bind((LOOPBACK, 0)).context("find a free port")?);
        }
        let mut ports = listeners.iter().map(|listener| listener.local_addr().map(|address| address.port()));
        let mut next = || ports.next().context("find a free port")?.context("find a free port");
        Ok(Self { api_server: next()?, etcd_clients: next()?, etcd_peers: next()?, controller_manager: next()? })
    }

    pub(super) fn api_server_address(self, site: &Site) -> SocketAddr {
        SocketAddr::from((site.address, self.api_server))
    }
}

/// The command line of a component, on the leash.
pub(super) fn command(
    component: Component,
    tools: &Tools,
    directory: &Path,
    ports: Ports,
    options: &Options,
) -> Result<Command> {
    let file = |name: &str| directory.join(name).display().to_string();
    let (program, arguments) = match component {
        Component::Etcd => (&tools.etcd, etcd(&file, ports)),
        Component::ApiServer => {
            let mut arguments = api_server(&file, ports, &options.site);
            arguments.extend_from_slice(&options.api_server_args);
            (&tools.kube_apiserver, arguments)
        }
        Component::ControllerManager => (&tools.kube_controller_manager, controller_manager(&file, ports)),
    };
    let mut command = leash::command(program)?;
    command.args(arguments).current_dir(directory);
    // Where a proxy is configured, it must not stand between the components.
    for variable in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command.env_remove(variable);
    }
    Ok(command)
}

fn etcd(file: &dyn Fn(&str) -> String, ports: Ports) -> Vec<String> {
    let clients = format!("http://{LOOPBACK}:{}", ports.etcd_clients);
    let peers = format!("http://{LOOPBACK}:{}", ports.etcd_peers);
    vec![
        "--name=only".to_owned(),
        format!("--data-dir={}", file("etcd")),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=only={peers}"),
        // Survives the death of the process, not of the machine: enough here, and much faster.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn api_server(file: &dyn Fn(&str) -> String, ports: Ports, site: &Site) -> Vec<String> {
    // Of a loopback address, the server would look for another one to advertise, and not start on a machine without a network.
    let advertised = if site.address.is_loopback() { IpAddr::from([192, 0, 2, 1]) } else { site.address };
    let mut arguments = vec![
        format!("--etcd-servers=http://{LOOPBACK}:{}", ports.etcd_clients),
        format!("--cert-dir={}", file(files::CERTIFICATES)),
        format!("--bind-address={}", site.address),
        format!("--secure-port={}", ports.api_server),
        format!("--advertise-address={advertised}"),
        format!("--service-cluster-ip-range={}", site.service_cidr),
        format!("--service-account-issuer={ISSUER}"),
        format!("--service-account-key-file={}", file(files::SIGNING_KEY_PUBLIC)),
        format!("--service-account-signing-key-file={}", file(files::SIGNING_KEY)),
        format!("--api-audiences={ISSUER},gardener"),
        format!("--token-auth-file={}", file(files::TOKENS)),
        format!("--client-ca-file={}", file(files::CLIENT_CA)),
        format!("--audit-policy-file={}", file(files::AUDIT_POLICY)),
        format!("--audit-log-path={}", file(files::AUDIT_LOG)),
        // In MiB: never rotated, so that an offset into it stays valid.
        "--audit-log-maxsize=100000".to_owned(),
        "--allow-privileged=true".to_owned(),
    ];
    if site.nodes {
        arguments.extend([
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            format!("--kubelet-client-certificate={}", file(files::KUBELET_CLIENT)),
            format!("--kubelet-client-key={}", file(files::KUBELET_CLIENT)),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
        ]);
    } else {
        arguments.push("--authorization-mode=RBAC".to_owned());
    }
    arguments
}

fn controller_manager(file: &dyn Fn(&str) -> String, ports: Ports) -> Vec<String> {
    vec![
        // Under its own name and with no more rights than the built-in roles give it, as in a real cluster.
        format!("--kubeconfig={}", file(files::CONTROLLER_MANAGER_KUBECONFIG)),
        format!("--authentication-kubeconfig={}", file(files::CONTROLLER_MANAGER_KUBECONFIG)),
        format!("--authorization-kubeconfig={}", file(files::CONTROLLER_MANAGER_KUBECONFIG)),
        format!("--cert-dir={}", file("certificates-controller-manager")),
        format!("--bind-address={LOOPBACK}"),
        format!("--secure-port={}", ports.controller_manager),
        format!("--service-account-private-key-file={}", file(files::SIGNING_KEY)),
        format!("--root-ca-file={}", file(files::SERVING_CERTIFICATE)),
        // And each of its controllers under its own service account: exemptions are tested against these names.
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        "--kube-api-qps=300".to_owned(),
        "--kube-api-burst=600".to_owned(),
    ]
}
