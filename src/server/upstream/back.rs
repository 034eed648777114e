//! Whoever comes back from an issuer.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Upstream;
use super::errand::{Errand, Purpose, Ties};
use super::peer::{self, Told, Why};
use super::settle::{Arrival, Settled};
use crate::secret::Secret;
use crate::server::attempts::Attempt;
use crate::server::audit::{self, Event, Outcome};
use crate::server::bridge::blocking;
use crate::server::db::{OrgScope, Reach};
use crate::server::metrics;
use crate::server::portal::page::{Page, sent_on};
use crate::server::portal::{Visitor, errand, half, set_cookie, set_errand};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};
use crate::server::token::{self, Kind};

/// What an issuer answers (RFC 6749 section 4.1.2, RFC 9207). What stands there twice is no answer.
#[derive(Deserialize)]
pub(super) struct Answered {
    state: Option<Secret>,
    code: Option<Secret>,
    error: Option<String>,
    iss: Option<String>,
}

const UNKNOWN: &str = "this sign-in was not begun here, in this browser, within the last ten minutes, or it was \
                       answered already";

pub(super) async fn show(
    State(server): State<Arc<Server>>,
    visitor: Visitor,
    Path(id): Path<String>,
    headers: HeaderMap,
    Query(answered): Query<Answered>,
) -> Answer<Response> {
    let browser = errand(&server, &headers);
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    let done = blocking(&server, move |server| arrive(server, &visitor, &id, browser.as_ref(), &answered)).await;
    let mut response = done?;
    // What the browser had for this errand is of no more use.
    if let Ok(gone) = HeaderValue::from_str(&set_errand(&server, &Secret::new(String::new()), 0)) {
        response.headers_mut().append(header::SET_COOKIE, gone);
    }
    Ok(response)
}

fn arrive(
    server: &Server,
    visitor: &Visitor,
    id: &str,
    browser: Option<&Secret>,
    answered: &Answered,
) -> Answer<Response> {
    let state = answered.state.as_ref().and_then(|state| token::parse(state.expose()));
    let state = state.filter(|state| state.kind == Kind::Errand);
    let guessed = state.as_ref().map_or("?", |state| state.id.as_str());
    let attempt = Attempt::at("upstream", guessed, visitor.source.address);
    server.db.read(Reach::Server, |rows| attempt.refuse_early(rows, now()))?;
    let ended = match (&state, browser) {
        (Some(state), Some(browser)) => {
            let token = answered.state.as_ref().ok_or_else(Problem::not_found)?;
            server.db.write(Reach::Server, |rows| Errand::end(rows, &server.keys, (token, state), browser, now()))?
        }
        _ => None,
    };
    // The answer of one issuer is not taken at the address of another.
    let Some((errand, ties)) = ended.filter(|(errand, _)| errand.upstream == id) else {
        server.db.write(Reach::Server, |rows| attempt.failed(rows, now()))?;
        return refused(server, visitor, &audit::server_scope(), id, UNKNOWN);
    };
    let upstream = server.db.read(&errand.scope, |rows| Upstream::one(rows, &errand.scope, &errand.upstream))?;
    let Some(upstream) = upstream.filter(Upstream::is_ready) else {
        return refused(server, visitor, &errand.scope, id, "the organization does not believe this issuer any more");
    };
    let told = match vouched(server, &upstream, (&errand, &ties), answered) {
        Ok(told) => told,
        Err(Why(why)) if errand.purpose == Purpose::SignIn => {
            metrics::signed_in("issuer", Ok(false));
            return refused(server, visitor, &errand.scope, id, &why);
        }
        Err(Why(why)) => return refused(server, visitor, &errand.scope, id, &why),
    };
    let arrival = Arrival {
        server,
        upstream: &upstream,
        errand: &errand,
        told: &told,
        signed_in: visitor.signed_in.as_ref(),
        source: &visitor.source,
    };
    let settled = server.db.write(&errand.scope, |rows| arrival.settle(rows));
    if errand.purpose == Purpose::SignIn {
        let is_in = |settled: &Settled| matches!(settled, Settled::In(_) | Settled::Half(_));
        metrics::signed_in("issuer", settled.as_ref().map(is_in));
    }
    match settled? {
        Settled::In(session) => Ok(sent_on(&errand.next, Some(set_cookie(server, &session)))),
        Settled::Half(half) => Ok(half::form(&half, &errand.next, None).into_response()),
        Settled::Linked => Ok(sent_on(&errand.next, None)),
        Settled::Refused(why) => refused(server, visitor, &errand.scope, id, why),
    }
}

/// What the issuer says of whoever comes back, once all of it holds.
fn vouched(
    server: &Server,
    upstream: &Upstream,
    (errand, ties): (&Errand, &Ties),
    answered: &Answered,
) -> Result<Told, Why> {
    peer::check_issuer(server, upstream, answered.iss.as_deref())?;
    if answered.error.is_some() {
        return Err("the issuer did not let you in".into());
    }
    let code = answered.code.as_ref().filter(|code| !code.expose().is_empty()).ok_or("the answer has no code")?;
    peer::account(server, upstream, ties, code, errand.purpose)
}

/// Says why not, and tells it.
fn refused(server: &Server, visitor: &Visitor, scope: &OrgScope, id: &str, why: &str) -> Answer<Response> {
    // An organization learns nothing of those who are not in it.
    let member = visitor.signed_in.as_ref().filter(|known| known.members.iter().any(|member| member.scope == *scope));
    let actor = member.map_or_else(|| visitor.source.actor(), |known| known.actor(&visitor.source));
    let event = Event { outcome: Outcome::Denied, detail: why, ..Event::done("sign-in", id) };
    server.tell(scope, &actor, &event)?;
    Ok(Page::refusal(StatusCode::FORBIDDEN, &format!("You were not let in: {why}.")).into_response())
}
