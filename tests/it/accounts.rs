//! Several accounts and profiles on one service, and what a browser, an editor and a redirect address are given.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::corp;
use crate::idp::Idp;
use crate::keyring::Keyring;
use crate::stage::{Outcome, Stage};
use crate::terminal::Terminal;
use crate::wire;

struct Scene {
    keyring: Keyring,
    stage: Stage,
    idp: Idp,
}

impl Scene {
    fn new() -> Self {
        let (keyring, idp) = (Keyring::start(), corp::idp());
        let stage = Stage::with_keyring(&keyring);
        stage.write_config(&corp::service(&idp));
        Self { keyring, stage, idp }
    }

    /// The account that signs in from now on.
    fn become_account(&self, name: &str) {
        self.idp.change(|behaviour| {
            behaviour.account.sub = format!("acc_{name}");
            behaviour.account.email = format!("{name}@example.com");
        });
    }

    fn login(&self, flags: &[&str]) -> Outcome {
        let login = ["auth", "login", "--service", "corp", "--no-browser"];
        let mut running = self.stage.start(&[&login[..], flags].concat());
        wire::browse(&running.url());
        running.finish()
    }

    fn whoami(&self, flags: &[&str]) -> String {
        self.stage.run(&[&["auth", "whoami"][..], flags].concat()).ends(0).stdout().trim_end().to_owned()
    }
}

#[test]
fn two_accounts_of_one_service_have_a_profile_each() {
    let scene = Scene::new();
    scene.become_account("ada");
    scene.login(&["--profile", "ada"]).ends(0);
    scene.become_account("bob");
    scene.login(&["--profile", "bob"]).ends(0);
    assert_eq!(scene.whoami(&[]), "ada@example.com", "the first profile stays the default");
    assert_eq!(scene.whoami(&["--profile", "bob"]), "bob@example.com");

    scene.stage.run(&["auth", "switch", "bob"]).ends(0);
    assert_eq!(scene.whoami(&[]), "bob@example.com");
    scene.stage.run(&["auth", "switch", "nobody"]).ends(3);
    // The fake's API knows one account at a time, so it is not asked.
    let all = scene.stage.run(&["auth", "status", "--all", "--offline", "--json"]).ends(0).json();
    let accounts: Vec<_> = all.as_array().expect("an array").iter().map(|one| one["account"].clone()).collect();
    assert_eq!(accounts, ["ada@example.com", "bob@example.com"]);
    let shown = scene.stage.run(&["auth", "status", "--all"]).ends(0).stdout();
    assert_eq!(shown.matches("Authenticated as: ").count(), 2, "{shown}");

    // Renaming and removing a profile take its session along.
    scene.stage.run(&["profile", "rename", "bob", "robert"]).ends(0);
    assert_eq!(scene.whoami(&[]), "bob@example.com");
    assert!(scene.keyring.items().contains("label = lanyard: robert (bob@example.com)"), "{}", scene.keyring.items());
    scene.stage.run(&["auth", "logout", "--all"]).ends(0);
    assert!(!scene.keyring.items().contains("label = "), "{}", scene.keyring.items());
    assert_eq!(scene.idp.live_refresh_tokens(), 0);
    scene.stage.run(&["auth", "status", "--all"]).ends(4);
}

#[test]
fn another_account_without_a_named_profile_is_asked_about_at_a_terminal() {
    let scene = Scene::new();
    scene.become_account("ada");
    scene.login(&[]).ends(0);
    assert!(scene.stage.config().contains("[profiles.corp]"), "{}", scene.stage.config());
    scene.become_account("bob");
    let before = scene.stage.config();
    let refused = scene.login(&[]).ends(1);
    assert!(refused.stderr().contains("--profile NAME") && refused.stderr().contains("--switch-account"), "{refused}");
    assert_eq!(scene.stage.config(), before);
    // Tokens that were issued and not kept are given back.
    assert_eq!(scene.idp.live_refresh_tokens(), 1);

    let mut terminal = Terminal::start(&scene.stage, &["auth", "login", "--service", "corp", "--no-browser"]);
    let url = terminal.sees_url();
    let browser = std::thread::spawn(move || wire::browse(&url));
    terminal.sees("bob@example.com signed in, and profile corp is for ada@example.com");
    terminal.sees("Keep this account in a new profile named");
    terminal.types("");
    let ending = terminal.ends();
    assert_eq!((ending.code, ending.echoes), (Some(0), true), "{ending:?}");
    browser.join().expect("the browser ends");
    assert_eq!(scene.whoami(&["--profile", "bob@example.com"]), "bob@example.com");
    assert_eq!(scene.whoami(&["--profile", "corp"]), "ada@example.com");
}

#[test]
fn the_account_of_the_profile_is_asked_for() {
    let scene = Scene::new();
    scene.login(&["--profile", "work"]).ends(0);
    scene.idp.forget();
    scene.login(&["--profile", "work"]).ends(0);
    let query = scene.idp.requests_to("/authorize")[0].query.clone();
    let fields = wire::fields(query.as_bytes());
    assert_eq!(wire::field(&fields, "login_hint"), Some("user@example.com"), "{query}");
    // A word that the issuer does not announce could make it refuse the sign-in.
    assert_eq!(wire::field(&fields, "prompt"), Some("consent"), "{query}");
    scene.idp.change(|behaviour| {
        behaviour.patch("/.well-known/openid-configuration", |metadata| {
            metadata["prompt_values_supported"] = serde_json::json!(["none", "consent", "select_account"]);
        });
    });
    scene.idp.forget();
    scene.login(&["--profile", "work"]).ends(0);
    let query = scene.idp.requests_to("/authorize")[0].query.clone();
    let fields = wire::fields(query.as_bytes());
    assert_eq!(wire::field(&fields, "prompt"), Some("consent select_account"), "{query}");
    scene.idp.forget();
    scene.login(&["--profile", "work", "--switch-account"]).ends(0);
    let query = scene.idp.requests_to("/authorize")[0].query.clone();
    assert!(!query.contains("login_hint"), "{query}");
}

