//! `lanyard profile …`: names, sessions and rules move together.

use std::os::unix::fs::PermissionsExt;

use crate::idp::Idp;
use crate::keyring::Keyring;
use crate::scene;
use crate::stage::Stage;

/// The profile `work`, signed in, with its session in the keychain.
fn signed_in() -> (Keyring, Idp, Stage) {
    let (keyring, idp) = (Keyring::start(), Idp::honest());
    let stage = scene::stage_with_keyring(&idp, &keyring);
    scene::sign_in(&stage);
    (keyring, idp, stage)
}

#[test]
fn profiles_are_listed_and_shown_with_their_sources() {
    let (_keyring, idp, stage) = signed_in();
    stage.write_config(&format!("{}\n[profiles.other]\nservice = \"github\"\nstorage = \"plain\"\n", stage.config()));
    let list = stage.run(&["profile", "list"]).ends(0).stdout();
    let line =
        |name: &str| list.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{list}")).to_owned();
    assert!(line("work").contains('*') && line("work").contains("user@example.com"), "{list}");
    assert!(!line("other").contains('*') && line("other").contains("plain"), "{list}");
    let json = stage.run(&["profile", "list", "--json"]).ends(0).json();
    let names: Vec<_> = json.as_array().expect("an array").iter().map(|one| (&one["name"], &one["active"])).collect();
    assert_eq!(names, [(&"other".into(), &false.into()), (&"work".into(), &true.into())]);
    let shown = stage.run(&["profile", "show", "work", "--json"]).ends(0).json();
    assert_eq!((&shown["service"], &shown["account"]), (&"corp".into(), &"user@example.com".into()));
    assert_eq!(shown["endpoint"], idp.issuer());
    assert!(shown["sources"]["endpoint"].as_str().is_some_and(|source| source.contains("config.toml:5")), "{shown:#}");
    let other = stage.run(&["profile", "show", "other", "--json"]).ends(0).json();
    assert_eq!((&other["active"], &other["storage"]), (&false.into(), &"plain".into()));
    let unknown = stage.run(&["profile", "show", "wrok"]).ends(3);
    assert!(unknown.stderr().contains("next: use work"), "{unknown}");
    // The list is what helps when the default is wrong.
    stage.write_config(&stage.config().replace("profile = \"work\"", "profile = \"gone\""));
    let list = stage.run(&["profile", "list"]).ends(0);
    assert!(list.stderr().contains("gone") && list.stdout().contains("work"), "{list}");
}

#[test]
fn without_profiles_the_list_says_how_to_make_one() {
    let list = Stage::new().run(&["profile", "list"]).ends(0);
    assert!(list.stdout().is_empty() && list.stderr().contains("lanyard auth login"), "{list}");
    assert_eq!(Stage::new().run(&["profile", "list", "--json"]).ends(0).json(), serde_json::json!([]));
}

#[test]
fn a_renamed_profile_keeps_session_rules_and_comments() {
    let (keyring, idp, mut stage) = signed_in();
    let token = scene::token(&stage);
    stage.enter("project");
    stage.run(&["profile", "bind"]).ends(0);
    let config = stage.config().replace("[profiles.work]", "# the one that pays\n[profiles.work]");
    stage.write_config(&config);
    stage.run(&["profile", "rename", "work", "acme"]).ends(0);
    assert_eq!(stage.config(), config.replace("profiles.work", "profiles.acme").replace("\"work\"", "\"acme\""));
    assert_eq!(scene::token(&stage), token);
    let items = keyring.items();
    assert_eq!(items.matches("label = ").count(), 1, "{items}");
    assert!(items.contains("acme") && !items.contains("work"), "{items}");
    stage.run(&["auth", "refresh"]).ends(0);
    assert_eq!(idp.live_refresh_tokens(), 1);
    let unknown = stage.run(&["auth", "token", "--profile", "work"]).ends(3);
    assert!(unknown.stderr().contains("work"), "{unknown}");
}

#[test]
fn a_rename_that_cannot_be_done_changes_nothing() {
    let (keyring, _idp, stage) = signed_in();
    stage.write_config(&format!("{}\n[profiles.other]\nservice = \"github\"\n", stage.config()));
    let before = (scene::settled(&stage), keyring.items());
    for (old, new, code) in [
        ("work", "other", 2),
        ("nobody", "somebody", 3),
        ("work", "../work", 2),
        ("work", "a b", 2),
        ("work", "", 2),
        ("work", "-x", 2),
        ("work", "a\u{1b}[31m", 2),
    ] {
        let refused = stage.run(&["profile", "rename", old, new]).ends(code);
        assert!(!refused.stderr().contains('\u{1b}') && refused.stdout().is_empty(), "{refused}");
    }
    assert_eq!((scene::settled(&stage), keyring.items()), before);
}

