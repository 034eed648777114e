//! `lanyard clients …`: the programs that an organization lets ask its members, each under a name of its own.

use serde_json::{Value, json};

use super::{Team, What, day, text};
use crate::cli::{Doors, active};
use crate::error::Result;
use crate::http::Method;
use crate::text::clean;

/// Register programs that members may let into the organization on a lanyard server
#[derive(clap::Subcommand, Debug)]
pub(in crate::cli) enum Command {
    /// List the programs that are registered
    ///
    /// With --json: an array of objects with id, name, redirect_uris, device, created and created_by.
    #[command(after_help = "Example:\n  lanyard clients list")]
    List,
    /// Register a program, and tell the client id that it asks with
    ///
    /// It keeps no secret: a person lets it in, in the browser with PKCE, or by a code where it has no browser. The answer
    /// goes to an address that is given here, letter by letter; on the machine of whoever signs in, at any port.
    /// With --json: an object as `list` has it.
    #[command(after_help = "Examples:\n  lanyard clients add 'Deploy CLI' --redirect http://127.0.0.1/callback\n  \
lanyard clients add Dashboard --redirect https://dash.example.com/callback --no-device\n  \
lanyard clients add 'Build agent'")]
    Add {
        /// What people are shown who are asked to let it in
        #[arg(value_name = "NAME")]
        name: String,
        /// An address that its answer may go to: https://…, http://127.0.0.1/… without a port, or com.example.app:/…;
        /// repeat for more
        #[arg(long = "redirect", value_name = "URI")]
        redirects: Vec<String>,
        /// Do not let it in by a code that a person types
        #[arg(long, requires = "redirects")]
        no_device: bool,
    },
    /// Delete a program, and end every token that it was given
    #[command(after_help = "Example:\n  lanyard clients delete 'Deploy CLI' --yes")]
    Delete {
        /// The program's name or client id
        #[arg(value_name = "NAME")]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

const CLIENTS: What =
    What { word: "program", path: "/oauth-clients", list: "lanyard clients list", named: |item| text(item, "name") };
const BY_ID: What = What { named: |item| text(item, "id"), ..CLIENTS };

impl Command {
    /// Runs the command.
    pub(in crate::cli) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let team = Team::new(doors, &config, &profile)?;
        match self {
            Self::List => list(&team),
            Self::Add { name, redirects, no_device } => {
                let body = json!({ "name": name, "redirect_uris": redirects, "device": !no_device });
                let made = team.call(&Method::POST, CLIENTS.path, Some(body))?;
                if team.wants_json() {
                    return doors.ui.answer_json(&made);
                }
                let id = text(&made, "id");
                doors.ui.done(&format!("Registered {}; its client id is {id}", text(&made, "name")));
                let server = profile.endpoint.as_ref().map(|endpoint| clean(&endpoint.value)).unwrap_or_default();
                doors.ui.note(&format!("Sign in as it: lanyard auth login --service {server} --client-id {id}"));
                Ok(())
            }
            Self::Delete { name, yes } => {
                let what = if name.starts_with("client_") { BY_ID } else { CLIENTS };
                let program = team.find(what, &name)?;
                let called = text(&program, "name");
                let asked = format!("Delete {called}, and end every token that it was given and API key made with it?");
                let done = format!("Deleted {called}; the tokens that it was given have ended");
                team.delete(CLIENTS, &program, yes, (&asked, &done))
            }
        }
    }
}

fn list(team: &Team<'_>) -> Result<()> {
    let none = ("No programs yet", "Register one: lanyard clients add NAME --redirect URI");
    team.show(&team.all(CLIENTS.path)?, none, ["name", "client id", "redirects", "by a code", "created"], |program| {
        let redirects = program["redirect_uris"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let device = if program["device"] == true { "yes" } else { "no" };
        [
            text(program, "name"),
            text(program, "id"),
            redirects.map(clean).collect::<Vec<_>>().join(" "),
            device.into(),
            day(program, "created"),
        ]
    })
}
