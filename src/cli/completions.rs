//! `lanyard completions`: the scripts that shells load, the names they complete, the manual pages.
//!
//! The scripts hold no commands: at every TAB they ask `lanyard` itself, through a variable that says which shell is
//! asking, so they never go stale and can complete the names in the user's configuration. Nothing here asks a person,
//! the network or a secret store, and a configuration that cannot be read completes to nothing.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::builder::PossibleValuesParser;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::{Bash, CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh};

use crate::auth::presets;
use crate::cli::credentials::named::typed;
use crate::cli::ui::UiError;
use crate::cli::{Cli, Doors};
use crate::config::Config;
use crate::error::Result;
use crate::os::{Env, files};
use crate::secret::{Choice, StoreError};
use crate::text::{clean, is_unprintable};
use crate::vault::{Local, Vault};

mod nushell;

use nushell::Nushell;

/// The variable by which a shell asks for completions.
const ASKED_BY: &str = "LANYARD_COMPLETE";

/// The name that scripts complete and call, found in `PATH`.
const BINARY: &str = "lanyard";

/// A shell, and the file its script is kept in.
struct Shell {
    completer: &'static dyn EnvCompleter,
    file: &'static str,
}

/// Every shell, in the order of the help text.
const SHELLS: [Shell; 6] = [
    Shell { completer: &Bash, file: "lanyard.bash" },
    Shell { completer: &Zsh, file: "_lanyard" },
    Shell { completer: &Fish, file: "lanyard.fish" },
    Shell { completer: &Powershell, file: "_lanyard.ps1" },
    Shell { completer: &Elvish, file: "lanyard.elv" },
    Shell { completer: &Nushell, file: "lanyard.nu" },
];

/// Print the completion script for a shell
#[derive(clap::Args, Debug)]
#[command(
    long_about = "Print the completion script for a shell\n\nThe script asks lanyard at every TAB, so commands, flags \
                  and the names of your profiles, projects and services complete, and it need not be made again.",
    after_help = "Example:\n  lanyard completions zsh > ~/.zfunc/_lanyard\n\nWhere each shell looks:\n  \
                  bash        ~/.local/share/bash-completion/completions/lanyard\n  \
                  zsh         _lanyard in a folder of $fpath\n  \
                  fish        ~/.config/fish/completions/lanyard.fish\n  \
                  powershell  a file that $PROFILE runs\n  \
                  elvish      a file that rc.elv evaluates\n  \
                  nushell     a file that config.nu sources"
)]
pub struct Args {
    /// The shell to print the script for
    #[arg(value_name = "SHELL", value_parser = PossibleValuesParser::new(SHELLS.map(|shell| shell.completer.name())))]
    shell: String,
}

impl Args {
    /// Runs the command.
    pub fn run(self, doors: &Doors<'_>) -> Result<()> {
        for shell in SHELLS.iter().filter(|shell| shell.completer.name() == self.shell) {
            doors.ui.answer_bytes(&script(shell).map_err(UiError::Write)?)?;
        }
        Ok(())
    }
}

/// Answers a shell that asks for completions, and ends the process. Costs a normal command one look at a variable.
pub(super) fn answer_the_shell() {
    let completers = SHELLS.map(|shell| shell.completer);
    CompleteEnv::with_factory(Cli::command)
        .var(ASKED_BY)
        .bin(BINARY)
        .completer(BINARY)
        .shells(Shells(&completers))
        .complete();
}

fn script(shell: &Shell) -> io::Result<Vec<u8>> {
    let mut script = Vec::new();
    shell.completer.write_registration(ASKED_BY, BINARY, BINARY, BINARY, &mut script)?;
    if shell.completer.is("zsh") {
        // Found in $fpath, the file is the body of `_lanyard`, which the first TAB expects to complete already.
        let first_call = "\nif [[ \"$funcstack[1]\" == _lanyard ]]; then\n    _clap_dynamic_completer_lanyard\nfi\n";
        script.extend_from_slice(first_call.as_bytes());
    }
    let text = String::from_utf8_lossy(&script);
    let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
    Ok((lines.join("\n") + "\n").into_bytes())
}

