//! Between the passphrase and the second factor: whoever got so far has some minutes, and is nobody yet.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::known::{self, Entry};
use super::page::{Page, Text};
use super::second_factor::FIELD;
use super::session::{OwnForm, Visitor, local_path};
use super::shell::hidden;
use super::sign_in;
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Actor, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::{DbError, OrgScope, Reach, Rows, values};
use crate::server::edge::Source;
use crate::server::invitations::{Accepted, By, Who, accept_within};
use crate::server::keys::KeyError;
use crate::server::metrics;
use crate::server::problem::Answer;
use crate::server::state::{Server, now};
use crate::server::team::hold_sessions;
use crate::server::token::{self, Kind, Parsed};
use crate::server::{factors, passkey, people, totp, upstream};

/// The second factor has to come within this time.
const LIFE: TimeDelta = TimeDelta::minutes(5);
const WRONG: &str = "This code is not right, or was used already.";
/// What whoever comes too late is told.
pub(super) const TOO_LATE: &str = "Too long ago you gave your passphrase. Go back and sign in again.";

const NOT_INVITED: &str = "The invitation was used, withdrawn or has expired.";

#[derive(Deserialize)]
pub(super) struct Given {
    half: Secret,
    code: Secret,
    next: Option<String>,
}

/// A sign-in that is half done, and what would make it whole.
pub(crate) struct Half {
    pub(super) token: Secret,
    by_code: bool,
    by_passkey: bool,
}

/// Who has shown half of who they are, and in what way.
pub(crate) struct Begun<'b> {
    /// The person.
    pub(crate) person: &'b str,
    /// The only organization in which the issuer is believed that they came by.
    pub(crate) only: Option<&'b OrgScope>,
    /// The invitation that they accept with the rest.
    pub(crate) invitation: Option<&'b str>,
}

/// Notes that a person gave the right passphrase, or came by an issuer.
pub(crate) fn begin(rows: &mut dyn Rows, begun: &Begun<'_>, now: DateTime<Utc>) -> Result<Half, KeyError> {
    let Begun { person, only, invitation } = *begun;
    let minted = token::mint(Kind::Half).map_err(|_| KeyError::NoRandom)?;
    rows.execute("DELETE FROM half_sessions WHERE expires < $1", values![now.timestamp_millis()])?;
    rows.execute(
        "INSERT INTO half_sessions (id, hash, person, expires, only_in, invitation) VALUES ($1, $2, $3, $4, $5, $6)",
        values![&minted.id, &minted.hash, person, (now + LIFE).timestamp_millis(), only.map(OrgScope::id), invitation,],
    )?;
    Ok(half(rows, minted.token, person)?)
}

fn half(rows: &mut dyn Rows, token: Secret, person: &str) -> Result<Half, DbError> {
    let by_code = totp::is_on(rows, person)? || factors::has_recovery_codes(rows, person)?;
    Ok(Half { token, by_code, by_passkey: passkey::has_any(rows, person)? })
}

/// The page that asks for the second factor.
pub(crate) fn form(half: &Half, next: &str, problem: Option<&str>) -> Page {
    let problem = problem.map(|problem| format!("<p role=\"alert\">{}</p>\n", Text(problem))).unwrap_or_default();
    let fields = hidden("half", half.token.expose()) + &hidden("next", next);
    let code = if half.by_code {
        format!(
            "<p>Type the code of the app on your phone, or a recovery code.</p>\n\
             <form method=\"post\" action=\"/sign-in/code\">\n{fields}\n{FIELD}\n<button>Sign in</button>\n</form>"
        )
    } else {
        String::new()
    };
    let passkey = if half.by_passkey {
        format!(
            "\n<form method=\"post\" action=\"/sign-in/code/passkey\">{fields}<button class=\"quiet\">Use a passkey\
             </button></form>"
        )
    } else {
        String::new()
    };
    Page::new("Second factor", [problem, code, passkey].concat())
}

/// Who a sign-in that is half done is of.
pub(super) struct Known {
    pub(super) id: String,
    pub(super) person: String,
    only: Option<OrgScope>,
    invitation: Option<String>,
}

/// The sign-in of a token, if it is in time.
pub(super) fn find(rows: &mut dyn Rows, token: &Secret, now: DateTime<Utc>) -> Result<Option<Known>, DbError> {
    let parsed: Option<Parsed> = token::parse(token.expose()).filter(|parsed| parsed.kind == Kind::Half);
    let Some(parsed) = parsed else { return Ok(None) };
    let one = "SELECT hash, person, expires, only_in, invitation FROM half_sessions WHERE id = $1";
    let Some(mut row) = rows.first(one, values![&parsed.id])? else { return Ok(None) };
    let (hash, person, expires) = (row.bytes(0)?, row.text(1)?, row.int(2)?);
    let (only, invitation) = (row.maybe_text(3)?.map(OrgScope::of), row.maybe_text(4)?);
    let is_good = parsed.is(&hash) && now.timestamp_millis() < expires;
    Ok(is_good.then_some(Known { id: parsed.id, person, only, invitation }))
}

