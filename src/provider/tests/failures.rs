//! Every provider that is asked over HTTP, held against every class of failure.
//!
//! Each says in its row how its system refuses, ends and restricts a credential; where it has no words for a class, the
//! row says so. What all systems have in common (limits, trouble, somebody else's page, no answer at all) is the same
//! for all. What is asked by other means has tests of its own: mail servers in `password`, SSH keys in `ssh_key`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::credential::tests::credential;
use crate::http::{HeaderMap, HeaderName, Unreachable};
use crate::provider::{api_key, gcp, git, registry};
use crate::secret::Reason;

mod rows;

/// Kinds that nobody is asked about over HTTP.
const NOT_OVER_HTTP: [&str; 4] = ["ssh_key", "username_password", "file", "generic_env"];

/// An answer: its status, its headers, its body.
type Said = (u16, &'static [(&'static str, &'static str)], &'static str);

/// A provider in one of its ways to ask.
struct Row {
    /// The way, for the test's own words.
    name: &'static str,
    kind: &'static str,
    /// The values that decide how it is asked; the others are its examples, and canaries in secret fields.
    fields: &'static [(&'static str, &'static str)],
    /// Whether a refusal of what is known to have ended is an end.
    dated: bool,
    /// Whether the values themselves say that it has ended, so that every refusal is an end.
    ends: bool,
    /// Whether any success counts, since nothing is known of its form.
    formless: bool,
    /// What is answered to requests before the one that matters: to the first, to the second.
    before: &'static [Said],
    /// How it is refused.
    invalid: Said,
    /// How its end is told; `None` where the system does not tell it from a refusal.
    expired: Option<Said>,
    /// How it is told that it may not do what was asked; `None` where everybody may.
    insufficient: Option<Said>,
    /// Other words for "too often" than the status 429.
    limited: &'static [Said],
}

fn answer((status, headers, body): Said) -> Response {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    Response { status, headers: map, body: body.as_bytes().to_vec().into() }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn of_row(row: &Row) -> Credential {
    let (_, kind) = by_kind(row.kind).unwrap();
    let key_file = gcp::tests::key_file(serde_json::json!({}));
    let mut raw = Raw::new();
    for (name, value) in row.fields {
        raw.plain(name, value);
    }
    for field in kind.fields.iter().filter(|field| field.required) {
        let value = if field.name == "key_file" { &key_file } else { secret_of(field) };
        raw.fill(field.name, Secret::new(if field.class == Class::Secret { value } else { field.example }.to_owned()));
    }
    credential("work", Fields::parse(kind, raw).unwrap_or_else(|failure| panic!("{}: {failure}", row.name)))
}

/// What the credential of a row is used through, where it is used through anything.
fn source(row: &Row) -> Option<Issued> {
    let keys = || Material::AwsKeys {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
        secret_access_key: Secret::new(CANARY.into()),
        session_token: Some(Secret::new(CANARY.into())),
    };
    match row.kind {
        "aws_assume_role" | "registry_ecr" | "kubeconfig_eks" => Some(Issued::lasting(keys())),
        "oauth" | "kubeconfig_gke" | "registry_gar" => {
            Some(Issued::lasting(Material::Bearer(Secret::new(CANARY.into()))))
        }
        _ => None,
    }
}

/// What comes of it when the requests of a row are answered in order: first by `before`, then by `last` for good.
fn verdict(row: &Row, last: &(dyn Fn() -> Result<Response, Unreachable> + Sync)) -> Verdict {
    of_credential(row, &of_row(row), last)
}

fn of_credential(
    row: &Row,
    credential: &Credential,
    last: &(dyn Fn() -> Result<Response, Unreachable> + Sync),
) -> Verdict {
    let asked = Mutex::new(0);
    let http = |_: Request| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        row.before.get(*asked - 1).map_or_else(last, |said| Ok(answer(*said)))
    };
    let env = Env::invented(std::path::Path::new("/nowhere"), std::path::Path::new("/nowhere"), &[]);
    let (provider, _) = by_kind(row.kind).unwrap();
    let source = source(row);
    let verdict = verify(provider, credential, source.as_ref(), &Net { http: &http, env: &env, now: now() });
    assert!(
        *asked.lock().unwrap() > row.before.len(),
        "{}: the request that matters was not sent: {verdict:?}",
        row.name
    );
    assert_hidden("the verdict", credential, &format!("{verdict:?}"));
    assert!(!format!("{verdict:?}").contains(CANARY), "{}: {verdict:?}", row.name);
    verdict
}

