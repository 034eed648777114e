//! What happens to every request before and after its handler: it gets a number, a place it comes from, a turn and a time
//! limit, its answer the headers that keep browsers and caches from making more of it than it is, and both a line in the log.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::audit::{Actor, Refused};
use super::dpop;
use super::lanes::Turn;
use super::limits::{Class, Counts, Whose};
use super::metrics;
use super::portal::page::Page;
use super::portal::{Known, shown_session};
use super::problem::{Problem, Refusal};
use super::random;
use super::state::Server;
use super::token::{self, Kind, Parsed};
use crate::text::clean;

/// How long a request may take.
const LIMIT: Duration = Duration::from_mins(1);
/// The longest body of what has to wait for a turn: forms, tokens and codes, which are short.
const AHEAD: usize = 128 << 10;

/// What a token is called by whoever puts one into an address, where histories, logs and `Referer` headers take it up (RFC
/// 6750 section 2.3).
const TOKENS: [&str; 5] = ["access_token", "refresh_token", "id_token", "api_key", "token"];
/// The pages whose address is a link that is good once, which is their `token`.
const LINKS: [&str; 3] = ["/setup", "/invite", "/reset"];

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
    /// Whether the request was told of as refused.
    pub(crate) refused: Refused,
    /// The browser that it is, where somebody looks at a page in one that is known.
    pub(crate) known: Option<Known>,
}

impl Source {
    /// The same for the audit, with nobody's name.
    pub(crate) fn actor(&self) -> Actor {
        Actor {
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            agent: self.agent.clone(),
            request: self.request.clone(),
            refused: self.refused.clone(),
            ..Actor::default()
        }
    }
}

/// Goes around every handler.
pub(crate) async fn around(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let source = source(&server, &request);
    let number = source.request.clone();
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let method = request.method().clone();
    let class = Class::of(&method, path.as_deref().unwrap_or_default());
    let token = dpop::shown(request.headers()).and_then(|shown| shown.token);
    let token = token.or_else(|| shown_session(&server, request.headers()));
    let mut counts = server.limits.count(source.address, token.as_ref().map(Parsed::mark), class);
    let mut response = if let Some(problem) = unfit(&server, &request) {
        problem.into_response()
    } else if counts.over().is_some() {
        too_often(&counts, class, request.headers())
    } else {
        request.extensions_mut().insert(source);
        match tokio::time::timeout(LIMIT, in_turn(&server, class, request, next)).await {
            Ok(response) => response,
            Err(_) => Problem::unavailable().into_response(),
        }
    };
    let whose = response.extensions_mut().remove::<Whose>();
    if let (Some(token), Some(whose)) = (&token, &whose) {
        server.limits.learn(&mut counts, token.mark(), whose, class);
    }
    counts.tell(response.headers_mut());
    let is_secure = server.public.scheme() == "https";
    finish(response.headers_mut(), &number, is_secure);
    metrics::answered(path.as_deref(), &method, response.status(), begun.elapsed());
    note(&number, path.as_deref(), &method, response.status(), begun.elapsed(), whose.as_ref());
    Refusal::numbered(response, &number)
}

