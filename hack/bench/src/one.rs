//! Rows about one large ManagedResource.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_e2e::audit::Request;
use holdfast_runtime::api::Api;
use jiff::Timestamp;
use kube::api::DynamicObject;

use super::declare::{self, DECLARED, Declaration};
use super::numbers::{count, median, millis, percentile};
use super::repair::{self, Harm};
use super::report::Measured;
use super::row::Row;
use super::stage::{self, Stage};
use super::watch::{Event, Watch, name};
use super::{Run, bare, limited, standing};

const LIMIT: Duration = Duration::from_secs(60);
/// After this, what a change leads to has been written down.
const AFTERMATH: Duration = Duration::from_secs(4);
/// What was observed of repairs waits for quiet, the longer the more objects there are; see `controller/src/reconcile/status_delay.rs`.
const AFTERMATH_PER_OBJECT: Duration = Duration::from_millis(10);
/// So often, one object is changed in its Secret.
const UPDATES: usize = 7;

/// Measures those that are wanted.
pub(super) async fn measure(run: &mut Run) {
    let rows = [Row::ApplyOne, Row::Deletion, Row::Cpu, Row::Edited, Row::Deleted, Row::Burst, Row::Update, Row::Prune];
    let Some(stage) = run.stage(&rows).await else { return };
    if [Row::ApplyOne, Row::Deletion, Row::Cpu].iter().any(|row| run.wants(*row)) {
        come_and_go(run, &stage).await;
    }
    let standing = [Row::Edited, Row::Deleted, Row::Burst, Row::Update, Row::Prune];
    if standing.iter().any(|row| run.wants(*row)) {
        let ground = Ground::prepare(run, &stage).await;
        for row in standing.into_iter().filter(|row| run.wants(*row)).collect::<Vec<_>>() {
            let result = match &ground {
                Ok(ground) => limited(ground.row(row)).await,
                Err(error) => Err(anyhow::anyhow!("{error:#}")),
            };
            run.report.add(row, result);
        }
    }
    if let Err(error) = stage.stop().await {
        run.report.progress(&format!("{error:#}"));
    }
}

/// Applies with the load generator and with the controller in turns, and deletes the ManagedResource each time.
async fn come_and_go(run: &mut Run, stage: &Stage) {
    let measured = limited(async {
        let objects = run.sizes.objects;
        // Connections, caches and etcd's first pages are nobody's merit.
        bare::apply(stage, "warm-up", objects).await?;
        let (mut ours, mut theirs, mut deletions) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..run.sizes.rounds {
            if round % 2 == 0 {
                theirs.push(yardstick(run, stage, round, objects).await?);
            }
            let namespace = format!("one-{round}");
            let one = [Declaration::large("one", &namespace, objects)];
            stage.namespace(&namespace).await?;
            declare::create_all_secrets(stage, &one).await?;
            stage.quiet(Duration::from_secs(1)).await?;
            let (mut log, before) = (stage.audit()?, stage.cpu()?);
            let took = standing::apply(stage, &one).await?.as_secs_f64();
            let after = stage.cpu()?;
            run.usage.add(objects, &before, &after);
            stage.quiet(AFTERMATH).await?;
            run.report.progress(&format!("{took:.2} s: {}; {}", phases(&stage::sent(&mut log)?), after.since(&before)));
            ours.push(took);
            deletions.push(standing::delete(stage, &one).await?.as_secs_f64());
            stage.quiet(Duration::from_secs(1)).await?;
            if round % 2 == 1 {
                theirs.push(yardstick(run, stage, round, objects).await?);
            }
        }
        Ok((ours, theirs, deletions))
    });
    match measured.await {
        Ok((ours, theirs, deletions)) => {
            run.report.add(Row::ApplyOne, Ok(vec![beside(&ours, &theirs)]));
            let note = format!("{} to {} s", shortest(&deletions), longest(&deletions));
            run.report.add(Row::Deletion, Ok(vec![Measured::new(median(&deletions), note)]));
        }
        Err(error) => {
            run.report.failed(Row::ApplyOne, &error);
            run.report.failed(Row::Deletion, &error);
        }
    }
}

/// How long the load generator takes, in seconds.
pub(super) async fn yardstick(run: &Run, stage: &Stage, round: usize, objects: usize) -> Result<f64> {
    let before = stage.cpu()?;
    let bare = bare::apply(stage, &format!("bare-{round}"), objects).await?;
    let (took, after) = (bare.took.as_secs_f64(), bare.cpu);
    run.report.progress(&format!("{took:.2} s bare; {}", after.since(&before)));
    Ok(took)
}

