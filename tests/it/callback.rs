//! The listener that waits for the browser: what else may come by while it waits, and that it is gone afterwards.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use url::Url;

use crate::idp::Idp;
use crate::scene::{self, begin, eventually, settled};
use crate::stage::{Running, Stage};
use crate::wire::{self, send_raw};

/// A sign-in that waits, with the one answer that it waits for.
struct Waiting {
    running: Running,
    /// The whole callback, with the code.
    callback: String,
    /// `127.0.0.1:PORT`.
    address: String,
    state: String,
}

fn waiting(stage: &Stage) -> Waiting {
    answer_of(begin(stage, &[]))
}

fn answer_of(mut running: Running) -> Waiting {
    let callback = wire::callback_of(&running.url());
    let url = Url::parse(&callback).unwrap();
    let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
    let address = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
    Waiting { running, callback, address, state }
}

impl Waiting {
    fn with_query(&self, query: &str) -> String {
        format!("http://{}/callback?{query}", self.address)
    }

    /// The part of the callback after the host.
    fn target(&self) -> String {
        self.callback.split_once(&self.address).unwrap().1.to_owned()
    }

    fn raw(&self, head: &str) -> u16 {
        send_raw(&self.address, head.as_bytes()).map_or(0, |answer| answer.status())
    }

    fn is_listening(&self) -> bool {
        TcpStream::connect(&self.address).is_ok()
    }
}

/// Who listens on this port, by the kernel's word: the local addresses in hexadecimal.
fn listeners(address: &str) -> Vec<String> {
    let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    rows.filter_map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        let (host, found) = words[1].split_once(':')?;
        (words[3] == "0A" && found == format!("{port:04X}")).then(|| host.to_owned())
    })
    .collect()
}

#[test]
fn strange_requests_do_not_disturb_the_wait() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let waiting = waiting(&stage);
    let Waiting { address, state, .. } = &waiting;
    let get = |query: &str| wire::get(&waiting.with_query(query)).map_or(0, |answer| answer.status());

    let other = "A".repeat(43);
    for query in [
        format!("code=x&state={other}"),
        "code=x".into(),
        "code=x&state=".into(),
        format!("state={state}&state={state}&code=x"),
        format!("state={state}&iss={}", idp.issuer()),
        format!("code=x&state={state}x"),
        format!("code=x&state={}", state.to_lowercase()),
        format!("error=access_denied&state={other}"),
        "error=access_denied".into(),
        format!("code=x&code=y&state={state}&iss={}", idp.issuer()),
        String::new(),
    ] {
        assert_eq!(get(&query), 400, "{query}");
    }

    let target = waiting.target();
    let host = format!("Host: {address}\r\n");
    for (head, status) in [
        (format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421),
        (format!("GET {target} HTTP/1.1\r\nHost: localhost{}\r\n\r\n", &address[9..]), 421),
        (format!("GET {target} HTTP/1.1\r\n\r\n"), 421),
        (format!("GET {target} HTTP/1.1\r\n{host}Host: evil.example\r\n\r\n"), 421),
        (format!("POST {target} HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("HEAD {target} HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("OPTIONS {target} HTTP/1.1\r\n{host}Access-Control-Request-Private-Network: true\r\n\r\n"), 405),
        (format!("GET / HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET /{target} HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET /callback/..{target} HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET /%63allback{} HTTP/1.1\r\n{host}\r\n", &target[9..]), 404),
        (format!("GET http://{address}{target} HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("GET {target} HTTP/1.1\r\n{host}Sec-Fetch-Mode: no-cors\r\n\r\n"), 403),
        (format!("GET {target} HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"), 413),
        (format!("GET {target} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 413),
    ] {
        assert_eq!(waiting.raw(&head), status, "{head}");
    }
    assert!(idp.requests_to("/token").is_empty(), "none of them was taken for the answer");

    assert_eq!(wire::browse(&waiting.callback).answer.unwrap().status(), 200);
    waiting.running.finish().ends(0);
}

#[test]
fn slow_and_oversized_requests_do_not_keep_the_answer_out() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let waiting = waiting(&stage);
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", waiting.running.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let before = memory();
    let host = format!("Host: {}\r\n", waiting.address);

    let long = format!("GET {} HTTP/1.1\r\n{host}X: {}\r\n\r\n", waiting.target(), "x".repeat(20 << 10));
    assert!(matches!(waiting.raw(&long), 431 | 0));
    // 20 MB in one header: the connection may be cut at any point.
    let mut endless = TcpStream::connect(&waiting.address).unwrap();
    let block = vec![b'x'; 1 << 16];
    let _ = endless.write_all(b"GET /callback HTTP/1.1\r\nX: ");
    assert!((0..320).any(|_| endless.write_all(&block).is_err()), "all of it was taken");
    for length in ["9000000000000000000", "99999999999999999999999", "-1"] {
        let head = format!("GET {} HTTP/1.1\r\n{host}Content-Length: {length}\r\n\r\n", waiting.target());
        assert!(matches!(waiting.raw(&head), 400 | 413), "{length}");
    }

    // Half a request, then thirty that say nothing.
    let mut idle = vec![TcpStream::connect(&waiting.address).unwrap()];
    idle[0].write_all(format!("GET {} HTTP/1.1\r\nHost", waiting.target()).as_bytes()).unwrap();
    idle.extend((0..30).map(|_| TcpStream::connect(&waiting.address).unwrap()));
    assert!(memory() < before + (20 << 10), "{before} KiB grew to {} KiB", memory());

    let started = Instant::now();
    assert_eq!(wire::browse(&waiting.callback).answer.unwrap().status(), 200);
    waiting.running.finish().ends(0);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    drop(idle);
}

#[test]
fn a_second_true_answer_is_refused_and_the_code_is_redeemed_once() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    // The exchange takes a while, so that the second answer meets a listener that is still there.
    idp.change(|behaviour| {
        behaviour.fault("/token", crate::idp::Fault::Late(Duration::from_millis(800)));
    });
    let waiting = waiting(&stage);
    assert_eq!(wire::get(&waiting.callback).unwrap().status(), 303);
    for _ in 0..3 {
        let second = wire::get(&waiting.callback).map_or(0, |answer| answer.status());
        assert!(matches!(second, 0 | 400), "{second}");
    }
    waiting.running.finish().ends(0);
    assert_eq!(idp.requests_to("/token").len(), 1);
}

#[test]
fn a_code_that_was_used_before_signs_nobody_in() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    scene::sign_in(&stage);
    let before = settled(&stage);
    let used = idp.secrets().into_iter().find(|secret| secret.starts_with("code-")).unwrap();
    idp.change(|behaviour| {
        behaviour.bend(move |fields| {
            fields.iter_mut().filter(|(name, _)| name == "code").for_each(|(_, code)| code.clone_from(&used));
        });
    });
    let outcome = scene::attempt(&stage, &[]).ends(4);
    assert!(outcome.stderr().contains("the code could not be exchanged"), "{outcome}");
    assert_eq!(settled(&stage), before);
}

#[test]
fn only_loopback_is_listened_on_and_only_while_it_is_needed() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let before = settled(&stage);
    let gone = |waiting: &Waiting, after: &str| {
        eventually(&format!("the listener is gone after {after}"), Duration::from_secs(2), || {
            listeners(&waiting.address).is_empty() && !waiting.is_listening()
        });
    };

    for signal in ["INT", "TERM", "HUP"] {
        let mut interrupted = waiting(&stage);
        assert_eq!(listeners(&interrupted.address), ["0100007F"], "127.0.0.1 and nothing else");
        interrupted.running.signal(signal);
        gone(&interrupted, signal);
        eventually("the process ends", Duration::from_secs(3), || !interrupted.running.is_alive());
        assert_eq!(settled(&stage), before, "{signal}");
    }

    idp.change(|behaviour| behaviour.refusal = Some(("access_denied".into(), "not today".into())));
    let mut denied = waiting(&stage);
    assert_eq!(wire::browse(&denied.callback).answer.unwrap().status(), 200);
    eventually("a denied sign-in ends", Duration::from_secs(5), || !denied.running.is_alive());
    gone(&denied, "a denial");
    denied.running.finish().ends(5);
    assert_eq!(settled(&stage), before);
    idp.change(|behaviour| behaviour.refusal = None);

    let late = answer_of(stage.start(&["auth", "login", "--no-browser", "--timeout", "1"]));
    gone(&late, "the time-out");
    late.running.finish().ends(4);
    assert_eq!(settled(&stage), before);

    let mut signed_in = waiting(&stage);
    wire::browse(&signed_in.callback);
    eventually("a sign-in ends", Duration::from_secs(10), || !signed_in.running.is_alive());
    gone(&signed_in, "success");
    signed_in.running.finish().ends(0);
}

