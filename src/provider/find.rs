//! What lies on this machine: where providers look, and what they find.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::credential::{Kind, Raw};
use crate::os::Env;
use crate::os::program;
use crate::provider::ProviderError;
use crate::secret::{Reason, Secret};

/// Something that `credentials store PROVIDER` can be told beyond the fields of the kinds.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// The flag without hyphens before it, or the name of a positional argument: `aws-profile`.
    pub name: &'static str,
    /// What stands for the value in the help: `PROFILE`. Empty for a switch.
    pub value: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Where it stands.
    pub place: Place,
}

/// How an input is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `--name VALUE`.
    Flag,
    /// `--name FILE`, where `-` is the content of a field from stdin, and `@FILE` the same as `FILE`.
    File(&'static str),
    /// `--name` alone.
    Switch,
    /// Without a flag, after the provider.
    Argument,
    /// Without a flag, any number of times.
    Arguments,
}

impl Input {
    /// `--name VALUE`.
    pub const fn flag(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, value, help, place: Place::Flag }
    }

    /// `--name FILE`: a file with the value of `field`, which may come from stdin as well.
    pub const fn file(name: &'static str, field: &'static str, help: &'static str) -> Self {
        Self { name, value: "FILE", help, place: Place::File(field) }
    }

    /// `--name`.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self { name, value: "", help, place: Place::Switch }
    }

    /// A word after the provider.
    pub const fn argument(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, value, help, place: Place::Argument }
    }

    /// Any number of words after the provider.
    pub const fn arguments(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, value, help, place: Place::Arguments }
    }
}

/// Where a provider looks: the surroundings, what the user said, and a way to run an official tool.
pub struct Here<'a> {
    /// The surroundings.
    pub env: &'a Env,
    /// The inputs that the user gave. A switch that is on has an empty value.
    pub given: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> Here<'a> {
    /// The value of an input; the first of several.
    pub fn input(&self, name: &str) -> Option<&'a str> {
        self.given.get(name)?.first().map(String::as_str)
    }

    /// All values of an input.
    pub fn inputs(&self, name: &str) -> &'a [String] {
        self.given.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// A path below the home folder; `None` where there is no home.
    pub fn home(&self, path: &str) -> Option<PathBuf> {
        Some(self.env.home()?.join(path))
    }

    /// The user's configuration folder: `$XDG_CONFIG_HOME`, else `~/.config`.
    pub fn xdg_config(&self) -> Option<PathBuf> {
        self.env.user_config_dir()
    }

    /// Runs an official tool and gives what it wrote to stdout. The program is found in absolute folders of `PATH`
    /// alone and ended after `seconds`.
    pub fn run(&self, name: &str, arguments: &[&str], seconds: u64) -> Result<Secret, Reason> {
        program::output(self.env, name, arguments, seconds)
    }

    /// As [`Here::run`], with a question on the tool's stdin, such as the host that a helper is asked about.
    pub fn ask(&self, name: &str, arguments: &[&str], question: &str, seconds: u64) -> Result<Secret, Reason> {
        program::answer(self.env, name, arguments, question, seconds)
    }

    /// Whether there is such a program in an absolute folder of `PATH`.
    pub fn has_program(&self, name: &str) -> bool {
        program::find(self.env, name).is_some()
    }

    /// A path as a person reads it, with `~` for the home folder.
    pub fn shown(&self, path: &Path) -> String {
        match self.env.home().and_then(|home| path.strip_prefix(home).ok()) {
            Some(rest) => format!("~/{}", rest.display()),
            None => path.display().to_string(),
        }
    }
}

/// A credential that lies on this machine.
#[derive(Debug)]
pub struct Found {
    /// Its kind.
    pub kind: &'static Kind,
    /// Its values, as far as they are known here.
    pub raw: Raw,
    /// The name it would get: that of the profile, the context, the host.
    pub name: Option<String>,
    /// Where it lies.
    pub origin: Origin,
    /// When it expires, where the place says so.
    pub expires: Option<DateTime<Utc>>,
}

