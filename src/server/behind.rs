//! A server without a certificate behind a proxy that has one: whoever comes past the proxy would send tokens readable, and
//! is sent away, whatever they ask. This machine is answered, and everybody is told whether the server lives.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::edge::{self, Peer};
use super::metrics;
use super::problem::{Problem, Refusal};
use super::random;
use super::settings::{Proxies, Settings};

/// What is answered to everybody: load balancers ask it.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// These routes for the proxies and this machine alone, where the proxies have the certificate.
pub(crate) fn guarded(routes: Router, settings: &Settings) -> Router {
    if settings.tls.is_some() || settings.proxies.is_empty() {
        return routes;
    }
    routes.layer(from_fn_with_state(settings.proxies.clone(), admit))
}

async fn admit(State(proxies): State<Proxies>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_canonical());
    let is_near = |peer: IpAddr| peer.is_loopback() || proxies.has(peer);
    if peer.is_some_and(is_near) || OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    metrics::REFUSED.count(["past the proxy"]);
    let number = random::base62(16).map(|number| number.to_string()).unwrap_or_default();
    tracing::warn!(request = number, address = peer.map(|peer| peer.to_string()), "somebody came past the proxy");
    let detail = "this address is for the proxy in front of the server: come through that, under https";
    let mut response = Problem::new(StatusCode::FORBIDDEN, "past-the-proxy", detail).into_response();
    edge::finish(response.headers_mut(), &number, false);
    Refusal::numbered(response, &number)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[test]
    fn whoever_comes_past_the_proxy_is_told_whether_the_server_lives_and_no_more() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let asked = |from: Option<&str>, path: &str| {
            let proxies = Proxies::of(&["192.0.2.9".parse().unwrap()]);
            let routes =
                Router::new().route("/", get(|| async { "here" })).route("/healthz", get(|| async { "lives" }));
            let routes = routes.layer(from_fn_with_state(proxies, admit));
            let mut request = Request::builder().uri(path).body(Body::empty()).unwrap();
            if let Some(from) = from {
                request.extensions_mut().insert(Peer(from.parse().unwrap()));
            }
            runtime.block_on(TowerToHyperService::new(routes).call(request)).unwrap().status().as_u16()
        };
        for near in ["192.0.2.9", "::ffff:192.0.2.9", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!((asked(Some(near), "/"), asked(Some(near), "/healthz")), (200, 200), "{near}");
        }
        for far in [Some("192.0.2.10"), Some("::ffff:192.0.2.10"), Some("2001:db8::1"), Some("0.0.0.0"), None] {
            assert_eq!((asked(far, "/"), asked(far, "/nowhere"), asked(far, "/healthz")), (403, 403, 200), "{far:?}");
        }
    }
}
