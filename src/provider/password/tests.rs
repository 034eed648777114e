//! A mail server played line by line, and what is found and handed over.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::JoinHandle;

use super::*;
use crate::os::Env;
use crate::provider::Outcome;
use crate::provider::Found;

const HELLO: &str = "250-mail.example\r\n250-SIZE 1000\r\n250-AUTH PLAIN LOGIN\r\n250 HELP\r\n";

/// A server that says its greeting, then to each line that comes the next of `replies`. It tells the lines it was sent.
struct Played {
    port: u16,
    heard: JoinHandle<Vec<String>>,
}

impl Played {
    fn start(greeting: &'static str, replies: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let replies = replies.to_vec();
        let heard = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(greeting.as_bytes()).unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut replies = replies.into_iter();
            let mut heard = Vec::new();
            loop {
                let mut line = Vec::new();
                // A client that has had enough closes, and one that speaks TLS sends no lines.
                if !matches!(reader.read_until(b'\n', &mut line), Ok(length) if length > 0) {
                    return heard;
                }
                heard.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                match replies.next() {
                    Some(reply) => stream.write_all(reply.as_bytes()).unwrap_or(()),
                    None => return heard,
                }
            }
        });
        Self { port, heard }
    }

    /// What is said of a login, and what the server heard.
    fn asked(self, security: Security) -> (Verdict, Vec<String>) {
        let server = Server::new("127.0.0.1", Some(self.port), Some(security));
        let verdict = smtp::ask(&server, "me", &Secret::new("s3cret".into()));
        (verdict, self.heard.join().unwrap())
    }
}

fn credential(values: &[(&str, &str)]) -> Credential {
    let mut raw = Raw::new();
    for (name, value) in values {
        raw.plain(name, value);
    }
    crate::credential::tests::credential("mine", Fields::parse(&KINDS[0], raw).unwrap())
}

#[test]
fn a_login_is_tried_once_by_plain() {
    let played = Played::start("220-hello\r\n220 mail.example ESMTP\r\n", &[HELLO, "235 2.7.0 Accepted\r\n", "221 Bye\r\n"]);
    let (verdict, heard) = played.asked(Security::Plain);
    assert_eq!((verdict.outcome, verdict.identity.as_deref()), (Outcome::Valid, Some("me")));
    assert_eq!(heard, ["EHLO lanyard.invalid", "AUTH PLAIN AG1lAHMzY3JldA==", "QUIT"]);
}

#[test]
fn a_server_that_asks_again_for_the_same_gets_it() {
    let (verdict, heard) = Played::start("220 x\r\n", &[HELLO, "334 \r\n", "235 ok\r\n", ""]).asked(Security::Plain);
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert_eq!(heard[1..3], ["AUTH PLAIN AG1lAHMzY3JldA==", "AG1lAHMzY3JldA=="]);
}

#[test]
fn login_is_the_second_way_and_never_a_second_try() {
    let only_login = "250-x\r\n250 AUTH=LOGIN\r\n";
    let replies = [only_login, "334 VXNlcm5hbWU6\r\n", "334 UGFzc3dvcmQ6\r\n", "235 ok\r\n", ""];
    let (verdict, heard) = Played::start("220 x\r\n", &replies).asked(Security::Plain);
    assert_eq!(verdict.outcome, Outcome::Valid);
    assert_eq!(heard, ["EHLO lanyard.invalid", "AUTH LOGIN", "bWU=", "czNjcmV0", "QUIT"]);
    let replies = [HELLO, "504 5.5.4 unknown\r\n", "334 x\r\n", "334 y\r\n", "535 5.7.8 no\r\n", ""];
    let (verdict, heard) = Played::start("220 x\r\n", &replies).asked(Security::Plain);
    assert_eq!((verdict.outcome, heard.len()), (Outcome::Invalid, 6));
    let (verdict, heard) = Played::start("220 x\r\n", &[HELLO, "535 5.7.8 no\r\n", ""]).asked(Security::Plain);
    assert_eq!((verdict.outcome, heard.len()), (Outcome::Invalid, 3), "one try");
    assert_eq!(verdict.error.as_deref(), Some("535 5.7.8"));
}

