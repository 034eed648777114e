//! The only file that prints or prompts. stdout carries the answer, stderr the talk; questions need a terminal.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, channel};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::Global;
use crate::error::{Code, Failure, Result};
use crate::os::Env;
use crate::secret::Secret;
use crate::text::{clean, printable};

mod json;
mod log;
mod relay;
mod signals;
mod table;
mod terminal;
mod usage;
mod wait;

pub use json::JsonList;
#[cfg(feature = "server")]
pub use log::LogForm;
pub use relay::{Relay, is_one_stream};
pub use table::Table;
pub use usage::{looks_like_a_token, name, quiet_panics, unless_a_token, usage};

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const GREEN: Style = AnsiColor::Green.on_default().bold();
const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();

/// The terminal, or what stands in for it.
pub struct Ui {
    answer: RefCell<Box<dyn Write>>,
    /// The same without the filter for colours, which reads each byte and would eat control sequences.
    bare: RefCell<Box<dyn Write>>,
    talk: RefCell<Box<dyn Write>>,
    interactive: bool,
    github_actions: bool,
    stderr_is_terminal: bool,
}

/// Why a question could not be put or an answer not be printed.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    /// stdout is closed, as after `| head -1`. Ends the program without a word.
    #[error("the reader of the output went away")]
    Closed,
    /// stdout cannot take the answer, for instance because the disk is full.
    #[error("cannot write the answer")]
    Write(#[source] io::Error),
    /// A question would be needed and nobody is there to answer.
    #[error("nobody can answer \"{question}\": this is no terminal")]
    NoTerminal {
        /// What would have been asked.
        question: String,
        /// The flag that answers it.
        flag: String,
    },
    /// The person pressed Ctrl-C or Escape.
    #[error("interrupted")]
    Interrupted,
}

impl Failure for UiError {
    fn code(&self) -> Code {
        match self {
            Self::Closed | Self::Write(_) => Code::Failed,
            Self::NoTerminal { .. } => Code::Usage,
            Self::Interrupted => Code::Interrupted,
        }
    }
    fn mend(&self) -> Option<String> {
        match self {
            Self::Write(_) => Some("check where the output goes".into()),
            Self::NoTerminal { flag, .. } => Some(format!("give {flag}")),
            Self::Closed | Self::Interrupted => None,
        }
    }
}

impl Ui {
    /// The terminal of this process. Sets colours and the log level that the flags ask for.
    pub fn of_process(env: &Env, flags: &Global) -> Self {
        if flags.no_color {
            anstream::ColorChoice::Never.write_global();
        }
        if flags.verbose > 0 {
            log::start(flags.verbose);
        }
        Self {
            answer: RefCell::new(Box::new(anstream::stdout())),
            bare: RefCell::new(Box::new(io::stdout())),
            talk: RefCell::new(Box::new(anstream::stderr())),
            interactive: env.interactive,
            github_actions: env.var("GITHUB_ACTIONS") == Some("true"),
            stderr_is_terminal: env.stderr_is_terminal,
        }
    }

    /// Whether a question can be put to a person.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// One line of the answer, on stdout.
    pub fn answer(&self, line: &str) -> Result<()> {
        Ok(write_whole(&mut *self.answer.borrow_mut(), line.as_bytes(), true)?)
    }

    /// Bytes of the answer as they are, on stdout.
    pub fn answer_bytes(&self, bytes: &[u8]) -> Result<()> {
        self.answer_bare(bytes, false)
    }

    /// The answer as JSON, on stdout. Control characters leave as `\u` escapes.
    pub fn answer_json(&self, value: &impl Serialize) -> Result<()> {
        self.answer_bare(&json::pretty(value)?, true)
    }

    /// The answer as a JSON array, on stdout, once `fill` has put its elements in.
    pub fn answer_json_list(&self, fill: impl FnOnce(&mut JsonList<'_, '_>) -> Result<()>) -> Result<()> {
        self.answer_bare(&json::list(fill)?, true)
    }

    /// The answer as JSON on a single line, for a program that reads line by line while the command goes on.
    pub fn answer_json_line(&self, value: &impl Serialize) -> Result<()> {
        self.answer_bare(&json::line(value)?, true)
    }

    /// A secret that the user asked for by name, on stdout, after `prefix`. In GitHub Actions it is masked first.
    pub fn answer_secret(&self, prefix: &str, secret: &Secret) -> Result<()> {
        self.mask(secret)?;
        let line = Zeroizing::new([prefix, secret.expose(), "\n"].concat());
        self.answer_bare(line.as_bytes(), false)
    }

    /// Lines that hold secrets the user asked for, on stdout. In GitHub Actions they are masked first.
    pub fn answer_lines(&self, lines: &Secret) -> Result<()> {
        self.mask(lines)?;
        self.answer_bare(lines.expose().as_bytes(), !lines.expose().ends_with('\n'))
    }