/// A class in which no usable answer comes: its name, what is known of it, and what it means.
type NoAnswer = (&'static str, fn() -> Unreachable, Outcome);

/// All of them.
fn no_answer() -> Vec<NoAnswer> {
    fn origin() -> String {
        "https://api.example".into()
    }
    vec![
        (
            "refused",
            || Unreachable::Connect { origin: origin(), cause: Reason("connection refused".into()) },
            Outcome::Unreachable,
        ),
        (
            "no such name",
            || Unreachable::Connect { origin: origin(), cause: Reason("dns error".into()) },
            Outcome::Unreachable,
        ),
        ("time-out", || Unreachable::Slow { origin: origin(), after: Duration::from_secs(10) }, Outcome::Unreachable),
        (
            "broken off",
            || Unreachable::BrokenOff { origin: origin(), cause: Reason("closed".into()) },
            Outcome::Unreachable,
        ),
        ("too large", || Unreachable::TooLarge { origin: origin(), limit: 1024 }, Outcome::Unreachable),
        (
            "redirect",
            || Unreachable::Redirect { origin: origin(), target: "https://other.example".into() },
            Outcome::Unreachable,
        ),
        ("TLS", || Unreachable::Tls { origin: origin(), cause: Reason("UnknownIssuer".into()) }, Outcome::Tls),
    ]
}

/// The answers that mean the same from everybody.
const FROM_ANYBODY: [(&str, Said, Outcome); 10] = [
    ("429", (429, &[], "{}"), Outcome::RateLimited),
    ("429 and when", (429, &[("retry-after", "30")], "slow down"), Outcome::RateLimited),
    ("500", (500, &[], "<html>"), Outcome::Unreachable),
    ("502", (502, &[], "{}"), Outcome::Unreachable),
    ("503", (503, &[("retry-after", "5")], ""), Outcome::Unreachable),
    (
        "a page",
        (200, &[("content-type", "text/html")], "<html>Sign in to the guest network</html>"),
        Outcome::Unexpected,
    ),
    ("a portal's 401", (401, &[("content-type", "text/html")], "<html>Sign in</html>"), Outcome::Unexpected),
    ("half of JSON", (200, &[], "{\"data\":[{"), Outcome::Unexpected),
    ("no text", (200, &[], "\u{0}\u{1}\u{fffd}"), Outcome::Unexpected),
    ("a teapot", (418, &[], "{}"), Outcome::Unexpected),
];

/// What a person reads of a class: why, and what to do.
fn told(row: &Row, class: &str, verdict: &Verdict) -> (String, String) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (reason, next) = (text(&verdict.reason), text(&verdict.next));
    assert!(!reason.is_empty() && !next.is_empty(), "{}, {class}: {verdict:?}", row.name);
    assert!(!next.ends_with('.') && !reason.ends_with('.'), "{}, {class}: {verdict:?}", row.name);
    (reason, next)
}

/// Checks the classes of one row, and collects what is not as it should be.
struct Checked<'r> {
    row: &'r Row,
    /// What was told, by what came of it: a text of one class may stand for no other.
    mends: BTreeMap<String, Outcome>,
    reasons: BTreeMap<String, Outcome>,
    wrong: Vec<String>,
}

impl Checked<'_> {
    fn check(&mut self, class: &str, verdict: &Verdict, outcome: Outcome) {
        let name = self.row.name;
        if verdict.outcome != outcome {
            self.wrong.push(format!("{name}, {class}: {outcome:?} expected, {verdict:?}"));
            return;
        }
        let (reason, next) = told(self.row, class, verdict);
        let known = *self.mends.entry(next.clone()).or_insert(outcome);
        // The mend of what the system says of the credential may be one and the same: a new one, another to look at.
        let is_of_credential = |outcome: Outcome| outcome.check().is_some();
        if known != outcome && !(is_of_credential(known) && is_of_credential(outcome)) {
            self.wrong.push(format!("{name}: {known:?} and {outcome:?} have one mend: {next}"));
        }
        let known = *self.reasons.entry(reason.clone()).or_insert(outcome);
        if known != outcome {
            self.wrong.push(format!("{name}: {known:?} and {outcome:?} have one reason: {reason}"));
        }
    }
}

