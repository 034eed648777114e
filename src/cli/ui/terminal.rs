//! The terminal behind stdin and stdout, where those belong to a tool.

use std::cell::RefCell;
use std::fs::File;
use std::io;

use super::Ui;

/// The terminal that the process was started from, whatever stdin and stdout are.
pub(super) fn behind() -> io::Result<File> {
    File::options().read(true).write(true).open(if cfg!(windows) { "CONOUT$" } else { "/dev/tty" })
}

impl Ui {
    /// The terminal that a tool was started from: it takes the talk and the questions. `None` where there is none.
    ///
    /// Nothing may be answered through it: stdout is the tool's.
    pub fn behind_a_tool() -> Option<Self> {
        let terminal = behind().ok()?;
        Some(Self {
            answer: RefCell::new(Box::new(io::sink())),
            bare: RefCell::new(Box::new(io::sink())),
            talk: RefCell::new(Box::new(anstream::AutoStream::auto(terminal))),
            interactive: true,
            github_actions: false,
            stderr_is_terminal: true,
        })
    }
}
