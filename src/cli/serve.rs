//! `lanyard serve`: the team's server.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::keeping::Keeping;
use crate::cli::ui::LogForm;
use crate::cli::{Doors, active, store};
use crate::error::{Result, with_causes};
use crate::os::files;
use crate::secret::Secret;
use crate::server::{self, Checked, Found, Given, Named, Notice, ServeError, Settings};

/// Run the team's server
///
/// Credentials that are shared across machines and people, with an audit. Without any flag it listens on this machine
/// alone, keeps its data in lanyard's folder and its master key in the secret store, and gives a link that makes the
/// first owner. Each flag is also a variable, LANYARD_SERVE_ and its name, and a line of server.toml in the
/// configuration folder; a flag wins over a variable, and that over the file.
#[derive(clap::Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  lanyard serve\n  lanyard serve --check\n  \
lanyard serve --listen 0.0.0.0:443 --public-url https://lanyard.example.com \\\n    \
--tls-certificate chain.pem --tls-key key.pem --master-key-file /etc/lanyard/master.key\n  \
lanyard serve --secrets-engine vault --vault-address https://vault.example.com --vault-token-file token"
)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Where to listen [default: 127.0.0.1:7447]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The folder of its data [default: `server` in lanyard's data folder]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    data: Option<String>,
    /// The address by which people and programs reach it [default: where it listens]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The database: `sqlite:FILE` or `postgres://…` [default: sqlite:server.db in the data folder]
    #[arg(long, value_name = "URL")]
    database: Option<Named>,
    /// Keep the master key in this file instead of the secret store; it is made if need be
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    master_key_file: Option<String>,
    /// The certificate with its chain, in PEM; needed where other machines reach it
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    tls_certificate: Option<String>,
    /// The key of the certificate, in PEM
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    tls_key: Option<String>,
    /// Append what the server signs of the end of the audit to this file as well, so that nobody cuts it off unnoticed;
    /// `syslog:` for the machine's log, `syslog:/PATH` where its socket is elsewhere
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    audit_checkpoints: Option<String>,
    /// How often it signs [default: 60]
    #[arg(long, value_name = "SECONDS")]
    audit_checkpoint_every: Option<String>,
    #[command(flatten)]
    keeping: Keeping,
    /// Do not end where the master key cannot be had yet: serve nobody, and try again [default: yes with
    /// --master-key-transit, else no]
    #[arg(long, value_name = "YES|NO")]
    sealed_start: Option<String>,
    /// A proxy does TLS, and its word about who asks is believed: its address; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    behind_proxy: Vec<String>,
    /// Ask providers at this host although its address is private; may be given several times
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Tell Prometheus what the server counts of itself, at /metrics of this address [default: it tells nobody]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// Write requests and what goes wrong to stderr: `json`, `text` or `off` [default: text at a terminal, else json]
    #[arg(long, value_name = "FORM", value_parser = ["json", "text", "off"])]
    log: Option<String>,
    /// Requests in a second from one address, where a change counts twice and a sign-in forty times; 0 for any [default: 400]
    #[arg(long, value_name = "NUMBER")]
    rate_address: Option<String>,
    /// The same for one API key, token of a job, or session [default: 100]
    #[arg(long, value_name = "NUMBER")]
    rate_token: Option<String>,
    /// The same for one person or job, with all their tokens [default: 200]
    #[arg(long, value_name = "NUMBER")]
    rate_caller: Option<String>,
    /// The same for one organization [default: 1000]
    #[arg(long, value_name = "NUMBER")]
    rate_organization: Option<String>,
    /// Connections from one address at a time [default: 1024]
    #[arg(long, value_name = "NUMBER")]
    connections_per_address: Option<String>,
    /// Read settings from this file [default: server.toml in the configuration folder]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    settings: Option<PathBuf>,
    /// Check every setting, the database, the master key and the audit, change nothing and serve nobody; a server that
    /// runs goes on
    #[arg(long)]
    check: bool,
}

/// What else can be asked of the server's program.
#[derive(clap::Subcommand, Debug)]
enum What {
    /// Show every route, with the permission that it demands
    ///
    /// Besides a permission that is `anyone`; `token`: any token that counts; `session`: whoever is signed in to the
    /// portal; `page`: a page that looks for itself whom it has before it.
    ///
    /// With --json: an array of objects with method, path and access.
    #[command(after_help = "Examples:\n  lanyard serve routes --json\n  lanyard serve routes --openapi > openapi.json")]
    Routes {
        /// Print the document of the API, in OpenAPI 3.1: the one that a server shows at /openapi.json
        #[arg(long)]
        openapi: bool,
    },
}

#[derive(Serialize)]
struct Route {
    method: String,
    path: &'static str,
    access: &'static str,
}

/// The name of the file that holds the set-up link where nobody sees the terminal.
pub(in crate::cli) const LINK: &str = "setup-link";

