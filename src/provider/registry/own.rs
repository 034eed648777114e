//! The registries that have a better answer than their token server's, and Helm repositories.

use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::asked::{Asked, claims};
use super::token;
use crate::http::{Request, Response, below, header};
use crate::provider::api::is_spoken;
use crate::provider::{Outcome, ProviderError, Verdict};
use crate::secret::Secret;

/// Where Docker Hub's accounts live.
pub(super) const HUB_API: &str = "https://hub.docker.com";
/// Where GitHub's accounts live.
pub(super) const GITHUB_API: &str = "https://api.github.com";
/// The longest index of charts that is read, in bytes.
const LONGEST_INDEX: usize = 32 << 20;

/// `path` below the endpoint that the user named, or the official one.
fn at(asked: &Asked<'_>, official: &str, path: &str) -> Result<Url, ProviderError> {
    let bad = |cause| ProviderError::BadEndpoint { name: "endpoint".into(), cause };
    let base = match &asked.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => crate::http::parse_url(official).map_err(bad)?,
    };
    below(&base, path).map_err(bad)
}

/// Docker Hub serves everybody's pulls, so its accounts are asked: `POST /v2/auth/token`.
pub(super) fn docker_hub(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    #[derive(Deserialize)]
    struct Signed {
        access_token: Secret,
    }
    #[derive(Deserialize)]
    struct SecondFactor {
        #[serde(rename = "login_2fa_token")]
        _token: Secret,
    }
    let quoted = |text: &str| serde_json::to_string(text).map(Zeroizing::new).unwrap_or_default();
    let (user, password) = (quoted(asked.username), quoted(asked.password.expose()));
    let body = Zeroizing::new(format!(r#"{{"identifier":{},"secret":{}}}"#, *user, *password));
    let answer = asked.openly(Request::post_json(at(asked, HUB_API, "/v2/auth/token")?, &body))?;
    Ok(match answer.status {
        200 => match answer.json::<Signed>() {
            Ok(signed) => {
                let scope = claims(&signed.access_token).and_then(|claims| claims.scope).unwrap_or_default();
                asked.valid().with_scopes(scope.split_whitespace())
            }
            Err(_) => asked.other(&answer),
        },
        401 if answer.json::<SecondFactor>().is_ok() => Verdict::insufficient(
            "the password is right, and Docker Hub asks for a second factor, which tools cannot give",
            "make a personal access token in the account's settings at https://app.docker.com and store that",
        ),
        401 => asked.refused(&answer),
        _ => asked.other(&answer),
    })
}

/// GitHub serves everybody's pulls of public packages, so its accounts are asked: `GET /user`.
pub(super) fn github(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    #[derive(Deserialize)]
    struct User {
        login: String,
    }
    let answer = asked.openly(Request::get(at(asked, GITHUB_API, "/user")?).bearer(asked.password))?;
    let scopes: Option<Vec<String>> = answer
        .headers
        .get("x-oauth-scopes")
        .and_then(|scopes| scopes.to_str().ok())
        .map(|scopes| scopes.split(',').map(|scope| scope.trim().to_owned()).filter(|scope| !scope.is_empty()).collect());
    Ok(match answer.status {
        200 => {
            let Ok(User { login }) = answer.json() else { return Ok(asked.other(&answer)) };
            // `write:packages` and `delete:packages` are given together with the right to read.
            let may_pull = |scopes: &Vec<String>| scopes.iter().any(|scope| scope.ends_with(":packages"));
            match scopes {
                Some(scopes) if !may_pull(&scopes) => Verdict::insufficient(
                    format!("the token of {login} is good and lacks the scope read:packages"),
                    "make a classic token with read:packages or write:packages at https://github.com/settings/tokens",
                )
                .with_scopes(scopes),
                scopes => Verdict::valid(login).with_scopes(scopes.unwrap_or_default()),
            }
        }
        401 => asked.refused(&answer),
        // The token of a workflow or of an app is alive and has no user. A limit says so in a header.
        403 if is_used_up(&answer) => asked.other(&Response { status: 429, ..answer }),
        403 if is_spoken(&answer) => Verdict::insufficient(
            "GitHub knows the token and does not tell whose it is, as with the token of a workflow",
            "pull something to see whether it works",
        ),
        _ => asked.other(&answer),
    })
}

fn is_used_up(answer: &Response) -> bool {
    let is_zero = |value: &crate::http::HeaderValue| value.as_bytes() == b"0";
    answer.headers.get("x-ratelimit-remaining").is_some_and(is_zero) || answer.headers.contains_key(header::RETRY_AFTER)
}

/// Harbor tells who a user is. Robots, and accounts whose sign-in is elsewhere, have only the registry's own way.
pub(super) fn harbor(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    #[derive(Deserialize)]
    struct User {
        username: String,
    }
    if asked.username.contains('$') {
        return token::ask(asked);
    }
    let bad = |cause| ProviderError::BadEndpoint { name: "url".into(), cause };
    let url = below(&asked.address.base(), "/api/v2.0/users/current").map_err(bad)?;
    let answer = asked.with_password(Request::get(url))?;
    match (answer.status, answer.json::<User>()) {
        (200, Ok(user)) => Ok(Verdict::valid(user.username)),
        (429 | 500.., _) => Ok(asked.other(&answer)),
        _ => token::ask(asked),
    }
}

/// Artifactory's ping asks for a credential unless everybody may come in.
pub(super) fn artifactory(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    let bad = |cause| ProviderError::BadEndpoint { name: "url".into(), cause };
    let ping = || {
        let url = below(&asked.address.base(), "/artifactory/api/system/ping").map_err(bad)?;
        Ok::<_, ProviderError>(Request::get(url))
    };
    if !matches!(asked.openly(ping()?)?.status, 401 | 403) {
        return token::ask(asked);
    }
    let answer = asked.with_password(ping()?)?;
    Ok(match answer.status {
        200 if is_pong(&answer) => asked.valid(),
        401 | 403 => asked.refused(&answer),
        _ => asked.other(&answer),
    })
}

/// The documented answer to the ping is the text `OK`.
fn is_pong(answer: &Response) -> bool {
    answer.body.trim_ascii() == b"OK" || answer.json::<serde::de::IgnoredAny>().is_ok()
}

/// A Helm repository is its index. Many are open, so it is asked for without the credential first.
pub(super) fn helm(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    let index = || {
        let bad = |cause| ProviderError::BadEndpoint { name: "url".into(), cause };
        let mut url = below(&asked.address.url, "/index.yaml").map_err(bad)?;
        url.set_query(asked.address.url.query());
        // The beginning is enough to know an index by; a server that cannot give a part gives it all.
        let request = Request::get(url).header("accept", "*/*").header("range", "bytes=0-65535");
        Ok::<_, ProviderError>(Request { max_answer: LONGEST_INDEX, ..request })
    };
    let openly = asked.openly(index()?)?;
    match openly.status {
        200..300 if is_index(&openly) => return Ok(asked.open_to_all()),
        401 | 403 => {}
        200..300 | 404 => return Ok(no_repository(asked)),
        _ => return Ok(asked.other(&openly)),
    }
    let answer = asked.with_password(index()?)?;
    Ok(match answer.status {
        200..300 if is_index(&answer) => asked.valid(),
        200..300 | 404 => no_repository(asked),
        401 => asked.refused(&answer),
        403 => Verdict::insufficient(
            format!("{} refuses the index of the charts to this user", asked.host()),
            "ask for the right to read the repository, or check user name and password",
        ),
        _ => asked.other(&answer),
    })
}

/// Whether a line of the text begins as an index does. A login page does not.
fn is_index(answer: &Response) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    text.lines().any(|line| ["apiVersion:", "entries:"].iter().any(|word| line.starts_with(word)))
        || (text.trim_start().starts_with('{') && (text.contains("\"apiVersion\"") || text.contains("\"entries\"")))
}

fn no_repository(asked: &Asked<'_>) -> Verdict {
    Verdict::failed(
        Outcome::Unexpected,
        format!("{} has no index of charts there", asked.host()),
        "check the address: index.yaml must lie right below it; for charts in a container registry give `--flavour oci`",
    )
}