#[test]
fn every_answer_has_its_meaning() {
    for (reply, outcome) in [
        ("535 5.7.8 Authentication failed\r\n", Outcome::Invalid),
        ("535-one\r\n535 two\r\n", Outcome::Invalid),
        ("534 5.7.9 Application-specific password required\r\n", Outcome::Invalid),
        ("530 5.7.0 Must issue a STARTTLS command first\r\n", Outcome::Unexpected),
        ("538 5.7.11 Encryption required\r\n", Outcome::Unexpected),
        ("504 5.5.4 x\r\n", Outcome::Unexpected),
        ("454 4.7.0 Too many login attempts\r\n", Outcome::RateLimited),
        ("454 Temporary failure\r\n", Outcome::Unreachable),
        ("421 4.3.2 shutting down\r\n", Outcome::Unreachable),
        ("250 ok\r\n", Outcome::Unexpected),
        ("hello\r\n", Outcome::Unexpected),
        ("235-ok\r\n535 no\r\n", Outcome::Unexpected),
        ("235?\r\n", Outcome::Unexpected),
        ("", Outcome::Unreachable),
    ] {
        let hello = "250-x\r\n250 AUTH PLAIN\r\n";
        let replies: &[&'static str] = if reply.is_empty() { &[hello] } else { &[hello, reply, ""] };
        let (verdict, _) = Played::start("220 x\r\n", replies).asked(Security::Plain);
        assert_eq!(verdict.outcome, outcome, "{reply}");
        assert!(outcome == Outcome::Valid || verdict.next.is_some_and(|next| !next.is_empty()), "{reply}");
    }
    for (greeting, outcome) in [
        ("421 4.3.0 busy\r\n", Outcome::Unreachable),
        ("554 5.7.1 go away\r\n", Outcome::Unexpected),
        ("SSH-2.0-OpenSSH\r\n", Outcome::Unexpected),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", Outcome::Unexpected),
    ] {
        assert_eq!(Played::start(greeting, &[]).asked(Security::Plain).0.outcome, outcome, "{greeting}");
    }
    let (verdict, heard) = Played::start("220 x\r\n", &["250-x\r\n250 AUTH XOAUTH2\r\n"]).asked(Security::Plain);
    assert_eq!((verdict.outcome, heard.len()), (Outcome::Unexpected, 1));
}

#[test]
fn a_server_that_talks_without_end_is_left() {
    let long = Box::leak(format!("220-{}\r\n", "x".repeat(70_000)).into_boxed_str());
    assert_eq!(Played::start(long, &[]).asked(Security::Plain).0.outcome, Outcome::Unexpected);
}

#[test]
fn the_password_is_not_sent_before_the_connection_is_safe() {
    let (verdict, heard) = Played::start("220 x\r\n", &[HELLO, ""]).asked(Security::StartTls);
    assert_eq!((verdict.outcome, heard.as_slice()), (Outcome::Tls, ["EHLO lanyard.invalid".to_owned()].as_slice()));
    let offer = "250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n";
    let (verdict, heard) = Played::start("220 x\r\n", &[offer, "454 4.7.0 not now\r\n"]).asked(Security::StartTls);
    assert_eq!((verdict.outcome, heard.len()), (Outcome::Tls, 2));
    // Somebody on the way puts replies in front of the TLS that never comes.
    let injected = "220 go\r\n250-x\r\n250 AUTH PLAIN\r\n235 ok\r\n";
    let (verdict, heard) = Played::start("220 x\r\n", &[offer, injected, "no TLS\r\n"]).asked(Security::StartTls);
    assert!(matches!(verdict.outcome, Outcome::Tls | Outcome::Unreachable), "{:?}", verdict.outcome);
    assert!(!heard.iter().any(|line| line.contains("AUTH")), "{heard:?}");
    let elsewhere = Server::new("mail.example", None, Some(Security::Plain));
    let verdict = smtp::ask(&elsewhere, "me", &Secret::new("s3cret".into()));
    assert!(verdict.reason.unwrap().contains("to this machine alone"));
}

#[test]
fn a_server_that_is_not_there_is_no_refusal() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::new("127.0.0.1", Some(port), Some(Security::Plain));
    let verdict = smtp::ask(&server, "me", &Secret::new("s3cret".into()));
    assert_eq!(verdict.outcome, Outcome::Unreachable);
}

