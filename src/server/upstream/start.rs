//! Sending a person to an issuer.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use url::Url;

use super::Upstream;
use super::errand::{Errand, LIFE, Purpose};
use super::peer::{self, Why};
use crate::secret::Secret;
use crate::server::bridge::blocking;
use crate::server::db::Reach;
use crate::server::invitations;
use crate::server::portal::page::{Page, Text};
use crate::server::portal::{OwnForm, Visitor, local_path, set_errand};
use crate::server::problem::{Answer, Problem};
use crate::server::state::{Server, now};

#[derive(Deserialize)]
pub(super) struct Given {
    next: Option<String>,
    /// An invitation that is to be accepted.
    token: Option<Secret>,
}

/// Somebody who is about to be sent to an issuer.
pub(crate) struct Going {
    /// The issuer.
    pub(crate) upstream: Upstream,
    /// What for.
    pub(crate) purpose: Purpose,
    /// Where they go on to afterwards.
    pub(crate) next: String,
    /// The invitation that they accept.
    pub(crate) invitation: Option<String>,
    /// The session that it is for.
    pub(crate) session: Option<String>,
}

pub(super) async fn submit(
    State(server): State<Arc<Server>>,
    _: Visitor,
    Path(id): Path<String>,
    OwnForm(given): OwnForm<Given>,
) -> Answer<Response> {
    let _turn = server.asking.acquire().await.map_err(|closed| Problem::internal(&closed))?;
    blocking(&server, move |server| {
        let found = server.db.read(Reach::Server, |rows| -> Answer<_> {
            let invited = given.token.as_ref().map(|token| invitations::link(rows, token, now())).transpose()?;
            Ok((Upstream::by_id(rows, &id)?.filter(Upstream::is_ready), invited))
        })?;
        let (Some(upstream), invited) = found else { return Ok(nowhere().into_response()) };
        let invitation = match invited {
            None => None,
            // An issuer is believed in its own organization alone.
            Some(Some((scope, invitation))) if scope == upstream.scope => Some(invitation),
            Some(_) => return Ok(nowhere().into_response()),
        };
        let next = local_path(given.next.as_deref()).to_owned();
        going(server, &Going { upstream, purpose: Purpose::SignIn, next, invitation, session: None })
    })
    .await
}

fn nowhere() -> Page {
    Page::refusal(StatusCode::NOT_FOUND, "There is no such way to sign in, or the invitation is none any more.")
}

/// Sends somebody to an issuer. A form may not end at another origin, so that the page goes there by itself.
pub(crate) fn going(server: &Server, going: &Going) -> Answer<Response> {
    let upstream = &going.upstream;
    let errand = Errand {
        scope: upstream.scope.clone(),
        upstream: upstream.id.clone(),
        purpose: going.purpose,
        next: going.next.clone(),
        invitation: going.invitation.clone(),
        session: going.session.clone(),
    };
    let begun = server.db.write(Reach::Server, |rows| errand.begin(rows, &server.keys, now()))?;
    let address = match peer::address(server, upstream, &begun, going.purpose) {
        Ok(address) => address,
        Err(Why(why)) => {
            let why = format!("Nobody can sign in with {} now: {why}.", upstream.name);
            return Ok(Page::refusal(StatusCode::BAD_GATEWAY, &why).into_response());
        }
    };
    let cookie = set_errand(server, &begun.browser, LIFE.num_seconds());
    Ok(sent_to(&address, &upstream.name, &cookie))
}

fn sent_to(address: &Url, name: &str, cookie: &str) -> Response {
    let body = format!(
        "<p>Sign in at {}; then you come back here.</p>\n<p><a class=\"button\" href=\"{}\">Go on to {0}</a></p>",
        Text(name),
        Text(address.as_str()),
    );
    let mut response = Page::new("Going on", body).into_response();
    let refresh = HeaderValue::from_str(&format!("0; url={address}"));
    for (name, value) in
        [(HeaderName::from_static("refresh"), refresh), (header::SET_COOKIE, HeaderValue::from_str(cookie))]
    {
        if let Ok(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