/// Has a request wait for its turn, and answers it.
async fn in_turn(server: &Server, class: Class, request: Request, next: Next) -> Response {
    // Whoever sends slowly is waited for before it is their turn: else a few of them would have all turns.
    let request = match if class.has_turns() { whole(request).await } else { Ok(request) } {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    let turn = match server.lanes.enter(class).await {
        Turn::Now(Some(turn)) => turn,
        Turn::Now(None) => return next.run(request).await,
        Turn::Never => return Problem::busy().into_response(),
    };
    // What is dear keeps its turn until it is done, even when whoever asked is gone: else they would only have to go to
    // have it done more often at a time than there are turns.
    let work = tokio::spawn(async move {
        let response = next.run(request).await;
        drop(turn);
        response
    });
    work.await.unwrap_or_else(|broken_off| Problem::internal(&broken_off).into_response())
}

/// A request whose body has come, as far as it may be long.
async fn whole(request: Request) -> Result<Request, Problem> {
    let (parts, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| Problem::bad("the body broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > AHEAD {
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-long", "the body is too long"));
        }
        bytes.extend(data);
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Why a request is not answered whatever it asks: it was meant for another host, its path can be read in two ways, its
/// address holds a token, or its body is not what it is.
fn unfit(server: &Server, request: &Request) -> Option<Problem> {
    // A certificate says whose pages these are, and a proxy calls the server what it likes.
    let is_bare = server.public.scheme() == "http" && server.proxies.is_empty();
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    if is_bare && host.is_some_and(|host| !is_own(host, server.public.host_str().unwrap_or_default())) {
        let detail = "this is the server of another address: use the one that it was given";
        return Some(Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", detail));
    }
    if !is_plain(request.uri().path()) {
        return Some(Problem::bad("the path is not a plain one"));
    }
    if holds_token(request.uri()) {
        let detail = "a token is sent in a header or a body, and never in an address, where others read it: revoke it";
        return Some(Problem::bad(detail));
    }
    let is_packed = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if request.headers().get_all(header::CONTENT_ENCODING).iter().any(is_packed) {
        let detail = "a body is sent as it is, without a Content-Encoding";
        return Some(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail));
    }
    None
}

/// Sends whoever asks too often away, a browser with a page.
fn too_often(counts: &Counts, class: Class, headers: &HeaderMap) -> Response {
    let (rate, wait) = counts.over().unwrap_or(("address", Duration::ZERO));
    metrics::LIMITED.count([rate, class.word()]);
    let problem = Problem::too_often(rate, wait).with("error", "slow_down");
    let mut response = problem.into_response();
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/html") {
        let why = "That was too often. Wait a little, then try again.";
        let page = Page::refusal(StatusCode::TOO_MANY_REQUESTS, why).into_response();
        let after = response.headers_mut().remove(header::RETRY_AFTER);
        response = page;
        response.headers_mut().extend(after.map(|after| (header::RETRY_AFTER, after)));
    }
    response
}

/// Writes a request to the log: what it asked as a template, and never what it said.
fn note(number: &str, path: Option<&str>, method: &Method, status: StatusCode, took: Duration, whose: Option<&Whose>) {
    let (route, method, status) = (path.unwrap_or("none"), metrics::method(method), status.as_u16());
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (organization, person) = whose.map_or(("", ""), |whose| (whose.organization.as_str(), whose.person.as_str()));
    if status >= 500 {
        tracing::error!(request = number, route, method, status, milliseconds, organization, person, "request");
    } else {
        tracing::info!(request = number, route, method, status, milliseconds, organization, person, "request");
    }
}

fn source(server: &Server, request: &Request) -> Source {
    let text = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    // A proxy may add a line of its own instead of a word to the last one: together they are one list.
    let lines = request.headers().get_all("x-forwarded-for").iter();
    let forwarded: Vec<&str> = lines.map(|line| line.to_str().unwrap_or("?")).collect();
    Source {
        address: peer.map(|peer| server.proxies.client(peer, &forwarded.join(","))),
        agent: clean(text(header::USER_AGENT).unwrap_or_default()).chars().take(128).collect(),
        request: random::base62(16).map(|number| number.to_string()).unwrap_or_default(),
        refused: Refused::default(),
        known: None,
    }
}

/// Whether a `Host` is this server's: the name that it was given, or one that nobody can make to point here. A page of
/// another site whose name points to this machine would else count as a page of this server.
fn is_own(host: &[u8], public: &str) -> bool {
    let Some(host) = std::str::from_utf8(host).ok().and_then(|host| url::Url::parse(&format!("http://{host}/")).ok())
    else {
        return false;
    };
    match host.host() {
        Some(url::Host::Domain(name)) => name == public || name == "localhost" || name.ends_with(".localhost"),
        Some(_) => true,
        None => false,
    }
}

/// Whether a path says one thing to whoever reads it: nothing that climbs, is empty, or is written in another way.
fn is_plain(path: &str) -> bool {
    let segments_are_plain =
        || path.split('/').skip(1).all(|segment| segment != "." && segment != ".." && !segment.is_empty());
    path == "/" || (!path.contains(['%', ';', '\\']) && segments_are_plain())
}

/// Whether the query of an address has a token in it, by its name or by what it is.
fn holds_token(uri: &Uri) -> bool {
    let is_link = LINKS.contains(&uri.path());
    let is_name =
        |name: &str| TOKENS.iter().any(|known| name.eq_ignore_ascii_case(known)) && !(is_link && name == "token");
    let opens = |kind| matches!(kind, Kind::Key | Kind::Access | Kind::Refresh | Kind::Job | Kind::Session);
    let is_value = |value: &str| token::parse(value).is_some_and(|parsed| opens(parsed.kind));
    let mut pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.any(|(name, value)| is_name(&name) || is_value(&value) || is_value(&name))
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
    let form = "the request is not of the form that this takes";
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(status, "too-long", "the body is too long"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(status, "media-type", "the body is not of the type that this takes")
        }
        StatusCode::UNPROCESSABLE_ENTITY => Problem::invalid(form),
        _ => Problem::bad(form),
    }
    .into_response()
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

    #[test]
    fn a_name_that_was_made_to_point_here_is_not_ours() {
        for own in
            ["127.0.0.1:7447", "[::1]:1", "192.0.2.7", "localhost:80", "LOCALHOST", "a.localhost", "team.example:9"]
        {
            assert!(is_own(own.as_bytes(), "team.example"), "{own}");
        }
        for other in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "evillocalhost", "", "a b", "\u{e9}\n"]
        {
            assert!(!is_own(other.as_bytes(), "team.example"), "{other}");
        }
    }

    #[test]
    fn a_token_in_an_address_is_seen_however_it_is_written() {
        let key = token::mint(Kind::Key).unwrap().token.expose().to_owned();
        let link = token::mint(Kind::Invitation).unwrap().token.expose().to_owned();
        let holds = |address: &str| holds_token(&address.parse().unwrap());
        for bad in [
            "/x?access_token=a",
            "/x?a=b&refresh_token",
            "/x?%61ccess_token=a",
            "/x?Access_Token=a",
            "/x?token=a",
            "/setup?id_token=a",
            "/setup?Token=a",
            "/invite/x?token=a",
            "/invite?token=a&api_key=b",
        ] {
            assert!(holds(bad), "{bad}");
        }
        assert!(holds(&format!("/x?q={key}")) && holds(&format!("/x?{key}")) && holds(&format!("/invite?token={key}")));
        for good in [
            "/x",
            "/x?",
            "/x?q=token",
            "/setup?token=a",
            "/invite?token=a",
            "/reset?token=a",
            "/x?tokens=a&token_type=b",
        ] {
            assert!(!holds(good), "{good}");
        }
        assert!(!holds(&format!("/invite?token={link}")));
    }
}
