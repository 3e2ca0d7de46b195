//! Rounds: acts in a row, and in some of them a process is killed.
use std::time::Duration;

use holdfast_e2e::control_plane::Component;
use rustix::process::Signal;

use super::act::ACTS;
use super::foreign::DEEDS;
use super::stage::Soak;

/// Longest pause between two acts, in milliseconds.
const PAUSE: usize = 100;

#[derive(Debug, Clone, Copy)]
enum Harm {
    /// `kill -9` of a controller, which is started again.
    Kill,
    /// The same with `SIGTERM`.
    Restart,
    /// Both controllers are away for a while.
    Both,
    ApiServer,
    Etcd,
    None,
}

const HARMS: [(usize, Harm); 6] =
    [(6, Harm::Kill), (2, Harm::Restart), (3, Harm::Both), (3, Harm::ApiServer), (1, Harm::Etcd), (4, Harm::None)];

impl Soak {
    /// So many acts.
    pub async fn round(&mut self, acts: usize) {
        for number in 0..acts {
            self.acts += 1;
            // What finds nobody who is fit for it gives way to something else.
            while !self.once().await {}
            // They come in bursts.
            if self.dice.percent(60) {
                let pause = self.dice.throw(PAUSE).try_into().expect("a small number");
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            if number == acts / 3 || number == acts * 2 / 3 {
                let harm = self.dice.weighted(&HARMS).expect("a weight is not zero");
                self.harm(harm).await;
            }
        }
        self.revive();
    }

    /// Whether something was found to be done.
    async fn once(&mut self) -> bool {
        let (what, done) = if self.dice.percent(45) {
            let act = self.dice.weighted(&ACTS).expect("a weight is not zero");
            (format!("{act:?}"), self.act(act).await)
        } else {
            let deed = self.dice.weighted(&DEEDS).expect("a weight is not zero");
            (format!("{deed:?} of an object"), self.deed(deed).await)
        };
        if done.is_some() {
            *self.tally.entry(what).or_default() += 1;
        }
        done.is_some()
    }

    async fn harm(&mut self, harm: Harm) {
        eprintln!("act {}: {harm:?}", self.acts);
        let number = self.dice.throw(2);
        match harm {
            Harm::Kill => {
                self.controllers[number].kill().await;
                self.controllers[number].start();
            }
            Harm::Restart => {
                self.controllers[number].signal(Signal::TERM);
                self.controllers[number].ended().await;
                self.controllers[number].start();
            }
            // Until the end of the round, or the next harm.
            Harm::Both => {
                for controller in self.controllers.iter().filter(|controller| controller.is_running()) {
                    controller.kill().await;
                }
                return;
            }
            Harm::ApiServer => self.bounce(Component::ApiServer).await,
            Harm::Etcd => self.bounce(Component::Etcd).await,
            Harm::None => {}
        }
        self.revive();
    }

    async fn bounce(&self, component: Component) {
        let control_plane = &self.test.cluster.control_plane;
        let done = async {
            control_plane.kill_component(component).await?;
            control_plane.start_component(component).await
        };
        if let Err(error) = done.await {
            self.fail(&format!("{component} does not come back: {error:#}"));
        }
    }

    /// Controllers that do not run are started.
    fn revive(&self) {
        for controller in self.controllers.iter().filter(|controller| !controller.is_running()) {
            controller.start();
        }
    }
}
