//! Profiles: what the configuration file and the credentials file say together.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::ini::{self, Section};
use crate::os::files;
use crate::provider::{Discovered, Here, ProviderError};
use crate::secret::Secret;

/// The profile that counts where none is named.
pub(super) const DEFAULT: &str = "default";

/// One of the two files.
#[derive(Debug)]
pub(super) struct File {
    /// Where it lies, or would.
    pub(super) path: PathBuf,
    /// What a person calls it.
    what: &'static str,
    /// Whether its place does not depend on the folder that one happens to stand in.
    fixed: bool,
    sections: Vec<Section>,
}

/// Both files.
#[derive(Debug)]
pub(super) struct Files {
    /// `~/.aws/config`.
    pub(super) config: File,
    /// `~/.aws/credentials`.
    pub(super) credentials: File,
}

/// A profile. A key of the credentials file counts before one of the configuration file.
#[derive(Debug)]
pub(super) struct Profile<'f> {
    /// Its name.
    pub(super) name: String,
    /// Its section in the configuration file.
    pub(super) config: Option<&'f Section>,
    /// Its section in the credentials file.
    pub(super) credentials: Option<&'f Section>,
}

impl File {
    /// One that is broken is as good as empty, and is told.
    fn read(here: &Here<'_>, (variable, usual, what): (&str, &str, &'static str), all: &mut Discovered) -> Self {
        let chosen = here.env.var(variable).map(|path| here.env.expand_home(path));
        let fixed = chosen.as_ref().is_none_or(|path| path.is_absolute());
        let path = chosen.or_else(|| here.home(usual)).unwrap_or_else(|| PathBuf::from(usual));
        let path = here.env.working_dir().join(path);
        let mut file = Self { path, what, fixed, sections: Vec::new() };
        file.sections = all.value(file.parsed(here));
        file
    }

    fn parsed(&self, here: &Here<'_>) -> Result<Vec<Section>, ProviderError> {
        let Some(bytes) = files::read(&self.path)?.map(Zeroizing::new) else { return Ok(Vec::new()) };
        let text = std::str::from_utf8(&bytes).map_err(|_| self.foreign(here, "it is no text in UTF-8"))?;
        ini::parse(text).map_err(|bad| self.foreign(here, &format!("line {}: {}", bad.line, bad.problem)))
    }

    /// It is there and is not what it should be.
    fn foreign(&self, here: &Here<'_>, problem: &str) -> ProviderError {
        ProviderError::Foreign { place: here.shown(&self.path), what: self.what, problem: problem.to_owned() }
    }

    /// A profile in it cannot be used, for a reason that stands at a key.
    pub(super) fn broken(&self, here: &Here<'_>, section: &Section, key: &str, problem: &str) -> ProviderError {
        let line = section.line_of(key).unwrap_or(section.line);
        self.foreign(here, &format!("line {line}: {problem}"))
    }

    /// Whether a program may be run because this file says so: nobody else can have written it, and no folder that one
    /// happens to stand in decides which file it is.
    pub(super) fn may_start_programs(&self) -> bool {
        self.fixed && !files::others_could_write(&self.path)
    }

    fn section(&self, kind: &str, name: &str) -> Option<&Section> {
        let is_it = |section: &&Section| named(&section.name, kind).as_deref() == Some(name);
        self.sections.iter().rfind(is_it)
    }
}

impl Files {
    /// Reads both. One that is not there is empty; what is wrong with one is noted in `all`.
    pub(super) fn read(here: &Here<'_>, all: &mut Discovered) -> Self {
        let config = ("AWS_CONFIG_FILE", ".aws/config", "AWS configuration file");
        let credentials = ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", "AWS credentials file");
        Self { config: File::read(here, config, all), credentials: File::read(here, credentials, all) }
    }

