//! Every route of the server, with what it demands. A route that is not in this list is not served.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{MethodFilter, MethodRouter, on};

use super::api::{self, Operation, Told};
use super::caller::{Access, admit};
use super::state::Server;
use super::{
    api_keys, audit, clients, connections, credential_configs, credentials, edge, health, invitations, leaked,
    member_keys, members, oauth, organizations, portal, programs, projects, registries, trust, upstream, workspaces,
};

/// The longest body: the largest secrets there are.
const BODY: usize = 4 << 20;

/// One route.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    /// What the document of the API says of it; nothing of pages.
    pub(crate) told: Option<Words>,
    handler: MethodRouter<Arc<Server>>,
    /// Where whoever has to show once more who they are comes back to.
    fresh: Option<&'static str>,
}

/// What the document of the API says of a route.
pub(crate) struct Words {
    /// The name of the operation, which never changes.
    pub(crate) name: &'static str,
    /// What it does, in a few words.
    pub(crate) summary: &'static str,
    /// What the types of its handler tell.
    pub(crate) tell: fn(&mut Operation<'_>),
    /// The problems that may come of it besides.
    pub(crate) refuses: Vec<&'static str>,
}

impl Route {
    /// What answers a path in one way.
    pub(crate) fn new<T: 'static>(
        method: Method,
        path: &'static str,
        access: Access,
        handler: impl Handler<T, Arc<Server>>,
    ) -> Self {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::TRACE);
        Self { method, path, access, told: None, handler: on(filter, handler), fresh: None }
    }

    /// The same for a route of the API, which is told in its document under a name and in a few words.
    pub(crate) fn api<T: 'static, H: Handler<T, Arc<Server>> + Told<T>>(
        method: Method,
        path: &'static str,
        access: Access,
        handler: H,
        name: &'static str,
        summary: &'static str,
    ) -> Self {
        let told = Words { name, summary, tell: H::tell, refuses: Vec::new() };
        Self { told: Some(told), ..Self::new(method, path, access, handler) }
    }

    /// Says which problems may come of it, besides those that its types tell.
    pub(crate) fn refuses(mut self, kinds: &[&'static str]) -> Self {
        if let Some(told) = &mut self.told {
            told.refuses.extend(kinds);
        }
        self
    }

    /// The same for whoever has just shown who they are; others do so first, and then come back to this page.
    pub(crate) fn freshly(self, back: &'static str) -> Self {
        Self { fresh: Some(back), ..self }
    }
}

/// All of them, in their order.
pub(crate) fn all() -> Vec<Route> {
    [
        health::routes(),
        api::routes(),
        portal::routes(),
        oauth::routes(),
        credential_configs::routes(),
        connections::routes(),
        credentials::routes(),
        api_keys::routes(),
        programs::routes(),
        organizations::routes(),
        members::routes(),
        member_keys::routes(),
        invitations::routes(),
        projects::routes(),
        workspaces::routes(),
        registries::routes(),
        trust::routes(),
        clients::routes(),
        upstream::routes(),
        audit::routes(),
        leaked::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Method, path and what is demanded, of each route.
pub fn table() -> Vec<(String, &'static str, &'static str)> {
    all().into_iter().map(|route| (route.method.to_string(), route.path, route.access.word())).collect()
}

/// All of them as one service.
pub(crate) fn router(server: Arc<Server>) -> Router {
    let mut router = Router::new();
    for Route { path, access, handler, fresh, .. } in all() {
        let admitted = handler.route_layer(from_fn_with_state((Arc::clone(&server), access, fresh), admit));
        router = router.route(path, admitted);
    }
    router
        .fallback(edge::nowhere)
        .method_not_allowed_fallback(edge::not_so)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(map_response(edge::plain_refusal))
        .layer(from_fn_with_state(Arc::clone(&server), edge::around))
        .with_state(server)
}

#[cfg(test)]
mod tests;
