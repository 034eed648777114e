//! What is a person's own: their sessions in the portal, the programs that they have let in, and their passphrase.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use serde::Deserialize;

use super::inside::{Myself, Sent, sentence};
use super::known::{self, Entry};
use super::page::{Page, Text, sent_on};
use super::session::end_cookie;
use super::shell::{alert, time, word};
use super::{passkeys, programs, prove};
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::db::{DbError, Reach, Rows, values};
use crate::server::problem::{Answer, Problem};
use crate::server::programs::end_all;
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::team::hold_sessions;
use crate::server::{passphrase, people};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/account", Access::Personal, show),
        Route::new(Method::POST, "/account/sessions/{id}/end", Access::Personal, end),
        Route::new(Method::POST, "/account/passphrase", Access::Personal, change),
    ]
}

/// A session as its owner sees it. The identifier is the public part of its token.
struct Session {
    id: String,
    address: String,
    agent: String,
    created: i64,
    used: i64,
    expires: i64,
}

fn sessions(rows: &mut dyn Rows, person: &str) -> Result<Vec<Session>, DbError> {
    let own = "SELECT id, created, used, expires, address, agent FROM sessions WHERE person = $1 AND expires > $2 \
               AND used > $3 ORDER BY used DESC, id";
    let now = now();
    let idle = (now - people::IDLE).timestamp_millis();
    let found = rows.query(own, values![person, now.timestamp_millis(), idle])?;
    let session = |mut row: crate::server::db::Row| {
        Ok(Session {
            id: row.text(0)?,
            created: row.int(1)?,
            used: row.int(2)?,
            expires: row.int(3)?,
            address: row.text(4)?,
            agent: row.text(5)?,
        })
    };
    found.into_iter().map(session).collect()
}

async fn show(State(server): State<Arc<Server>>, myself: Myself) -> Answer<Response> {
    blocking(&server, move |server| page(server, &myself, None).map(IntoResponse::into_response)).await
}

/// The page, with what was just done or what went wrong.
fn page(server: &Server, myself: &Myself, notice: Option<&str>) -> Answer<Page> {
    let now = now();
    let signed_in = &myself.signed_in;
    let (sessions, programs, has_one) = server.db.read(Reach::Server, |rows| -> Answer<_> {
        let person = &signed_in.person.id;
        Ok((sessions(rows, person)?, programs::of(rows, signed_in)?, people::has_passphrase(rows, person)?))
    })?;
    let old = if has_one {
        "<label>The one you have<input name=\"old\" type=\"password\" required maxlength=\"1024\" \
         autocomplete=\"current-password\"></label>\n"
    } else {
        "<p>You have none yet.</p>\n"
    };
    let form = if has_one || signed_in.is_fresh(now) {
        format!(
            "<form method=\"post\" action=\"/account/passphrase\">\n{}\n\
             <input type=\"text\" name=\"login\" value=\"{}\" autocomplete=\"username\" hidden>\n\
             {old}<label>A new one<small>12 characters at least; a few words are good. Every other session ends, and \
             every program that is signed in as you; API keys stay</small><input name=\"new\" type=\"password\" required minlength=\"12\" \
             maxlength=\"1024\" autocomplete=\"new-password\"></label>\n\
             <label>The same again<input name=\"again\" type=\"password\" required maxlength=\"1024\" \
             autocomplete=\"new-password\"></label>\n<button>Change it</button>\n</form>",
            word(signed_in),
            Text(&signed_in.person.login),
        )
    } else {
        format!("{old}{}", prove::way("/account"))
    };
    let at = DateTime::from_timestamp_millis;
    let rows: String = sessions
        .iter()
        .map(|session| {
            let is_this = session.id == signed_in.session;
            let this = if is_this { " <span class=\"status good\">this one</span>" } else { "" };
            format!(
                "<tr><th scope=\"row\">{}{this}<small>{}</small></th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>\
                 <form method=\"post\" action=\"/account/sessions/{0}/end\">{}<button class=\"plain\">End\
                 <span class=\"apart\"> {0}</span></button></form></td></tr>\n",
                Text(&session.id),
                Text(&session.agent),
                Text(&session.address),
                time(at(session.created), now, ""),
                time(at(session.used), now, ""),
                time(at(session.expires), now, ""),
                word(signed_in),
            )
        })
        .collect();
    let body = format!(
        "{}<p>You are <strong>{}</strong>. <a href=\"/account/sign-in\">How you sign in</a>.</p>\n<h2>Sessions</h2>\n\
         <div class=\"table\"><table>\n<thead><tr><th scope=\"col\">Session</th><th scope=\"col\">From</th><th scope=\"col\">Signed in</th>\
         <th scope=\"col\">Last used</th><th scope=\"col\">Ends</th><th scope=\"col\"><span class=\"apart\">End</span></th>\
         </tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n{}<h2>Passphrase</h2>\n{form}",
        alert(notice),
        Text(&signed_in.person.login),
        programs::section(signed_in, &programs, now),
    );
    Ok(myself.page("Your account", body))
}

