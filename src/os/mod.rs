//! The process's surroundings: variables, folders, terminal, clock, files, and what the process hides of itself.
//!
//! [`Env`] is read once at the start and passed by reference, so a function that takes no `Env` cannot depend on the
//! surroundings and a test can invent its own.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};

#[cfg(unix)]
pub mod clock;
#[cfg(unix)]
pub mod descriptors;
pub mod files;
pub mod harden;
pub mod input;
#[cfg(unix)]
pub mod locked;
pub mod program;

/// The variable that names the configuration folder.
pub const CONFIG_DIR: &str = "LANYARD_CONFIG_DIR";
/// The variable that carries a bearer token for any service.
pub const TOKEN: &str = "LANYARD_TOKEN";
/// The variable that chooses the profile.
pub const PROFILE: &str = "LANYARD_PROFILE";
/// The variable that chooses the project.
pub const PROJECT: &str = "LANYARD_PROJECT";
/// The variable that names the endpoint a token variable is meant for.
pub const ENDPOINT: &str = "LANYARD_ENDPOINT";
/// The variable that names the data folder.
pub const DATA_DIR: &str = "LANYARD_DATA_DIR";
/// The variable that opens the encrypted file of `--storage file`.
pub const PASSPHRASE: &str = "LANYARD_PASSPHRASE";

/// What surrounds the process, as it was when it started.
#[derive(Clone)]
pub struct Env {
    variables: BTreeMap<String, String>,
    config_dir: PathBuf,
    config_dir_is_default: bool,
    home: Option<PathBuf>,
    working_dir: PathBuf,
    /// Whether a person can answer a question: stdin and stderr are both terminals.
    pub interactive: bool,
    /// Whether stdout is a terminal, so that a table may be drawn.
    pub stdout_is_terminal: bool,
    /// Whether stderr is a terminal, so that a countdown may be drawn.
    pub stderr_is_terminal: bool,
    /// Where only a part of another process's surroundings is known: which part, and whether more was asked for.
    part: Option<Arc<Part>>,
}

/// A part of another process's surroundings.
struct Part {
    is_known: fn(&str) -> bool,
    more_was_asked: AtomicBool,
}

