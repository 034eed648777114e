//! `lanyard config …`: read, change and edit, and what is said of a file that is wrong.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::scene;
use crate::stage::Stage;

const CONFIG: &str = "# mine\nprofile = \"a\" # the usual one\n\n[profiles.a]\nservice = \"s\"\nproject = \"p\"\n\n\
                      [services.s]\nissuer = \"https://id.example.com\"\nclient_secret = \"LNYCANARY00112233\"\n\
                      scopes = [\"openid\", \"email\"]\nredirect_port = 4000\n";

fn stage(config: &str) -> Stage {
    let stage = Stage::new();
    stage.write_config(config);
    stage
}

#[test]
fn values_are_read_alone() {
    let stage = stage(CONFIG);
    for (key, value) in [
        ("profile", "a"),
        ("profiles.a.project", "p"),
        ("services.s.scopes", "openid,email"),
        ("services.s.redirect_port", "4000"),
    ] {
        stage.run(&["config", "get", key]).shows(0, &format!("{value}\n"), "");
    }
    assert_eq!(stage.run(&["config", "get", "services.s.scopes", "--json"]).ends(0).json(), json!(["openid", "email"]));
    stage.run(&["config", "get", "defaults.storage"]).ends(1);
    stage.run(&["config", "get", "profiles.a"]).ends(2);
    let unknown = stage.run(&["config", "get", "profiles.a.projekt"]).ends(2);
    assert!(unknown.stderr().contains("project"), "{unknown}");
    let list = stage.run(&["config", "list"]).ends(0).stdout();
    assert!(list.contains("profiles.a.project=p  # line 6\n"), "{list}");
    assert!(list.contains("client_secret=[redacted]") && !list.contains("LNYCANARY"), "{list}");
    let json = stage.run(&["config", "list", "--json"]).ends(0);
    assert!(!json.stdout().contains("LNYCANARY"), "{json}");
    let first = &json.json()[0];
    assert_eq!((&first["key"], &first["value"], &first["line"]), (&"profile".into(), &"a".into(), &2.into()));
    assert!(first["file"].as_str().is_some_and(|file| file.ends_with("config.toml")), "{first}");
}

#[test]
fn a_change_keeps_comments_order_and_everything_else() {
    let stage = stage(CONFIG);
    stage.run(&["config", "set", "profile", "b"]).ends(0);
    stage.run(&["config", "set", "profiles.a.project", "q"]).ends(0);
    stage.run(&["config", "set", "services.s.scopes", "openid, profile"]).ends(0);
    stage.run(&["config", "set", "services.s.redirect_port", "5000"]).ends(0);
    let changed = CONFIG
        .replace("profile = \"a\" #", "profile = \"b\" #")
        .replace("project = \"p\"", "project = \"q\"")
        .replace("[\"openid\", \"email\"]", "[\"openid\", \"profile\"]")
        .replace("4000", "5000");
    assert_eq!(stage.config(), changed);
    stage.run(&["config", "unset", "profiles.a.project"]).ends(0);
    assert_eq!(stage.config(), changed.replace("project = \"q\"\n", ""));
    let again = stage.run(&["config", "unset", "profiles.a.project"]).ends(0);
    assert!(again.stderr().contains("was not set"), "{again}");
    stage.run(&["config", "set-profile", "a"]).ends(0);
    stage.run(&["config", "get", "profile"]).shows(0, "a\n", "");
    stage.run(&["config", "set-profile", "nobody"]).ends(3);
}

#[test]
fn a_value_that_cannot_be_used_is_refused_unquoted() {
    let stage = stage(CONFIG);
    for (key, value) in [
        ("defaults.storage", "LNYCANARY00112233"),
        ("defaults.output", "yaml"),
        ("services.s.redirect_port", "0"),
        ("services.s.redirect_port", "LNYCANARY00112233"),
        ("services.s.accept_unannounced_iss", "yes"),
        ("services.s.issuer", "LNYCANARY00112233"),
        ("services.s.api.whoami", "//LNYCANARY00112233"),
        ("services.s.redirect_host", "0.0.0.0"),
        ("profiles.a.service", "LNYCANARY 00112233"),
        ("profiles.a.project", ""),
        ("profiles.a.project", "a\u{1b}LNYCANARY00112233"),
        ("profiles.a b.project", "p"),
        ("profiles.a.unknown", "LNYCANARY00112233"),
        ("rules.0.profile", "a"),
    ] {
        let refused = stage.run(&["config", "set", key, value]).ends(2);
        assert!(refused.stderr().contains("next: "), "{refused}");
        assert!(!refused.stderr().contains("LNYCANARY") && !refused.stderr().contains('\u{1b}'), "{refused}");
    }
    assert_eq!(stage.config(), CONFIG);
    let warned = stage.run(&["config", "set", "services.s.client_secret", "LNYCANARY44556677"]).ends(0);
    assert!(warned.stderr().contains("command line"), "{warned}");
    assert!(!warned.stderr().contains("LNYCANARY"), "{warned}");
}

