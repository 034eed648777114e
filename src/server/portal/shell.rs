//! What the pages behind a sign-in have in common: the navigation above them, and how they show times, services and
//! how a credential is.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::Deserialize;

use super::fields::Slip;
use super::inside::{Inside, Myself};
use super::page::{Page, Text};
use super::session::SignedIn;
use crate::credential::{Metadata, Status};
use crate::provider::PROVIDERS;
use crate::server::permission::Permission;
use crate::server::problem::Answer;

/// So many colours are there for marks.
const COLOURS: usize = 8;

/// A page of the portal's own places.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Credentials,
    Projects,
    Workspaces,
    Members,
    Registries,
    Keys,
    Trust,
    Programs,
    Upstreams,
    Organization,
    Audit,
}

/// The places in their order: where each is, what it is called, and who sees it.
const PLACES: &[(Place, &str, &str, Permission)] = &[
    (Place::Credentials, "credentials", "Credentials", Permission::CredentialsRead),
    (Place::Projects, "projects", "Projects", Permission::CredentialsRead),
    (Place::Workspaces, "workspaces", "Workspaces", Permission::CredentialsRead),
    (Place::Registries, "registries", "Registries", Permission::CredentialsRead),
    (Place::Members, "members", "Members", Permission::MembersRead),
    (Place::Keys, "keys", "API keys", Permission::KeysManage),
    (Place::Trust, "trust-rules", "Trust rules", Permission::TrustManage),
    (Place::Programs, "programs", "Programs", Permission::TrustManage),
    (Place::Upstreams, "upstreams", "Sign-in", Permission::UpstreamsManage),
    (Place::Organization, "organization", "Organization", Permission::OrganizationsManage),
    (Place::Audit, "audit", "Audit", Permission::AuditRead),
];

/// The organization of a path, and what in it.
#[derive(Deserialize)]
pub(super) struct One {
    pub(super) id: String,
}

/// What a list, or a page of one thing, is asked for.
#[derive(Deserialize, Default)]
pub(super) struct Listed {
    /// The cursor of a page.
    pub(super) after: Option<String>,
    /// What was just done, in one of a few words.
    pub(super) done: Option<String>,
}

impl Inside {
    /// A page of this organization.
    pub(super) fn page(&self, at: Place, title: impl Into<std::borrow::Cow<'static, str>>, body: String) -> Page {
        let seen = PLACES.iter().filter(|(_, _, _, needed)| self.may(*needed));
        let links: String = seen
            .map(|(place, rest, title, _)| format!("<li>{}</li>", link(&self.path(rest), title, *place == at)))
            .collect();
        let name = format!("<strong class=\"organization\">{}</strong>\n", Text(&self.organization));
        let places = format!("<nav class=\"places\" aria-label=\"Organization\"><ul>{links}</ul></nav>\n");
        Page::new(title, body).within(bar(&self.signed_in, &name, &places, false))
    }

    /// The word that makes a form believable.
    pub(super) fn word(&self) -> String {
        word(&self.signed_in)
    }
}

impl Myself {
    /// A page of this person.
    pub(super) fn page(&self, title: &'static str, body: String) -> Page {
        Page::new(title, body).within(bar(&self.signed_in, "", "", true))
    }
}

fn bar(signed_in: &SignedIn, organization: &str, places: &str, is_account: bool) -> String {
    format!(
        "<header>\n<a class=\"home\" href=\"/\"><b aria-hidden=\"true\"></b>Lanyard</a>\n{organization}\
         <nav class=\"you\" aria-label=\"You\">{}<form method=\"post\" action=\"/sign-out\">{}<button class=\"plain\">Sign out</button>\
         </form></nav>\n{places}</header>",
        link("/account", &signed_in.person.login, is_account),
        word(signed_in),
    )
}

fn link(to: &str, title: &str, is_here: bool) -> String {
    let here = if is_here { " aria-current=\"page\"" } else { "" };
    format!("<a href=\"{}\"{here}>{}</a>", Text(to), Text(title))
}

/// The hidden field that makes a form believable.
pub(super) fn word(signed_in: &SignedIn) -> String {
    hidden("word", &signed_in.form_word)
}

/// A hidden field.
pub(crate) fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">", Text(name), Text(value))
}

/// What went wrong, where a form is shown again.
pub(super) fn alert(problem: Option<&str>) -> String {
    problem.map(|problem| format!("<p role=\"alert\">{}</p>\n", Text(problem))).unwrap_or_default()
}

