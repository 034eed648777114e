//! `lanyard registries …`: Helm repositories and OCI registries on the server, and the charts that they have.

use std::time::Duration;

use clap_complete::ArgValueCandidates;
use serde_json::{Value, json};

use super::{Team, What, path_of, text};
use crate::cli::credentials::named;
use crate::cli::{Doors, active, completions};
use crate::error::{Code, Failure, Result};
use crate::http::Method;
use crate::text::clean;

/// Keep registries of charts on a lanyard server, and see what they have
#[derive(clap::Subcommand, Debug)]
pub(in crate::cli) enum Command {
    /// List the registries
    ///
    /// With --json: an array of objects with id, name, kind, url, repositories, project, credential_config_id, created,
    /// tried, outcome, reason, synced and charts.
    #[command(after_help = "Example:\n  lanyard registries list")]
    List,
    /// Add a Helm repository or an OCI registry
    ///
    /// Nobody is asked yet. The credential must be one for the registry's host, of the organization or of the
    /// registry's own project; it is sent to no other.
    #[command(
        after_help = "Examples:\n  lanyard registries add charts https://charts.example.com/stable --credential charts\n  \
lanyard registries add team oci://registry.example.com/charts --credential registry\n  \
lanyard registries add ghcr oci://ghcr.io/acme --credential ghcr --repository web --repository api"
    )]
    Add {
        /// Its name: letters, digits and . _ -
        #[arg(value_name = "NAME", value_parser = crate::cli::ui::name)]
        name: String,
        /// Its address: of a Helm repository the one below which index.yaml is, of an OCI registry one with oci://
        #[arg(value_name = "URL")]
        url: String,
        /// What it is, where the address does not tell
        #[arg(long, value_name = "KIND", value_parser = ["helm-http", "oci"])]
        kind: Option<String>,
        /// The credential that it is asked with
        #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completions::credentials))]
        credential: Option<String>,
        /// A repository of an OCI registry to look at, instead of all that it lists; repeat for more
        #[arg(long = "repository", value_name = "REPOSITORY")]
        repositories: Vec<String>,
        /// Add it as this project's
        #[arg(long, value_name = "NAME", value_parser = crate::cli::ui::name)]
        for_project: Option<String>,
    },
    /// Show one registry
    #[command(after_help = "Example:\n  lanyard registries show charts")]
    Show {
        /// The registry
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Ask a registry for its charts
    ///
    /// What comes whole takes the place of the list before; anything else leaves that as it is. Ends with 8 where the
    /// registry refuses the credential, with 6 where it does not answer. With --json: the registry, as `show` has it.
    #[command(after_help = "Example:\n  lanyard registries sync charts")]
    Sync {
        /// The registry
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the charts that a registry had when it was last asked
    ///
    /// With --json: an array of objects with name, description, newest and versions.
    #[command(after_help = "Example:\n  lanyard registries charts charts")]
    Charts {
        /// The registry
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Change the name, the address, the credential or the repositories of a registry
    #[command(after_help = "Examples:\n  lanyard registries update charts --credential charts-2\n  \
lanyard registries update charts --rename stable")]
    Update {
        /// The registry
        #[arg(value_name = "NAME")]
        name: String,
        /// Its new name
        #[arg(long, value_name = "NEW", value_parser = crate::cli::ui::name)]
        rename: Option<String>,
        /// Its new address; the list of its charts goes
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// The credential that it is asked with from now on
        #[arg(long, value_name = "NAME", add = ArgValueCandidates::new(completions::credentials))]
        credential: Option<String>,
        /// Ask it without a credential
        #[arg(long, conflicts_with = "credential")]
        no_credential: bool,
        /// A repository to look at, instead of those before; repeat for more
        #[arg(long = "repository", value_name = "REPOSITORY")]
        repositories: Vec<String>,
        /// Look at all that the registry lists
        #[arg(long, conflicts_with = "repositories")]
        all_repositories: bool,
    },
    /// Delete a registry; its credential stays
    #[command(after_help = "Example:\n  lanyard registries delete charts --yes")]
    Delete {
        /// The registry
        #[arg(value_name = "NAME")]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// The registries, by `NAME`, or `PROJECT/NAME` for one of a project.
const REGISTRIES: What = What {
    word: "registry",
    path: "/registries",
    list: "lanyard registries list",
    named: |item| match item.get("project").and_then(Value::as_str) {
        Some(_) => format!("{}/{}", text(item, "project"), text(item, "name")),
        None => text(item, "name"),
    },
};
/// The server asks for so long at most, and some.
const PATIENCE: Duration = Duration::from_secs(65);

/// The registry gave no list.
#[derive(Debug, thiserror::Error)]
#[error("{name} was not listed: {reason}")]
struct NotListed {
    name: String,
    outcome: String,
    reason: String,
}

impl Failure for NotListed {
    fn code(&self) -> Code {
        match self.outcome.as_str() {
            "refused" | "insufficient" | "no_secrets" | "unsuitable" => Code::Invalid,
            "unreachable" => Code::Unreachable,
            _ => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self.outcome.as_str() {
            "refused" => "put a good one in: `lanyard credentials update NAME`, or `lanyard registries update NAME \
                          --credential OTHER`"
                .into(),
            "insufficient" => "ask whoever runs the registry for the right to list, or name the repositories that are \
                               wanted: `--repository`"
                .into(),
            "no_secrets" => "store its secrets: `lanyard credentials update NAME`".into(),
            "unsuitable" | "other_host" => "choose another credential: `lanyard registries update NAME --credential \
                                            OTHER`"
                .into(),
            "unreachable" => "check the address; one that is private has to be allowed where the server is started: \
                              `--allow-host`"
                .into(),
            "elsewhere" => "if that server is to have the password, name it in the credential: `token_server`".into(),
            _ => "check the address and the kind: `lanyard registries show NAME`".into(),
        })
    }
}

impl Command {
    /// Runs the command.
    pub(in crate::cli) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let team = Team::new(doors, &config, &profile)?;
        match self {
            Self::List => list(&team),
            Self::Add { name, url, kind, credential, repositories, for_project } => {
                let told = if url.trim().starts_with("oci://") { "oci" } else { "helm-http" };
                let body = json!({
                    "name": name,
                    "url": url,
                    "kind": kind.as_deref().unwrap_or(told),
                    "project": for_project,
                    "credential_config_id": credential.map(|name| identifier(&team, &name)).transpose()?,
                    "repositories": repositories,
                });
                let made = team.call(&Method::POST, REGISTRIES.path, Some(body))?;
                let name = (REGISTRIES.named)(&made);
                doors.ui.done(&format!("Added registry {name}"));
                doors.ui.note(&format!("Ask it for its charts: lanyard registries sync {name}"));
                Ok(())
            }
            Self::Show { name } => show(&team, &name),
            Self::Sync { name } => sync(&team, &name),
            Self::Charts { name } => charts(&team, &name),
            Self::Update { name, rename, url, credential, no_credential, repositories, all_repositories } => {
                let mut body = serde_json::Map::new();
                let text = [("name", rename), ("url", url)];
                body.extend(text.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?)))));
                if let Some(credential) = credential {
                    body.insert("credential_config_id".into(), json!(identifier(&team, &credential)?));
                } else if no_credential {
                    body.insert("credential_config_id".into(), Value::Null);
                }
                if all_repositories || !repositories.is_empty() {
                    body.insert("repositories".into(), json!(repositories));
                }
                let registry = team.find_near(REGISTRIES, &name)?;
                let changed = team.call(&Method::PATCH, &path_of(REGISTRIES, &registry), Some(body.into()))?;
                doors.ui.done(&format!("Changed registry {}", (REGISTRIES.named)(&changed)));
                Ok(())
            }
            Self::Delete { name, yes } => {
                let registry = team.find_near(REGISTRIES, &name)?;
                let (asked, done) = (format!("Delete registry {name}?"), format!("Deleted registry {name}"));
                team.delete(REGISTRIES, &registry, yes, (&asked, &done))
            }
        }
    }
}

