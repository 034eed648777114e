//! A fake identity provider on loopback: honest by default, with a switch for every bad behaviour, and a memory of
//! every request it got.
//!
//! It stands beside the real servers in `tests/peers`, which prove that this one and lanyard do not share one
//! misunderstanding.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::Value;

mod behaviour;
mod connection;
pub mod keys;
mod pages;
mod tests;
mod tokens;

pub use behaviour::{Behaviour, Fault, Plan, Poll, Reuse};
pub use keys::Signing;

use crate::wire::{Message, field, fields};
use pages::Page;
use tokens::{Desk, Ledger};

/// A running provider. Stops when dropped.
pub struct Idp {
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    issuer: String,
    address: SocketAddr,
    behaviour: Mutex<Behaviour>,
    ledger: Mutex<Ledger>,
    requests: Mutex<Vec<Seen>>,
    stopped: AtomicBool,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Seen {
    fn of(message: Message) -> Self {
        let mut words = message.first_line.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: message.headers,
            body: message.body,
            at: Instant::now(),
        }
    }

    /// The body's form fields.
    pub fn fields(&self) -> Vec<(String, String)> {
        fields(&self.body)
    }

    /// One form field of the body.
    pub fn field(&self, name: &str) -> Option<String> {
        field(&self.fields(), name).map(str::to_owned)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The token of the Authorization header.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Everything that arrived, as one blob to search.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {}?{}\n", self.method, self.path, self.query).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\n").bytes());
        }
        bytes.extend(&self.body);
        bytes
    }
}

impl Idp {
    /// A provider on 127.0.0.1.
    pub fn start(behaviour: Behaviour) -> Self {
        Self::start_on("127.0.0.1", behaviour)
    }

    /// An honest provider on 127.0.0.1.
    pub fn honest() -> Self {
        Self::start(Behaviour::default())
    }

    /// A provider on another loopback address.
    pub fn start_on(host: &str, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            issuer: format!("http://{address}"),
            address,
            behaviour: Mutex::new(behaviour),
            ledger: Mutex::default(),
            requests: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { shared, acceptor: Some(acceptor) }
    }

