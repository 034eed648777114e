//! What is sent to cost more than its length: documents that grow, nest without an end or have more parts than anybody needs,
//! bodies that are packed, and bodies that never end. None of it takes room, and none of it takes long.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::federated::{EXCHANGE, JWT, claims};
use super::served::{Served, token};
use crate::double::{Answer, Double};
use crate::idp::keys::{self, Signing};
use crate::wire::{self, Message};

const JSON: &str = "Content-Type: application/json";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
/// No more room than this is taken by all of it together.
const ROOM: usize = 50 << 10;
/// Nor more of a processor for one of them. An unfinished build needs many times what a finished one does; what grows or
/// nests without an end needs hours.
const WORK: Duration = Duration::from_secs(3);

/// What a process has had of the machine.
pub struct Cost {
    pid: u32,
    before: usize,
}

impl Cost {
    /// Counts from now on.
    pub fn of(served: &Served) -> Self {
        let mut cost = Self { pid: served.pid(), before: 0 };
        // The most that it had so far counts no more (proc_pid_clear_refs(5)).
        std::fs::write(format!("/proc/{}/clear_refs", cost.pid), "5").unwrap();
        cost.before = cost.status("VmHWM:");
        cost
    }

    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().split(' ').next().unwrap().parse().unwrap()
    }

    /// How many kibibytes more it had at a time than at the beginning.
    pub fn room(&self) -> usize {
        self.status("VmHWM:") - self.before
    }

    /// How long it has had a processor, in all.
    pub fn work(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap();
        let numbers = stat.rsplit(')').next().unwrap().split_whitespace();
        let ticks: u64 = numbers.skip(11).take(2).map(|number| number.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }
}

/// The same text so many times.
fn times(text: &str, count: usize) -> String {
    text.repeat(count)
}

