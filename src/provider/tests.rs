//! What every provider keeps to, as a table over all of them.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::credential::tests::credential;
use crate::credential::{Class, Field};
use crate::error::{Failure, with_causes};
use crate::http::Unreachable;

mod broken;
mod changed;
mod endpoints;
mod failures;
mod foreign_files;

/// Providers whose credentials are sent nowhere by lanyard itself.
const WITHOUT_A_HOST: &[&str] = &["env", "file"];
/// What `credentials store` and every command take already; `project` too, which is told apart by where it stands.
const FLAGS: &[&str] = &[
    "name",
    "replace",
    "no-verify",
    "tag",
    "note",
    "for-project",
    "profile",
    "output",
    "json",
    "verbose",
    "no-color",
    "config-dir",
    "help",
    "version",
];
const CANARY: &str = "LNYCANARY0123456789abcdef";

fn kinds() -> impl Iterator<Item = (&'static dyn Provider, &'static Kind)> {
    PROVIDERS.iter().flat_map(|provider| provider.kinds().iter().map(|kind| (*provider, kind)))
}

fn is_snake(word: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    word.bytes().all(fits) && word.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
}

/// The secret that stands in a field: a canary where the field takes it, else its example.
fn secret_of(field: &Field) -> &'static str {
    if (field.check)(CANARY).is_ok() { CANARY } else { field.example }
}

/// A credential with every field set.
fn whole(kind: &'static Kind) -> Credential {
    let mut raw = Raw::new();
    for field in kind.fields {
        raw.plain(field.name, if field.class == Class::Secret { secret_of(field) } else { field.example });
    }
    if kind.open.is_some() {
        raw.plain("NAME", CANARY);
    }
    credential("work", Fields::parse(kind, raw).unwrap_or_else(|failure| panic!("{}: {failure}", kind.id)))
}

/// Fails where a secret of the credential shows.
#[track_caller]
fn assert_hidden(what: &str, credential: &Credential, shown: &str) {
    for (name, secret) in &credential.secrets {
        // A short example may be a word that stands anywhere.
        for line in secret.expose().lines().filter(|line| line.len() >= 12) {
            assert!(!shown.contains(line), "{what} of {} shows {name}: {shown}", credential.metadata.kind.id);
        }
    }
}

#[test]
fn names_are_unique_and_belong_to_their_owner() {
    let names: BTreeSet<&str> = PROVIDERS.iter().map(|provider| provider.name()).collect();
    assert_eq!(names.len(), PROVIDERS.len());
    let ids: BTreeSet<&str> = kinds().map(|(_, kind)| kind.id).collect();
    assert_eq!(ids.len(), kinds().count());
    for provider in PROVIDERS {
        let (name, title) = (provider.name(), provider.title());
        assert!(is_snake(&name.replace('-', "_")), "{name}");
        assert!(!title.is_empty() && !title.ends_with('.'), "{name}: {title}");
        assert!(!provider.kinds().is_empty(), "{name}");
        assert_eq!(by_name(name).map(Provider::name), Some(name));
    }
    for (provider, kind) in kinds() {
        assert_eq!(kind.provider, provider.name(), "{}", kind.id);
        assert!(is_snake(kind.id) && !kind.title.is_empty(), "{}", kind.id);
        let (found, same) = by_kind(kind.id).unwrap();
        assert_eq!((found.name(), same.id), (provider.name(), kind.id));
    }
    assert!(by_name("nobody").is_none() && by_kind("nothing").is_none());
}

#[test]
fn a_guide_names_what_there_is() {
    for (provider, kind) in kinds() {
        let mut raw = Raw::new();
        for field in kind.fields.iter().filter(|field| field.name != "source" && field.class != Class::Secret) {
            raw.plain(field.name, field.example);
        }
        let Guide { hint, file, sources } = provider.guide(&raw);
        assert!(hint.is_none_or(|hint| !hint.ends_with('.') && !hint.contains('\n')), "{}", kind.id);
        assert!(file.is_none_or(|(name, _)| provider.kinds().iter().any(|kind| kind.field(name).is_some())));
        assert!(sources.iter().all(|id| by_kind(id).is_some()), "{}", kind.id);
        assert!(sources.is_empty() || kind.field("source").is_some(), "{}", kind.id);
    }
}

