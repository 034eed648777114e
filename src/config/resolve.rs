//! Who wins and from where: flag, environment, the user's directory rules, the nearest project file, configuration,
//! default. Every candidate is kept with the reason it lost, for `lanyard which`.

use std::path::Path;

use super::error::{ConfigError, URL_MEND, url_problem};
use super::profile::{Candidate, Chains, EnvToken, Outcome, Overrides, PresetDefaults, Profile, Source, Sourced};
use super::project_file::{self, ProjectFile};
use super::schema::{self, Kind};
use super::{Config, Output, ProfileTable, ServiceTable, rules};
use crate::http::parse_url;
use crate::os::{ENDPOINT, Env, PROFILE, PROJECT, TOKEN};

/// The flag that gives a token.
const API_KEY: &str = "--api-key";
use crate::secret::{Choice, Secret};
use crate::text::{clean, nearest};

/// How a caller tells what a built-in service says; `config` does not know them.
pub type Presets<'a> = &'a dyn Fn(&str, Option<&str>) -> Option<PresetDefaults>;

/// Decides every setting for this process.
pub fn profile(config: &Config, env: &Env, overrides: &Overrides, preset: Presets<'_>) -> Result<Profile, ConfigError> {
    let found = project_file::find(env)?;
    let resolver = Resolver { config, env, overrides, preset, file: found.file, named: None };
    resolver.profile(found.warnings)
}

/// Decides every setting for the profile `name`, whichever is active.
///
/// What the flags and the generic variables say is meant for the active profile and holds for no other: otherwise
/// `--all` would send one token to every service.
pub fn named(
    config: &Config,
    env: &Env,
    overrides: &Overrides,
    preset: Presets<'_>,
    name: &str,
) -> Result<Profile, ConfigError> {
    let found = project_file::find(env)?;
    let resolver = Resolver { config, env, overrides, preset, file: found.file, named: None };
    let active = resolver.name().is_ok_and(|(active, _)| active.value == name);
    if active {
        resolver.profile(found.warnings)
    } else {
        Resolver { named: Some(name), ..resolver }.profile(Vec::new())
    }
}

/// Collects the candidates of one setting, strongest first.
#[derive(Default)]
struct Ladder {
    candidates: Vec<Candidate>,
    won: Option<Sourced<String>>,
}

impl Ladder {
    /// The next candidate; the first one with a value wins.
    fn offer(&mut self, source: Source, value: Option<String>, absent: &str) {
        match (&value, &self.won) {
            (None, _) => self.refuse(source, value, absent),
            (Some(_), Some(winner)) => {
                let reason = match &winner.source {
                    Source::Rule { directory, .. } => format!("the rule for {} wins", clean(directory)),
                    source => format!("{source} wins"),
                };
                self.refuse(source, value, &reason);
            }
            (Some(text), None) => {
                self.won = Some(Sourced { value: text.clone(), source: source.clone() });
                self.candidates.push(Candidate { value, source, outcome: Outcome::Won });
            }
        }
    }

    /// A candidate that cannot win.
    fn refuse(&mut self, source: Source, value: Option<String>, reason: &str) {
        self.candidates.push(Candidate { value, source, outcome: Outcome::Lost(reason.to_owned()) });
    }
}

const NOT_GIVEN: &str = "not given";
const NOT_SET: &str = "not set";
const OTHER_PROFILE: &str = "meant for the active profile";
const STRANGER: &str = "a project file chose the profile, and a project file must not choose where this token goes; \
                        set LANYARD_PROFILE or LANYARD_ENDPOINT as well";

struct Resolver<'a> {
    config: &'a Config,
    env: &'a Env,
    overrides: &'a Overrides,
    preset: Presets<'a>,
    file: Option<ProjectFile>,
    /// A profile asked for by name that is not the active one.
    named: Option<&'a str>,
}

