//! Tokens and endpoints from the environment: who wins, what is written (nothing), and where a token may go.

use crate::corp::{self, OTHER_TOKEN, TOKEN, paste};
use crate::idp::Idp;
use crate::keyring::Keyring;
use crate::second_host::SecondHost;
use crate::stage::Stage;

/// The profile `work`, signed in with `TOKEN`; the profile is the default and names the provider as its endpoint.
struct Scene {
    keyring: Keyring,
    stage: Stage,
    idp: Idp,
}

impl Scene {
    fn signed_in() -> Self {
        let (keyring, idp) = (Keyring::start(), corp::idp());
        let stage = Stage::with_keyring(&keyring);
        stage.write_config(&corp::service(&idp));
        paste(&stage, TOKEN, &["--endpoint", idp.issuer()]).ends(0);
        idp.forget();
        Self { keyring, stage, idp }
    }

    /// Who came to the API, by their tokens.
    fn bearers(&self) -> Vec<String> {
        self.idp.requests().iter().filter_map(|seen| seen.bearer().map(str::to_owned)).collect()
    }
}

#[test]
fn a_token_variable_wins_and_status_says_over_what() {
    for variable in ["LANYARD_TOKEN", "CORP_API_TOKEN"] {
        let mut scene = Scene::signed_in();
        scene.stage.set(variable, OTHER_TOKEN);
        scene.stage.run(&["auth", "token"]).shows(0, &format!("{OTHER_TOKEN}\n"), "");
        let status = scene.stage.run(&["auth", "status"]).ends(0).stdout();
        let wins = format!("Token: from {variable}, which wins over any session in the keychain\n");
        assert!(status.starts_with("Authenticated as: user@example.com\n") && status.contains(&wins), "{status}");
        let json = scene.stage.run(&["auth", "status", "--json"]).ends(0).json();
        assert_eq!((&json["storage"], &json["sources"]["token"]), (&"environment".into(), &variable.into()));
        scene.stage.run(&["api", "GET", "/v1/me"]).ends(0);
        assert!(!scene.bearers().is_empty() && scene.bearers().iter().all(|token| token == OTHER_TOKEN));
        let which = scene.stage.run(&["which"]).ends(0);
        assert!(which.stdout().contains(variable) && !which.stdout().contains(&OTHER_TOKEN[..16]), "{which}");
    }
    let mut scene = Scene::signed_in();
    scene.stage.set("LANYARD_TOKEN", OTHER_TOKEN).set("CORP_API_TOKEN", TOKEN);
    scene.stage.run(&["auth", "token"]).shows(0, &format!("{OTHER_TOKEN}\n"), "");
    // An empty variable is none.
    scene.stage.set("LANYARD_TOKEN", "").unset("CORP_API_TOKEN");
    scene.stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");
}

#[test]
fn while_a_token_variable_is_in_force_nothing_is_written() {
    for variable in ["LANYARD_TOKEN", "CORP_API_TOKEN"] {
        let mut scene = Scene::signed_in();
        scene.stage.set(variable, OTHER_TOKEN);
        let before = (scene.stage.files(), scene.keyring.items());
        let commands: [&[&str]; 7] = [
            &["auth", "login"],
            &["auth", "login", "--service", "corp", "--no-browser"],
            &["auth", "login", "--service", "corp", "--device", "--json"],
            &["auth", "login", "--service", "corp", "--with-token"],
            &["auth", "refresh"],
            &["auth", "revoke", "--force"],
            &["auth", "logout"],
        ];
        for command in commands {
            let refused = scene.stage.run(command).ends(1);
            assert!(refused.stderr().contains(&format!("{variable} is set")), "{refused}");
            assert!(refused.stderr().contains(&format!("next: unset {variable}")), "{refused}");
            assert!(refused.stdout().is_empty(), "{refused}");
        }
        assert!(scene.idp.requests().is_empty());
        let after = scene.stage.files();
        let changed: Vec<_> = after.iter().filter(|(path, bytes)| before.0.get(*path) != Some(bytes)).collect();
        assert!(changed.is_empty(), "{changed:?}");
        assert_eq!(scene.keyring.items(), before.1);
        scene.stage.unset(variable);
        scene.stage.run(&["auth", "token"]).shows(0, &format!("{TOKEN}\n"), "");
    }
}

#[test]
fn an_environment_token_goes_to_the_endpoint_that_the_environment_names() {
    let mut scene = Scene::signed_in();
    let other = corp::idp();
    scene.stage.set("LANYARD_TOKEN", OTHER_TOKEN).set("LANYARD_ENDPOINT", other.issuer());
    scene.stage.run(&["api", "GET", "/v1/me"]).ends(0);
    assert_eq!(other.requests_to("/v1/me").len(), 1);
    assert!(scene.idp.requests().is_empty());
    let refused = scene.stage.run(&["api", "GET", &scene.idp.url("/v1/me")]).ends(2);
    assert!(refused.stderr().contains("is not the origin of the profile's endpoint"), "{refused}");
    assert!(scene.idp.requests().is_empty());
}

