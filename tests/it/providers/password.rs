//! Passwords of mail servers: aiosmtpd over TLS and STARTTLS, with certificates good and bad.

use std::net::TcpListener;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::clouds::{assert_unseen, store, tested};
use super::foreground::Foreground;
use crate::peers::free_port;
use crate::secure::{Authority, NAMES};
use crate::stage::Stage;
use crate::vaulted;

/// A mail server with a certificate for these names.
struct MailServer {
    authority: Authority,
    port: u16,
    folder: TempDir,
    _server: Foreground,
}

impl MailServer {
    fn start(security: &str, names: &str) -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a temporary folder"));
        let certificate = authority.issue("mail", names, None);
        let port = free_port();
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-peers/smtp");
        let log = folder.path().join("log");
        let number = port.to_string();
        let paths = [&venv, &certificate.pem, &certificate.key, &log].map(|path| path.to_str().unwrap().to_owned());
        let [venv, pem, key, log] = &paths;
        let server = Foreground::start("smtp/up.sh", port, &[venv, &number, security, pem, key, log]);
        Self { authority, port, folder, _server: server }
    }

    /// The tries to sign in so far.
    fn tries(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// A stage that trusts the server's authority.
    fn stage(&self) -> Stage {
        let mut stage = vaulted::stage();
        stage.set("SSL_CERT_FILE", self.authority.pem());
        stage
    }
}

fn flags<'a>(port: &'a str, security: &'a str, password: &'a str) -> [&'a str; 11] {
    [
        "smtp",
        "--username",
        "alice",
        "--password",
        password,
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--security",
        security,
    ]
}

#[test]
fn a_mail_server_is_asked_over_tls_and_starttls_and_once() {
    for security in ["tls", "starttls"] {
        let server = MailServer::start(security, NAMES);
        let stage = server.stage();
        let port = server.port.to_string();
        let stored = store(&stage, "password", &flags(&port, security, "secret:alice-password")).ends(0);
        assert!(stored.stderr().ends_with("Stored smtp (user name and password), active: alice\n"), "{stored}");
        assert_eq!(server.tries(), ["PLAIN good TLS"]);
        let wrong = [&flags(&port, security, "secret:wrong")[..], &["--name", "wrong"]].concat();
        let refused = store(&stage, "password", &wrong).ends(8);
        assert!(refused.stderr().contains("does not accept the user name or the password"), "{refused}");
        assert_eq!(server.tries(), ["PLAIN good TLS", "PLAIN bad TLS"], "one try, and no mail");
        assert_eq!(tested(&stage)["outcome"], "valid");
        assert_unseen(&stage, &["alice-password"]);
        let exported = stage.run(&["credentials", "export", "smtp", "--format", "json"]).ends(0).json();
        let expected = json!({
            "SMTP_HOST": "127.0.0.1", "SMTP_PORT": port, "SMTP_USERNAME": "alice", "SMTP_USER": "alice",
            "SMTP_PASSWORD": "alice-password"
        });
        assert_eq!(exported, expected);
    }
}

#[test]
fn a_certificate_that_is_not_trusted_gets_no_password() {
    for (security, names, trusted) in
        [("tls", NAMES, false), ("starttls", NAMES, false), ("tls", "DNS:other.example", true)]
    {
        let server = MailServer::start(security, names);
        let stage = if trusted { server.stage() } else { vaulted::stage() };
        let port = server.port.to_string();
        let stored = store(&stage, "password", &flags(&port, security, "secret:alice-password")).ends(0);
        assert!(stored.stderr().contains("cannot be made safe"), "{stored}");
        let told = tested(&stage);
        assert_eq!((&told["outcome"], &told["passed"]), (&json!("tls"), &json!(false)), "{told}");
        assert!(told["next"].as_str().unwrap().contains("SSL_CERT_FILE"), "{told}");
        assert!(server.tries().is_empty(), "{:?}", server.tries());
    }
}

#[test]
fn the_wrong_port_says_nothing_about_the_password() {
    let server = MailServer::start("starttls", NAMES);
    let stage = server.stage();
    // TLS at once where the server wants to greet first.
    let port = server.port.to_string();
    store(&stage, "password", &flags(&port, "tls", "secret:alice-password")).ends(0);
    assert_eq!(tested(&stage)["outcome"], "tls");
    assert!(server.tries().is_empty());
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port();
    let closed = closed.to_string();
    let nobody = [&flags(&closed, "starttls", "secret:x")[..], &["--replace"]].concat();
    store(&stage, "password", &nobody).ends(0);
    assert_eq!(tested(&stage)["outcome"], "unreachable");
}

#[test]
fn a_password_of_any_service_is_kept_and_handed_over() {
    let stage = vaulted::stage();
    let flags = ["portal", "--username", "me", "--password", "secret:it's a \"good\" one"];
    let stored = store(&stage, "password", &flags).ends(0);
    assert!(stored.stderr().ends_with("Stored portal (user name and password), unverified\n"), "{stored}");
    let exported = stage.run(&["credentials", "export", "portal", "--format", "json"]).ends(0).json();
    assert_eq!(exported, json!({ "PORTAL_USERNAME": "me", "PORTAL_PASSWORD": "it's a \"good\" one" }));
    let file = "account work\nhost smtp.corp.example\ntls on\nport 587\nuser me\npassword one\n";
    std::fs::write(stage.home().join(".msmtprc"), file).unwrap();
    let found = stage.run(&["credentials", "store", "password", "smtp", "--no-verify"]).ends(0);
    assert!(found.stderr().contains("Stored work (user name and password, from ~/.msmtprc [work])"), "{found}");
    let again = stage.run(&["credentials", "export", "work", "--format", "msmtprc"]).ends(0);
    assert!(again.stdout().contains("host smtp.corp.example\nport 587\ntls on\ntls_starttls on\n"), "{again}");
}