#[test]
fn fields_have_names_titles_and_true_examples() {
    for (_, kind) in kinds() {
        let names: BTreeSet<&str> = kind.fields.iter().map(|field| field.name).collect();
        assert_eq!(names.len(), kind.fields.len(), "{}", kind.id);
        let has_secret = kind.fields.iter().any(|field| field.class == Class::Secret);
        assert!(
            has_secret || kind.open.is_some() || names.contains("source"),
            "{} holds a secret, takes any name, or is used through another",
            kind.id
        );
        for field in kind.fields {
            let place = format!("{} of {}", field.name, kind.id);
            assert!(is_snake(field.name) && !field.title.is_empty(), "{place}");
            assert!(!FLAGS.contains(&field.flag().as_str()), "{place} has the flag of another");
            assert_eq!((field.check)(field.example), Ok(()), "the example of {place}");
            assert!(field.multiline || !field.example.contains('\n'), "{place}");
            assert!((field.check)("").is_err(), "{place} may be left out, and is never empty");
            assert!((field.check)("a\0b").is_err(), "{place} takes a zero byte");
        }
    }
}

#[test]
fn the_hosts_of_all_are_written_alike() {
    let at = |kind: &'static Kind, name: &str, address: &str| {
        let mut credential = whole(kind);
        credential.metadata.fields.insert(name.to_owned(), address.to_owned());
        of(&credential.metadata).unwrap().hosts(&credential.metadata)
    };
    for (_, kind) in kinds() {
        for field in kind.fields.iter().filter(|field| (field.check)("http://127.0.0.1/v1").is_ok()) {
            if !["endpoint", "server", "url"].contains(&field.name) {
                continue;
            }
            let place = format!("{} of {}", field.name, kind.id);
            let hosts = at(kind, field.name, "http://127.0.0.1/v1");
            assert!(hosts.contains(&"127.0.0.1:80".to_owned()), "{place}: {hosts:?}");
            let hosts = at(kind, field.name, "https://API.Example.com:443/v1");
            assert!(hosts.contains(&"api.example.com".to_owned()), "{place}: {hosts:?}");
            let hosts = at(kind, field.name, "https://api.example.com:8443/v1");
            assert!(hosts.contains(&"api.example.com:8443".to_owned()), "{place}: {hosts:?}");
        }
    }
}

#[test]
fn inputs_and_files_have_words_of_their_own() {
    for provider in PROVIDERS {
        let name = provider.name();
        let inputs: BTreeSet<&str> = provider.inputs().iter().map(|input| input.name).collect();
        assert_eq!(inputs.len(), provider.inputs().len(), "{name}");
        for input in provider.inputs() {
            assert!(is_snake(&input.name.replace('-', "_")), "{name}: {}", input.name);
            assert!(!FLAGS.contains(&input.name), "{name}: {}", input.name);
            assert!(!input.help.is_empty() && !input.help.ends_with('.'), "{name}: {}", input.help);
            assert_eq!(input.value.is_empty(), input.place == Place::Switch, "{name}: {}", input.name);
        }
        let words: BTreeSet<&str> = provider.files().iter().map(|(word, _)| *word).collect();
        assert_eq!(words.len(), provider.files().len(), "{name}");
        for (word, what) in provider.files() {
            assert!(!["env", "json", "dotenv"].contains(word) && !what.is_empty(), "{name}: {word}");
        }
    }
}

