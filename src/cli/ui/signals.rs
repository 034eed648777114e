//! Ctrl-C, SIGTERM and SIGHUP: the terminal gets its echo back, and a command that asked for it ends by itself.

use std::io;
#[cfg(unix)]
use std::sync::Mutex;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::Code;

/// Whether a command has asked to end by itself when the person interrupts it.
static GRACEFUL: AtomicBool = AtomicBool::new(false);
/// Whether the person has interrupted such a command.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Whether something typed is being hidden, so that the echo may be off.
static HIDDEN: AtomicBool = AtomicBool::new(false);
/// The terminal's settings from before anything was hidden.
#[cfg(unix)]
static TERMINAL: Mutex<Option<rustix::termios::Termios>> = Mutex::new(None);
/// How long a command that ends by itself may take before it is ended.
const GRACE: Duration = Duration::from_secs(3);

/// Remembers the terminal's settings, and has signals put them back before they end the process.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(unix)]
        if let (Some(terminal), Ok(mut saved)) = (terminal(), TERMINAL.lock()) {
            *saved = rustix::termios::tcgetattr(terminal).ok();
        }
        // Without a handler, a signal ends the process as it always did.
        let _ = ctrlc::set_handler(|| {
            restore_terminal();
            if GRACEFUL.load(Ordering::SeqCst) && !INTERRUPTED.swap(true, Ordering::SeqCst) {
                std::thread::sleep(GRACE);
            }
            std::process::exit(i32::from(Code::Interrupted as u8));
        });
    });
}

/// Notes that what is typed is hidden from now on.
pub(super) fn hide() {
    HIDDEN.store(true, Ordering::SeqCst);
}

/// Shows what is typed again, if it was hidden and the terminal is ours to set: a job in the background that touched it
/// would be stopped.
pub(super) fn restore_terminal() {
    if !HIDDEN.swap(false, Ordering::SeqCst) {
        return;
    }
    #[cfg(unix)]
    if let Some(terminal) = terminal()
        && rustix::termios::tcgetpgrp(&terminal).is_ok_and(|group| group == rustix::process::getpgrp())
        && let Ok(Some(settings)) = TERMINAL.lock().map(|saved| saved.clone())
    {
        // A terminal that is gone needs no settings.
        let _ = rustix::termios::tcsetattr(terminal, rustix::termios::OptionalActions::Now, &settings);
    }
}

/// The terminal that is typed at: stdin, or the one behind a stdin that belongs to a tool.
#[cfg(unix)]
fn terminal() -> Option<std::os::fd::OwnedFd> {
    use std::io::IsTerminal;
    use std::os::fd::AsFd;
    if io::stdin().is_terminal() {
        return io::stdin().as_fd().try_clone_to_owned().ok();
    }
    Some(super::terminal::behind().ok()?.into())
}

/// Whether signals leave the end to the command, for a moment.
pub(super) fn end_gracefully(graceful: bool) {
    GRACEFUL.store(graceful, Ordering::SeqCst);
}

/// Whether the person has interrupted the command.
pub(super) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}
