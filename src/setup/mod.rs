//! Setting up tools: what each tool's own configuration must say so that it asks lanyard, one file a tool.
//!
//! A tool tells what its files would hold; it writes nothing. Showing, backing up, writing and undoing are the same for
//! all of them and stand in [`change`].
//!
//! To add one: write `setup/NAME.rs`, and add its word to the list below.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::credential::{Address, Metadata};
use crate::error::{Code, Failure};
use crate::helper;
use crate::os::files::{self, FileError};
use crate::os::{Env, program};
use crate::provider::{self, Here};
use crate::secret::Secret;
use crate::vault::VaultError;

mod block;
pub mod change;
mod ini;
mod json;
mod links;

pub use change::{Done, Saved, apply, is_set_up, saved, undo};

/// Declares the modules of the tools and lists them, so that adding one is one word in one place.
macro_rules! tools {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+
        /// Every tool, in the order in which lists show them.
        pub static TOOLS: &[&dyn Tool] = &[$(&$module::TOOL),+];
    };
}

tools! {
    git,
    docker,
    kubectl,
    aws,
    cargo,
    pip,
    uv,
    npm,
    terraform,
    bazel,
    go,
    ssh,
}

/// What lanyard knows of one tool's configuration.
pub trait Tool: Sync {
    /// The word on the command line: `git`.
    fn name(&self) -> &'static str;

    /// What a person calls it, and what is set up: `git over HTTPS`.
    fn title(&self) -> &'static str;

    /// The programs by which the tool is found on this machine; any of them will do.
    fn programs(&self) -> &'static [&'static str];

    /// What its files have to hold. Reads them, and writes nothing.
    fn plan(&self, site: &Site<'_>) -> Result<Plan, SetupError>;

    /// The content of one of its files without what [`Tool::plan`] puts there. What that replaced comes back out of
    /// `before`, what the file held before.
    ///
    /// # Errors
    /// [`SetupError::Unclear`] when the file is in a form in which our part cannot be told from the others'.
    fn without(&self, env: &Env, path: &Path, text: &str, before: &str) -> Result<String, SetupError> {
        let _ = (env, before);
        block::taken_out(path, text)
    }

    /// Asks the tool itself whether it would ask lanyard; `None` where it cannot be asked, else what it says.
    fn check(&self, site: &Site<'_>) -> Result<Option<String>, SetupError> {
        let _ = site;
        Ok(None)
    }

    /// Where the tool keeps credentials in plain text when it is not set up: the provider that finds them, and a part of
    /// the place's name.
    fn replaces(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

/// Writes a credential as the file of an official tool, named by the word of that file.
pub type Exported<'e> = dyn Fn(&Metadata, &str) -> Result<Option<Secret>, SetupError> + 'e;

/// Where tools are set up.
pub struct Site<'s> {
    /// The surroundings.
    pub env: &'s Env,
    /// The program as tools should call it, with its whole path.
    pub program: &'s Path,
    /// What is in the vault.
    pub credentials: &'s [Metadata],
    /// The content of an official tool's file that a credential can be written as.
    pub exported: &'s Exported<'s>,
    /// The hosts that the user named beyond those of the credentials.
    pub hosts: &'s [Address],
    /// The credential that the user named.
    pub credential: Option<&'s str>,
}

impl Site<'_> {
    /// A path below the home folder.
    pub fn home(&self, path: &str) -> Result<PathBuf, SetupError> {
        Ok(self.env.home().ok_or(SetupError::NoHome)?.join(path))
    }

    /// The credentials that the helper of that name hands out; the named one alone, where one was named.
    pub fn served_by(&self, helper: &str) -> impl Iterator<Item = &Metadata> {
        self.of_kinds(helper::by_name(helper).map_or(&[], |helper| helper.kinds()))
    }

    /// The credentials of these kinds; the named one alone, where one was named.
    pub fn of_kinds<'a>(&'a self, kinds: &'a [&str]) -> impl Iterator<Item = &'a Metadata> {
        let named = |metadata: &&Metadata| self.credential.is_none_or(|name| metadata.name == name);
        self.credentials.iter().filter(|metadata| kinds.contains(&metadata.kind.id)).filter(named)
    }
}

/// Whether a tool is on this machine.
pub fn is_here(env: &Env, tool: &dyn Tool) -> bool {
    tool.programs().iter().any(|name| program::find(env, name).is_some())
}

/// What is to be changed.
#[derive(Debug, Default)]
pub struct Plan {
    /// The changes, in the order in which they are made.
    pub edits: Vec<Edit>,
    /// What the user should know beyond that.
    pub notes: Vec<String>,
}

impl Plan {
    /// Plans a new content for a file, made from the present one.
    pub fn file(&mut self, path: PathBuf, make: impl Fn(&str) -> Result<String, SetupError>) -> Result<(), SetupError> {
        let before = read(&path)?;
        let after = make(before.as_deref().unwrap_or_default())?;
        // What is made of nothing is lanyard's, every word of it.
        let own = make("")?;
        self.edits.push(Edit::File { path, before, after, own });
        Ok(())
    }

