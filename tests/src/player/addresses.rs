//! Loopback addresses for Pods: 127.97.x.y, where x is this player's own among all on the machine.
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

use crate::cache::{self, Lock};

/// The addresses of one player.
pub(super) struct Addresses {
    range: u8,
    used: Mutex<BTreeSet<u8>>,
    _lock: Lock,
}

impl Addresses {
    /// Takes a range that no other player on this machine (with the same cache directory) has.
    ///
    /// # Errors
    /// All 256 are taken.
    pub(super) fn reserve() -> Result<Self> {
        let directory = cache::directory()?.join("addresses");
        for range in 0..=u8::MAX {
            if let Some(lock) = Lock::attempt(&directory.join(format!("127.97.{range}.lock")))? {
                return Ok(Self { range, used: Mutex::default(), _lock: lock });
            }
        }
        bail!("256 players run on this machine; there is no address left in 127.97.0.0/16")
    }

    /// An address that no other Pod has, until it is [released](Self::release).
    ///
    /// # Errors
    /// All 254 are in use.
    pub(super) fn allot(&self) -> Result<Ipv4Addr> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for last in 1..u8::MAX {
            if used.insert(last) {
                return Ok(Ipv4Addr::new(127, 97, self.range, last));
            }
        }
        bail!("254 Pods are being played; there is no address left in 127.97.{}.0/24", self.range)
    }

    /// Gives an address back.
    pub(super) fn release(&self, address: Ipv4Addr) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).remove(&address.octets()[3]);
    }
}