impl Args {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        if let Some(What::Routes { openapi }) = self.what {
            return if openapi { doors.ui.answer_json(&server::openapi()) } else { routes(doors) };
        }
        let (_, profile) = active::active(doors)?;
        let check = self.check;
        let file = self.settings.clone();
        let settings = Settings::read(&self.given(), file.as_deref(), doors.env)?;
        let store = store::open(doors, profile.storage.value)?;
        if check {
            let Checked { found, unbound } = server::check(&settings, &*store)?;
            match found {
                Found::All => doors.ui.done(
                    "All settings are good, the database answers, the master key opens it, and the audit is whole",
                ),
                Found::Earlier => {
                    doors.ui.done("All settings are good, the database answers, and the master key opens it");
                    doors.ui.note(
                        "the tables are of an earlier version: the next start brings them up to date; the audit was not \
                         looked at",
                    );
                }
                Found::Nothing { place } => {
                    doors.ui.done("All settings are good");
                    doors.ui.note(&format!("there is no server in {place} yet: the first start makes it"));
                }
            }
            if let Some(role) = unbound {
                doors.ui.warn(&unbound_role(&role));
            }
            return Ok(());
        }
        let form = match settings.log {
            Some(server::LogForm::Off) => None,
            Some(server::LogForm::Text) => Some(LogForm::Text),
            None if doors.env.stderr_is_terminal => Some(LogForm::Text),
            Some(server::LogForm::Json) | None => Some(LogForm::Json),
        };
        if let Some(form) = form {
            doors.ui.log(form, doors.flags.verbose);
        }
        let link = settings.data.join(LINK);
        let mut tell = |notice| match notice {
            Notice::Listening { address, metrics, public, database } => {
                files::remove(&link)?;
                doors.ui.done(&format!("Serving {public} on {address}"));
                doors.ui.note(&format!("database: {database}"));
                if let Some(metrics) = metrics {
                    doors.ui.note(&format!("metrics: http://{metrics}/metrics"));
                }
                Ok(())
            }
            Notice::Sealed(failure) => {
                doors.ui.warn(&format!("sealed, and serving nobody: {}", with_causes(&failure)));
                doors.ui.note("it tries again until it has its master key");
                Ok(())
            }
            Notice::Unsealed => {
                doors.ui.done("The master key is there: serving");
                Ok(())
            }
            Notice::Elsewhere(count) => {
                doors
                    .ui
                    .note(&format!("{count} credentials rest where new ones do not go: `lanyard server move-secrets`"));
                Ok(())
            }
            Notice::Unbound(role) => {
                doors.ui.warn(&unbound_role(&role));
                Ok(())
            }
            Notice::NoCheckpoints(failure) => {
                doors.ui.warn(&format!("{failure}: another one begins"));
                Ok(())
            }
            // What is written to a pipe may end in a collection of logs.
            Notice::SetUp(address) if !doors.env.stderr_is_terminal => keep(doors, &link, &address),
            Notice::SetUp(address) => {
                doors.ui.say("Make the first owner, within the hour:");
                doors.ui.say(address.expose());
                Ok(())
            }
        };
        Ok(server::serve(&settings, &*store, &mut tell)?)
    }

    fn given(self) -> Given {
        let given = Given {
            listen: self.listen,
            data: self.data,
            public_url: self.public_url,
            database: self.database,
            master_key_file: self.master_key_file,
            tls_certificate: self.tls_certificate,
            tls_key: self.tls_key,
            audit_checkpoints: self.audit_checkpoints,
            audit_checkpoint_every: self.audit_checkpoint_every,
            metrics_listen: self.metrics_listen,
            log: self.log,
            rate_address: self.rate_address,
            rate_token: self.rate_token,
            rate_caller: self.rate_caller,
            rate_organization: self.rate_organization,
            connections_per_address: self.connections_per_address,
            behind_proxy: self.behind_proxy,
            allow_host: self.allow_host,
            sealed_start: self.sealed_start,
            ..Given::default()
        };
        self.keeping.given(given)
    }
}

/// That the database holds nobody of this role to the organization that they work in, and what to do.
fn unbound_role(role: &str) -> String {
    format!(
        "the role {role} is a superuser of the database, or bypasses row-level security: the database keeps organizations \
         apart for neither; give the server a role of its own, which owns the database and is neither (`CREATE ROLE \
         lanyard LOGIN`, `CREATE DATABASE lanyard OWNER lanyard`), and bring a backup back there"
    )
}

fn keep(doors: &Doors<'_>, file: &std::path::Path, address: &Secret) -> std::result::Result<(), ServeError> {
    let line = zeroize::Zeroizing::new([address.expose(), "\n"].concat());
    files::replace(file, line.as_bytes(), false)?;
    doors.ui.say(&format!("The link that makes the first owner, good for an hour, is in {}", file.display()));
    Ok(())
}

fn routes(doors: &Doors<'_>) -> Result<()> {
    let routes = server::table();
    let json = active::wants_json(doors, &active::load(doors)?);
    if json {
        let routes: Vec<Route> =
            routes.into_iter().map(|(method, path, access)| Route { method, path, access }).collect();
        return doors.ui.answer_json(&routes);
    }
    let rows: Vec<Vec<String>> =
        routes.into_iter().map(|(method, path, access)| vec![method, path.into(), access.into()]).collect();
    doors.ui.table(&["method", "path", "access"], &rows)
}
