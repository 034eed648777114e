//! `lanyard credentials scan`: what lies around on this machine, and the way of it into the vault.

use std::path::PathBuf;
use std::time::Instant;

use crate::cli::{Doors, active, vault_door};
use crate::error::{Code, Failure, Result};
use crate::provider::{PROVIDERS, Provider};
use crate::scan::{self, Scan, Wanted};
use crate::vault::{Vault, VaultError};

mod import;
mod show;

use import::{Fate, Import};
use show::Shown;

/// Find the credentials that lie on this machine
///
/// Looks where the official tools keep theirs, in the environment, and in every text file below the home folder; with
/// PATH, below those paths alone. Nothing is sent anywhere without --verify or --import, and no secret is shown.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  lanyard credentials scan --verify\n  lanyard credentials scan --import --remove-original\n  \
lanyard credentials scan . --fail-on-found"
)]
pub(crate) struct Args {
    /// Files and folders to look through, instead of the whole machine
    #[arg(value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    paths: Vec<PathBuf>,
    /// Ask the providers which of them are alive
    #[arg(long, conflicts_with = "no_verify")]
    verify: bool,
    /// Only those of this kind or provider
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Look into what ignore files name as well
    #[arg(long)]
    no_ignore: bool,
    /// Put those that are complete into the vault
    #[arg(long)]
    import: bool,
    /// Import without asking the providers first
    #[arg(long, requires = "import")]
    no_verify: bool,
    /// Take each out of the place it lies in, once the vault holds it
    #[arg(long, requires = "import")]
    remove_original: bool,
    /// Import without a question
    #[arg(long, requires = "import")]
    yes: bool,
    /// Exit with 8 if any lies in plain text
    #[arg(long)]
    fail_on_found: bool,
}

/// Why the command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
enum ScanFailure {
    /// There is no such place.
    #[error("there is no {0}")]
    NoPlace(String),
    /// Nothing is of that kind.
    #[error("there is no kind or provider {0}")]
    NoKind(String),
    /// Some lie in plain text, which the user wants to be a failure.
    #[error("{found} {} in plain text", if *.found == 1 { "credential lies" } else { "credentials lie" })]
    Found { found: usize },
    /// The person said no.
    #[error("nothing was imported")]
    Declined,
}

impl Failure for ScanFailure {
    fn code(&self) -> Code {
        match self {
            Self::NoPlace(_) | Self::NoKind(_) => Code::Usage,
            Self::Found { .. } => Code::Invalid,
            Self::Declined => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::NoPlace(_) => "name a file or a folder that is there".into(),
            Self::NoKind(_) => "`lanyard credentials store --help` lists the providers".into(),
            Self::Found { .. } => "replace each at its provider, and take it out of the file".into(),
            Self::Declined => "`lanyard credentials scan --kind KIND --import` imports those of one kind".into(),
        })
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let started = Instant::now();
        let mut found = self.look(doors)?;
        if self.verify || (self.import && !self.no_verify) {
            let mut told = |done, of| doors.ui.progress("asking the providers", done, of);
            scan::verify(&mut found.findings, &vault_door::net(doors), &mut told);
            doors.ui.end_countdown();
        }
        let took = started.elapsed();
        let json = active::output_json(&profile);
        let (fates, broken) = if self.import {
            self.confirm(doors, vault, &found, json)?;
            self.import(doors, vault, &found)
        } else {
            (known_to(vault, &found)?, None)
        };
        let shown = Shown { doors, found: &found, fates: &fates, took, is_verified: self.verify || self.import };
        if json {
            shown.json()?;
            shown.problems();
        } else {
            shown.table()?;
        }
        if let Some(failure) = broken {
            return Err(failure.into());
        }
        let in_plain = found.findings.iter().zip(&fates).filter(|(finding, fate)| {
            finding.spots.iter().enumerate().any(|(at, spot)| spot.plain_text && !fate.is_removed(at))
        });
        match in_plain.count() {
            left if self.fail_on_found && left > 0 => Err(ScanFailure::Found { found: left }.into()),
            _ => Ok(()),
        }
    }

    fn look(&self, doors: &Doors<'_>) -> Result<Scan> {
        let mut folders = Vec::new();
        for path in &self.paths {
            let path = doors.env.working_dir().join(path);
            let found = path.canonicalize();
            folders.push(found.map_err(|_| ScanFailure::NoPlace(path.display().to_string()))?);
        }
        let providers: Vec<&'static dyn Provider> = PROVIDERS.to_vec();
        let wanted = Wanted {
            providers: &providers,
            folders: &folders,
            asks_tools: folders.is_empty(),
            honours_ignore: !self.no_ignore,
        };
        let same = |one: &str, other: &str| one.replace('-', "_") == other.replace('-', "_");
        if let Some(kind) = &self.kind {
            let is_known = |provider: &&'static dyn Provider| {
                same(provider.name(), kind) || provider.kinds().iter().any(|known| same(known.id, kind))
            };
            if !providers.iter().any(is_known) {
                return Err(ScanFailure::NoKind(kind.clone()).into());
            }
        }
        let mut told = |files| doors.ui.working(&format!("looking around ({files} files read)"));
        let mut found = scan::scan(&wanted, doors.env, doors.env.now(), &mut told);
        doors.ui.end_countdown();
        if let Some(kind) = &self.kind {
            found.findings.retain(|finding| same(finding.kind.id, kind) || same(finding.kind.provider, kind));
            found.problems.retain(|problem| same(problem.provider, kind) || kind.starts_with(problem.provider));
        }
        Ok(found)
    }

    /// Asks whether what was found shall be imported, unless the flags say so.
    fn confirm(&self, doors: &Doors<'_>, vault: &dyn Vault, found: &Scan, json: bool) -> Result<()> {
        let now = doors.env.now();
        let count = found.findings.iter().filter(|finding| import::is_wanted(finding, now)).count();
        if count == 0 || self.yes {
            return Ok(());
        }
        let what = if count == 1 { "1 credential".to_owned() } else { format!("{count} credentials") };
        let then = if self.remove_original { ", and remove the originals" } else { "" };
        if doors.ui.is_interactive() && !json {
            let fates = known_to(vault, found)?;
            let took = std::time::Duration::ZERO;
            Shown { doors, found, fates: &fates, took, is_verified: !self.no_verify }.rows()?;
        }
        if doors.ui.confirm(&format!("Put {what} into the vault{then}?"), true, "--yes")? {
            return Ok(());
        }
        Err(ScanFailure::Declined.into())
    }

    /// Imports one after the other. A vault that fails ends it, and what was done by then is told all the same.
    fn import(&self, doors: &Doors<'_>, vault: &dyn Vault, found: &Scan) -> (Vec<Fate>, Option<VaultError>) {
        let import = Import { vault, removes: self.remove_original, now: doors.env.now() };
        let (mut fates, mut broken) = (Vec::new(), None);
        for (at, finding) in found.findings.iter().enumerate() {
            doors.ui.progress("importing", at + 1, found.findings.len());
            match import.one(finding) {
                Ok(fate) => fates.push(fate),
                Err(failure) => {
                    broken = Some(failure);
                    break;
                }
            }
        }
        doors.ui.end_countdown();
        fates.resize_with(found.findings.len(), Fate::not_tried);
        (fates, broken)
    }
}

/// Which of them the vault holds, as far as their public halves tell: nothing is opened for it.
fn known_to(vault: &dyn Vault, found: &Scan) -> Result<Vec<Fate>, VaultError> {
    let held = vault.list()?;
    Ok(found.findings.iter().map(|finding| import::known(finding, &held)).collect())
}
