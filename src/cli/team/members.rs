//! `lanyard members …`: who is in the organization on the server.

use serde_json::{Value, json};

use super::{Team, What, day, path_of, text};
use crate::cli::{Doors, active};
use crate::error::Result;
use crate::http::Method;
use crate::secret::Secret;

/// See, invite and manage the members of the organization on a lanyard server
#[derive(clap::Subcommand, Debug)]
pub(in crate::cli) enum Command {
    /// List the members and what they are
    ///
    /// With --json: an array of objects with id, login, role and since.
    #[command(after_help = "Example:\n  lanyard members list")]
    List,
    /// Make a link that makes somebody a member
    ///
    /// The link is printed once; nothing is sent. It is good for seven days, once, and for the one of this login or address
    /// alone: they choose a passphrase, sign in as the one they are here, or come by an issuer that has verified the
    /// address. Nobody makes a member who may do more than they may themselves.
    /// With --json: an object with id, role, for, note, created, expires and link.
    #[command(
        after_help = "Example:\n  lanyard members invite bob@example.com --role member --note \"Bob of the web team\""
    )]
    Invite {
        /// The login or the e-mail address of the one whom it is for
        #[arg(value_name = "LOGIN")]
        whom: String,
        /// What they become
        #[arg(long, value_name = "ROLE", default_value = "member", value_parser = ["owner", "admin", "member", "reader"])]
        role: String,
        /// What to know it again by; shown in the list of invitations
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
    },
    /// List the invitations that may still be accepted
    ///
    /// With --json: an array of objects with id, role, for, note, inviter, created and expires.
    #[command(after_help = "Example:\n  lanyard members invitations")]
    Invitations,
    /// Withdraw an invitation
    #[command(after_help = "Example:\n  lanyard members withdraw 4fX2mPq81LwVzt0K")]
    Withdraw {
        /// The invitation, as the list shows it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Change what a member is; it counts at once, for the tokens that they have, too
    #[command(after_help = "Example:\n  lanyard members role bob@example.com reader")]
    Role {
        /// The member
        #[arg(value_name = "LOGIN")]
        login: String,
        /// What they become
        #[arg(value_name = "ROLE", value_parser = ["owner", "admin", "member", "reader"])]
        role: String,
    },
    /// Remove a member; their tokens and API keys end at once
    #[command(after_help = "Example:\n  lanyard members remove bob@example.com --yes")]
    Remove {
        /// The member
        #[arg(value_name = "LOGIN")]
        login: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Leave the organization; your own tokens and API keys in it end at once
    ///
    /// What you stored stays in it. Its last owner makes somebody else an owner first. An API key leaves nothing: sign in.
    #[command(after_help = "Example:\n  lanyard members leave --yes")]
    Leave {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// The members, by login.
pub(super) const MEMBERS: What =
    What { word: "member", path: "/members", list: "lanyard members list", named: |item| text(item, "login") };
const INVITATIONS: What = What {
    word: "invitation",
    path: "/invitations",
    list: "lanyard members invitations",
    named: |item| text(item, "id"),
};

impl Command {
    /// Runs the command.
    pub(in crate::cli) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let team = Team::new(doors, &config, &profile)?;
        match self {
            Self::List => list(&team),
            Self::Invite { whom, role, note } => invite(&team, &whom, &role, &note),
            Self::Invitations => invitations(&team),
            Self::Withdraw { id } => {
                let invitation = team.find(INVITATIONS, &id)?;
                team.call(&Method::DELETE, &path_of(INVITATIONS, &invitation), None)?;
                doors.ui.done("Withdrew the invitation");
                Ok(())
            }
            Self::Role { login, role } => {
                let member = team.find(MEMBERS, &login)?;
                team.call(&Method::PATCH, &path_of(MEMBERS, &member), Some(json!({ "role": role })))?;
                doors.ui.done(&format!("{login} is {role} now"));
                Ok(())
            }
            Self::Leave { yes } => leave(&team, yes),
            Self::Remove { login, yes } => {
                let member = team.find(MEMBERS, &login)?;
                let asked = format!("Remove {login} from the organization?");
                team.delete(MEMBERS, &member, yes, (&asked, &format!("Removed {login}")))
            }
        }
    }
}

fn list(team: &Team<'_>) -> Result<()> {
    let none = ("No members", "");
    team.show(&team.all(MEMBERS.path)?, none, ["login", "role", "since"], |member| {
        [text(member, "login"), text(member, "role"), day(member, "since")]
    })
}

fn leave(team: &Team<'_>, yes: bool) -> Result<()> {
    let me = team.call(&Method::GET, "/userinfo", None)?;
    let name = me.get("organization").map(|organization| text(organization, "name")).unwrap_or_default();
    if team.is_wanted(&format!("Leave {name}? You come back by an invitation alone"), yes)? {
        team.call(&Method::POST, "/members/leave", None)?;
        team.doors.ui.done(&format!("You have left {name}"));
        team.doors.ui.note("To work in another organization of the server, sign in again: lanyard auth login");
    }
    Ok(())
}

fn invite(team: &Team<'_>, whom: &str, role: &str, note: &str) -> Result<()> {
    let wanted = json!({ "role": role, "for": whom, "note": note });
    let mut made = team.call(&Method::POST, INVITATIONS.path, Some(wanted))?;
    if team.wants_json() {
        return team.doors.ui.answer_json(&made);
    }
    let ui = team.doors.ui;
    let expires = day(&made, "expires");
    let link = match made.get_mut("link").map(Value::take) {
        Some(Value::String(link)) => Secret::new(link),
        _ => Secret::new(String::new()),
    };
    ui.answer_secret("", &link)?;
    ui.note(&format!("Shown once: send it to {whom}. It is good until {expires} and makes them {role}"));
    Ok(())
}

fn invitations(team: &Team<'_>) -> Result<()> {
    let heading = ["id", "for", "role", "note", "invited by", "expires"];
    team.show(&team.all(INVITATIONS.path)?, ("No invitation is open", ""), heading, |one| {
        [
            text(one, "id"),
            text(one, "for"),
            text(one, "role"),
            text(one, "note"),
            text(one, "inviter"),
            day(one, "expires"),
        ]
    })
}
