//! Proxies: who is asked by way of one, what the proxy learns, and that its own answers are never the service's.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::canary::{Canary, Sweep};
use crate::idp::Idp;
use crate::scene;
use crate::secure::{Authority, NAMES, SecureIdp};
use crate::stage::Stage;

const ISSUER: &str = "https://id.lanyard.test";
const PASSWORD: &str = "LNYCANARYaabbccddeeff00112233";

/// What the proxy does with a CONNECT.
#[derive(Clone)]
enum Manner {
    /// Connects to this port of 127.0.0.1, whatever the name.
    Honest(u16),
    /// Answers with these bytes and closes.
    Answers(String),
}

/// A proxy on loopback that remembers the head of every request. Stops when dropped.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let (heads, stopped) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(AtomicBool::new(false)));
        let acceptor = std::thread::spawn({
            let (heads, stopped) = (Arc::clone(&heads), Arc::clone(&stopped));
            move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if stopped.load(Ordering::SeqCst) {
                        return;
                    }
                    let (heads, manner) = (Arc::clone(&heads), manner.clone());
                    std::thread::spawn(move || serve(stream, &manner, &heads));
                }
            }
        });
        Self { address, heads, stopped, acceptor: Some(acceptor) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// With a user and the password that must not appear anywhere.
    fn url_with_password(&self) -> String {
        format!("http://porter:{PASSWORD}@{}", self.address)
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert!(self.heads().is_empty(), "the proxy was asked: {:#?}", self.heads());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

fn serve(mut client: TcpStream, manner: &Manner, heads: &Mutex<Vec<String>>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|length| length > 0) {
        head.push(byte[0]);
    }
    heads.lock().unwrap_or_else(PoisonError::into_inner).push(String::from_utf8_lossy(&head).into_owned());
    match manner {
        Manner::Answers(answer) => {
            let _ = client.write_all(answer.as_bytes());
            let _ = client.shutdown(Shutdown::Write);
            // Whatever a client would still say is heard as well.
            let mut rest = Vec::new();
            let _ = client.set_read_timeout(Some(std::time::Duration::from_secs(1)));
            let _ = client.read_to_end(&mut rest);
            if !rest.is_empty() {
                heads.lock().unwrap_or_else(PoisonError::into_inner).push(format!("after the answer: {rest:?}"));
            }
        }
        Manner::Honest(port) => {
            let Ok(server) = TcpStream::connect(("127.0.0.1", *port)) else { return };
            let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
            let (Ok(from), Ok(to)) = (server.try_clone(), client.try_clone()) else { return };
            let back = std::thread::spawn(move || pump(from, to));
            pump(client, server);
            drop(back.join());
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// A provider at a name that no resolver knows, and a stage that trusts its certificate.
fn far_away() -> (Authority, SecureIdp, Stage) {
    let authority = Authority::new();
    let secure = SecureIdp::named(Some(ISSUER), &authority.issue("good", NAMES, None), None);
    let mut stage = secure.stage();
    stage.set("SSL_CERT_FILE", authority.pem());
    (authority, secure, stage)
}

#[test]
fn a_service_behind_a_proxy_works_and_the_proxy_learns_its_name_only() {
    let (_authority, secure, mut stage) = far_away();
    let proxy = Proxy::start(Manner::Honest(secure.tls.port));
    stage.set("HTTPS_PROXY", proxy.url());
    secure.attempt(&stage).ends(0);
    stage.run(&["auth", "status"]).ends(0);
    stage.run(&["auth", "refresh"]).ends(0);
    stage.run(&["api", "GET", "/v1/me"]).ends(0);
    stage.run(&["auth", "logout"]).ends(0);
    let heads = proxy.heads();
    assert!(heads.len() >= 5, "{heads:?}");
    let secrets: Vec<Canary> = secure.idp.secrets().iter().map(|secret| Canary::of(secret)).collect();
    let mut sweep = Sweep::for_canaries(&secrets);
    for head in &heads {
        assert!(head.starts_with("CONNECT id.lanyard.test:443 HTTP/1.1\r\n"), "{head}");
        assert!(!head.to_ascii_lowercase().contains("authorization"), "{head}");
        sweep.bytes("the proxy", head.as_bytes());
    }
    sweep.assert_clean();
}

#[test]
fn the_proxys_own_password_goes_to_the_proxy_alone() {
    let (_authority, secure, mut stage) = far_away();
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = Proxy::start(Manner::Honest(secure.tls.port));
        secure.idp.forget();
        stage.set(variable, proxy.url_with_password());
        secure.attempt(&stage).ends(0);
        stage.unset(variable);
        let heads = proxy.heads();
        assert!(!heads.is_empty(), "{variable}");
        assert!(
            heads.iter().all(|head| head.to_ascii_lowercase().contains("proxy-authorization: basic ")),
            "{heads:?}"
        );
        let requests = secure.idp.requests();
        assert!(!requests.is_empty() && requests.iter().all(|seen| seen.header("proxy-authorization").is_none()));
    }
    let mut sweep = Sweep::for_canaries(&[Canary::of(PASSWORD)]);
    for seen in secure.idp.requests() {
        sweep.bytes("the service", &seen.bytes());
    }
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}

#[test]
fn no_proxy_keeps_a_service_away_from_it() {
    let (_authority, secure, mut stage) = far_away();
    let proxy = Proxy::start(Manner::Honest(secure.tls.port));
    stage.set("HTTPS_PROXY", proxy.url());
    for (variable, value) in
        [("NO_PROXY", "id.lanyard.test"), ("NO_PROXY", "example.com,.lanyard.test"), ("no_proxy", "*")]
    {
        stage.set(variable, value);
        let refused = secure.attempt(&stage).ends(6);
        stage.unset(variable);
        assert!(refused.stderr().contains(&format!("cannot reach {ISSUER}")), "{value}: {refused}");
        assert!(refused.stderr().contains("next: "), "{refused}");
        proxy.assert_untouched();
    }
    secure.assert_unasked();
    stage.set("NO_PROXY", "example.com,yard.test");
    secure.attempt(&stage).ends(0);
}

#[test]
fn loopback_is_never_asked_by_way_of_a_proxy() {
    let proxy = Proxy::start(Manner::Answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".into()));
    let idp = Idp::honest();
    let mut stage = scene::stage_for(&idp);
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        stage.set(variable, proxy.url_with_password());
    }
    stage.set("NO_PROXY", "");
    scene::sign_in(&stage);
    stage.run(&["api", "GET", "/v1/me"]).ends(0);
    stage.run(&["doctor"]);
    proxy.assert_untouched();
    // TLS on loopback stays there as well.
    let authority = Authority::new();
    let secure = SecureIdp::start(&authority.issue("good", NAMES, None));
    let mut stage = secure.stage();
    stage.set("SSL_CERT_FILE", authority.pem()).set("HTTPS_PROXY", proxy.url()).set("ALL_PROXY", proxy.url());
    secure.attempt(&stage).ends(0);
    proxy.assert_untouched();
}

#[test]
fn what_a_proxy_answers_is_never_the_services_answer() {
    let metadata = format!("{{\"issuer\":\"{ISSUER}\",\"token_endpoint\":\"https://evil.test/token\"}}");
    let html = "<html>Sign in to the hotel's network</html>";
    let answer = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answers = [
        answer("407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"LNYCANARYhostile\"", html),
        answer("302 Found\r\nLocation: https://evil.test/.well-known/openid-configuration", ""),
        answer("200 OK\r\nContent-Type: text/html", html),
        answer("200 OK\r\nContent-Type: application/json", &metadata),
        answer("403 Forbidden\r\nContent-Type: application/json", &metadata),
        "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
        String::new(),
    ];
    let (_authority, secure, mut stage) = far_away();
    for answer in answers {
        let proxy = Proxy::start(Manner::Answers(answer.clone()));
        stage.set("HTTPS_PROXY", proxy.url_with_password());
        let refused = secure.attempt(&stage).ends(6);
        assert!(refused.stderr().contains(&format!("cannot reach {ISSUER}")), "{answer}: {refused}");
        assert!(refused.stderr().contains("HTTPS_PROXY"), "{refused}");
        for word in ["evil.test", "hotel", "LNYCANARY", "porter"] {
            assert!(!refused.stderr().contains(word), "{refused}");
        }
        assert!(proxy.heads()[0].starts_with("CONNECT "), "{:?}", proxy.heads());
    }
    secure.assert_unasked();
}

#[test]
fn a_token_stays_at_home_when_the_proxy_turns_bad() {
    let (_authority, secure, mut stage) = far_away();
    let proxy = Proxy::start(Manner::Honest(secure.tls.port));
    stage.set("HTTPS_PROXY", proxy.url());
    secure.attempt(&stage).ends(0);
    drop(proxy);
    let page = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let bad = Proxy::start(Manner::Answers(page.into()));
    stage.set("HTTPS_PROXY", bad.url());
    for command in [&["api", "GET", "/v1/me"][..], &["auth", "refresh"], &["auth", "revoke"]] {
        let outcome = stage.run(command).ends(6);
        assert!(outcome.stdout().is_empty(), "{outcome}");
    }
    let secrets: Vec<Canary> = secure.idp.secrets().iter().map(|secret| Canary::of(secret)).collect();
    let mut sweep = Sweep::for_canaries(&secrets);
    bad.heads().iter().for_each(|head| {
        sweep.bytes("the proxy", head.as_bytes());
    });
    sweep.assert_clean();
    stage.run(&["auth", "status", "--offline"]).ends(0);
}

#[test]
fn the_doctor_shows_the_proxy_without_its_password() {
    let (_authority, secure, mut stage) = far_away();
    let proxy = Proxy::start(Manner::Honest(secure.tls.port));
    stage.set("HTTPS_PROXY", proxy.url_with_password());
    stage.run(&["config", "set", "defaults.storage", "plain"]).ends(0);
    for flags in [&["doctor"][..], &["doctor", "--full"], &["doctor", "--json"], &["-vv", "doctor", "--full"]] {
        let doctor = stage.run(flags).ends(0);
        assert!(doctor.stdout().contains(&format!("HTTPS_PROXY=http://{}", proxy.address)), "{doctor}");
    }
    stage.set("HTTPS_PROXY", format!("http://porter:{PASSWORD}@[::bad"));
    for command in [&["doctor", "--full"][..], &["auth", "login", "--no-browser"]] {
        let outcome = stage.run(command).ends(6);
        assert!(!outcome.stderr().contains("porter"), "{outcome}");
    }
    let mut sweep = Sweep::for_canaries(&[Canary::of(PASSWORD)]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}

#[test]
fn a_proxy_for_plain_http_is_not_asked() {
    let (_authority, secure, mut stage) = far_away();
    let honest = Proxy::start(Manner::Honest(secure.tls.port));
    let stranger = Proxy::start(Manner::Answers(String::new()));
    stage.set("HTTP_PROXY", stranger.url()).set("http_proxy", stranger.url());
    secure.attempt(&stage).ends(6);
    stage.set("HTTPS_PROXY", honest.url());
    secure.attempt(&stage).ends(0);
    // In a CGI program, HTTP_PROXY is the header `Proxy` of a stranger's request. There no proxy is believed.
    let asked = honest.heads().len();
    stage.set("REQUEST_METHOD", "GET");
    secure.attempt(&stage).ends(6);
    assert_eq!(honest.heads().len(), asked);
    stranger.assert_untouched();
}
