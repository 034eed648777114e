//! What Vercel's answers mean. A bad token is refused with 403 and `invalidToken`, so the body decides.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{DASHBOARD, TITLE};
use crate::http::Response;
use crate::provider::{Verdict, api};

/// A token as Vercel describes it.
#[derive(Deserialize)]
pub(super) struct Current {
    pub(super) token: Token,
}

#[derive(Deserialize)]
pub(super) struct Token {
    pub(super) id: String,
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) scopes: Vec<Scope>,
    #[serde(rename = "expiresAt")]
    end: Option<f64>,
    #[serde(rename = "createdAt")]
    made: Option<f64>,
    #[serde(rename = "leakedAt")]
    leaked: Option<f64>,
}

#[derive(Deserialize)]
pub(super) struct Scope {
    #[serde(rename = "type")]
    sort: String,
    #[serde(rename = "teamId")]
    pub(super) team: Option<String>,
}

impl Token {
    /// When it expires.
    pub(super) fn end(&self) -> Option<DateTime<Utc>> {
        self.end.and_then(time)
    }

    /// When it was made.
    pub(super) fn made(&self) -> Option<DateTime<Utc>> {
        self.made.and_then(time)
    }
}

/// A time in milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "a time that is out of range is no time")]
fn time(milliseconds: f64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(milliseconds as i64)
}

impl Scope {
    /// `user`, `team team_…`.
    fn text(&self) -> String {
        match &self.team {
            Some(team) => format!("{} {team}", self.sort),
            None => self.sort.clone(),
        }
    }
}

#[derive(Deserialize)]
struct Whose {
    user: User,
}

#[derive(Deserialize)]
struct User {
    id: String,
    email: Option<String>,
    username: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Fault,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
    #[serde(rename = "invalidToken", default)]
    invalid_token: bool,
}

/// What came of asking which token this is, by one who wants to work in `team`.
pub(super) fn of_current(answer: &Response, team: Option<&str>) -> Verdict {
    let Some(Current { token }) = answer.is_success().then(|| answer.json().ok()).flatten() else {
        return refused(answer);
    };
    let identity = token.name.as_ref().map_or_else(|| format!("Token {}", token.id), |name| format!("Token {name}"));
    let (end, scopes) = (token.end(), token.scopes.iter().map(Scope::text));
    if let Some(team) = team.filter(|team| is_elsewhere(&token.scopes, team)) {
        let mut verdict = Verdict::insufficient(
            format!("the token is not for team {team}"),
            format!("put in the id of its team, or make a token for this one: {DASHBOARD}"),
        );
        verdict.identity = Verdict::valid(identity).identity;
        return verdict.expiring(end).with_scopes(scopes);
    }
    let mut verdict = Verdict::valid(identity).expiring(end).with_scopes(scopes);
    if token.leaked.is_some() {
        verdict.reason = Some("Vercel saw the token in a public place".into());
        verdict.next = Some(format!("replace it now: {DASHBOARD}"));
    }
    verdict
}

/// Whether all of a token's scopes are other teams.
fn is_elsewhere(scopes: &[Scope], team: &str) -> bool {
    team.starts_with("team_")
        && !scopes.is_empty()
        && scopes.iter().all(|scope| scope.team.as_ref().is_some_and(|other| other != team))
}

/// What came of asking whose the token is.
pub(super) fn of_user(answer: &Response) -> Verdict {
    match answer.is_success().then(|| answer.json().ok()).flatten() {
        Some(Whose { user: User { id, email, username } }) => {
            Verdict::valid(email.or(username).unwrap_or_else(|| format!("User {id}")))
        }
        None => refused(answer),
    }
}

/// What an answer means that does not tell what was asked.
pub(super) fn refused(answer: &Response) -> Verdict {
    if let Some(verdict) = api::not_now(answer, TITLE, "x-ratelimit-reset") {
        return verdict;
    }
    let unexpected = Verdict::unexpected(TITLE, answer.status);
    let Some(Refusal { error }) = api::refusal(answer) else { return unexpected };
    let verdict = match answer.status {
        401 | 403 if error.invalid_token => Verdict::invalid(
            "Vercel does not accept the token: it was deleted, or its time is over",
            format!("make a new one: {DASHBOARD}"),
        ),
        403 => Verdict::insufficient(
            "Vercel knows the token and does not let it read this (403 Forbidden)",
            format!("look at its scope: {DASHBOARD}"),
        ),
        _ => unexpected,
    };
    verdict.code(error.code)
}
