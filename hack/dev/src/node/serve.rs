//! The supervisor that `up` starts: owns the node until it is told to end.
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_e2e::node::{self, Family, Node, Spec};
use holdfast_e2e::toolchain::NodeTools;
use serde_json::{Value, json};

use crate::cluster::{Kind, Place, State, end_requested};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[arg(long)]
    ipv6: bool,
    /// Archives to import
    #[arg(long = "image")]
    images: Vec<PathBuf>,
}

impl Serve {
    pub(super) async fn run(self) -> Result<()> {
        let place = Place::find(Kind::Node)?;
        let Some(_lock) = place.lock()? else { bail!("a node is up already") };
        place.forget()?;
        let mut end = std::pin::pin!(end_requested()?);
        let family = super::family(self.ipv6);
        let mut spec = Spec::new(place.path(), family, &NodeTools::ensure()?);
        spec.images = self.images;
        let mut node = super::launch(spec)?;
        let served = tokio::select! {
            served = serve(&place, &mut node, family) => served,
            () = &mut end => Ok(()),
        };
        place.forget()?;
        node.stop();
        served
    }
}

/// Says that the node is ready when it is, and returns if it ends.
async fn serve(place: &Place, node: &mut Node, family: Family) -> Result<()> {
    node.ready().await?;
    let address = node::listen(node.spec().socket()).await?;
    let kubeconfig = place.path().join("kubeconfig");
    let inside = node.spec().cluster().join("kubeconfig");
    fs::write(&kubeconfig, outside(&inside, address, family)?).context("write the kubeconfig")?;
    place.write(&State {
        pid: Some(std::process::id()),
        kubeconfig,
        bin: place.bin(),
        first_process: Some(node.first_process()?),
    })?;
    bail!("the node ended ({})", node.ended().await?)
}

/// The kubeconfig of the node's control plane, with the address by which it is reached from outside.
fn outside(inside: &Path, address: SocketAddr, family: Family) -> Result<String> {
    let text = fs::read_to_string(inside).context("read the kubeconfig of the node")?;
    let mut kubeconfig: Value = serde_yaml::from_str(&text).context("read the kubeconfig of the node")?;
    for cluster in kubeconfig["clusters"].as_array_mut().into_iter().flatten() {
        cluster["cluster"]["server"] = json!(format!("https://{address}"));
        cluster["cluster"]["tls-server-name"] = json!(family.node());
    }
    serde_yaml::to_string(&kubeconfig).context("write a kubeconfig")
}
