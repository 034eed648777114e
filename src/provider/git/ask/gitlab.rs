//! GitLab: personal, project and group tokens tell of themselves; job tokens of their job; others are OAuth tokens.

use serde_json::Value;

use super::{Asked, body, day, text};
use crate::http::{Request, Response, below};
use crate::provider::{Outcome, ProviderError, Verdict};

/// Scopes with which a token may tell whose it is.
const TELLING: [&str; 3] = ["api", "read_api", "read_user"];

/// Asks GitLab about the token.
pub(super) fn ask(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    let token = asked.token.expose();
    if token.starts_with("gldt-") {
        return asked.repository();
    }
    if token.starts_with("glcbt-") {
        let mut request = Request::get(asked.at("/job")?);
        request.set_secret_header("job-token", asked.token);
        let answer = asked.net.http.send(request)?;
        let told = body(&answer);
        let name = text(&told, "/name").filter(|_| answer.is_success());
        return Ok(name.map_or_else(|| refused(asked, &answer), |name| Verdict::valid(format!("Job {name}"))));
    }
    let answer = asked.bearing("/personal_access_tokens/self")?;
    if answer.is_success() {
        return Ok(of_token(asked, &answer));
    }
    let is_known = token.starts_with("glpat-");
    if is_known || !matches!(answer.status, 400 | 401 | 404) {
        return Ok(refused(asked, &answer));
    }
    let verdict = of_oauth(asked)?;
    if verdict.outcome == Outcome::Invalid && asked.credential.field("repository").is_some() {
        return asked.repository();
    }
    Ok(match verdict.outcome {
        // A prefix of the host's own, or a password: that the API does not know it, is no refusal.
        Outcome::Invalid => Verdict::failed(
            Outcome::Unexpected,
            "GitLab's API does not take it for a token; a password is good for git alone",
            "if it is a password, name a private repository with `--repository PATH`; if it is a token, make a new one",
        ),
        _ => verdict,
    })
}

/// What a token tells of itself, and whose it is where it may.
fn of_token(asked: &Asked<'_>, answer: &Response) -> Verdict {
    let told = body(answer);
    let Some(scopes) = told.get("scopes").and_then(Value::as_array) else { return asked.unexpected(answer) };
    let scopes: Vec<&str> = scopes.iter().filter_map(Value::as_str).collect();
    let end = text(&told, "/expires_at").and_then(day);
    if told.get("revoked") == Some(&Value::Bool(true)) {
        return asked.invalid().code("revoked");
    }
    if told.get("active") == Some(&Value::Bool(false)) {
        return asked.expired().expiring(end);
    }
    let mut who = None;
    if scopes.iter().any(|scope| TELLING.contains(scope)) {
        // The token is proven: an answer that does not come takes nothing from that.
        let answer = asked.bearing("/user").ok().filter(Response::is_success);
        who = answer.and_then(|answer| text(&body(&answer), "/username").map(str::to_owned));
    }
    let who = who.or_else(|| text(&told, "/name").map(|name| format!("Token {name}")));
    let verdict = who.map_or_else(Verdict::valid_unnamed, Verdict::valid);
    verdict.with_scopes(scopes).expiring(end)
}

fn of_oauth(asked: &Asked<'_>) -> Result<Verdict, ProviderError> {
    let mut root = asked.at("")?;
    let path = root.path().trim_end_matches('/').trim_end_matches("/api/v4").to_owned();
    root.set_path(&path);
    let url = below(&root, "/oauth/token/info")
        .map_err(|cause| ProviderError::BadEndpoint { name: "endpoint".into(), cause })?;
    let answer = asked.net.http.send(Request::get(url).bearer(asked.token))?;
    let told = body(&answer);
    let Some(owner) = told.get("resource_owner_id").and_then(Value::as_u64).filter(|_| answer.is_success()) else {
        return Ok(refused(asked, &answer));
    };
    let scopes = told.get("scope").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let seconds = told.get("expires_in").and_then(Value::as_i64);
    let end = seconds.and_then(chrono::Duration::try_seconds).and_then(|left| asked.net.now.checked_add_signed(left));
    Ok(Verdict::valid(format!("User {owner}")).with_scopes(scopes).expiring(end))
}

/// What a refusal means.
fn refused(asked: &Asked<'_>, answer: &Response) -> Verdict {
    let told = body(answer);
    let why = text(&told, "/error_description").unwrap_or_default().to_lowercase();
    match (answer.status, text(&told, "/error").or_else(|| text(&told, "/message"))) {
        (401, Some("invalid_token")) if why.contains("expired") => asked.expired(),
        (401, Some("invalid_token")) if why.contains("revoked") => asked.invalid().code("revoked"),
        (401, Some(_)) => asked.invalid(),
        (403, Some("insufficient_scope")) => asked.insufficient("the scope read_api or read_user"),
        (403, Some(_)) => asked.insufficient("more permissions"),
        _ => asked.unexpected(answer),
    }
}