/// Where the time goes: until the first object is written, until the last one is, and until the status is.
fn phases(requests: &[Request]) -> String {
    let is_object = |request: &&Request| request.resource == "configmaps" && request.is_write();
    let (first, last) = (requests.iter().find(is_object), requests.iter().rev().find(is_object));
    let (Some(first), Some(last)) = (first, last) else { return "nothing was applied".to_owned() };
    let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
    let status = |request: &&Request| request.resource == "managedresources" && request.received >= last.received;
    let begun = requests.iter().map(|request| request.received).min().unwrap_or(first.received);
    let end = requests.iter().find(status).map_or(last.answered, |request| request.answered);
    format!(
        "{:.2} s until the first object, {:.2} s until the last, {:.2} s until that is said",
        seconds(begun, first.received),
        seconds(first.received, last.answered),
        seconds(last.answered, end)
    )
}

/// The median of the ratios of each round: its two figures lie next to each other, and a machine's speed changes from minute
/// to minute.
pub(super) fn beside(ours: &[f64], theirs: &[f64]) -> Measured {
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(our, their)| our / their).collect();
    let (our, their) = (median(ours), median(theirs));
    let range = format!("{} to {}", shortest(&ratios), longest(&ratios));
    let note = format!("{range} in {} rounds; {our:.2} s, bare {their:.2} s, medians", ratios.len());
    Measured::new(median(&ratios), note)
}

fn shortest(values: &[f64]) -> String {
    format!("{:.2}", percentile(values, 0))
}

fn longest(values: &[f64]) -> String {
    format!("{:.2}", percentile(values, 100))
}

/// A large ManagedResource that stays.
struct Ground<'a> {
    run: super::sizes::Sizes,
    stage: &'a Stage,
    one: Declaration,
    objects: Vec<String>,
    api: Api<DynamicObject>,
}

impl<'a> Ground<'a> {
    async fn prepare(run: &Run, stage: &'a Stage) -> Result<Self> {
        let namespace = "objects";
        let one = Declaration::large("held", namespace, run.sizes.objects);
        limited(standing::settle(stage, namespace, std::slice::from_ref(&one))).await?;
        let (objects, api) = (one.objects(), declare::config_maps(&stage.client, namespace));
        Ok(Self { run: run.sizes, stage, one, objects, api })
    }

    async fn row(&self, row: Row) -> Result<Vec<Measured>> {
        match row {
            Row::Edited => self.harmed(Harm::Edit).await.map(|mut figures| {
                figures.truncate(2);
                figures
            }),
            Row::Deleted => self.harmed(Harm::Deletion).await,
            Row::Burst => self.burst().await,
            Row::Update => self.update().await,
            _ => self.prune().await,
        }
    }

    /// Objects from all over the ManagedResource, each once as long as there are others.
    fn scattered(&self) -> impl Iterator<Item = &String> {
        // Coprime to the numbers of objects in use.
        let step = 37;
        (0..self.objects.len()).filter_map(move |number| self.objects.get(number * step % self.objects.len()))
    }

    /// Waits until observations of repairs have been written down, so that this falls into no other row.
    async fn wait_until_recorded(&self) -> Result<()> {
        let objects = u32::try_from(self.objects.len()).unwrap_or(u32::MAX);
        self.stage.quiet(AFTERMATH + AFTERMATH_PER_OBJECT * objects).await?;
        Ok(())
    }

    async fn harmed(&self, harm: Harm) -> Result<Vec<Measured>> {
        self.stage.quiet(AFTERMATH).await?;
        let (mut log, before) = (self.stage.audit()?, self.stage.cpu()?);
        let names = self.scattered().take(self.run.probes);
        let times = repair::one_by_one(&self.api, harm, names, repair::uneven).await?;
        self.wait_until_recorded().await?;
        let (requests, after) = (log.read()?, self.stage.cpu()?);
        let cpu = (after.controller - before.controller) * 1000.0 / count(times.len());
        let breakdown = repair::breakdown(&requests);
        let own: Vec<_> = requests.into_iter().filter(stage::is_by_controller).collect();
        let writes = count(stage::writes(&own, "configmaps", "")) / count(times.len());
        let status = stage::writes(&own, "managedresources", "status");
        let note = format!(
            "{breakdown}; n={}, {writes:.2} writes and {cpu:.1} ms of CPU each, {status} writes of status in all",
            times.len()
        );
        Ok(vec![
            Measured::new(percentile(&times, 50), note),
            Measured::new(percentile(&times, 99), format!("max {:.0}", percentile(&times, 100))),
            Measured::new(writes, ""),
        ])
    }

