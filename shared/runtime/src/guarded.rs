//! What carries requests: connections, of which those that write ask the leader election before they hand bytes to the kernel.
//!
//! The incident that this prevents: a leader in the middle of its work was stopped (SIGSTOP), another replica took over, and the
//! first one went on. Requests that waited in the client's queue or in the task of a connection were then written to the
//! socket, although the lease had expired, and dropping their futures took none of them back. The end-to-end test
//! `election::a_leader_that_slept_past_its_lease_writes_nothing_any_more` stops a leader like that.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::Config;
use kube::client::{Body, ConfigExt as _};
use tokio::net::TcpStream;
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder, ServiceExt as _};

/// Whether bytes may be handed to the network now. Asked before each write, so it has to be quick.
pub type MaySend = Arc<dyn Fn() -> bool + Send + Sync>;

/// What sends the requests of a client.
pub(crate) type Transport = BoxCloneService<Request<Body>, Response<Incoming>, BoxError>;

/// What kube would build of this configuration (without its logging of each request), on connections that are guarded if
/// there is somebody to ask.
pub(crate) fn transport(config: &Config, may_send: Option<&MaySend>) -> kube::Result<Transport> {
    if let Some(proxy_url) = &config.proxy_url {
        // As kube, which is built without proxies.
        let (proxy_url, protocol_feature) = (Box::new(proxy_url.clone()), "kube/http-proxy");
        return Err(kube::Error::ProxyProtocolDisabled { proxy_url, protocol_feature });
    }
    let mut tcp = HttpConnector::new();
    // The layer above tells http from https.
    tcp.enforce_http(false);
    let may_send = may_send.cloned();
    let tcp = tcp.map_response(move |io| WriteGuardedStream::new(io, may_send.clone()));
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(service.map_err(BoxError::from).boxed_clone())
}

/// A connection that may be read at any time, and written while the guard agrees.
struct WriteGuardedStream {
    io: TokioIo<TcpStream>,
    may_send: Option<MaySend>,
}

impl WriteGuardedStream {
    fn new(io: TokioIo<TcpStream>, may_send: Option<MaySend>) -> Self {
        if may_send.is_some() {
            // Closing throws away what the kernel has not got rid of. By default it would go on trying for a minute or more
            // on behalf of somebody who has long given up. An error says that the connection is gone already.
            let _ = io.inner().set_zero_linger();
        }
        Self { io, may_send }
    }

    fn ask(&self) -> io::Result<()> {
        let may_send = self.may_send.as_ref().is_none_or(|may_send| may_send());
        if may_send { Ok(()) } else { Err(io::Error::other("this replica is not the leader")) }
    }
}

impl Read for WriteGuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for WriteGuardedStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.ask()?;
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.ask()?;
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}

impl Connection for WriteGuardedStream {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use kube::Client;
    use kube::client::ClientBuilder;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    async fn guarded() -> (TcpListener, Client, Arc<AtomicBool>) {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let is_leader = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&is_leader);
        crate::connect::install_crypto_provider();
        let may_send = Arc::new(move || flag.load(Ordering::SeqCst)) as MaySend;
        let transport = transport(&Config::new(uri), Some(&may_send)).unwrap();
        (listener, ClientBuilder::new(transport, "default").build(), is_leader)
    }

    fn send(client: &Client, size: usize) -> impl Future<Output = Result<String, String>> + use<> {
        let (client, request) = (client.clone(), Request::put("/x").body(vec![b'x'; size]).unwrap());
        async move { client.request_text(request).await.map_err(|error| crate::call::explain(&error)) }
    }

    /// All that comes until the end, which may be a reset.
    async fn rest(stream: &mut TcpStream) -> usize {
        let (mut all, mut buffer) = (0, vec![0; 1 << 16]);
        while let Ok(read @ 1..) = timeout(LIMIT, stream.read(&mut buffer)).await.unwrap() {
            all += read;
        }
        all
    }

    #[tokio::test]
    async fn nothing_is_sent_any_more() {
        let (listener, client, is_leader) = guarded().await;
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1 << 16];
            let length = stream.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"PUT /x HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            stream
        };
        let (answer, mut stream) = tokio::join!(send(&client, 1), server);
        assert_eq!(answer.unwrap(), "ok");

        is_leader.store(false, Ordering::SeqCst);
        // On the connection that is there, and on a new one.
        let on_the_old = timeout(LIMIT, send(&client, 1)).await.unwrap();
        assert_eq!(rest(&mut stream).await, 0);
        let (on_a_new, accepted) = tokio::join!(timeout(LIMIT, send(&client, 1)), timeout(LIMIT, listener.accept()));
        assert_eq!(rest(&mut accepted.unwrap().unwrap().0).await, 0);
        for answer in [on_the_old, on_a_new.unwrap()] {
            let error = answer.unwrap_err();
            assert!(error.ends_with("this replica is not the leader"), "{error}");
        }
    }

    #[tokio::test]
    async fn half_a_request_stays_half() {
        const SIZE: usize = 64 << 20;
        let (listener, client, is_leader) = guarded().await;
        let request = tokio::spawn(send(&client, SIZE));
        let (mut stream, _) = listener.accept().await.unwrap();
        // Until all buffers are full.
        sleep(Duration::from_millis(200)).await;
        is_leader.store(false, Ordering::SeqCst);
        let received = rest(&mut stream).await;
        assert!(received > 0 && received < SIZE, "{received}");
        let error = timeout(LIMIT, request).await.unwrap().unwrap().unwrap_err();
        assert!(error.ends_with("this replica is not the leader"), "{error}");
    }
}
