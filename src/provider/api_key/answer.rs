//! What the services answer.

use serde_json::Value;

use super::services::Service;
use crate::http::{Response, header};
use crate::provider::{Outcome, Verdict, api};
use crate::secret::Secret;

/// An answer, with what was asked.
pub(super) struct Told<'a> {
    pub(super) service: &'static Service,
    pub(super) key: &'a Secret,
    pub(super) answer: &'a Response,
    /// The body, where it is JSON.
    pub(super) body: Value,
}

impl<'a> Told<'a> {
    pub(super) fn new(service: &'static Service, key: &'a Secret, answer: &'a Response) -> Self {
        Self { service, key, answer, body: answer.json().unwrap_or(Value::Null) }
    }

    /// A text in the body.
    fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str().filter(|text| !text.trim().is_empty())
    }

    /// A header as text.
    fn header(&self, name: &str) -> Option<&str> {
        self.answer.headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
    }

    /// The service's own word for a refusal, where the body is one that the service documents.
    fn refusal(&self) -> Option<String> {
        let refusals = self.service.refusals;
        if refusals.is_empty() {
            let is_one = self.body.is_object() || self.answer.headers.contains_key(header::WWW_AUTHENTICATE);
            return is_one.then(String::new);
        }
        let word = refusals.iter().find_map(|pointer| self.body.pointer(pointer))?;
        Some(match word {
            Value::String(word) => word.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        })
    }

    fn invalid(&self, word: &str) -> Verdict {
        let Service { title, console, .. } = self.service;
        Verdict::invalid(format!("{title} does not accept the key"), format!("make a new one: {console}")).code(word)
    }

    fn expired(&self, word: &str) -> Verdict {
        let Service { title, console, .. } = self.service;
        Verdict::expired(format!("{title} says that its time is over"), format!("make a new one: {console}")).code(word)
    }

    fn insufficient(&self, word: &str) -> Verdict {
        let Service { title, console, .. } = self.service;
        let reason = format!("{title} accepts the key and does not let it tell whose it is");
        Verdict::insufficient(reason, format!("that is no fault; its permissions are at {console}")).code(word)
    }

    fn too_often(&self, word: &str) -> Verdict {
        let reason = format!("{} was asked too often", self.service.title);
        Verdict::failed(Outcome::RateLimited, reason, "wait some minutes, then test again").code(word)
    }

    fn unexpected(&self) -> Verdict {
        Verdict::unexpected(self.service.title, self.answer.status)
    }

    /// What the answer means.
    pub(super) fn verdict(&self) -> Verdict {
        if self.answer.is_success() {
            return (self.service.accepted)(self);
        }
        if let Some(verdict) = (self.service.odd)(self) {
            return verdict;
        }
        if let Some(verdict) = api::not_now(self.answer, self.service.title, "x-ratelimit-reset") {
            return verdict;
        }
        match (self.answer.status, self.refusal()) {
            (401, Some(word)) => self.invalid(&word),
            (403, Some(word)) => self.insufficient(&word),
            _ => self.unexpected(),
        }
    }
}

/// Nothing of this service's answers is other than its status says.
pub(super) fn nothing_odd(_: &Told<'_>) -> Option<Verdict> {
    None
}

/// The service does not say who it is.
pub(super) fn unnamed(told: &Told<'_>) -> Verdict {
    if told.body.is_object() { Verdict::valid_unnamed() } else { told.unexpected() }
}

/// The first of these texts that is there says who it is.
fn named(told: &Told<'_>, pointers: &[&str]) -> Verdict {
    pointers.iter().find_map(|pointer| told.text(pointer)).map_or_else(|| told.unexpected(), Verdict::valid)
}

/// The account of a person, of a team or of an organization.
pub(super) fn terraform(told: &Told<'_>) -> Verdict {
    named(told, &["/data/attributes/email", "/data/attributes/username"])
}

/// A list of models, or of projects for an admin key; a header names the organization.
pub(super) fn openai(told: &Told<'_>) -> Verdict {
    if !told.body.pointer("/data").is_some_and(Value::is_array) {
        return told.unexpected();
    }
    let organization = told.header("openai-organization");
    organization.map_or_else(Verdict::valid_unnamed, |name| Verdict::valid(format!("Organization {name}")))
}

/// A key without the permission to list models is told so with 403, and has been with 401; one whose money is spent with
/// 429.
pub(super) fn openai_odd(told: &Told<'_>) -> Option<Verdict> {
    let message = told.text("/error/message").unwrap_or_default().to_lowercase();
    match told.answer.status {
        401 | 403 if message.contains("missing scopes") || message.contains("insufficient permissions") => {
            Some(told.insufficient("missing scopes"))
        }
        429 if told.text("/error/code") == Some("insufficient_quota")
            || told.text("/error/type") == Some("insufficient_quota") =>
        {
            let next = "see https://platform.openai.com/settings/organization/billing";
            Some(Verdict::insufficient("OpenAI accepts the key, and its quota is used up", next).code("insufficient_quota"))
        }
        _ => None,
    }
}