    async fn burst(&self) -> Result<Vec<Measured>> {
        self.stage.quiet(AFTERMATH).await?;
        let names: Vec<String> = self.scattered().take(self.run.burst).cloned().collect();
        let (after, lasted) = repair::burst(&self.api, &names).await?;
        self.wait_until_recorded().await?;
        repair::check(&self.api, &self.objects).await?;
        let note = format!("the burst took {:.2} s", lasted.as_secs_f64());
        Ok(vec![Measured::new(after.as_secs_f64(), note)])
    }

    /// The time from the acknowledgement of the Secret until the new value came out of a watch.
    async fn update(&self) -> Result<Vec<Measured>> {
        let (mut times, mut objects, mut status) = (Vec::new(), Vec::new(), Vec::new());
        let part = 1;
        let names = self.one.objects_of(part);
        for number in 0..UPDATES {
            self.stage.quiet(AFTERMATH).await?;
            let value = format!("changed {number}");
            let target = names.get(number * 7).context("the Secret declares too few objects")?;
            let content = self.one.content(part, Some((target, &value)));
            let mut watch = Watch::objects(&self.api).await?;
            let before = declare::versions(&self.api).await?;
            let mut log = self.stage.audit()?;
            self.one.fill(self.stage, part, &content).await?;
            let acknowledged = std::time::Instant::now();
            let visible = watch.until("the change to be visible", LIMIT, |event| match event {
                Event::There(object) => {
                    (name(&object) == target && object.data["data"]["value"] == value.as_str()).then_some(())
                }
                Event::Gone(_) => None,
            });
            let ((), at) = visible.await?;
            times.push(millis(at.saturating_duration_since(acknowledged)));
            self.stage.quiet(AFTERMATH).await?;
            let mut requests = stage::sent(&mut log)?;
            // A slice of the resync that falls into this window applies without moving a resourceVersion: no writes.
            let after = declare::versions(&self.api).await?;
            let moved = |name: &String| before.get(name) != after.get(name);
            requests.retain(|request| request.resource != "configmaps" || moved(&request.name));
            // All but the first also take back the change before.
            let expected = usize::from(number > 0);
            objects.push(count(stage::writes(&requests, "configmaps", "").saturating_sub(expected)));
            status.push(count(stage::writes(&requests, "managedresources", "status")));
        }
        self.one.fill(self.stage, part, &self.one.content(part, None)).await?;
        self.stage.quiet(AFTERMATH).await?;
        repair::check(&self.api, &self.objects).await?;
        Ok(vec![
            Measured::new(median(&times), format!("n={}, max {:.0}", times.len(), percentile(&times, 100))),
            Measured::new(percentile(&objects, 100), "the most of all"),
            Measured::new(percentile(&status, 100), "the most of all"),
        ])
    }

    /// The time from the acknowledgement of the emptied Secret until the last of its objects is gone.
    async fn prune(&self) -> Result<Vec<Measured>> {
        let part = 0;
        let mut times = Vec::new();
        for _ in 0..self.run.rounds.min(3) {
            self.stage.quiet(AFTERMATH).await?;
            let names = self.one.objects_of(part);
            let mut remaining: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            let mut watch = Watch::metadata(&self.api).await?;
            self.one.fill(self.stage, part, &BTreeMap::new()).await?;
            let acknowledged = std::time::Instant::now();
            let gone = watch.until("the objects to be gone", LIMIT, |event| {
                if let Event::Gone(object) = event {
                    remaining.remove(name(&object));
                }
                remaining.is_empty().then_some(())
            });
            let ((), at) = gone.await?;
            times.push(at.saturating_duration_since(acknowledged).as_secs_f64());
            self.one.fill(self.stage, part, &self.one.content(part, None)).await?;
            self.stage.quiet(AFTERMATH).await?;
            repair::check(&self.api, &self.objects).await.with_context(|| format!("restore {DECLARED:?}"))?;
        }
        let note = format!("{} to {} s", shortest(&times), longest(&times));
        Ok(vec![Measured::new(median(&times), note)])
    }
}
