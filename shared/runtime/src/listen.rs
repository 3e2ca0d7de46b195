//! Opening a TCP port.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

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
    use super::*;

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
