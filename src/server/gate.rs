//! A server whose master key cannot be had yet: it tells that it lives and that it is not ready, answers everything else
//! with one sentence, whatever is asked, and tries again until it has the key. Then it serves, without being started
//! anew.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::edge;
use super::error::ServeError;
use super::health;
use super::problem::Problem;
use super::random;
use crate::error::with_causes;

/// How long is waited before the next try, at first and at most.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(10);

/// What stands before the routes until there is a key.
#[derive(Default)]
pub(crate) struct Gate(OnceLock<Router>);

impl Gate {
    /// Everything that is asked, through the gate.
    pub(crate) fn router(self: &Arc<Self>, is_secure: bool) -> Router {
        let gate = Arc::clone(self);
        Router::new().fallback(move |request: Request| {
            let gate = Arc::clone(&gate);
            async move { gate.answer(request, is_secure).await }
        })
    }

    /// Lets everybody through to these routes.
    pub(crate) fn open(&self, router: Router) {
        // It is opened once.
        let _ = self.0.set(router);
    }

    async fn answer(&self, request: Request, is_secure: bool) -> Response {
        if let Some(router) = self.0.get() {
            let Ok(response) = TowerToHyperService::new(router.clone()).call(request).await;
            return response;
        }
        let mut response = match (request.method(), request.uri().path()) {
            (&Method::GET, "/healthz") => health::lives().await.into_response(),
            _ => sealed().into_response(),
        };
        let number = random::base62(16).map(|number| number.to_string()).unwrap_or_default();
        edge::finish(response.headers_mut(), &number, is_secure);
        response
    }
}

fn sealed() -> Problem {
    let detail = "the server is sealed: it does not have its master key, and serves nobody until it does";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "sealed", detail).header(header::RETRY_AFTER, "5")
}

/// Tries until it succeeds.
pub(crate) async fn until<T>(mut attempt: impl FnMut() -> Result<T, ServeError>) -> T {
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST);
        match tokio::task::block_in_place(&mut attempt) {
            Ok(done) => return done,
            Err(failure) => tracing::warn!(failure = with_causes(&failure), "the server stays sealed"),
        }
    }
}