#[test]
fn a_server_that_says_nothing_and_a_name_that_nobody_has_are_no_refusal() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for security in [Security::Plain, Security::StartTls, Security::Tls] {
        let verdict = smtp::ask(&Server::new("127.0.0.1", Some(port), Some(security)), "me", &Secret::new("s3cret".into()));
        assert_eq!(verdict.outcome, Outcome::Unreachable, "{security:?}: {verdict:?}");
        assert!(verdict.reason.unwrap().contains("did not answer in time"));
    }
    // No name server need be asked about a name with an empty part.
    let nowhere = Server::new("mail..invalid", None, None);
    let verdict = smtp::ask(&nowhere, "me", &Secret::new("s3cret".into()));
    assert_eq!(verdict.outcome, Outcome::Unreachable, "{verdict:?}");
    assert!(verdict.reason.unwrap().starts_with("cannot reach mail..invalid:587: "));
}

#[test]
fn each_class_of_failure_has_a_mend_of_its_own_and_no_password_in_it() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = Server::new("127.0.0.1", Some(closed), Some(Security::Plain));
    let mut mends: BTreeMap<String, Outcome> = BTreeMap::new();
    let mut check = |verdict: Verdict| {
        assert!(!format!("{verdict:?}").contains("s3cret"), "{verdict:?}");
        let known = *mends.entry(verdict.next.clone().unwrap()).or_insert(verdict.outcome);
        assert_eq!(known, verdict.outcome, "{verdict:?}");
    };
    check(smtp::ask(&away, "me", &Secret::new("s3cret".into())));
    for reply in ["535 5.7.8 s3cret is wrong\r\n", "454 4.7.0 s3cret too often\r\n", "454 s3cret\r\n", "s3cret\r\n", "250 s3cret\r\n"] {
        check(Played::start("220 s3cret\r\n", &[HELLO, reply, ""]).asked(Security::Plain).0);
    }
    check(Played::start("220 x\r\n", &[HELLO, ""]).asked(Security::StartTls).0);
    check(Played::start("220 x\r\n", &[HELLO]).asked(Security::Plain).0);
    check(Played::start("421 s3cret\r\n", &[]).asked(Security::Plain).0);
    let classes: std::collections::BTreeSet<_> = mends.values().map(|outcome| outcome.word()).collect();
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), ["invalid", "rate_limited", "tls", "unexpected", "unreachable"]);
}

#[test]
fn port_and_security_follow_from_one_another() {
    for (port, security, expected) in [
        (None, None, (587, Security::StartTls)),
        (Some(465), None, (465, Security::Tls)),
        (Some(25), None, (25, Security::StartTls)),
        (None, Some(Security::Tls), (465, Security::Tls)),
        (Some(465), Some(Security::StartTls), (465, Security::StartTls)),
        (None, Some(Security::Plain), (25, Security::Plain)),
    ] {
        let Server { port, security, .. } = Server::new("h", port, security);
        assert_eq!((port, security), expected);
    }
    assert_eq!(Server::new("::1", Some(25), None).place(), "[::1]:25");
}

#[test]
fn without_a_mail_server_nobody_is_asked() {
    let mine = credential(&[("service", "portal"), ("username", "me"), ("password", "x")]);
    let http = |_: crate::http::Request| -> Result<crate::http::Response, crate::http::Unreachable> { panic!("asked") };
    let env = Env::invented(Path::new("/nowhere/config"), Path::new("/nowhere"), &[]);
    let now = chrono::DateTime::from_timestamp(1_750_000_000, 0).unwrap();
    let net = Net { http: &http, env: &env, now };
    assert_eq!(PROVIDER.verify(&mine, None, &net).outcome, Outcome::CannotBeAsked);
    assert!(PROVIDER.hosts(&mine.metadata).is_empty());
}

fn exported(values: &[(&str, &str)]) -> Vec<String> {
    let issued = Issued::lasting(Material::Variables(Vec::new()));
    let told = |variable: Variable| match variable {
        Variable::Value { name, value, .. } => format!("{name}={}", value.expose()),
        Variable::Unset { name } => name.to_owned(),
        Variable::File { name, .. } => name,
    };
    PROVIDER.export(&credential(values), &issued).into_iter().map(told).collect()
}

