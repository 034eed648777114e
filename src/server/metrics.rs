//! What a server counts of itself, for Prometheus: on a listener of its own, which is off until it is asked for.
//!
//! A label is a word of this program, such as the template of a route: nothing that somebody sent or named is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::bridge::blocking;
use super::db::{Closed, DbError, Reach, TRANSACTIONS};
use super::problem::Problem;
use super::state::Server;

mod process;
mod text;

use text::Text;

/// The bounds of durations, in seconds.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// One number for each combination of words.
#[derive(Default)]
pub(crate) struct Family<const N: usize>(RwLock<BTreeMap<[&'static str; N], AtomicU64>>);

impl<const N: usize> Family<N> {
    const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    /// Counts one.
    pub(crate) fn count(&self, words: [&'static str; N]) {
        if let Ok(known) = self.0.read()
            && let Some(number) = known.get(&words)
        {
            number.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // A lock that somebody broke counts no more; nothing else depends on it.
        if let Ok(mut known) = self.0.write() {
            known.entry(words).or_default().fetch_add(1, Ordering::Relaxed);
        }
    }

    fn all(&self) -> Vec<([&'static str; N], u64)> {
        let known = self.0.read();
        known.map_or_else(
            |_| Vec::new(),
            |known| known.iter().map(|(words, number)| (*words, number.load(Ordering::Relaxed))).collect(),
        )
    }
}

/// How long something took.
#[derive(Default)]
struct Durations {
    /// One number for each bound, and one for what took longer.
    counts: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Durations {
    fn add(&self, took: Duration) {
        let at = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.microseconds.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Requests by route, method and the first digit of the status.
static REQUESTS: Family<3> = Family::new();
static DURATIONS: RwLock<BTreeMap<[&'static str; 2], Arc<Durations>>> = RwLock::new(BTreeMap::new());
/// Sign-ins by how they were tried and what came of it.
static SIGN_INS: Family<2> = Family::new();
/// Requests that came too often, by whose rate was used up and by the class of what was asked.
pub(crate) static LIMITED: Family<2> = Family::new();
/// Connections that were not served, by the reason.
pub(crate) static REFUSED: Family<1> = Family::new();
/// What the database did not do.
pub(crate) static DATABASE_FAILURES: AtomicU64 = AtomicU64::new(0);
/// What could not be written to the audit.
pub(crate) static AUDIT_FAILURES: AtomicU64 = AtomicU64::new(0);
/// Connections that are open.
pub(crate) static CONNECTIONS: AtomicI64 = AtomicI64::new(0);

/// Counts a sign-in: whether somebody was let in, or why that cannot be told.
pub(crate) fn signed_in(way: &'static str, is_in: Result<bool, &Problem>) {
    let outcome = match is_in {
        Ok(true) => "done",
        Ok(false) => "refused",
        Err(problem) if problem.status().is_client_error() => "refused",
        Err(_) => "failed",
    };
    SIGN_INS.count([way, outcome]);
}

/// The word for a route, which is one of the program's own.
fn route(path: Option<&str>) -> &'static str {
    static ROUTES: LazyLock<BTreeSet<&'static str>> =
        LazyLock::new(|| super::routes::table().into_iter().map(|(_, path, _)| path).collect());
    path.and_then(|path| ROUTES.get(path)).copied().unwrap_or("none")
}

/// The word for a method.
pub(crate) fn method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| method.as_str() == *known).unwrap_or("other")
}

/// Counts a request that was answered.
pub(crate) fn answered(path: Option<&str>, asked: &Method, status: StatusCode, took: Duration) {
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    let class = classes.get(usize::from(status.as_u16() / 100).wrapping_sub(1)).copied().unwrap_or("other");
    let words = [route(path), method(asked)];
    REQUESTS.count([words[0], words[1], class]);
    let known = DURATIONS.read().ok().and_then(|known| known.get(&words).cloned());
    let durations =
        known.or_else(|| DURATIONS.write().ok().map(|mut known| Arc::clone(known.entry(words).or_default())));
    if let Some(durations) = durations {
        durations.add(took);
    }
}

/// The server, once it has its keys.
pub(crate) type Opened = Arc<OnceLock<Arc<Server>>>;

/// The pages of the second listener.
pub(crate) fn router(server: Opened) -> Router {
    Router::new().route("/metrics", get(show)).fallback(|| async { Problem::not_found() }).with_state(server)
}

async fn show(State(server): State<Opened>) -> Response {
    let known = match server.get() {
        None => Known::Sealed,
        Some(server) => Known::Open(blocking(server, |server| Ok(rows(server).ok())).await.ok().flatten()),
    };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page(&known)).into_response()
}

/// What is known of the server.
enum Known {
    /// It has no keys yet, and looks at nothing.
    Sealed,
    /// How much there is, where the database answers.
    Open(Option<Rows>),
}

/// How much there is. Counted when it is asked for.
#[derive(Debug, Clone, Copy)]
struct Rows {
    organizations: i64,
    people: i64,
    credentials: i64,
    own_key: i64,
    unfinished: i64,
    /// Counted where a rotation is not over: there is nothing else that it could be.
    under_older: i64,
}

const UNDER_OLDER: &str = "SELECT COUNT(*) FROM data_keys d JOIN key_rotations r ON r.org = d.org \
                           WHERE d.key_version < r.version";

fn rows(server: &Server) -> Result<Rows, DbError> {
    server.db.read(Reach::Server, |rows| {
        rows.open(Closed::Secrets)?;
        let mut count = |all| rows.first(all, &[])?.ok_or(DbError::Shape)?.int(0);
        let unfinished = count(
            "SELECT (SELECT COUNT(*) FROM key_rotations) \
             + (SELECT COUNT(*) FROM settings WHERE name = 'server-key-rotation')",
        )?;
        Ok(Rows {
            own_key: count("SELECT MAX(version) FROM server_keys")?,
            unfinished,
            under_older: if unfinished > 0 { count(UNDER_OLDER)? } else { 0 },
            organizations: count("SELECT COUNT(*) FROM organizations WHERE deleted IS NULL")?,
            people: count("SELECT COUNT(*) FROM people")?,
            credentials: count("SELECT COUNT(*) FROM credentials")?,
        })
    })
}

fn page(known: &Known) -> String {
    let mut text = Text::default();
    text.family("lanyard_build_info", "gauge", "The program that runs.");
    text.line("lanyard_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let is_sealed = matches!(known, Known::Sealed);
    text.one("lanyard_sealed", "gauge", "Whether it lacks its master key, and serves nobody.", u8::from(is_sealed));
    text.family("lanyard_http_requests_total", "counter", "Requests, by route, method and class of the status.");
    for ([route, method, status], number) in REQUESTS.all() {
        text.line("lanyard_http_requests_total", &[("route", route), ("method", method), ("status", status)], number);
    }
    durations(&mut text);
    text.family("lanyard_sign_ins_total", "counter", "Sign-ins, by the way and what came of it.");
    for ([way, outcome], number) in SIGN_INS.all() {
        text.line("lanyard_sign_ins_total", &[("way", way), ("outcome", outcome)], number);
    }
    text.family("lanyard_rate_limited_total", "counter", "Requests that came too often.");
    for ([rate, class], number) in LIMITED.all() {
        text.line("lanyard_rate_limited_total", &[("rate", rate), ("class", class)], number);
    }
    text.family("lanyard_connections_refused_total", "counter", "Connections that were not served.");
    for ([reason], number) in REFUSED.all() {
        text.line("lanyard_connections_refused_total", &[("reason", reason)], number);
    }
    text.one("lanyard_connections", "gauge", "Connections that are open.", CONNECTIONS.load(Ordering::Relaxed));
    let transactions = TRANSACTIONS.load(Ordering::Relaxed);
    text.one("lanyard_database_transactions_total", "counter", "What was read or written at once.", transactions);
    let failures = DATABASE_FAILURES.load(Ordering::Relaxed);
    text.one("lanyard_database_failures_total", "counter", "What the database did not do.", failures);
    let failures = AUDIT_FAILURES.load(Ordering::Relaxed);
    text.one("lanyard_audit_failures_total", "counter", "Entries that could not be written to the audit.", failures);
    if let Known::Open(rows) = known {
        text.one("lanyard_database_up", "gauge", "Whether the database answers.", u8::from(rows.is_some()));
    }
    if let Known::Open(Some(rows)) = known {
        text.one("lanyard_organizations", "gauge", "Organizations.", rows.organizations);
        text.one("lanyard_people", "gauge", "People who can sign in.", rows.people);
        text.one("lanyard_credentials", "gauge", "Credentials, of all organizations.", rows.credentials);
        text.one("lanyard_server_key_version", "gauge", "The server's own key in force.", rows.own_key);
        let name = "lanyard_key_rotations_unfinished";
        text.one(name, "gauge", "Keys in force under which not everything rests yet.", rows.unfinished);
        let name = "lanyard_data_keys_under_older";
        text.one(name, "gauge", "Data keys that rest under a key which was replaced.", rows.under_older);
    }
    process::tell(&mut text);
    text.done()
}

fn durations(text: &mut Text) {
    let name = "lanyard_http_request_duration_seconds";
    text.family(name, "histogram", "How long a request took, by route and method.");
    let Ok(known) = DURATIONS.read() else { return };
    for ([route, method], durations) in known.iter() {
        let labels = [("route", *route), ("method", *method)];
        let mut sum = 0;
        for (at, count) in durations.counts.iter().enumerate() {
            sum += count.load(Ordering::Relaxed);
            let bound = BOUNDS.get(at).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            text.line(&format!("{name}_bucket"), &[labels[0], labels[1], ("le", &bound)], sum);
        }
        let took = Duration::from_micros(durations.microseconds.load(Ordering::Relaxed));
        text.line(&format!("{name}_sum"), &labels, took.as_secs_f64());
        text.line(&format!("{name}_count"), &labels, sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_of_a_request_becomes_a_label() {
        assert_eq!(route(Some("/credential-configs/{id}")), "/credential-configs/{id}");
        assert_eq!((route(Some("/LNYCANARY")), route(None)), ("none", "none"));
        assert_eq!(method(&"LNYCANARY".parse().unwrap()), "other");
        answered(Some("/healthz"), &Method::GET, StatusCode::OK, Duration::from_millis(3));
        answered(Some("/healthz"), &Method::GET, StatusCode::OK, Duration::from_mins(1));
        let page = page(&Known::Open(None));
        for line in [
            "lanyard_http_requests_total{route=\"/healthz\",method=\"GET\",status=\"2xx\"} 2\n",
            "lanyard_http_request_duration_seconds_bucket{route=\"/healthz\",method=\"GET\",le=\"0.0025\"} 0\n",
            "lanyard_http_request_duration_seconds_bucket{route=\"/healthz\",method=\"GET\",le=\"0.005\"} 1\n",
            "lanyard_http_request_duration_seconds_bucket{route=\"/healthz\",method=\"GET\",le=\"+Inf\"} 2\n",
            "lanyard_http_request_duration_seconds_sum{route=\"/healthz\",method=\"GET\"} 60.003\n",
            "lanyard_database_up 0\n",
            "lanyard_sealed 0\n",
        ] {
            assert!(page.contains(line), "{line}{page}");
        }
        let sealed = self::page(&Known::Sealed);
        assert!(sealed.contains("lanyard_sealed 1\n") && !sealed.contains("lanyard_database_up"), "{sealed}");
    }
}
