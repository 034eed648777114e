//! What happens to every request before and after its handler: it gets a number, a place it comes from and a time limit,
//! and its answer the headers that keep browsers and caches from making more of it than it is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::audit::Actor;
use super::problem::Problem;
use super::random;
use super::state::Server;
use crate::text::clean;

/// How long a request may take.
const LIMIT: Duration = Duration::from_mins(1);

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Where a request comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// The address of whoever asks.
    pub(crate) address: Option<IpAddr>,
    /// What their program calls itself.
    pub(crate) agent: String,
    /// The number of the request.
    pub(crate) request: String,
}

impl Source {
    /// The same for the audit, with nobody's name.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            agent: self.agent.clone(),
            request: self.request.clone(),
            ..Actor::default()
        }
    }
}

/// Goes around every handler.
pub(crate) async fn around(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let source = source(&server, &request);
    let number = source.request.clone();
    let mut response = if is_plain(request.uri().path()) {
        request.extensions_mut().insert(source);
        match tokio::time::timeout(LIMIT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::unavailable().into_response(),
        }
    } else {
        Problem::bad("the path is not a plain one").into_response()
    };
    let is_secure = server.public.scheme() == "https";
    finish(response.headers_mut(), &number, is_secure);
    response
}

fn source(server: &Server, request: &Request) -> Source {
    let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let forwarded = text(HeaderName::from_static("x-forwarded-for"));
    Source {
        address: peer.map(|peer| server.proxies.client(peer, forwarded)),
        agent: clean(text(header::USER_AGENT).unwrap_or_default()).chars().take(128).collect(),
        request: random::base62(16).map(|number| number.to_string()).unwrap_or_default(),
    }
}

/// Whether a path says one thing to whoever reads it: nothing that climbs, is empty, or is written in another way.
fn is_plain(path: &str) -> bool {
    let segments_are_plain =
        || path.split('/').skip(1).all(|segment| segment != "." && segment != ".." && !segment.is_empty());
    path == "/" || (!path.contains(['%', ';', '\\']) && segments_are_plain())
}

/// The headers that every answer has. What a handler has set stays.
pub(crate) fn finish(headers: &mut HeaderMap, number: &str, is_secure: bool) {
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if let Ok(number) = HeaderValue::from_str(number) {
        headers.insert(HeaderName::from_static("x-request-id"), number);
    }
}

/// What no route answers.
pub(crate) async fn nowhere() -> Problem {
    Problem::not_found()
}

/// What a route does not answer in this way.
pub(crate) async fn not_so() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this is not asked for in this way")
}

/// What the library itself refuses, such as a body that is no JSON, is told in the same form as everything else, and
/// without a word of what was sent.
pub(crate) async fn plain_refusal(response: Response) -> Response {
    let is_text =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let status = response.status();
    if !is_text || !status.is_client_error() {
        return response;
    }
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is too long",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "the body is not of the type that this takes",
        _ => "the request is not of the form that this takes",
    };
    Problem::new(status, "bad-request", detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_be_read_in_two_ways_is_refused() {
        for plain in ["/", "/a", "/a/b", "/.well-known/oauth-authorization-server", "/a.b/c-d_e"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in ["//", "/a//b", "/a/", "/a/../b", "/a/.", "/%2e%2e/a", "/a%2fb", "/a;b", "/a\\b"] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
