//! The addresses of a node: those that are reserved for documentation, so that none is anybody's.
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Of which kind all addresses of a node are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// The node's own address, where the API server listens, too.
    pub fn node(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::from([192, 0, 2, 1]),
            Self::V6 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
        }
    }

    /// How long the prefix of the node's network is.
    pub(super) fn prefix(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }

    /// Where pods get their addresses.
    pub(super) fn pods(self) -> &'static str {
        match self {
            Self::V4 => "198.51.100.0/24",
            Self::V6 => "2001:db8:1::/64",
        }
    }

    /// Where Services get theirs.
    pub(super) fn services(self) -> &'static str {
        match self {
            Self::V4 => "203.0.113.0/24",
            Self::V6 => "2001:db8:2::/112",
        }
    }

    /// Where pods are told to look up names.
    pub(super) fn names(self) -> &'static str {
        match self {
            Self::V4 => "203.0.113.10",
            Self::V6 => "2001:db8:2::a",
        }
    }

    /// All addresses.
    pub(super) fn everywhere(self) -> &'static str {
        match self {
            Self::V4 => "0.0.0.0/0",
            Self::V6 => "::/0",
        }
    }

    /// The loopback address.
    pub(super) fn loopback(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.1",
            Self::V6 => "::1",
        }
    }
}
