//! What the tests of these providers have in common: a credential, an answer, a home, and the failures that every
//! provider has to tell apart.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::credential::{Fields, Issued, Material, Variable};
use crate::http::{HeaderMap, Http};
use crate::provider::{Discovered, Found, Here, Provider};
use crate::secret::Secret;

/// Now, in these tests: 2023-11-14, 22:13:20 UTC.
pub(in crate::provider) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

/// A credential of the provider's first kind.
pub(in crate::provider) fn credential(provider: &dyn Provider, values: &[(&str, &str)]) -> Credential {
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    let fields = Fields::parse(&provider.kinds()[0], raw).unwrap();
    crate::credential::tests::credential("mine", fields)
}

/// The credential that consists of the examples of the required fields, and of these values.
pub(in crate::provider) fn example(provider: &dyn Provider, more: &[(&str, &str)]) -> Credential {
    let fields = provider.kinds()[0].fields.iter().filter(|field| field.required);
    let values: Vec<(&str, &str)> =
        fields.map(|field| (field.name, field.example)).chain(more.iter().copied()).collect();
    credential(provider, &values)
}

/// An answer.
pub(in crate::provider) fn answer(status: u16, body: &str) -> Response {
    Response { status, headers: HeaderMap::new(), body: zeroize::Zeroizing::new(body.as_bytes().to_vec()) }
}

/// A server in the test: answers by method and path, and notes what it was asked.
pub(in crate::provider) struct Server<F> {
    answers: F,
    /// `METHOD PATH?QUERY` of each request, and its body.
    pub(in crate::provider) asked: Mutex<Vec<(String, String)>>,
}

impl<F: Fn(&str, &Request) -> Response + Sync> Server<F> {
    /// One that answers `METHOD PATH?QUERY` so.
    pub(in crate::provider) fn new(answers: F) -> Self {
        Self { answers, asked: Mutex::default() }
    }

    /// `METHOD PATH?QUERY` of each request.
    pub(in crate::provider) fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }

    /// The body of the last request with this line.
    pub(in crate::provider) fn body(&self, line: &str) -> serde_json::Value {
        let asked = self.asked.lock().unwrap();
        let (_, body) = asked.iter().rev().find(|(known, _)| known == line).unwrap();
        serde_json::from_str(body).unwrap()
    }
}

impl<F: Fn(&str, &Request) -> Response + Sync> Http for Server<F> {
    fn send(&self, request: Request) -> Result<Response, Unreachable> {
        let query = request.url.query().map_or_else(String::new, |query| format!("?{query}"));
        let line = format!("{} {}{query}", request.method, request.url.path());
        let body = request.body.as_ref().map_or_else(String::new, |body| String::from_utf8(body.to_vec()).unwrap());
        self.asked.lock().unwrap().push((line.clone(), body));
        Ok((self.answers)(&line, &request))
    }
}