    /// Whether what is answered lands in a file.
    #[cfg(unix)]
    pub fn answer_is_a_file(&self) -> bool {
        let kind = rustix::fs::fstat(io::stdout()).map(|found| rustix::fs::FileType::from_raw_mode(found.st_mode));
        kind.is_ok_and(|kind| kind == rustix::fs::FileType::RegularFile)
    }

    /// Whether what is answered lands in a file; elsewhere that is not known.
    #[cfg(not(unix))]
    pub fn answer_is_a_file(&self) -> bool {
        false
    }

    /// Whether [`Ui::mask`] does something.
    pub fn announces_masks(&self) -> bool {
        self.github_actions
    }

    /// Tells the GitHub Actions runner to mask a value in the job's log. Does nothing elsewhere.
    ///
    /// The runner reads commands on both streams; stderr keeps stdout to the answer alone.
    pub fn mask(&self, secret: &Secret) -> Result<()> {
        if !self.github_actions {
            return Ok(());
        }
        for line in secret.expose().lines().filter(|line| line.len() >= 4) {
            let escaped = Zeroizing::new(line.replace('%', "%25").replace('\r', "%0D"));
            let command = Zeroizing::new(["::add-mask::", &escaped, "\n"].concat());
            write_whole(&mut io::stderr().lock(), command.as_bytes(), false)?;
        }
        Ok(())
    }

    /// A table, on stdout: a heading and rows of cleaned text.
    pub fn table(&self, heading: &[&str], rows: &[Vec<String>]) -> Result<()> {
        let mut table = Table::new(heading);
        for row in rows {
            table.row(row.iter().map(String::as_str));
        }
        self.answer_table(&table)
    }

    /// A table that was filled row by row, on stdout.
    pub fn answer_table(&self, table: &Table) -> Result<()> {
        self.answer_bare(table.lines().trim_end_matches('\n').as_bytes(), true)
    }

    /// Answers with what holds nothing that a terminal acts on, or what is not ours to change.
    fn answer_bare(&self, bytes: &[u8], newline: bool) -> Result<()> {
        Ok(write_whole(&mut *self.bare.borrow_mut(), bytes, newline)?)
    }

    /// A line of talk, on stderr.
    pub fn say(&self, line: &str) {
        // Nobody may be reading stderr; the answer and the exit code still tell the outcome.
        // In one piece with its end: a signal may end the process between two.
        let _ = write_whole(&mut *self.talk.borrow_mut(), format!("{line}\n").as_bytes(), false);
    }

    /// Something done, on stderr, behind a tick.
    pub fn done(&self, line: &str) {
        self.say(&format!("{GREEN}✓{GREEN:#} {line}"));
    }

    /// A line of lesser weight, on stderr.
    pub fn note(&self, line: &str) {
        self.say(&format!("{FAINT}{line}{FAINT:#}"));
    }

    /// Something the user should act on, on stderr.
    pub fn warn(&self, line: &str) {
        self.say(&format!("{YELLOW}warning:{YELLOW:#} {line}"));
    }

    /// What failed, why, and the mend, on stderr.
    pub fn failure(&self, failure: &dyn Failure) {
        for line in describe(failure) {
            self.say(&line);
        }
    }

    /// Lets the person choose one of several, each with a line that explains it. Returns the index.
    ///
    /// `flag` is what answers the question where nobody can be asked.
    pub fn choose(&self, question: &str, items: &[String], flag: &str) -> Result<usize> {
        self.needs_terminal(question, flag)?;
        let chosen = dialoguer::Select::with_theme(&dialoguer::theme::ColorfulTheme::default())
            .with_prompt(question)
            .items(items)
            .default(0)
            .report(false)
            .interact_opt()
            .map_err(|error| ask_failed(&error))?;
        let chosen = chosen.ok_or(UiError::Interrupted)?;
        // Of the line that explains a choice, its name is enough afterwards.
        let name = items.get(chosen).and_then(|item| item.split(':').next()).unwrap_or_default();
        self.done(&format!("{question} {name}"));
        Ok(chosen)
    }

    /// Asks for a line of text.
    pub fn input(&self, question: &str, default: Option<&str>, flag: &str) -> Result<String> {
        self.needs_terminal(question, flag)?;
        let theme = dialoguer::theme::ColorfulTheme::default();
        let mut input = dialoguer::Input::<String>::with_theme(&theme).with_prompt(question);
        if let Some(default) = default {
            input = input.default(default.to_owned());
        }
        Ok(input.interact_text().map_err(|error| ask_failed(&error))?.trim().to_owned())
    }

    /// Asks yes or no.
    pub fn confirm(&self, question: &str, default: bool, flag: &str) -> Result<bool> {
        self.needs_terminal(question, flag)?;
        Ok(dialoguer::Confirm::with_theme(&dialoguer::theme::ColorfulTheme::default())
            .with_prompt(question)
            .default(default)
            .interact_opt()
            .map_err(|error| ask_failed(&error))?
            .ok_or(UiError::Interrupted)?)
    }