#[test]
fn programs_get_their_variables() {
    let mail = [("service", "smtp"), ("username", "me"), ("password", "x"), ("host", "Mail.example")];
    let expected =
        ["SMTP_PASSWORD=x", "SMTP_USERNAME=me", "SMTP_USER=me", "SMTP_HOST=Mail.example", "SMTP_PORT=587"];
    assert_eq!(exported(&mail), expected);
    assert_eq!(PROVIDER.hosts(&credential(&mail).metadata), ["mail.example:587"]);
    let portal = [("service", "7-portal"), ("username", "me"), ("password", "x")];
    assert_eq!(exported(&portal), ["_7_PORTAL_PASSWORD=x", "_7_PORTAL_USERNAME=me"]);
}

/// What is found in a home with these files: place, name, and every value.
fn found(service: Option<&str>, files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Vec<String>, ProviderError> {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let env = Env::invented(&root.path().join("config"), root.path(), variables);
    let given = service.map(|name| ("service".to_owned(), vec![name.to_owned()])).into_iter().collect::<BTreeMap<_, _>>();
    let told = |found: Found| {
        let values = found.raw.names().map(|name| format!("{name}={}", found.raw.get(name).unwrap().expose()));
        let values = values.collect::<Vec<_>>().join(" ");
        format!("{} {} {values}", found.origin.place, found.name.clone().unwrap_or_else(|| "-".into()))
    };
    Ok(PROVIDER.discover(&Here { env: &env, given: &given }).choice()?.into_iter().map(told).collect())
}

#[test]
fn logins_are_found_in_variables_and_in_msmtps_file() {
    let file = "account work\nhost smtp.corp.example\ntls on\nport 587\nuser me\npassword one\n\
                account asks\nhost h\nuser u\npasswordeval pass show mail\n\
                account old\nhost old.example\nuser me\npassword two\naccount default : work\n";
    let files = [(".msmtprc", file)];
    let variables = [("SMTP_HOST", "smtp.example"), ("SMTP_USER", "me"), ("SMTP_PASSWORD", "p"), ("SMTP_PORT", "465")];
    assert_eq!(
        found(None, &files, &variables).unwrap(),
        [
            "$SMTP_PASSWORD - host=smtp.example password=p port=465 service=smtp username=me",
            "~/.msmtprc [work] work host=smtp.corp.example password=one port=587 security=starttls service=smtp username=me",
            "~/.msmtprc [old] old host=old.example password=two port=25 service=smtp username=me",
        ]
    );
    assert_eq!(found(Some("old"), &files, &variables).unwrap().len(), 1);
    assert!(found(Some("other"), &files, &variables).unwrap().is_empty());
    assert!(found(None, &[], &[]).unwrap().is_empty());
    let broken = found(None, &[(".msmtprc", "account a\npassword \"s3cret\n")], &[]).unwrap_err().to_string();
    assert!(broken.contains("line 2") && !broken.contains("s3cret"), "{broken}");
}

#[test]
fn values_are_checked() {
    for field in &FIELDS {
        assert_eq!((field.check)(field.example), Ok(()), "{}", field.name);
    }
    assert!(host_name("smtp.example:25").is_err() && host_name("::1").is_ok());
    assert!(port("0").is_err() && port("65536").is_err() && security("ssl").is_err() && service_name("a b").is_err());
}

#[test]
fn a_password_is_for_the_address_on_the_web_that_it_was_stored_for() {
    let stored = |more: &[(&str, &str)]| {
        let mut raw = Raw::new();
        raw.plain("service", "nexus").plain("username", "u").plain("password", "p");
        for (name, value) in more {
            raw.plain(name, value);
        }
        crate::credential::tests::credential("nexus", Fields::parse(&KINDS[0], raw).unwrap()).metadata
    };
    let web = stored(&[("endpoint", "https://nexus.example:8443/simple/")]);
    assert_eq!(PROVIDER.addresses(&web), [Address::of_text("https://nexus.example:8443/simple").unwrap()]);
    assert_eq!(PROVIDER.hosts(&web), ["nexus.example:8443"]);
    let mail = stored(&[("host", "smtp.example")]);
    assert!(PROVIDER.addresses(&mail).is_empty(), "a mail server is no address on the web");
    assert_eq!(PROVIDER.hosts(&mail), ["smtp.example:587"]);
    assert!(PROVIDER.addresses(&stored(&[])).is_empty());
}
