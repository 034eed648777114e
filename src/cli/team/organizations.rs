//! `lanyard organizations …`: the organization that a profile is signed in to, and making another.

use serde_json::{Map, Value, json};

use super::{Team, day, text};
use crate::cli::{Doors, active};
use crate::error::{Code, Failure, Result};
use crate::http::{self, Method};

/// See, make, change and delete organizations on a lanyard server
#[derive(clap::Subcommand, Debug)]
pub(in crate::cli) enum Command {
    /// Show the organization that you are signed in to
    ///
    /// With --json: an object with id, name, created, key_days, keys_each and device_flow.
    #[command(after_help = "Example:\n  lanyard organizations show")]
    Show,
    /// Make another organization on the server, whose owner you are
    ///
    /// With --json: an object with id, name and role.
    #[command(after_help = "Example:\n  lanyard organizations create 'Acme Labs'")]
    Create {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Give the organization another name
    #[command(after_help = "Example:\n  lanyard organizations rename 'Acme Works'")]
    Rename {
        /// Its new name
        #[arg(value_name = "NEW")]
        new: String,
    },
    /// Bound what its members and their programs have
    #[command(
        after_help = "Examples:\n  lanyard organizations limit --key-days 90 --keys-each 5\n  lanyard organizations limit --devices no"
    )]
    Limit {
        /// How many days an API key lives at most; those that would live longer end by then as well
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=366))]
        key_days: Option<u16>,
        /// How many API keys a member has at most; 0 for any number
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(0..=1000))]
        keys_each: Option<u16>,
        /// Whether programs without a browser are let in, by a code that a person types
        #[arg(long, value_name = "YES/NO", value_parser = ["yes", "no"])]
        devices: Option<String>,
    },
    /// Delete the organization with all that is in it, for everybody
    ///
    /// Credentials, their secrets and keys, projects, members and tokens are gone at once, and nobody brings them back.
    #[command(after_help = "Example:\n  lanyard organizations delete 'Acme Labs'")]
    Delete {
        /// Its name, so that none is deleted that was not meant
        #[arg(value_name = "NAME")]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What is asked for cannot be done as it is asked.
#[derive(Debug, thiserror::Error)]
enum Unclear {
    #[error("nothing is to be limited")]
    NoLimit,
    #[error("you are signed in to the organization {there}, and not to {named}")]
    Another { there: String, named: String },
}

impl Failure for Unclear {
    fn code(&self) -> Code {
        Code::Usage
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::NoLimit => "give --key-days, --keys-each or --devices".into(),
            Self::Another { .. } => {
                "sign in to the other one (`lanyard auth login`), or choose a profile that is: `lanyard profile list`"
                    .into()
            }
        })
    }
}

impl Command {
    /// Runs the command.
    pub(in crate::cli) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let team = Team::new(doors, &config, &profile)?;
        match self {
            Self::Show => show(&team),
            Self::Create { name } => create(&team, &name),
            Self::Rename { new } => {
                let (path, organization) = own(&team)?;
                team.call(&Method::PATCH, &path, Some(json!({ "name": new })))?;
                doors.ui.done(&format!("Renamed {} to {new}", text(&organization, "name")));
                Ok(())
            }
            Self::Limit { key_days, keys_each, devices } => {
                let mut wanted = Map::new();
                wanted.extend(key_days.map(|days| ("key_days".to_owned(), json!(days))));
                wanted.extend(keys_each.map(|count| ("keys_each".to_owned(), json!(count))));
                wanted.extend(devices.map(|devices| ("device_flow".to_owned(), json!(devices == "yes"))));
                limit(&team, wanted)
            }
            Self::Delete { name, yes } => delete(&team, &name, yes),
        }
    }
}

/// The organization of the profile, and its path.
fn own(team: &Team<'_>) -> Result<(String, Value)> {
    let me = team.call(&Method::GET, "/userinfo", None)?;
    let organization = me.get("organization").cloned().unwrap_or_default();
    let id = organization.get("id").and_then(Value::as_str).unwrap_or_default();
    Ok((format!("/organizations/{}", http::segment(id)), organization))
}

fn show(team: &Team<'_>) -> Result<()> {
    let (path, _) = own(team)?;
    let organization = team.call(&Method::GET, &path, None)?;
    if team.wants_json() {
        return team.doors.ui.answer_json(&organization);
    }
    let line = |title: &str, value: &str| team.doors.ui.answer(&format!("{title}: {value}"));
    line("Name", &text(&organization, "name"))?;
    line("Id", &text(&organization, "id"))?;
    line("Created", &day(&organization, "created"))?;
    line("API keys", &bounds(&organization))?;
    line("Devices", devices(&organization))
}

/// What API keys may be, in words.
fn bounds(organization: &Value) -> String {
    let number = |name: &str| organization.get(name).and_then(Value::as_i64).unwrap_or_default();
    let days = number("key_days");
    match number("keys_each") {
        0 => format!("{days} days at most"),
        each => format!("{days} days at most, {each} for each member"),
    }
}

/// Whether programs without a browser are let in.
fn devices(organization: &Value) -> &'static str {
    let is_let_in = organization.get("device_flow").and_then(Value::as_bool).unwrap_or_default();
    if is_let_in { "let in" } else { "not let in" }
}

fn create(team: &Team<'_>, name: &str) -> Result<()> {
    let made = team.call(&Method::POST, "/organizations", Some(json!({ "name": name })))?;
    if team.wants_json() {
        return team.doors.ui.answer_json(&made);
    }
    team.doors.ui.done(&format!("Made organization {}", text(&made, "name")));
    team.doors.ui.note("To work in it, sign in again and choose it: lanyard auth login");
    Ok(())
}

fn limit(team: &Team<'_>, wanted: Map<String, Value>) -> Result<()> {
    if wanted.is_empty() {
        return Err(Unclear::NoLimit.into());
    }
    let (path, _) = own(team)?;
    let organization = team.call(&Method::PATCH, &path, Some(Value::Object(wanted)))?;
    let (keys, devices) = (bounds(&organization), devices(&organization));
    team.doors.ui.done(&format!("API keys live {keys}; devices are {devices}"));
    Ok(())
}

fn delete(team: &Team<'_>, name: &str, yes: bool) -> Result<()> {
    let (path, organization) = own(team)?;
    let there = text(&organization, "name");
    if there != name {
        return Err(Unclear::Another { there, named: name.to_owned() }.into());
    }
    let question = format!("Delete {there} with every credential, project and member in it? Nobody brings it back");
    if team.is_wanted(&question, yes)? {
        team.call(&Method::DELETE, &format!("{path}?name={}", http::segment(name)), None)?;
        team.doors.ui.done(&format!("Deleted {there}"));
        team.doors.ui.note("Nothing is signed in to it any more: lanyard auth login");
    }
    Ok(())
}