/// What came of a second factor.
pub(super) enum Tried {
    /// The passphrase was given too long ago, or never.
    Nobody,
    Wrong(Half),
    /// The invitation that was to be accepted is not there any more.
    NotInvited,
    In(Entry),
}

/// Makes a sign-in whole, if `accept` finds that the second factor is the person's.
pub(super) fn complete(
    server: &Server,
    token: &Secret,
    source: &Source,
    former: Option<&str>,
    detail: &str,
    accept: impl FnOnce(&mut dyn Rows, &str) -> Answer<Result<(), String>>,
) -> Answer<Tried> {
    let now = now();
    server.db.write(Reach::Server, |rows| -> Answer<Tried> {
        let Some(known) = find(rows, token, now)? else { return Ok(Tried::Nobody) };
        let person = known.person.as_str();
        let browser = known::browser(rows, &server.keys, source, person)?;
        let attempt = Attempt::at("second-factor", person, source.address).in_browser(browser.as_deref());
        attempt.take(rows, now)?;
        if let Err(why) = accept(rows, person)? {
            attempt.failed(rows, now)?;
            let actor = Actor { person: person.to_owned(), ..source.actor() };
            let members = people::memberships(rows, person)?;
            let mut scopes: Vec<OrgScope> = members.into_iter().map(|member| member.scope).collect();
            // Whoever is about to come back is no member yet.
            scopes.extend(known.only.filter(|only| known.invitation.is_some() && !scopes.contains(only)));
            for scope in audit::told_in(scopes) {
                let event = Event { outcome: Outcome::Denied, detail: &why, ..Event::done("second-factor", person) };
                audit::append(rows, &server.keys, &scope, &actor, &event, now)?;
            }
            return Ok(Tried::Wrong(half(rows, token.duplicate(), person)?));
        }
        // Whoever changes the passphrase meanwhile ends this, or what comes of it.
        hold_sessions(rows, person, known.only.as_ref())?;
        // Whoever is faster with the same page and another code is in; there is no second time.
        if rows.execute("DELETE FROM half_sessions WHERE id = $1", values![&known.id])? == 0 {
            return Ok(Tried::Nobody);
        }
        attempt.succeeded(rows)?;
        if let Some(former) = former {
            people::sign_out(rows, former)?;
        }
        if let Some(invitation) = &known.invitation {
            return come_back(rows, server, person, invitation, known.only.as_ref(), source);
        }
        Ok(Tried::In(sign_in::begin(rows, server, person, known.only.as_ref(), source, detail)?))
    })
}

/// Makes somebody a member again who has shown who they are, by the invitation that they came with.
fn come_back(
    rows: &mut dyn Rows,
    server: &Server,
    person: &str,
    invitation: &str,
    only: Option<&OrgScope>,
    source: &Source,
) -> Answer<Tried> {
    Ok(match accept_within(rows, server, &By::Id(invitation), &Who::Back { person }, only, source)? {
        Accepted::Joined { session, .. } => {
            only.map_or(Ok(()), |scope| upstream::invited(rows, scope, person))?;
            Tried::In(Entry::of(session))
        }
        _ => Tried::NotInvited,
    })
}

/// The page that follows.
pub(super) fn answer(server: &Server, tried: Tried, next: &str, wrong: &str) -> Response {
    match tried {
        Tried::In(entry) => entry.sent_on(server, next),
        Tried::Wrong(half) => form(&half, next, Some(wrong)).status(StatusCode::FORBIDDEN).into_response(),
        Tried::NotInvited => Page::refusal(StatusCode::FORBIDDEN, NOT_INVITED).into_response(),
        Tried::Nobody => Page::refusal(StatusCode::FORBIDDEN, TOO_LATE).into_response(),
    }
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    OwnForm(given): OwnForm<Given>,
) -> Answer<Response> {
    let next = local_path(given.next.as_deref()).to_owned();
    let former = visitor.signed_in.map(|signed_in| signed_in.session);
    let tried = blocking(&server, move |server| {
        let (code, source) = (given.code.expose(), &visitor.source);
        complete(server, &given.half, source, former.as_deref(), "second factor", |rows, person| {
            let is_right = totp::accept(rows, &server.keys, person, code, now())?;
            Ok(if is_right { Ok(()) } else { Err(String::new()) })
        })
    });
    let tried = tried.await;
    metrics::signed_in("second factor", tried.as_ref().map(|tried| matches!(tried, Tried::In(_))));
    match tried {
        Ok(tried) => Ok(answer(&server, tried, &next, WRONG)),
        Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
            let why = "Too many attempts. Wait a little, then sign in again.";
            Ok(Page::put_off(&problem, why).into_response())
        }
        Err(problem) => Err(problem),
    }
}
