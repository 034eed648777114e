//! The whole `lanyard auth` family against `oidc-provider`, a server that we did not write, with the session in a real
//! keychain: what is shown, what the server is asked, and what the keychain holds afterwards.

use serde_json::Value;

use crate::keyring::Keyring;
use crate::peers::{OidcProvider, free_port, person};
use crate::stage::{Outcome, Running, Stage};
use crate::wire;

/// A keychain, a home and a server, and the profile `work` on that server.
pub struct Scene {
    pub keyring: Keyring,
    pub stage: Stage,
    pub server: OidcProvider,
}

impl Scene {
    pub fn new(settings: &[(&str, &str)]) -> Self {
        let keyring = Keyring::start();
        let stage = Stage::with_keyring(&keyring);
        Self { keyring, stage, server: OidcProvider::start(settings) }
    }

    /// The same, with alice signed in.
    pub fn signed_in(settings: &[(&str, &str)]) -> Self {
        let scene = Self::new(settings);
        scene.login(&[], &[]).ends(0);
        scene
    }

    /// Begins a login to the profile `work` as the public client.
    pub fn start(&self, flags: &[&str]) -> Running {
        let known = ["auth", "login", "--issuer", self.server.issuer(), "--profile", "work", "--no-browser"];
        let client = if flags.contains(&"--client-id") { &[][..] } else { &["--client-id", "cli-public"] };
        self.stage.start(&[&known, client, flags].concat())
    }

    /// A browser login, with a person who has these options.
    pub fn login(&self, flags: &[&str], options: &[&str]) -> Outcome {
        play(self.start(flags), options)
    }

    /// The session as the other client of the keychain sees it.
    pub fn session(&self) -> Value {
        self.keyring.session("work")
    }

    /// What the server says to a refresh token.
    pub fn refreshes(&self, session: &Value) -> wire::Message {
        let token = session["refresh_token"].as_str().expect("a refresh token");
        let fields = [("grant_type", "refresh_token"), ("client_id", "cli-public"), ("refresh_token", token)];
        wire::post_form(&format!("{}/token", self.server.issuer()), &fields).expect("an answer")
    }

    /// The status that the server's userinfo endpoint answers an access token with.
    pub fn userinfo(&self, token: &str) -> u16 {
        let bearer = format!("Authorization: Bearer {token}");
        wire::send("GET", &format!("{}/me", self.server.issuer()), &[&bearer], "").expect("an answer").status()
    }

    pub fn token(&self) -> String {
        self.stage.run(&["auth", "token"]).ends(0).stdout().trim_end().to_owned()
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.stage.run(arguments)
    }
}

/// Has a person carry out what a running login asks for, and waits for its end.
pub fn play(mut running: Running, options: &[&str]) -> Outcome {
    let visit = person(&running.url(), options);
    assert!(visit["status"].as_u64().is_some_and(|status| status < 400), "{visit}");
    running.finish()
}

#[test]
fn a_session_is_shown_renewed_and_ended() {
    let scene = Scene::new(&[("ACCESS_TTL", "3000")]);
    scene.login(&[], &[]).shows(
        0,
        "",
        "Open this address in a browser:\n\
         http://127.0.0.1:[PORT]/auth?[..]\n\
         ✓ Signed in as alice@example.test (profile work, kept in the keychain)\n\
         The token expires [DATE] (in [SPAN]), and is renewed by itself\n",
    );
    let service = scene.server.issuer().trim_start_matches("http://").replace(':', "-");
    let scopes = "openid offline_access profile email";
    scene.run(&["auth", "status"]).shows(
        0,
        &format!(
            "Authenticated as: alice@example.test\n\
             Account ID: alice\n\
             Token expires: [DATE] (in [SPAN])\n\
             Profile: work (from [..])\n\
             Service: {service} (from [..])\n\
             Scopes: [..]\n\
             Storage: keychain\n\
             Renewal: by itself, when the token is about to expire\n"
        ),
        "",
    );
    let facts = scene.run(&["auth", "status", "--json"]).ends(0).json();
    assert_eq!(facts["authenticated"], true);
    assert_eq!(facts["verification"], "verified");
    assert_eq!((&facts["account"], &facts["account_id"]), (&"alice@example.test".into(), &"alice".into()));
    assert_eq!((&facts["profile"], &facts["service"]), (&"work".into(), &service.into()));
    assert_eq!((&facts["endpoint"], &facts["project"]), (&Value::Null, &Value::Null));
    assert_eq!(facts["storage"], "keychain");
    let granted: Vec<&str> = facts["scopes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(scopes.split(' ').all(|scope| granted.contains(&scope)), "{granted:?}");
    let expires = chrono::DateTime::parse_from_rfc3339(facts["expires_at"].as_str().unwrap()).unwrap();
    assert!((2900..=3000).contains(&(expires.timestamp() - chrono::Utc::now().timestamp())));
    assert!(facts["sources"].is_object());

    scene.run(&["auth", "whoami"]).shows(0, "alice@example.test\n", "");
    let token = scene.token();
    assert_eq!(scene.userinfo(&token), 200);
    scene.run(&["auth", "token", "--header"]).shows(0, &format!("Authorization: Bearer {token}\n"), "");
    assert_eq!(scene.server.count("/token"), 1, "a token that lives is not renewed");
}

#[test]
fn token_info_is_told_by_introspection_and_never_shows_the_token() {
    let scene = Scene::signed_in(&[("ACCESS_TTL", "3000")]);
    let token = scene.token();
    let shown = scene.run(&["auth", "token-info", "--json"]).ends(0);
    assert!(!shown.stdout().contains(&token[..12]) && !shown.stderr().contains(&token[..12]), "{shown}");
    let info = shown.json();
    assert_eq!((&info["type"], &info["subject"]), (&"Bearer".into(), &"alice".into()));
    assert_eq!(info["issuer"], scene.server.issuer());
    assert_eq!(info["sources"][0], "introspection");
    assert!(info["issued_at"].is_string() && info["expires_at"].is_string(), "{info}");
    assert!(info["scopes"].as_array().is_some_and(|scopes| scopes.iter().any(|scope| scope == "offline_access")));
    assert_eq!(scene.server.count("/token/introspection"), 1);

    let table = scene.run(&["auth", "token-info"]).ends(0).stdout();
    let names: Vec<&str> = table.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["Type", "Issued", "Expires", "Scopes", "Audience", "Issuer", "Subject"]);
    assert!(!table.contains(&token[..12]));
}