    /// Plans a link to the program under another name.
    pub fn link(&mut self, path: PathBuf, to: &Path) {
        self.edits.push(Edit::Link { path, to: to.to_owned() });
    }
}

/// The content of a tool's file; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<String>, SetupError> {
    let Some(bytes) = files::read(path)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| SetupError::NoText { path: path.to_owned() })
}

/// One change.
#[derive(Debug, PartialEq, Eq)]
pub enum Edit {
    /// A file gets another content.
    File {
        /// The file.
        path: PathBuf,
        /// What it holds now; `None` where there is none.
        before: Option<String>,
        /// What it is to hold.
        after: String,
        /// What it would hold if lanyard's part were all: of the rest, no value is shown to anybody.
        own: String,
    },
    /// The program gets another name.
    Link {
        /// The name.
        path: PathBuf,
        /// The program.
        to: PathBuf,
    },
}

impl Edit {
    /// Whether it changes anything.
    pub fn is_due(&self) -> bool {
        match self {
            Self::File { before, after, .. } => before.as_deref().unwrap_or_default() != after,
            Self::Link { path, to } => !links::leads(path, to),
        }
    }

    /// The file or link that it changes.
    pub fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } | Self::Link { path, .. } => path,
        }
    }
}

/// Why a tool is not set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the tool is no text.
    #[error("{} is no text", .path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// A file of the tool is written in a way that cannot be changed without harm.
    #[error("{} is not changed: {problem}", .path.display())]
    Unclear {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        problem: String,
        /// What the user can do.
        mend: String,
    },
    /// Somebody else changed a file meanwhile.
    #[error("{} was changed by somebody else meanwhile", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Something else stands where a link should be.
    #[error("{} is there already and is not lanyard's", .path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
    },
    /// There is no home folder.
    #[error("there is no home folder")]
    NoHome,
    /// Nothing in the vault is for this tool.
    #[error("nothing in the vault is for {tool}")]
    NothingToServe {
        /// The tool.
        tool: &'static str,
        /// The command that stores what it could use.
        store: &'static str,
    },
    /// A credential could not be opened.
    #[error("a credential cannot be opened")]
    Closed(#[source] Box<VaultError>),
    /// The tool is needed for its own set-up, and is not here.
    #[error("{tool} is not on this machine")]
    NoTool {
        /// The tool.
        tool: &'static str,
    },
    /// The tool does not ask lanyard, although its configuration says so.
    #[error("{tool} does not ask lanyard: {problem}")]
    NotAsked {
        /// The tool.
        tool: &'static str,
        /// What it does instead.
        problem: String,
    },
}

impl Failure for SetupError {
    fn code(&self) -> Code {
        match self {
            Self::File(failure) => failure.code(),
            Self::NoHome | Self::NoText { .. } | Self::Unclear { .. } | Self::InTheWay { .. } => Code::Config,
            Self::Changed { .. } | Self::NotAsked { .. } => Code::Failed,
            Self::Closed(failure) => failure.code(),
            Self::NothingToServe { .. } | Self::NoTool { .. } => Code::Usage,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::File(failure) => return failure.mend(),
            Self::NoText { path } => format!("look at {}", path.display()),
            Self::Unclear { mend, .. } => mend.clone(),
            Self::Changed { .. } => "run the command once more".into(),
            Self::InTheWay { path } => format!("move {} away", path.display()),
            Self::Closed(failure) => return failure.mend(),
            Self::NoTool { tool } => format!("install {tool} first"),
            Self::NoHome => "set HOME".into(),
            Self::NothingToServe { store, .. } => format!("store something first: {store}"),
            Self::NotAsked { .. } => "look at the tool's other configuration files, which may say otherwise".into(),
        })
    }
}

/// The tool of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Tool> {
    TOOLS.iter().find(|tool| tool.name() == name).copied()
}

/// A place where a tool keeps a credential that need not lie there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    /// The provider that finds it there.
    pub provider: &'static str,
    /// The place as a person reads it.
    pub place: String,
    /// The file.
    pub path: PathBuf,
}

/// What lies on this machine in plain text that a tool would not need if it asked lanyard. Nothing is sent anywhere.
pub fn left_over(env: &Env, tool: &dyn Tool) -> Vec<LeftOver> {
    let given = BTreeMap::new();
    let here = Here { env, given: &given };
    let mut found = Vec::new();
    for (name, part) in tool.replaces() {
        let Some(provider) = provider::by_name(name) else { continue };
        let origins = provider.discover(&here).found.into_iter().map(|found| found.origin);
        let plain = origins.filter(|origin| origin.plain_text && origin.place.contains(part));
        found.extend(plain.filter_map(|origin| {
            Some(LeftOver { provider: provider.name(), place: origin.place, path: origin.path? })
        }));
    }
    found.dedup();
    found
}

/// The program as tools should call it: where `PATH` finds it, if that is this very program, so that an update which
/// puts a new one in its place needs no new set-up; else where it is.
pub fn program(env: &Env) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("lanyard"));
    let real = own.canonicalize().unwrap_or_else(|_| own.clone());
    program::find(env, "lanyard").filter(|found| found.canonicalize().is_ok_and(|found| found == real)).unwrap_or(own)
}