#[test]
fn redirect_host_and_path_follow_the_configuration() {
    for (host, expected) in
        [("localhost", "http://localhost:"), ("[::1]", "http://[::1]:"), ("127.0.0.1", "http://127")]
    {
        if host != "127.0.0.1" && std::net::TcpListener::bind("[::1]:0").is_err() {
            eprintln!("left out: this machine has no IPv6 loopback");
            continue;
        }
        let scene = Scene::new();
        for (key, value) in [("redirect_host", host), ("redirect_path", "/oauth/back")] {
            scene.stage.run(&["config", "set", &format!("services.corp.{key}"), value]).ends(0);
        }
        let mut running = scene.stage.start(&["auth", "login", "--service", "corp", "--no-browser"]);
        let url = running.url();
        let callback = wire::callback_of(&url);
        assert!(callback.starts_with(expected) && callback.contains("/oauth/back?"), "{callback}");
        wire::browse(&url);
        running.finish().ends(0);
    }
}

#[test]
fn more_scopes_and_more_life_are_asked_for() {
    let scene = Scene::new();
    scene.idp.change(|behaviour| behaviour.expires_in = 1000);
    scene.login(&["--scopes", "openid,email offline_access"]).ends(0);
    let scopes = |outcome: Outcome| outcome.ends(0).json()["scopes"].clone();
    let granted = serde_json::json!(["openid", "email", "offline_access"]);
    assert_eq!(scopes(scene.stage.run(&["auth", "status", "--offline", "--json"])), granted);
    let first = scene.stage.run(&["auth", "token", "--min-validity", "10m"]).ends(0).stdout();
    assert!(scene.idp.grants("refresh_token").is_empty());
    let second = scene.stage.run(&["auth", "token", "--min-validity", "1h"]).ends(0).stdout();
    assert_ne!(first, second);
    assert_eq!(scene.idp.grants("refresh_token").len(), 1);

    scene.stage.run(&["auth", "refresh", "--scopes", "openid email"]).ends(0);
    assert_eq!(scene.idp.grants("refresh_token")[1].field("scope").as_deref(), Some("openid email"));
    // More than was consented to is the person's to give (RFC 6749 section 6), and the session stays.
    let refused = scene.stage.run(&["auth", "refresh", "--scopes", "openid api:read"]).ends(5);
    assert!(refused.stderr().contains("lanyard auth login --scopes"), "{refused}");
    scene.stage.run(&["auth", "token", "--min-validity", "900"]).ends(0);
    scene.idp.change(|behaviour| behaviour.granted_scope = Some("openid".into()));
    let fewer = scene.stage.run(&["auth", "refresh", "--scopes", "openid email"]).ends(0);
    assert!(fewer.stderr().contains("did not grant email"), "{fewer}");
}

/// A program that writes its arguments and its environment to a file.
fn witness(stage: &Stage) -> (PathBuf, PathBuf) {
    let (program, log) = (stage.root().join("witness"), stage.root().join("seen"));
    let script = format!("#!/bin/sh\n{{ echo \"$@\"; env; }} > {0}.part && mv {0}.part {0}\n", log.display());
    std::fs::write(&program, script).expect("a script");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("its mode");
    (program, log)
}

#[test]
fn browser_and_editor_are_started_without_secrets_in_their_environment() {
    let mut scene = Scene::new();
    let (program, log) = witness(&scene.stage);
    scene.stage.set("BROWSER", &program).set("LANYARD_PASSPHRASE", "correct horse").set("GITHUB_TOKEN", "ghp_other");
    let mut running = scene.stage.start(&["auth", "login", "--service", "corp", "--storage", "file"]);
    let url = running.url();
    wire::browse(&url);
    running.finish().ends(0);
    let seen = std::fs::read_to_string(&log).expect("the browser was started");
    assert!(seen.starts_with(&url), "{seen}");
    assert!(!seen.contains("correct horse"), "{seen}");

    std::fs::remove_file(&log).expect("the log");
    scene.stage.set("EDITOR", &program).set("LANYARD_TOKEN", "environment-token").set("CORP_API_TOKEN", "corp-token");
    scene.stage.run(&["config", "edit"]).ends(0);
    let seen = std::fs::read_to_string(&log).expect("the editor was started");
    for secret in ["correct horse", "environment-token", "corp-token", "ghp_other"] {
        assert!(!seen.contains(secret), "{seen}");
    }
}

#[test]
fn a_signal_while_waiting_ends_the_login_without_a_trace() {
    for signal in ["INT", "TERM", "HUP"] {
        let scene = Scene::new();
        let config = scene.stage.config();
        let mut running = scene.stage.start(&["auth", "login", "--service", "corp", "--no-browser"]);
        let callback = wire::callback_of(&running.url());
        running.signal(signal);
        running.finish().ends(130);
        assert!(wire::get(&callback).is_none(), "{signal}: the port is still open");
        assert_eq!(scene.stage.config(), config);
        assert!(!scene.keyring.items().contains("label = "));
    }
}
