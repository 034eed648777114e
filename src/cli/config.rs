//! `lanyard config …`

use std::fmt::Write as _;
use std::process::Command as Process;

use serde_json::json;

use crate::cli::active::{load, secret_variables, wants_json};

use crate::cli::{Doors, ui};
use crate::config::check::Entry;
use crate::config::schema::{FIELDS, Field, Kind};
use crate::config::{Config, ConfigError, document, edit, schema};
use crate::error::Result;
use crate::os::{files, program};
use crate::text::{clean, nearest};

/// Read and change the configuration
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// Print the value of a key
    #[command(after_help = with_keys("Example:\n  lanyard config get profiles.work.endpoint"))]
    Get {
        /// The key, such as defaults.storage
        #[arg(value_parser = crate::cli::ui::name)]
        key: String,
    },
    /// Give a key a value
    #[command(after_help = with_keys("Example:\n  lanyard config set defaults.storage keychain"))]
    Set {
        /// The key, such as defaults.storage
        #[arg(value_parser = crate::cli::ui::name)]
        key: String,
        /// The value; a list has commas between
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Take the value of a key away
    #[command(after_help = with_keys("Example:\n  lanyard config unset profiles.work.project"))]
    Unset {
        /// The key, such as profiles.work.project
        #[arg(value_parser = crate::cli::ui::name)]
        key: String,
    },
    /// Print every key that is set, with its line
    ///
    /// With --json: an array of objects with key, value, file and line.
    #[command(after_help = "Example:\n  lanyard config list")]
    List,
    /// Print where the configuration is
    #[command(after_help = "Example:\n  lanyard config path")]
    Path,
    /// Open the configuration in an editor, and check it before it is put in place
    #[command(after_help = "Example:\n  EDITOR=nano lanyard config edit")]
    Edit,
    /// Make a profile the default one
    #[command(after_help = "Example:\n  lanyard config set-profile work")]
    SetProfile {
        /// The profile
        #[arg(value_parser = crate::cli::ui::name, add = clap_complete::ArgValueCandidates::new(crate::cli::completions::profiles))]
        name: String,
    },
}

/// An example and the list of keys.
fn with_keys(example: &str) -> String {
    let mut text = format!("{example}\n\nKeys (* stands for a name; one that holds a dot is quoted):");
    for Field { path, doc, .. } in FIELDS.iter().filter(|field| !field.path.contains('#')) {
        // Writing into a String cannot fail.
        let _ = write!(text, "\n  {path:<36}  {doc}");
    }
    text
}

impl Command {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        match self {
            Self::Get { key } => get(doors, &key),
            Self::Set { key, value } => set(doors, &key, &value),
            Self::Unset { key } => unset(doors, &key),
            Self::List => list(doors),
            Self::Path => doors.ui.answer(&edit::file(doors.env).display().to_string()),
            Self::Edit => edit_file(doors),
            Self::SetProfile { name } => set_profile(doors, &name),
        }
    }
}

fn get(doors: &Doors<'_>, key: &str) -> Result<()> {
    let (segments, _) = schema::lookup(key)?;
    let (config, entries) = Config::load_with_entries(doors.env)?;
    let key = schema::join(&segments);
    let entry = entries.iter().find(|entry| entry.key == key).ok_or(ConfigError::NotSet { key })?;
    if wants_json(doors, &config) { doors.ui.answer_json(&entry.value) } else { doors.ui.answer(&entry.shown()) }
}

fn set(doors: &Doors<'_>, key: &str, text: &str) -> Result<()> {
    let (segments, field) = schema::lookup(key)?;
    refuse_rules(&segments)?;
    if field.kind == Kind::Hidden || ui::looks_like_a_token(text) {
        doors.ui.warn("other users of the machine can see what stands on a command line, and the shell remembers it");
    }
    let value = schema::value(&segments, field, text)?;
    edit::edit(doors.env, |document| Ok(document::set(document, &segments, value)?))?;
    if field.path == "profile" && !load(doors)?.profiles.contains_key(text) {
        doors.ui.warn(&format!("there is no profile {text} yet; `lanyard auth login --profile {text}` makes it"));
    }
    doors.ui.done(&format!("{} is set", schema::join(&segments)));
    Ok(())
}

fn unset(doors: &Doors<'_>, key: &str) -> Result<()> {
    let (segments, _) = schema::lookup(key)?;
    refuse_rules(&segments)?;
    if edit::edit(doors.env, |document| Ok(document::unset(document, &segments)))? {
        doors.ui.done(&format!("{} is no longer set", schema::join(&segments)));
    } else {
        doors.ui.note(&format!("{} was not set", schema::join(&segments)));
    }
    Ok(())
}