impl Resolver<'_> {
    fn profile(&self, mut warnings: Vec<String>) -> Result<Profile, ConfigError> {
        let (name, profile_chain) = self.name()?;
        let exists = self.config.profiles.contains_key(&name.value);
        self.check_name(&name, exists)?;
        let nothing = ProfileTable::default();
        let table = self.config.profiles.get(&name.value).unwrap_or(&nothing);
        let within = |key: &str| self.config_source(&["profiles", &name.value, key]);
        let service = table.service.clone().map(|value| Sourced { value, source: within("service") });
        let project = self.project(&name.value, table)?;
        let endpoint = self.endpoint(&name.value, table)?;
        let (token, token_chain) = self.token(&name, table)?;
        if self.is_misdirected(&name) {
            let origin = if self.overrides.api_key.is_some() { API_KEY } else { TOKEN };
            warnings.push(format!("{origin} is not used: {STRANGER}"));
        }
        Ok(Profile {
            exists,
            service,
            project: project.won,
            endpoint: endpoint.won,
            account: table.account.clone(),
            account_id: table.account_id.clone(),
            storage: self.storage(table, within("storage")),
            output: self.output(table, within("output")),
            scopes: table.scopes.clone(),
            token,
            chains: Chains {
                profile: profile_chain,
                project: project.candidates,
                endpoint: endpoint.candidates,
                token: token_chain,
            },
            name,
            warnings,
        })
    }

    fn name(&self) -> Result<(Sourced<String>, Vec<Candidate>), ConfigError> {
        let mut ladder = Ladder::default();
        let flag = self.named.map(str::to_owned).or_else(|| self.overrides.profile.clone());
        ladder.offer(Source::Flag("--profile"), flag, NOT_GIVEN);
        ladder.offer(Source::Variable(PROFILE.into()), self.variable(PROFILE), NOT_SET);
        self.offer_rules(&mut ladder);
        let (source, value) = self.project_file(|file| file.profile.clone());
        ladder.offer(source, value, self.file_absent());
        ladder.offer(self.config_source(&["profile"]), self.config.profile.clone(), NOT_SET);
        ladder.offer(Source::Default, Some("default".into()), NOT_SET);
        let won = ladder.won.unwrap_or_else(|| Sourced { value: "default".into(), source: Source::Default });
        if !schema::is_name(&won.value) {
            return Err(ConfigError::BadInput {
                origin: won.source.to_string(),
                problem: "names no profile".into(),
                mend: schema::NAME_MEND.into(),
            });
        }
        Ok((won, ladder.candidates))
    }

    fn offer_rules(&self, ladder: &mut Ladder) {
        let mut first = true;
        for (place, rule, holds) in rules::by_weight(&self.config.rules, self.env) {
            let source = Source::Rule {
                directory: rule.directory.clone(),
                path: shown(&self.config.path, self.env),
                line: self.config.line_of(&["rules", &place.to_string(), "profile"]),
            };
            let value = Some(rule.profile.clone());
            if !holds {
                ladder.refuse(source, value, "this folder is not in it");
            } else if std::mem::take(&mut first) {
                ladder.offer(source, value, NOT_SET);
            } else {
                ladder.refuse(source, value, "another rule names a folder closer to this one");
            }
        }
    }

    fn check_name(&self, name: &Sourced<String>, exists: bool) -> Result<(), ConfigError> {
        if exists || self.overrides.allow_new || name.source == Source::Default {
            return Ok(());
        }
        Err(ConfigError::NoProfile {
            name: clean(&name.value),
            chosen_by: name.source.to_string(),
            nearest: nearest(&name.value, self.config.profiles.keys().map(String::as_str)).map(str::to_owned),
        })
    }

    fn project(&self, name: &str, table: &ProfileTable) -> Result<Ladder, ConfigError> {
        let mut ladder = Ladder::default();
        self.offer_ambient(&mut ladder, Source::Flag("--project"), self.overrides.project.clone(), NOT_GIVEN);
        self.offer_ambient(&mut ladder, Source::Variable(PROJECT.into()), self.variable(PROJECT), NOT_SET);
        let (source, value) = self.project_file(|file| file.project.clone());
        self.offer_ambient(&mut ladder, source, value, self.file_absent());
        ladder.offer(self.config_source(&["profiles", name, "project"]), table.project.clone(), NOT_SET);
        if let Some(won) = &ladder.won
            && let Some((problem, mend)) = schema::problem(Kind::Text, &won.value)
        {
            return Err(ConfigError::BadInput { origin: won.source.to_string(), problem, mend });
        }
        Ok(ladder)
    }

    fn endpoint(&self, name: &str, table: &ProfileTable) -> Result<Ladder, ConfigError> {
        let mut ladder = Ladder::default();
        self.offer_ambient(&mut ladder, Source::Variable(ENDPOINT.into()), self.variable(ENDPOINT), NOT_SET);
        ladder.offer(self.config_source(&["profiles", name, "endpoint"]), table.endpoint.clone(), NOT_SET);
        if let Some(service) = &table.service {
            let of_service = self.config.services.get(service).and_then(|service| service.endpoint.clone());
            ladder.offer(self.config_source(&["services", service, "endpoint"]), of_service, NOT_SET);
            if let Some((preset, defaults)) = self.preset_of(service) {
                ladder.offer(Source::Preset(preset), defaults.endpoint, "has none");
            }
        }
        if let Some(won) = &ladder.won {
            parse_url(&won.value).map_err(|error| ConfigError::BadInput {
                origin: won.source.to_string(),
                problem: url_problem(&error),
                mend: URL_MEND.into(),
            })?;
        }
        Ok(ladder)
    }

    fn token(
        &self,
        name: &Sourced<String>,
        table: &ProfileTable,
    ) -> Result<(Option<EnvToken>, Vec<Candidate>), ConfigError> {
        let mut ladder = Ladder::default();
        let flag = self.overrides.api_key.as_ref();
        let given = flag.map(|_| API_KEY.to_owned());
        if given.is_some() && self.is_misdirected(name) {
            ladder.refuse(Source::Flag(API_KEY), None, STRANGER);
        } else {
            self.offer_ambient(&mut ladder, Source::Flag(API_KEY), given, NOT_GIVEN);
        }
        let generic = Source::Variable(TOKEN.into());
        if self.named.is_some() {
            ladder.refuse(generic, None, OTHER_PROFILE);
        } else if self.is_misdirected(name) {
            ladder.refuse(generic, None, STRANGER);
        } else {
            ladder.offer(generic, self.carrier(TOKEN), NOT_SET);
        }
        for variable in self.service_variables(table) {
            ladder.offer(Source::Variable(variable.clone()), self.carrier(&variable), NOT_SET);
        }
        ladder.offer(Source::Session, Some("session".into()), NOT_SET);
        let token = match &ladder.won {
            Some(Sourced { value, source: Source::Variable(_) }) => {
                Some(EnvToken { value: self.read_token(value)?, variable: value.clone() })
            }
            Some(Sourced { value, source: Source::Flag(_) }) => {
                flag.map(|key| EnvToken { value: key.duplicate(), variable: value.clone() })
            }
            _ => None,
        };
        // The ladder carried the variables' names; the chain must not seem to show a token.
        let chain = ladder.candidates.into_iter().map(|candidate| Candidate { value: None, ..candidate }).collect();
        Ok((token, chain))
    }

    /// Whether there is a generic token, and a file in a cloned repository decided which service it would go to.
    fn is_misdirected(&self, name: &Sourced<String>) -> bool {
        self.named.is_none()
            && (self.overrides.api_key.is_some() || self.carrier(TOKEN).is_some())
            && matches!(name.source, Source::ProjectFile { .. })
            && self.env.var(ENDPOINT).is_none()
    }

    fn service_variables(&self, table: &ProfileTable) -> Vec<String> {
        let Some(service) = &table.service else { return Vec::new() };
        let own = self.config.services.get(service).and_then(|service| service.token_env.clone());
        own.or_else(|| Some(self.preset_of(service)?.1.token_env)).unwrap_or_default()
    }

    /// The variable's name, where it holds more than white space.
    fn carrier(&self, variable: &str) -> Option<String> {
        self.env.var(variable).filter(|value| !value.trim().is_empty()).map(|_| variable.to_owned())
    }

    fn read_token(&self, variable: &str) -> Result<Secret, ConfigError> {
        let value = self.env.var(variable).unwrap_or_default().trim();
        if value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Secret::new(value.to_owned()));
        }
        Err(ConfigError::BadInput {
            origin: variable.to_owned(),
            problem: "holds white space, control characters or letters outside ASCII, which no token has".into(),
            mend: format!("set {variable} to the token alone, or unset it"),
        })
    }

    fn storage(&self, table: &ProfileTable, within: Source) -> Sourced<Choice> {
        pick(
            (self.overrides.storage, Source::Flag("--storage")),
            (table.storage, within),
            (self.config.defaults.storage, self.config_source(&["defaults", "storage"])),
            Choice::Auto,
        )
    }

    fn output(&self, table: &ProfileTable, within: Source) -> Sourced<Output> {
        pick(
            (self.overrides.output, Source::Flag("--output")),
            (table.output, within),
            (self.config.defaults.output, self.config_source(&["defaults", "output"])),
            Output::Table,
        )
    }

    /// Offers what holds for the active profile only.
    fn offer_ambient(&self, ladder: &mut Ladder, source: Source, value: Option<String>, absent: &str) {
        if self.named.is_some() && value.is_some() {
            ladder.refuse(source, value, OTHER_PROFILE);
        } else {
            ladder.offer(source, value, absent);
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.env.var(name).map(str::to_owned)
    }

    fn preset_of(&self, service: &str) -> Option<(String, PresetDefaults)> {
        let table = self.config.services.get(service);
        let preset = preset_name(table, service);
        let issuer = table.and_then(|table| table.issuer.as_deref());
        (self.preset)(preset, issuer).map(|defaults| (preset.to_owned(), defaults))
    }

    fn config_source(&self, key: &[&str]) -> Source {
        let line = self.config.line_of(key);
        let key: Vec<String> = key.iter().map(|segment| (*segment).to_owned()).collect();
        Source::Config { path: shown(&self.config.path, self.env), key: schema::join(&key), line }
    }

    fn project_file(&self, pick: impl Fn(&ProjectFile) -> Option<(String, usize)>) -> (Source, Option<String>) {
        let path = self.file.as_ref().map_or_else(|| project_file::NAME.into(), |file| shown(&file.path, self.env));
        let (value, line) = self.file.as_ref().and_then(pick).unzip();
        (Source::ProjectFile { path, line }, value)
    }

    fn file_absent(&self) -> &'static str {
        if self.file.is_some() { NOT_SET } else { "no such file here or above" }
    }
}

/// The built-in service that a service starts from: the one it names, or the one of its own name.
pub fn preset_name<'a>(table: Option<&'a ServiceTable>, service: &'a str) -> &'a str {
    table.and_then(|table| table.preset.as_deref()).unwrap_or(service)
}

fn pick<T>(
    flag: (Option<T>, Source),
    profile: (Option<T>, Source),
    defaults: (Option<T>, Source),
    otherwise: T,
) -> Sourced<T> {
    [flag, profile, defaults]
        .into_iter()
        .find_map(|(value, source)| Some(Sourced { value: value?, source }))
        .unwrap_or(Sourced { value: otherwise, source: Source::Default })
}

/// A path as a person would write it: below the home folder with `~`.
pub fn shown(path: &Path, env: &Env) -> String {
    let below_home = env.home().and_then(|home| path.strip_prefix(home).ok());
    clean(&below_home.map_or_else(|| path.display().to_string(), |rest| format!("~/{}", rest.display())))
}
