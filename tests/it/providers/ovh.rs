//! OVHcloud: signed requests, against a double that computes each signature anew.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::json;

use super::clouds::{assert_cases, assert_unseen, secret, store, tested};
use crate::double::{Answer, Double, Seen};
use crate::terminal::Terminal;
use crate::vaulted::{self, list};

fn current(status: &str) -> String {
    json!({"credentialId": 1234, "applicationId": 42, "status": status, "creation": "2023-10-01T10:00:00+02:00",
        "expiration": "2126-12-01T10:00:00+01:00", "lastUse": null, "allowedIPs": null, "ovhSupport": false,
        "rules": [{"method": "GET", "path": "/cloud/*"}]})
    .to_string()
}

fn refused(status: u16, code: &str) -> String {
    json!({"message": "no", "httpCode": format!("{status} Status"), "errorCode": code}).to_string()
}

#[test]
fn each_answer_comes_to_its_outcome() {
    let cases = vec![
        (200, current("validated"), "valid", None),
        (200, current("expired"), "expired", Some("expired")),
        (200, current("refused"), "invalid", Some("refused")),
        (200, current("pendingValidation"), "invalid", Some("pendingValidation")),
        (403, refused(403, "INVALID_KEY"), "invalid", Some("INVALID_KEY")),
        (403, refused(403, "INVALID_CREDENTIAL"), "invalid", Some("INVALID_CREDENTIAL")),
        (403, refused(403, "NOT_CREDENTIAL"), "invalid", Some("NOT_CREDENTIAL")),
        (403, refused(403, "NOT_GRANTED_CALL"), "insufficient", Some("NOT_GRANTED_CALL")),
        (403, refused(403, "FORBIDDEN"), "insufficient", Some("FORBIDDEN")),
        (400, refused(400, "INVALID_SIGNATURE"), "invalid", Some("INVALID_SIGNATURE")),
        (400, refused(400, "QUERY_TIME_OUT"), "unreachable", Some("QUERY_TIME_OUT")),
        (429, refused(429, "X"), "rate_limited", None),
        (500, refused(500, "X"), "unreachable", None),
        (200, "{}".into(), "unexpected", None),
    ];
    let (application, consumer) = (format!("secret:{}", secret("", 32)), format!("secret:{}", secret("", 32)));
    let flags = ["--application-key", "AK", "--application-secret", &application, "--consumer-key", &consumer];
    assert_cases("ovh", &flags, cases, |status, body| {
        move |seen: &Seen| match seen.target.as_str() {
            "/auth/time" => Answer::json(200, "1700000000"),
            _ => Answer::json(status, &body),
        }
    });
}

