//! `lanyard setup`: tells the tools on this machine to ask lanyard.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::cli::{Doors, active, vault_door};
use crate::config::{Output, Profile};
use crate::credential::Metadata;
use crate::error::Result;
use crate::provider;
use crate::setup::{self, Done, Edit, Plan, SetupError, Site, TOOLS, Tool};
use crate::text::{clean, printable};
use crate::vault::usable;

/// Set a tool up so that it asks lanyard for its credentials
///
/// Shows what would change in the tool's own configuration, asks, keeps a backup, and has the tool confirm it. Without
/// a tool: what is on this machine, and what is set up.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  lanyard setup\n  lanyard setup git\n  lanyard setup docker --dry-run\n  \
lanyard setup git --undo")]
pub(crate) struct Args {
    /// The tool
    #[arg(value_name = "TOOL", value_parser = tools())]
    tool: Option<String>,
    /// Put the tool's configuration back as it was
    #[arg(long, requires = "tool", conflicts_with = "dry_run")]
    undo: bool,
    /// Show what would change, and change nothing
    #[arg(long, requires = "tool")]
    dry_run: bool,
    /// Set it up for this host as well; may be given several times
    #[arg(long, value_name = "HOST", requires = "tool")]
    host: Vec<String>,
    /// Set it up for this credential alone
    #[arg(long, value_name = "NAME", requires = "tool", add = clap_complete::ArgValueCandidates::new(crate::cli::completions::credentials))]
    credential: Option<String>,
    /// Do not ask
    #[arg(long, short = 'y')]
    yes: bool,
}

fn tools() -> clap::builder::PossibleValuesParser {
    use clap::builder::{PossibleValue, PossibleValuesParser};
    PossibleValuesParser::new(TOOLS.iter().map(|tool| PossibleValue::new(tool.name()).help(tool.title())))
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let clock = || doors.env.now();
        let vault = vault_door::of(doors, &config, &profile, &clock)?;
        let vault = &*vault;
        let credentials = vault.list()?;
        let net = vault_door::net(doors);
        let exported = |metadata: &Metadata, format: &str| {
            let (credential, issued) =
                usable::usable(vault, metadata, &net).map_err(|failure| SetupError::Closed(Box::new(failure)))?;
            Ok(provider::of(metadata).and_then(|provider| provider.file(format, &credential, &issued)))
        };
        let site = Site {
            exported: &exported,
            env: doors.env,
            program: &setup::program(doors.env),
            credentials: &credentials,
            hosts: &self.host,
            credential: self.credential.as_deref(),
        };
        let Some(tool) = self.tool.as_deref().and_then(setup::by_name) else {
            return list(doors, &site, &profile);
        };
        if self.undo {
            return undo(doors, tool);
        }
        let plan = tool.plan(&site)?;
        self.change(doors, tool, &plan, &site)
    }

    fn change(&self, doors: &Doors<'_>, tool: &dyn Tool, plan: &Plan, site: &Site<'_>) -> Result<()> {
        for note in &plan.notes {
            doors.ui.note(note);
        }
        let due: Vec<&Edit> = plan.edits.iter().filter(|edit| edit.is_due()).collect();
        if due.is_empty() {
            doors.ui.done(&format!("{} is set up already", tool.name()));
            return confirm(doors, tool, site);
        }
        for edit in &due {
            show(doors, edit);
        }
        if self.dry_run {
            return Ok(());
        }
        if !self.yes && !doors.ui.confirm(&format!("Change this for {}?", tool.name()), true, "--yes")? {
            return Ok(());
        }
        for (path, done) in setup::apply(doors.env, tool, plan)? {
            if done == Done::Changed {
                doors.ui.done(&format!("{} is changed", path.display()));
            }
        }
        if !site.has(tool) {
            doors.ui.note(&format!("{} is not on this machine yet", tool.name()));
            return Ok(());
        }
        confirm(doors, tool, site)
    }
}

/// Has the tool itself say that it asks lanyard.
fn confirm(doors: &Doors<'_>, tool: &dyn Tool, site: &Site<'_>) -> Result<()> {
    if let Some(told) = tool.check(site)? {
        doors.ui.done(&clean(&told));
    }
    Ok(())
}