#[test]
fn a_refresh_rotates_and_the_old_refresh_token_is_dead() {
    let scene = Scene::signed_in(&[("ACCESS_TTL", "3000")]);
    let before = scene.session();
    scene.run(&["auth", "refresh"]).shows(0, "", "✓ Session of profile work renewed, expires [DATE] (in [SPAN])\n");
    let after = scene.session();
    assert_ne!(before["access_token"], after["access_token"]);
    assert_ne!(before["refresh_token"], after["refresh_token"]);
    assert_eq!(scene.token(), after["access_token"]);

    // The server ends the whole session at a second use: lanyard says that signing in again is needed, and asks once.
    let answer = scene.refreshes(&before);
    assert_eq!((answer.status(), answer.json()["error"].as_str()), (400, Some("invalid_grant")));
    let requests = scene.server.count("/token");
    let refused = scene.run(&["auth", "refresh"]).ends(4);
    assert!(refused.stderr().contains("Token expired") && refused.stderr().contains("lanyard auth login"), "{refused}");
    scene.run(&["auth", "refresh"]).ends(4);
    assert_eq!(scene.server.count("/token"), requests + 1, "a spent refresh token is not sent again");
    scene.run(&["auth", "status"]).ends(4);

    // Signing in again mends it.
    scene.login(&[], &[]).ends(0);
    assert_eq!(scene.userinfo(&scene.token()), 200);
}

#[test]
fn revoke_ends_the_session_at_the_server_and_here() {
    let scene = Scene::signed_in(&[("ACCESS_TTL", "3000")]);
    let session = scene.session();
    let token = session["access_token"].as_str().unwrap();
    assert_eq!(scene.userinfo(token), 200);
    scene.run(&["auth", "revoke"]).shows(
        0,
        "",
        "✓ The session of profile work has ended\nTo use it again, sign in: lanyard auth login\n",
    );
    assert_eq!(scene.userinfo(token), 401);
    assert_eq!(scene.refreshes(&session).json()["error"], "invalid_grant");
    assert!(!scene.keyring.items().contains("label = "), "{}", scene.keyring.items());
    for command in [["auth", "token"], ["auth", "whoami"], ["auth", "refresh"], ["auth", "revoke"]] {
        let refused = scene.run(&command).ends(4);
        assert_eq!(refused.stdout(), "");
        assert!(refused.stderr().contains("lanyard auth login --profile work"), "{refused}");
    }
}

#[test]
fn logout_revokes_and_a_second_one_has_nothing_to_do() {
    let scene = Scene::signed_in(&[("ACCESS_TTL", "3000")]);
    let session = scene.session();
    scene.run(&["auth", "logout"]).shows(
        0,
        "",
        "✓ Signed out of profile work: ended at the service and removed here\n",
    );
    assert_eq!(scene.userinfo(session["access_token"].as_str().unwrap()), 401);
    assert_eq!(scene.refreshes(&session).json()["error"], "invalid_grant");
    scene.run(&["auth", "logout"]).shows(0, "", "Profile work had no session\n");
    scene.run(&["auth", "status"]).ends(4);
}

#[test]
fn a_server_that_is_gone_does_not_keep_anyone_signed_in() {
    let Scene { keyring, stage, server } = Scene::signed_in(&[("ACCESS_TTL", "3000")]);
    drop(server);
    stage.run(&["auth", "token"]).ends(0);
    let revoke = stage.run(&["auth", "revoke"]).ends(6);
    assert!(keyring.items().contains("label = "), "{revoke}");
    let logout = stage.run(&["auth", "logout"]).ends(6);
    assert!(logout.stderr().contains("remote revocation failed"), "{logout}");
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
    stage.run(&["auth", "token"]).ends(4);
}

