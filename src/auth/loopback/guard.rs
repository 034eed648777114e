//! The doorkeeper: accepts connections within limits, reads one request head from each, and sees every answer out.
//!
//! Each connection has a thread of its own, so a slow one holds up nobody. There are at most [`MAX_OPEN`]; when one
//! more comes, the oldest that has not sent its request yet gives way to it, so that idle connections cannot keep the
//! true callback out. No request has a body, and each connection carries one request.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::Query;
use super::head::{Refusal, Site, Wanted};
use super::page::{self, Outcome};

/// The longest request head.
const MAX_HEAD: usize = 16 << 10;
/// How long a request head may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How many connections may be open.
const MAX_OPEN: usize = 16;
/// How long a callback waits for somebody to judge it.
const JUDGE_TIME: Duration = Duration::from_secs(10);
/// How long the browser's last request is held open for the outcome.
const HOLD_TIME: Duration = Duration::from_secs(8);
/// How long after an accepted callback the browser may take to ask for the last page.
const FOLLOW_TIME: Duration = Duration::from_secs(1);
/// How long an answer may take to be written, and an ended listener to see its answers out.
const WRITE_TIME: Duration = Duration::from_secs(2);
/// How long, and how many bytes, a connection is read on after its answer, so that closing does not cut the answer off.
const LINGER: (Duration, usize) = (Duration::from_millis(300), 1 << 20);

/// One callback on its way to the judge. Dropping it lets the browser know that nobody took it.
pub(super) struct Callback {
    query: Query,
    verdict: Sender<bool>,
}

impl Callback {
    /// What the browser brought.
    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    /// Answers with 400.
    pub(super) fn refuse(self) {
        let _ = self.verdict.send(false);
    }

    fn accept(self) {
        let _ = self.verdict.send(true);
    }
}

/// The open listener.
pub(super) struct Guard {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    acceptors: Vec<JoinHandle<()>>,
}

struct Shared {
    site: Site,
    callbacks: Sender<Callback>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    phase: Phase,
    /// Whether the browser has got the page that tells the outcome.
    told: bool,
    open: Vec<Connection>,
    next_id: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Accepted(Instant),
    Finished(Outcome),
    Closed,
}

struct Connection {
    id: u64,
    stream: TcpStream,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The request has not arrived whole.
    Reading,
    /// The callback waits for its judge.
    Judged,
    /// The last page is asked for.
    Done,
    /// The answer is being written.
    Answering,
}

impl Guard {
    /// Starts to accept connections on `listeners`.
    pub(super) fn start(listeners: Vec<TcpListener>, site: Site) -> io::Result<(Self, Receiver<Callback>)> {
        let (sender, receiver) = mpsc::channel();
        let state = State { phase: Phase::Waiting, told: false, open: Vec::new(), next_id: 0 };
        let shared = Arc::new(Shared { site, callbacks: sender, state: Mutex::new(state), changed: Condvar::new() });
        let mut guard = Self { shared, addresses: Vec::new(), acceptors: Vec::new() };
        for listener in listeners {
            guard.addresses.push(listener.local_addr()?);
            let shared = Arc::clone(&guard.shared);
            let name = "loopback-accept".to_owned();
            guard.acceptors.push(thread::Builder::new().name(name).spawn(move || accept(&listener, &shared))?);
        }
        Ok((guard, receiver))
    }

    /// Takes this callback as the one; every other, waiting or still to come, is refused.
    pub(super) fn accept(&self, callback: Callback, others: &Receiver<Callback>) {
        self.shared.set_phase(Phase::Accepted(Instant::now()));
        callback.accept();
        others.try_iter().for_each(Callback::refuse);
    }

    /// Gives the browser its last page, then closes.
    pub(super) fn finish(self, outcome: Outcome) {
        let accepted = match self.shared.set_phase(Phase::Finished(outcome)) {
            Phase::Accepted(at) => Some(at),
            _ => None,
        };
        if let Some(at) = accepted {
            let patience = FOLLOW_TIME.saturating_sub(at.elapsed());
            self.shared.wait_until(patience, |state| state.told || state.any(Stage::Done));
            self.shared.wait_until(WRITE_TIME, |state| state.told || !state.any(Stage::Done));
        }
        drop(self);
    }

