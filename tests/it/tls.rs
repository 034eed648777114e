//! TLS: whose certificates are believed, whose are not, and what is said then.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::corp::TOKEN;
use crate::scene;
use crate::secure::{Authority, NAMES, SecureIdp};
use crate::stage::{Outcome, Stage};

/// The failure that every bad certificate ends in: nothing was said to the server, and the message names the mend.
#[track_caller]
fn assert_refused(secure: &SecureIdp, stage: &Stage) -> Outcome {
    let refused = secure.attempt(stage).ends(6);
    let said = refused.stderr();
    assert!(said.contains(&format!("the connection to {} cannot be made safe", secure.issuer)), "{refused}");
    assert!(said.to_lowercase().contains("certificate"), "{refused}");
    assert!(said.contains("next: ") && said.contains("SSL_CERT_FILE"), "{refused}");
    assert!(refused.stdout().is_empty(), "{refused}");
    secure.assert_unasked();
    refused
}

#[test]
fn with_the_authority_in_ssl_cert_file_everything_works() {
    let authority = Authority::new();
    let secure = SecureIdp::start(&authority.issue("good", NAMES, None));
    let mut stage = secure.stage();
    let key_log = stage.root().join("keys.log");
    stage.set("SSL_CERT_FILE", authority.pem()).set("SSLKEYLOGFILE", &key_log);
    secure.attempt(&stage).ends(0);
    assert!(!key_log.exists(), "the keys of a connection are written nowhere");
    let status = stage.run(&["auth", "status"]).ends(0);
    assert!(status.stdout().starts_with("Authenticated as: user@example.com\n"), "{status}");
    let before = scene::token(&stage);
    stage.run(&["auth", "refresh"]).ends(0);
    let after = scene::token(&stage);
    assert!(before != after && secure.idp.accepts(&after));
    stage.run(&["api", "GET", "/v1/me"]).ends(0);
    stage.run(&["auth", "logout"]).ends(0);
    assert!(!secure.idp.accepts(&after), "the service was told");
    let handshakes = secure.tls.handshakes();
    assert!(!handshakes.is_empty() && handshakes.iter().all(|version| version == "TLSv1.3"), "{handshakes:?}");
}

#[test]
fn the_name_in_the_certificate_may_be_localhost_and_the_version_1_2() {
    let authority = Authority::new();
    let certificate = authority.issue("good", "DNS:localhost", None);
    let secure = SecureIdp::named(None, &certificate, Some("1.2"));
    let mut stage = Stage::new();
    stage.set("SSL_CERT_FILE", authority.pem());
    let issuer = format!("https://localhost:{}", secure.tls.port);
    stage.write_config(&format!(
        "profile = \"work\"\n[profiles.work]\nservice = \"corp\"\nstorage = \"plain\"\nendpoint = \"{issuer}\"\n\
         [services.corp]\nclient_id = \"cli\"\n[services.corp.api]\nwhoami = \"/v1/me\"\n"
    ));
    secure.idp.change(|behaviour| behaviour.api_tokens = vec![TOKEN.into()]);
    stage.set("LANYARD_TOKEN", TOKEN);
    stage.run(&["api", "GET", "/v1/me"]).ends(0);
    assert_eq!(secure.tls.handshakes(), ["TLSv1.2"]);
}

#[test]
fn an_unknown_authority_is_refused_before_a_word_is_said() {
    let authority = Authority::new();
    let secure = SecureIdp::start(&authority.issue("good", NAMES, None));
    assert_refused(&secure, &secure.stage());
    // Nor is another authority's word good enough.
    let (mut stage, other) = (secure.stage(), Authority::new());
    stage.set("SSL_CERT_FILE", other.pem());
    assert_refused(&secure, &stage);
}