#[test]
fn twenty_processes_with_an_expired_token_cause_one_refresh() {
    let scene = Scene::signed_in(&[("ACCESS_TTL", "3000"), ("TOKEN_DELAY_MS", "300")]);
    // An hour later by the clients' clock: expired for all of them, and good again by what the refresh brings.
    let before = scene.session()["access_token"].clone();
    expire(&scene);
    let requests = scene.server.count("/token");
    let running: Vec<Running> = (0..20).map(|_| scene.stage.start(&["auth", "token"])).collect();
    let tokens: Vec<String> = running.into_iter().map(|one| one.finish().ends(0).stdout()).collect();
    assert_eq!(scene.server.count("/token"), requests + 1);
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    assert_ne!(before, tokens[0].trim_end());
    assert_eq!(scene.userinfo(tokens[0].trim_end()), 200);
}

/// Has the stored session expire now, as if it had lain there for long.
fn expire(scene: &Scene) {
    let mut session = scene.session();
    let ago = |minutes| (chrono::Utc::now() - chrono::Duration::minutes(minutes)).to_rfc3339();
    session["issued_at"] = ago(90).into();
    session["expires_at"] = ago(30).into();
    let name = scene.keyring.name_of("work");
    scene.keyring.put("lanyard: work", &["service", "lanyard", "username", &name], &session.to_string());
    assert_eq!(scene.session()["expires_at"], session["expires_at"]);
}

#[test]
fn the_same_account_replaces_its_session_and_another_is_refused() {
    let scene = Scene::signed_in(&[("ACCESS_TTL", "3000")]);
    let first = scene.session();
    scene.login(&[], &[]).ends(0);
    let second = scene.session();
    assert_ne!(first["access_token"], second["access_token"]);
    assert_eq!(scene.keyring.items().matches("label = ").count(), 1, "{}", scene.keyring.items());

    let (config, item) = (scene.stage.config(), scene.session());
    let refused = scene.login(&[], &["--user", "bob"]).ends(1);
    assert!(
        refused.stderr().contains("bob@example.test") && refused.stderr().contains("--switch-account"),
        "{refused}"
    );
    assert_eq!(scene.stage.config(), config);
    assert_eq!(scene.session(), item);
    assert_eq!(scene.userinfo(item["access_token"].as_str().unwrap()), 200);

    scene.login(&["--switch-account"], &["--user", "bob"]).ends(0);
    scene.run(&["auth", "whoami"]).shows(0, "bob@example.test\n", "");
    assert!(scene.stage.config().contains("account = \"bob@example.test\""), "{}", scene.stage.config());
    assert_eq!(scene.keyring.items().matches("label = ").count(), 1, "{}", scene.keyring.items());
}

#[test]
fn a_denial_in_the_browser_changes_nothing() {
    let scene = Scene::signed_in(&[("ACCESS_TTL", "3000")]);
    let (config, item) = (scene.stage.config(), scene.session());
    let mut running = scene.start(&[]);
    person(&running.url(), &["--deny"]);
    let denied = running.finish().ends(5);
    assert!(denied.stderr().contains("error:") && denied.stderr().contains("allow the access"), "{denied}");
    assert_eq!((scene.stage.config(), scene.session()), (config, item));
}

#[test]
fn a_redirect_that_the_server_does_not_know_ends_by_time_out() {
    let scene = Scene::new(&[]);
    let mut running =
        scene.start(&["--client-id", "cli-fixed-port", "--port", &free_port().to_string(), "--timeout", "8"]);
    // The server shows a page of its own and sends nobody back.
    let visit = person(&running.url(), &[]);
    assert_eq!(visit["status"], 400, "{visit}");
    running.finish().shows(
        4,
        "",
        "Open this address in a browser:\n\
         http://127.0.0.1:[PORT]/auth?[..]\n\
         error: nobody finished the sign-in within 8 s\n  \
         next: run `lanyard auth login` again; `--timeout` gives more time, [..]--port`\n",
    );
    assert_eq!(scene.stage.config(), "");
    assert!(!scene.keyring.items().contains("label = "));
}

#[test]
fn a_second_login_without_offline_access_works_too() {
    let scene = Scene::new(&[("ACCESS_TTL", "3000")]);
    scene.login(&["--scopes", "openid email"], &[]).ends(0);
    scene.login(&["--scopes", "openid email"], &[]).ends(0);
    assert_eq!(scene.userinfo(&scene.token()), 200);
    assert!(scene.session().get("refresh_token").is_none(), "no renewal was asked for");
    let refused = scene.run(&["auth", "refresh"]).ends(4);
    assert!(refused.stderr().contains("gave"), "{refused}");
}
