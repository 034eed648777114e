//! `lanyard doctor`: a handful of checks, each with a tick or a cross and what mends it.
//!
//! The answer is made to be pasted into a question to others, so names of users, hosts and folders are left out of it
//! unless `--full` asks for them.

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::cli::Doors;
use crate::error::{self, Code, Failure, Result};
use crate::text::printable;

mod browser;
mod checks;
mod redact;
mod subject;

use redact::Redactor;
use subject::Subject;

const GREEN: Style = AnsiColor::Green.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// Check keychain, vault, browser, clock, network and configuration
#[derive(clap::Args, Debug)]
#[command(
    long_about = "Check keychain, vault, browser, clock, network and configuration\n\nEach line has a tick, or a cross and what \
                  mends it. The exit status is 0 if all is well, else that of the first failure: 3 configuration, \
                  7 keychain, 6 network, 1 anything else.",
    after_help = "Example:\n  lanyard doctor"
)]
pub(super) struct Args {
    /// Show names of users, hosts and folders too
    #[arg(long)]
    full: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// `configuration`, `keychain`, `vault`, `agent`, `aws`, `browser`, `clock` or `network`.
    check: &'static str,
    status: Status,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
    #[serde(skip)]
    code: Code,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Failed,
    Skipped,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, message: message.into(), mend: None, code: Code::Failed }
    }

    fn skipped(check: &'static str, message: impl Into<String>) -> Self {
        Self { status: Status::Skipped, ..Self::ok(check, message) }
    }

    fn failed(check: &'static str, code: Code, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { status: Status::Failed, mend: Some(mend.into()), code, ..Self::ok(check, message) }
    }

    /// A failure of the checked part itself, with its causes on the same line.
    fn from_failure(check: &'static str, failure: &dyn Failure) -> Self {
        let message = error::with_causes(failure);
        // Elsewhere the mend may end by pointing here.
        let mend = failure.mend().map(|mend| mend.split("; `lanyard doctor`").next().unwrap_or_default().to_owned());
        Self { mend, ..Self::failed(check, failure.code(), message, "") }
    }

    fn lines(&self) -> Vec<String> {
        let sign = match self.status {
            Status::Ok => format!("{GREEN}✓{GREEN:#}"),
            Status::Failed => format!("{RED}✗{RED:#}"),
            Status::Skipped => format!("{FAINT}-{FAINT:#}"),
        };
        let mut lines = vec![format!("{sign} {:<14} {}", self.check, printable(&self.message))];
        lines.extend(self.mend.iter().map(|mend| format!("{:17}{FAINT}mend:{FAINT:#} {mend}", "")));
        lines
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    healthy: bool,
    checks: &'a [Finding],
    left_out: &'a [&'static str],
}

/// At least one check failed.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {checks} checks failed")]
struct Unwell {
    failed: usize,
    checks: usize,
    code: Code,
}

impl Failure for Unwell {
    fn code(&self) -> Code {
        self.code
    }

    fn mend(&self) -> Option<String> {
        Some("do what the lines with a cross say, then run `lanyard doctor` again".into())
    }
}

impl Args {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (subject, configuration) = Subject::of(doors);
        let mut findings = configuration;
        findings.push(checks::keychain(doors, &subject));
        findings.extend(checks::vault(doors, &subject));
        findings.extend(checks::agent(doors.env));
        findings.extend(checks::aws(doors.env));
        findings.push(browser::check(doors.env));
        findings.extend(checks::network(doors, &subject));
        let left_out = if self.full { Vec::new() } else { Redactor::new(doors.env, &subject).apply(&mut findings) };
        print(doors, &findings, &left_out)?;
        let failed: Vec<&Finding> = findings.iter().filter(|finding| finding.status == Status::Failed).collect();
        match failed.first() {
            Some(first) => Err(Unwell { failed: failed.len(), checks: findings.len(), code: first.code }.into()),
            None => Ok(()),
        }
    }
}

fn print(doors: &Doors<'_>, findings: &[Finding], left_out: &[&'static str]) -> Result<()> {
    if doors.flags.json || doors.flags.output == Some(crate::config::Output::Json) {
        let healthy = findings.iter().all(|finding| finding.status != Status::Failed);
        return doors.ui.answer_json(&Report { healthy, checks: findings, left_out });
    }
    for line in findings.iter().flat_map(Finding::lines) {
        doors.ui.answer(&line)?;
    }
    if !left_out.is_empty() {
        doors.ui.note(&format!("left out: {} (`--full` shows them)", left_out.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