    /// Every profile, in the order of the credentials file, then of the configuration file.
    pub(super) fn profiles(&self) -> Vec<Profile<'_>> {
        let mut names: Vec<String> = self.credentials.sections.iter().map(|section| section.name.clone()).collect();
        for name in self.config.sections.iter().filter_map(|section| profile_name(&section.name)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.iter().filter_map(|name| self.profile(name)).collect()
    }

    /// The profile of that name.
    pub(super) fn profile(&self, name: &str) -> Option<Profile<'_>> {
        let is_it = |section: &&Section| profile_name(&section.name).as_deref() == Some(name);
        let config = self.config.sections.iter().rfind(is_it);
        let credentials = self.credentials.sections.iter().find(|section| section.name == name);
        (config.is_some() || credentials.is_some()).then(|| Profile { name: name.to_owned(), config, credentials })
    }

    /// The address of STS that a profile names, for itself or through `[services NAME]`.
    pub(super) fn endpoint<'f>(&'f self, profile: &Profile<'f>) -> Option<&'f str> {
        let services = profile.text("services").and_then(|name| self.config.section("services", name));
        services.and_then(|services| services.nested("sts", "endpoint_url")).or_else(|| profile.text("endpoint_url"))
    }

    /// Whether requests of a profile go to an address that it names, for any service.
    pub(super) fn names_an_endpoint(&self, profile: &Profile<'_>) -> bool {
        let services = profile.text("services").and_then(|name| self.config.section("services", name));
        let own = [profile.config, profile.credentials].into_iter().flatten();
        profile.text("endpoint_url").is_some()
            || services.into_iter().chain(own).any(|section| section.nests("endpoint_url"))
    }

    /// The file and the section in which a profile has a key.
    pub(super) fn where_is<'f>(&'f self, profile: &Profile<'f>, key: &str) -> Option<(&'f File, &'f Section)> {
        let has = |section: &&Section| section.get(key).is_some();
        let credentials = profile.credentials.filter(has).map(|section| (&self.credentials, section));
        credentials.or_else(|| profile.config.filter(has).map(|section| (&self.config, section)))
    }

    /// Both files as a person reads them.
    pub(super) fn shown(&self, here: &Here<'_>) -> String {
        format!("{} and {}", here.shown(&self.config.path), here.shown(&self.credentials.path))
    }
}

impl<'f> Profile<'f> {
    /// A value.
    pub(super) fn get(&self, key: &str) -> Option<&'f Secret> {
        self.credentials.and_then(|section| section.get(key)).or_else(|| self.config?.get(key))
    }

    /// A value that is no secret.
    pub(super) fn text(&self, key: &str) -> Option<&'f str> {
        self.get(key).map(Secret::expose)
    }

    /// Its section as it stands in the file: `[profile staging]`.
    pub(super) fn entry(section: &Section) -> String {
        format!("[{}]", section.name)
    }
}

/// The name in a section of the configuration file, where it is a profile.
fn profile_name(section: &str) -> Option<String> {
    if section == DEFAULT { Some(DEFAULT.to_owned()) } else { named(section, "profile") }
}

/// `kind NAME`, with the name in quotes where it has blanks.
fn named(section: &str, kind: &str) -> Option<String> {
    let mut words = ini::words(section.strip_prefix(kind)?.strip_prefix(char::is_whitespace)?)?.into_iter();
    words.next().filter(|_| words.next().is_none())
}

/// The profile that the official tools use when none is named, and whether the surroundings chose it.
pub(super) fn active<'e>(here: &Here<'e>) -> (&'e str, bool) {
    // The CLI looks at them in this order.
    let chosen = here.env.var("AWS_DEFAULT_PROFILE").or_else(|| here.env.var("AWS_PROFILE"));
    (chosen.unwrap_or(DEFAULT), chosen.is_some())
}

/// The folder below `~/.aws` in which official tools keep something.
pub(super) fn below_aws(here: &Here<'_>, path: &str) -> Option<PathBuf> {
    Some(here.home(".aws")?.join(Path::new(path)))
}