#[test]
fn a_broken_file_is_told_with_its_place_and_never_changed() {
    let commands: [&[&str]; 8] = [
        &["config", "list"],
        &["config", "get", "profile"],
        &["config", "set", "profile", "b"],
        &["config", "unset", "profile"],
        &["config", "set-profile", "a"],
        &["auth", "status"],
        &["profile", "list"],
        &["which", "--json"],
    ];
    for (config, place, mend) in [
        ("profile = \"a\"\n[profiles.a\nx = \"LNYCANARY00112233\"\n", "config.toml:2:12: ", "lanyard config edit"),
        ("profile = LNYCANARY00112233\n", "config.toml:1:11: ", "lanyard config edit"),
        ("profile = \"a\"\nprofile = \"LNYCANARY00112233\"\n", "config.toml:2:1: ", "lanyard config edit"),
        (
            "[profiles.a]\nservise = \"LNYCANARY00112233\"\n",
            "config.toml:2:1: unknown key profiles.a.servise",
            "service",
        ),
        ("token = \"LNYCANARY00112233\"\n", "config.toml:1:1: unknown key token", "remove it"),
        ("profile = 7\n", "config.toml:1:11: profile must be a text", "write a text"),
        ("[services.s]\nredirect_port = \"LNYCANARY00112233\"\n", "config.toml:2:17: ", "write a port number"),
        ("[services.s]\nscopes = \"LNYCANARY00112233\"\n", "config.toml:2:10: ", "write a list of texts"),
        ("profiles = [\"LNYCANARY00112233\"]\n", "config.toml:1:12: profiles must be a table", "write a table"),
        ("[defaults]\nstorage = \"keychian\"\n", "config.toml:2:11: defaults.storage", "write keychain"),
        ("[profiles.\"a b\"]\nservice = \"s\"\n", "config.toml:1:11: ", "letters"),
    ] {
        let stage = stage(config);
        for command in commands {
            let refused = stage.run(command).ends(3);
            assert!(refused.stderr().contains(place), "{place}: {refused}");
            assert!(refused.stderr().contains("next: ") && refused.stderr().contains(mend), "{mend}: {refused}");
            assert!(!refused.stderr().contains("LNYCANARY") && refused.stdout().is_empty(), "{refused}");
            assert_eq!(stage.config(), config);
        }
        let doctor = stage.run(&["doctor", "--full"]).ends(3);
        assert!(doctor.stdout().contains(place) && !doctor.stdout().contains("LNYCANARY"), "{doctor}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let stage = stage(CONFIG);
    let file = stage.config_dir().join("config.toml");
    std::fs::write(&file, b"profile = \"\xff\xfe\"\n").expect("the file");
    let refused = stage.run(&["config", "list"]).ends(3);
    assert!(refused.stderr().contains("config.toml:1:12: this is not UTF-8"), "{refused}");
    std::fs::remove_file(&file).expect("the file");
    std::fs::create_dir(&file).expect("a folder in its place");
    for command in [&["config", "list"][..], &["auth", "status"], &["config", "set", "profile", "a"]] {
        let refused = stage.run(command).ends(3);
        assert!(refused.stderr().contains("config.toml") && refused.stderr().contains("next: "), "{refused}");
    }
    // A dangling link is a file that is not there yet, or an error; it is never followed into a loop.
    std::fs::remove_dir(&file).expect("the folder");
    std::os::unix::fs::symlink(&file, &file).expect("a link to itself");
    let refused = stage.run(&["config", "list"]).ends(3);
    assert!(refused.stderr().contains("config.toml"), "{refused}");
}

#[test]
fn modes_that_let_others_in_are_told_with_the_command() {
    let stage = stage("[defaults]\nstorage = \"plain\"\n");
    let (folder, file) = (stage.config_dir(), stage.config_dir().join("config.toml"));
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("a mode");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).expect("a mode");
    let warned = stage.run(&["profile", "list"]).ends(0);
    for (path, wanted) in [(&folder, "700"), (&file, "600")] {
        let path = path.display();
        assert!(warned.stderr().contains(&format!("chmod {wanted} {path}")), "{warned}");
    }
    let doctor = stage.run(&["doctor", "--full"]).ends(3);
    assert!(doctor.stdout().contains("others can reach") && doctor.stdout().contains("chmod 600"), "{doctor}");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("a mode");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).expect("a mode");
    assert!(!stage.run(&["profile", "list"]).ends(0).stderr().contains("chmod"));
}