/// A list of models, or the organization of an admin key; a header identifies the organization.
pub(super) fn anthropic(told: &Told<'_>) -> Verdict {
    if let (Some(name), Some("organization")) = (told.text("/name"), told.text("/type")) {
        return Verdict::valid(format!("Organization {name}"));
    }
    if !told.body.pointer("/data").is_some_and(Value::is_array) {
        return told.unexpected();
    }
    let organization = told.header("anthropic-organization-id");
    organization.map_or_else(Verdict::valid_unnamed, |id| Verdict::valid(format!("Organization {id}")))
}

/// The account, and whether the key moves real money.
pub(super) fn stripe(told: &Told<'_>) -> Verdict {
    let Some(id) = told.text("/id").filter(|id| id.starts_with("acct_")) else { return told.unexpected() };
    let name = ["/settings/dashboard/display_name", "/business_profile/name", "/email"];
    let name = name.iter().find_map(|pointer| told.text(pointer));
    let who = name.map_or_else(|| format!("Account {id}"), |name| format!("{name} ({id})"));
    let key = told.key.expose();
    Verdict::valid(if key.starts_with("sk_test_") || key.starts_with("rk_test_") { who + ", test mode" } else { who })
}

/// An expired key has a code of its own.
pub(super) fn stripe_odd(told: &Told<'_>) -> Option<Verdict> {
    let code = told.text("/error/code")?;
    (told.answer.status == 401 && code == "api_key_expired").then(|| told.expired(code))
}

/// The person and the organization. GraphQL tells errors with 200 as well.
pub(super) fn linear(told: &Told<'_>) -> Verdict {
    if let Some(code) = told.text("/errors/0/extensions/code") {
        return linear_refusal(told, code);
    }
    let who = ["/data/viewer/email", "/data/viewer/name", "/data/viewer/id"];
    let Some(who) = who.iter().find_map(|pointer| told.text(pointer)) else { return told.unexpected() };
    Verdict::valid(told.text("/data/organization/name").map_or_else(|| who.to_owned(), |name| format!("{who} in {name}")))
}

/// Refusals come with 400 or 401, and so does "too often".
pub(super) fn linear_odd(told: &Told<'_>) -> Option<Verdict> {
    let code = told.text("/errors/0/extensions/code")?;
    matches!(told.answer.status, 400 | 401 | 403 | 429).then(|| linear_refusal(told, code))
}

fn linear_refusal(told: &Told<'_>, code: &str) -> Verdict {
    match code {
        "AUTHENTICATION_ERROR" => told.invalid(code),
        "FORBIDDEN" => told.insufficient(code),
        "RATELIMITED" => told.too_often(code),
        _ => told.unexpected().code(code),
    }
}

/// Slack says 200 to everything, and `ok` in the body.
pub(super) fn slack(told: &Told<'_>) -> Verdict {
    if told.body.get("ok") == Some(&Value::Bool(true)) {
        let Some(user) = told.text("/user").or_else(|| told.text("/user_id")) else { return told.unexpected() };
        let team = told.text("/team").or_else(|| told.text("/team_id"));
        let who = team.map_or_else(|| user.to_owned(), |team| format!("{user} in {team}"));
        let scopes = told.header("x-oauth-scopes").unwrap_or_default();
        return Verdict::valid(who).with_scopes(scopes.split(',').map(str::trim));
    }
    match told.text("/error") {
        Some(word @ "token_expired") => told.expired(word),
        Some(word @ ("invalid_auth" | "account_inactive" | "token_revoked" | "not_authed")) => told.invalid(word),
        Some(
            word @ ("missing_scope" | "not_allowed_token_type" | "team_access_not_granted" | "no_permission"
            | "ekm_access_denied" | "enterprise_is_restricted"),
        ) => told.insufficient(word),
        Some(word @ ("ratelimited" | "rate_limited")) => told.too_often(word),
        Some(word) => told.unexpected().code(word),
        None => told.unexpected(),
    }
}

/// The account's address, and the team.
pub(super) fn digitalocean(told: &Told<'_>) -> Verdict {
    let Some(who) = told.text("/account/email").or_else(|| told.text("/account/uuid")) else {
        return told.unexpected();
    };
    let verdict = Verdict::valid(
        told.text("/account/team/name").map_or_else(|| who.to_owned(), |team| format!("{who} in {team}")),
    );
    match told.text("/account/status") {
        Some("locked") => Verdict { reason: Some("DigitalOcean has locked the account".into()), ..verdict },
        _ => verdict,
    }
}

/// The user.
pub(super) fn npm(told: &Told<'_>) -> Verdict {
    named(told, &["/username"])
}

/// The user or the organization, and what the token may do.
pub(super) fn huggingface(told: &Told<'_>) -> Verdict {
    let verdict = named(told, &["/name"]);
    let role = told.text("/auth/accessToken/role").filter(|_| verdict.outcome == Outcome::Valid);
    verdict.with_scopes(role)
}

/// What the key may do is all that SendGrid tells.
pub(super) fn sendgrid(told: &Told<'_>) -> Verdict {
    let Some(scopes) = told.body.pointer("/scopes").and_then(Value::as_array) else { return told.unexpected() };
    Verdict::valid_unnamed().with_scopes(scopes.iter().filter_map(Value::as_str))
}

/// The bot's name.
pub(super) fn discord(told: &Told<'_>) -> Verdict {
    named(told, &["/username", "/id"])
}
