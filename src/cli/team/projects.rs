//! `lanyard projects …`: the projects that a lanyard server keeps. Which of them commands work on is chosen with
//! `lanyard project use`.

use serde_json::{Value, json};

use super::members::MEMBERS;
use super::{Team, What, day, path_of, text};
use crate::cli::{Doors, active};
use crate::error::Result;
use crate::http::Method;

/// Make and manage the projects on a lanyard server (to choose one to work on: lanyard project)
#[derive(clap::Subcommand, Debug)]
pub(in crate::cli) enum Command {
    /// List the projects of the organization
    ///
    /// With --json: an array of objects with id, name and created.
    #[command(after_help = "Example:\n  lanyard projects list")]
    List,
    /// Make a project
    #[command(after_help = "Example:\n  lanyard projects create web-shop")]
    Create {
        /// Its name: letters, digits and . _ -
        #[arg(value_name = "NAME", value_parser = crate::cli::ui::name)]
        name: String,
    },
    /// Give a project another name; the credentials in it stay in it
    #[command(after_help = "Example:\n  lanyard projects rename web-shop shop")]
    Rename {
        /// The project
        #[arg(value_name = "NAME")]
        name: String,
        /// Its new name
        #[arg(value_name = "NEW", value_parser = crate::cli::ui::name)]
        new: String,
    },
    /// Delete a project; refused while credentials or workspaces are in it
    #[command(after_help = "Example:\n  lanyard projects delete web-shop --yes")]
    Delete {
        /// The project
        #[arg(value_name = "NAME")]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List who is more in a project than in the organization
    ///
    /// With --json: an array of objects with id, login and role.
    #[command(after_help = "Example:\n  lanyard projects members web-shop")]
    Members {
        /// The project
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Say what a member is in a project, beyond what they are in the organization
    ///
    /// A member of a project works with its credentials and workspaces; an admin also renames it and says who works in
    /// it. Whoever is a reader of the organization sees every project, and changes those alone in which they are more.
    #[command(after_help = "Example:\n  lanyard projects role web-shop bob@example.com member")]
    Role {
        /// The project
        #[arg(value_name = "NAME")]
        name: String,
        /// The member
        #[arg(value_name = "LOGIN")]
        login: String,
        /// What they become in it; none takes it back
        #[arg(value_name = "ROLE", value_parser = ["admin", "member", "none"])]
        role: String,
    },
}

const PROJECTS: What =
    What { word: "project", path: "/projects", list: "lanyard projects list", named: |item| text(item, "name") };

impl Command {
    /// Runs the command.
    pub(in crate::cli) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let team = Team::new(doors, &config, &profile)?;
        match self {
            Self::List => list(&team),
            Self::Create { name } => {
                team.call(&Method::POST, PROJECTS.path, Some(json!({ "name": name })))?;
                doors.ui.done(&format!("Made project {name}"));
                doors.ui.note(&format!("Work on it: lanyard project use {name} --no-verify"));
                Ok(())
            }
            Self::Rename { name, new } => {
                let project = team.find(PROJECTS, &name)?;
                team.call(&Method::PATCH, &path_of(PROJECTS, &project), Some(json!({ "name": new })))?;
                doors.ui.done(&format!("Renamed {name} to {new}"));
                Ok(())
            }
            Self::Delete { name, yes } => {
                let project = team.find(PROJECTS, &name)?;
                let (asked, done) = (format!("Delete project {name}?"), format!("Deleted project {name}"));
                team.delete(PROJECTS, &project, yes, (&asked, &done))
            }
            Self::Members { name } => members(&team, &name),
            Self::Role { name, login, role } => {
                let path = format!("{}/members", path_of(PROJECTS, &team.find(PROJECTS, &name)?));
                let member = team.find(MEMBERS, &login)?;
                let given = Some(&role).filter(|role| *role != "none");
                team.call(&Method::PATCH, &path, Some(json!({ "person": member["id"], "role": given })))?;
                match given {
                    Some(role) => doors.ui.done(&format!("{login} is {role} in {name} now")),
                    None => doors.ui.done(&format!("{login} is in {name} what they are in the organization")),
                }
                Ok(())
            }
        }
    }
}

fn list(team: &Team<'_>) -> Result<()> {
    let none = ("No projects yet", "Make one: lanyard projects create NAME");
    let row = |project: &Value| [text(project, "name"), day(project, "created")];
    team.show(&team.all(PROJECTS.path)?, none, ["name", "created"], row)
}

fn members(team: &Team<'_>, name: &str) -> Result<()> {
    let path = format!("{}/members", path_of(PROJECTS, &team.find(PROJECTS, name)?));
    let none = format!("Everybody is in {name} what they are in the organization");
    let row = |member: &Value| [text(member, "login"), text(member, "role")];
    team.show(&team.all(&path)?, (&none, ""), ["login", "role"], row)
}
