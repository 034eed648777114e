//! What the tests of providers with a plain API have in common, and the failures that all of them have to tell apart.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::canary::{Canary, Sweep};
use crate::crash::{self, Blow};
use crate::double::{Answer, Double};
use crate::secure::{Authority, NAMES, Tls};
use crate::stage::{Outcome, Stage};
use crate::vaulted;

/// A secret of letters and digits of this length, with the mark of a canary in it.
pub fn secret(prefix: &str, length: usize) -> String {
    let canary = Canary::new();
    format!("{prefix}{}{}", "x".repeat(length - prefix.len() - canary.text().len()), canary.text())
}

/// An identifier that a double gives nothing else.
pub fn fresh_id() -> String {
    static MADE: AtomicUsize = AtomicUsize::new(100);
    format!("t{}", MADE.fetch_add(1, Ordering::Relaxed))
}

/// Puts a secret into a file, and gives the word that stands for it on a command line.
pub fn at_file(stage: &Stage, secret: &str) -> String {
    let folder = stage.root().join("given");
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(format!("{}.txt", std::fs::read_dir(&folder).expect("the folder").count()));
    std::fs::write(&path, format!("{secret}\n")).expect("a file");
    format!("@{}", path.display())
}

/// Fails if one of the secrets is in a file of the vault or the configuration, or was printed.
#[track_caller]
pub fn assert_unseen(stage: &Stage, secrets: &[&str]) {
    // The files that gave the secrets, and those that official tools keep.
    std::fs::remove_dir_all(stage.root().join("given")).ok();
    let canaries: Vec<Canary> = secrets.iter().map(|secret| Canary::of(secret)).collect();
    let mut sweep = Sweep::for_canaries(&canaries);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}

/// Stores a credential with these flags. A value that begins with `secret:` goes through a file.
pub fn store(stage: &Stage, provider: &str, flags: &[&str]) -> Outcome {
    let each = |flag: &&str| flag.strip_prefix("secret:").map_or((*flag).to_owned(), |secret| at_file(stage, secret));
    let flags: Vec<String> = flags.iter().map(each).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    stage.run(&[&["credentials", "store", provider], &flags[..]].concat())
}

/// What `credentials test` tells of the only credential.
pub fn tested(stage: &Stage) -> Value {
    stage.run(&["credentials", "test", "--json"]).json()[0].clone()
}

/// Kills `credentials rotate NAME` again and again, before each request, before each answer, and around each change of
/// the vault. After each time, what is stored works; and in the end the rotation is done.
#[track_caller]
pub fn assert_a_kill_leaves_a_working_one(stage: &Stage, name: &str) {
    let mut struck = 0;
    for call in ["connect", "recvfrom", "pwrite64", "fdatasync", "unlink"] {
        struck += crash::at_every(
            call,
            Blow::Kill,
            || stage.command(&["credentials", "rotate", name]),
            |time| {
                let told = tested(stage);
                assert_eq!(told["outcome"], "valid", "killed at {call} {time}: {told}");
            },
        );
    }
    assert!(struck > 30, "{struck} kills are no test");
    stage.run(&["credentials", "rotate", name]).ends(0);
}

/// One answer of a provider, what is told of it, and the provider's own word.
pub type Case = (u16, String, &'static str, Option<&'static str>);

/// For each answer: whether the credential is stored when it comes, and what is told when it comes later. `answer`
/// makes the routes of a provider that gives the answer.
pub fn assert_cases<R: Fn(&crate::double::Seen) -> Answer + Send + Sync + 'static>(
    provider: &str,
    flags: &[&str],
    cases: Vec<Case>,
    routes: impl Fn(u16, String) -> R,
) {
    for (status, body, outcome, word) in cases {
        let stage = vaulted::stage();
        let double = Double::start(routes(status, body.clone()));
        let endpoint = ["--endpoint", &double.url()];
        let refused = matches!(outcome, "invalid" | "expired");
        let stored = store(&stage, provider, &[flags, &endpoint].concat()).ends(if refused { 8 } else { 0 });
        assert_eq!(stored.stderr().contains("error: not stored: "), refused, "{stored}");
        let unverified = stored.stderr().contains("warning: not verified with ");
        assert_eq!(unverified, !refused && !matches!(outcome, "valid" | "insufficient"), "{stored}");
        if refused {
            store(&stage, provider, &[flags, &endpoint, &["--no-verify"]].concat()).ends(0);
        }
        let told = tested(&stage);
        assert_eq!((&told["outcome"], &told["error"]), (&outcome.into(), &word.into()), "{status} {body}: {told}");
        assert_eq!(told["passed"], matches!(outcome, "valid" | "insufficient"), "{told}");
        let helped = outcome == "valid" || (told["reason"].is_string() && told["next"].is_string());
        assert!(helped, "{told}");
    }
}

