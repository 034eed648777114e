//! Connections: how many there are, how long they may take, and how they end.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::edge::Peer;
use super::guard::Guard;
use super::limits::network;
use super::metrics;
use super::settings::Proxies;

/// So many connections at a time; the others wait to be let in.
pub(crate) const CONNECTIONS: usize = 4096;
/// How long the head of a request, or the beginning of TLS, may take, and how long a connection may be silent.
const HEAD: Duration = Duration::from_secs(10);
/// The longest head, and the most headers.
pub(crate) const HEAD_BYTES: usize = 32 << 10;
pub(crate) const HEADERS: usize = 100;
/// How long those who are being answered when the server ends are waited for.
const FAREWELL: Duration = Duration::from_secs(10);
/// The system is short of something that it will have again.
const PAUSE: Duration = Duration::from_millis(50);

/// Who may come in, and how.
pub(crate) struct Door {
    /// The certificate in force, where there is one.
    pub(crate) tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    /// So many connections at a time.
    pub(crate) most: usize,
    /// So many connections from one address; from a proxy of ours, as many as there are.
    pub(crate) per_address: usize,
    pub(crate) proxies: Proxies,
}

/// How many connections there are from each address.
#[derive(Clone, Default)]
struct Crowd(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them.
struct Place {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    fn known(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, peer: IpAddr, most: usize) -> Option<Place> {
        let address = network(peer);
        let mut known = self.known();
        let there = known.entry(address).or_default();
        if *there >= most {
            return None;
        }
        *there += 1;
        metrics::CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        Some(Place { crowd: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
        let mut known = self.crowd.known();
        if let Some(there) = known.get_mut(&self.address) {
            *there -= 1;
            if *there == 0 {
                known.remove(&self.address);
            }
        }
    }
}

/// Answers connections until `stop` is done, and then those that are open.
pub(crate) async fn listen(listener: TcpListener, door: Door, router: Router, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(door.most));
    let crowd = Crowd::default();
    let (ending, ends) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let permit = tokio::select! {
            biased;
            () = stop.as_mut() => break,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.as_mut() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let most = if door.proxies.has(peer.ip()) { door.most } else { door.per_address };
                let Some(place) = crowd.enter(peer.ip(), most) else {
                    metrics::REFUSED.count(["too many from one address"]);
                    continue;
                };
                let tls = door.tls.as_ref().map(|tls| Arc::clone(&tls.borrow()));
                let (router, ends) = (router.clone(), ends.clone());
                tokio::spawn(async move {
                    connection(stream, peer, tls, router, ends).await;
                    drop((place, permit));
                });
            }
            Err(cause) => {
                metrics::REFUSED.count(["the system"]);
                tracing::warn!(%cause, "a connection was not accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    // Nobody is left to hear it only where nobody is left.
    let _ = ending.send(true);
    let everybody = u32::try_from(door.most).unwrap_or(u32::MAX);
    if tokio::time::timeout(FAREWELL, room.acquire_many(everybody)).await.is_err() {
        tracing::warn!("some connections were still open");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    ends: watch::Receiver<bool>,
) {
    // Answers are whole when they are sent.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve(stream, peer, router, ends).await,
        Some(config) => match tokio::time::timeout(HEAD, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => serve(stream, peer, router, ends).await,
            Ok(Err(cause)) => tracing::debug!(%cause, "no TLS came about"),
            Err(_) => tracing::debug!("no TLS came about in time"),
        },
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    mut ends: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        router.call(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Guard::new(stream)), service);
    let mut connection = pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => done,
        () = ended(&mut ends) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(cause) = done {
        tracing::debug!(%cause, "a connection broke off");
    }
}

/// Done when the server ends.
async fn ended(ends: &mut watch::Receiver<bool>) {
    // Whoever would say so is gone as well where nothing can be heard any more.
    let _ = ends.wait_for(|ends| *ends).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_full_house_hears_that_it_is_to_end() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let door = Door { tls: None, most: 1, per_address: 100, proxies: Proxies::default() };
            let router = Router::new().route("/", get(|| async { "here" }));
            let (end, ended) = tokio::sync::oneshot::channel::<()>();
            let listening = tokio::spawn(listen(listener, door, router, async move {
                let _ = ended.await;
            }));
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert!(stream.read(&mut [0; 256]).await.unwrap() > 0);
            end.send(()).unwrap();
            timeout(Duration::from_secs(30), listening).await.expect("it ends").unwrap();
        });
    }

    #[test]
    fn whoever_is_one_too_many_waits_until_somebody_goes() {
        const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let door = Door { tls: None, most: 4, per_address: 100, proxies: Proxies::default() };
            let router = Router::new().route("/", get(|| async { "here" }));
            tokio::spawn(listen(listener, door, router, std::future::pending()));
            let ask = async |stream: &mut TcpStream| {
                stream.write_all(ASK).await.unwrap();
                let mut part = [0; 256];
                let length = stream.read(&mut part).await.unwrap();
                assert!(part[..length].starts_with(b"HTTP/1.1 200"));
            };
            let mut there = Vec::new();
            for _ in 0..4 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                ask(&mut stream).await;
                there.push(stream);
            }
            let mut next = TcpStream::connect(address).await.unwrap();
            assert!(timeout(Duration::from_millis(500), ask(&mut next)).await.is_err(), "there is no room");
            ask(&mut there[0]).await;
            there.pop();
            let mut part = [0; 256];
            let length = timeout(Duration::from_secs(10), next.read(&mut part)).await.expect("its turn").unwrap();
            assert!(part[..length].starts_with(b"HTTP/1.1 200"));
        });
    }
}