#[test]
fn each_class_of_failure_has_its_outcome_and_a_mend_of_its_own() {
    let mut wrong = Vec::new();
    for row in rows::all() {
        let mut checked = Checked { row, mends: BTreeMap::new(), reasons: BTreeMap::new(), wrong: Vec::new() };
        let mut check = |class: &str, verdict: &Verdict, outcome: Outcome| checked.check(class, verdict, outcome);
        for (class, failure, outcome) in no_answer() {
            check(class, &verdict(row, &|| Err(failure())), outcome);
        }
        for (class, said, outcome) in FROM_ANYBODY.into_iter().filter(|(_, said, _)| said.0 != 200 || !row.formless) {
            check(class, &verdict(row, &|| Ok(answer(said))), outcome);
        }
        if row.invalid.0 > 0 {
            let refused = if row.ends { Outcome::Expired } else { Outcome::Invalid };
            check("invalid", &verdict(row, &|| Ok(answer(row.invalid))), refused);
        }
        if row.dated {
            let mut over = of_row(row);
            over.metadata.expires = Some(now() - chrono::Duration::seconds(60));
            check("its end", &of_credential(row, &over, &|| Ok(answer(row.invalid))), Outcome::Expired);
        }
        if let Some(said) = row.expired {
            check("expired", &verdict(row, &|| Ok(answer(said))), Outcome::Expired);
        }
        if let Some(said) = row.insufficient {
            check("insufficient", &verdict(row, &|| Ok(answer(said))), Outcome::Insufficient);
        }
        for said in row.limited {
            check("too often", &verdict(row, &|| Ok(answer(*said))), Outcome::RateLimited);
        }
        wrong.extend(checked.wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_kind_is_in_the_table() {
    for (_, kind) in kinds() {
        let is_there = rows::all().any(|row| row.kind == kind.id);
        assert_ne!(is_there, NOT_OVER_HTTP.contains(&kind.id), "{}", kind.id);
    }
    // Whatever has no word for a class in one way has it in none by mistake: the gaps are counted.
    let without = |gap: fn(&Row) -> bool| rows::all().filter(|row| gap(row)).map(|row| row.name).collect::<Vec<_>>();
    assert_eq!(without(|row| row.expired.is_none() && !row.dated && !row.ends), rows::TELLS_NO_END);
    assert_eq!(without(|row| row.insufficient.is_none()), rows::KNOWS_NO_LIMITS);
}

/// Kinds that have no word for their end in any way of asking.
const WITHOUT_AN_END: [&str; 6] = [
    "gcp_service_account",
    "hetzner_api_token",
    "verda_oauth_client",
    "kubeconfig_eks",
    "kubeconfig_gke",
    "registry_gar",
];
/// Kinds of which no more is asked than anybody may do.
const WITHOUT_LIMITS: [&str; 3] = ["gcp_service_account", "gcp_authorized_user", "gcp_api_key"];
/// Kinds that a refusal ends: one signs in anew.
const WITHOUT_A_REFUSAL: [&str; 1] = ["oauth"];

/// Limits, silence and broken connections come in every row; the classes that each system words itself are counted here,
/// by provider, so that a new one is not forgotten.
#[test]
fn every_provider_has_a_row_for_every_class() {
    let asked = || kinds().filter(|(_, kind)| !NOT_OVER_HTTP.contains(&kind.id));
    let without = |has: fn(&Row) -> bool| -> Vec<&str> {
        let lacks = |kind: &&'static Kind| !rows::all().any(|row| row.kind == kind.id && has(row));
        asked().map(|(_, kind)| kind).filter(lacks).map(|kind| kind.id).collect()
    };
    assert_eq!(without(|row| row.invalid.0 > 0 && !row.ends), WITHOUT_A_REFUSAL, "invalid");
    assert_eq!(without(|row| row.expired.is_some() || row.dated || row.ends), WITHOUT_AN_END, "expired");
    assert_eq!(without(|row| row.insufficient.is_some()), WITHOUT_LIMITS, "lacking a permission");
    let common: BTreeSet<&str> = no_answer().iter().map(|(_, _, outcome)| outcome.word()).collect();
    assert_eq!(common, BTreeSet::from(["tls", "unreachable"]));
    assert!(FROM_ANYBODY.iter().any(|(_, said, outcome)| said.0 == 429 && *outcome == Outcome::RateLimited));
    for provider in PROVIDERS {
        let over_http = provider.kinds().iter().any(|kind| rows::all().any(|row| row.kind == kind.id));
        let otherwise = provider.kinds().iter().all(|kind| NOT_OVER_HTTP.contains(&kind.id));
        assert!(over_http != otherwise, "{} is asked in one way or the other", provider.name());
    }
}

/// Within a kind, each system that is known by name refuses in words of its own.
#[test]
fn every_system_that_is_known_by_name_is_in_the_table() {
    let is_there = |kind: &str, field: &'static str, word: &'static str| {
        rows::all().any(|row| row.kind == kind && row.fields.contains(&(field, word)))
    };
    for word in registry::tests::flavours() {
        // Those whose passwords are made of another credential are kinds of their own.
        let own = format!("registry_{word}");
        let is_own = rows::all().any(|row| row.kind == own);
        assert!(is_own || is_there("registry", "flavour", word), "registry {word}");
    }
    for word in git::tests::flavours() {
        assert!(is_there("git", "service", word), "git host {word}");
    }
    for word in api_key::tests::services() {
        // Nobody can be asked about a token of PyPI but by an upload.
        assert!(word == "pypi" || is_there("api_key", "service", word), "service {word}");
    }
}