impl Env {
    /// Reads the surroundings of this process. `config_dir` is the value of `--config-dir`, which wins over the
    /// variable `LANYARD_CONFIG_DIR`, which wins over the platform's folder.
    ///
    /// When the program runs with more rights than its caller (set-user-id or set-group-id), every `LANYARD_*`
    /// variable is ignored, as `secure_getenv(3)` would.
    pub fn of_process(config_dir: Option<PathBuf>) -> Self {
        let trusted = !harden::runs_with_raised_rights();
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, value)| !value.is_empty() && (trusted || !name.starts_with("LANYARD_")))
            .collect();
        let stderr_is_terminal = std::io::stderr().is_terminal();
        let working_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let home = etcetera::home_dir().ok();
        let chosen = config_dir.or_else(|| variables.get(CONFIG_DIR).map(PathBuf::from));
        let (config_dir, config_dir_is_default) = match chosen {
            Some(dir) => (working_dir.join(dir), false),
            None => (platform_config_dir(home.as_deref(), &variables), true),
        };
        Self {
            config_dir,
            config_dir_is_default,
            home,
            working_dir,
            interactive: std::io::stdin().is_terminal() && stderr_is_terminal,
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal,
            variables,
            part: None,
        }
    }

    /// The surroundings of another process that calls this one, as far as it has told them: the variables for which
    /// `is_known` holds, and the folder it was started in. [`Env::more_was_asked`] tells whether that was enough.
    #[must_use]
    pub fn of_caller(
        &self,
        variables: Vec<(String, String)>,
        working_dir: PathBuf,
        is_known: fn(&str) -> bool,
    ) -> Self {
        Self {
            variables: variables.into_iter().filter(|(name, value)| is_known(name) && !value.is_empty()).collect(),
            config_dir: self.config_dir.clone(),
            config_dir_is_default: self.config_dir_is_default,
            home: self.home.clone(),
            working_dir,
            interactive: false,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            part: Some(Arc::new(Part { is_known, more_was_asked: AtomicBool::new(false) })),
        }
    }

    /// Whether somebody wanted to know of a caller's surroundings what the caller has not told.
    pub fn more_was_asked(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.more_was_asked.load(Ordering::Relaxed))
    }

    /// Notes that something was asked for that may not be known.
    fn note(&self, is_known: impl FnOnce(fn(&str) -> bool) -> bool) {
        if let Some(part) = &self.part
            && !is_known(part.is_known)
        {
            part.more_was_asked.store(true, Ordering::Relaxed);
        }
    }

    /// Surroundings made up by a test: nothing is read from the process.
    pub fn invented(config_dir: &Path, working_dir: &Path, variables: &[(&str, &str)]) -> Self {
        Self {
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            config_dir: config_dir.to_owned(),
            config_dir_is_default: false,
            home: config_dir.parent().map(Path::to_owned),
            working_dir: working_dir.to_owned(),
            interactive: false,
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            part: None,
        }
    }

    /// The same surroundings as a person has them who was asked from the terminal behind a tool, with the folder that
    /// the tool was started in left out of everything: a tool may stand in a clone.
    #[must_use]
    pub fn behind_a_tool(&self) -> Self {
        let working_dir = PathBuf::from("/");
        Self { working_dir, interactive: true, stderr_is_terminal: true, ..self.clone() }
    }

    /// Surroundings in which nothing is set.
    pub fn empty() -> Self {
        Self::invented(Path::new(""), Path::new(""), &[])
    }

    /// The value of a variable; an empty or non-UTF-8 one counts as unset.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.note(|is_known| is_known(name));
        self.variables.get(name).map(String::as_str)
    }

    /// Every variable.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.note(|_| false);
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The folder that holds the vault. It may not exist yet.
    ///
    /// `LANYARD_DATA_DIR`, else the configuration folder where the user chose one, else the platform's data folder:
    /// `$XDG_DATA_HOME/lanyard` or `~/.local/share/lanyard` on Unix, `%LOCALAPPDATA%\\lanyard` on Windows.
    pub fn data_dir(&self) -> PathBuf {
        if let Some(dir) = self.var(DATA_DIR) {
            return self.working_dir.join(dir);
        }
        if !self.config_dir_is_default {
            return self.config_dir.clone();
        }
        let chosen = if cfg!(windows) { self.var("LOCALAPPDATA") } else { self.var("XDG_DATA_HOME") };
        let base = chosen.map(PathBuf::from).filter(|dir| dir.is_absolute());
        let base = base.or_else(|| self.home().map(|home| home.join(".local/share")));
        base.map_or_else(|| self.config_dir.clone(), |base| base.join("lanyard"))
    }

    /// The folder in which official tools keep their configuration: `$XDG_CONFIG_HOME`, else `~/.config`.
    pub fn user_config_dir(&self) -> Option<PathBuf> {
        let chosen = self.var("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
        chosen.or_else(|| self.home().map(|home| home.join(".config")))
    }

    /// The folder that holds `config.toml`, the lock files and the file stores. It may not exist yet.
    pub fn config_dir(&self) -> &Path {
        &self.config_dir
    }

    /// Whether nobody chose the configuration folder.
    pub fn config_dir_is_default(&self) -> bool {
        self.config_dir_is_default
    }

    /// The user's home folder, where there is one.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The folder the process was started in.
    pub fn working_dir(&self) -> &Path {
        &self.working_dir
    }

    /// The wall clock.
    #[expect(clippy::disallowed_methods, reason = "this is where everybody else is sent to")]
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    /// Expands a leading `~` to the home folder; any other path is returned as it is.
    pub fn expand_home(&self, path: &str) -> PathBuf {
        match (path.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => PathBuf::from(path),
        }
    }
}

/// `$XDG_CONFIG_HOME/lanyard` or `~/.config/lanyard` on Unix, `%APPDATA%\lanyard` on Windows.
fn platform_config_dir(home: Option<&Path>, variables: &BTreeMap<String, String>) -> PathBuf {
    let base = if cfg!(windows) {
        variables.get("APPDATA").map(PathBuf::from)
    } else {
        variables.get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute())
    };
    base.or_else(|| home.map(|home| home.join(".config"))).unwrap_or_else(|| PathBuf::from(".")).join("lanyard")
}