#[test]
fn marks_are_expressions_that_hold_their_keyword_and_name_a_field() {
    for provider in PROVIDERS {
        for mark in provider.marks() {
            let place = format!("{} of {}", mark.pattern, provider.name());
            let pattern = regex::Regex::new(mark.pattern).unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(pattern.captures_len() <= 2, "{place} has more than one group");
            assert!(!pattern.is_match(""), "{place}");
            assert!(mark.keyword.len() >= 2, "{place}");
            // Without its escapes, the expression spells out what every match contains.
            assert!(mark.pattern.replace('\\', "").contains(mark.keyword), "{place} lacks {}", mark.keyword);
            let (owner, kind) = by_kind(mark.kind).unwrap_or_else(|| panic!("{place}: no kind {}", mark.kind));
            assert_eq!(owner.name(), provider.name(), "{place}");
            let known = kind.field(mark.field).is_some() || kind.open.is_some();
            assert!(known, "{place}: {} has no field {}", mark.kind, mark.field);
            assert!(mark.service.is_empty() || kind.field("service").is_some(), "{place}");
        }
    }
}

#[test]
fn hosts_are_hosts() {
    for (provider, kind) in kinds() {
        let hosts = provider.hosts(&whole(kind).metadata);
        assert_eq!(hosts.is_empty(), WITHOUT_A_HOST.contains(&provider.name()), "{}: {hosts:?}", kind.id);
        for host in hosts {
            let fits = crate::credential::rules::host(&host).is_ok() && host == host.to_lowercase();
            assert!(fits && !host.contains("://") && !host.ends_with(":443"), "{}: {host}", kind.id);
        }
    }
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let env = Env::invented(std::path::Path::new("/nowhere"), std::path::Path::new("/nowhere"), &[]);
    let deaf = |request: Request| -> Result<crate::http::Response, Unreachable> {
        let origin = request.url.origin().ascii_serialization();
        Err(Unreachable::Slow { origin, after: std::time::Duration::from_secs(1) })
    };
    let net = Net { http: &deaf, env: &env, now: DateTime::from_timestamp(1_800_000_000, 0).unwrap() };
    let given = BTreeMap::new();
    let here = Here { env: &env, given: &given };
    for (provider, kind) in kinds() {
        let whole = whole(kind);
        assert_hidden("debug", &whole, &format!("{whole:?} {:?} {kind:?}", whole.metadata));
        let source = Issued::lasting(Material::AwsKeys {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_access_key: Secret::new(CANARY.into()),
            session_token: None,
        });
        for source in [None, Some(&source)] {
            let verdict = provider.verify(&whole, source, &net);
            assert_hidden("the verdict", &whole, &format!("{verdict:?}"));
            // A sign-in without its session is known to be over.
            let refused = verdict.outcome.is_refusal() && !provider.signs_in();
            assert!(!refused, "{}: nobody answered, and yet {verdict:?}", kind.id);
            match provider.material(&whole, source, &net) {
                Ok(issued) => {
                    assert_hidden("the material", &whole, &format!("{issued:?}"));
                    let variables = provider.export(&whole, &issued);
                    assert_hidden("a variable", &whole, &format!("{variables:?}"));
                }
                Err(failure) => {
                    let mend = failure.mend().unwrap_or_default();
                    assert_hidden("a failure", &whole, &format!("{failure:?} {} {mend}", with_causes(&failure)));
                }
            }
        }
        // What cannot be a value is never quoted.
        for field in kind.fields.iter().filter(|field| field.class == Class::Secret) {
            let mut raw = Raw::new();
            for other in kind.fields {
                raw.plain(other.name, other.example);
            }
            raw.plain(field.name, &format!("{CANARY}\0"));
            if let Ok(completed) = provider.complete(&mut raw, &here).map_err(|failure| {
                assert!(!format!("{failure:?} {}", with_causes(&failure)).contains(CANARY), "{}", kind.id);
            }) {
                let failure = Fields::parse(completed, raw);
                assert!(!format!("{failure:?}").contains(CANARY), "{} quotes {}", kind.id, field.name);
            }
        }
    }
}
