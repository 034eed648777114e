//! `lanyard credentials push` and `pull`: copies between the vault of this machine and that of a lanyard server.

use super::named::{self, typed};
use crate::cli::{Doors, active, vault_door};
use crate::config::Profile;
use crate::credential::{Fields, Metadata};
use crate::error::{Code, Failure, Result};
use crate::vault::{New, Vault};

/// What both take.
#[derive(clap::Args, Debug)]
struct Which {
    /// The credentials
    #[arg(value_name = "NAME", required_unless_present = "all")]
    names: Vec<String>,
    /// All that there are
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Replace those of the same name that differ
    #[arg(long)]
    replace: bool,
    /// Only tell what would be copied
    #[arg(long)]
    dry_run: bool,
}

/// Copy credentials from the vault of this machine to the server of the profile
///
/// A credential keeps its name, project, tags, note and expiry; the project must be there already. What is on this
/// machine stays. With --json: an array of objects with name and outcome: copied, same, differs.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  lanyard credentials push aws-prod --profile team\n  \
lanyard credentials push --all --dry-run")]
pub(crate) struct Push {
    #[command(flatten)]
    which: Which,
}

/// Copy credentials from the server of the profile to the vault of this machine
///
/// A credential keeps its name, project, tags, note and expiry. What is on the server stays, and the server notes that
/// its secrets were read. With --json: an array of objects with name and outcome: copied, same, differs.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  lanyard credentials pull aws-prod --profile team")]
pub(crate) struct Pull {
    #[command(flatten)]
    which: Which,
}

impl Push {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        copy(doors, &self.which, true)
    }
}

impl Pull {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        copy(doors, &self.which, false)
    }
}

/// Some were left alone.
#[derive(Debug, thiserror::Error)]
#[error("there are others of the same name, which differ: {}", .0.join(", "))]
struct Differ(Vec<String>);

impl Failure for Differ {
    fn code(&self) -> Code {
        Code::Failed
    }

    fn mend(&self) -> Option<String> {
        Some("replace them with `--replace`, or rename one of the two: `lanyard credentials rename`".into())
    }
}

fn copy(doors: &Doors<'_>, which: &Which, up: bool) -> Result<()> {
    let (config, profile) = active::active(doors)?;
    let clock = || doors.env.now();
    let here = vault_door::local(doors, &profile, &clock);
    let there = vault_door::server(doors, &config, &profile)?;
    let (from, to): (&dyn Vault, &dyn Vault) = if up { (&here, &there) } else { (&there, &here) };
    let (mut told, mut differ) = (Vec::new(), Vec::new());
    for metadata in wanted(from, &profile, which)? {
        let name = typed(&metadata);
        let outcome = one(from, to, &metadata, which)?;
        if outcome == "differs" {
            differ.push(name.clone());
        }
        if !active::output_json(&profile) {
            doors.ui.done(&line(&name, outcome, which.dry_run, up));
        }
        told.push(serde_json::json!({ "name": name, "outcome": outcome }));
    }
    if active::output_json(&profile) {
        doors.ui.answer_json(&told)?;
    }
    if differ.is_empty() || which.dry_run { Ok(()) } else { Err(Differ(differ).into()) }
}

/// The credentials that are meant; what others are used through comes first.
fn wanted(from: &dyn Vault, profile: &Profile, which: &Which) -> Result<Vec<Metadata>> {
    let mut all = if which.all {
        from.list()?
    } else {
        which.names.iter().map(|name| named::find(from, profile, name)).collect::<Result<_>>()?
    };
    all.sort_by_key(|metadata| metadata.fields.contains_key("source"));
    Ok(all)
}

/// Copies one; what came of it, in a word.
fn one(from: &dyn Vault, to: &dyn Vault, metadata: &Metadata, which: &Which) -> Result<&'static str> {
    let present = to.find(&metadata.scope, &metadata.name)?;
    let mut secrets = None;
    if let Some(present) = &present {
        let is_same_kind = (present.kind.id, &present.fields) == (metadata.kind.id, &metadata.fields)
            && present.secret_names == metadata.secret_names;
        let read = from.open(metadata)?.secrets;
        if is_same_kind && to.open(present)?.secrets == read {
            return Ok("same");
        }
        if !which.replace {
            return Ok("differs");
        }
        secrets = Some(read);
    }
    if which.dry_run {
        return Ok("copied");
    }
    let secrets = match secrets {
        Some(secrets) => secrets,
        None => from.open(metadata)?.secrets,
    };
    to.put(New {
        name: metadata.name.clone(),
        scope: metadata.scope.clone(),
        fields: Fields { kind: metadata.kind, plain: metadata.fields.clone(), secrets },
        expires: metadata.expires,
        tags: metadata.tags.clone(),
        note: metadata.note.clone(),
        verdict: None,
        replaces: present,
        retiring: None,
    })?;
    Ok("copied")
}

fn line(name: &str, outcome: &str, dry_run: bool, up: bool) -> String {
    let to = if up { "the server" } else { "this machine" };
    match outcome {
        "same" => format!("{name} is on {to} already"),
        "differs" => format!("{name} is on {to} already, and differs"),
        _ if dry_run => format!("{name} would be copied to {to}"),
        _ => format!("Copied {name} to {to}"),
    }
}