#[test]
fn the_stored_session_is_not_carried_to_another_endpoint() {
    let mut scene = Scene::signed_in();
    let second = SecondHost::start();
    scene.stage.set("LANYARD_ENDPOINT", second.url(""));
    let refused = scene.stage.run(&["api", "GET", "/v1/me"]).ends(3);
    assert!(refused.stderr().contains("LANYARD_ENDPOINT") && refused.stderr().contains("next: "), "{refused}");
    for command in [&["project", "list"][..], &["project", "use", "web-shop"], &["auth", "token-info"]] {
        scene.stage.run(command);
    }
    let status = scene.stage.run(&["auth", "status"]);
    assert!(!status.stdout().contains(&TOKEN[..16]), "{status}");
    second.assert_untouched();
    // The same origin by another path is the same place.
    scene.stage.set("LANYARD_ENDPOINT", scene.idp.url("/"));
    scene.stage.run(&["api", "GET", "/v1/me"]).ends(0);
}

#[test]
fn a_project_file_cannot_choose_where_an_environment_token_goes() {
    let mut scene = Scene::signed_in();
    let second = SecondHost::start();
    let config = scene.stage.config();
    let other = format!(
        "{config}\n[profiles.elsewhere]\nservice = \"elsewhere\"\nendpoint = \"{0}\"\n\n\
         [services.elsewhere]\nendpoint = \"{0}\"\n\n[services.elsewhere.api]\nwhoami = \"/v1/me\"\n",
        second.url("")
    );
    scene.stage.write_config(&other);
    scene.stage.enter("cloned");
    let file = scene.stage.home().join("cloned/.lanyard.toml");
    std::fs::write(&file, "profile = \"elsewhere\"\n").expect("a project file");
    scene.stage.set("LANYARD_TOKEN", OTHER_TOKEN);
    for command in [
        &["api", "GET", "/v1/me"][..],
        &["auth", "status"],
        &["auth", "token"],
        &["auth", "whoami"],
        &["auth", "token-info"],
        &["project", "list"],
    ] {
        let outcome = scene.stage.run(command);
        assert_ne!(outcome.code, Some(0), "{outcome}");
        assert!(outcome.stderr().contains("LANYARD_TOKEN is not used"), "{outcome}");
        assert!(!outcome.stdout().contains(&OTHER_TOKEN[..16]), "{outcome}");
    }
    second.assert_untouched();

    // Nor may it name an endpoint or a service.
    let evil = format!("profile = \"work\"\nendpoint = \"{0}\"\n[services.corp]\nendpoint = \"{0}\"\n", second.url(""));
    std::fs::write(&file, evil).expect("a project file");
    scene.stage.unset("LANYARD_TOKEN");
    let warned = scene.stage.run(&["api", "GET", "/v1/me"]).ends(0);
    assert!(warned.stderr().contains("endpoint") && warned.stderr().contains("services"), "{warned}");
    assert_eq!(scene.bearers().last().map(String::as_str), Some(TOKEN));
    second.assert_untouched();
}

#[test]
fn all_profiles_at_once_do_not_get_the_generic_token() {
    let mut scene = Scene::signed_in();
    let second = SecondHost::start();
    let config = scene.stage.config();
    scene.stage.write_config(&format!(
        "{config}\n[profiles.elsewhere]\nservice = \"elsewhere\"\n\n[services.elsewhere]\nendpoint = \"{}\"\n\n\
         [services.elsewhere.api]\nwhoami = \"/v1/me\"\n",
        second.url("")
    ));
    scene.stage.set("LANYARD_TOKEN", OTHER_TOKEN);
    let all = scene.stage.run(&["auth", "status", "--all", "--json"]).ends(4).json();
    let storage = |name: &str| {
        let one = all.as_array().expect("an array").iter().find(|one| one["profile"] == name).expect("the profile");
        (one["storage"].clone(), one["authenticated"].clone())
    };
    assert_eq!(storage("work"), ("environment".into(), true.into()));
    assert_eq!(storage("elsewhere"), ("keychain".into(), false.into()));
    second.assert_untouched();
}

#[test]
fn the_environment_chooses_profile_and_project() {
    let mut scene = Scene::signed_in();
    scene.stage.run(&["project", "use", "web-shop"]).ends(0);
    scene.stage.set("LANYARD_PROJECT", "data-lake");
    scene.stage.run(&["project", "current"]).shows(0, "data-lake\n", "");
    scene.stage.run(&["project", "current", "--project", "third"]).shows(0, "third\n", "");
    scene.stage.set("LANYARD_PROFILE", "nobody");
    let unknown = scene.stage.run(&["auth", "token"]).ends(3);
    assert!(unknown.stderr().contains("nobody") && unknown.stderr().contains("LANYARD_PROFILE"), "{unknown}");
}

#[test]
fn a_tokens_shape_is_checked_before_it_travels() {
    let mut scene = Scene::signed_in();
    for bad in ["two\nlines", "with space\r\nX-Injected: yes", "caf\u{e9}-token"] {
        scene.stage.set("LANYARD_TOKEN", bad);
        let outcome = scene.stage.run(&["api", "GET", "/v1/me"]);
        assert!(outcome.code.is_some_and(|code| code != 0 && code < 100), "{outcome}");
        assert!(!outcome.stderr().contains("X-Injected") && !outcome.stderr().contains("lines"), "{outcome}");
    }
    assert!(scene.idp.requests().iter().all(|seen| seen.header("x-injected").is_none()));
    // What a shell adds by accident is taken away.
    scene.stage.set("LANYARD_TOKEN", format!("  {OTHER_TOKEN}\n"));
    scene.stage.run(&["auth", "token"]).shows(0, &format!("{OTHER_TOKEN}\n"), "");
}
