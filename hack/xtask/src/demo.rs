//! `cargo xtask demo`: the main job as a story on a real control plane, each step checked.
mod memory;
mod page;
mod repair;
mod shell;
mod story;

use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use holdfast_e2e::binaries;
use holdfast_e2e::toolchain::Tools;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cluster::{Kind, Place, Supervisor, environment};
use crate::{control_plane, node};
use page::{Page, say};
use story::Story;

/// Options of `cargo xtask demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave everything running at the end, and print how to reach it
    #[arg(long)]
    keep: bool,
    /// On a real node, where the pods run; needs root
    #[arg(long)]
    node: bool,
}

impl Demo {
    /// Tells the story.
    ///
    /// # Errors
    /// A step does not show what it should, or the demo is interrupted. Nothing is left running then, but with `--keep` after
    /// a step that failed.
    pub(crate) async fn run(self) -> Result<()> {
        let kind = if self.node { Kind::Node } else { Kind::ControlPlane };
        let place = Place::find(kind)?;
        // Before minutes are spent on a build.
        place.must_be_free()?;
        if let (Kind::Node, Some(missing)) = (kind, holdfast_e2e::node::missing()) {
            bail!("no node can run here: {missing}");
        }
        let mut page = Page::new(story::STEPS);
        page.title("Holdfast on a real Kubernetes control plane: apply, inject, protect, refuse, repair");
        page.note("Lines that begin with $ are commands as you could type them, with what they say below.");
        page.note("alice is an ordinary user who is cluster-admin.");

        page.step("Build what will run");
        page.note("etcd, Kubernetes, kubectl and helm (minutes, but only once a machine), then our own two programs");
        let tools = Tools::ensure().await?;
        place.link(&tools)?;
        page.command(&format!("cargo {}", binaries::build_arguments().join(" ")));
        let programs = binaries::build()?;
        let arguments = match kind {
            Kind::ControlPlane => control_plane::arguments(&programs),
            Kind::Node => node::arguments(&place, &programs, false).await?,
        };
        page.good("built");

        page.step(&format!("Start the {}", kind.noun()));
        page.command(&format!("cargo xtask {} up", kind.command()));
        let mut interruption = Interruption::listen()?;
        let start = Instant::now();
        let mut supervisor = Supervisor::launch(place, &arguments)?;
        let mut story = Story::new(page, &mut supervisor, kind);
        let told = tokio::select! {
            told = story.tell() => told,
            () = interruption.comes() => Err(Interrupted.into()),
        };
        let state = story.state();
        if let (true, Some(state)) = (self.keep, &state)
            && !told.as_ref().is_err_and(anyhow::Error::is::<Interrupted>)
        {
            supervisor.keep()?;
            say("\nEverything goes on running. To use it from this shell:");
            environment::print(state);
            say(&format!("and to end it:\ncargo xtask {} down", kind.command()));
            return told;
        }
        say("\nTaking everything down ...");
        supervisor.stop().await.with_context(|| format!("take the {} down", kind.noun()))?;
        say(&format!("Nothing runs any more. The {} lived for {} s.", kind.noun(), start.elapsed().as_secs()));
        match &told {
            Ok(()) => {
                let node = if self.node { "--node " } else { "" };
                say(&format!("To look around by yourself: cargo xtask demo {node}--keep"));
            }
            Err(_) => {
                if let Some(state) = &state {
                    say(&format!("Its logs are below {}", state.kubeconfig.with_file_name("").display()));
                }
            }
        }
        told
    }
}

/// Somebody wants to end the demo.
#[derive(Debug)]
struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

struct Interruption([Signal; 3]);

impl Interruption {
    /// From now on these signals do not end the process by themselves.
    fn listen() -> Result<Self> {
        let one = |kind| signal(kind).context("listen for signals");
        Ok(Self([one(SignalKind::interrupt())?, one(SignalKind::terminate())?, one(SignalKind::hangup())?]))
    }

    async fn comes(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
