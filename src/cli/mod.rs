//! The command line: the whole tree on one screen, the doors to the outside, the dispatch.
//!
//! To add a command, write `cli/GROUP/NAME.rs` (arguments with doc comments, which are the help text, and `run`) and
//! add its line to the list below.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::ArgValueCandidates;

use crate::auth::login::clean_token;
use crate::config::Output;
use crate::error::{Code, Result};
use crate::http::{Client, Http};
use crate::os::{Env, harden};
use crate::secret::Secret;

mod auth {
    pub(super) mod login;
    pub(super) mod logout;
    pub(super) mod refresh;
    pub(super) mod revoke;
    pub(super) mod status;
    pub(super) mod switch;
    pub(super) mod token;
    pub(super) mod token_info;
    pub(super) mod whoami;
}
mod credentials {
    pub(super) mod connect;
    pub(super) mod copy;
    pub(super) mod delete;
    pub(super) mod disconnect;
    pub(super) mod export;
    pub(super) mod list;
    pub(super) mod named;
    pub(super) mod reconnect;
    pub(super) mod rename;
    pub(super) mod rotate;
    pub(super) mod scan;
    pub(super) mod show;
    pub(super) mod store;
    pub(super) mod test;
    pub(super) mod update;
}
mod access;
mod active;
#[cfg(unix)]
mod agent;
mod announce;
mod api;
mod argv;
mod audit;
mod browser;
pub mod completions;
mod config;
mod doctor;
mod given;
mod helper;
mod inject;
#[cfg(feature = "server")]
mod keeping;
mod profile;
mod project;
mod run;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "server")]
mod server;
mod setup;
mod store;
mod team;
mod trust_rules;
pub mod ui;
mod vault;
mod vault_door;
mod which;

use active::active;
use ui::Ui;

/// Lanyard carries your credentials: sign in once, keep tokens in the keychain, hand them to the tools that need them
#[derive(Parser, Debug)]
#[command(
    name = "lanyard",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
#[command(
    after_help = "Example:\n  lanyard auth login\n  lanyard auth token --header | curl -H @- https://api.example.com/me"
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The flags that every command takes.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Use this profile
    #[arg(long, global = true, value_name = "NAME", value_parser = ui::name, add = ArgValueCandidates::new(completions::profiles))]
    pub profile: Option<String>,
    /// Use this project
    #[arg(long, global = true, value_name = "NAME", value_parser = ui::name, add = ArgValueCandidates::new(completions::projects))]
    pub project: Option<String>,
    /// Before the command: use this token instead of a session, as LANYARD_TOKEN does; `-` for stdin, or @FILE
    #[arg(long, value_name = "KEY|@FILE|-", value_parser = given::parser(), hide_short_help = true)]
    api_key: Option<given::Given>,
    /// The token that `api_key` gives, read once.
    #[arg(skip)]
    key: Option<Arc<Secret>>,
    /// Print facts as a table or as JSON
    #[arg(long, global = true, value_name = "FORMAT", value_parser = output_parser())]
    pub output: Option<Output>,
    /// Print facts as JSON (short for --output json)
    #[arg(long, global = true, conflicts_with = "output")]
    pub json: bool,
    /// Tell on stderr what is being done; repeat for more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Do not use colours
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Keep the configuration in this folder
    #[arg(long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub config_dir: Option<PathBuf>,
}

impl Global {
    /// Reads the token that a flag gives. One that stands on the command line itself is taken away from there first.
    fn read_key(&mut self, env: &Env, ui: &Ui) -> Result<()> {
        const FLAG: &str = "--api-key";
        let Some(given) = &self.api_key else { return Ok(()) };
        if let Some(secret) = given.literal() {
            ui.warn("other users of this machine could see the key on the command line; LANYARD_TOKEN or `--api-key @FILE` hides it");
            let place = argv::Place::Flag { flag: FLAG.into(), instead: format!("{FLAG}=@") };
            argv::hide(&[argv::Visible { place, secret }]);
        }
        let key = given::Values::new(env).read(FLAG, given, given::Form::Line)?;
        self.key = Some(Arc::new(clean_token(&key)?));
        Ok(())
    }
}