    /// Asks for a secret without showing it. The terminal's echo is back on however this ends.
    pub fn hidden(&self, question: &str, flag: &str) -> Result<Secret> {
        self.needs_terminal(question, flag)?;
        signals::watch();
        signals::hide();
        rpassword::prompt_password(format!("{question}: ")).map(Secret::new).map_err(|error| ask_failed(&error).into())
    }

    /// Reads one line from the terminal without showing it, beside other work. What is typed appears neither on the
    /// screen nor in a shell's history. Nothing comes where there is no terminal.
    pub fn hidden_line(&self) -> Receiver<String> {
        let (sender, receiver) = channel();
        if self.interactive {
            signals::hide();
            std::thread::spawn(move || {
                if let Ok(line) = rpassword::read_password() {
                    // The other work may be over; then nobody needs the line.
                    let _ = sender.send(line);
                }
            });
        }
        receiver
    }

    /// Has Ctrl-C, SIGTERM and SIGHUP be told by [`Ui::interrupted`] instead of ending the process at once.
    pub fn catch_interrupts(&self) {
        signals::watch();
        signals::end_gracefully(true);
    }

    /// Whether the person has interrupted the command.
    pub fn interrupted(&self) -> bool {
        signals::interrupted()
    }

    /// What a signal does that is waited for elsewhere: shows what is typed again, and ends the process.
    pub fn leave() {
        signals::restore_terminal();
        std::process::exit(i32::from(Code::Interrupted as u8));
    }

    /// Ends what [`Ui::catch_interrupts`] began, and shows what is typed again.
    pub fn release_interrupts(&self) {
        signals::end_gracefully(false);
        signals::restore_terminal();
    }

    /// A word that stands out.
    pub fn strong(&self, word: &str) -> String {
        format!("{STRONG}{}{STRONG:#}", clean(word))
    }

    fn needs_terminal(&self, question: &str, flag: &str) -> Result<(), UiError> {
        if self.interactive {
            return Ok(());
        }
        Err(UiError::NoTerminal { question: question.to_owned(), flag: flag.to_owned() })
    }
}

fn ask_failed(error: &impl std::error::Error) -> UiError {
    // Ctrl-C, Ctrl-D and a vanished terminal all mean that the person left.
    tracing::debug!(%error, "question not answered");
    UiError::Interrupted
}

fn write_whole(to: &mut dyn Write, bytes: &[u8], newline: bool) -> Result<(), UiError> {
    let written =
        to.write_all(bytes).and_then(|()| if newline { to.write_all(b"\n") } else { Ok(()) }).and_then(|()| to.flush());
    written.map_err(
        |error| if error.kind() == io::ErrorKind::BrokenPipe { UiError::Closed } else { UiError::Write(error) },
    )
}

/// The lines that tell a failure: `error: what`, `because: why` for each cause, `next: the mend`.
fn describe(failure: &dyn Failure) -> Vec<String> {
    if failure.code() == Code::Interrupted {
        return vec!["interrupted".into()];
    }
    let what = failure.to_string();
    if what == UiError::Closed.to_string() {
        return Vec::new();
    }
    let mut lines = vec![format!("{RED}error:{RED:#} {}", what.lines().map(printable).collect::<Vec<_>>().join("\n"))];
    let mut cause = failure.source();
    while let Some(inner) = cause {
        lines.push(format!("  because: {}", clean(&inner.to_string())));
        cause = inner.source();
    }
    if let Some(mend) = failure.mend() {
        lines.push(format!("  next: {}", printable(&mend)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    /// A place that a test can look at.
    #[derive(Clone, Default)]
    struct Sheet(Rc<RefCell<Vec<u8>>>);

    impl Write for Sheet {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_answer_goes_where_answers_go() {
        let (answer, bare) = (Sheet::default(), Sheet::default());
        let ui = Ui {
            answer: RefCell::new(Box::new(answer.clone())),
            bare: RefCell::new(Box::new(bare.clone())),
            talk: RefCell::new(Box::new(io::sink())),
            interactive: false,
            github_actions: false,
            stderr_is_terminal: false,
        };
        ui.answer("line").unwrap();
        ui.answer_bytes(b"bytes\n").unwrap();
        ui.answer_json_line(&1).unwrap();
        ui.answer_json(&2).unwrap();
        ui.answer_secret("secret ", &Secret::new("three".into())).unwrap();
        ui.answer_lines(&Secret::new("four".into())).unwrap();
        ui.table(&["five"], &[]).unwrap();
        assert_eq!(*answer.0.borrow(), b"line\n");
        let bare = String::from_utf8(bare.0.borrow().clone()).unwrap();
        assert!(
            bare.starts_with("bytes\n1\n2\nsecret three\nfour\n") && bare.to_lowercase().contains("five"),
            "{bare}"
        );
    }
}
