//! Rows about the webhook: what a review costs, in time, CPU and memory.
mod added;
pub(crate) mod allow;
mod client;
mod decision;
mod hostile;
mod load;
mod reviews;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use holdfast_e2e::player::PlayedPod;

use super::declare::Declaration;
use super::numbers::count;
use super::report::Measured;
use super::row::Row;
use super::stage::{self, Stage};
use super::{Run, limited, many, standing};
use client::Trust;
use load::{Load, Pace};
use reviews::Reviews;

const WEBHOOK: &str = "holdfast-webhook";
const NAMESPACE: &str = "guarded";
const ROWS: [Row; 8] = [
    Row::Decision,
    Row::Saturated,
    Row::Paced,
    Row::Added,
    // Before the Secrets, which leave their mark on the memory.
    Row::ReviewMemory,
    Row::LargeSecret,
    Row::Bombs,
    Row::SecretMemory,
];
/// Of the growth, the first part is what any process needs to reach its size.
const WARM_UP: usize = 10;

/// The webhook's Pod that is measured, and what to ask it.
struct Subject {
    stage: Stage,
    pod: PlayedPod,
    address: SocketAddr,
    trust: Trust,
    reviews: Reviews,
}

/// Measures those that are wanted, beside an index of 10,000 managed objects.
pub(super) async fn measure(run: &mut Run) {
    let Some(stage) = run.stage(&ROWS).await else { return };
    let subject = match limited(Subject::prepare(stage, run)).await {
        Ok(subject) => subject,
        Err(error) => {
            for row in ROWS.into_iter().filter(|row| run.wants(*row)).collect::<Vec<_>>() {
                run.report.failed(row, &error);
            }
            return;
        }
    };
    for row in ROWS.into_iter().filter(|row| run.wants(*row)).collect::<Vec<_>>() {
        run.report.progress(row.name());
        let result = limited(subject.row(row, run)).await;
        run.report.add(row, result);
    }
    if let Err(error) = subject.stage.stop().await {
        run.report.progress(&format!("{error:#}"));
    }
}

impl Subject {
    async fn prepare(stage: Stage, run: &Run) -> Result<Self> {
        let sizes = run.sizes;
        let mut all = many::fleet(sizes.mrs, sizes.each_settled, NAMESPACE);
        all.extend((0..sizes.large).map(|n| Declaration::large(&format!("large-{n}"), NAMESPACE, sizes.objects)));
        standing::settle(&stage, NAMESPACE, &all).await?;
        let reviews = Reviews::collect(&stage).await?;
        let mut pods = stage.pods_of(WEBHOOK);
        let pod = pods.pop().context("there is no Pod of the webhook")?;
        let port = pod.ports.get("https").context("the webhook's Pod has no port https")?;
        let address = SocketAddr::new(pod.address.into(), *port);
        let trust = Trust::of_webhook(&stage).await?;
        Ok(Self { stage, pod, address, trust, reviews })
    }

    async fn row(&self, row: Row, run: &Run) -> Result<Vec<Measured>> {
        let sizes = run.sizes;
        match row {
            Row::Decision => decision::measure(&self.stage, &self.reviews, sizes.reviews / 100).await,
            Row::Saturated => {
                let (config_map, deployment) = (self.reviews.config_map.clone(), self.reviews.deployment.clone());
                let mut figures = self.saturated(config_map, sizes.reviews / 10).await?;
                figures.extend(self.saturated(deployment, sizes.reviews / 20).await?);
                Ok(figures)
            }
            Row::Paced => {
                let load = self.load(vec![self.reviews.deployment.clone()], Pace::PerSecond(500));
                let times = load.run(sizes.reviews / 50).await?;
                Ok(vec![Measured::new(times.percentile(99), times.note())])
            }
            Row::Added => added::measure(&self.stage, sizes.reviews / 1000).await,
            Row::LargeSecret => hostile::large(self).await,
            Row::Bombs => hostile::bombs(self).await,
            Row::ReviewMemory => self.memory(sizes.reviews).await,
            Row::SecretMemory => hostile::memory(self, sizes.reviews / 500).await,
            _ => bail!("{} is no row of the webhook", row.name()),
        }
    }

    /// Over as many keep-alive connections as the target says.
    fn load(&self, bodies: Vec<Arc<[u8]>>, pace: Pace) -> Load {
        Load { address: self.address, trust: self.trust.clone(), path: "/protect", bodies, connections: 4, pace }
    }

    fn pid(&self) -> Result<u32> {
        self.pod.pid().context("the webhook does not run")
    }

    async fn saturated(&self, body: Arc<[u8]>, reviews: usize) -> Result<Vec<Measured>> {
        let bytes = body.len();
        let load = self.load(vec![body], Pace::Saturated);
        load.run(reviews / 10).await?;
        let before = stage::cpu_seconds(self.pid()?)?;
        let times = load.run(reviews).await?;
        let each = (stage::cpu_seconds(self.pid()?)? - before) * 1e6 / count(times.len());
        let note = format!("{bytes} bytes, {:.0} reviews/s; {}", times.rate(), times.note());
        Ok(vec![Measured::new(each, note)])
    }

    async fn memory(&self, reviews: usize) -> Result<Vec<Measured>> {
        let bodies =
            vec![self.reviews.config_map.clone(), self.reviews.deployment.clone(), self.reviews.denied.clone()];
        let load = self.load(bodies, Pace::Saturated);
        let begin = stage::memory_of(self.pid()?)?;
        load.run(reviews / WARM_UP).await?;
        let warm = stage::memory_of(self.pid()?)?;
        let times = load.run(reviews - reviews / WARM_UP).await?;
        let end = stage::memory_of(self.pid()?)?;
        let note = format!(
            "{:.1} before the first, {:.1} after a tenth of {reviews}, peak {:.1}; {:.0} reviews/s",
            begin.resident,
            warm.resident,
            end.peak,
            times.rate()
        );
        ensure!(times.len() > reviews / 2, "only {} of {reviews} reviews were answered", times.len());
        Ok(vec![
            Measured::new(end.resident, note),
            Measured::new((end.resident - warm.resident).max(0.0), "after the first tenth"),
        ])
    }
}
