//! `lanyard credentials test`: asks every provider, all at once, whether its credential is good.

use std::time::Instant;

use serde::Serialize;

use super::named::{self, typed};
use crate::auth::session::timestamp;
use crate::cli::{Doors, active, vault_door};
use crate::config::Profile;
use crate::credential::Metadata;
use crate::error::{Code, Failure, Result};
use crate::provider::{Outcome, Verdict};
use crate::text::clean;
use crate::vault::{Vault, VaultError, verify};

/// Ask the providers whether the credentials work
///
/// All are asked at the same time; those about which nobody can be asked are skipped. Exits with 8 if any fails.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  lanyard credentials test\n  lanyard credentials test aws github.com --json")]
pub(crate) struct Args {
    /// Credentials, or providers for all of theirs; without any, all
    #[arg(value_name = "NAME|PROVIDER", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    names: Vec<String>,
}

/// One verdict as JSON shows it. The names are part of the interface.
#[derive(Serialize)]
struct Tested<'v> {
    name: String,
    kind: &'static str,
    provider: &'v str,
    passed: bool,
    /// Whether nobody could be asked, so that it neither passed nor failed.
    skipped: bool,
    outcome: &'static str,
    identity: Option<&'v str>,
    error: Option<&'v str>,
    reason: Option<&'v str>,
    next: Option<&'v str>,
    expires_at: Option<String>,
    scopes: &'v [String],
}

/// Not all passed.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {tested} did not pass")]
struct NotAllPassed {
    failed: usize,
    tested: usize,
}

impl Failure for NotAllPassed {
    fn code(&self) -> Code {
        Code::Invalid
    }

    fn mend(&self) -> Option<String> {
        Some("see the line of each; `lanyard credentials update NAME` puts in a new value".into())
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let chosen = self.chosen(vault, &profile)?;
        let json = active::output_json(&profile);
        if chosen.is_empty() && !json {
            doors.ui.say("No credentials yet: lanyard credentials store --help");
            return Ok(());
        }
        let (started, mut done) = (Instant::now(), 0);
        let ui = doors.ui;
        let mut told = |_: usize, _: &Verdict| {
            done += 1;
            ui.progress("testing", done, chosen.len());
        };
        let verdicts = verify::all(vault, &chosen, &vault_door::net(doors), &mut told);
        ui.end_countdown();
        let verdicts = verdicts?;
        let failed = verdicts.iter().filter(|verdict| !verdict.outcome.passes()).count();
        let skipped = verdicts.iter().filter(|verdict| is_skipped(verdict)).count();
        if json {
            let tested: Vec<Tested<'_>> =
                chosen.iter().zip(&verdicts).map(|(of, verdict)| tested(of, verdict)).collect();
            ui.answer_json(&tested)?;
        } else {
            let width = chosen.iter().map(|metadata| typed(metadata).chars().count()).max().unwrap_or_default();
            for (metadata, verdict) in chosen.iter().zip(&verdicts) {
                ui.answer(&format!("{:width$}  {}", clean(&typed(metadata)), sentence(verdict)))?;
            }
            let passed = chosen.len() - failed - skipped;
            let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
            let seconds = started.elapsed().as_secs_f64();
            ui.note(&format!("{passed} passed, {failed} failed{skipped}, in {seconds:.1} s"));
        }
        if failed == 0 { Ok(()) } else { Err(NotAllPassed { failed, tested: chosen.len() }.into()) }
    }

    /// The credentials meant: by name first, else all of a provider's or a service's.
    fn chosen(&self, vault: &dyn Vault, profile: &Profile) -> Result<Vec<Metadata>, VaultError> {
        let all = vault.list()?;
        if self.names.is_empty() {
            return Ok(all);
        }
        let mut chosen: Vec<Metadata> = Vec::new();
        let project = profile.project.as_ref().map(|project| project.value.as_str());
        for name in &self.names {
            let named = |of: &Metadata| {
                typed(of) == *name || (of.name == *name && of.scope.project() == project && project.is_some())
            };
            let of_provider = |of: &Metadata| of.kind.provider == name || of.service() == name;
            let by = |wanted: &dyn Fn(&Metadata) -> bool| -> Vec<Metadata> {
                all.iter().filter(|metadata| wanted(metadata)).cloned().collect()
            };
            let found = Some(by(&named)).filter(|found| !found.is_empty()).unwrap_or_else(|| by(&of_provider));
            if found.is_empty() {
                return Err(named::unknown(name, &all));
            }
            for metadata in found {
                if !chosen.iter().any(|known| known.id == metadata.id) {
                    chosen.push(metadata);
                }
            }
        }
        Ok(chosen)
    }
}

fn tested<'v>(metadata: &'v Metadata, verdict: &'v Verdict) -> Tested<'v> {
    Tested {
        name: typed(metadata),
        kind: metadata.kind.id,
        provider: metadata.service(),
        passed: verdict.outcome.passes() && !is_skipped(verdict),
        skipped: is_skipped(verdict),
        outcome: verdict.outcome.word(),
        identity: verdict.identity.as_deref(),
        error: verdict.error.as_deref(),
        reason: verdict.reason.as_deref(),
        next: verdict.next.as_deref(),
        expires_at: verdict.expires.map(timestamp),
        scopes: &verdict.scopes,
    }
}

/// Whether nobody could be asked.
fn is_skipped(verdict: &Verdict) -> bool {
    verdict.outcome == Outcome::CannotBeAsked
}

/// `PASSED: Account 123456789012`, `SKIPPED: why`, or `FAILED: why, next step`.
pub(crate) fn sentence(verdict: &Verdict) -> String {
    let parts = |first: Option<&String>, second: Option<&String>| {
        [first, second].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    match verdict.outcome {
        Outcome::Valid => format!("PASSED: {}", verdict.identity.as_deref().unwrap_or("it works")),
        Outcome::Insufficient => format!("PASSED: {}", parts(verdict.reason.as_ref(), verdict.next.as_ref())),
        Outcome::CannotBeAsked => format!("SKIPPED: {}", verdict.reason.as_deref().unwrap_or("not asked")),
        _ => format!("FAILED: {}", parts(verdict.reason.as_ref(), verdict.next.as_ref())),
    }
}