fn refuse_rules(key: &[String]) -> Result<(), ConfigError> {
    if key.first().is_none_or(|section| section != "rules") {
        return Ok(());
    }
    Err(ConfigError::BadKey {
        key: schema::join(key),
        problem: "belongs to a directory rule",
        mend: "use `lanyard profile bind` and `lanyard profile unbind`".into(),
    })
}

fn list(doors: &Doors<'_>) -> Result<()> {
    let config = load(doors)?;
    let (_, entries) = Config::load_with_entries(doors.env)?;
    if wants_json(doors, &config) {
        let file = config.path.display().to_string();
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| {
                let value = if is_hidden(entry) { json!("[redacted]") } else { entry.value.clone() };
                json!({ "key": entry.key, "value": value, "file": file, "line": entry.line })
            })
            .collect();
        return doors.ui.answer_json(&rows);
    }
    for entry in &entries {
        let value = if is_hidden(entry) { "[redacted]".to_owned() } else { clean(&entry.shown()) };
        doors.ui.answer(&format!("{}={value}  # line {}", entry.key, entry.line))?;
    }
    Ok(())
}

fn is_hidden(entry: &Entry) -> bool {
    entry.field.kind == Kind::Hidden
}

fn set_profile(doors: &Doors<'_>, name: &str) -> Result<()> {
    edit::check_name(name)?;
    existing(&load(doors)?, name)?;
    edit::edit(doors.env, |document| Ok(document::set(document, &["profile".into()], name.into())?))?;
    doors.ui.done(&format!("{name} is the default profile"));
    Ok(())
}

/// Refuses the name of a profile that is not configured.
pub(super) fn existing(config: &Config, name: &str) -> Result<(), ConfigError> {
    if config.profiles.contains_key(name) {
        return Ok(());
    }
    Err(ConfigError::NoProfile {
        name: clean(name),
        chosen_by: "the command line".into(),
        nearest: nearest(name, config.profiles.keys().map(String::as_str)).map(str::to_owned),
    })
}

/// Lets the person edit a private copy until it is sound, then puts it in place if nobody else changed the file.
fn edit_file(doors: &Doors<'_>) -> Result<()> {
    let path = edit::file(doors.env);
    let original = files::read(&path)?;
    let before = original.clone().unwrap_or_default();
    files::create_private_dir(doors.env.config_dir())?;
    let io = |cause| files::FileError::Io { action: "write", path: path.clone(), cause };
    let mut private = tempfile::Builder::new();
    private.prefix(".edit.");
    #[cfg(unix)]
    private.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let folder = private.tempdir_in(doors.env.config_dir()).map_err(io)?;
    let copy = folder.path().join(crate::config::FILE);
    files::replace(&copy, &before, false)?;
    loop {
        run_editor(doors, &copy)?;
        let edited = files::read(&copy)?.unwrap_or_default();
        if edited == before {
            doors.ui.note("nothing changed");
            return Ok(());
        }
        let Err(error) = put(doors, original.as_deref(), &copy, &edited) else {
            doors.ui.done(&format!("{} is changed", path.display()));
            return Ok(());
        };
        if matches!(error, ConfigError::Changed { .. }) {
            let kept = folder.keep().join(crate::config::FILE);
            return Err(ConfigError::Changed { path, kept: Some(kept) }.into());
        }
        if !doors.ui.is_interactive() {
            return Err(error.into());
        }
        doors.ui.warn(&error.to_string());
        if !doors.ui.confirm("Edit again?", true, "a sound text")? {
            return Err(error.into());
        }
    }
}

/// Checks under the name of the copy, so that the message points at the text that was edited.
fn put(doors: &Doors<'_>, original: Option<&[u8]>, copy: &std::path::Path, edited: &[u8]) -> Result<(), ConfigError> {
    let text = crate::config::check::sound(copy, edited)?;
    edit::replace_text(doors.env, original, text)
}

/// Runs the person's editor on a file and waits. Words are split at white space, and no shell reads them.
fn run_editor(doors: &Doors<'_>, file: &std::path::Path) -> Result<(), ConfigError> {
    let fallback = if cfg!(windows) { "notepad" } else { "vi" };
    let line = doors.env.var("VISUAL").or_else(|| doors.env.var("EDITOR")).unwrap_or(fallback);
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or(fallback);
    let mut process = Process::new(name);
    process.args(words).arg(file);
    let failed = |problem: String| ConfigError::Editor { program: clean(name), problem };
    let Some(mut located) = program::located(doors.env, &process) else {
        return Err(failed("is in no absolute folder of PATH".into()));
    };
    for variable in secret_variables(doors.env) {
        located.env_remove(variable);
    }
    match located.current_dir(doors.env.working_dir()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(failed("ended with an error, and nothing was changed".into())),
        Err(error) => Err(failed(format!("cannot be run ({})", error.kind()))),
    }
}
