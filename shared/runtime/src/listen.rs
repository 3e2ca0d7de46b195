//! Opening a TCP port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use clap::Args;
use tokio::net::TcpListener;

/// The flag that completes addresses without an IP address.
#[derive(Clone, Copy, Debug, Args)]
pub struct ListenArgs {
    /// IP address to listen on if the flag of a port names none (`:8081`). IPv6 may be in brackets.
    #[arg(long, env = "HOLDFAST_BIND_IP", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), value_name = "IP", value_parser = ip)]
    pub bind_ip: IpAddr,
}

/// Where to listen: a port, and the IP address unless that is `--bind-ip`.
///
/// Two flags, because Kubernetes puts the address of a pod into flags without brackets: an IPv6 address and a port in one
/// text cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    ip: Option<IpAddr>,
    port: u16,
}

impl Endpoint {
    /// The whole address; `ip` where the endpoint names none.
    pub fn on(self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(self.ip.unwrap_or(ip), self.port)
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            return Ok(Self { ip: None, port });
        }
        match text.parse::<SocketAddr>() {
            Ok(address) => Ok(Self { ip: Some(address.ip()), port: address.port() }),
            Err(_) => Err("expected IP:PORT, [IPv6]:PORT or :PORT"),
        }
    }
}

fn ip(text: &str) -> Result<IpAddr, &'static str> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    inner.parse().map_err(|_| "expected an IP address")
}

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {purpose}: {}", reason(.cause))]
pub struct ListenError {
    address: SocketAddr,
    purpose: &'static str,
    /// Not the error's `source`: it says the same in other words.
    cause: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Listens on `address`; `purpose` is for the error message. Port 0 takes any free one.
pub async fn bind(address: SocketAddr, purpose: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|cause| ListenError { address, purpose, cause })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        listen: ListenArgs,
        #[arg(long, default_value = ":8081")]
        address: Endpoint,
    }

    fn address(flags: &[&str]) -> Result<String, String> {
        let parsed = Program::try_parse_from([&["program"], flags].concat());
        parsed.map(|it| it.address.on(it.listen.bind_ip).to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_is_whole_or_takes_the_ip_of_its_own_flag() {
        for (flags, expected) in [
            (&[][..], "0.0.0.0:8081"),
            (&["--address=192.0.2.1:9443"], "192.0.2.1:9443"),
            (&["--address=[2001:db8::2]:9443", "--bind-ip=192.0.2.1"], "[2001:db8::2]:9443"),
            (&["--bind-ip=192.0.2.1"], "192.0.2.1:8081"),
            (&["--bind-ip=2001:db8:1::2"], "[2001:db8:1::2]:8081"),
            (&["--bind-ip=[2001:db8:1::2]", "--address=:0"], "[2001:db8:1::2]:0"),
            (&["--bind-ip=::"], "[::]:8081"),
        ] {
            assert_eq!(address(flags).as_deref(), Ok(expected), "{flags:?}");
        }
        for (flag, reason) in [
            ("--address=2001:db8:1::2:8081", "expected IP:PORT, [IPv6]:PORT or :PORT"),
            ("--address=8081", "expected IP:PORT, [IPv6]:PORT or :PORT"),
            ("--address=:65536", "expected IP:PORT, [IPv6]:PORT or :PORT"),
            ("--address=localhost:8081", "expected IP:PORT, [IPv6]:PORT or :PORT"),
            ("--bind-ip=[192.0.2.1", "expected an IP address"),
            ("--bind-ip=", "expected an IP address"),
            ("--bind-ip=192.0.2.1:80", "expected an IP address"),
        ] {
            let error = address(&[flag]).unwrap_err();
            assert!(error.contains(reason), "{flag}: {error}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "tests").await.unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address, "probes and metrics").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {address} for probes and metrics: address already in use")
        );
    }
}
