//! `lanyard helper`: answers tools in their own protocols, under the names by which they look for a helper as well.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::CommandFactory;

use crate::auth::service::preset_defaults;
use crate::cli::ui::Ui;
use crate::cli::{Doors, Global, vault_door};
use crate::config::{self, Config, Overrides, Profile};
use crate::credential::{Metadata, Want};
use crate::error::{Code, Failure, Result};
use crate::helper::{self, Ask, Call, Desk, Framing, HELPERS, Helper, Reply, Served};
use crate::http::Client;
use crate::os::Env;
use crate::os::input::Input;
use crate::provider::Net;
use crate::secret::{self, Choice, Secret, StoreError};
use crate::vault::{Local, Vault};

mod sign_in;

/// A tool writes its question at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answer a tool in its own protocol: git, docker, kubectl, aws and others
///
/// Tools call this, people need not: `lanyard setup` tells the tools about it.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "npm, pnpm, yarn, Maven, Gradle and Nix have no such protocol: they read variables and files.\n\n\
                  Example:\n  printf 'protocol=https\\nhost=github.com\\n\\n' | lanyard helper git get\n  \
                  curl --netrc-file <(lanyard helper netrc example.com) https://example.com/"
)]
pub(crate) struct Args {
    /// The tool
    #[arg(value_name = "TOOL", value_parser = tools())]
    tool: String,
    /// What the tool says
    #[arg(value_name = "WORDS", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

fn tools() -> clap::builder::PossibleValuesParser {
    use clap::builder::{PossibleValue, PossibleValuesParser};
    let tools = HELPERS.iter().map(|helper| PossibleValue::new(helper.name()).help(helper.title()));
    let others = WITHOUT.iter().map(|(name, ..)| PossibleValue::new(*name).hide(true));
    PossibleValuesParser::new(tools.chain(others))
}

/// Tools that ask nobody for a credential, what they do instead, and what they are given then.
const WITHOUT: [(&str, &str, &str); 7] = [
    ("npm", "npm reads its settings", NPM),
    ("pnpm", "pnpm reads npm's settings", NPM),
    (
        "yarn",
        "yarn reads its settings",
        "put `npmAuthToken: \"${NPM_TOKEN}\"` into .yarnrc.yml, and give it the variable: `lanyard run`",
    ),
    ("maven", "Maven reads its settings", MAVEN),
    ("mvn", "Maven reads its settings", MAVEN),
    (
        "gradle",
        "Gradle reads its properties",
        "give it the variables ORG_GRADLE_PROJECT_<repository>Username and …Password: `lanyard run`",
    ),
    (
        "nix",
        "Nix reads its settings",
        "give it the variable NIX_CONFIG with a line `access-tokens = HOST=TOKEN`: `lanyard run`",
    ),
];
const NPM: &str = "put `//HOST/:_authToken=${NPM_TOKEN}` into .npmrc, and give it the variable: `lanyard run`";
const MAVEN: &str = "put `${env.NAME}` into ~/.m2/settings.xml, and give it the variable: `lanyard run`";

/// Why a tool is not answered.
#[derive(Debug, thiserror::Error)]
enum HelperFailure {
    /// The tool was answered with a failure, in its own way.
    #[error("the tool was answered with a failure")]
    Answered(u8),
    /// A word is no text.
    #[error("a word of the command line is no text")]
    NoText,
    /// The tool asks no program.
    #[error("{0} and asks no program for a credential")]
    NoProtocol(&'static str, &'static str),
}

impl Failure for HelperFailure {
    fn code(&self) -> Code {
        match self {
            Self::Answered(_) => Code::Failed,
            Self::NoText | Self::NoProtocol(..) => Code::Usage,
        }
    }

    fn mend(&self) -> Option<String> {
        match self {
            Self::NoProtocol(_, mend) => Some((*mend).to_owned()),
            Self::Answered(_) | Self::NoText => None,
        }
    }
}

impl Args {
    /// Runs the command.
    pub(crate) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let words: Option<Vec<String>> = self.words.into_iter().map(|word| word.into_string().ok()).collect();
        let words = words.ok_or(HelperFailure::NoText)?;
        if words.iter().any(|word| word == "--help") {
            // No protocol has this word; a person wrote it.
            let mut command = super::Cli::command();
            command.build();
            let help = command.find_subcommand_mut("helper").map(|helper| helper.render_long_help().to_string());
            return doors.ui.answer(help.unwrap_or_default().trim_end());
        }
        if let Some((_, what, mend)) = WITHOUT.iter().find(|(name, ..)| *name == self.tool) {
            return Err(HelperFailure::NoProtocol(what, mend).into());
        }
        let Some(helper) = helper::by_name(&self.tool) else { return Ok(()) };
        match answer(helper, &words, doors.env, doors.ui, doors.http) {
            0 => Ok(()),
            code => Err(HelperFailure::Answered(code).into()),
        }
    }
}

/// Answers a tool that calls the program in a way that only tools do, before anything is made ready that people need:
/// `None` where it is called otherwise.
pub(super) fn answer_the_tool() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let program = arguments.next()?;
    let name = Path::new(&program).file_stem()?.to_str()?.to_owned();
    let helper = match helper::by_program(&name) {
        Some(helper) => helper,
        None => called_by_word(&mut arguments)?,
    };
    let words: Vec<String> = arguments.map(|word| word.into_string().ok()).collect::<Option<_>>()?;
    if words.iter().any(|word| word == "--help") {
        return None;
    }
    let env = Env::of_process(None);
    let ui = Ui::of_process(&env, &Global::default());
    Some(ExitCode::from(answer(helper, &words, &env, &ui, &Client::new())))
}

