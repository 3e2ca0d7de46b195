//! A way to the API server for whoever is outside of the node's network: a socket in the node's directory, since files are
//! seen from everywhere.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Within the node: hands on what comes through the socket to `address`, until the process ends.
///
/// # Errors
/// The socket cannot be made.
pub fn through(socket: &Path, address: SocketAddr) -> Result<()> {
    let listener = UnixListener::bind(socket).with_context(|| format!("make the socket {}", socket.display()))?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(join(stream, TcpStream::connect(address)));
        }
    });
    Ok(())
}

/// Outside: an address on which what comes is handed on to the socket, until the process ends.
///
/// # Errors
/// No port is free.
pub async fn listen(socket: PathBuf) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("find a free port")?;
    let address = listener.local_addr().context("find a free port")?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(join(stream, async move { UnixStream::connect(&socket).await }));
        }
    });
    Ok(address)
}

async fn join<S: AsyncRead + AsyncWrite + Unpin>(
    mut one: impl AsyncRead + AsyncWrite + Unpin,
    other: impl Future<Output = std::io::Result<S>>,
) {
    if let Ok(mut other) = other.await {
        // Either end may break off, which is the other's news.
        let _ = copy_bidirectional(&mut one, &mut other).await;
    }
}