/// Tells of what a person did to their account, wherever they are a member.
pub(super) fn tell(rows: &mut dyn Rows, server: &Server, myself: &Myself, event: &Event<'_>) -> Answer<()> {
    myself.tell(rows, server, event)
}

#[derive(Deserialize)]
struct One {
    id: String,
}

async fn end(State(server): State<Arc<Server>>, myself: Myself, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            let person = &myself.signed_in.person.id;
            let own = "SELECT proved FROM sessions WHERE id = $1 AND person = $2";
            let proved = rows.first(own, values![&id, person])?.ok_or_else(Problem::not_found)?.int(0)?;
            if !people::sign_out_of_all(rows, person, &id, proved)? {
                return Err(Problem::not_found());
            }
            tell(rows, server, &myself, &Event::done("session.end", &id))
        })?;
        if id == myself.signed_in.session {
            return Ok(sent_on("/sign-in", Some(end_cookie(server))));
        }
        Ok(sent_on("/account", None))
    })
    .await
}

async fn change(State(server): State<Arc<Server>>, myself: Myself, sent: Sent) -> Answer<Response> {
    // Whoever has one shows by it who they are.
    let is_first = sent.filled("old").is_none();
    if is_first {
        // The first one opens every organization that the person is in, and not only the issuer's.
        passkeys::refuse_guests(&myself)?;
        if !myself.signed_in.is_fresh(now()) {
            return Ok(prove::first("/account"));
        }
    }
    let _turn = server.stretching.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| {
        let none = Secret::new(String::new());
        let typed = |name: &str| sent.filled(name).unwrap_or(&none);
        let problem = if typed("new") == typed("again") {
            passphrase::check(typed("new"), &[&myself.signed_in.person.login]).err().map(sentence)
        } else {
            Some("The two new passphrases differ.".into())
        };
        if let Some(problem) = problem {
            let page = page(server, &myself, Some(&problem))?;
            return Ok(page.status(StatusCode::UNPROCESSABLE_ENTITY).into_response());
        }
        if let Some(entry) = replace(server, &myself, typed("old"), typed("new"))? {
            return Ok(entry.sent_on(server, "/account"));
        }
        let page = page(server, &myself, Some("The passphrase that you have is another one."))?;
        Ok(page.status(StatusCode::FORBIDDEN).into_response())
    })
    .await
}

/// Puts a new passphrase in the place of the old one, where that is right, and ends every session and program of the
/// person: whoever knew the old one may have let one in. Another session begins.
fn replace(server: &Server, myself: &Myself, old: &Secret, new: &Secret) -> Answer<Option<Entry>> {
    let person = &myself.signed_in.person;
    // Counted as guessing at a sign-in is, since it is the same that is guessed at.
    let (attempt, kept) = server.db.read(Reach::Server, |rows| -> Answer<_> {
        let browser = known::browser(rows, &server.keys, &myself.source, &person.id)?;
        let attempt = Attempt::at("sign-in", &person.login, myself.source.address).in_browser(browser.as_deref());
        attempt.refuse_early(rows, now())?;
        Ok((attempt, people::by_login(rows, &person.login)?.map(|(_, kept)| kept)))
    })?;
    // Whoever has none yet has just shown otherwise who they are.
    let is_first = kept.as_deref() == Some(passphrase::NONE) && myself.signed_in.is_fresh(now());
    if !is_first && !passphrase::is_right(old, kept.as_deref()) {
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            attempt.take(rows, now())?;
            attempt.failed(rows, now())?;
            let event = Event { outcome: Outcome::Denied, ..Event::done("passphrase.change", &person.id) };
            tell(rows, server, myself, &event)
        })?;
        return Ok(None);
    }
    let hash = passphrase::hash(new).ok_or_else(|| Problem::internal("no hash"))?;
    server.db.write(Reach::Server, |rows| {
        attempt.take(rows, now())?;
        attempt.succeeded(rows)?;
        // A sign-in that is going on is done before, and its session is seen.
        let only = myself.signed_in.only.as_ref();
        hold_sessions(rows, &person.id, only)?;
        // Whoever changed it meanwhile has won.
        let Some(kept) = &kept else { return Ok(None) };
        if !people::keep_passphrase(rows, &person.id, &hash, kept)? {
            return Ok(None);
        }
        for begun in ["DELETE FROM sessions WHERE person = $1", "DELETE FROM half_sessions WHERE person = $1"] {
            rows.execute(begun, values![&person.id])?;
        }
        let mut ended = Vec::new();
        for member in people::memberships(rows, &person.id)? {
            ended.extend(end_all(rows, &member.scope, &person.id, false)?);
        }
        tell(rows, server, myself, &Event::done("passphrase.change", &person.id))?;
        let actor = myself.signed_in.actor(&myself.source);
        ended.iter().try_for_each(|ended| ended.tell(rows, &server.keys, &actor))?;
        let session = people::sign_in_to(rows, &person.id, only, now())?;
        Ok(Some(Entry::known(rows, &server.keys, &person.id, session.token)?))
    })
}
