//! Many ManagedResources, everything at random, and a model that says what must hold at every quiet moment: exactly the
//! declared objects, no leak, nothing deleted that should live, nothing written when all is settled.
//!
//! What happens follows from a seed, as far as the times at which the controllers see it do not matter. Two controllers of
//! two classes run on a control plane without the webhook, so that every foreign edit gets in.
mod act;
mod check;
mod foreign;
mod generate;
mod harm;
mod kinds;
mod model;
mod stage;

use std::time::{Duration, Instant};

use stage::Soak;

/// The same in each run of all tests, whose failures are to be about what was changed; `cargo xtask soak` takes another one
/// each time.
const SEED: u64 = 47;
/// In all, with the start of the control plane and the last quiet moment; a quiet moment that has begun is brought to its end.
const SECONDS: u64 = 270;
const MANAGED_RESOURCES: u64 = 200;
/// Acts between two quiet moments.
const ROUND: usize = 200;
/// What a round takes, usually, with its quiet moment.
const TIME: Duration = Duration::from_secs(40);

fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok().filter(|text| !text.is_empty());
    given.map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{name}: {error}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_the_cluster_is_as_declared_in_the_end() {
    let begin = Instant::now();
    let seed = setting("HOLDFAST_SOAK_SEED", SEED);
    let seconds = Duration::from_secs(setting("HOLDFAST_SOAK_SECONDS", SECONDS));
    let count = setting("HOLDFAST_SOAK_MRS", MANAGED_RESOURCES).max(2);
    eprintln!("HOLDFAST_SOAK_SEED={seed} HOLDFAST_SOAK_SECONDS={} HOLDFAST_SOAK_MRS={count}", seconds.as_secs());
    let mut soak = Soak::set(seed).await;
    soak.generate(usize::try_from(count).expect("a small number")).await;
    soak.quiet().await;
    let mut rounds = 0;
    while rounds == 0 || begin.elapsed() + TIME < seconds {
        soak.round(ROUND).await;
        soak.quiet().await;
        rounds += 1;
    }
    for controller in &soak.controllers {
        assert!(controller.is_running(), "it lives");
    }
    eprintln!("{:?}", soak.tally);
    eprintln!("seed {seed}: {} acts in {rounds} rounds, {:.0} s", soak.acts, begin.elapsed().as_secs_f64());
}