fn output_parser() -> impl clap::builder::TypedValueParser<Value = Output> {
    use clap::builder::{PossibleValuesParser, TypedValueParser};
    PossibleValuesParser::new(["table", "json"]).map(|word| if word == "json" { Output::Json } else { Output::Table })
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Sign in, see who is signed in, hand out tokens
    #[command(subcommand, after_help = "Example:\n  lanyard auth login --service github")]
    Auth(Auth),
    /// Keep, check and hand over the credentials of clouds, registries, git hosts and APIs
    #[command(subcommand, after_help = "Example:\n  lanyard credentials store aws\n  lanyard credentials test")]
    Credentials(Credentials),
    /// Look after the vault: its keys, its backups, its recovery
    #[command(subcommand, after_help = "Example:\n  lanyard vault backup ~/backups/vault-2026-01.db")]
    Vault(vault::Command),
    /// Keep the vault open in a process that answers tools at once and signs for ssh
    #[cfg(unix)]
    #[command(subcommand, after_help = "Example:\n  lanyard agent start\n  eval \"$(lanyard agent env)\"")]
    Agent(agent::Command),
    /// Read and change the configuration
    #[command(subcommand, after_help = "Example:\n  lanyard config set defaults.storage keychain")]
    Config(config::Command),
    /// Manage profiles: one account on one service each
    #[command(subcommand, after_help = "Example:\n  lanyard profile bind --profile work ~/work")]
    Profile(profile::Command),
    /// Choose the project that commands work on
    #[command(subcommand, after_help = "Example:\n  lanyard project use web-shop")]
    Project(project::Command),
    /// Make and manage the projects on a lanyard server (to choose one to work on: lanyard project)
    #[command(subcommand, after_help = "Example:\n  lanyard projects create web-shop")]
    Projects(team::projects::Command),
    /// See, make, change and delete organizations on a lanyard server
    #[command(subcommand, after_help = "Example:\n  lanyard organizations show")]
    Organizations(team::organizations::Command),
    /// See, invite and manage the members of the organization on a lanyard server
    #[command(subcommand, after_help = "Example:\n  lanyard members invite --role member")]
    Members(team::members::Command),
    /// Make and manage workspaces on a lanyard server: lists of the credentials that work is done with
    #[command(subcommand, after_help = "Example:\n  lanyard workspaces create deploy aws-prod registry")]
    Workspaces(team::workspaces::Command),
    /// Keep registries of charts on a lanyard server, and see what they have
    #[command(
        subcommand,
        after_help = "Example:\n  lanyard registries add charts oci://registry.example.com/charts --credential registry"
    )]
    Registries(team::registries::Command),
    /// Decide which CI jobs sign in to the lanyard server without a secret
    #[command(subcommand, after_help = "Example:\n  lanyard trust-rules list")]
    TrustRules(trust_rules::Command),
    /// Register programs that members may let into the organization on a lanyard server
    #[command(
        subcommand,
        after_help = "Example:\n  lanyard clients add 'Deploy CLI' --redirect http://127.0.0.1/callback"
    )]
    Clients(team::clients::Command),
    Run(run::Args),
    Inject(inject::Args),
    Api(api::Args),
    #[cfg(feature = "server")]
    Serve(Box<serve::Args>),
    /// Look after the team's server: its backups and its keys
    #[cfg(feature = "server")]
    #[command(subcommand, after_help = "Example:\n  lanyard server backup /var/backups/lanyard-2026-01-31")]
    Server(Box<server::Command>),
    /// See what happened on a lanyard server, and check that it is all there
    #[command(subcommand, after_help = "Example:\n  lanyard audit list --action secret.read")]
    Audit(audit::Command),
    Which(which::Args),
    Doctor(doctor::Args),
    Setup(setup::Args),
    Completions(completions::Args),
    Helper(helper::Args),
}

#[derive(Subcommand, Debug)]
enum Auth {
    Login(auth::login::Args),
    Status(auth::status::Args),
    Whoami(auth::whoami::Args),
    Token(auth::token::Args),
    TokenInfo(auth::token_info::Args),
    Refresh(auth::refresh::Args),
    Revoke(auth::revoke::Args),
    Logout(auth::logout::Args),
    Switch(auth::switch::Args),
}

#[derive(Subcommand, Debug)]
enum Credentials {
    Store(credentials::store::Args),
    List(credentials::list::Args),
    Show(credentials::show::Args),
    Test(credentials::test::Args),
    Scan(credentials::scan::Args),
    Update(credentials::update::Args),
    Rotate(credentials::rotate::Args),
    Rename(credentials::rename::Args),
    Delete(credentials::delete::Args),
    Disconnect(credentials::disconnect::Args),
    Reconnect(credentials::reconnect::Args),
    Export(credentials::export::Args),
    Push(credentials::copy::Push),
    Pull(credentials::copy::Pull),
}