/// What lies on this machine, and the places that something is wrong with. One broken place hides no other.
#[derive(Debug, Default)]
pub struct Discovered {
    /// What was found, the one that the official tool would use first.
    pub found: Vec<Found>,
    /// What could not be understood.
    pub broken: Vec<Broken>,
}

/// A place that something is wrong with.
#[derive(Debug)]
pub struct Broken {
    /// What is wrong.
    pub failure: ProviderError,
    /// Whether it is the very place that the user means, so that no other one will do: one that a flag or a variable
    /// names, or the profile in use.
    pub is_meant: bool,
}

impl Discovered {
    /// The one place that the user named: what it holds, or what is wrong with it.
    pub(super) fn only(place: Result<Vec<Found>, ProviderError>) -> Self {
        let mut all = Self::default();
        match place {
            Ok(found) => all.found = found,
            Err(failure) => all.meant(failure),
        }
        all
    }

    /// Adds what one place of several holds, or what is wrong with it.
    pub(super) fn add(&mut self, place: Result<impl IntoIterator<Item = Found>, ProviderError>) {
        match place {
            Ok(found) => self.found.extend(found),
            Err(failure) => self.broken(failure),
        }
    }

    /// Adds a place that something is wrong with.
    pub(super) fn broken(&mut self, failure: ProviderError) {
        self.broken.push(Broken { failure, is_meant: false });
    }

    /// Adds what is wrong with the place that the user means.
    pub(super) fn meant(&mut self, failure: ProviderError) {
        self.broken.push(Broken { failure, is_meant: true });
    }

    /// What a place gives, where something is wrong with it noted.
    pub(super) fn value<T: Default>(&mut self, place: Result<T, ProviderError>) -> T {
        place.unwrap_or_else(|failure| {
            self.broken(failure);
            T::default()
        })
    }

    /// Takes out why nothing can be chosen: the place that is meant is broken, or nothing was found and a place is.
    pub fn refusal(&mut self) -> Option<ProviderError> {
        let meant = self.broken.iter().position(|broken| broken.is_meant);
        let first = (self.found.is_empty() && !self.broken.is_empty()).then_some(0);
        Some(self.broken.remove(meant.or(first)?).failure)
    }

    /// What can be chosen from; or why nothing can.
    #[cfg(test)]
    pub fn choice(mut self) -> Result<Vec<Found>, ProviderError> {
        self.refusal().map_or(Ok(self.found), Err)
    }
}

/// Where a credential lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The place as a person reads it: `~/.aws/credentials [default]`, `$AWS_ACCESS_KEY_ID`, `aws configure`.
    pub place: String,
    /// The file, where it is one.
    pub path: Option<PathBuf>,
    /// Whether anybody who can read the place can read the secret.
    pub plain_text: bool,
    /// Whether the file holds nothing but this credential, so that it can be removed as a whole.
    pub whole_file: bool,
}

impl Origin {
    /// An entry of a readable file. `entry` is what tells it from the others in there; it may be empty.
    pub fn file(here: &Here<'_>, path: &Path, entry: &str) -> Self {
        let place = here.shown(path);
        let place = if entry.is_empty() { place } else { format!("{place} {entry}") };
        Self { place, path: Some(path.to_owned()), plain_text: true, whole_file: false }
    }

    /// The file holds nothing else.
    #[must_use]
    pub fn whole(mut self) -> Self {
        self.whole_file = true;
        self
    }

    /// A variable of the environment.
    pub fn variable(name: &str) -> Self {
        Self { place: format!("${name}"), path: None, plain_text: true, whole_file: false }
    }

    /// An official tool that was asked.
    pub fn tool(command: &str) -> Self {
        Self { place: format!("`{command}`"), path: None, plain_text: false, whole_file: false }
    }
}

/// By what a credential is recognised in any text.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// The kind it is of.
    pub kind: &'static str,
    /// The field that the match gives.
    pub field: &'static str,
    /// The service, for kinds with such a field; else empty.
    pub service: &'static str,
    /// A piece that every match contains, by which a text is passed over quickly.
    pub keyword: &'static str,
    /// A regular expression; its first group, where it has one, is the secret.
    pub pattern: &'static str,
}
