//! Signals of a process that stands between a terminal and a command: waited for from the beginning, passed on while
//! the command runs, and answered by doing what the command does, be it stop or die.
//!
//! The command stays in lanyard's process group, so what a terminal sends reaches it without help, and is not passed on
//! a second time. Every thread blocks the signals, and one of them takes them; a command gets them back in `inner`.

use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::unistd::{Pid, getpid};
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

use crate::run::RunError;

/// The signals that are waited for.
const WATCHED: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGTSTP,
    Signal::SIGCONT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// No command runs yet.
    Before,
    /// This one runs.
    Running(Pid),
    /// It has ended.
    Over,
}

fn watched() -> SigSet {
    WATCHED.into_iter().collect()
}

/// Blocks the signals in this thread and in those it starts.
pub(super) fn block() {
    // A set of known signals and a known way to change it: there is nothing that could be refused.
    let _ = watched().thread_block();
}

/// Gives this thread the signals back.
pub(super) fn unblock() {
    let _ = watched().thread_unblock();
}

/// Waits for signals on behalf of the whole process.
pub struct Watch {
    stage: Arc<Mutex<Stage>>,
}

impl Watch {
    /// Begins to wait. To be called before any thread is started. Until a command runs, whoever interrupts is answered
    /// by `leave`, which ends the process.
    pub fn start(leave: impl Fn() + Send + 'static) -> Result<Self, RunError> {
        block();
        let system = |cause| RunError::System { action: "wait for signals", cause };
        let mut source = Source::new().map_err(system)?;
        let stage = Arc::new(Mutex::new(Stage::Before));
        let shared = Arc::clone(&stage);
        let take = move || {
            while let Some((signal, from)) = source.next() {
                match *locked(&shared) {
                    Stage::Before if signal == Signal::SIGTSTP => stop(),
                    Stage::Before | Stage::Over if !matches!(signal, Signal::SIGCONT | Signal::SIGTSTP) => leave(),
                    Stage::Running(pid) if !from.reached(pid) => {
                        // It may have ended this very moment; nobody else has its number before it was waited for.
                        let _ = kill(pid, signal);
                    }
                    Stage::Before | Stage::Running(_) | Stage::Over => {}
                }
            }
        };
        thread::Builder::new().name("signals".into()).spawn(take).map_err(system)?;
        Ok(Self { stage })
    }

    /// Starts a command and, on a thread of its own, waits for its end, which is told to `ended`.
    pub fn follow(
        &self,
        start: impl FnOnce() -> Result<Child, RunError>,
        ended: impl FnOnce(Ending) + Send + 'static,
    ) -> Result<(), RunError> {
        // A signal that comes meanwhile is for the command.
        let mut stage = locked(&self.stage);
        let id = i32::try_from(start()?.id()).unwrap_or_default();
        *stage = Stage::Running(Pid::from_raw(id));
        drop(stage);
        let stage = Arc::clone(&self.stage);
        let wait = move || ended(wait(id, &stage));
        let started = thread::Builder::new().name("wait".into()).spawn(wait);
        started.map(|_| ()).map_err(|cause| RunError::System { action: "wait for the command", cause })
    }
}