fn each(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

/// Documents in JSON: ten thousand, a million or more of something.
fn documents() -> Vec<(&'static str, String)> {
    vec![
        ("lists in lists", times("[", 1_000_000)),
        ("lists in lists that end", times("[", 1_000_000) + &times("]", 1_000_000)),
        ("objects in objects", times("{\"a\":", 700_000)),
        ("a million names", format!("{{{}}}", each(1_000_000, |number| format!("\"k{number}\":0")))),
        ("as many names as fit", format!("{{{}}}", each(330_000, |number| format!("\"k{number}\":0")))),
        ("one name again and again", format!("{{{}}}", each(500_000, |_| "\"k\":0".into()))),
        ("names that are long", format!("{{{}}}", each(60, |number| format!("\"{number}{}\":0", times("k", 65_000))))),
        ("a million items", format!("[{}]", each(1_000_000, |_| "0".into()))),
        ("ten megabytes of a number", times("9", 10 << 20)),
        ("a number as long as fits", format!("{{\"name\":{}}}", times("9", 4_000_000))),
        ("a number with a long end", format!("{{\"name\":1.{}}}", times("0", 4_000_000))),
        ("a number with a long exponent", format!("{{\"name\":1e{}}}", times("9", 4_000_000))),
        ("a long text", format!("{{\"name\":\"{}\"}}", times("a", 4_000_000))),
        ("a text of escapes", format!("{{\"name\":\"{}\"}}", times("\\u0001", 690_000))),
        ("nothing but spaces", times(" ", 4_000_000)),
    ]
}

/// Documents in YAML, as far as somebody may store them: what they stand for, or how they are read, is the trouble.
fn configs() -> Vec<(&'static str, String)> {
    let line = |line: usize| format!("a{line}: &a{line} [{}]\n", format!("*a{},", line - 1).repeat(10));
    let laughs = "a0: &a0 lol\n".to_owned() + &(1..12).map(line).collect::<String>();
    vec![
        ("a billion laughs", laughs.clone() + "users: *a11\n"),
        ("a billion laughs in a merge", laughs + "users: [{<<: *a11}]\n"),
        ("itself in itself", "users: &a [*a]\n".into()),
        ("two in one another", "users: &a [&b [*a, *b]]\n".into()),
        ("a merge of itself", "users: &a {<<: *a}\n".into()),
        ("lists in lists", times("[", 1_000_000)),
        ("lists in lists, as long as is read", "users: ".to_owned() + &times("[", 250_000)),
        ("maps in maps", "users: ".to_owned() + &times("{a: ", 60_000)),
        ("items in items", times("- ", 120_000)),
        ("names in names", times("? ", 120_000)),
        ("a million names", (0..1_000_000).map(|number| format!("k{number}: 0\n")).collect()),
        ("as many names as are read", (0..24_000).map(|number| format!("k{number}: 0\n")).collect()),
        ("a long number", "users: ".to_owned() + &times("9", 250_000)),
        ("a long number of sixty", "users: 1".to_owned() + &times(":59", 80_000)),
        ("anchors", "users: [".to_owned() + &each(20_000, |number| format!("&a{number} 1")) + "]\n"),
        ("documents", times("---\n", 60_000)),
        ("tags", "users: ".to_owned() + &times("!!a ", 60_000)),
        ("indentation", (0..700).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect()),
        ("a text in many lines", "users: |\n".to_owned() + &times(" a\n", 80_000)),
        ("a text that never ends", "users: \"".to_owned() + &times("\\\n", 120_000)),
    ]
}

#[test]
fn a_document_costs_no_more_than_its_length() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    let bearer = format!("Authorization: Bearer {bearer}");
    let address = served.url.strip_prefix("http://").unwrap();
    let post = |path: &str, body: &str| {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}\r\n{JSON}\r\nContent-Length: {length}\r\n\r\n"
        );
        let (_, answer) = sent(address, &head, body.as_bytes().chunks(1 << 16));
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    };
    // What is loaded once is loaded.
    let fine = json!({ "kind": "generic_env", "name": "env", "data": { "A": "1".repeat(1 << 20) } }).to_string();
    assert_eq!(post("/credential-configs", &fine), 201);
    let cost = Cost::of(&served);
    let refused = |what: &str, ask: &dyn Fn() -> u16| {
        let before = cost.work();
        let status = ask();
        let (work, room) = (cost.work().saturating_sub(before), cost.room());
        assert!((400..500).contains(&status), "{what}: {status}");
        assert!(work < WORK, "{what} took {work:?}");
        assert!(room < ROOM, "{what} took {room} KiB");
    };
    for (what, text) in documents() {
        for path in ["/credential-configs", "/workspaces"] {
            refused(what, &|| post(path, &text));
        }
        // The key of a service account is a document within one.
        let named = json!({ "file_name": "key.json", "variable": "GOOGLE_APPLICATION_CREDENTIALS" });
        let content = STANDARD.encode(&text);
        for body in [
            json!({ "kind": "gcp_service_account", "name": "x", "data": { "key_file": text } }),
            json!({ "kind": "file", "name": "x", "fields": named, "data": { "content": content } }),
        ] {
            refused(what, &|| post("/credential-configs", &body.to_string()));
        }
    }
    for (what, text) in configs() {
        let content = STANDARD.encode(&text);
        let named = json!({ "file_name": "config", "variable": "KUBECONFIG" });
        for body in [
            json!({ "kind": "kubeconfig", "name": "x", "data": { "kubeconfig": text } }),
            json!({ "kind": "kubeconfig_gke", "name": "x", "fields": { "source": "y" }, "data": { "kubeconfig": text } }),
            json!({ "kind": "file", "name": "x", "fields": named, "data": { "content": content } }),
        ] {
            refused(what, &|| post("/credential-configs", &body.to_string()));
        }
    }
    // Nor does what somebody shows who is nobody yet.
    for (what, text) in documents() {
        let part = URL_SAFE_NO_PAD.encode(text.get(..70_000).unwrap_or(&text));
        let asked = |assertion: &str| {
            served.sql("DELETE FROM attempts");
            exchange(&served, assertion).status()
        };
        refused(what, &|| asked(&format!("{part}.e30.AA")));
        refused(what, &|| asked(&format!("eyJhbGciOiJSUzI1NiJ9.{part}.AA")));
    }
    let fields = each(20_000, |number| format!("a{number}=b")).replace(',', "&");
    for path in ["/token", "/sign-in", "/device-authorization", "/introspect"] {
        let headers = [FORM, &format!("Origin: {}", served.url)];
        refused("many fields", &|| {
            wire::send("POST", &format!("{}{path}", served.url), &headers, &fields).expect("an answer").status()
        });
    }
}

/// What comes of a job's token.
fn exchange(served: &Served, assertion: &str) -> Message {
    let organization = served.sql("SELECT id FROM organizations").trim().to_owned();
    let fields = [
        ("grant_type", EXCHANGE),
        ("client_id", "lanyard"),
        ("subject_token", assertion),
        ("subject_token_type", JWT),
        ("audience", organization.as_str()),
    ];
    wire::post_form(&format!("{}/token", served.url), &fields).expect("an answer")
}

/// What an issuer answers is read no more patiently.
#[test]
fn a_document_of_somebody_who_is_asked_costs_no_more_either() {
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let bearer = token(&served.manager());
    let all: Vec<(String, String)> =
        documents().into_iter().map(|(what, text)| (what.replace(' ', "-"), text)).collect();
    let known = all.clone();
    let issuer = Double::start(move |seen| {
        let what = seen.path().split('/').nth(1).unwrap_or_default();
        let text = known.iter().find(|(name, _)| name == what).map_or("{}", |(_, text)| text);
        Answer::json(200, text)
    });
    let cost = Cost::of(&served);
    for (nth, (what, _)) in all.iter().enumerate() {
        let own = format!("{}/{what}", issuer.url());
        let rule = json!({
            "name": format!("r{nth}"), "issuer": own, "subject": "a", "permissions": ["credentials.read"],
        });
        let made = served.api("POST", "/trust-rules", &bearer, &rule.to_string());
        assert_eq!(made.status(), 201, "{}", made.text());
        served.sql("DELETE FROM attempts");
        let before = cost.work();
        let claims = claims(&own, &served.url, &json!({ "sub": "a" }));
        let refused = exchange(&served, &keys::sign(&json!({}), &claims, &Signing::Rs256));
        assert!((400..500).contains(&refused.status()), "{what}: {}", refused.text());
        let (work, room) = (cost.work().saturating_sub(before), cost.room());
        assert!(work < WORK && room < ROOM, "{what} took {work:?} and {room} KiB");
    }
    let asked = issuer.requests().len();
    assert!(asked >= all.len(), "{asked}: they were asked");
}

