//! Every flavour of host held against every class of answer, and what is handed over.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::*;
use crate::http::{HeaderMap, HeaderName, Request, Response, Unreachable};
use crate::os::Env;
use crate::provider::Outcome;
use crate::secret::Reason;

mod places;

/// The words of all flavours.
pub(in crate::provider) fn flavours() -> impl Iterator<Item = &'static str> {
    host::FLAVOURS.iter().map(|row| row.1)
}

fn completed(given: Option<&str>, values: &[(&str, &str)]) -> Result<Raw, ProviderError> {
    let given = given.map(|host| ("host".to_owned(), vec![host.to_owned()])).into_iter().collect::<BTreeMap<_, _>>();
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    let env = env();
    PROVIDER.complete(&mut raw, &Here { env: &env, given: &given }).map(|_| raw)
}

fn credential(host: &str, token: &str, more: &[(&str, &str)]) -> Credential {
    let mut raw = completed(Some(host), &[&[("token", token)], more].concat()).unwrap();
    raw.fill("username", Secret::new("alice".into()));
    crate::credential::tests::credential("mine", Fields::parse(&KINDS[0], raw).unwrap())
}

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Response {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    Response { status, headers: map, body: body.as_bytes().to_vec().into() }
}

fn env() -> Env {
    Env::invented(Path::new("/nowhere/config"), Path::new("/nowhere"), &[])
}

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_750_000_000, 0).unwrap()
}