/// An editor that puts this text in place of the file it is given, and notes its arguments and environment.
fn editor(stage: &Stage, script: &str) -> PathBuf {
    let path = stage.root().join("editor");
    std::fs::write(&path, format!("#!/bin/sh\nfor file; do :; done\n{script}\n")).expect("an editor");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
    path
}

#[test]
fn an_editor_changes_the_file_only_if_the_text_is_sound() {
    let mut stage = stage(CONFIG);
    let program = editor(&stage, "sed -i 's/\"p\"/\"edited\"/' \"$file\"");
    stage.set("EDITOR", format!("{} --wait", program.display())).set("LANYARD_TOKEN", "LNYCANARY0011223344");
    stage.run(&["config", "edit"]).ends(0);
    assert_eq!(stage.config(), CONFIG.replace("\"p\"", "\"edited\""));
    let unchanged = stage.run(&["config", "edit"]).ends(0);
    assert!(unchanged.stderr().contains("nothing changed"), "{unchanged}");

    let before = stage.config();
    editor(&stage, "echo 'nonsense = \"LNYCANARY00112233\"' > \"$file\"");
    let refused = stage.run(&["config", "edit"]).ends(3);
    assert!(refused.stderr().contains(":1:1: unknown key nonsense"), "{refused}");
    assert!(!refused.stderr().contains("LNYCANARY"), "{refused}");
    editor(&stage, "exit 1");
    stage.run(&["config", "edit"]).ends(1);
    stage.set("VISUAL", "/nowhere/editor");
    let missing = stage.run(&["config", "edit"]).ends(1);
    assert!(missing.stderr().contains("/nowhere/editor") && missing.stderr().contains("VISUAL"), "{missing}");
    assert_eq!(stage.config(), before);
    stage.unset("VISUAL");

    // The editor learns no token, and its copy is gone afterwards.
    editor(&stage, &format!("env > {}", stage.root().join("seen").display()));
    stage.run(&["config", "edit"]).ends(0);
    let seen = std::fs::read_to_string(stage.root().join("seen")).expect("the editor ran");
    assert!(!seen.contains("LNYCANARY") && seen.contains("HOME="), "{seen}");
    let left: Vec<_> = scene::settled(&stage).into_keys().collect();
    assert_eq!(left, [stage.config_dir().join("config.toml")]);
}

#[test]
fn an_edit_does_not_overwrite_what_another_process_wrote_meanwhile() {
    let mut stage = stage(CONFIG);
    let real = stage.config_dir().join("config.toml");
    let other = CONFIG.replace("\"p\"", "\"other\"");
    let script = format!("sed -i 's/\"p\"/\"mine\"/' \"$file\"; sed -i 's/\"p\"/\"other\"/' {}", real.display());
    let program = editor(&stage, &script);
    stage.set("EDITOR", program);
    let refused = stage.run(&["config", "edit"]).ends(1);
    assert!(refused.stderr().contains("changed by another process"), "{refused}");
    assert_eq!(stage.config(), other);
    let kept = refused.stderr().split("kept in ").nth(1).and_then(|rest| rest.lines().next()).map(PathBuf::from);
    let kept = std::fs::read_to_string(kept.expect("the place of the text")).expect("the text");
    assert!(kept.contains("\"mine\""), "{kept}");
}