    /// Wakes the accepting threads, which are blocked in the system, and waits for them to close their sockets.
    fn stop_accepting(&mut self) {
        self.shared.set_phase(Phase::Closed);
        for address in &self.addresses {
            // A thread that is not blocked sees the phase by itself, so a failure to connect does no harm.
            let _ = TcpStream::connect_timeout(address, Duration::from_millis(200));
        }
        let end = Instant::now() + Duration::from_millis(800);
        for acceptor in self.acceptors.drain(..) {
            while !acceptor.is_finished() && Instant::now() < end {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let finished = matches!(self.shared.lock().phase, Phase::Finished(_));
        self.stop_accepting();
        if finished {
            // The answers that are being written are seen out; a connection without a request is not waited for.
            self.shared.wait_until(WRITE_TIME, |state| !state.any(Stage::Answering));
        }
        for connection in &self.shared.lock().open {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn any(&self, stage: Stage) -> bool {
        self.open.iter().any(|connection| connection.stage == stage)
    }

    /// Makes room for one more connection; `false` where all are past reading.
    fn make_room(&mut self) -> bool {
        if self.open.len() < MAX_OPEN {
            return true;
        }
        // New ones are pushed at the end, so the first that is still being read is the oldest.
        let Some(oldest) = self.open.iter().position(|connection| connection.stage == Stage::Reading) else {
            return false;
        };
        let _ = self.open.remove(oldest).stream.shutdown(Shutdown::Both);
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the phase and returns the one before.
    fn set_phase(&self, phase: Phase) -> Phase {
        let before = std::mem::replace(&mut self.lock().phase, phase);
        self.changed.notify_all();
        before
    }

    fn set_stage(&self, id: u64, stage: Stage) {
        if let Some(connection) = self.lock().open.iter_mut().find(|connection| connection.id == id) {
            connection.stage = stage;
        }
        self.changed.notify_all();
    }

    /// Waits until `reached` holds, at most for `limit`.
    fn wait_until(&self, limit: Duration, mut reached: impl FnMut(&State) -> bool) {
        let _ = self.changed.wait_timeout_while(self.lock(), limit, |state| !reached(state));
    }

    /// Lists a new connection; `None` where there is no room for it.
    fn enter(&self, stream: &TcpStream) -> Option<u64> {
        let mut state = self.lock();
        if state.phase == Phase::Closed || !state.make_room() {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        let stream = stream.try_clone().ok()?;
        state.open.push(Connection { id, stream, stage: Stage::Reading });
        Some(id)
    }

    fn leave(&self, id: u64) {
        self.lock().open.retain(|connection| connection.id != id);
        self.changed.notify_all();
    }

    /// Hands a callback to the judge and waits for the verdict.
    fn ask(&self, query: Query) -> Result<(), Refusal> {
        let (verdict, answer) = mpsc::channel();
        {
            // Under the lock, so that a callback is either seen by whoever accepts another one, or refused here.
            let state = self.lock();
            if state.phase != Phase::Waiting || self.callbacks.send(Callback { query, verdict }).is_err() {
                return Err(Refusal::Bad);
            }
        }
        match answer.recv_timeout(JUDGE_TIME) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::Bad),
            Err(_) => Err(Refusal::Busy),
        }
    }

    /// Waits for the outcome; `None` where it takes longer than a browser should be kept waiting.
    fn outcome(&self) -> Result<Option<Outcome>, Refusal> {
        let held = self
            .changed
            .wait_timeout_while(self.lock(), HOLD_TIME, |state| matches!(state.phase, Phase::Accepted(_)))
            .unwrap_or_else(PoisonError::into_inner);
        match held.0.phase {
            Phase::Finished(outcome) => Ok(Some(outcome)),
            Phase::Accepted(_) => Ok(None),
            Phase::Waiting | Phase::Closed => Err(Refusal::NotHere),
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        if shared.lock().phase == Phase::Closed {
            return;
        }
        match accepted {
            Ok((stream, peer)) if peer.ip().is_loopback() => serve_in_thread(stream, shared),
            Ok(_) => {}
            // The peer hung up, or the process is out of descriptors, which must not become a busy loop.
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn serve_in_thread(stream: TcpStream, shared: &Arc<Shared>) {
    let Some(id) = shared.enter(&stream) else { return };
    let own = Arc::clone(shared);
    let thread = thread::Builder::new().name("loopback-request".to_owned()).spawn(move || {
        serve(&stream, id, &own);
        // Closed before it is crossed off, so that nobody who waits for that ends the process too early.
        drop(stream);
        own.leave(id);
    });
    if thread.is_err() {
        shared.leave(id);
    }
}

fn serve(stream: &TcpStream, id: u64, shared: &Shared) {
    let request = read_head(stream).and_then(|head| shared.site.judge(&head));
    let (page, tells) = match request {
        Ok(Wanted::Callback(query)) => {
            shared.set_stage(id, Stage::Judged);
            match shared.ask(query) {
                Ok(()) => (page::sent_on(shared.site.done()), false),
                Err(refusal) => (page::refusal(refusal), false),
            }
        }
        Ok(Wanted::Done) => {
            shared.set_stage(id, Stage::Done);
            match shared.outcome() {
                Ok(Some(outcome)) => (page::outcome(outcome), true),
                Ok(None) => (page::waiting(), false),
                Err(refusal) => (page::refusal(refusal), false),
            }
        }
        Err(refusal) => (page::refusal(refusal), false),
    };
    shared.set_stage(id, Stage::Answering);
    if answer(stream, &page).is_ok() && tells {
        shared.lock().told = true;
        shared.changed.notify_all();
    }
}

/// Reads to the end of the head and not a byte further than the limits allow.
fn read_head(mut stream: &TcpStream) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let end = Instant::now() + HEAD_TIME;
    // Reserved at once: a buffer that grows would leave copies of the code behind.
    let mut head = Zeroizing::new(Vec::with_capacity(MAX_HEAD));
    let mut chunk = Zeroizing::new([0; 2048]);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return Err(Refusal::Slow);
        }
        let count = match stream.read(&mut *chunk) {
            Ok(0) => return Err(Refusal::Bad),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(Refusal::Slow),
        };
        // What comes after the end of the head is kept, for the parser to refuse.
        let seen = head.len().saturating_sub(3);
        if head.len() + count > MAX_HEAD {
            return Err(Refusal::TooLong);
        }
        head.extend_from_slice(&chunk[..count]);
        if head[seen..].windows(4).any(|window| window == b"\r\n\r\n") {
            return Ok(head);
        }
    }
}

/// Writes the whole answer, says that nothing follows, and lets the peer read it.
fn answer(mut stream: &TcpStream, page: &[u8]) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIME))?;
    stream.write_all(page)?;
    stream.flush()?;
    stream.shutdown(Shutdown::Write)?;
    linger(stream);
    Ok(())
}

/// Reads what the peer still sends: closing with bytes unread resets the connection, and the answer with it.
fn linger(mut stream: &TcpStream) {
    let (time, mut bytes) = LINGER;
    let end = Instant::now() + time;
    let mut chunk = [0; 4096];
    while bytes > 0 {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.set_read_timeout(Some(left)).is_err() {
            return;
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(count) => bytes = bytes.saturating_sub(count),
        }
    }
}
