//! Where a running server goes when its users name addresses: not to this machine, not to what clouds tell theirs, and
//! nowhere for long.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::served::{Served, token};
use crate::wire;

/// Somebody who listens, answers each who comes in one way, and counts them.
pub struct Listener {
    pub port: u16,
    seen: Arc<AtomicUsize>,
}

impl Listener {
    pub fn on(listener: TcpListener, answer: impl Fn(TcpStream, &str) + Send + 'static) -> Self {
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&seen);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let mut head = [0; 4096];
                let length = stream.read(&mut head).unwrap_or_default();
                answer(stream, &String::from_utf8_lossy(&head[..length]));
            }
        });
        Self { port, seen }
    }

    pub fn count(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

/// The owner's bearer token, good for everything.
fn bearer(served: &Served) -> String {
    token(&served.manager())
}

/// Makes a registry at an address and asks it; what came of it.
fn synced(served: &Served, bearer: &str, name: &str, url: &str) -> Option<Value> {
    let body = json!({ "name": name, "kind": "helm-http", "url": url }).to_string();
    let made = served.api("POST", "/registries", bearer, &body);
    if made.status() == 422 {
        return None;
    }
    assert_eq!(made.status(), 201, "{url}: {}", made.text());
    let path = format!("/registries/{}/sync", made.json()["id"].as_str().unwrap());
    let told = served.api("POST", &path, bearer, "");
    assert_eq!(told.status(), 200, "{url}: {}", told.text());
    Some(told.json())
}

/// A listener on each of the machine's own addresses, at a port that the server does ask at elsewhere.
fn at_a_port_that_is_asked() -> Vec<Listener> {
    for port in [8443, 6443, 5000, 443] {
        let all: Vec<_> = ["127.0.0.1", "::1"].iter().filter_map(|ip| TcpListener::bind((*ip, port)).ok()).collect();
        if !all.is_empty() {
            return all.into_iter().map(|listener| Listener::on(listener, |_, _| {})).collect();
        }
    }
    panic!("none of the ports is free");
}

#[test]
fn this_machine_is_not_asked_however_it_is_written() {
    let served = Served::new(&[]);
    let bearer = bearer(&served);
    let listeners = at_a_port_that_is_asked();
    let port = listeners[0].port;
    for (number, host) in [
        "127.0.0.1",
        "127.1",
        "127.0.0.2",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "0.0.0.0",
        "0",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::ffff:0:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:0:0:0:0:80ff:fffe]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "168.63.129.16",
        "100.100.100.200",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fc00::1]",
        "0x7f.1",
        "①②⑦.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "good@169.254.169.254",
        "8.8.8.8@127.0.0.1",
        "[::ffff:169.254.169.254]",
    ]
    .into_iter()
    .enumerate()
    {
        let started = Instant::now();
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}:{port}/charts");
            let told = synced(&served, &bearer, &format!("r{number}-{scheme}"), &url);
            let outcome = told.as_ref().map_or("refused at once", |told| told["outcome"].as_str().unwrap());
            assert!(["unreachable", "refused at once"].contains(&outcome), "{url}: {told:?}");
        }
        assert!(started.elapsed() < Duration::from_secs(8), "{host} was tried");
    }
    // The same by every other way to have the server ask.
    let kubeconfig = |server: &str, more: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: \"{server}\"{more}}}}}]\n\
             contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{token: x}}}}]\n"
        )
    };
    let here = format!("https://127.0.0.1:{port}");
    for (name, body) in [
        (
            "registry",
            json!({ "kind": "registry", "fields": { "url": here, "username": "a" }, "data": { "password": "x" } }),
        ),
        (
            "kubeconfig",
            json!({ "kind": "kubeconfig", "fields": { "server": "https://8.8.8.8" }, "data": { "kubeconfig": kubeconfig(&here, "") } }),
        ),
        (
            "api-key",
            json!({ "kind": "hetzner_api_token", "fields": { "endpoint": here }, "data": { "token": "a".repeat(64) } }),
        ),
        ("gitlab", json!({ "kind": "git", "fields": { "url": here, "username": "a" }, "data": { "token": "x" } })),
    ] {
        let mut body = body;
        body["name"] = json!(name);
        let made = served.api("POST", "/credential-configs", &bearer, &body.to_string());
        if made.status() != 201 {
            assert_eq!(made.status(), 422, "{name}: {}", made.text());
            continue;
        }
        let told = served.api("POST", &format!("{}/verify", made.header("location").unwrap()), &bearer, "");
        assert_ne!(told.json()["valid"], json!(true), "{name}: {}", told.text());
        assert!(!told.text().contains(&port.to_string()), "{name}: {}", told.text());
    }
    let rule = json!({
        "name": "n", "issuer": here, "subject": "a", "permissions": ["credentials.read"], "audience": "https://x",
    });
    assert!(served.api("POST", "/trust-rules", &bearer, &rule.to_string()).status() < 500);
    for listener in &listeners {
        assert_eq!(listener.count(), 0, "somebody came");
    }
    assert_eq!(wire::get(&format!("{}/healthz", served.url)).unwrap().status(), 200);
}

