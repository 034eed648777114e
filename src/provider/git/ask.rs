//! Asking a git host about a login: its API where it has one, else git's own protocol about one repository.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;

use super::host::{self, Flavour};
use super::{git_user, token};
use crate::credential::{Credential, Material};
use crate::http::{Request, Response, Url, below, header};
use crate::provider::{Net, Outcome, ProviderError, Verdict, api, apply};
use crate::secret::Secret;

mod gitlab;

/// What is asked about, and the way out.
pub(super) struct Asked<'a> {
    credential: &'a Credential,
    net: &'a Net<'a>,
    token: &'a Secret,
    flavour: Flavour,
    /// Where the API is, where there is one.
    base: Option<Url>,
}

/// Asks the host.
pub(super) fn ask(credential: &Credential, net: &Net<'_>) -> Result<Verdict, ProviderError> {
    let flavour = Flavour::of(&credential.metadata);
    let base = host::api(&credential.metadata)?;
    let asked = Asked { credential, net, token: token(credential)?, flavour, base };
    match flavour {
        Flavour::GitHub => asked.github(),
        Flavour::GitLab => gitlab::ask(&asked),
        Flavour::Bitbucket if asked.base.is_some() => asked.bitbucket(),
        Flavour::Gitea => asked.gitea(),
        Flavour::Bitbucket | Flavour::Azure | Flavour::Other => asked.repository(),
    }
}

/// A body as JSON; `null` where it is none.
fn body(answer: &Response) -> Value {
    answer.json().unwrap_or(Value::Null)
}

fn text<'v>(body: &'v Value, pointer: &str) -> Option<&'v str> {
    body.pointer(pointer)?.as_str().filter(|text| !text.trim().is_empty())
}