/// A provider, and the flags that give it something to store.
pub const PROVIDERS: [(&str, &[&str]); 5] = [
    ("cloudflare", &["--api-token", "cf-not-a-real-token"]),
    ("hetzner", &["--api-token", "hetznerhetznerhetznerhetznerhetznerhetznerhetznerhetznerhetzner1"]),
    ("ovh", &["--application-key", "ak", "--application-secret", "as", "--consumer-key", "ck"]),
    ("vercel", &["--api-token", "vcp_not-a-real-token"]),
    ("verda", &["--client-id", "id", "--client-secret", "secret"]),
];

/// A stage with a credential of each provider, all of which go to this address.
fn all_at(address: &str) -> Stage {
    let stage = vaulted::stage();
    for (provider, flags) in PROVIDERS {
        store(&stage, provider, &[flags, &["--endpoint", address, "--no-verify"]].concat()).ends(0);
    }
    stage
}

/// Fails unless this is told of each, and none is marked as bad by it.
#[track_caller]
fn assert_all(stage: &Stage, outcome: &str, reason: &str) {
    let told = stage.run(&["credentials", "test", "--json"]).ends(8).json();
    let told = told.as_array().expect("an array");
    assert_eq!(told.len(), PROVIDERS.len());
    for each in told {
        assert_eq!(each["outcome"], outcome, "{each}");
        assert!(each["reason"].as_str().is_some_and(|told| told.contains(reason)), "{each}");
        assert!(each["next"].as_str().is_some_and(|next| !next.is_empty()), "{each}");
    }
    assert!(vaulted::list(stage).iter().all(|credential| credential["status"] == "unverified"));
}

#[test]
fn a_provider_that_does_not_answer_says_nothing_about_a_credential() {
    let silent = Double::always(Answer::Silence);
    let stage = all_at(&silent.url());
    let started = std::time::Instant::now();
    assert_all(&stage, "unreachable", "did not answer within 10 s");
    assert!(started.elapsed().as_secs() < 30, "all are asked at the same time");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    assert_all(&all_at(&format!("http://127.0.0.1:{port}")), "unreachable", "cannot reach http://127.0.0.1:");
    assert_all(&all_at(&Double::always(Answer::Close).url()), "unreachable", "broke off");
}

#[test]
fn a_provider_in_trouble_or_too_busy_says_nothing_about_a_credential() {
    let answers = [
        (Answer::text(500, "text/html", "<html>"), "unreachable", "is in trouble (500 Internal Server Error)"),
        (Answer::json(503, "{}"), "unreachable", "is in trouble (503 Service Unavailable)"),
        (Answer::json(429, "{}").header("Retry-After: 30"), "rate_limited", "was asked too often"),
    ];
    for (answer, outcome, reason) in answers {
        let double = Double::always(answer);
        assert_all(&all_at(&double.url()), outcome, reason);
    }
}

#[test]
fn an_answer_from_somebody_else_says_nothing_about_a_credential() {
    for status in [200, 401, 403, 404] {
        let portal = Double::always(Answer::text(status, "text/html", "<html>Sign in to the guest network</html>"));
        assert_all(&all_at(&portal.url()), "unexpected", "in a way that lanyard does not know");
    }
    let moved = Double::always(Answer::text(302, "text/html", "").header("Location: https://portal.test/"));
    assert_all(&all_at(&moved.url()), "unreachable", "unexpected redirect");
}

#[test]
fn a_server_without_a_trusted_certificate_gets_nothing() {
    let double = Double::always(Answer::json(200, "{}"));
    let authority = Authority::new();
    let tls = Tls::before(double.address().port(), &authority.issue("good", NAMES, None), None);
    let address = format!("https://127.0.0.1:{}", tls.port);
    assert_all(&all_at(&address), "tls", "cannot be made safe");
    assert!(double.requests().is_empty(), "no request came through");
    // The same server, trusted: it is asked, and its answer is no provider's.
    let mut stage = all_at(&address);
    stage.set("SSL_CERT_FILE", authority.pem());
    assert_all(&stage, "unexpected", "in a way that lanyard does not know");
    assert!(!double.requests().is_empty());
}

#[test]
fn an_address_without_tls_is_refused() {
    for (provider, flags) in PROVIDERS {
        let stage = vaulted::stage();
        let refused = store(&stage, provider, &[flags, &["--endpoint", "http://api.test"]].concat()).ends(2);
        assert!(refused.stderr().contains("endpoint"), "{refused}");
        assert!(vaulted::list(&stage).is_empty());
    }
}

#[test]
fn what_can_be_replaced_by_hand_alone_says_how() {
    let stage = all_at("https://127.0.0.1:1");
    for (name, why) in [
        ("hetzner", "Hetzner Cloud makes API tokens in its console alone"),
        ("verda", "Verda makes client credentials in its console alone"),
        ("ovh", "a new consumer key of OVHcloud needs your consent in a browser"),
    ] {
        let refused = stage.run(&["credentials", "rotate", name]).ends(1);
        assert!(refused.stderr().contains(why), "{refused}");
        assert!(refused.stderr().contains("lanyard credentials "), "{refused}");
    }
}
