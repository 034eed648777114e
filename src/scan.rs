//! Finding every credential that lies on this machine: in the files and variables of official tools, and in any text.
//!
//! [`scan`] asks all providers at once what their tools keep here, walks over folders meanwhile, and puts together what
//! is the same secret. [`verify`] asks the providers what is still alive. [`cut`] takes an entry out of the file it lies
//! in and keeps every other byte.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::credential::{Check, Credential, Fields, Metadata, Scope};
use crate::error::{Failure, with_causes};
use crate::os::Env;
use crate::provider::{Discovered, Found, Here, Provider, ProviderError};
use crate::text::clean;

pub mod cut;
mod dotenv;
mod finding;
mod generic;
mod marks;
mod merge;
mod readers;
mod sight;
mod verify;
mod walk;

pub use finding::{Finding, Life, Source, Spot};
pub use readers::Readers;
pub use verify::verify;
pub use walk::Passed;

use finding::Draft;
use marks::Marks;
use merge::Merge;
use sight::{Sort, sightings};
use walk::{Ground, walk};

/// The kind of variables that no provider knows.
const OPEN_KIND: &str = "generic_env";

/// Where to look, and for what.
pub struct Wanted<'a> {
    /// The providers whose credentials are looked for.
    pub providers: &'a [&'static dyn Provider],
    /// Files and folders to walk over; the home folder where there are none.
    pub folders: &'a [PathBuf],
    /// Whether what official tools and the environment hold is looked for as well.
    pub asks_tools: bool,
    /// Whether ignore files count.
    pub honours_ignore: bool,
}

/// What was found, and what was not looked at.
pub struct Scan {
    /// The credentials, each once.
    pub findings: Vec<Finding>,
    /// Files of official tools that could not be understood.
    pub problems: Vec<Problem>,
    /// What the walk came past.
    pub passed: Passed,
}

/// A place of a provider's that could not be looked into.
#[derive(Debug)]
pub struct Problem {
    /// The provider's name.
    pub provider: &'static str,
    /// The place as a person reads it, cleaned, where it is one.
    pub place: Option<String>,
    /// What is wrong, cleaned.
    pub what: String,
    /// What to do about it.
    pub next: Option<String>,
}

/// How often is told how far it has come.
const TICK: Duration = Duration::from_millis(100);

/// Looks everywhere. Sends nothing. `told` hears, every now and then until all is done, how many files were read.
pub fn scan(wanted: &Wanted<'_>, env: &Env, now: DateTime<Utc>, told: &mut dyn FnMut(u64)) -> Scan {
    let none = BTreeMap::new();
    let here = Here { env, given: &none };
    let marks = Marks::of(wanted.providers);
    let open = wanted.providers.iter().flat_map(|provider| provider.kinds()).find(|kind| kind.id == OPEN_KIND);
    let home = env.home().filter(|_| wanted.folders.is_empty());
    let ground = Ground {
        named: wanted.folders,
        home,
        without: vec![env.config_dir().to_owned(), env.data_dir()],
        honours_ignore: wanted.honours_ignore,
    };
    let read = AtomicU64::new(0);
    let (asked, (seen, passed)) = std::thread::scope(|scope| {
        let (working, done) = channel::<Infallible>();
        let providers = if wanted.asks_tools { wanted.providers } else { &[] };
        let asked: Vec<_> = providers
            .iter()
            .map(|provider| {
                let (here, working) = (Here { env, given: &none }, working.clone());
                let look = move || {
                    let _working = working;
                    provider.discover(&here)
                };
                (*provider, scope.spawn(look))
            })
            .collect();
        let walking = scope.spawn(|| {
            let _working = working;
            walk(&ground, &marks, open, &read)
        });
        // Nothing is ever sent: it ends when the last has ended.
        while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(TICK) {
            told(read.load(Ordering::Relaxed));
        }
        let asked: Vec<_> = asked.into_iter().map(|(provider, thread)| (provider, thread.join())).collect();
        (asked, walking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut merge = Merge::new(wanted.providers);
    let mut problems = Vec::new();
    for (provider, outcome) in asked {
        match outcome {
            Ok(Discovered { found, broken }) => {
                for found in found {
                    merge.add(of_tool(found, &here));
                }
                problems.extend(broken.iter().map(|broken| Problem::of(provider, &broken.failure)));
            }
            Err(_) => problems.push(Problem {
                provider: provider.name(),
                place: None,
                what: "looking for them broke off".into(),
                next: Some("report it, with `lanyard doctor --json`".into()),
            }),
        }
    }
    if wanted.asks_tools {
        for draft in of_variables(&marks, env) {
            merge.add(draft);
        }
    }
    let mut drafts = Vec::new();
    for seen in seen {
        let spot = |line| Spot::of_walk(&here, &seen.path, &seen.rights, line);
        let draft = |sighting: sight::Sighting| {
            let spot = spot(sighting.line);
            Draft::of_sighting(sighting, spot)
        };
        drafts.extend(seen.sightings.into_iter().map(draft));
    }
    // What a provider knows says more than what only a variable's name tells.
    drafts.sort_by_key(|draft| draft.is_guess);
    for draft in drafts {
        merge.add(draft);
    }
    Scan { findings: merge.finish(&here, now), problems, passed }
}

impl Problem {
    fn of(provider: &dyn Provider, failure: &ProviderError) -> Self {
        let place = failure.place().map(|place| clean(&place));
        Self { provider: provider.name(), place, what: clean(&with_causes(failure)), next: failure.mend() }
    }
}

/// What a provider found, with the file it lies in looked at.
fn of_tool(found: Found, here: &Here<'_>) -> Draft {
    let Found { kind, raw, name, origin, expires } = found;
    let spot = Spot::of_origin(here, origin, kind, &raw);
    Draft { kind, raw, name, spot, expires, is_guess: false, is_sighting: false }
}

/// What stands in variables of this process beyond those that a provider knows.
fn of_variables(marks: &Marks, env: &Env) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (name, value) in env.variables().filter(|(name, _)| !name.starts_with("LANYARD_")) {
        // Only what looks like one of a provider's: the variables of a shell are many, and most come from files that
        // are walked over.
        let found = sightings(marks, None, format!("{name}={value}").as_bytes(), Sort::Text);
        drafts.extend(found.into_iter().map(|mut sighting| {
            sighting.variable = Some(name.to_owned());
            Draft::of_sighting(sighting, Spot::of_variable(name))
        }));
    }
    drafts
}

/// A path as a person reads it, cleaned.
fn shown(here: &Here<'_>, path: &Path) -> String {
    clean(&here.shown(path))
}

/// A credential that is in no vault, as a provider wants it.
fn as_credential(finding: &Finding, now: DateTime<Utc>) -> Option<Credential> {
    let Fields { kind, plain, secrets } = finding.copy()?;
    let metadata = Metadata {
        id: String::new(),
        name: finding.name.clone(),
        kind,
        scope: Scope::Organization,
        fields: plain,
        secret_names: secrets.keys().cloned().collect(),
        created: now,
        updated: now,
        used: None,
        verified: None,
        expires: finding.expires,
        check: Check::Never,
        tags: BTreeSet::new(),
        note: String::new(),
        version: 1,
    };
    Some(Credential { metadata, secrets })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the tests make their own files")]
mod tests;