impl Asked<'_> {
    fn title(&self) -> &'static str {
        self.flavour.title()
    }

    fn at(&self, path: &str) -> Result<Url, ProviderError> {
        let base = self.base.clone().map_or_else(|| host::root(&self.credential.metadata), Ok)?;
        below(&base, path).map_err(|cause| ProviderError::BadEndpoint { name: "endpoint".into(), cause })
    }

    fn bearing(&self, path: &str) -> Result<Response, ProviderError> {
        Ok(self.net.http.send(Request::get(self.at(path)?).bearer(self.token))?)
    }

    /// With user name and password.
    fn as_user(&self, mut request: Request, user: &str) -> Result<Response, ProviderError> {
        apply(&Material::Basic { username: user.to_owned(), password: self.token.duplicate() }, &mut request);
        Ok(self.net.http.send(request)?)
    }

    fn invalid(&self) -> Verdict {
        let name = &self.credential.metadata.name;
        Verdict::invalid(
            format!("{} does not accept it", self.title()),
            format!("make a new one there, then `lanyard credentials update {name}`"),
        )
    }

    fn expired(&self) -> Verdict {
        let name = &self.credential.metadata.name;
        Verdict::expired(
            format!("{} says that its time is over", self.title()),
            format!("make a new one there, then `lanyard credentials update {name}`"),
        )
    }

    fn unexpected(&self, answer: &Response) -> Verdict {
        api::not_now(answer, self.title(), "ratelimit-reset")
            .unwrap_or_else(|| Verdict::unexpected(self.title(), answer.status))
    }

    fn insufficient(&self, needs: &str) -> Verdict {
        Verdict::insufficient(
            format!("{} accepts it and does not let it tell whose it is", self.title()),
            format!("that is no fault; with {needs} it could tell"),
        )
    }

    /// A person's token, an app's, or the token of an installation, which is of no person.
    fn github(&self) -> Result<Verdict, ProviderError> {
        let token = self.token.expose();
        let path = if token.starts_with("ghs_") {
            "/installation/repositories?per_page=1"
        } else if token.starts_with("eyJ") {
            "/app"
        } else {
            "/user"
        };
        let request = Request::get(self.at(path)?)
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28")
            .bearer(self.token);
        let answer = self.net.http.send(request)?;
        let told = body(&answer);
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        if answer.is_success() {
            let who = text(&told, "/login").map(str::to_owned).or_else(|| {
                let app = text(&told, "/name").map(|name| format!("App {name}"));
                let count = told.get("total_count").and_then(Value::as_u64);
                app.or_else(|| count.map(|count| format!("Installation with {count} repositories")))
            });
            let Some(who) = who else { return Ok(self.unexpected(&answer)) };
            let scopes = header("x-oauth-scopes").unwrap_or_default().split(',').map(str::trim);
            let end = header("github-authentication-token-expiration").and_then(github_time);
            return Ok(Verdict::valid(who).with_scopes(scopes).expiring(end));
        }
        let Some(message) = text(&told, "/message").map(str::to_lowercase) else { return Ok(self.unexpected(&answer)) };
        Ok(match answer.status {
            403 | 429 if header("x-ratelimit-remaining") == Some("0") || message.contains("rate limit") => {
                Verdict::failed(Outcome::RateLimited, "GitHub was asked too often", "wait some minutes, then test again")
            }
            401 => self.invalid(),
            403 if header("x-github-sso").is_some() => Verdict::insufficient(
                "GitHub accepts it, and an organization wants it to be authorized for single sign-on",
                "authorize it at https://github.com/settings/tokens (Configure SSO)",
            ),
            403 if message.contains("administrative rules") => self.unexpected(&answer),
            403 => self.insufficient("the permission to read the profile"),
            _ => self.unexpected(&answer),
        })
    }

    /// An API token belongs to a person's e-mail address; an access token to a repository, a project or a workspace.
    fn bitbucket(&self) -> Result<Verdict, ProviderError> {
        if self.token.expose().starts_with("ATCTT") {
            return self.bitbucket_repository();
        }
        let Some(user) = self.credential.field("username").filter(|user| user.contains('@')) else {
            if self.credential.field("repository").is_some() {
                return self.repository();
            }
            let reason = "Bitbucket tells whose a token is only beside the account's e-mail address";
            return Ok(Verdict { reason: Some(reason.into()), ..Verdict::cannot_be_asked() });
        };
        let answer = self.as_user(Request::get(self.at("/user")?), user)?;
        let told = body(&answer);
        if answer.is_success() {
            let who = ["/display_name", "/nickname", "/username", "/uuid"];
            let who = who.iter().find_map(|pointer| text(&told, pointer));
            return Ok(who.map_or_else(|| self.unexpected(&answer), Verdict::valid));
        }
        Ok(match answer.status {
            401 if self.token.expose().starts_with("ATBB") && Self::is_bitbuckets(&answer) => Verdict::invalid(
                "Bitbucket does not accept it: app passwords have ended",
                "make an API token at https://id.atlassian.com/manage-profile/security/api-tokens",
            ),
            _ => self.of_bitbucket(&answer),
        })
    }

    fn is_bitbuckets(answer: &Response) -> bool {
        answer.headers.contains_key(header::WWW_AUTHENTICATE) || text(&body(answer), "/type") == Some("error")
    }

    fn of_bitbucket(&self, answer: &Response) -> Verdict {
        match answer.status {
            401 if Self::is_bitbuckets(answer) => self.invalid(),
            403 if Self::is_bitbuckets(answer) => self.insufficient("the scope read:user:bitbucket"),
            _ => self.unexpected(answer),
        }
    }

    /// The answer of a public repository proves nothing.
    fn bitbucket_repository(&self) -> Result<Verdict, ProviderError> {
        let Some(path) = self.credential.field("repository") else { return Ok(Self::no_repository()) };
        let path = path.trim_matches('/').trim_end_matches(".git");
        let answer = self.bearing(&format!("/repositories/{path}"))?;
        if !answer.is_success() {
            return Ok(self.of_bitbucket(&answer));
        }
        let told = body(&answer);
        Ok(match (told.get("is_private").and_then(Value::as_bool), text(&told, "/full_name")) {
            (Some(true), Some(name)) => Verdict::valid(format!("Access token for {name}")),
            (Some(false), _) => Self::public(),
            _ => self.unexpected(&answer),
        })
    }

    /// Gitea takes a token for the password, as git gives it.
    fn gitea(&self) -> Result<Verdict, ProviderError> {
        let answer = self.as_user(Request::get(self.at("/user")?), git_user(self.credential, self.token))?;
        let told = body(&answer);
        if answer.is_success() {
            let who = text(&told, "/login").or_else(|| text(&told, "/email"));
            return Ok(who.map_or_else(|| self.unexpected(&answer), Verdict::valid));
        }
        Ok(match (answer.status, text(&told, "/message")) {
            (401, Some(_)) => self.invalid(),
            (403, Some(_)) => self.insufficient("the scope read:user"),
            _ => self.unexpected(&answer),
        })
    }

    fn no_repository() -> Verdict {
        let reason = "this host can only be asked about a repository; `--repository PATH` names a private one";
        Verdict { reason: Some(reason.into()), ..Verdict::cannot_be_asked() }
    }

    fn public() -> Verdict {
        let reason = "the repository is open to everybody, which proves nothing; name a private one";
        Verdict { reason: Some(reason.into()), ..Verdict::cannot_be_asked() }
    }

    /// What git itself asks before it fetches: first without a login, since a public repository proves nothing.
    fn repository(&self) -> Result<Verdict, ProviderError> {
        let Some(path) = self.credential.field("repository") else { return Ok(Self::no_repository()) };
        let path = format!("{}/info/refs?service=git-upload-pack", path.trim_matches('/'));
        let url = below(&host::root(&self.credential.metadata)?, &path)
            .map_err(|cause| ProviderError::BadEndpoint { name: "repository".into(), cause })?;
        let request = || {
            let mut request = Request::get(url.clone()).header("accept", "*/*");
            request.max_answer = api::LONG;
            request
        };
        let is_advertised = |answer: &Response| {
            answer.is_success()
                && answer.header(&header::CONTENT_TYPE) == Some("application/x-git-upload-pack-advertisement")
        };
        if is_advertised(&self.net.http.send(request())?) {
            return Ok(Self::public());
        }
        let user = git_user(self.credential, self.token);
        let answer = self.as_user(request(), user)?;
        Ok(match answer.status {
            _ if is_advertised(&answer) => Verdict::valid(user),
            401 if answer.headers.contains_key(header::WWW_AUTHENTICATE) => self.invalid(),
            403 => Verdict::insufficient(
                format!("{} does not let it read this repository", self.title()),
                "grant it the permission to read, or name another repository",
            ),
            404 => Verdict::failed(
                Outcome::Unexpected,
                format!("{} knows no such repository, or does not show it", self.title()),
                "check the path of the repository",
            ),
            _ => self.unexpected(&answer),
        })
    }
}

/// `2026-12-31 23:59:59 UTC`, or with an offset.
fn github_time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.replace("UTC", "+0000");
    DateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S %z").ok().map(|time| time.to_utc())
}

/// The beginning of a day.
fn day(text: &str) -> Option<DateTime<Utc>> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc())
}
