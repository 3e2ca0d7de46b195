//! Rows about many small ManagedResources.
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::declare::{self, Declaration};
use super::numbers::{count, median};
use super::report::Measured;
use super::row::Row;
use super::stage::{self, Cpu, Stage};
use super::{Run, bare, limited, one, standing};

const AFTERMATH: Duration = Duration::from_secs(4);
/// Rounds of the largest row; it is long enough to be stable.
const ROUNDS: usize = 3;

/// CPU time, summed over rows that apply.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    objects: usize,
    controller: f64,
    api_server: f64,
}

impl Usage {
    /// So many objects were applied between two readings.
    pub(super) fn add(&mut self, objects: usize, before: &Cpu, after: &Cpu) {
        self.objects += objects;
        self.controller += after.controller - before.controller;
        self.api_server += after.api_server - before.api_server;
    }

    fn measured(&self) -> Result<Vec<Measured>> {
        anyhow::ensure!(self.objects > 0, "nothing was applied");
        let each = |seconds: f64| seconds * 1e6 / count(self.objects);
        let (ours, theirs) = (each(self.controller), each(self.api_server));
        let note = format!("{ours:.0} of {theirs:.0} us an object, {} objects", self.objects);
        Ok(vec![Measured::new(self.controller / self.api_server, note)])
    }
}

/// Small ManagedResources with their objects in one namespace.
pub(super) fn fleet(mrs: usize, each: usize, namespace: &str) -> Vec<Declaration> {
    (0..mrs).map(|number| Declaration::small(&format!("mr-{number:03}"), namespace, each)).collect()
}

/// Measures those that are wanted.
pub(super) async fn measure(run: &mut Run) {
    let Some(stage) = run.stage(&[Row::Memory, Row::Settled, Row::ApplyMany, Row::Cpu]).await else { return };
    if run.wants(Row::Memory) || run.wants(Row::Settled) {
        settled(run, &stage).await;
    }
    if run.wants(Row::ApplyMany) || run.wants(Row::Cpu) {
        let result = limited(apply(run, &stage)).await;
        run.report.add(Row::ApplyMany, result);
    }
    if run.wants(Row::Cpu) {
        run.report.add(Row::Cpu, run.usage.measured());
    }
    if let Err(error) = stage.stop().await {
        run.report.progress(&format!("{error:#}"));
    }
}

/// First of all, so that memory is not what earlier rows left behind.
async fn settled(run: &mut Run, stage: &Stage) {
    let sizes = run.sizes;
    let all = fleet(sizes.mrs, sizes.each_settled, "settled");
    if let Err(error) = limited(standing::settle(stage, "settled", &all)).await {
        run.report.failed(Row::Memory, &error);
        run.report.failed(Row::Settled, &error);
        return;
    }
    run.report.add(Row::Memory, memory(stage));
    if run.wants(Row::Settled) {
        let result = limited(idle(stage, sizes.settled)).await;
        run.report.add(Row::Settled, result);
    }
    if let Err(error) = limited(standing::delete(stage, &all)).await {
        run.report.progress(&format!("{error:#}"));
    }
}

/// Resident memory now, and at its highest.
pub(super) fn memory(stage: &Stage) -> Result<Vec<Measured>> {
    let memory = stage.memory()?;
    Ok(vec![Measured::new(memory.resident, format!("peak {:.1}", memory.peak))])
}

/// Requests but watches and the lease while nothing happens.
async fn idle(stage: &Stage, window: Duration) -> Result<Vec<Measured>> {
    stage.quiet(Duration::from_secs(10)).await?;
    let (mut log, before) = (stage.audit()?, stage.cpu()?);
    tokio::time::sleep(window).await;
    let (requests, after) = (stage::sent(&mut log)?, stage.cpu()?);
    let cpu = (after.controller - before.controller) * 1000.0;
    let first = requests.first().map(|first| format!("; the first: {} {}", first.verb, first.uri));
    let note = format!("in {} s, with {cpu:.0} ms of CPU{}", window.as_secs(), first.unwrap_or_default());
    Ok(vec![Measured::new(count(requests.len()), note)])
}

async fn apply(run: &mut Run, stage: &Stage) -> Result<Vec<Measured>> {
    let sizes = run.sizes;
    let objects = sizes.mrs * sizes.each;
    let (mut ours, mut theirs, mut reported) = (Vec::new(), Vec::new(), Vec::new());
    let (mut status, mut conflicts) = (Vec::new(), 0);
    bare::apply(stage, "warm-up", objects / 4).await?;
    for round in 0..ROUNDS.min(sizes.rounds) {
        if round % 2 == 0 {
            theirs.push(one::yardstick(run, stage, round, objects).await?);
        }
        let namespace = format!("many-{round}");
        let all = fleet(sizes.mrs, sizes.each, &namespace);
        stage.namespace(&namespace).await?;
        declare::create_all_secrets(stage, &all).await?;
        stage.quiet(Duration::from_secs(1)).await?;
        let (mut log, before, begun) = (stage.audit()?, stage.cpu()?, Instant::now());
        ours.push(standing::apply(stage, &all).await?.as_secs_f64());
        let after = stage.cpu()?;
        run.usage.add(objects, &before, &after);
        stage.quiet(AFTERMATH).await?;
        let requests = stage::sent(&mut log)?;
        status.push(count(stage::writes(&requests, "managedresources", "status")) / count(sizes.mrs));
        conflicts += requests.iter().filter(|request| request.code == 409).count();
        run.report.progress(&format!(
            "round {round}: {:.2} s, all written down after {} s; {}",
            ours.last().copied().unwrap_or_default(),
            begun.elapsed().as_secs(),
            after.since(&before)
        ));
        let one = declare::objects_of_mrs(stage).get("mr-000").await.context("get a ManagedResource")?;
        standing::delete(stage, &all).await?;
        let namespace = format!("told-{round}");
        let took = bare::apply_and_report(stage, &namespace, sizes.mrs, sizes.each, &one.data["status"]).await?;
        reported.push(took.as_secs_f64());
        if round % 2 == 1 {
            theirs.push(one::yardstick(run, stage, round, objects).await?);
        }
    }
    let mut beside = one::beside(&ours, &theirs);
    let floor = one::beside(&reported, &theirs);
    beside.note =
        format!("{}; a load generator that creates MRs and writes their status: {:.2} x", beside.note, floor.value);
    let note = format!("{conflicts} conflicts in all");
    Ok(vec![beside, Measured::new(median(&status), note)])
}
