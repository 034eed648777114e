//! Where a token may be led: redirects of every kind, addresses that are none, and names that would climb.

use crate::canary::{Canary, Sweep};
use crate::corp::{self, TOKEN};
use crate::idp::{Fault, Idp};
use crate::keyring::Keyring;
use crate::scene;
use crate::second_host::SecondHost;
use crate::stage::{Outcome, Stage};

const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// A stage that is signed in, the provider, and two places that must not learn anything.
struct Scene {
    stage: Stage,
    idp: Idp,
    port: Idp,
    host: SecondHost,
}

impl Scene {
    fn signed_in() -> Self {
        let idp = Idp::honest();
        let stage = scene::stage_for(&idp);
        scene::sign_in(&stage);
        idp.forget();
        Self { stage, idp, port: Idp::honest(), host: SecondHost::start() }
    }

    /// Every way to name another origin in a `Location`.
    fn ways_out(&self) -> Vec<String> {
        let (own, host) = (self.idp.issuer().trim_start_matches("http://"), self.host.address());
        let port = own.rsplit(':').next().expect("a port");
        vec![
            self.port.url("/v1/me"),
            self.host.url("/v1/me"),
            format!("//{host}/v1/me"),
            format!("/\\{host}/v1/me"),
            format!("http://{own}@{host}/v1/me"),
            format!("http://{own}:pass@{host}/v1/me"),
            format!("http://{own}%40{host}/v1/me"),
            format!("https://{own}/v1/me"),
            format!("http://localhost:{port}/v1/me"),
            format!("http://127.0.0.2:{port}/v1/me"),
            "file:///etc/passwd".into(),
            "javascript:alert(1)".into(),
        ]
    }

    /// Fails if a request went anywhere but to the provider, once.
    #[track_caller]
    fn assert_stayed(&self, path: &str, outcome: &Outcome) {
        self.host.assert_untouched();
        assert!(self.port.requests().is_empty(), "{outcome}: {:?}", self.port.requests());
        let paths: Vec<String> = self.idp.requests().into_iter().map(|seen| seen.path).collect();
        assert_eq!(paths, [path], "{outcome}");
        self.idp.forget();
    }
}

#[test]
fn a_request_is_never_redirected_to_another_origin() {
    let scene = Scene::signed_in();
    let commands: [&[&str]; 2] = [&["api", "GET", "/v1/me"], &["api", "POST", "/v1/me", "-f", "name=web-shop"]];
    for target in scene.ways_out() {
        for status in STATUSES {
            scene.idp.change(|behaviour| {
                behaviour.fault("/v1/me", Fault::Redirect(status, target.clone()));
            });
            for command in commands {
                let outcome = scene.stage.run(command).ends(6);
                let said = outcome.stderr();
                assert!(said.contains("unexpected redirect from") && said.contains("next: "), "{target}: {outcome}");
                assert!(outcome.stdout().is_empty(), "{outcome}");
                scene.assert_stayed("/v1/me", &outcome);
            }
        }
    }
    scene::assert_no_leaks(&scene.stage, &scene.idp, &[&scene.stage.home().display().to_string()]);
}

#[test]
fn whoever_asks_about_the_token_is_not_redirected_either() {
    let scene = Scene::signed_in();
    let with_api = scene.stage.config();
    let without_api = with_api.split("[services.corp.api]").next().expect("the beginning").to_owned();
    for (config, path) in [(with_api.clone(), "/v1/me"), (without_api, "/userinfo")] {
        scene.stage.write_config(&config);
        for target in scene.ways_out() {
            for status in STATUSES {
                scene.idp.change(|behaviour| {
                    behaviour.fault(path, Fault::Redirect(status, target.clone()));
                });
                let outcome = scene.stage.run(&["auth", "status"]).ends(0);
                let warning = outcome.stderr();
                assert!(warning.contains("warning: not verified: "), "{target}: {outcome}");
                assert!(warning.contains("unexpected redirect from"), "{target}: {outcome}");
                scene.assert_stayed(path, &outcome);
            }
        }
        let json = scene.stage.run(&["auth", "status", "--json"]).ends(0).json();
        assert_eq!(json["verification"], "unreachable");
        scene.idp.forget();
    }
}