/// What is said when the host gives these answers one after another; and what was asked: path and `Authorization`.
fn said(credential: &Credential, answers: Vec<Response>) -> (Verdict, Vec<(String, String)>) {
    let answers = Mutex::new(answers.into_iter().rev().collect::<Vec<_>>());
    let seen = Mutex::new(Vec::new());
    let http = |request: Request| {
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let carried = header("authorization").or_else(|| header("job-token")).unwrap_or_default();
        seen.lock().unwrap().push((request.url.to_string(), carried));
        Ok(answers.lock().unwrap().pop().expect("one more answer"))
    };
    let verdict = PROVIDER.verify(credential, None, &Net { http: &http, env: &env(), now: at() });
    assert!(answers.into_inner().unwrap().is_empty(), "every answer was asked for");
    (verdict, seen.into_inner().unwrap())
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

const BAD: &str = r#"{"message":"Bad credentials","status":"401"}"#;
const PAT: &str = r#"{"id":1,"name":"ci","revoked":false,"active":true,"scopes":["api"],"expires_at":"2030-01-02"}"#;

#[test]
fn github_is_asked_where_the_token_may_ask() {
    for (host, token, url) in [
        ("github.com", "ghp_x", "https://api.github.com/user"),
        ("https://GitHub.com/owner/project.git", "github_pat_x", "https://api.github.com/user"),
        ("acme.ghe.com", "gho_x", "https://api.acme.ghe.com/user"),
        ("git.corp.example", "ghp_x", "https://git.corp.example/api/v3/user"),
        ("github.com", "ghs_x", "https://api.github.com/installation/repositories?per_page=1"),
        ("github.com", "ghs_1_eyJx.eyJx.x", "https://api.github.com/installation/repositories?per_page=1"),
        ("github.com", "eyJx.eyJx.x", "https://api.github.com/app"),
    ] {
        let (_, seen) = said(&credential(host, token, &[]), vec![answer(401, &[], BAD)]);
        assert_eq!(seen, [(url.to_owned(), format!("Bearer {token}"))]);
    }
}

#[test]
fn every_answer_of_github_has_its_meaning() {
    let mine = credential("github.com", "ghp_x", &[]);
    let headers = [
        ("x-oauth-scopes", "repo, read:org"),
        ("github-authentication-token-expiration", "2030-12-31 23:59:59 UTC"),
    ];
    let (verdict, _) = said(&mine, vec![answer(200, &headers, r#"{"login":"octocat"}"#)]);
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("octocat")));
    assert_eq!(verdict.scopes, ["repo", "read:org"]);
    assert_eq!(verdict.expires.unwrap().to_rfc3339(), "2030-12-31T23:59:59+00:00");
    let (verdict, _) = said(&mine, vec![answer(200, &[], r#"{"total_count":3,"repositories":[]}"#)]);
    assert_eq!(verdict.identity.as_deref(), Some("Installation with 3 repositories"));
    let limit = r#"{"message":"API rate limit exceeded for user ID 1."}"#;
    let sso = ("x-github-sso", "required; url=https://github.com/orgs/x/sso");
    for (status, headers, body, outcome) in [
        (401, vec![], BAD, Outcome::Invalid),
        (401, vec![], "<html>", Outcome::Unexpected),
        (403, vec![], r#"{"message":"Resource not accessible by integration"}"#, Outcome::Insufficient),
        (403, vec![sso], r#"{"message":"Resource protected by organization SAML enforcement."}"#, Outcome::Insufficient),
        (403, vec![], "blocked by the proxy", Outcome::Unexpected),
        (403, vec![], r#"{"message":"Request forbidden by administrative rules."}"#, Outcome::Unexpected),
        (403, vec![("x-ratelimit-remaining", "0")], r#"{"message":"no"}"#, Outcome::RateLimited),
        (403, vec![], r#"{"message":"You have exceeded a secondary rate limit."}"#, Outcome::RateLimited),
        (429, vec![], limit, Outcome::RateLimited),
        (404, vec![], r#"{"message":"Not Found"}"#, Outcome::Unexpected),
        (500, vec![], "", Outcome::Unreachable),
        (503, vec![], r#"{"message":"No server is available"}"#, Outcome::Unreachable),
        (200, vec![], "[]", Outcome::Unexpected),
    ] {
        let (verdict, _) = said(&mine, vec![answer(status, &headers, body)]);
        assert_eq!(verdict.outcome, outcome, "{status} {body}");
    }
}

#[test]
fn a_token_of_gitlab_tells_of_itself() {
    let mine = credential("gitlab.com", "glpat-x", &[]);
    let who = answer(200, &[], r#"{"id":1,"username":"alice"}"#);
    let (verdict, seen) = said(&mine, vec![answer(200, &[], PAT), who]);
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("alice")));
    assert_eq!(verdict.expires.unwrap().to_rfc3339(), "2030-01-02T00:00:00+00:00");
    assert_eq!(seen[0], ("https://gitlab.com/api/v4/personal_access_tokens/self".into(), "Bearer glpat-x".into()));
    let (verdict, _) = said(&mine, vec![answer(200, &[], PAT), answer(503, &[], "")]);
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("Token ci")));
    let (verdict, _) = said(&mine, vec![answer(200, &[], &PAT.replace("\"api\"", "\"read_repository\""))]);
    assert_eq!(verdict.scopes, ["read_repository"]);
    for (body, outcome) in [
        (PAT.replace("\"revoked\":false", "\"revoked\":true"), Outcome::Invalid),
        (PAT.replace("\"active\":true", "\"active\":false"), Outcome::Expired),
        ("{}".into(), Outcome::Unexpected),
    ] {
        assert_eq!(said(&mine, vec![answer(200, &[], &body)]).0.outcome, outcome, "{body}");
    }
    for (status, body, outcome) in [
        (401, r#"{"message":"401 Unauthorized"}"#, Outcome::Invalid),
        (401, r#"{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize."}"#, Outcome::Invalid),
        (401, r#"{"error":"invalid_token","error_description":"Token is expired. You can either do re-authorization"}"#, Outcome::Expired),
        (401, "<html>", Outcome::Unexpected),
        (403, r#"{"error":"insufficient_scope","scope":"api"}"#, Outcome::Insufficient),
        (403, "<html>", Outcome::Unexpected),
        (404, "{}", Outcome::Unexpected),
        (429, "Retry later", Outcome::RateLimited),
        (502, "", Outcome::Unreachable),
    ] {
        assert_eq!(said(&mine, vec![answer(status, &[], body)]).0.outcome, outcome, "{status} {body}");
    }
}

#[test]
fn gitlabs_other_tokens_are_asked_in_their_own_way() {
    let job = credential("gitlab.com", "glcbt-x", &[]);
    assert_eq!(job.field("username"), Some("gitlab-ci-token"));
    let (verdict, seen) = said(&job, vec![answer(200, &[], r#"{"id":1,"name":"build"}"#)]);
    assert_eq!(verdict.identity.as_deref(), Some("Job build"));
    assert_eq!(seen, [("https://gitlab.com/api/v4/job".to_owned(), "glcbt-x".to_owned())]);
    let unauthorized = || answer(401, &[], r#"{"message":"401 Unauthorized"}"#);
    let own = credential("gitlab.corp.example", "plain-token", &[("service", "gitlab")]);
    let oauth = answer(200, &[], r#"{"resource_owner_id":7,"scope":["api"],"expires_in":7200}"#);
    let (verdict, seen) = said(&own, vec![unauthorized(), oauth]);
    assert_eq!((verdict.identity.as_deref(), verdict.scopes), (Some("User 7"), vec!["api".to_owned()]));
    assert_eq!(verdict.expires.unwrap(), at() + chrono::Duration::hours(2));
    assert_eq!(seen[1].0, "https://gitlab.corp.example/oauth/token/info");
    let (verdict, _) = said(&own, vec![unauthorized(), unauthorized()]);
    assert_eq!(verdict.outcome, Outcome::Unexpected, "it may be a password");
    assert_eq!(said(&credential("gitlab.com", "gldt-x", &[]), vec![]).0.outcome, Outcome::CannotBeAsked);
}

#[test]
fn bitbucket_wants_the_e_mail_address() {
    let api = credential("bitbucket.org", "ATATTx", &[("username", "a@b.example")]);
    let (verdict, seen) = said(&api, vec![answer(200, &[], r#"{"display_name":"Alice","username":"alice"}"#)]);
    assert_eq!(verdict.identity.as_deref(), Some("Alice"));
    assert_eq!(seen, [("https://api.bitbucket.org/2.0/user".to_owned(), basic("a@b.example", "ATATTx"))]);
    let without = credential("bitbucket.org", "ATATTx", &[("username", "alice")]);
    assert_eq!(said(&without, vec![]).0.outcome, Outcome::CannotBeAsked);
    let error = r#"{"type":"error","error":{"message":"no"}}"#;
    let challenge = ("www-authenticate", "Basic realm=\"Bitbucket.org HTTP\"");
    for (status, headers, body, outcome) in [
        (401, vec![challenge], "", Outcome::Invalid),
        (401, vec![], error, Outcome::Invalid),
        (401, vec![], "<html>", Outcome::Unexpected),
        (403, vec![], error, Outcome::Insufficient),
        (403, vec![], "<html>", Outcome::Unexpected),
        (429, vec![], "", Outcome::RateLimited),
        (500, vec![], "", Outcome::Unreachable),
    ] {
        assert_eq!(said(&api, vec![answer(status, &headers, body)]).0.outcome, outcome, "{status} {body}");
    }
    let dead = credential("bitbucket.org", "ATBBx", &[("username", "a@b.example")]);
    let (verdict, _) = said(&dead, vec![answer(401, &[challenge], "")]);
    assert!(verdict.reason.unwrap().contains("app passwords have ended"));
}

#[test]
fn an_access_token_of_bitbucket_is_proven_by_a_private_repository() {
    let token = credential("bitbucket.org", "ATCTTx", &[("repository", "team/project.git")]);
    assert_eq!(token.field("username"), Some("x-token-auth"));
    let (verdict, seen) = said(&token, vec![answer(200, &[], r#"{"full_name":"team/project","is_private":true}"#)]);
    assert_eq!(verdict.identity.as_deref(), Some("Access token for team/project"));
    let url = "https://api.bitbucket.org/2.0/repositories/team/project";
    assert_eq!(seen, [(url.to_owned(), "Bearer ATCTTx".to_owned())]);
    let open = answer(200, &[], r#"{"full_name":"team/project","is_private":false}"#);
    assert_eq!(said(&token, vec![open]).0.outcome, Outcome::CannotBeAsked);
    assert_eq!(said(&credential("bitbucket.org", "ATCTTx", &[]), vec![]).0.outcome, Outcome::CannotBeAsked);
}

#[test]
fn gitea_takes_a_token_for_the_password() {
    let mine = credential("codeberg.org", "0123abcd", &[]);
    let (verdict, seen) = said(&mine, vec![answer(200, &[], r#"{"id":1,"login":"alice"}"#)]);
    assert_eq!(verdict.identity.as_deref(), Some("alice"));
    assert_eq!(seen, [("https://codeberg.org/api/v1/user".to_owned(), basic("git", "0123abcd"))]);
    for (status, body, outcome) in [
        (401, r#"{"message":"invalid username, password or token"}"#, Outcome::Invalid),
        (401, "<html>", Outcome::Unexpected),
        (403, r#"{"message":"token does not have at least one of required scope(s)"}"#, Outcome::Insufficient),
        (404, "{}", Outcome::Unexpected),
        (429, "", Outcome::RateLimited),
        (500, "", Outcome::Unreachable),
    ] {
        assert_eq!(said(&mine, vec![answer(status, &[], body)]).0.outcome, outcome, "{status} {body}");
    }
}

#[test]
fn any_other_host_is_asked_as_git_asks() {
    let advertised = || answer(200, &[("content-type", "application/x-git-upload-pack-advertisement")], "001e# service");
    let challenge = || answer(401, &[("www-authenticate", "Basic realm=\"git\"")], "");
    let mine = credential("https://git.corp.example/team/project.git", "secret", &[]);
    let (verdict, seen) = said(&mine, vec![challenge(), advertised()]);
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("alice")));
    let url = "https://git.corp.example/team/project.git/info/refs?service=git-upload-pack".to_owned();
    assert_eq!(seen, [(url.clone(), String::new()), (url, basic("alice", "secret"))]);
    let (verdict, seen) = said(&mine, vec![advertised()]);
    assert_eq!((verdict.outcome, seen.len()), (Outcome::CannotBeAsked, 1), "the login is not sent for nothing");
    for (second, outcome) in [
        (challenge(), Outcome::Invalid),
        (answer(401, &[], "<html>"), Outcome::Unexpected),
        (answer(403, &[], ""), Outcome::Insufficient),
        (answer(404, &[], ""), Outcome::Unexpected),
        (answer(200, &[], "<html>Sign in</html>"), Outcome::Unexpected),
        (answer(429, &[], ""), Outcome::RateLimited),
        (answer(500, &[], ""), Outcome::Unreachable),
    ] {
        assert_eq!(said(&mine, vec![challenge(), second]).0.outcome, outcome);
    }
    assert_eq!(said(&credential("git.corp.example", "secret", &[]), vec![]).0.outcome, Outcome::CannotBeAsked);
}

#[test]
fn nobody_that_answers_is_no_refusal() {
    let origin = || "https://api.github.com".to_owned();
    for (failure, outcome) in [
        (Unreachable::Slow { origin: origin(), after: crate::http::TIMEOUT }, Outcome::Unreachable),
        (Unreachable::Connect { origin: origin(), cause: Reason("refused".into()) }, Outcome::Unreachable),
        (Unreachable::Tls { origin: origin(), cause: Reason("expired".into()) }, Outcome::Tls),
    ] {
        let failure = Mutex::new(Some(failure));
        let http = |_: Request| Err(failure.lock().unwrap().take().unwrap());
        let net = Net { http: &http, env: &env(), now: at() };
        assert_eq!(PROVIDER.verify(&credential("github.com", "ghp_x", &[]), None, &net).outcome, outcome);
    }
}

#[test]
fn the_rest_follows_from_host_and_token() {
    for (host, token, service, user) in [
        (Some("github.com"), "anything", "github", "x-access-token"),
        (Some("git.corp.example"), "github_pat_x", "github", "x-access-token"),
        (Some("git.corp.example"), "glpat-x", "gitlab", "oauth2"),
        (Some("dev.azure.com"), "x", "azure", "git"),
        (None, "ghp_x", "github", "x-access-token"),
    ] {
        let raw = completed(host, &[("token", token)]).unwrap();
        let text = |name: &str| raw.get(name).unwrap().expose().to_owned();
        assert_eq!((text("service").as_str(), text("username").as_str()), (service, user));
        assert_eq!(text("host"), host.unwrap_or("github.com"));
    }
    let without_host = completed(None, &[("token", "glpat-x")]).unwrap();
    assert_eq!(without_host.missing(&KINDS[0]), ["host"], "many run GitLab themselves");
    let unknown = completed(Some("git.corp.example"), &[("token", "x")]).unwrap();
    assert_eq!(unknown.missing(&KINDS[0]), ["username"]);
    let local = completed(Some("http://127.0.0.1:3000/team/x.git"), &[]).unwrap();
    assert_eq!(local.get("endpoint").unwrap().expose(), "http://127.0.0.1:3000");
    for token in ["ghr_s3cret", "glrt-s3cret", "gloas-s3cret"] {
        let told = completed(Some("github.com"), &[("token", token)]).unwrap_err().to_string();
        assert!(told.contains("malformed") && !told.contains("s3cret"), "{told}");
    }
}

#[test]
fn a_login_goes_to_its_host_and_its_api() {
    for (host, token, more, hosts) in [
        ("github.com", "ghp_x", vec![], vec!["github.com", "api.github.com"]),
        ("gitlab.corp.example:8443", "glpat-x", vec![], vec!["gitlab.corp.example:8443"]),
        ("bitbucket.org", "x", vec![], vec!["bitbucket.org", "api.bitbucket.org"]),
        ("http://127.0.0.1:3000", "x", vec![], vec!["127.0.0.1:3000"]),
        (
            "git.example",
            "glpat-x",
            vec![("endpoint", "https://api.example/v4")],
            vec!["git.example", "api.example"],
        ),
    ] {
        assert_eq!(PROVIDER.hosts(&credential(host, token, &more).metadata), hosts, "{host}");
    }
}

fn handed_over(credential: &Credential) -> Vec<String> {
    let told = |variable: Variable| match variable {
        Variable::Value { name, value, .. } => format!("{name}={}", value.expose()),
        Variable::Unset { name } => format!("-{name}"),
        Variable::File { name, .. } => name,
    };
    hands::variables(credential).into_iter().map(told).collect()
}

#[test]
fn the_tools_get_their_variables_and_files() {
    for (host, token, expected) in [
        ("github.com", "ghp_x", vec!["GH_TOKEN=ghp_x", "GITHUB_TOKEN=ghp_x", "GH_HOST=github.com"]),
        (
            "git.corp.example",
            "ghp_x",
            vec!["GH_ENTERPRISE_TOKEN=ghp_x", "GITHUB_ENTERPRISE_TOKEN=ghp_x", "GH_HOST=git.corp.example"],
        ),
        ("gitlab.com", "glpat-x", vec!["GITLAB_TOKEN=glpat-x", "GITLAB_HOST=gitlab.com"]),
        ("dev.azure.com", "x", vec!["AZURE_DEVOPS_EXT_PAT=x"]),
        ("git.corp.example", "x", vec!["GIT_PASSWORD=x", "GIT_USERNAME=alice"]),
    ] {
        assert_eq!(handed_over(&credential(host, token, &[])), expected);
    }
    let file = |format: &str, credential: &Credential| {
        let issued = Issued::lasting(Material::Variables(Vec::new()));
        PROVIDER.file(format, credential, &issued).map(|text| text.expose().to_owned())
    };
    let mine = credential("bitbucket.org", "ATATTx=y", &[("username", "a@b.example")]);
    let line = "https://x-bitbucket-api-token-auth:ATATTx%3Dy@bitbucket.org\n";
    assert_eq!(file("git-credentials", &mine).as_deref(), Some(line));
    let entry = "machine bitbucket.org\nlogin x-bitbucket-api-token-auth\npassword ATATTx=y\n";
    assert_eq!(file("netrc", &mine).as_deref(), Some(entry));
    let local = credential("http://127.0.0.1:3000", "x", &[]);
    assert_eq!(file("git-credentials", &local).as_deref(), Some("http://alice:x@127.0.0.1:3000\n"));
    assert_eq!(file("netrc", &credential("git.example", "with blank", &[])), None);
    assert_eq!(file("other", &mine), None);
}

#[test]
fn tools_get_it_for_its_host_its_path_and_its_user() {
    let address = |credential: &Credential| PROVIDER.addresses(&credential.metadata).remove(0);
    let whole = address(&credential("https://git.example:8443/team/app.git", "x", &[]));
    assert_eq!((whole.host.as_str(), whole.path), ("git.example:8443", None), "the repository is for asking alone");
    let team = address(&credential("git.example", "x", &[("path", "/team/app/")]));
    assert_eq!(team.path.as_deref(), Some("team/app"));
    assert!(Fields::parse(&KINDS[0], completed(Some("git.example"), &[("path", "../x"), ("token", "x")]).unwrap()).is_err());
    let is_for = |host: &str, user| PROVIDER.is_for_user(&credential(host, "x", &[]).metadata, user);
    assert!(is_for("git.example", "alice") && !is_for("git.example", "bob") && !is_for("git.example", ""));
    assert!(is_for("dev.azure.com", "an-organization"), "Azure writes the organization in the place of a user");
}

#[test]
fn no_host_makes_a_new_token_beside_the_old_one() {
    use crate::error::Failure;
    for (host, token, words) in [("gitlab.com", "glpat-x", "at once"), ("github.com", "ghp_x", "its own pages")] {
        let failure = PROVIDER.rotation().unwrap().can(&credential(host, token, &[]).metadata).unwrap_err();
        assert!(failure.to_string().contains(words) && failure.mend().unwrap().contains(host), "{failure}");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_it_panic(status in 100u16..600, body in "\\PC{0,60}", host in 0usize..5) {
        let hosts = ["github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "https://other.example/x"];
        let credential = credential(hosts[host], "glpat-x", &[("username", "a@b.example")]);
        let http = |_: Request| Ok(answer(status, &[], &body));
        let _ = PROVIDER.verify(&credential, None, &Net { http: &http, env: &env(), now: at() });
    }
}
