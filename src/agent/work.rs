//! One worker: takes callers one after the other, and answers each with what the vault holds now.

use std::cell::Cell;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::frame::{Question, Request, Response};
use super::line::Line;
use super::state::State;
use super::{is_told, peer};
use crate::credential::Metadata;
use crate::helper::{self, Call, Desk};
use crate::http::{self, Client, Http, Unreachable};
use crate::os::Env;
use crate::provider::Net;
use crate::secret::{Choice, StoreError};
use crate::vault::{Local, Unlocked, Vault};

/// A caller says what it wants at once, and takes its answer at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers callers for as long as the process runs.
pub(super) fn work(state: &State, listener: &UnixListener) {
    let clock = || state.env.now();
    let store_was_asked = Cell::new(false);
    let http = Client::new();
    let open = || {
        // The agent never opens the store of the root key: that is for a process that a person has started.
        let opener = |_| {
            store_was_asked.set(true);
            Err(StoreError::Locked { store: "agent", cause: None })
        };
        Local::new(&state.env.data_dir(), Choice::Auto, Box::new(opener), &clock)
    };
    let mut vault = open();
    let mut file = identity(&vault);
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, most likely: others are given up soon.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        if identity(&vault) != file {
            // Another file lies in the place of the one that was opened.
            vault = open();
            file = identity(&vault);
        }
        store_was_asked.set(false);
        Caller { state, vault: &vault, http: &http, store_was_asked: &store_was_asked }.serve(stream);
        file = file.or_else(|| identity(&vault));
    }
}

/// Which file the vault's is.
fn identity(vault: &Local<'_>) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(vault.path()).ok().map(|found| (found.dev(), found.ino()))
}

/// A caller, and what is needed to answer it.
struct Caller<'c, 'v> {
    state: &'c State,
    vault: &'c Local<'v>,
    http: &'c dyn Http,
    store_was_asked: &'c Cell<bool>,
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

impl Caller<'_, '_> {
    fn serve(&self, stream: UnixStream) {
        let mut line = Line::of(stream.into());
        if !peer::is_own(line.socket()) {
            return;
        }
        let request = match line.receive(Instant::now() + PATIENCE) {
            Ok(Some(frame)) => Request::decode(&frame),
            _ => return,
        };
        let Answered { response, used } = match request {
            None => Response::NotMine.into(),
            Some(Request::Call(question)) => self.call(&question, &line),
            Some(Request::Status) => {
                Response::Status(serde_json::to_string(&self.state.status()).unwrap_or_default()).into()
            }
            Some(Request::Lock) => {
                self.state.set_key(None);
                Response::Done.into()
            }
            Some(Request::Unlock(key)) => match Unlocked::from_secret(&key) {
                Some(key) if self.vault.is_opened_by(&key).unwrap_or(false) => {
                    self.state.note_asked();
                    self.state.set_key(Some(key));
                    Response::Done.into()
                }
                _ => Response::NotMine.into(),
            },
            Some(Request::Stop) => {
                self.state.end();
                Response::Done.into()
            }
        };
        let Some(frame) = response.encode() else { return };
        if line.send(&frame, Instant::now() + PATIENCE).is_err() {
            return;
        }
        drop(line);
        if let Some(metadata) = used {
            self.state.note_answered();
            // The tool has its answer. When it was last used is worth no failure.
            let _ = self.vault.note_use(&metadata, self.state.env.now());
        }
    }

    /// Answers a tool's question, or leaves it to the caller.
    fn call(&self, question: &Question, line: &Line) -> Answered {
        let (Some(helper), Some(key)) = (helper::by_name(&question.helper), self.state.key()) else {
            return Response::NotMine.into();
        };
        if self.state.env.config_dir() != Path::new(&question.config_dir) {
            return Response::NotMine.into();
        }
        self.state.note_asked();
        let env = self.state.env.of_caller(question.variables.clone(), question.working_dir.clone().into(), is_told);
        self.vault.unlock_with(&key);
        let answered = self.answer(helper, question, &env, line);
        self.vault.lock();
        if self.store_was_asked.get() {
            // The key is not the vault's any more.
            self.state.set_key(None);
            return Response::NotMine.into();
        }
        if env.more_was_asked() {
            return Response::NotMine.into();
        }
        answered
    }

    fn answer(&self, helper: &dyn helper::Helper, question: &Question, env: &Env, line: &Line) -> Answered {
        let http = Telling { http: self.http, line, told: AtomicBool::new(false) };
        let desk = Desk { vault: self.vault, net: Net { http: &http, env, now: env.now() }, env };
        let call = Call { arguments: &question.words, text: &question.text, env };
        let helper::Served { reply, used } = helper::serve(helper, &call, &desk);
        Answered { response: Response::Reply(reply), used }
    }
}

/// The network, which tells the caller that it takes longer before it is asked for the first time.
struct Telling<'t> {
    http: &'t dyn Http,
    line: &'t Line,
    told: AtomicBool,
}

impl Http for Telling<'_> {
    fn send(&self, request: http::Request) -> Result<http::Response, Unreachable> {
        if !self.told.swap(true, Ordering::Relaxed)
            && let Some(frame) = Response::Working.encode()
        {
            // A caller that is gone is noticed when it is to be answered.
            let _ = self.line.send(&frame, Instant::now() + PATIENCE);
        }
        self.http.send(request)
    }
}