fn undo(doors: &Doors<'_>, tool: &dyn Tool) -> Result<()> {
    let undone = setup::undo(doors.env, tool)?;
    if undone.is_empty() {
        doors.ui.say(&format!("{} was not set up here", tool.name()));
    }
    for (path, done) in undone {
        let path = path.display();
        doors.ui.done(&match done {
            Done::Restored => format!("{path} is as it was before"),
            Done::TakenOut => format!("{path} lost lanyard's part, and keeps what was changed since"),
            Done::Removed => format!("{path} is removed"),
            Done::Already | Done::Changed => format!("{path} has nothing of lanyard's"),
        });
    }
    Ok(())
}

/// Shows a change: the lines that go and the lines that come. What goes may hold a secret, so its values are hidden.
fn show(doors: &Doors<'_>, edit: &Edit) {
    match edit {
        Edit::File { path, before, after } => {
            let before: Vec<&str> = before.as_deref().unwrap_or_default().lines().collect();
            let after: Vec<&str> = after.lines().collect();
            let same = before.iter().zip(&after).take_while(|(old, new)| old == new).count();
            let longest = before.len().min(after.len()) - same;
            let same_end =
                before.iter().rev().zip(after.iter().rev()).take(longest).take_while(|(old, new)| old == new).count();
            doors.ui.say(&format!("{}:", path.display()));
            for line in before.get(same..before.len() - same_end).unwrap_or_default() {
                doors.ui.say(&format!("  - {}", hidden(line)));
            }
            // A tool that writes its whole file anew moves lines about, and what was in them is not ours to show either.
            let theirs: BTreeSet<&str> = before.iter().map(|line| line.trim()).collect();
            for line in after.get(same..after.len() - same_end).unwrap_or_default() {
                let moved = theirs.contains(line.trim());
                let line = if moved { hidden(line) } else { printable(&line.replace('\t', "    ")) };
                doors.ui.say(&format!("  + {line}"));
            }
        }
        Edit::Link { path, to } => doors.ui.say(&format!("{} -> {}", path.display(), to.display())),
    }
}

/// A line of somebody's file with its value hidden.
fn hidden(line: &str) -> String {
    match line.find(['=', ':']) {
        Some(at) if line.len() > at + 1 => format!("{} ****", clean(line.get(..=at).unwrap_or_default())),
        _ => clean(line),
    }
}

/// A tool as JSON.
#[derive(Serialize)]
struct Told {
    tool: &'static str,
    title: &'static str,
    found: bool,
    set_up: bool,
    plain_text: Vec<String>,
}

/// The tools of this machine: which are set up, and what need not lie around for them.
fn list(doors: &Doors<'_>, site: &Site<'_>, profile: &Profile) -> Result<()> {
    let mut rows = Vec::new();
    for tool in TOOLS {
        let left_over = setup::left_over(doors.env, *tool);
        rows.push((*tool, site.has(*tool), setup::is_set_up(doors.env, *tool)?, left_over));
    }
    if profile.output.value == Output::Json {
        let told: Vec<Told> = rows
            .into_iter()
            .map(|(tool, found, set_up, left)| Told {
                tool: tool.name(),
                title: tool.title(),
                found,
                set_up,
                plain_text: left.into_iter().map(|left| left.place).collect(),
            })
            .collect();
        return doors.ui.answer_json(&told);
    }
    let word = |yes: bool| if yes { "yes" } else { "-" }.to_owned();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|(tool, found, set_up, left)| {
            let left = if left.is_empty() { "-".to_owned() } else { left.len().to_string() };
            vec![tool.name().to_owned(), tool.title().to_owned(), word(*found), word(*set_up), left]
        })
        .collect();
    doors.ui.table(&["tool", "what it gets", "found", "set up", "in plain text"], &cells)?;
    for (tool, _, set_up, left) in &rows {
        let mut files: Vec<String> = left.iter().map(|left| left.path.display().to_string()).collect();
        files.dedup();
        for file in files {
            let first = if *set_up { String::new() } else { format!("lanyard setup {}, then ", tool.name()) };
            doors.ui.note(&format!(
                "{} reads {file}: {first}lanyard credentials scan {file} --import --remove-original",
                tool.name()
            ));
        }
    }
    Ok(())
}