    /// The issuer's identifier, which is also the base of every address.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// The address of an endpoint.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.shared.issuer)
    }

    /// Changes the behaviour while it runs.
    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.shared.behaviour));
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.shared.requests).clone()
    }

    /// The requests to one path.
    pub fn requests_to(&self, path: &str) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| seen.path == path).collect()
    }

    /// The token requests with this grant type.
    pub fn grants(&self, grant_type: &str) -> Vec<Seen> {
        let tokens = self.requests_to("/token").into_iter();
        tokens.filter(|seen| seen.field("grant_type").as_deref() == Some(grant_type)).collect()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.shared.requests).clear();
    }

    /// Every secret that this provider has handed out: codes, device codes and tokens.
    pub fn secrets(&self) -> Vec<String> {
        let ledger = lock(&self.shared.ledger);
        let names = ledger.codes.keys().chain(ledger.access.keys()).chain(ledger.refresh.keys());
        names.chain(ledger.devices.keys()).chain(&ledger.id_tokens).cloned().collect()
    }

    /// Whether an access token is accepted now.
    pub fn accepts(&self, access_token: &str) -> bool {
        let ahead = lock(&self.shared.behaviour).clock_ahead;
        lock(&self.shared.ledger).is_live(access_token, now(ahead))
    }

    /// Whether a refresh token would be taken.
    pub fn would_refresh(&self, refresh_token: &str) -> bool {
        lock(&self.shared.ledger).is_fresh(refresh_token)
    }

    /// How many refresh tokens could be used now.
    pub fn live_refresh_tokens(&self) -> usize {
        let ledger = lock(&self.shared.ledger);
        ledger.refresh.keys().filter(|token| ledger.is_fresh(token)).count()
    }

    /// How often a refresh token came back after it had been replaced.
    pub fn reuses(&self) -> usize {
        lock(&self.shared.ledger).reuses
    }

    /// Makes every access token expire now.
    pub fn expire_access_tokens(&self) {
        lock(&self.shared.ledger).access.values_mut().for_each(|access| access.expires_at = 0);
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The acceptor sleeps in `accept`; one connection wakes it.
        drop(TcpStream::connect(self.shared.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = Arc::clone(shared);
        std::thread::spawn(move || connection::serve(&stream, &shared));
    }
}

/// What an endpoint answers.
pub enum Reply {
    /// Status, extra header lines, content type, body.
    Page { status: u16, headers: Vec<String>, kind: &'static str, body: String },
    /// JSON that the behaviour may still change.
    Json { status: u16, headers: Vec<String>, value: Value },
    /// The connection closes without an answer.
    Closes,
}

impl Reply {
    fn json(status: u16, value: Value) -> Self {
        Self::Json { status, headers: Vec::new(), value }
    }

    fn text(status: u16, body: &str) -> Self {
        Self::Page { status, headers: Vec::new(), kind: "text/plain", body: body.to_owned() }
    }

    fn redirect(status: u16, target: &str) -> Self {
        Self::text(status, "").with_header(&format!("Location: {target}"))
    }

    fn with_header(mut self, line: &str) -> Self {
        if let Self::Page { headers, .. } | Self::Json { headers, .. } = &mut self {
            headers.push(line.to_owned());
        }
        self
    }
}

impl Shared {
    /// Carries a request out. GitHub's and GitLab's paths are other names of the same endpoints.
    fn answer(&self, seen: &Seen) -> Reply {
        let mut behaviour = lock(&self.behaviour);
        let mut ledger = lock(&self.ledger);
        let now = now(behaviour.clock_ahead);
        let known = known_path(&seen.path);
        let client = client_of(seen);
        let secret = behaviour.client_secret.clone();
        if matches!(known, "/token" | "/device_authorization" | "/par" | "/revoke" | "/introspect")
            && secret.is_some()
            && client.as_ref().map(|(_, given)| given) != Some(&secret)
        {
            return Reply::json(401, serde_json::json!({ "error": "invalid_client" }));
        }
        let client_id = client.map(|(id, _)| id).unwrap_or_default();
        if known == "/token" {
            let mut desk = Desk { issuer: &self.issuer, behaviour: &mut behaviour, ledger: &mut ledger, now };
            return desk.token(&seen.fields(), &client_id);
        }
        let mut page = Page { issuer: &self.issuer, behaviour: &behaviour, ledger: &mut ledger, seen, now };
        match known {
            "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" => page.metadata(),
            "/authorize" => page.authorize(),
            "/par" => page.push(),
            "/device_authorization" => page.device(&client_id),
            "/device" => Reply::text(200, "Enter the code."),
            "/revoke" => page.revoke(),
            "/introspect" => page.introspect(),
            "/userinfo" => page.userinfo(),
            "/jwks" => page.jwks(),
            "/v1/me" => page.me(),
            "/v1/projects" => page.projects(),
            "/user" => page.github_user(),
            "/api/v4/user" => page.gitlab_user(),
            path if path.starts_with("/v1/") => page.echo(),
            _ => Reply::text(404, "no such page"),
        }
    }
}

/// The endpoint behind a path.
fn known_path(path: &str) -> &str {
    let aliases = HashMap::from([
        ("/login/oauth/authorize", "/authorize"),
        ("/login/oauth/access_token", "/token"),
        ("/login/device/code", "/device_authorization"),
        ("/oauth/authorize", "/authorize"),
        ("/oauth/token", "/token"),
        ("/oauth/authorize_device", "/device_authorization"),
        ("/oauth/revoke", "/revoke"),
        ("/oauth/introspect", "/introspect"),
        ("/oauth/userinfo", "/userinfo"),
        ("/oauth/discovery/keys", "/jwks"),
    ]);
    aliases.get(path).copied().unwrap_or(path)
}

/// Who the client says it is, by HTTP Basic or by form fields, and its secret.
fn client_of(seen: &Seen) -> Option<(String, Option<String>)> {
    if let Some(basic) = seen.header("authorization").and_then(|value| value.strip_prefix("Basic ")) {
        let pair = base64::engine::general_purpose::STANDARD.decode(basic).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (id, secret) = pair.split_once(':')?;
        let decode = |part: &str| fields(format!("v={part}").as_bytes()).remove(0).1;
        return Some((decode(id), Some(decode(secret))));
    }
    Some((seen.field("client_id")?, seen.field("client_secret")))
}

/// A value that nobody guesses, with a mark that the canary sweep finds.
pub fn random(kind: &str) -> String {
    format!("{kind}-{}", crate::canary::Canary::new().text())
}

fn now(ahead: i64) -> i64 {
    chrono::Utc::now().timestamp() + ahead
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps in short steps, and not at all once the provider stops.
fn pause(shared: &Shared, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end && !shared.stopped.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(20).min(time));
    }
}