impl Command {
    fn run(self, doors: &Doors<'_>) -> Result<()> {
        match self {
            Self::Auth(Auth::Login(args)) => args.run(doors),
            Self::Auth(Auth::Status(args)) => args.run(doors),
            Self::Auth(Auth::Whoami(args)) => args.run(doors),
            Self::Auth(Auth::Token(args)) => args.run(doors),
            Self::Auth(Auth::TokenInfo(args)) => args.run(doors),
            Self::Auth(Auth::Refresh(args)) => args.run(doors),
            Self::Auth(Auth::Revoke(args)) => args.run(doors),
            Self::Auth(Auth::Logout(args)) => args.run(doors),
            Self::Auth(Auth::Switch(args)) => args.run(doors),
            Self::Credentials(Credentials::Store(args)) => args.run(doors),
            Self::Credentials(Credentials::List(args)) => args.run(doors),
            Self::Credentials(Credentials::Show(args)) => args.run(doors),
            Self::Credentials(Credentials::Test(args)) => args.run(doors),
            Self::Credentials(Credentials::Scan(args)) => args.run(doors),
            Self::Credentials(Credentials::Update(args)) => args.run(doors),
            Self::Credentials(Credentials::Rotate(args)) => args.run(doors),
            Self::Credentials(Credentials::Rename(args)) => args.run(doors),
            Self::Credentials(Credentials::Delete(args)) => args.run(doors),
            Self::Credentials(Credentials::Disconnect(args)) => args.run(doors),
            Self::Credentials(Credentials::Reconnect(args)) => args.run(doors),
            Self::Credentials(Credentials::Export(args)) => args.run(doors),
            Self::Credentials(Credentials::Push(args)) => args.run(doors),
            Self::Credentials(Credentials::Pull(args)) => args.run(doors),
            Self::Vault(command) => command.run(doors),
            #[cfg(unix)]
            Self::Agent(command) => command.run(doors),
            Self::Config(command) => command.run(doors),
            Self::Profile(command) => command.run(doors),
            Self::Project(command) => command.run(doors),
            Self::Projects(command) => command.run(doors),
            Self::Members(command) => command.run(doors),
            Self::Organizations(command) => command.run(doors),
            Self::Workspaces(command) => command.run(doors),
            Self::Registries(command) => command.run(doors),
            Self::TrustRules(command) => command.run(doors),
            Self::Clients(command) => command.run(doors),
            Self::Run(args) => args.run(doors),
            Self::Inject(args) => args.run(doors),
            Self::Api(args) => args.run(doors),
            #[cfg(feature = "server")]
            Self::Serve(args) => args.run(doors),
            #[cfg(feature = "server")]
            Self::Server(command) => command.run(doors),
            Self::Audit(command) => command.run(doors),
            Self::Which(args) => args.run(doors),
            Self::Doctor(args) => args.run(doors),
            Self::Setup(args) => args.run(doors),
            Self::Completions(args) => args.run(doors),
            Self::Helper(args) => args.run(doors),
        }
    }
}

/// The four doors to the outside, made once and free to make: nothing is opened until it is used.
pub struct Doors<'a> {
    /// The process's surroundings.
    pub env: &'a Env,
    /// The terminal.
    pub ui: &'a Ui,
    /// The network.
    pub http: &'a dyn Http,
    /// The flags that every command takes.
    pub flags: &'a Global,
}

/// The program: hardens the process, parses the command line, runs the command, prints the failure.
pub fn main() -> ExitCode {
    let hardened = harden::process();
    ui::quiet_panics();
    if let Some(code) = run::answer_myself() {
        return code;
    }
    if let Some(code) = helper::answer_the_tool() {
        return code;
    }
    completions::answer_the_shell();
    match run(std::env::args_os(), hardened) {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => ExitCode::from(code as u8),
    }
}

/// Runs one command line. May be called more than once in a process.
fn run(arguments: impl IntoIterator<Item = OsString>, hardened: bool) -> std::result::Result<(), Code> {
    let mut cli =
        match Cli::command().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
            Ok(cli) => cli,
            Err(error) => return ui::usage(&error),
        };
    let env = Env::of_process(cli.global.config_dir.clone());
    let ui = Ui::of_process(&env, &cli.global);
    if !hardened {
        ui.warn("the system did not let lanyard turn core dumps off");
    }
    if let Err(failure) = cli.global.read_key(&env, &ui) {
        ui.failure(&*failure);
        return Err(failure.code());
    }
    let http = Client::new();
    let doors = Doors { env: &env, ui: &ui, http: &http, flags: &cli.global };
    cli.command.run(&doors).map_err(|failure| {
        ui.failure(&*failure);
        failure.code()
    })
}
