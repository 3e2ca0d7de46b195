//! Rows about as many objects as are promised to be held.
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holdfast_e2e::audit::Request;

use super::declare::{self, Declaration};
use super::numbers::{count, percentile};
use super::repair::{self, Disturbed, Harm};
use super::report::Measured;
use super::row::Row;
use super::stage::{self, Stage};
use super::watch::Watch;
use super::{Run, limited, many, standing};

const NAMESPACE: &str = "objects";
/// An edit made while the controller is away is to be repaired by then, whatever the target says.
const LIMIT: Duration = Duration::from_secs(60);
/// Of quiet, after which a restarted controller has done what it would do.
const CALM: Duration = Duration::from_secs(10);
/// A controller that has just started lists, reads and compares for so long, which is another row.
const STARTING: Duration = Duration::from_secs(5);
/// Edits during the resync.
const PROBES: usize = 100;

/// Measures those that are wanted.
pub(super) async fn measure(run: &mut Run) {
    let rows = [Row::MoreMemory, Row::Restart, Row::Resync];
    let Some(stage) = run.stage(&rows).await else { return };
    let sizes = run.sizes;
    let mut all = many::fleet(sizes.mrs, sizes.each_settled, NAMESPACE);
    all.extend((0..sizes.large).map(|number| Declaration::large(&format!("large-{number}"), NAMESPACE, sizes.objects)));
    let ready = limited(standing::settle(&stage, NAMESPACE, &all)).await;
    for row in rows.into_iter().filter(|row| run.wants(*row)).collect::<Vec<_>>() {
        let result = match (&ready, row) {
            (Err(error), _) => Err(anyhow::anyhow!("{error:#}")),
            (Ok(_), Row::MoreMemory) => many::memory(&stage),
            (Ok(_), Row::Restart) => limited(restart(&stage, &all)).await,
            (Ok(_), _) => limited(resync(&stage, &all, sizes.resync)).await,
        };
        run.report.add(row, result);
    }
    if let Err(error) = stage.stop().await {
        run.report.progress(&format!("{error:#}"));
    }
}

/// Twice: once undisturbed, and once with an edit that nobody sees.
async fn restart(stage: &Stage, all: &[Declaration]) -> Result<Vec<Measured>> {
    let (mut log, mut lease) = (stage.audit()?, stage.audit()?);
    stage.quiet(CALM).await?;
    log.read()?;
    kill(stage, &mut lease).await?;
    stage.leads(&mut lease).await?;
    stage.quiet(CALM).await?;
    let requests = stage::sent(&mut log)?;
    let applies = requests.iter().filter(|request| is_apply(request)).count();
    let writes = requests.iter().filter(|request| stage::is_accepted_write(request)).count();
    let memory = stage.memory()?;

    let api = declare::config_maps(&stage.client, NAMESPACE);
    let object = all.last().and_then(|last| last.objects().pop()).context("there are no objects")?;
    let mut watch = Watch::objects(&api).await?;
    let (old, killed) = (stage.pid()?, Instant::now());
    stage.kill()?;
    Harm::Edit.inflict(&api, &object).await?;
    let mut disturbed = Disturbed::default();
    let repaired =
        watch.until("the edit to be repaired", LIMIT, |event| disturbed.see(event).filter(|name| *name == object));
    let (started, (_, at)) = futures::try_join!(stage.restarted(old), repaired)?;
    let note = format!(
        "after the process started; {:.1} s after the kill",
        at.saturating_duration_since(killed).as_secs_f64()
    );
    stage.quiet(CALM).await?;
    repair::check(&api, std::slice::from_ref(&object)).await?;
    Ok(vec![
        Measured::new(count(applies), format!("{} requests in all, no watches", requests.len())),
        Measured::new(count(writes), format!("RSS then {:.1} MiB, peak {:.1}", memory.resident, memory.peak)),
        Measured::new(at.saturating_duration_since(started).as_secs_f64(), note),
    ])
}

async fn kill(stage: &Stage, lease: &mut holdfast_e2e::audit::AuditLog) -> Result<()> {
    let old = stage.pid()?;
    stage.kill()?;
    // From here on a lease is the new one's.
    lease.read()?;
    stage.restarted(old).await.map(drop)
}

fn is_apply(request: &Request) -> bool {
    request.verb == "patch" && request.resource == "configmaps"
}

/// Resource versions before and after a time in which every object is applied again, with edits all the while.
async fn resync(stage: &Stage, all: &[Declaration], period: Duration) -> Result<Vec<Measured>> {
    stage.quiet(CALM).await?;
    let before = declare::versions(&declare::config_maps(&stage.client, NAMESPACE)).await?;
    let mut log = stage.audit()?;
    stage.set_resync_period(period).await?;
    let begun = Instant::now();
    // The first is up to a period after the start; each further one up to a tenth of it late.
    let window = period + period / 5;
    let objects: Vec<String> = all.iter().flat_map(Declaration::objects).collect();
    let step = (objects.len() / PROBES).max(1);
    let edited: BTreeSet<String> = objects.iter().step_by(step).take(PROBES).cloned().collect();
    let api = declare::config_maps(&stage.client, NAMESPACE);
    let pause = window.saturating_sub(STARTING) / u32::try_from(edited.len()).unwrap_or(u32::MAX);
    tokio::time::sleep(STARTING).await;
    let times = repair::one_by_one(&api, Harm::Edit, edited.iter(), |_| pause).await?;
    tokio::time::sleep(window.saturating_sub(begun.elapsed())).await;
    let after = declare::versions(&declare::config_maps(&stage.client, NAMESPACE)).await?;
    let applied: BTreeSet<String> =
        stage::sent(&mut log)?.into_iter().filter(is_apply).map(|request| request.name).collect();
    let again = objects.iter().filter(|name| applied.contains(*name)).count();
    ensure!(again > objects.len() / 2, "only {again} of {} objects were applied again", objects.len());
    let unedited = before.iter().filter(|(name, _)| !edited.contains(*name));
    let moved = unedited.filter(|(name, version)| after.get(*name) != Some(version)).count();
    let p50 = percentile(&times, 50);
    Ok(vec![
        Measured::new(count(moved), format!("{again} of {} applied again in {} s", objects.len(), window.as_secs())),
        Measured::new(percentile(&times, 99), format!("n={}, p50 {p50:.0}; {}", times.len(), slowest(&times))),
    ])
}

/// The slowest, with their numbers: whether they were the first, or lay side by side, says what they waited for.
fn slowest(times: &[f64]) -> String {
    let mut all: Vec<(usize, f64)> = times.iter().copied().enumerate().collect();
    all.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let texts: Vec<String> = all.iter().take(5).map(|(number, time)| format!("{time:.0} (no. {number})")).collect();
    format!("slowest {}", texts.join(", "))
}