#[test]
fn a_certificate_that_is_expired_early_misnamed_or_self_signed_is_refused() {
    let authority = Authority::new();
    let certificates = [
        authority.issue("expired", NAMES, Some("2020-01-01 00:00:00")),
        authority.issue("early", NAMES, Some("2099-01-01 00:00:00")),
        authority.issue("misnamed", "DNS:other.test,IP:127.0.0.9", None),
        authority.self_signed(),
    ];
    let words = ["expired", "not valid yet", "not valid for", "UnknownIssuer"];
    for (certificate, word) in certificates.iter().zip(words) {
        let secure = SecureIdp::start(certificate);
        let mut stage = secure.stage();
        stage.set("SSL_CERT_FILE", authority.pem());
        let refused = assert_refused(&secure, &stage);
        assert!(refused.stderr().contains(word), "{refused}");
    }
}

#[test]
fn a_certificate_that_went_bad_stops_a_stored_token() {
    let authority = Authority::new();
    let secure = SecureIdp::start(&authority.issue("good", NAMES, None));
    let mut stage = secure.stage();
    stage.set("SSL_CERT_FILE", authority.pem());
    secure.attempt(&stage).ends(0);
    secure.idp.forget();
    // Today's session, tomorrow's impostor.
    let other = Authority::new();
    stage.set("SSL_CERT_FILE", other.pem());
    for command in [&["auth", "refresh"][..], &["api", "GET", "/v1/me"]] {
        let refused = stage.run(command).ends(6);
        assert!(refused.stderr().to_lowercase().contains("certificate"), "{refused}");
    }
    let status = stage.run(&["auth", "status"]).ends(0);
    assert!(status.stderr().contains("warning: not verified: "), "{status}");
    assert!(status.stderr().contains("invalid peer certificate"), "{status}");
    assert_eq!(stage.run(&["auth", "status", "--json"]).ends(0).json()["verification"], "unreachable");
    secure.assert_unasked();
    // The session outlives that.
    stage.set("SSL_CERT_FILE", authority.pem());
    stage.run(&["auth", "status"]).ends(0);
}

#[test]
fn an_ssl_cert_file_that_is_none_is_told_by_its_variable() {
    let authority = Authority::new();
    let secure = SecureIdp::start(&authority.issue("good", NAMES, None));
    let mut stage = secure.stage();
    let missing = stage.home().join("nowhere.pem");
    let empty = stage.home().join("empty.pem");
    let garbage = stage.home().join("garbage.pem");
    std::fs::write(&empty, "").expect("a file");
    std::fs::write(&garbage, "-----BEGIN CERTIFICATE-----\nLNYCANARY\n-----END CERTIFICATE-----\n").expect("a file");
    for path in [&missing, &empty, &garbage] {
        stage.set("SSL_CERT_FILE", path);
        let refused = secure.attempt(&stage).ends(6);
        assert!(refused.stderr().contains("SSL_CERT_FILE"), "{refused}");
        assert!(refused.stderr().to_lowercase().contains("certificate"), "{refused}");
        assert!(!refused.stderr().contains("LNYCANARY"), "{refused}");
    }
    secure.assert_unasked();
    stage.set("SSL_CERT_FILE", missing);
    let doctor = stage.run(&["doctor"]).ends(6);
    assert!(doctor.stdout().contains("SSL_CERT_FILE=<file> does not exist"), "{doctor}");
}

#[test]
fn old_tls_is_refused() {
    let authority = Authority::new();
    let certificate = authority.issue("good", NAMES, None);
    let secure = SecureIdp::named(None, &certificate, Some("1.1"));
    let mut stage = secure.stage();
    stage.set("SSL_CERT_FILE", authority.pem());
    let refused = secure.attempt(&stage).ends(6);
    assert!(
        refused.stderr().contains(&format!("the connection to {} cannot be made safe", secure.issuer)),
        "{refused}"
    );
    secure.assert_unasked();
    let handshakes = secure.tls.handshakes();
    assert!(!handshakes.is_empty() && handshakes.iter().all(|end| end.starts_with("refused")), "{handshakes:?}");
    // It would have spoken to a client that takes old versions.
    let address = format!("127.0.0.1:{}", secure.tls.port);
    let client = ["s_client", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0", "-connect", &address];
    drop(Command::new("openssl").args(client).stdin(Stdio::null()).output().expect("openssl is installed"));
    let spoken = || secure.tls.handshakes().iter().any(|end| end == "TLSv1.1");
    scene::eventually("a handshake by TLS 1.1", Duration::from_secs(5), spoken);
}
