//! go itself, with a proxy of private modules that wants a login.

use crate::double::{Answer, Double, Seen};
use crate::secure::{Authority, NAMES, Tls};

use super::program::{Bench, peer};

const PASSWORD: &str = "LNYCANARY0123456789abcdefgo";

/// One module, at any path, for whoever signs in.
fn proxy() -> Double {
    let pair = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(format!("alice:{PASSWORD}"))
    };
    let expected = format!("Basic {pair}");
    Double::start(move |seen: &Seen| {
        if seen.header("authorization") != Some(&*expected) {
            return Answer::text(401, "text/plain", "sign in").header("WWW-Authenticate: Basic realm=\"modules\"");
        }
        match seen.path().rsplit('/').next() {
            Some("list") => Answer::text(200, "text/plain", "v1.0.0\n"),
            Some("v1.0.0.info") => Answer::json(200, r#"{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}"#),
            Some("v1.0.0.mod") => Answer::text(200, "text/plain", "module example.test/m\n"),
            _ => Answer::text(404, "text/plain", "none"),
        }
    })
}

#[test]
fn go_signs_in_at_the_very_proxy() {
    let authority = Authority::new();
    let certificate = authority.issue("good", NAMES, None);
    let (own, stranger) = (proxy(), proxy());
    let tls = Tls::before(own.address().port(), &certificate, None);
    let strange_tls = Tls::before(stranger.address().port(), &certificate, None);
    let mut bench = Bench::new(&[]);
    let home = bench.stage.home();
    bench.set("SSL_CERT_FILE", authority.pem()).set("GOPATH", home.join("go")).set("GOCACHE", home.join("cache"));
    bench.set("GOFLAGS", "-mod=mod").set("GONOSUMDB", "*").set("GOTOOLCHAIN", "local").set("GOTELEMETRY", "off");
    let helper = format!("{} helper go", bench.log_calls("lanyard").with_file_name("bin/lanyard").display());
    bench.set("GOAUTH", helper);
    let list = |bench: &Bench, url: String| {
        let mut command = bench.command(peer("go/bin/go"), "");
        command.args(["list", "-x", "-m", "example.test/m@v1.0.0"]).env("GOPROXY", url);
        super::program::finish(command, b"")
    };
    let at = |port: u16, path: &str| format!("https://localhost:{port}{path}");

    list(&bench, at(tls.port, "/mod")).fails();
    let endpoint = at(tls.port, "/mod");
    let words = [
        "credentials",
        "store",
        "password",
        "goproxy",
        "--username",
        "alice",
        "--password",
        "-",
        "--endpoint",
        &endpoint,
    ];
    bench.stage.run_with(&words, PASSWORD.as_bytes()).ends(0);
    let log = bench.stage.root().join("lanyard.log");
    std::fs::remove_file(&log).unwrap();
    let listed = list(&bench, at(tls.port, "/mod"));
    let listed = listed.succeeds();
    assert_eq!(listed.stdout(), "example.test/m v1.0.0\n");
    // Once without an address, and then with each that was refused.
    let calls = std::fs::read_to_string(&log).unwrap();
    let calls: Vec<&str> = calls.lines().collect();
    assert_eq!(calls[0], "helper go", "{calls:?}");
    assert!(
        calls.len() > 1 && calls[1..].iter().all(|call| call.starts_with(&format!("helper go {endpoint}/"))),
        "{calls:?}"
    );

    // What serves a whole host is asked for once.
    let whole = at(tls.port, "");
    bench
        .stage
        .run(&["credentials", "update", "goproxy", "--field", &format!("endpoint={whole}"), "--no-verify"])
        .ends(0);
    std::fs::remove_file(&log).unwrap();
    std::fs::remove_dir_all(bench.stage.home().join("go/pkg/mod/cache")).unwrap();
    list(&bench, at(tls.port, "/mod")).succeeds();
    assert_eq!(std::fs::read_to_string(&log).unwrap().lines().count(), 2);
    bench
        .stage
        .run(&["credentials", "update", "goproxy", "--field", &format!("endpoint={endpoint}"), "--no-verify"])
        .ends(0);

    for url in [at(tls.port, "/module"), at(strange_tls.port, "/mod")] {
        let _ = std::fs::remove_dir_all(bench.stage.home().join("go/pkg/mod/cache"));
        let told = list(&bench, url).fails();
        assert!(!told.all().contains(PASSWORD), "{}", told.all());
    }
    assert!(!stranger.requests().is_empty());
    assert!(stranger.requests().iter().all(|seen| seen.header("authorization").is_none()));
}
