//! A sign of life while something lasts: one line on stderr, in place, at a terminal alone.

use std::time::Duration;

use super::{FAINT, Ui, write_whole};

impl Ui {
    /// Shows how long a wait has left, in place, on a terminal; elsewhere nothing.
    pub fn countdown(&self, what: &str, left: Duration) {
        if self.stderr_is_terminal {
            let seconds = left.as_secs();
            self.raw(&format!("\r\x1b[K{FAINT}{what} ({}:{:02} left){FAINT:#}", seconds / 60, seconds % 60));
        }
    }

    /// Shows how much of some work is done, in place, on a terminal; elsewhere nothing.
    pub fn progress(&self, what: &str, done: usize, of: usize) {
        if self.stderr_is_terminal {
            self.raw(&format!("\r\x1b[K{FAINT}{what} ({done} of {of}){FAINT:#}"));
        }
    }

    /// Shows what is going on for who knows how long, in place, on a terminal; elsewhere nothing.
    pub fn working(&self, what: &str) {
        if self.stderr_is_terminal {
            self.raw(&format!("\r\x1b[K{FAINT}{what}{FAINT:#}"));
        }
    }

    /// Clears the line of [`Ui::countdown`], [`Ui::progress`] and [`Ui::working`].
    pub fn end_countdown(&self) {
        if self.stderr_is_terminal {
            self.raw("\r\x1b[K");
        }
    }

    fn raw(&self, text: &str) {
        let _ = write_whole(&mut *self.talk.borrow_mut(), text.as_bytes(), false);
    }
}
