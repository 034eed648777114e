//! The binary at a real pseudo-terminal, with a person who types.

use std::process::Command;

use rexpect::process::WaitStatus;
use rexpect::session::PtySession;

use crate::stage::Stage;

/// How long a person waits for the next words, in milliseconds.
const PATIENCE: u64 = 30_000;
/// Makes the terminal as a person has it (with echo, which the library turns off), and tells afterwards what the
/// command left behind. Ctrl-C is for the command, not for this script.
const SCRIPT: &str = "stty sane rows 40 cols 100; trap : INT; \"$@\"; code=$?; \
    echo \"echo is $(stty -a | tr ' ;' '\\n\\n' | grep -x -e echo -e -echo)\"; exit $code";

/// A running command with a terminal as stdin, stdout and stderr. Killed when dropped.
pub struct Terminal {
    session: PtySession,
    screen: String,
}

/// How a command at a terminal ended.
#[derive(Debug)]
pub struct Ending {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Everything that ever stood on the screen.
    pub screen: String,
    /// Whether what the person types is shown again.
    pub echoes: bool,
}

impl Terminal {
    /// Starts the binary.
    pub fn start(stage: &Stage, arguments: &[&str]) -> Self {
        Self::of(&stage.command(arguments))
    }

    /// Starts another program, such as git, which starts the binary in turn.
    pub fn of(plain: &Command) -> Self {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "terminal"]).arg(plain.get_program()).args(plain.get_args());
        command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = plain.get_current_dir() {
            command.current_dir(folder);
        }
        let session = rexpect::session::spawn_command(command, Some(PATIENCE)).expect("a pseudo-terminal");
        Self { session, screen: String::new() }
    }

    /// Waits until these words stand on the screen; returns what came before them.
    #[track_caller]
    pub fn sees(&mut self, words: &str) -> String {
        match self.session.exp_string(words) {
            Ok(before) => {
                self.screen += &before;
                self.screen += words;
                before
            }
            Err(error) => panic!("`{words}` did not appear: {error}\nbefore that: {}", self.screen),
        }
    }

    /// Waits for a URL that stands alone on a line.
    #[track_caller]
    pub fn sees_url(&mut self) -> String {
        let (before, url) = self.session.exp_regex(r"(?m)^\s*https?://[^\s]+\r?\n").unwrap_or_else(|error| {
            panic!("no URL appeared: {error}\nbefore that: {}", self.screen);
        });
        self.screen += &before;
        self.screen += &url;
        url.trim().to_owned()
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) -> &mut Self {
        self.session.send_line(line).expect("the terminal takes keys");
        self
    }

    /// Presses keys that are no line: an arrow is `"\x1b[B"`, Ctrl-C is `"\x03"`, Enter is `"\r"`.
    pub fn presses(&mut self, keys: &str) -> &mut Self {
        self.session.send(keys).expect("the terminal takes keys");
        self.session.flush().expect("the terminal takes keys");
        self
    }

    /// Waits for the end.
    #[track_caller]
    pub fn ends(mut self) -> Ending {
        let rest = self.session.exp_eof().unwrap_or_else(|error| panic!("no end: {error}\n{}", self.screen));
        self.screen += &rest;
        let code = match self.session.process().wait().expect("the command ends") {
            // The shell adds 128 to the number of the signal that ended the command.
            WaitStatus::Exited(_, code) if code <= 128 || code == 130 => Some(code),
            _ => None,
        };
        let echoes = self.screen.contains("echo is echo");
        let screen = self.screen.split("echo is ").next().unwrap_or_default().to_owned();
        Ending { code, screen, echoes }
    }
}