/// The profiles in the configuration: `#[arg(add = ArgValueCandidates::new(completions::profiles))]`.
pub fn profiles() -> Vec<CompletionCandidate> {
    let config = configuration();
    let about = |service: Option<&String>, account: Option<&String>| {
        [account, service].into_iter().flatten().map(|part| clean(part)).collect::<Vec<_>>().join(", ")
    };
    candidates(
        config
            .profiles
            .iter()
            .map(|(name, profile)| (name.clone(), about(profile.service.as_ref(), profile.account.as_ref()))),
    )
}

/// The services in the configuration and the built-in ones.
pub fn services() -> Vec<CompletionCandidate> {
    let config = configuration();
    let built_in = presets::PRESETS.iter().map(|preset| (preset.name.to_owned(), "built in".to_owned()));
    let own = config
        .services
        .iter()
        .map(|(name, service)| (name.clone(), service.issuer.as_deref().map(clean).unwrap_or_default()));
    candidates(built_in.chain(own))
}

/// The projects that profiles have used.
pub fn projects() -> Vec<CompletionCandidate> {
    let config = configuration();
    candidates(config.profiles.into_values().filter_map(|profile| Some((profile.project?, String::new()))))
}

/// The credentials in the vault of this machine. Opens no secret.
pub fn credentials() -> Vec<CompletionCandidate> {
    let env = Env::of_process(typed_config_dir(std::env::args()));
    let now = || env.now();
    let nowhere = |_| Err(StoreError::NoPassphrase);
    let vault = Local::new(&env.data_dir(), Choice::Auto, Box::new(nowhere), &now);
    let mut all = Vec::new();
    // What can be read helps, even where something cannot.
    let _ = vault.each(&mut |metadata| all.push((typed(&metadata), metadata.kind.title.to_owned())));
    candidates(all.into_iter())
}

/// Each name once, with the last explanation. A name that a shell or a terminal could act on is left out.
fn candidates(found: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let acts = |character: char| {
        is_unprintable(character) || character.is_whitespace() || "\\'\"`$&|;<>()*?[]{}!#~".contains(character)
    };
    let found: BTreeMap<String, String> = found.filter(|(name, _)| !name.is_empty() && !name.contains(acts)).collect();
    found
        .into_iter()
        .map(|(name, help)| CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into())))
        .collect()
}

/// The configuration as far as it can be read, from the folder that the half-typed command line names.
fn configuration() -> Config {
    let env = Env::of_process(typed_config_dir(std::env::args()));
    let text = files::read(&env.config_dir().join("config.toml")).ok().flatten();
    text.and_then(|text| toml::from_slice(&text).ok()).unwrap_or_default()
}

fn typed_config_dir(words: impl Iterator<Item = String>) -> Option<PathBuf> {
    let mut words = words.skip_while(|word| word != "--");
    while let Some(word) = words.next() {
        if word == "--config-dir" {
            return words.next().map(PathBuf::from);
        }
        if let Some(dir) = word.strip_prefix("--config-dir=") {
            return Some(PathBuf::from(dir));
        }
    }
    None
}

/// Every generated file, by its path under `completions/`: a script per shell, a manual page per command.
pub fn generated() -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for shell in &SHELLS {
        files.insert(PathBuf::from(shell.file), script(shell)?);
    }
    let mut command = Cli::command();
    command.build();
    manual(&command, &mut files)?;
    Ok(files)
}

fn manual(command: &clap::Command, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        manual(inner, files)?;
    }
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text)?;
    files.insert(Path::new("man").join(page.get_filename()), text);
    Ok(())
}

/// Writes every generated file below `dir` and removes manual pages of commands that are gone.
#[expect(clippy::disallowed_methods, reason = "files of the repository, which git keeps whole")]
pub fn generate(dir: &Path) -> io::Result<()> {
    let pages = dir.join("man");
    if pages.exists() {
        std::fs::remove_dir_all(&pages)?;
    }
    std::fs::create_dir_all(&pages)?;
    generated()?.into_iter().try_for_each(|(path, content)| std::fs::write(dir.join(path), content))
}

#[cfg(test)]
mod tests;