/// Packs a text.
fn packed(text: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_body_that_is_packed_stays_so() {
    let served = Served::new(&[]);
    let bearer = format!("Authorization: Bearer {}", token(&served.manager()));
    let address = served.url.strip_prefix("http://").unwrap();
    let once = packed(&vec![0; 10 << 20]);
    let twice = packed(&once);
    let cost = Cost::of(&served);
    for (encoding, body, expected) in [
        ("gzip", &once, 415),
        ("x-gzip", &once, 415),
        ("deflate", &once, 415),
        ("br", &once, 415),
        ("zstd", &once, 415),
        ("gzip, gzip", &twice, 415),
        ("identity, gzip", &once, 415),
        ("identity\r\nContent-Encoding: gzip", &once, 415),
        // As it is, it is no document and no form.
        ("identity", &once, 400),
        ("identity", &twice, 400),
    ] {
        for path in ["/credential-configs", "/token", "/leaked-tokens"] {
            let kind = if path == "/token" { FORM } else { JSON };
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bearer}\r\n{kind}\r\nContent-Encoding: \
                 {encoding}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let answer = wire::send_raw(address, &[head.as_bytes(), body].concat()).expect("an answer");
            let expected = if expected == 400 && path == "/token" { 422 } else { expected };
            assert_eq!(answer.status(), expected, "{path} {encoding}: {}", answer.text());
        }
    }
    // In the framing itself nothing is packed.
    for coding in ["gzip", "gzip, chunked", "chunked, gzip", "deflate"] {
        let head = format!(
            "POST /token HTTP/1.1\r\nHost: localhost\r\n{FORM}\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"
        );
        assert_eq!(wire::send_raw(address, head.as_bytes()).expect("an answer").status(), 400, "{coding}");
    }
    assert!(cost.room() < ROOM, "{} KiB", cost.room());
}

/// Sends pieces until nobody takes them any more; how many bytes that were, and the first line of the answer.
fn sent<'p>(address: &str, head: &'p str, pieces: impl Iterator<Item = &'p [u8]>) -> (usize, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answers = stream.try_clone().unwrap();
    answers.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // Read meanwhile: what came before a connection is reset is gone otherwise.
    let answer = std::thread::spawn(move || {
        let (mut all, mut part) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = answers.read(&mut part) {
            all.extend(&part[..length]);
        }
        String::from_utf8_lossy(&all).lines().next().unwrap_or_default().to_owned()
    });
    let mut sent = 0;
    for piece in std::iter::once(head.as_bytes()).chain(pieces) {
        if stream.write_all(piece).is_err() {
            break;
        }
        sent += piece.len();
    }
    (sent, answer.join().unwrap())
}

#[test]
fn a_body_without_an_end_is_not_read_to_its_end() {
    const MANY: usize = 1000;
    let served = Served::new(&[]);
    let bearer = format!("Authorization: Bearer {}", token(&served.manager()));
    let address = served.url.strip_prefix("http://").unwrap();
    let chunk = format!("10000\r\n{}\r\n", times(" ", 0x10000));
    let cost = Cost::of(&served);
    for (ask, more, expected) in [
        ("POST /credential-configs", JSON, "413"),
        ("POST /workspaces", JSON, "413"),
        ("POST /token", FORM, "413"),
        ("POST /sign-in", FORM, "4"),
        ("POST /leaked-tokens", JSON, "413"),
        // Who takes no body does not wait for one.
        ("GET /healthz", JSON, "200"),
        ("GET /credential-configs", JSON, "200"),
        ("DELETE /credential-configs/none", JSON, "404"),
        ("POST /nowhere", JSON, "404"),
    ] {
        let spaces = vec![b' '; 1 << 16];
        for (framed, piece) in
            [("Transfer-Encoding: chunked", chunk.as_bytes()), ("Content-Length: 1099511627776", &spaces[..])]
        {
            let head = format!(
                "{ask} HTTP/1.1\r\nHost: localhost\r\n{bearer}\r\nOrigin: {}\r\n{more}\r\n{framed}\r\n\r\n",
                served.url
            );
            // Many times more than anybody reads.
            let (sent, answer) = sent(address, &head, std::iter::repeat_n(piece, MANY));
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{ask} {framed}: {answer:?} after {sent}");
            // What lies between the two is some megabytes as well.
            assert!(sent < 32 << 20, "{ask} {framed}: {sent} bytes were taken");
        }
    }
    assert!(cost.room() < ROOM, "{} KiB", cost.room());
    assert_eq!(wire::get(&format!("{}/readyz", served.url)).unwrap().status(), 200);
}