#[test]
fn a_pasted_token_is_not_stored_on_the_word_of_a_redirect() {
    let (keyring, idp, host) = (Keyring::start(), corp::idp(), SecondHost::start());
    let stage = Stage::with_keyring(&keyring);
    stage.write_config(&corp::service(&idp));
    for status in STATUSES {
        idp.change(|behaviour| {
            behaviour.fault("/v1/me", Fault::Redirect(status, host.url("/v1/me")));
        });
        let refused = corp::paste(&stage, TOKEN, &[]).ends(6);
        assert!(refused.stderr().contains("unexpected redirect"), "{refused}");
    }
    host.assert_untouched();
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
}

#[test]
fn a_get_is_redirected_within_its_origin_and_a_post_is_not() {
    let scene = Scene::signed_in();
    let within = ["/v1/moved".to_owned(), "moved".to_owned(), "?moved=1".to_owned(), scene.idp.url("/v1/moved")];
    for target in within {
        for status in STATUSES {
            scene.idp.change(|behaviour| {
                behaviour.fault_once("/v1/me", Fault::Redirect(status, target.clone()));
            });
            scene.stage.run(&["api", "GET", "/v1/me"]).ends(0);
            let requests = scene.idp.requests();
            assert_eq!(requests.len(), 2, "{target}: {requests:?}");
            assert!(requests.iter().all(|seen| seen.method == "GET" && seen.bearer().is_some()), "{requests:?}");
            scene.idp.forget();
            scene.idp.change(|behaviour| {
                behaviour.fault_once("/v1/me", Fault::Redirect(status, target.clone()));
            });
            let refused = scene.stage.run(&["api", "POST", "/v1/me", "-f", "a=b"]).ends(6);
            assert!(refused.stderr().contains("unexpected redirect"), "{refused}");
            scene.assert_stayed("/v1/me", &refused);
        }
    }
    // Round and round it goes not.
    scene.idp.change(|behaviour| {
        behaviour.fault("/v1/me", Fault::Redirect(302, "/v1/me".into()));
    });
    let refused = scene.stage.run(&["api", "GET", "/v1/me"]).ends(6);
    assert!(refused.stderr().contains("again and again"), "{refused}");
    assert!(scene.idp.requests().len() < 12);
}

/// Addresses that some parser would read as a host that a token must not go to.
const BAD_ADDRESSES: [&str; 17] = [
    "http://h",
    "http://api.example.com/v1",
    "http://10.0.0.1",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1@evil.example",
    "https://good.example@evil.example",
    "https://user:LNYCANARY00112233@evil.example",
    "https:\\\\evil.example",
    "https:/\\evil.example",
    "https:///evil.example",
    "https://good%2eexample",
    "https://\u{ff47}\u{ff4f}\u{ff4f}\u{ff44}.example",
    "https://evil.example\u{2028}.good.example",
    "ftp://evil.example",
    "//evil.example",
    "https://",
];

/// A stage whose every command is watched for connections, and the log of them.
fn watched() -> (Stage, std::path::PathBuf) {
    let mut stage = Stage::new();
    let log = stage.root().join("strace.log");
    let file = log.display().to_string();
    stage.wrap(&["strace", "-f", "-e", "trace=connect,sendto,sendmsg", "-o", &file]);
    (stage, log)
}

/// Fails if anything was sent by the internet's protocols, a question for a name included.
#[track_caller]
fn assert_silent(log: &std::path::Path, outcome: &Outcome) {
    let calls = std::fs::read_to_string(log).expect("strace is installed; tests/run does that");
    assert!(calls.contains("+++ exited"), "{calls}");
    assert!(!calls.contains("AF_INET"), "{outcome}\n{calls}");
}

#[track_caller]
fn assert_told(address: &str, place: &str, outcome: &Outcome) {
    let said = outcome.stderr();
    assert!(said.contains(place) && said.contains("next: "), "{address}: {outcome}");
    assert!(!said.contains("LNYCANARY") && !said.contains("evil.example/"), "{address}: {outcome}");
    assert!(outcome.stdout().is_empty(), "{address}: {outcome}");
}