fn identifier(team: &Team<'_>, name: &str) -> Result<String> {
    Ok(named::find(&team.remote, team.profile, name)?.id)
}

/// When it was last listed, and what came of asking since.
fn status(registry: &Value) -> String {
    match (text(registry, "outcome").as_str(), text(registry, "synced").as_str()) {
        ("", _) => "not asked yet".into(),
        ("synced", _) => "synced".into(),
        (outcome, "") => outcome.to_owned(),
        (outcome, synced) => format!("{outcome}, list of {}", moment(synced)),
    }
}

/// A time as lists show it.
fn moment(time: &str) -> String {
    time.chars().take(19).map(|letter| if letter == 'T' { ' ' } else { letter }).collect()
}

fn list(team: &Team<'_>) -> Result<()> {
    let none = ("No registries yet", "Add one: lanyard registries add NAME URL");
    team.show(&team.all(REGISTRIES.path)?, none, ["name", "kind", "address", "charts", "status"], |one| {
        let charts = one.get("charts").and_then(Value::as_i64).unwrap_or_default();
        [(REGISTRIES.named)(one), text(one, "kind"), text(one, "url"), charts.to_string(), status(one)]
    })
}

fn show(team: &Team<'_>, name: &str) -> Result<()> {
    let registry = team.find_near(REGISTRIES, name)?;
    let ui = team.doors.ui;
    if team.wants_json() {
        return ui.answer_json(&registry);
    }
    let line = |title: &str, value: &str| ui.answer(&format!("{title}: {}", clean(value)));
    line("Name", &(REGISTRIES.named)(&registry))?;
    line("Kind", &text(&registry, "kind"))?;
    line("Address", &text(&registry, "url"))?;
    let named = registry.get("repositories").and_then(Value::as_array);
    let named: Vec<&str> = named.into_iter().flatten().filter_map(Value::as_str).collect();
    if !named.is_empty() {
        line("Repositories", &named.join(", "))?;
    }
    line("Credential", &credential(team, &registry)?)?;
    line("Status", &status(&registry))?;
    if !text(&registry, "reason").is_empty() {
        line("Reason", &text(&registry, "reason"))?;
    }
    let synced = text(&registry, "synced");
    line("Listed", &if synced.is_empty() { "never".to_owned() } else { moment(&synced) })?;
    line("Charts", &registry.get("charts").and_then(Value::as_i64).unwrap_or_default().to_string())
}

