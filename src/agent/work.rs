//! The work: callers are taken one after the other, and each is answered with what the vault holds now.
//!
//! Those who listen and those who answer tools are different threads. A tool's question may wait for the network, for
//! minutes at worst; what a person tells the agent, such as to lock, never waits for that.

use std::cell::Cell;
use std::collections::VecDeque;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::caller::SOON;
use super::door::Door;
use super::frame::{LONGEST, Question, Request, Response};
use super::line::{Frame, Line};
use super::state::State;
use super::{held, is_told, peer, way_out};
use crate::credential::{Metadata, Want};
use crate::helper::{self, Call, Desk, Served};
use crate::http::{self, Client, Http, Unreachable};
use crate::provider::Net;
use crate::secret::Reason;
use crate::vault::{Unlocked, Vault};

/// A caller says what it wants at once, and takes its answer at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Questions of tools that nobody answers yet.
#[derive(Default)]
pub(super) struct Calls {
    waiting: Mutex<VecDeque<Waiting>>,
    more: Condvar,
}

/// A tool's question, and the caller who waits for its answer.
struct Waiting {
    question: Question,
    line: Line,
    since: Instant,
}

impl Calls {
    fn put(&self, question: Question, line: Line) {
        let waiting = Waiting { question, line, since: Instant::now() };
        held(&self.waiting).push_back(waiting);
        self.more.notify_one();
    }

    /// The next one whose caller still waits.
    fn next(&self) -> Waiting {
        let mut waiting = held(&self.waiting);
        loop {
            match waiting.pop_front() {
                // The caller of an old one does it itself by now.
                Some(next) if next.since.elapsed() < SOON => return next,
                Some(_) => {}
                None => waiting = self.more.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Answers questions of tools for as long as the process runs.
pub(super) fn answer(state: &State, calls: &Calls) {
    let clock = || state.env.now();
    let mut worker = Worker { state, door: Door::new(state, &clock), http: Client::new() };
    loop {
        let Waiting { question, line, .. } = calls.next();
        let answered = worker.call(&question, &line);
        worker.tell(line, answered);
    }
}

/// Listens to callers for as long as the process runs. Questions of tools are put with the `calls`.
pub(super) fn take(state: &State, listener: &UnixListener, calls: &Calls) {
    let clock = || state.env.now();
    let mut worker = Worker { state, door: Door::new(state, &clock), http: Client::new() };
    loop {
        match listener.accept() {
            Ok((stream, _)) => worker.listen(stream, calls),
            // Out of descriptors, most likely: others are given up soon.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// What is needed to answer.
struct Worker<'w> {
    state: &'w State,
    door: Door<'w>,
    http: Client,
}

/// What a caller is answered, and the credential that was handed over.
struct Answered {
    response: Response,
    used: Option<Metadata>,
}

impl From<Response> for Answered {
    fn from(response: Response) -> Self {
        Self { response, used: None }
    }
}

impl Worker<'_> {
    fn listen(&mut self, stream: UnixStream, calls: &Calls) {
        let mut line = Line::of(stream.into(), LONGEST);
        if !peer::is_own(line.socket()) {
            return;
        }
        let request = match line.receive(Instant::now() + PATIENCE) {
            Ok(Frame::Whole(frame)) => Request::decode(&frame),
            Ok(Frame::TooLong) => None,
            _ => return,
        };
        let is_end = matches!(request, Some(Request::Stop));
        let response = match request {
            None => Response::NotMine,
            Some(Request::Call(question)) => return calls.put(question, line),
            Some(Request::Status) => Response::Status(serde_json::to_string(&self.state.status()).unwrap_or_default()),
            Some(Request::Lock) => {
                self.state.lock();
                Response::Done
            }
            Some(Request::Unlock(key)) => match Unlocked::from_secret(&key) {
                Some(key) if self.door.closed().is_opened_by(&key).unwrap_or(false) => {
                    self.state.note_asked();
                    self.state.unlock(key);
                    Response::Done
                }
                _ => Response::NotMine,
            },
            Some(Request::Stop) => Response::Done,
        };
        self.tell(line, response.into());
        if is_end {
            // Not before it is said: with the process the answer would be gone.
            self.state.end();
        }
    }

    /// Tells a caller its answer. That a credential was handed over is noted after that.
    fn tell(&mut self, line: Line, Answered { response, used }: Answered) {
        let Some(frame) = response.encode() else { return };
        if line.send(&frame, Instant::now() + PATIENCE).is_err() {
            return;
        }
        drop(line);
        if let Some(metadata) = used {
            self.state.note_answered();
            // The tool has its answer. When it was last used is worth no failure.
            let _ = self.door.closed().note_use(&metadata, self.state.env.now());
        }
    }

    /// Answers a tool's question, or leaves it to the caller.
    fn call(&mut self, question: &Question, line: &Line) -> Answered {
        let Some(helper) = helper::by_name(&question.helper) else { return Response::NotMine.into() };
        if self.state.env.config_dir() != Path::new(&question.config_dir) {
            return Response::NotMine.into();
        }
        self.state.note_asked();
        let env = self.state.env.of_caller(question.variables.clone(), question.working_dir.clone().into(), is_told);
        let is_same = || way_out(&self.state.env) == question.way_out;
        let [told, astray] = [(); 2].map(|()| AtomicBool::new(false));
        let http = Telling { http: &self.http, line, is_same: &is_same, told, astray };
        // Signing in needs a person at the caller's terminal.
        let person_is_needed = Cell::new(false);
        let sign_in = |_: &Want, _: Option<&Metadata>| {
            person_is_needed.set(true);
            Ok(None)
        };
        let served = self.door.opened(|vault| {
            let net = Net { http: &http, env: &env, now: env.now() };
            let desk = Desk { vault, net, env: &env, sign_in: helper.signs_in().then_some(&sign_in) };
            let call = Call { arguments: &question.words, text: &question.text, env: &env };
            helper::serve(helper, &call, helper.ask(&call), &desk)
        });
        match served {
            Some(Served { reply, used })
                if !env.more_was_asked() && !person_is_needed.get() && !http.astray.load(Ordering::Relaxed) =>
            {
                Answered { response: Response::Reply(reply), used }
            }
            _ => Response::NotMine.into(),
        }
    }
}

/// The network, which tells the caller that it takes longer before it is asked for the first time. Where the caller
/// would go another way, by a proxy or with authorities of its own, nobody is asked: the caller does it itself.
struct Telling<'t> {
    http: &'t dyn Http,
    line: &'t Line,
    is_same: &'t (dyn Fn() -> bool + Sync),
    told: AtomicBool,
    astray: AtomicBool,
}

impl Http for Telling<'_> {
    fn send(&self, request: http::Request) -> Result<http::Response, Unreachable> {
        if !self.told.swap(true, Ordering::Relaxed) {
            self.astray.store(!(self.is_same)(), Ordering::Relaxed);
            // A caller that is gone is noticed when it is to be answered.
            let frame = if self.astray.load(Ordering::Relaxed) { None } else { Response::Working.encode() };
            let _ = frame.map(|frame| self.line.send(&frame, Instant::now() + PATIENCE));
        }
        if self.astray.load(Ordering::Relaxed) {
            return Err(Unreachable::Setup { cause: Reason("the caller goes another way".into()) });
        }
        self.http.send(request)
    }
}