/// The doors to a server, without variables.
pub(in crate::provider) fn with_net<T>(http: &dyn Http, work: impl FnOnce(&Net<'_>) -> T) -> T {
    let env = Env::invented(Path::new("/nowhere/config"), Path::new("/nowhere"), &[]);
    work(&Net { http, env: &env, now: now() })
}

/// What the provider says when all its requests are answered so.
pub(in crate::provider) fn said(provider: &dyn Provider, credential: &Credential, http: &dyn Http) -> Verdict {
    with_net(http, |net| provider.verify(credential, None, net))
}

/// One answer, the outcome it comes to, and the provider's own word that is told.
pub(in crate::provider) type Case<'c> = (u16, &'c str, Outcome, Option<&'c str>);

/// Fails unless each answer comes to its outcome, with a next step for whatever does not work.
pub(in crate::provider) fn assert_cases(provider: &dyn Provider, credential: &Credential, cases: &[Case<'_>]) {
    for (status, body, outcome, code) in cases {
        let verdict = said(provider, credential, &|_: Request| Ok(answer(*status, body)));
        assert_eq!((verdict.outcome, verdict.error.as_deref()), (*outcome, *code), "{status} {body}: {verdict:?}");
        let works = *outcome == Outcome::Valid;
        assert!(works || (verdict.reason.is_some() && verdict.next.is_some()), "{status} {body}: {verdict:?}");
    }
}

/// What goes wrong between here and a provider, whichever it is: none of it says that the credential is bad.
pub(in crate::provider) fn assert_common_failures(provider: &dyn Provider, credential: &Credential) {
    let page = "<html><body>Sign in to the guest network</body></html>";
    for status in [200, 204, 302, 400, 401, 403, 404, 407, 418] {
        for body in [page, "", "{}", "[]", "null", "{\"error\":1}", "{\"errors\":[]}", "\u{fffd}", "{\"success\":true}"]
        {
            let verdict = said(provider, credential, &|_: Request| Ok(answer(status, body)));
            assert_eq!(verdict.outcome, Outcome::Unexpected, "{status} {body}: {verdict:?}");
        }
    }
    assert_cases(
        provider,
        credential,
        &[
            (429, "", Outcome::RateLimited, None),
            (429, page, Outcome::RateLimited, None),
            (500, page, Outcome::Unreachable, None),
            (502, "", Outcome::Unreachable, None),
            (503, "{}", Outcome::Unreachable, None),
            (599, page, Outcome::Unreachable, None),
        ],
    );
    let waits = said(provider, credential, &|_: Request| {
        let mut limited = answer(429, "");
        limited.headers.insert(header::RETRY_AFTER, "17".parse().unwrap());
        Ok(limited)
    });
    assert_eq!(waits.next.as_deref(), Some("wait 17 s, then test again"));
    let failures: [(fn() -> Unreachable, Outcome); 6] = [
        (|| Unreachable::Connect { origin: "o".into(), cause: Reason("refused".into()) }, Outcome::Unreachable),
        (|| Unreachable::Slow { origin: "o".into(), after: Duration::from_secs(10) }, Outcome::Unreachable),
        (|| Unreachable::BrokenOff { origin: "o".into(), cause: Reason("closed".into()) }, Outcome::Unreachable),
        (|| Unreachable::TooLarge { origin: "o".into(), limit: 1 }, Outcome::Unreachable),
        (|| Unreachable::Redirect { origin: "o".into(), target: "p".into() }, Outcome::Unreachable),
        (|| Unreachable::Tls { origin: "o".into(), cause: Reason("UnknownIssuer".into()) }, Outcome::Tls),
    ];
    for (failure, outcome) in failures {
        let verdict = said(provider, credential, &|_: Request| Err(failure()));
        assert_eq!(verdict.outcome, outcome, "{verdict:?}");
        assert!(verdict.next.is_some_and(|next| !next.is_empty()));
    }
}

/// A home with these files, and the surroundings of a process in its folder `work`.
pub(in crate::provider) struct Home {
    _folder: TempDir,
    env: Env,
}

impl Home {
    /// Files by their path below the home, variables by name.
    pub(in crate::provider) fn new(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        std::fs::create_dir(&work).unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::create(path).unwrap().write_all(content.as_bytes()).unwrap();
        }
        let env = Env::invented(&folder.path().join(".lanyard"), &work, variables);
        Self { _folder: folder, env }
    }

    /// What the provider finds here, with these inputs given.
    pub(in crate::provider) fn find(
        &self,
        provider: &dyn Provider,
        inputs: &[(&str, &str)],
    ) -> Result<Vec<Found>, ProviderError> {
        self.look(provider, inputs).choice()
    }

    /// As [`Home::find`], with what could not be understood.
    pub(in crate::provider) fn look(&self, provider: &dyn Provider, inputs: &[(&str, &str)]) -> Discovered {
        let given: BTreeMap<String, Vec<String>> =
            inputs.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        provider.discover(&Here { env: &self.env, given: &given })
    }

    /// The values that the provider completes these to.
    pub(in crate::provider) fn complete(
        &self,
        provider: &dyn Provider,
        values: &[(&str, &str)],
    ) -> Result<Raw, ProviderError> {
        let mut raw = Raw::new();
        for (name, value) in values {
            raw.plain(name, value);
        }
        provider.complete(&mut raw, &Here { env: &self.env, given: &BTreeMap::new() }).map(|_| raw)
    }
}

/// Where something was found and with which values, in words: `~/file [entry]: name=value …`.
pub(in crate::provider) fn told(found: &[Found]) -> Vec<String> {
    let each = |found: &Found| {
        let values: Vec<String> =
            found.raw.names().map(|name| format!("{name}={}", found.raw.get(name).unwrap().expose())).collect();
        let name = found.name.as_ref().map_or_else(String::new, |name| format!(" as {name}"));
        format!("{}{name}: {}", found.origin.place, values.join(" "))
    };
    found.iter().map(each).collect()
}

/// The variables that are handed over: `NAME=value`, and `-NAME` for one that is taken away.
pub(in crate::provider) fn exported(provider: &dyn Provider, credential: &Credential) -> Vec<String> {
    let issued = Issued::lasting(Material::Variables(Vec::new()));
    let word = |variable: &Variable| match variable {
        Variable::Value { name, value, .. } => format!("{name}={}", value.expose()),
        Variable::File { name, .. } => format!("{name}=<file>"),
        Variable::Unset { name } => format!("-{name}"),
    };
    provider.export(credential, &issued).iter().map(word).collect()
}

/// The file of that format.
pub(in crate::provider) fn written(provider: &dyn Provider, format: &str, credential: &Credential) -> Option<Secret> {
    provider.file(format, credential, &Issued::lasting(Material::Variables(Vec::new())))
}

/// Fails unless every match of a mark in `text` is one of `secrets`, in order.
pub(in crate::provider) fn assert_marks(provider: &dyn Provider, text: &str, secrets: &[&str]) {
    let mut found = Vec::new();
    for mark in provider.marks() {
        assert!(provider.kinds().iter().any(|kind| kind.id == mark.kind && kind.field(mark.field).is_some()));
        let pattern = regex::Regex::new(mark.pattern).unwrap();
        for captures in pattern.captures_iter(text) {
            assert!(captures[0].contains(mark.keyword), "{} lacks {}", &captures[0], mark.keyword);
            let secret = captures.get(1).unwrap();
            found.push((secret.start(), secret.as_str()));
        }
    }
    found.sort_unstable();
    assert_eq!(found.into_iter().map(|(_, secret)| secret).collect::<Vec<_>>(), secrets);
}

/// Fails unless the examples of all fields pass their own checks, and none of these values does.
pub(in crate::provider) fn assert_checks(provider: &dyn Provider, refused: &[(&str, &str)]) {
    for field in provider.kinds().iter().flat_map(|kind| kind.fields) {
        assert_eq!((field.check)(field.example), Ok(()), "{}", field.name);
        assert!((field.check)("").is_err() && (field.check)("two words").is_err(), "{}", field.name);
    }
    for (name, value) in refused {
        assert!((provider.kinds()[0].field(name).unwrap().check)(value).is_err(), "{name} {value}");
    }
}

#[test]
fn an_address_is_the_credentials_own_then_the_variables_then_the_official_one() {
    let api = Api { variables: &["FIRST", "SECOND"], official: "https://api.test/v1" };
    let own = example(&super::super::hetzner::PROVIDER, &[("endpoint", "https://own.test:8443/base/")]).metadata;
    let plain = example(&super::super::hetzner::PROVIDER, &[]).metadata;
    let env = |variables: &[(&str, &str)]| Env::invented(Path::new("/x"), Path::new("/"), variables);
    let at = |metadata: &Metadata, variables: &[(&str, &str)]| {
        api.at(metadata, &env(variables), "/a?b=c").map(|url| url.to_string())
    };
    assert_eq!(at(&own, &[("FIRST", "https://first.test")]).unwrap(), "https://own.test:8443/base/a?b=c");
    assert_eq!(at(&plain, &[("SECOND", "https://second.test")]).unwrap(), "https://second.test/a?b=c");
    assert_eq!(at(&plain, &[]).unwrap(), "https://api.test/v1/a?b=c");
    let refused = at(&plain, &[("FIRST", "http://first.test")]).unwrap_err();
    assert!(matches!(refused, ProviderError::BadEndpoint { name, .. } if name == "FIRST"));
    assert_eq!(api.hosts(&own), ["own.test:8443"]);
    assert_eq!(api.hosts(&plain), ["api.test"]);
}

#[test]
fn the_name_of_what_a_rotation_makes_does_not_grow() {
    let first = rotation_name("deploy", now());
    assert_eq!(first, "deploy (lanyard 2023-11-14T22:13:20Z)");
    assert_eq!(rotation_name(&first, now()), first);
    assert!(rotation_name(&"é".repeat(300), now()).chars().count() <= 120);
}

#[test]
fn a_successor_lives_as_long_as_its_predecessor_was_to() {
    let day = chrono::Duration::days(1);
    assert_eq!(same_life(Some(now() - day * 29), Some(now() + day), now()), Some(now() + day * 30));
    assert_eq!(same_life(None, Some(now() + day), now()), Some(now() + day));
    assert_eq!(same_life(Some(now()), None, now()), None);
}

#[test]
fn a_limit_tells_when_it_ends() {
    let mut limited = answer(429, "");
    limited.headers.insert("ratelimit-reset", "1700000042".parse().unwrap());
    let next = not_now(&limited, "It", "ratelimit-reset").and_then(|verdict| verdict.next);
    assert_eq!(next.as_deref(), Some("test again after 22:14:02 UTC"));
    assert!(not_now(&answer(404, ""), "It", "ratelimit-reset").is_none());
}

#[test]
fn a_refusal_after_the_end_is_an_end() {
    let mut credential = example(&super::super::hetzner::PROVIDER, &[]);
    let refused = || Verdict::invalid("no", "make a new one");
    assert_eq!(dated(refused(), &credential, now()).outcome, Outcome::Invalid);
    credential.metadata.expires = Some(now());
    let ended = dated(refused(), &credential, now());
    assert_eq!((ended.outcome, ended.expires), (Outcome::Expired, Some(now())));
    assert_eq!(ended.reason.as_deref(), Some("its time was over on 2023-11-14 at 22:13 UTC"));
    assert_eq!(dated(Verdict::valid_unnamed(), &credential, now()).outcome, Outcome::Valid);
}
