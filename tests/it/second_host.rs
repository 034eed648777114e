//! Another machine, as far as a client can tell: a listener on 127.0.0.2 that proves that nothing went there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A host that nobody should talk to. It answers like a web server, so that a client that does come tells all.
pub struct SecondHost {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<Vec<u8>>>>,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl SecondHost {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.2:0").expect("a port on the second address");
        let address = listener.local_addr().expect("its address");
        let (arrived, stopped) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(AtomicBool::new(false)));
        let acceptor = std::thread::spawn({
            let (arrived, stopped) = (Arc::clone(&arrived), Arc::clone(&stopped));
            move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let arrived = Arc::clone(&arrived);
                    std::thread::spawn(move || take(stream, &arrived));
                }
            }
        });
        Self { address, arrived, stopped, acceptor: Some(acceptor) }
    }

    /// `127.0.0.2:PORT`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// An address there.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What each connection brought.
    pub fn arrived(&self) -> Vec<Vec<u8>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fails if anybody ever connected, even without a word.
    #[track_caller]
    pub fn assert_untouched(&self) {
        let arrived: Vec<String> =
            self.arrived().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        assert!(arrived.is_empty(), "the second host was contacted: {arrived:#?}");
    }
}

fn take(mut stream: TcpStream, arrived: &Mutex<Vec<Vec<u8>>>) {
    let number = {
        let mut arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.push(Vec::new());
        arrived.len() - 1
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let mut block = [0; 4096];
    let mut bytes = Vec::new();
    while let Ok(length @ 1..) = stream.read(&mut block) {
        bytes.extend(&block[..length]);
        arrived.lock().unwrap_or_else(PoisonError::into_inner)[number].clone_from(&bytes);
        if bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
            let _ = stream.write_all(answer.as_bytes());
        }
    }
}

impl Drop for SecondHost {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_connections_and_keeps_what_came() {
        let host = SecondHost::start();
        host.assert_untouched();
        let answer = crate::wire::post_form(&host.url("/token"), &[("refresh_token", "secret")]);
        assert_eq!(answer.map(|answer| answer.status()), Some(200));
        drop(TcpStream::connect(host.address()));
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(host.arrived().len(), 2);
        assert!(String::from_utf8_lossy(&host.arrived()[0]).contains("refresh_token=secret"));
    }
}
