//! `cargo xtask demo`: the main job as a story on a real control plane, each step checked.
mod memory;
mod page;
mod repair;
mod shell;
mod story;

use std::ffi::OsString;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use holdfast_e2e::binaries;
use holdfast_e2e::toolchain::Tools;
use tokio::signal::unix::{Signal, SignalKind, signal};
use xtask::arguments::Demo;

use crate::cluster::{Kind, Place, Supervisor, environment};
use crate::{control_plane, node};
use page::{Page, say};
use story::Story;

/// Tells the story.
///
/// # Errors
/// A step does not show what it should, or the demo is interrupted. Nothing is left running then, but with `--keep` after
/// a step that failed.
pub(crate) async fn run(options: Demo) -> Result<()> {
    let kind = if options.node { Kind::Node } else { Kind::ControlPlane };
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
    let arguments = build(&mut page, &place)?;

    page.step(&format!("Start the {}", kind.noun()));
    page.command(&format!("cargo xtask {} up", kind.command()));
    let mut interruption = Interruption::listen()?;
    let start = Instant::now();
    let mut supervisor = Supervisor::launch(place, &arguments)?;
    let mut story = Story::new(page, &mut supervisor, kind);
    let outcome = tokio::select! {
        outcome = story.run() => outcome,
        () = interruption.comes() => Err(Interrupted.into()),
    };
    let state = story.state();
    if let (true, Some(state)) = (options.keep, &state)
        && !outcome.as_ref().is_err_and(anyhow::Error::is::<Interrupted>)
    {
        supervisor.keep()?;
        say("\nEverything goes on running. To use it from this shell:");
        environment::print(state);
        say(&format!("and to end it:\ncargo xtask {} down", kind.command()));
        return outcome;
    }
    say("\nTaking everything down ...");
    supervisor.stop().await.with_context(|| format!("take the {} down", kind.noun()))?;
    say(&format!("Nothing runs any more. The {} lived for {} s.", kind.noun(), start.elapsed().as_secs()));
    match (&outcome, state) {
        (Ok(()), _) => {
            let node = if options.node { "--node " } else { "" };
            say(&format!("To look around by yourself: cargo xtask demo {node}--keep"));
        }
        (Err(_), Some(state)) => {
            say(&format!("Its logs are below {}", state.kubeconfig.with_file_name("").display()));
        }
        (Err(_), None) => {}
    }
    outcome
}

/// The step that builds what will run; returns the arguments of the supervisor.
fn build(page: &mut Page, place: &Place) -> Result<Vec<OsString>> {
    page.step("Build what will run");
    page.note("etcd, Kubernetes, kubectl and helm (minutes, but only once a machine), then our own two programs");
    place.link(&Tools::ensure()?)?;
    page.command(&format!("cargo {}", binaries::build_arguments().join(" ")));
    let programs = binaries::build()?;
    let arguments = match place.kind() {
        Kind::ControlPlane => control_plane::arguments(&programs),
        Kind::Node => node::supervisor_arguments(place, &programs, false)?,
    };
    page.good("built");
    Ok(arguments)
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
