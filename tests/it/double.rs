//! A double of an outside API: a loopback server whose routes are a closure, with the faults that all of them share.

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::wire::Message;

/// A request as a route sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// Path and query as they came.
    pub target: String,
    pub message: Message,
}

impl Seen {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.message.header(name)
    }

    /// Whether it came with this bearer token.
    pub fn bears(&self, token: &str) -> bool {
        self.header("authorization") == Some(&format!("Bearer {token}"))
    }
}

/// What a route answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A status, headers as whole lines, a body.
    Page(u16, Vec<String>, String),
    /// Nothing, with the connection kept open.
    Silence,
    /// Nothing, with the connection closed.
    Close,
}

impl Answer {
    pub fn json(status: u16, body: &(impl ToString + ?Sized)) -> Self {
        Self::Page(status, vec!["Content-Type: application/json".into()], body.to_string())
    }

    pub fn text(status: u16, kind: &str, body: &str) -> Self {
        Self::Page(status, vec![format!("Content-Type: {kind}")], body.to_owned())
    }

    #[must_use]
    pub fn header(self, line: &str) -> Self {
        match self {
            Self::Page(status, mut headers, body) => {
                headers.push(line.to_owned());
                Self::Page(status, headers, body)
            }
            other => other,
        }
    }
}

type Routes = dyn Fn(&Seen) -> Answer + Send + Sync;

/// A running double. Ends when dropped.
pub struct Double {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Seen>>>,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Double {
    pub fn start(routes: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (requests, stopped) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(AtomicBool::new(false)));
        let routes: Arc<Routes> = Arc::new(routes);
        let acceptor = std::thread::spawn({
            let (requests, stopped) = (Arc::clone(&requests), Arc::clone(&stopped));
            move || {
                for stream in listener.incoming() {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let (requests, stopped, routes) =
                        (Arc::clone(&requests), Arc::clone(&stopped), Arc::clone(&routes));
                    std::thread::spawn(move || serve(&stream, &requests, &stopped, &*routes));
                }
            }
        });
        Self { address, requests, stopped, acceptor: Some(acceptor) }
    }

    /// One that answers every request with this.
    pub fn always(answer: Answer) -> Self {
        Self::start(move |_| answer.clone())
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve(mut stream: &TcpStream, requests: &Mutex<Vec<Seen>>, stopped: &AtomicBool, routes: &Routes) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let Ok(message) = Message::read(stream, false) else { return };
    let mut words = message.first_line.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let seen = Seen { method, target, message };
    requests.lock().unwrap_or_else(PoisonError::into_inner).push(seen.clone());
    match routes(&seen) {
        Answer::Page(status, headers, body) => {
            let mut page =
                format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
            for header in headers {
                page += &header;
                page += "\r\n";
            }
            let _ = stream.write_all((page + "\r\n" + &body).as_bytes());
        }
        Answer::Silence => {
            while !stopped.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Answer::Close => {}
    }
    let _ = stream.shutdown(Shutdown::Both);
}
