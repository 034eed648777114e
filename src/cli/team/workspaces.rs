//! `lanyard workspaces …`: what works with a list of credentials on the server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Team, What, path_of, text};
use crate::cli::credentials::named::{self, typed};
use crate::cli::{Doors, active};
use crate::error::Result;
use crate::http::Method;
use crate::vault::Vault;

/// Make and manage workspaces on a lanyard server: lists of the credentials that work is done with
#[derive(clap::Subcommand, Debug)]
pub(in crate::cli) enum Command {
    /// List the workspaces with their credentials
    ///
    /// With --json: an array of objects with id, name, project, credential_config_ids and created.
    #[command(after_help = "Example:\n  lanyard workspaces list")]
    List,
    /// Make a workspace
    ///
    /// It works with credentials of the organization and, where it is of a project, of that project.
    #[command(after_help = "Example:\n  lanyard workspaces create deploy aws-prod registry")]
    Create {
        /// Its name: letters, digits and . _ -
        #[arg(value_name = "NAME", value_parser = crate::cli::ui::name)]
        name: String,
        /// The credentials that it works with
        #[arg(value_name = "CREDENTIAL")]
        credentials: Vec<String>,
        /// Make it as this project's
        #[arg(long, value_name = "NAME", value_parser = crate::cli::ui::name)]
        for_project: Option<String>,
    },
    /// Replace the whole list of a workspace's credentials
    #[command(after_help = "Examples:\n  lanyard workspaces set deploy aws-prod registry\n  \
lanyard workspaces set deploy --none")]
    Set {
        /// The workspace
        #[arg(value_name = "NAME")]
        name: String,
        /// The credentials that it works with from now on
        #[arg(value_name = "CREDENTIAL", required_unless_present = "none")]
        credentials: Vec<String>,
        /// It works with none
        #[arg(long, conflicts_with = "credentials")]
        none: bool,
    },
    /// Give a workspace another name
    #[command(after_help = "Example:\n  lanyard workspaces rename deploy release")]
    Rename {
        /// The workspace
        #[arg(value_name = "NAME")]
        name: String,
        /// Its new name
        #[arg(value_name = "NEW", value_parser = crate::cli::ui::name)]
        new: String,
    },
    /// Delete a workspace; its credentials stay
    #[command(after_help = "Example:\n  lanyard workspaces delete deploy --yes")]
    Delete {
        /// The workspace
        #[arg(value_name = "NAME")]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// The workspaces, by `NAME`, or `PROJECT/NAME` for one of a project.
const WORKSPACES: What = What {
    word: "workspace",
    path: "/workspaces",
    list: "lanyard workspaces list",
    named: |item| match item.get("project").and_then(Value::as_str) {
        Some(_) => format!("{}/{}", text(item, "project"), text(item, "name")),
        None => text(item, "name"),
    },
};

impl Command {
    /// Runs the command.
    pub(in crate::cli) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let team = Team::new(doors, &config, &profile)?;
        match self {
            Self::List => list(&team),
            Self::Create { name, credentials, for_project } => {
                let body = json!({
                    "name": name,
                    "project": for_project,
                    "credential_config_ids": identifiers(&team, &credentials)?,
                });
                let made = team.call(&Method::POST, WORKSPACES.path, Some(body))?;
                doors.ui.done(&format!("Made workspace {}", (WORKSPACES.named)(&made)));
                Ok(())
            }
            Self::Set { name, credentials, .. } => {
                let body = json!({ "credential_config_ids": identifiers(&team, &credentials)? });
                amend(&team, &name, body)?;
                doors.ui.done(&format!("{name} works with {} now", counted(credentials.len())));
                Ok(())
            }
            Self::Rename { name, new } => {
                amend(&team, &name, json!({ "name": new }))?;
                doors.ui.done(&format!("Renamed {name} to {new}"));
                Ok(())
            }
            Self::Delete { name, yes } => {
                let workspace = team.find_near(WORKSPACES, &name)?;
                let (asked, done) = (format!("Delete workspace {name}?"), format!("Deleted workspace {name}"));
                team.delete(WORKSPACES, &workspace, yes, (&asked, &done))
            }
        }
    }
}

fn amend(team: &Team<'_>, name: &str, body: Value) -> Result<()> {
    let workspace = team.find_near(WORKSPACES, name)?;
    team.call(&Method::PATCH, &path_of(WORKSPACES, &workspace), Some(body)).map(|_| ())
}

fn identifiers(team: &Team<'_>, names: &[String]) -> Result<Vec<String>> {
    names.iter().map(|name| Ok(named::find(&team.remote, team.profile, name)?.id)).collect()
}

fn counted(credentials: usize) -> String {
    if credentials == 1 { "1 credential".into() } else { format!("{credentials} credentials") }
}

fn list(team: &Team<'_>) -> Result<()> {
    let all = team.all(WORKSPACES.path)?;
    let mut names = BTreeMap::new();
    // Nobody is asked for names that are not shown.
    if !team.wants_json() && !all.is_empty() {
        team.remote.each(&mut |metadata| {
            names.insert(metadata.id.clone(), typed(&metadata));
        })?;
    }
    let none = ("No workspaces yet", "Make one: lanyard workspaces create NAME CREDENTIAL …");
    team.show(&all, none, ["name", "credentials"], |workspace| {
        let ids = workspace.get("credential_config_ids").and_then(Value::as_array);
        let known: Vec<&str> =
            ids.into_iter().flatten().filter_map(|id| names.get(id.as_str()?).map(String::as_str)).collect();
        [(WORKSPACES.named)(workspace), known.join(", ")]
    })
}