/// The tool in `lanyard helper TOOL …`, and cargo, which calls whatever it is told to with a word of its own.
fn called_by_word(arguments: &mut std::env::ArgsOs) -> Option<&'static dyn Helper> {
    let word = arguments.next()?;
    if word == "--cargo-plugin" {
        return helper::by_name("cargo");
    }
    if word != "helper" {
        return None;
    }
    helper::by_name(arguments.next()?.to_str()?)
}

/// Answers every question of a tool. The exit code is the protocol's.
fn answer(helper: &dyn Helper, words: &[String], env: &Env, ui: &Ui, http: &dyn crate::http::Http) -> u8 {
    let clock = || env.now();
    let on_a_server = on_a_server(env);
    let flags = Global::default();
    let doors = Doors { env, ui, http, flags: &flags };
    let vault: Box<dyn Vault> = match &on_a_server {
        None => Box::new(local(env, &clock)),
        Some((config, profile)) => match vault_door::of(&doors, config, profile, &clock) {
            Ok(vault) => vault,
            Err(failure) => {
                ui.failure(&*failure);
                return failure.code() as u8;
            }
        },
    };
    let vault = &*vault;
    let sign_in = |want: &Want, over: Option<&Metadata>| sign_in::sign_in(env, http, want, over);
    let net = Net { http, env, now: env.now() };
    // A sign-in that a tool begins is kept on this machine.
    let here = helper.signs_in() && on_a_server.is_none();
    let desk = Desk { vault, net, env, sign_in: here.then_some(&sign_in) };
    if ui.answer_bytes(helper.greeting()).is_err() {
        return Code::Failed as u8;
    }
    let framing = helper.framing(words);
    // Where the protocol has no question on stdin, stdin may be a person's terminal.
    let mut input = match framing {
        Framing::Nothing => Input::new(std::io::empty(), PATIENCE),
        _ => Input::stdin(PATIENCE),
    };
    let mut code = 0;
    let mut is_first = true;
    loop {
        let text = match helper::next(framing, &mut input, is_first) {
            Ok(Some(text)) => text,
            Ok(None) => return code,
            Err(failure) => {
                ui.say(&format!("lanyard: {failure}"));
                return Code::Failed as u8;
            }
        };
        is_first = false;
        let by_agent = if on_a_server.is_none() { by_agent(env, helper, words, &text) } else { None };
        let served = if let Some(reply) = by_agent {
            Served { reply, used: None }
        } else {
            let call = Call { arguments: words, text: &text, env };
            if on_a_server.is_none() && matches!(helper.ask(&call), Ok(Ask::Get(_))) && Local::is_in(&env.data_dir()) {
                // Most of the answer's time is the way to the keychain: it begins while the database is asked.
                secret::keychain::begin(env.var("DBUS_SESSION_BUS_ADDRESS").is_some());
            }
            helper::serve(helper, &call, &desk)
        };
        if let Some(talk) = &served.reply.talk {
            ui.say(talk);
        }
        if ui.answer_bytes(&served.reply.stdout).is_err() {
            return Code::Failed as u8;
        }
        code = served.reply.code;
        if let Some(metadata) = &served.used {
            // The tool has its answer. When it was last used is worth no failure.
            if let Err(failure) = vault.note_use(metadata, env.now()) {
                tracing::debug!(%failure, "the use is not noted");
            }
        }
    }
}

/// What the agent has the tool told; `None` where none runs, or none that answers this.
#[cfg(unix)]
fn by_agent(env: &Env, helper: &dyn Helper, words: &[String], text: &str) -> Option<Reply> {
    crate::agent::Caller::new(env).ask(helper.name(), words, text)
}

/// Agents are for Unix.
#[cfg(not(unix))]
fn by_agent(_: &Env, _: &dyn Helper, _: &[String], _: &str) -> Option<Reply> {
    None
}

/// The configuration and the profile in force, where its vault is a server's. The folder that the tool runs in has no
/// say. No tool waits for a configuration to be understood that does not speak of such a thing.
fn on_a_server(env: &Env) -> Option<(Config, Profile)> {
    let text = std::fs::read_to_string(env.config_dir().join("config.toml")).ok()?;
    if !text.contains("vault") {
        return None;
    }
    let env = env.behind_a_tool();
    let config = Config::load(&env).ok()?;
    let profile = config::profile(&config, &env, &Overrides::default(), &preset_defaults).ok()?;
    vault_door::is_on_a_server(&config, &profile).then_some((config, profile))
}

/// The vault of this machine, of which no question is asked to a person: a tool's stdin is the tool's, and nobody may be
/// there.
fn local<'a>(env: &'a Env, clock: &'a dyn Fn() -> DateTime<Utc>) -> Local<'a> {
    let opener = move |choice| {
        let passphrase = |_| match env.var(crate::os::PASSPHRASE) {
            Some(given) => Ok(Secret::new(given.to_owned())),
            None => Err(StoreError::NoPassphrase),
        };
        secret::open(choice, env.config_dir(), Box::new(passphrase), false)
    };
    Local::new(&env.data_dir(), storage(env), Box::new(opener), clock)
}

/// Where the root key of a vault goes that is yet to be made, as the configuration says. Of a vault that is there it is
/// known, and no tool waits for the configuration to be read. The folder that the tool runs in has no say.
fn storage(env: &Env) -> Choice {
    if Local::is_in(&env.data_dir()) {
        return Choice::Auto;
    }
    let env = env.behind_a_tool();
    let profile =
        Config::load(&env).and_then(|config| config::profile(&config, &env, &Overrides::default(), &preset_defaults));
    profile.map_or(Choice::Auto, |profile| profile.storage.value)
}