fn locked(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stops this process until somebody lets it continue.
fn stop() {
    let _ = kill(getpid(), Signal::SIGSTOP);
}

/// Waits for the end of a child, and stops whenever it stops.
fn wait(id: i32, stage: &Mutex<Stage>) -> Ending {
    let unknown = Ending::Code(1);
    let Some(pid) = rustix::process::Pid::from_raw(id) else { return unknown };
    let look = |options| loop {
        match waitid(WaitId::Pid(pid), options) {
            Err(rustix::io::Errno::INTR) => {}
            found => return found.ok().flatten(),
        }
    };
    loop {
        let (ends, stops) = (WaitIdOptions::EXITED | WaitIdOptions::NOWAIT, WaitIdOptions::STOPPED);
        let Some(found) = look(ends | stops) else { return unknown };
        if found.exited() || found.killed() || found.dumped() {
            let mut stage = locked(stage);
            *stage = Stage::Over;
            let ended = waitpid(Some(pid), WaitOptions::empty()).ok().flatten();
            return match ended.map(|(_, status)| (status.exit_status(), status.terminating_signal())) {
                Some((Some(code), _)) => Ending::Code(code),
                Some((None, Some(signal))) => Ending::Signal(signal),
                _ => unknown,
            };
        }
        // Taken in, so that it is told once.
        let stopped = look(stops | WaitIdOptions::NOHANG);
        // Both may have been stopped and continued together, by a terminal: then there is nothing left to do.
        let continued = look(WaitIdOptions::CONTINUED | WaitIdOptions::NOHANG);
        if stopped.is_some() && continued.is_none() {
            stop();
        }
    }
}

/// Ends this process as the command ended.
pub fn end(ending: Ending) -> ! {
    if let Ending::Signal(number) = ending {
        unblock();
        if let Ok(signal) = Signal::try_from(number) {
            // The first SIGSEGV and SIGBUS go to a handler of Rust's own, which then steps aside.
            for _ in 0..2 {
                let _ = raise(signal);
            }
        }
        // One that is ignored here, such as SIGPIPE, is told as shells tell it.
        std::process::exit(128 + number);
    }
    std::process::exit(if let Ending::Code(code) = ending { code } else { 1 })
}

/// Who sent a signal.
#[derive(Debug, Clone, Copy)]
enum From {
    /// The kernel, on behalf of a terminal: to the whole process group.
    Terminal,
    /// A process.
    Process(Pid),
    /// Nobody can tell.
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "Linux tells"))]
    Unknown,
}

impl From {
    /// Whether the command got the signal as well.
    fn reached(self, command: Pid) -> bool {
        match self {
            Self::Terminal => true,
            Self::Process(pid) => pid == command,
            Self::Unknown => false,
        }
    }
}

/// Where signals are read.
#[cfg(target_os = "linux")]
struct Source(nix::sys::signalfd::SignalFd);

#[cfg(target_os = "linux")]
impl Source {
    fn new() -> io::Result<Self> {
        use nix::sys::signalfd::{SfdFlags, SignalFd};
        Ok(Self(SignalFd::with_flags(&watched(), SfdFlags::SFD_CLOEXEC)?))
    }

    fn next(&mut self) -> Option<(Signal, From)> {
        loop {
            match self.0.read_signal() {
                Ok(Some(told)) => {
                    let Ok(signal) = i32::try_from(told.ssi_signo)
                        .map_err(|_| ())
                        .and_then(|number| Signal::try_from(number).map_err(|_| ()))
                    else {
                        continue;
                    };
                    // Positive codes are the kernel's own.
                    let pid = Pid::from_raw(i32::try_from(told.ssi_pid).unwrap_or_default());
                    return Some((signal, if told.ssi_code > 0 { From::Terminal } else { From::Process(pid) }));
                }
                Err(nix::errno::Errno::EINTR) | Ok(None) => {}
                Err(_) => return None,
            }
        }
    }
}

/// Elsewhere the system does not tell who sent a signal.
#[cfg(not(target_os = "linux"))]
struct Source;

#[cfg(not(target_os = "linux"))]
impl Source {
    #[expect(clippy::unnecessary_wraps, reason = "on Linux it can fail")]
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    fn next(&mut self) -> Option<(Signal, From)> {
        let signal = watched().wait().ok()?;
        let of_terminals = [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGHUP];
        // What a terminal can send, to the group that it would send it to, was most likely sent by it.
        let from_terminal = of_terminals.contains(&signal)
            && std::fs::File::open("/dev/tty").is_ok_and(|terminal| {
                rustix::termios::tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
            });
        Some((signal, if from_terminal { From::Terminal } else { From::Unknown }))
    }
}