/// What was just done, by its word.
pub(super) fn said(known: &[(&str, &str)], done: Option<&str>) -> String {
    let told = known.iter().find(|(word, _)| Some(*word) == done);
    told.map(|(_, text)| format!("<p class=\"notice good\" role=\"status\">{}</p>\n", Text(text))).unwrap_or_default()
}

/// What comes after what was done; or the form again, with what is wrong with it where that can be put right there.
pub(super) fn fixable<T>(
    done: Answer<T>,
    then: impl FnOnce(T) -> Response,
    form: impl FnOnce(&Slip) -> Answer<Page>,
) -> Answer<Response> {
    const FIXABLE: [StatusCode; 3] = [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::CONFLICT, StatusCode::FORBIDDEN];
    match done {
        Ok(done) => Ok(then(done)),
        Err(problem) if FIXABLE.contains(&problem.status()) => {
            let page = form(&Slip::of(&problem))?;
            Ok(page.after(&problem).into_response())
        }
        Err(problem) => Err(problem),
    }
}

/// So many of something.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// The mark of a service: the first letters of its name, in a colour of its provider's.
pub(super) fn mark(provider: &str, service: &str) -> String {
    let place = PROVIDERS.iter().position(|known| known.name() == provider).unwrap_or_default();
    let letters: String = service.chars().filter(char::is_ascii_alphanumeric).take(2).collect();
    format!("<b class=\"mark mark-{}\" aria-hidden=\"true\">{}</b>", place % COLOURS, Text(&letters.to_uppercase()))
}

/// How a credential is, in a word with a colour.
pub(super) fn status(metadata: &Metadata, now: DateTime<Utc>) -> String {
    let status = metadata.status(now);
    let class = match status {
        Status::Active => "good",
        Status::ExpiresSoon => "soon",
        Status::Expired | Status::NeedsAttention => "bad",
        Status::Unverified => "open",
    };
    format!("<span class=\"status {class}\">{}</span>", status.word())
}

/// A time as a person reads it, from where they stand.
pub(super) fn time(at: Option<DateTime<Utc>>, now: DateTime<Utc>, never: &str) -> String {
    let Some(at) = at else { return format!("<span class=\"none\">{}</span>", Text(never)) };
    let exact = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("<time datetime=\"{exact}\" title=\"{}\">{}</time>", at.format("%Y-%m-%d %H:%M UTC"), distance(at, now))
}

/// A time to the second, as it is told in the audit.
pub(super) fn exact(at: Option<DateTime<Utc>>) -> String {
    let Some(at) = at else { return String::new() };
    let exact = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    format!("<time class=\"whole\" datetime=\"{exact}\">{}</time>", at.format("%Y-%m-%d %H:%M:%S"))
}

fn distance(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (at - now).num_seconds();
    let (count, unit) = match seconds.abs() {
        0..60 => return "now".into(),
        length @ 60..3600 => (length / 60, "minute"),
        length @ 3600..86_400 => (length / 3600, "hour"),
        length if length < 60 * 86_400 => (length / 86_400, "day"),
        _ => return at.format("%Y-%m-%d").to_string(),
    };
    let plural = if count == 1 { "" } else { "s" };
    if seconds < 0 { format!("{count} {unit}{plural} ago") } else { format!("in {count} {unit}{plural}") }
}

/// A day as a form has it, as the instant at which it begins. `Ok(None)` where none is given.
pub(super) fn day(text: &str) -> Result<Option<DateTime<Utc>>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    day.map(|day| Some(day.and_utc())).ok_or("a day is written as 2030-12-31")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_time_is_told_from_where_one_stands() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (away, told) in [
            (-30, "now"),
            (-60, "1 minute ago"),
            (-7200, "2 hours ago"),
            (90_000, "in 1 day"),
            (6 * 86_400, "in 6 days"),
            (400 * 86_400, "2028-02-19"),
        ] {
            assert_eq!(distance(now + TimeDelta::seconds(away), now), told);
        }
        assert!(time(None, now, "never").contains("never"));
    }

    #[test]
    fn a_day_is_one_or_is_refused() {
        assert_eq!(day("2030-12-31").unwrap().unwrap().to_rfc3339(), "2030-12-31T00:00:00+00:00");
        assert_eq!(day(""), Ok(None));
        for other in ["2030-02-30", "tomorrow", "2030-12-31T00:00", "<b>"] {
            assert!(day(other).is_err(), "{other}");
        }
    }

    #[test]
    fn each_provider_has_a_mark() {
        for provider in PROVIDERS {
            assert!(mark(provider.name(), provider.name()).starts_with("<b class=\"mark mark-"));
        }
        assert!(mark("api-key", "<openai>").ends_with(">OP</b>"));
    }
}
