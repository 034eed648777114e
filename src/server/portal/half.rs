//! Between the passphrase and the second factor: whoever got so far has some minutes, and is nobody yet.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::page::{Page, Text, sent_on};
use super::second_factor::FIELD;
use super::session::{Visitor, local_path, same_origin, set_cookie};
use super::sign_in;
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Actor, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::{Reach, Rows, values};
use crate::server::edge::Source;
use crate::server::keys::KeyError;
use crate::server::people;
use crate::server::problem::Answer;
use crate::server::state::{Server, now};
use crate::server::token::{self, Kind};
use crate::server::totp;

/// The code has to come within this time.
const LIFE: TimeDelta = TimeDelta::minutes(5);
const WRONG: &str = "This code is not right, or was used already.";

#[derive(Deserialize)]
pub(super) struct Given {
    half: Secret,
    code: Secret,
    next: Option<String>,
}

/// Notes that a person gave the right passphrase.
pub(super) fn begin(rows: &mut dyn Rows, person: &str, now: DateTime<Utc>) -> Result<Secret, KeyError> {
    let minted = token::mint(Kind::Half).map_err(|_| KeyError::NoRandom)?;
    rows.execute("DELETE FROM half_sessions WHERE expires < $1", values![now.timestamp_millis()])?;
    rows.execute(
        "INSERT INTO half_sessions (id, hash, person, expires) VALUES ($1, $2, $3, $4)",
        values![&minted.id, &minted.hash, person, (now + LIFE).timestamp_millis()],
    )?;
    Ok(minted.token)
}

/// The page that asks for the code.
pub(super) fn form(half: &Secret, next: &str, problem: Option<&str>) -> Page {
    let problem = problem.map(|problem| format!("<p role=\"alert\">{}</p>", Text(problem))).unwrap_or_default();
    let body = format!(
        "{problem}\n<p>Type the code of the app on your phone, or a recovery code.</p>\n\
         <form method=\"post\" action=\"/sign-in/code\">\n\
         <input type=\"hidden\" name=\"half\" value=\"{}\">\n<input type=\"hidden\" name=\"next\" value=\"{}\">\n\
         {FIELD}\n<button>Sign in</button>\n</form>",
        Text(half.expose()),
        Text(next),
    );
    Page::new("Second factor", body)
}

/// What came of a code.
enum Tried {
    /// The passphrase was given too long ago, or never.
    Nobody,
    Wrong,
    In(Secret),
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Answer<Response> {
    if let Err(page) = same_origin(&server, &headers) {
        return Ok(page.into_response());
    }
    let next = local_path(given.next.as_deref()).to_owned();
    let shown = given.half.duplicate();
    let former = visitor.signed_in.map(|signed_in| signed_in.session);
    let tried = blocking(&server, move |server| sign_in(server, &given, &visitor.source, former.as_deref())).await;
    Ok(match tried {
        Ok(Tried::In(session)) => sent_on(&next, Some(set_cookie(&server, &session))),
        Ok(Tried::Wrong) => form(&shown, &next, Some(WRONG)).status(StatusCode::FORBIDDEN).into_response(),
        Ok(Tried::Nobody) => {
            let why = "Too long ago you gave your passphrase. Go back and sign in again.";
            Page::refusal(StatusCode::FORBIDDEN, why).into_response()
        }
        Err(problem) if problem.status() == StatusCode::TOO_MANY_REQUESTS => {
            let page = form(&shown, &next, Some("Too many attempts. Wait a little, then try again."));
            page.status(problem.status()).into_response()
        }
        Err(problem) => return Err(problem),
    })
}

fn sign_in(server: &Server, given: &Given, source: &Source, former: Option<&str>) -> Answer<Tried> {
    let now = now();
    let parsed = token::parse(given.half.expose()).filter(|parsed| parsed.kind == Kind::Half);
    let Some(parsed) = parsed else { return Ok(Tried::Nobody) };
    server.db.write(Reach::Server, |rows| -> Answer<Tried> {
        let one = "SELECT hash, person, expires FROM half_sessions WHERE id = $1";
        let Some(mut row) = rows.first(one, values![&parsed.id])? else { return Ok(Tried::Nobody) };
        let (hash, person, expires) = (row.bytes(0)?, row.text(1)?, row.int(2)?);
        if !parsed.is(&hash) || now.timestamp_millis() >= expires {
            return Ok(Tried::Nobody);
        }
        let attempt = Attempt::at("second-factor", &person, source.address);
        attempt.refuse_early(rows, now)?;
        if !totp::accept(rows, &server.keys, &person, given.code.expose(), now)? {
            attempt.failed(rows, now)?;
            let actor = Actor { person: person.clone(), ..source.actor() };
            for member in people::memberships(rows, &person)? {
                let event = Event { outcome: Outcome::Denied, ..Event::done("second-factor", &person) };
                audit::append(rows, &server.keys, &member.scope, &actor, &event, now)?;
            }
            return Ok(Tried::Wrong);
        }
        // Whoever is faster with the same page and another code is in; there is no second time.
        if rows.execute("DELETE FROM half_sessions WHERE id = $1", values![&parsed.id])? == 0 {
            return Ok(Tried::Nobody);
        }
        attempt.succeeded(rows)?;
        if let Some(former) = former {
            people::sign_out(rows, former)?;
        }
        Ok(Tried::In(sign_in::begin(rows, server, &person, source, "second factor")?))
    })
}