/// The digest as coreutils compute it.
fn sha1(text: &str) -> String {
    let mut child =
        Command::new("sha1sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("coreutils are installed");
    child.stdin.take().expect("stdin is a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

/// The keys that a double knows.
#[derive(Clone)]
struct Keys {
    key: &'static str,
    secret: String,
    consumer: String,
}

impl Keys {
    fn new() -> Self {
        Self { key: "7kbG7Bk7S9Nt7ZSV", secret: secret("", 32), consumer: secret("", 32) }
    }

    /// A double whose clock stands at `clock` and goes on by a second with each look. A request is `late` seconds old
    /// when it comes in, as long as that is counted down.
    fn api(&self, clock: i64, late: i64) -> Double {
        let (keys, clock, late) = (self.clone(), Arc::new(AtomicI64::new(clock)), AtomicI64::new(late));
        Double::start(move |seen: &Seen| {
            if seen.target == "/1.0/auth/time" {
                assert!(seen.message.headers.iter().all(|(name, _)| !name.starts_with("x-ovh")), "{seen:?}");
                return Answer::json(200, &(clock.fetch_add(1, Ordering::SeqCst) + 1));
            }
            let clock = clock.fetch_add(late.swap(0, Ordering::SeqCst), Ordering::SeqCst);
            keys.answer(seen, clock)
        })
    }

    fn answer(&self, seen: &Seen, clock: i64) -> Answer {
        let header = |name: &str| seen.header(name).unwrap_or_default();
        if header("x-ovh-application") != self.key {
            return Answer::json(403, &refused(403, "INVALID_KEY"));
        }
        if header("x-ovh-consumer") != self.consumer {
            return Answer::json(403, &refused(403, "INVALID_CREDENTIAL"));
        }
        let time = header("x-ovh-timestamp");
        let url = format!("http://{}{}", header("host"), seen.target);
        let (secret, consumer, method, body) = (&self.secret, &self.consumer, &seen.method, seen.message.text());
        let expected = format!("$1${}", sha1(&format!("{secret}+{consumer}+{method}+{url}+{body}+{time}")));
        if header("x-ovh-signature") != expected {
            return Answer::json(400, &refused(400, "INVALID_SIGNATURE"));
        }
        if (clock - time.parse::<i64>().unwrap_or_default()).abs() > 30 {
            return Answer::json(400, &refused(400, "QUERY_TIME_OUT"));
        }
        assert_eq!(seen.target, "/1.0/auth/currentCredential");
        Answer::json(200, &current("validated"))
    }

    fn ini(&self, section: &str) -> String {
        let Self { key, secret, consumer } = self;
        format!("[{section}]\napplication_key={key}\napplication_secret={secret}\nconsumer_key={consumer}\n")
    }
}

#[test]
fn the_signature_is_right_whatever_our_clock_says() {
    let keys = Keys::new();
    // The year 2001, by the server's clock.
    let api = keys.api(1_000_000_000, 0);
    let mut stage = vaulted::stage();
    let endpoint = format!("{}/1.0", api.url());
    let (application, consumer) = (format!("secret:{}", keys.secret), format!("secret:{}", keys.consumer));
    let flags = ["--application-key", keys.key, "--application-secret", &application, "--consumer-key", &consumer];
    let project = ["--project-id", "p1", "--endpoint", &endpoint];
    let stored = store(&stage, "ovh", &[&flags[..], &project].concat()).ends(0);
    assert!(stored.stderr().contains("active: Application 42, consumer key 1234"), "{stored}");
    let told = tested(&stage);
    assert_eq!((&told["scopes"], &told["expires_at"]), (&json!(["GET /cloud/*"]), &json!("2126-12-01T09:00:00Z")));
    assert_unseen(&stage, &[&keys.secret, &keys.consumer]);
    stage.at("+5y");
    assert_eq!(tested(&stage)["outcome"], "valid");
    let exported = stage.run(&["credentials", "export", "ovh", "--format", "env"]).ends(0).stdout();
    let Keys { key, secret, consumer } = &keys;
    assert_eq!(
        exported,
        format!(
            "export OVH_ENDPOINT='{endpoint}'\nexport OVH_APPLICATION_KEY='{key}'\n\
             export OVH_APPLICATION_SECRET='{secret}'\nexport OVH_CONSUMER_KEY='{consumer}'\n\
             export OVH_CLOUD_PROJECT_SERVICE='p1'\n\
             unset OVH_CLIENT_ID\nunset OVH_CLIENT_SECRET\nunset OVH_ACCESS_TOKEN\n"
        )
    );
}

#[test]
fn a_request_that_comes_too_late_is_sent_once_more() {
    let keys = Keys::new();
    let api = keys.api(1_700_000_000, 100);
    let stage = vaulted::stage();
    let (application, consumer) = (format!("secret:{}", keys.secret), format!("secret:{}", keys.consumer));
    let endpoint = format!("{}/1.0", api.url());
    let flags = ["--application-key", keys.key, "--application-secret", &application, "--consumer-key", &consumer];
    store(&stage, "ovh", &[&flags[..], &["--endpoint", &endpoint]].concat()).ends(0);
    assert!(!api.requests().is_empty());
    // A wrong secret is told as what it is, after one more try.
    let wrong = ["--application-key", keys.key, "--application-secret", "secret:wrong", "--consumer-key", &consumer];
    let refused = store(&stage, "ovh", &[&wrong[..], &["--endpoint", &endpoint, "--name", "x"]].concat()).ends(8);
    assert!(refused.stderr().contains("the application secret does not belong to the application key"), "{refused}");
}

#[test]
fn the_files_are_read_as_the_official_tools_read_them() {
    let keys = Keys::new();
    let api = keys.api(1_700_000_000, 0);
    let url = format!("{}/1.0", api.url());
    let mut stage = vaulted::stage();
    let home = stage.home().join(".ovh.conf");
    let text = format!("; general\n[default]\nendpoint={url}\n\n{}", keys.ini(&url).replace(&keys.consumer, "old"));
    std::fs::write(&home, &text).unwrap();
    stage.enter("work");
    let near = stage.home().join("work/ovh.conf");
    std::fs::write(&near, format!("[{url}]\nconsumer_key={}\n", keys.consumer)).unwrap();
    let stored = stage.run(&["credentials", "store", "ovh", "--project-id", "p1"]).ends(0);
    assert!(stored.stderr().contains("Stored ovh (OVHcloud API keys, from ~/.ovh.conf ["), "{stored}");
    std::fs::write(&home, format!("{text}client_id=EU.1\n")).unwrap();
    let mixed = stage.run(&["credentials", "store", "ovh", "--name", "x"]).ends(1);
    assert!(mixed.stderr().contains("it mixes two ways of signing in"), "{mixed}");
    std::fs::write(&home, "[default\n").unwrap();
    let broken = stage.run(&["credentials", "store", "ovh", "--name", "x"]).ends(1);
    assert!(broken.stderr().contains("~/.ovh.conf is no usable configuration of OVH's tools: line 1 "), "{broken}");
    // A clone that wants the keys of the variables for an address of its own gets nothing.
    std::fs::remove_file(&home).unwrap();
    std::fs::write(&near, "[default]\nendpoint=https://thief.test/1.0\n").unwrap();
    stage.set("OVH_APPLICATION_SECRET", &keys.secret);
    let refused = stage.run(&["credentials", "store", "ovh", "--name", "x"]).ends(1);
    assert!(refused.stderr().contains("it sends keys that lie elsewhere"), "{refused}");
    stage.unset("OVH_APPLICATION_SECRET");
    std::fs::remove_file(&near).unwrap();
    assert_unseen(&stage, &[&keys.secret, &keys.consumer]);
    let written = stage.run(&["credentials", "export", "ovh", "--format", "ovh-conf"]).ends(0).stdout();
    std::fs::write(&home, &written).unwrap();
    stage.run(&["credentials", "store", "ovh", "--name", "again"]).ends(0);
    assert_eq!(list(&stage).len(), 2);
}

#[test]
fn what_nobody_gave_is_asked_for_and_not_shown() {
    let keys = Keys::new();
    let api = keys.api(1_700_000_000, 0);
    let stage = vaulted::stage();
    let endpoint = format!("{}/1.0", api.url());
    let mut terminal = Terminal::start(&stage, &["credentials", "store", "ovh", "--endpoint", &endpoint]);
    terminal.sees("Application key");
    terminal.types(keys.key);
    terminal.sees("Application secret");
    terminal.types(&keys.secret);
    terminal.sees("Consumer key");
    terminal.types(&keys.consumer);
    terminal.sees("Stored ovh (OVHcloud API keys), active");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
    assert!(!ending.screen.contains(&keys.secret) && !ending.screen.contains(&keys.consumer), "{ending:?}");
}