#[test]
fn a_removed_profile_leaves_no_session_and_no_rule() {
    let (keyring, _idp, mut stage) = signed_in();
    stage.enter("project");
    stage.run(&["profile", "bind"]).ends(0);
    stage.enter("");
    let before = (scene::settled(&stage), keyring.items());
    // Nobody is there to say yes.
    let asked = stage.run(&["profile", "remove", "work"]).ends(2);
    assert!(asked.stderr().contains("--yes"), "{asked}");
    assert_eq!((scene::settled(&stage), keyring.items()), before);
    stage.run(&["profile", "remove", "nobody", "--yes"]).ends(3);

    stage.run(&["profile", "remove", "work", "--yes"]).ends(0);
    assert!(!keyring.items().contains("label = "), "{}", keyring.items());
    let config = stage.config();
    assert!(!config.contains("profiles.work") && !config.contains("[[rules]]"), "{config}");
    assert!(config.contains("[services.corp]"), "{config}");
    let list = stage.run(&["profile", "list"]).ends(0);
    assert!(!list.stdout().contains("work"), "{list}");
}

#[test]
fn a_dead_keychain_stops_a_rename_and_a_removal_says_what_may_be_left() {
    let (mut keyring, _idp, stage) = signed_in();
    keyring.kill();
    let before = scene::settled(&stage);
    let refused = stage.run(&["profile", "rename", "work", "acme"]).ends(7);
    assert!(refused.stderr().contains("next: "), "{refused}");
    assert_eq!(scene::settled(&stage), before);
    keyring.start_service();
    stage.run(&["auth", "status"]).ends(0);

    keyring.kill();
    let removed = stage.run(&["profile", "remove", "work", "--yes"]).ends(0);
    assert!(removed.stderr().contains("warning: its session may still be in the keychain: "), "{removed}");
    assert!(!stage.config().contains("profiles.work"), "{}", stage.config());
    keyring.start_service();
    let gone = stage.run(&["auth", "token", "--profile", "work"]).ends(3);
    assert!(gone.stdout().is_empty(), "{gone}");
}

#[test]
fn a_folder_is_bound_and_unbound() {
    let mut stage = Stage::new();
    stage.write_config("[profiles.a]\nservice = \"github\"\n\n[profiles.b]\nservice = \"github\"\n");
    stage.enter("work/deep");
    let profile = |stage: &Stage| stage.run(&["which", "--json"]).ends(0).json()["profile"]["value"].clone();
    stage.run(&["profile", "bind", "--profile", "a", "~/work"]).ends(0);
    assert_eq!(profile(&stage), "a");
    stage.run(&["profile", "bind", "--profile", "b"]).ends(0);
    assert_eq!(profile(&stage), "b");
    assert!(stage.config().contains("\"~/work/deep/**\""), "{}", stage.config());
    // Bound again, the rule changes and there is no second one.
    stage.run(&["profile", "bind", "--profile", "a", "."]).ends(0);
    assert_eq!((profile(&stage), stage.config().matches("[[rules]]").count()), ("a".into(), 2));
    let folder = stage.home().join("work/deep");
    let relative = ["profile", "unbind", "../deep"];
    stage.run(&relative).ends(0);
    assert_eq!(stage.config().matches("[[rules]]").count(), 1, "{} {}", stage.config(), folder.display());
    let again = stage.run(&relative).ends(0);
    assert!(again.stderr().contains("no rule names"), "{again}");
    stage.run(&["profile", "unbind", "~/work"]).ends(0);
    assert_eq!(profile(&stage), "default");

    let before = scene::settled(&stage);
    let missing = stage.run(&["profile", "bind", "--profile", "a", "~/nowhere"]).ends(3);
    assert!(missing.stderr().contains("is no folder"), "{missing}");
    stage.run(&["profile", "bind", "--profile", "nobody", "~/work"]).ends(3);
    assert_eq!(scene::settled(&stage), before);
}

#[test]
fn a_change_keeps_the_files_mode_and_goes_through_a_link() {
    let mut stage = Stage::new();
    stage.write_config("[profiles.a]\nservice = \"github\"\n");
    let (file, real) = (stage.config_dir().join("config.toml"), stage.home().join("dotfiles.toml"));
    std::fs::rename(&file, &real).expect("moved");
    std::os::unix::fs::symlink(&real, &file).expect("a link");
    stage.enter("work");
    stage.run(&["profile", "bind", "--profile", "a"]).ends(0);
    assert!(file.symlink_metadata().expect("the link").is_symlink(), "a link into dotfiles stays one");
    assert!(std::fs::read_to_string(&real).expect("the file").contains("[[rules]]"));
    assert_eq!(real.metadata().expect("the file").permissions().mode() & 0o777, 0o600);
}