/// The name of its credential, as it is typed.
fn credential(team: &Team<'_>, registry: &Value) -> Result<String> {
    let Some(id) = registry.get("credential_config_id").and_then(Value::as_str) else { return Ok("none".into()) };
    let path = format!("/credential-configs/{}", crate::http::segment(id));
    let found = team.call(&Method::GET, &path, None)?;
    Ok((REGISTRIES.named)(&found))
}

fn sync(team: &Team<'_>, name: &str) -> Result<()> {
    let path = format!("{}/sync", path_of(REGISTRIES, &team.find_near(REGISTRIES, name)?));
    let registry = team.remote.call_within(&Method::POST, &path, None, PATIENCE)?;
    if team.wants_json() {
        team.doors.ui.answer_json(&registry)?;
    }
    let (name, outcome) = ((REGISTRIES.named)(&registry), text(&registry, "outcome"));
    if outcome != "synced" {
        return Err(NotListed { name, outcome, reason: text(&registry, "reason") }.into());
    }
    let charts = registry.get("charts").and_then(Value::as_i64).unwrap_or_default();
    let plural = if charts == 1 { "" } else { "s" };
    team.doors.ui.done(&format!("{name} has {charts} chart{plural}"));
    Ok(())
}

fn charts(team: &Team<'_>, name: &str) -> Result<()> {
    let registry = team.find_near(REGISTRIES, name)?;
    let all = team.all(&format!("{}/charts", path_of(REGISTRIES, &registry)))?;
    let none = format!("{name} has no charts that are known ({})", status(&registry));
    team.show(&all, (&none, ""), ["name", "newest", "versions", "description"], |chart| {
        let versions = chart.get("versions").and_then(Value::as_array).map_or(0, Vec::len);
        [text(chart, "name"), text(chart, "newest"), versions.to_string(), text(chart, "description")]
    })
}
