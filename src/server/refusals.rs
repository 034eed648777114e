//! What was refused to somebody who is known is told, wherever it was refused: no handler can forget to.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::audit::{Actor, Event, Outcome};
use super::bridge::blocking;
use super::db::OrgScope;
use super::problem::Refusal;
use super::state::Server;

/// A request that may be refused: who asks for what, and in which organizations that is told.
pub(crate) struct Refusals {
    actor: Actor,
    scopes: Vec<OrgScope>,
    method: Method,
    /// Its address as the list of routes has it.
    route: String,
    /// What it is about.
    object: String,
}

impl Refusals {
    /// Before the handler has its turn.
    pub(crate) fn of(
        method: &Method,
        path: &str,
        route: Option<&MatchedPath>,
        actor: Actor,
        scopes: Vec<OrgScope>,
    ) -> Self {
        let route = route.map_or("", MatchedPath::as_str).to_owned();
        let object = named(&route, path).to_owned();
        Self { actor, scopes, method: method.clone(), route, object }
    }

    /// After it: a refusal that nobody has told of yet is told of now. One that cannot be told of is no answer.
    pub(crate) async fn tell(self, server: &Arc<Server>, response: Response) -> Response {
        let status = response.status();
        // Whoever comes too often is counted elsewhere, and fills no disk.
        let is_refused = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
        if !is_refused || self.actor.refused.is_told() {
            return response;
        }
        let code = response.extensions().get::<Refusal>().and_then(|refusal| refusal.0["code"].as_str());
        let code = code.unwrap_or(status.as_str());
        let detail = format!("{} {}: {code}", self.method, self.route);
        let told = blocking(server, move |server| {
            let event = Event { outcome: Outcome::Denied, detail: &detail, ..Event::done("request", &self.object) };
            self.scopes.iter().try_for_each(|scope| server.tell(scope, &self.actor, &event))
        });
        told.await.map_or_else(IntoResponse::into_response, |()| response)
    }
}

/// The part of a path that stands in the place of `{id}`.
fn named<'p>(route: &str, path: &'p str) -> &'p str {
    let mut parts = route.split('/').zip(path.split('/'));
    parts.find(|(name, _)| *name == "{id}").map_or("", |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_is_about_stands_where_its_route_says() {
        assert_eq!(named("/projects/{id}/members", "/projects/proj_1/members"), "proj_1");
        assert_eq!(named("/portal/{org}/keys/{id}/revoke", "/portal/org_1/keys/key_1/revoke"), "key_1");
        assert_eq!((named("/projects", "/projects"), named("", "/projects/x")), ("", ""));
    }
}
