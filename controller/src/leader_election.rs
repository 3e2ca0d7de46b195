//! Leader election on a Lease: of all replicas that use the same Lease, one writes.
//!
//! The Lease is written as client-go writes it, so that replicas of the Go original take part: while one of them leads, we
//! wait, and the other way round.
//!
//! # Guarantees
//! * The Lease is only ever written by compare-and-swap: a write succeeds if nobody has written since we read.
//! * No two clocks are compared. A foreign lease has expired when *we* have watched it unchanged for as long as it lasts;
//!   ours counts from before the request that renewed it was sent.
//! * [`Leadership::permit`] judges by the time at which it is asked. A replica that was stopped, starved or cut off past the
//!   renew deadline gets no permit, even if none of its tasks has run or none of its calls has returned by then.
//! * A permitted request ends before the lease does, by half of what lies between `--renew-deadline` and `--lease-duration`.
//!   That margin is for clocks that run at different speeds and for a request that the server still works on after we
//!   have dropped it.
//! * A permit is not all that a request needs: the connections that write ask [`Leadership::may_send`] each time before they
//!   hand bytes to the kernel. What waited in the client while the process was stopped is not sent when it goes on.
//! * At shutdown no permit is given any more, the permitted requests are waited for, and only then is the Lease released.
//!
//! # Caveats
//! * Time is measured by `CLOCK_MONOTONIC`. It goes on while a process is stopped (SIGSTOP, a frozen cgroup), and stands
//!   still while the whole machine sleeps. No clock of its own tells a virtual machine that it was paused.
//! * A process stopped between the last look at the clock and the system call that sends the request sends it when it goes
//!   on. Nothing on our side can exclude that; the window is the few instructions between the two.
//! * What the kernel has taken over is out of our hands. It repeats what the network loses until we close the connection,
//!   which throws the rest away, and a stopped process closes nothing.
//! * Not guarded are watches, the Lease, and at the start the Secret with the key of the digests, which any replica may
//!   create.
//! * Whoever deletes the Lease or edits its holder away breaks the exclusion until the leader's next renewal.

mod args;
mod candidate;
mod decision;
mod driver;
#[cfg(test)]
mod fake;
mod leadership;
mod record;
mod settings;
mod store;
#[cfg(test)]
mod tests;

use holdfast_runtime::owner::Owner;
use kube::Client;
use tokio_util::sync::CancellationToken;

use driver::Driver;
use leadership::standing;
use store::ClusterLease;

pub use args::{ElectionArgs, SetupError};
pub use leadership::Leadership;

/// This replica's part in the election. Does nothing until [`Election::run`].
#[derive(Debug)]
pub struct Election(Option<Driver<ClusterLease>>);

impl Election {
    /// Takes part as `args` say; with `--leader-elect=false` everything is permitted from the beginning, for ever. `client`
    /// is of the cluster where the ManagedResources live. Sends nothing yet.
    ///
    /// # Errors
    /// The settings contradict each other, or there is no telling where the Lease lies.
    pub fn new(args: &ElectionArgs, client: Client) -> Result<(Self, Leadership), SetupError> {
        if !args.leader_elect {
            return Ok((Self(None), Leadership::always()));
        }
        let settings = args.settings()?;
        let store = ClusterLease::new(client, args.namespace()?, &args.lease_name);
        let (publisher, leadership) = standing();
        Ok((Self(Some(Driver::new(store, args.identity(), settings, publisher))), leadership))
    }

    /// Lets a Lease that we make be owned, so that it goes when its owner does. One that is another program's has no owner of
    /// ours: neither if that has made it nor while that holds it.
    #[must_use]
    pub fn owned_by(mut self, owner: Option<Owner>) -> Self {
        if let Some(driver) = &mut self.0 {
            driver.set_owner(owner);
        }
        self
    }

    /// Waits for the lease, holds it, and releases it when `token` is cancelled, for which it takes up to four seconds.
    ///
    /// # Errors
    /// Leadership was lost for another reason than shutdown: the lease could not be renewed in time, or somebody else holds
    /// it. The process has to end then, with an exit code that is not zero (a `Supervisor` sees to it), because nothing of
    /// what it knows was checked against another leader's work; the original does the same. Troubles before this replica
    /// leads are no errors: they are logged, and it tries again.
    pub async fn run(self, token: CancellationToken) -> anyhow::Result<()> {
        if let Some(driver) = self.0 {
            driver.run(token).await?;
        } else {
            token.cancelled().await;
        }
        Ok(())
    }
}
