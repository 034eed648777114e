//! Where OVH's tools keep keys: three files, of which the later wins, and variables, which win over them. Each value is
//! taken from the last place that has it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{KINDS, USUAL};
use crate::credential::Raw;
use crate::provider::foreign::Foreign;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::secret::Secret;

const WHAT: &str = "configuration of OVH's tools";
const KEYS: [&str; 3] = ["application_key", "application_secret", "consumer_key"];
/// The ways of signing in, and the values of each. The tools refuse more than one.
const WAYS: [(&str, &[&str]); 3] = [
    ("application keys", &KEYS),
    ("an OAuth2 client", &["client_id", "client_secret"]),
    ("an access token", &["access_token"]),
];

/// A value and where it lies.
struct Value {
    text: Secret,
    origin: Origin,
    /// Whether it lies in the folder that the user stands in, which may be anybody's.
    nearby: bool,
}

type Values = BTreeMap<String, Value>;

/// The region or the address that the tools name by one word.
pub(super) fn endpoint(text: &str, raw: &mut Raw) {
    raw.plain(if text.contains('/') { "endpoint" } else { "region" }, text);
}

/// The keys of the region that the tools would use first, then those of the others.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let mut all = Discovered::default();
    let mut sections = sections(here, &mut all);
    let named = match here.env.var("OVH_ENDPOINT") {
        Some(text) => Some((text.to_owned(), false)),
        None => sections
            .get("default")
            .and_then(|values| values.get("endpoint"))
            .map(|value| (value.text.expose().to_owned(), value.nearby)),
    };
    let (chosen, nearby) = named.unwrap_or_else(|| (USUAL.to_owned(), false));
    let mut first = sections.remove(&chosen).unwrap_or_default();
    sections.remove("default");
    for name in WAYS.iter().flat_map(|(_, names)| *names) {
        let variable = format!("OVH_{}", name.to_uppercase());
        if let Some(text) = here.env.var(&variable) {
            let (text, origin) = (Secret::new(text.to_owned()), Origin::variable(&variable));
            first.insert((*name).to_owned(), Value { text, origin, nearby: false });
        }
    }
    // All files make up one set of keys: with one missing, what the others hold may belong to another.
    let is_of_variable = |name: &&'static str| first.get(*name).is_some_and(|value| value.origin.path.is_none());
    let is_meant = !KEYS.iter().all(is_of_variable);
    all.broken.iter_mut().for_each(|broken| broken.is_meant |= is_meant);
    let is_astray = nearby && chosen.contains('/') && first.values().any(|value| !value.nearby);
    let first = if is_astray { Err(astray(here)) } else { keys(&chosen, first) };
    match first {
        Ok(first) => all.found.extend(first),
        Err(failure) => all.meant(failure),
    }
    for (name, values) in sections {
        all.add(keys(&name, values).map(|found| found.map(|found| Found { name: Some(name), ..found })));
    }
    all
}

fn astray(here: &Here<'_>) -> ProviderError {
    ProviderError::Foreign {
        place: here.shown(&here.env.working_dir().join("ovh.conf")),
        what: WHAT,
        problem: "it sends keys that lie elsewhere to an address of its own".into(),
    }
}

/// The sections of all files in one. Their names are regions, addresses, and `default`.
fn sections(here: &Here<'_>, all: &mut Discovered) -> BTreeMap<String, Values> {
    let near = here.env.working_dir().join("ovh.conf");
    let system = (!cfg!(windows)).then(|| PathBuf::from("/etc/ovh.conf"));
    let mut sections: BTreeMap<String, Values> = BTreeMap::new();
    for path in [system, here.home(".ovh.conf"), Some(near.clone())].into_iter().flatten() {
        let read = Foreign::read(here, &path, WHAT).and_then(|file| file.map(|file| file.ini()).transpose());
        let Some(file) = all.value(read) else { continue };
        for (section, values) in file.into_sections() {
            let known = sections.entry(section.clone()).or_default();
            for (name, text) in values.into_iter().filter(|(_, text)| !text.expose().is_empty()) {
                let origin = Origin::file(here, &path, &format!("[{section}]"));
                known.insert(name, Value { text, origin, nearby: path == near });
            }
        }
    }
    sections
}

/// The keys of one region; `None` where it is signed in to in another way, or not at all.
fn keys(region: &str, mut values: Values) -> Result<Option<Found>, ProviderError> {
    let used: Vec<(&str, &Origin)> = WAYS
        .iter()
        .filter_map(|(way, names)| Some((*way, &names.iter().find_map(|name| values.get(*name))?.origin)))
        .collect();
    if let [(way, first), (other, second), ..] = used.as_slice() {
        let place = if first.place == second.place {
            first.place.clone()
        } else {
            format!("{} with {}", first.place, second.place)
        };
        return Err(ProviderError::Foreign {
            place,
            what: WHAT,
            problem: format!("it mixes two ways of signing in, {way} and {other}"),
        });
    }
    let mut raw = Raw::new();
    let mut place = None;
    for name in KEYS {
        if let Some(Value { text, origin, .. }) = values.remove(name) {
            raw.set(name, text);
            // Where the secret lies is what counts.
            if place.is_none() || name == "application_secret" {
                place = Some(origin);
            }
        }
    }
    endpoint(region, &mut raw);
    Ok(place.map(|origin| Found { kind: &KINDS[0], raw, name: None, origin, expires: None }))
}