#[test]
fn a_taken_port_fails_before_any_address_is_printed() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let outcome = stage.run(&["auth", "login", "--no-browser", "--port", &port]).ends(1);
    assert!(outcome.stderr().contains(&format!("port {port} on 127.0.0.1 cannot be opened")), "{outcome}");
    assert!(!outcome.stderr().contains("/authorize"), "{outcome}");

    // A service that demands the name needs both addresses, so that nobody can sit on the other one.
    let Ok(taken) = TcpListener::bind("[::1]:0") else { return };
    let port = taken.local_addr().unwrap().port().to_string();
    stage.write_config(&stage.config().replace("client_id =", "redirect_host = \"localhost\"\nclient_id ="));
    let outcome = stage.run(&["auth", "login", "--no-browser", "--port", &port]).ends(1);
    assert!(outcome.stderr().contains("on [::1] cannot be opened"), "{outcome}");
    assert!(!outcome.stderr().contains("/authorize"), "{outcome}");
    drop(taken);
    let both = waiting(&stage);
    let mut found = listeners(&both.address);
    found.sort();
    assert_eq!(found, ["00000000000000000000000001000000", "0100007F"]);
    wire::browse(&both.callback);
    both.running.finish().ends(0);
}

#[test]
fn the_page_repeats_nothing_and_the_terminal_shows_it_clean() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    let hostile = "<img src=x onerror=alert(1)>\u{1b}]52;c;Y2F0\u{7}\u{1b}[2J\u{202e}\u{9b}31m paste your token";
    idp.change(|behaviour| behaviour.refusal = Some(("server_error".into(), hostile.into())));
    let waiting = waiting(&stage);
    let visit = wire::browse(&waiting.callback);
    let page = visit.answer.unwrap();
    assert!(!visit.visited.last().unwrap().contains('?'), "the address bar is clean");
    for word in ["<img", "onerror", "paste", "server_error", "52;c"] {
        assert!(!page.text().contains(word), "{}", page.text());
    }
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
        assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
    }
    let outcome = waiting.running.finish();
    assert_ne!(outcome.code, Some(0));
    let shown = outcome.stderr();
    assert!(shown.contains("paste your token"), "the service's words are quoted: {shown}");
    assert!(!shown.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
}

#[test]
fn the_browser_always_gets_the_whole_page() {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    for _ in 0..15 {
        let waiting = waiting(&stage);
        let page = wire::browse(&waiting.callback).answer.unwrap();
        assert!(page.text().trim_end().ends_with("</html>"), "{}", page.text());
        waiting.running.finish().ends(0);
    }
}