#[test]
fn an_address_that_is_not_plain_is_refused_before_a_packet_is_sent() {
    for address in BAD_ADDRESSES {
        let (mut stage, log) = watched();
        let login = ["auth", "login", "--profile", "p", "--no-browser", "--client-id", "cli", "--storage", "plain"];
        let issuer = stage.run(&[&login[..], &["--issuer", address]].concat()).ends(2);
        assert_told(address, "--issuer", &issuer);
        assert_silent(&log, &issuer);
        let endpoint = ["auth", "login", "--service", "github", "--with-token", "--storage", "plain"];
        let endpoint = stage.run_with(&[&endpoint[..], &["--endpoint", address]].concat(), TOKEN.as_bytes()).ends(2);
        assert_told(address, "--endpoint", &endpoint);
        assert_silent(&log, &endpoint);

        stage.set("LANYARD_TOKEN", TOKEN).set("LANYARD_ENDPOINT", address);
        let variable = stage.run(&["api", "GET", "/v1/me"]).ends(3);
        assert_told(address, "LANYARD_ENDPOINT", &variable);
        assert_silent(&log, &variable);
        stage.unset("LANYARD_ENDPOINT");
        assert!(stage.config().is_empty(), "{}", stage.config());
    }
}

#[test]
fn a_configured_address_that_is_not_plain_is_refused_with_its_line() {
    for address in BAD_ADDRESSES {
        let (mut stage, log) = watched();
        stage.set("LANYARD_TOKEN", TOKEN);
        let text = toml::Value::from(address).to_string();
        for (config, place) in [
            (format!("profile = \"p\"\n[profiles.p]\nservice = \"s\"\nendpoint = {text}\n"), "config.toml:4:12: "),
            (format!("[services.s]\nissuer = {text}\n"), "config.toml:2:10: "),
            (format!("[services.s]\nendpoint = {text}\n"), "config.toml:2:12: "),
            (format!("[services.s]\ntoken_endpoint = {text}\n"), "config.toml:2:18: "),
        ] {
            stage.write_config(&config);
            for command in [&["api", "GET", "/v1/me"][..], &["auth", "login", "--service", "s", "--no-browser"]] {
                let outcome = stage.run(command).ends(3);
                assert_told(address, place, &outcome);
                assert_silent(&log, &outcome);
            }
            assert_eq!(stage.config(), config);
        }
        stage.write_config("");
        for key in ["profiles.p.endpoint", "services.s.issuer", "services.s.endpoint", "services.s.jwks_uri"] {
            let outcome = stage.run(&["config", "set", key, address]).ends(2);
            assert_told(address, key, &outcome);
            assert_silent(&log, &outcome);
        }
        assert!(stage.config().is_empty());
    }
}

#[test]
fn a_path_stays_at_its_endpoint_and_a_project_is_one_segment() {
    let scene = Scene::signed_in();
    let host = scene.host.address();
    let refused = [
        scene.host.url("/v1/me"),
        format!("https://{host}/v1/me"),
        format!("http://user@{host}/v1/me"),
        "/v1/../admin".into(),
        "/v1/%2e%2E/admin".into(),
        "/v1/\\..\\admin".into(),
        "/v1/me#fragment".into(),
        "/v1/me\r\nX-Injected: yes".into(),
        "/v1/m e".into(),
    ];
    for path in &refused {
        let outcome = scene.stage.run(&["api", "GET", path]).ends(2);
        assert!(outcome.stderr().contains("next: "), "{outcome}");
        assert!(scene.idp.requests().is_empty(), "{path}: {:?}", scene.idp.requests());
    }
    // Looks like another host, and is a path.
    scene.stage.run(&["api", "GET", &format!("//{host}/v1/me")]);
    assert_eq!(scene.idp.requests().len(), 1);
    scene.idp.forget();
    scene.host.assert_untouched();

    let mut stage = scene.stage;
    for (project, segment) in [
        ("web-shop", "web-shop"),
        ("../admin", "..%2Fadmin"),
        ("../../user", "..%2F..%2Fuser"),
        ("a/b?c=d#e", "a%2Fb%3Fc%3Dd%23e"),
        ("a b", "a%20b"),
        ("%2e%2e", "%252e%252e"),
        ("\u{fc}", "%C3%BC"),
        ("v1.2", "v1.2"),
    ] {
        stage.set("LANYARD_PROJECT", project);
        stage.run(&["api", "GET", "/v1/projects/{project}/items"]).ends(0);
        let seen = scene.idp.requests().pop().expect("a request");
        assert_eq!((seen.path.as_str(), seen.query.as_str()), (&*format!("/v1/projects/{segment}/items"), ""));
    }
    scene.idp.forget();
    for project in [".", ".."] {
        stage.set("LANYARD_PROJECT", project);
        stage.run(&["api", "GET", "/v1/projects/{project}/items"]).ends(2);
        assert!(scene.idp.requests().is_empty(), "{:?}", scene.idp.requests());
    }
    let mut sweep = Sweep::for_canaries(&[Canary::of(TOKEN)]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}