/// A name for the certificate in a kubeconfig is no way past the address that was looked at.
#[test]
fn a_name_in_a_kubeconfig_leads_nowhere() {
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let bearer = bearer(&served);
    let named = Listener::on(TcpListener::bind("127.0.0.9:0").unwrap(), |_, _| {});
    let port = named.port;
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: a\n  cluster:\n    server: \
         https://127.0.0.1:{port}\n    tls-server-name: 127.0.0.9\ncontexts:\n- name: a\n  context: {{cluster: a, user: \
         a}}\nusers:\n- name: a\n  user: {{token: LNYCANARY}}\n"
    );
    let body = json!({ "name": "k", "kind": "kubeconfig", "data": { "kubeconfig": text } }).to_string();
    let made = served.api("POST", "/credential-configs", &bearer, &body);
    assert_eq!(made.status(), 201, "{}", made.text());
    let told = served.api("POST", &format!("{}/verify", made.header("location").unwrap()), &bearer, "");
    assert_eq!((told.status(), &told.json()["valid"]), (200, &json!(false)), "{}", told.text());
    assert_eq!(named.count(), 0);
}

/// Answers that never end, answers that are small and become large, and answers that lead elsewhere.
#[test]
fn whatever_answers_takes_neither_time_nor_room() {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let bearer = bearer(&served);
    let target = Listener::on(TcpListener::bind("127.0.0.1:0").unwrap(), |mut stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nentries: {}");
    });
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![b' '; 512 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    let to = target.port;
    let odd = Listener::on(TcpListener::bind("127.0.0.1:0").unwrap(), move |mut stream, head| {
        let packed = packed.clone();
        let path = head.split(' ').nth(1).unwrap_or_default().split('/').nth(1).unwrap_or_default().to_owned();
        std::thread::spawn(move || {
            let begin =
                |stream: &mut TcpStream, more: &str| stream.write_all(format!("HTTP/1.1 200 OK\r\n{more}").as_bytes());
            let _ = match path.as_str() {
                "bomb" => {
                    begin(&mut stream, &format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", packed.len()))
                        .and_then(|()| stream.write_all(&packed))
                }
                "quiet-bomb" => begin(&mut stream, &format!("Content-Length: {}\r\n\r\n", packed.len()))
                    .and_then(|()| stream.write_all(&packed)),
                "headers" => begin(&mut stream, "").and_then(|()| {
                    loop {
                        stream.write_all(&b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzz\r\n".repeat(200))?;
                    }
                }),
                "body" => begin(&mut stream, "\r\nentries:\n").and_then(|()| {
                    loop {
                        stream.write_all(&b"# xxxxxxxxxxxxxxxxxxxxxxxxxxx\n".repeat(2000))?;
                    }
                }),
                "slow" => begin(&mut stream, "Content-Length: 1000000\r\n\r\n").and_then(|()| {
                    loop {
                        std::thread::sleep(Duration::from_millis(300));
                        stream.write_all(b"x")?;
                    }
                }),
                "metadata" => stream.write_all(
                    b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n",
                ),
                "elsewhere" => stream.write_all(
                    format!(
                        "HTTP/1.1 307 Gone\r\nLocation: http://127.0.0.1:{to}/index.yaml\r\nContent-Length: 0\r\n\r\n"
                    )
                    .as_bytes(),
                ),
                _ => Ok(()),
            };
        });
    });
    for (path, outcome) in [
        ("bomb", "unexpected"),
        ("quiet-bomb", "unexpected"),
        ("headers", "unreachable"),
        ("body", "too_large"),
        ("slow", "unreachable"),
        ("metadata", "unexpected"),
        ("elsewhere", "unexpected"),
        ("closed", "unreachable"),
    ] {
        let started = Instant::now();
        let told = synced(&served, &bearer, path, &format!("http://127.0.0.1:{}/{path}", odd.port)).unwrap();
        assert_eq!(told["outcome"], outcome, "{path}: {told}");
        assert!(started.elapsed() < Duration::from_secs(25), "{path} took {:?}", started.elapsed());
        let text = told.to_string();
        assert!(!text.contains("169.254") && !text.contains(&to.to_string()), "{text}");
    }
    assert_eq!(target.count(), 0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().split(' ').next().unwrap();
    assert!(peak.parse::<usize>().unwrap() < 300_000, "{peak} kB at most");
}

/// Whatever stands at an address that somebody named: they learn which of a few things it is, and not a word of it.
#[test]
fn not_a_word_is_told_of_what_stands_at_an_address() {
    const WORD: &str = "LNYCANARYbanner";
    let page = |status: &str, more: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nServer: {WORD}\r\nSet-Cookie: a={WORD}\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let said = json!({
        "message": WORD, "detail": WORD, "title": WORD, "description": WORD, "error_description": WORD,
        "errors": [{ "message": WORD, "detail": WORD }],
    });
    let (html, said) = (format!("<html><title>{WORD}</title>{WORD}</html>"), said.to_string());
    let json = "Content-Type: application/json\r\n";
    let answers = vec![
        format!("SSH-2.0-{WORD}\r\n"),
        format!("220 {WORD} ESMTP\r\n"),
        format!("-ERR unknown command {WORD}\r\n"),
        page(&format!("200 {WORD}"), "Content-Type: text/html\r\n", &html),
        page("200 OK", json, &said),
        page("201 Created", json, &said),
        page("400 Bad Request", json, &said),
        page("401 Unauthorized", &format!("WWW-Authenticate: Basic realm=\"{WORD}\"\r\n{json}"), &said),
        page("403 Forbidden", json, &said),
        page("404 Not Found", "Content-Type: text/html\r\n", &html),
        page("429 Too Many Requests", json, &said),
        page(&format!("500 {WORD}"), json, &said),
        page("302 Found", &format!("Location: http://127.0.0.1/{WORD}\r\n"), ""),
        page(&format!("799 {WORD}"), json, &said),
    ];
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let bearer = bearer(&served);
    let (turn, all) = (Arc::new(AtomicUsize::new(0)), answers.clone());
    let now = Arc::clone(&turn);
    let listener = Listener::on(TcpListener::bind("127.0.0.1:0").unwrap(), move |mut stream, _| {
        let _ = stream.write_all(all[now.load(Ordering::SeqCst)].as_bytes());
    });
    let here = format!("http://127.0.0.1:{}", listener.port);
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: \"{here}\"}}}}]\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{token: x}}}}]\n"
    );
    let mut asked = Vec::new();
    for (name, fields, data) in [
        ("registry", json!({ "url": here, "username": "a" }), json!({ "password": "x" })),
        ("kubeconfig", json!({}), json!({ "kubeconfig": kubeconfig })),
        ("hetzner_api_token", json!({ "endpoint": here }), json!({ "token": "a".repeat(64) })),
        ("cloudflare_api_token", json!({ "endpoint": here }), json!({ "token": "a".repeat(40) })),
        ("vercel_api_token", json!({ "endpoint": here }), json!({ "token": "a".repeat(24) })),
        ("api_key", json!({ "service": "github", "endpoint": here }), json!({ "api_key": "a".repeat(40) })),
        ("api_key", json!({ "service": "openai", "endpoint": here }), json!({ "api_key": "a".repeat(40) })),
        ("git", json!({ "url": here, "username": "a" }), json!({ "token": "x" })),
    ] {
        let title = format!("{name}-{}", asked.len());
        let body = json!({ "name": title, "kind": name, "fields": fields, "data": data }).to_string();
        let made = served.api("POST", "/credential-configs", &bearer, &body);
        if made.status() == 201 {
            asked.push(format!("{}/verify", made.header("location").unwrap()));
        } else {
            assert_eq!(made.status(), 422, "{name}: {}", made.text());
        }
    }
    assert!(asked.len() >= 3, "{asked:?}");
    for kind in ["helm-http", "oci"] {
        let body = json!({ "name": kind, "kind": kind, "url": here }).to_string();
        let made = served.api("POST", "/registries", &bearer, &body);
        assert_eq!(made.status(), 201, "{}", made.text());
        asked.push(format!("/registries/{}/sync", made.json()["id"].as_str().unwrap()));
    }
    let few = [
        "valid",
        "insufficient",
        "invalid",
        "expired",
        "rate_limited",
        "unreachable",
        "unexpected",
        "refused",
        "synced",
        "cannot-be-asked",
    ];
    for (number, answer) in answers.iter().enumerate() {
        turn.store(number, Ordering::SeqCst);
        for path in &asked {
            let told = served.api("POST", path, &bearer, "");
            assert!(told.status() < 500 && !told.text().contains(WORD), "{path} {answer}: {}", told.text());
            // Whether somebody can be asked about it is a matter of what it is.
            let outcome = told.json()["outcome"].clone();
            let word = outcome.as_str().unwrap_or("cannot-be-asked");
            assert!(few.contains(&word), "{path} {answer}: {}", told.text());
        }
    }
    assert!(listener.count() > answers.len() * 4, "{}", listener.count());
    for list in ["/credential-configs", "/registries", "/audit?limit=200"] {
        assert!(!served.api("GET", list, &bearer, "").text().contains(WORD), "{list}");
    }
    assert!(!served.entries().iter().any(|entry| entry.to_string().contains(WORD)));
}
