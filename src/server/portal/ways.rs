//! How a person signs in: their passkeys, and the accounts at issuers that are linked with them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::inside::Myself;
use super::own::tell;
use super::page::{Page, Text, sent_on};
use super::shell::{time, word};
use super::{passkeys, recovery};
use crate::server::audit::{self, Event};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::db::{Reach, Rows};
use crate::server::people;
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::{Server, now};
use crate::server::upstream::{self, Going, Offered, Purpose, Upstream};

/// Where it is.
pub(super) const PATH: &str = "/account/sign-in";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, PATH, Access::Personal, show),
        Route::new(Method::POST, "/account/upstreams/{id}/link", Access::Personal, link).freshly(PATH),
        Route::new(Method::POST, "/account/upstreams/{id}/unlink", Access::Personal, unlink).freshly(PATH),
    ]
}

#[derive(Deserialize)]
struct One {
    id: String,
}

async fn show(State(server): State<Arc<Server>>, myself: Myself) -> Answer<Response> {
    blocking(&server, move |server| page(server, &myself).map(IntoResponse::into_response)).await
}

fn page(server: &Server, myself: &Myself) -> Answer<Page> {
    let body = format!(
        "<p>You sign in with <strong>{}</strong> and your <a href=\"/account\">passphrase</a>, or in one of these ways. \
         Codes of an app stand on the page <a href=\"/second-factor\">Second factor</a>.</p>\n{}\n{}\n{}",
        Text(&myself.signed_in.person.login),
        passkeys::list(server, myself)?,
        recovery::section(server, myself)?,
        accounts(server, myself)?,
    );
    Ok(myself.page("How you sign in", body))
}

/// The accounts that are linked, and those that could be.
fn accounts(server: &Server, myself: &Myself) -> Answer<String> {
    let (now, signed_in) = (now(), &myself.signed_in);
    let (accounts, offered) = server.db.read(Reach::Server, |rows| -> Answer<_> {
        let mut offered = Vec::new();
        for member in &signed_in.members {
            offered.extend(upstream::of(rows, &member.scope)?);
        }
        Ok((upstream::all_of(rows, &signed_in.person.id)?, offered))
    })?;
    let rows: String = accounts
        .iter()
        .map(|account| {
            format!(
                "<tr><th scope=\"row\">{}<small>{}</small></th><td>{}</td><td>\
                 <form method=\"post\" action=\"/account/upstreams/{}/unlink\">{}<button class=\"plain\">Unlink\
                 <span class=\"apart\"> {0}</span></button></form></td></tr>\n",
                Text(&account.name),
                Text(&account.title),
                time(account.used, now, "never"),
                Text(&account.upstream),
                word(signed_in),
            )
        })
        .collect();
    let table = if accounts.is_empty() {
        "<p role=\"status\">None is linked with you.</p>".into()
    } else {
        format!(
            "<div class=\"table\"><table>\n<thead><tr><th scope=\"col\">Account</th><th scope=\"col\">Last used</th>\
             <th scope=\"col\"><span class=\"apart\">Unlink</span></th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>"
        )
    };
    let is_linked = |way: &Offered| accounts.iter().any(|account| account.upstream == way.id);
    let forms: String = offered
        .iter()
        .filter(|way| !is_linked(way))
        .map(|way| {
            format!(
                "\n<form method=\"post\" action=\"/account/upstreams/{}/link\">{}<button class=\"quiet\">Link {} with \
                 you</button></form>",
                Text(&way.id),
                word(signed_in),
                Text(&way.name),
            )
        })
        .collect();
    Ok(format!("<h2>Accounts elsewhere</h2>\n{table}{forms}"))
}

async fn link(State(server): State<Arc<Server>>, myself: Myself, Path(One { id }): Path<One>) -> Answer<Response> {
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| {
        let upstream = of_mine(server, &myself, &id)?;
        let session = Some(myself.signed_in.session.clone());
        let next = PATH.to_owned();
        upstream::going(server, &Going { upstream, purpose: Purpose::Link, next, invitation: None, session })
    })
    .await
}

/// An issuer of one of a person's organizations.
pub(super) fn of_mine(server: &Server, myself: &Myself, id: &str) -> Answer<Upstream> {
    server.db.read(Reach::Server, |rows| {
        for member in &myself.signed_in.members {
            if let Some(found) = Upstream::one(rows, &member.scope, id)?.filter(Upstream::is_ready) {
                return Ok(found);
            }
        }
        Err(Problem::not_found())
    })
}

/// Refuses what would leave a person without a way to sign in.
pub(super) fn keep_one(rows: &mut dyn Rows, person: &str) -> Answer<()> {
    // Of two ways that are taken away at once, the second waits here, and finds the first gone.
    people::hold(rows, person)?;
    if people::has_own_way(rows, person)? || !upstream::all_of(rows, person)?.is_empty() {
        return Ok(());
    }
    let why = "you could not sign in any more: give yourself a passphrase first";
    Err(Problem::new(StatusCode::CONFLICT, "last-way", why))
}

async fn unlink(State(server): State<Arc<Server>>, myself: Myself, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let person = &myself.signed_in.person.id;
        server.db.write(Reach::Server, |rows| -> Answer<()> {
            people::hold(rows, person)?;
            let scope =
                upstream::unlink(rows, person, &id, myself.signed_in.only.as_ref())?.ok_or_else(Problem::not_found)?;
            keep_one(rows, person)?;
            // The organization whose issuer it was is told, though the session that does this may be another's.
            let event = Event { detail: &id, ..Event::done("account.unlink", person) };
            let actor = myself.signed_in.actor(&myself.source);
            if people::role(rows, &scope, person)?.is_some() {
                return Ok(audit::append(rows, &server.keys, &scope, &actor, &event, now())?);
            }
            tell(rows, server, &myself, &event)
        })?;
        Ok(sent_on(PATH, None))
    })
    .await
}
