//! What the surroundings decide: the configuration's folder, directory rules, project files, the redirect's host.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::idp::Idp;
use crate::scene;
use crate::second_host::SecondHost;
use crate::stage::Stage;
use crate::wire;

/// Three profiles of one service, `a` the default.
const THREE: &str = "profile = \"a\"\n\n[profiles.a]\nservice = \"github\"\n\n[profiles.b]\nservice = \"github\"\n\
                     project = \"from-config\"\n\n[profiles.c]\nservice = \"github\"\n";

fn three() -> Stage {
    let stage = Stage::new();
    stage.write_config(THREE);
    stage
}

/// The answer of `which --json` to one setting.
fn which(stage: &Stage, setting: &str) -> Value {
    stage.run(&["which", "--json"]).ends(0).json()[setting].clone()
}

#[track_caller]
fn assert_profile(stage: &Stage, name: &str, kind: &str) {
    let found = which(stage, "profile");
    assert_eq!((&found["value"], &found["source_kind"]), (&name.into(), &kind.into()), "{found:#}");
}

#[test]
fn the_folder_is_the_flags_then_the_variables_then_the_platforms() {
    let mut stage = Stage::new();
    let home = stage.home();
    let path = |folder: &str| format!("{}\n", home.join(folder).join("config.toml").display());
    let shown = |stage: &Stage, flags: &[&str]| stage.run(&[flags, &["config", "path"]].concat()).ends(0).stdout();
    stage.set("LANYARD_CONFIG_DIR", home.join("by-variable")).set("XDG_CONFIG_HOME", home.join("xdg"));
    let flag = home.join("by-flag").display().to_string();
    assert_eq!(shown(&stage, &["--config-dir", &flag]), path("by-flag"));
    assert_eq!(shown(&stage, &["--config-dir", "relative"]), path("relative"));
    assert_eq!(shown(&stage, &[]), path("by-variable"));
    stage.unset("LANYARD_CONFIG_DIR");
    assert_eq!(shown(&stage, &[]), path("xdg/lanyard"));
    // The XDG specification: a relative path is invalid and to be ignored.
    stage.set("XDG_CONFIG_HOME", "relative");
    assert_eq!(shown(&stage, &[]), path(".config/lanyard"));
    stage.set("XDG_CONFIG_HOME", "");
    assert_eq!(shown(&stage, &[]), path(".config/lanyard"));
    assert!(stage.files().is_empty(), "{:?}", stage.files());
    stage.run(&["config", "set", "defaults.output", "json"]).ends(0);
    let folder = home.join(".config/lanyard");
    assert_eq!(folder.metadata().expect("the folder").permissions().mode() & 0o777, 0o700);
    assert_eq!(folder.join("config.toml").metadata().expect("the file").permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_longest_rule_decides_and_whole_names_count() {
    let mut stage = three();
    let rule =
        |folder: &str, profile: &str| format!("\n[[rules]]\ndirectory = \"{folder}\"\nprofile = \"{profile}\"\n");
    let outside = stage.root().join("elsewhere");
    std::fs::create_dir(&outside).expect("a folder");
    std::os::unix::fs::symlink(stage.home().join("work/deep"), stage.home().join("link")).expect("a link");
    stage.write_config(&format!(
        "{THREE}{}{}{}",
        rule("~/work", "b"),
        rule("~/work/deep/**", "c"),
        rule(&outside.display().to_string(), "c")
    ));
    for (folder, profile, kind) in [
        ("work", "b", "rule"),
        ("work/other", "b", "rule"),
        ("work/deep", "c", "rule"),
        ("work/deep/er", "c", "rule"),
        ("workshop", "a", "config"),
        ("link", "c", "rule"),
        ("", "a", "config"),
    ] {
        stage.enter(folder);
        assert_profile(&stage, profile, kind);
    }
    stage.enter(&outside);
    assert_profile(&stage, "c", "rule");
    stage.enter("work/deep");
    let chain = which(&stage, "profile")["candidates"].clone();
    let lost = chain.as_array().expect("a chain").iter().find(|one| one["value"] == "b").expect("the shorter rule");
    assert_eq!((&lost["won"], lost["reason"].is_string()), (&false.into(), true), "{lost}");
    // A stronger word.
    stage.set("LANYARD_PROFILE", "a");
    assert_profile(&stage, "a", "variable");
    assert_eq!(stage.run(&["which", "--json", "--profile", "b"]).ends(0).json()["profile"]["value"], "b");
}

#[test]
fn a_project_file_chooses_profile_and_project_and_nothing_else() {
    let mut stage = three();
    let host = SecondHost::start();
    stage.enter("clone/deep/er");
    let file = stage.home().join("clone/.lanyard.toml");
    let url = host.url("");
    let evil = format!(
        "profile = \"b\"\nproject = \"from-file\"\nendpoint = \"{url}\"\nissuer = \"{url}\"\nhelper = \"touch pwned\"\n\
         token = \"LNYCANARY0011223344556677\"\n\n[services.github]\nendpoint = \"{url}\"\nissuer = \"{url}\"\n\n\
         [profiles.b]\nendpoint = \"{url}\"\n\n[[rules]]\ndirectory = \"/\"\nprofile = \"c\"\n"
    );
    std::fs::write(&file, &evil).expect("a project file");
    let outcome = stage.run(&["which", "--json"]).ends(0);
    let told = outcome.json();
    assert_eq!((&told["profile"]["value"], &told["profile"]["source_kind"]), (&"b".into(), &"project_file".into()));
    assert_eq!(
        (&told["project"]["value"], &told["project"]["source_kind"]),
        (&"from-file".into(), &"project_file".into())
    );
    assert_eq!(told["endpoint"]["value"], "https://api.github.com", "{told:#}");
    for (key, line) in [("endpoint", 3), ("issuer", 4), ("helper", 5), ("token", 6), ("services", 8), ("rules", 15)] {
        let warning = format!(".lanyard.toml:{line}: {key} is ignored");
        assert!(outcome.stderr().contains(&warning), "{warning}: {outcome}");
        assert!(told["warnings"].to_string().contains(&warning), "{told:#}");
    }
    assert!(!outcome.stderr().contains("LNYCANARY") && !outcome.stderr().contains("pwned"), "{outcome}");
    assert!(!stage.home().join("clone/deep/er/pwned").exists());
    host.assert_untouched();
    assert_eq!(stage.run(&["project", "current"]).ends(0).stdout(), "from-file\n");
}

#[test]
fn a_project_file_is_weaker_than_the_users_own_words() {
    let mut stage = three();
    stage.enter("clone");
    std::fs::write(stage.home().join("clone/.lanyard.toml"), "profile = \"b\"\nproject = \"p\"\n").expect("a file");
    assert_profile(&stage, "b", "project_file");
    stage.write_config(&format!("{THREE}\n[[rules]]\ndirectory = \"~/clone\"\nprofile = \"c\"\n"));
    assert_profile(&stage, "c", "rule");
    stage.set("LANYARD_PROFILE", "a");
    assert_profile(&stage, "a", "variable");
    // A profile that the user has not is no way to make one.
    stage.unset("LANYARD_PROFILE").write_config(THREE);
    std::fs::write(stage.home().join("clone/.lanyard.toml"), "profile = \"evil\"\n").expect("a file");
    let refused = stage.run(&["auth", "token"]).ends(3);
    assert!(refused.stderr().contains("evil") && refused.stderr().contains(".lanyard.toml:1"), "{refused}");
}

#[test]
fn the_search_for_a_project_file_ends_at_the_repository() {
    let mut stage = three();
    stage.enter("outer/repository/src");
    let put = |folder: &str, profile: &str| {
        let text = format!("profile = \"{profile}\"\n");
        std::fs::write(stage.home().join(folder).join(".lanyard.toml"), text).expect("a project file");
    };
    put("outer", "b");
    assert_profile(&stage, "b", "project_file");
    let git = stage.home().join("outer/repository/.git");
    std::fs::write(&git, "gitdir: elsewhere\n").expect("a worktree's file");
    assert_profile(&stage, "a", "config");
    put("outer/repository", "c");
    assert_profile(&stage, "c", "project_file");
    // Nothing above the home folder counts, and a link is not followed.
    std::fs::write(stage.root().join(".lanyard.toml"), "profile = \"b\"\n").expect("a project file");
    stage.enter("");
    assert_profile(&stage, "a", "config");
    stage.enter("linked");
    let link = stage.home().join("linked/.lanyard.toml");
    std::os::unix::fs::symlink(stage.home().join("outer/.lanyard.toml"), link).expect("a link");
    assert_profile(&stage, "a", "config");
    let warned = stage.run(&["which"]).ends(0);
    assert!(warned.stderr().contains("is not used: it is not a regular file"), "{warned}");
}

#[test]
fn a_project_file_that_cannot_be_read_is_told_with_its_place() {
    let mut stage = three();
    stage.enter("clone");
    let file = stage.home().join("clone/.lanyard.toml");
    for (text, place) in [
        ("profile = \"b\"\nproject = LNYCANARY00112233\n", ".lanyard.toml:2:"),
        ("profile = 7\n", ".lanyard.toml:1:11: profile"),
        ("profile = \"../b\"\n", ".lanyard.toml:1:11: profile"),
        ("project = \"a\\u001b[31mLNYCANARY00112233\"\n", ".lanyard.toml:1:11: project"),
    ] {
        std::fs::write(&file, text).expect("a project file");
        let refused = stage.run(&["which"]).ends(3);
        assert!(refused.stderr().contains(place) && refused.stderr().contains("next: "), "{refused}");
        assert!(!refused.stderr().contains("LNYCANARY"), "{refused}");
    }
}

#[test]
fn which_shows_the_whole_chain_in_order() {
    let mut stage = three();
    stage.enter("clone");
    std::fs::write(stage.home().join("clone/.lanyard.toml"), "profile = \"c\"\nproject = \"p\"\n").expect("a file");
    stage.set("LANYARD_PROFILE", "b").set("LANYARD_TOKEN", "LNYCANARY0011223344");
    let kinds = |setting: &str| -> Vec<(String, bool)> {
        let chain = which(&stage, setting)["candidates"].clone();
        let one = |one: &Value| (one["source_kind"].as_str().unwrap_or("-").to_owned(), one["won"] == true);
        chain.as_array().expect("a chain").iter().map(one).collect()
    };
    let seen = kinds("profile");
    let order: Vec<&str> = seen.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(order, ["flag", "variable", "project_file", "config", "default"]);
    assert_eq!(seen.iter().filter(|(_, won)| *won).map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["variable"]);
    let order: Vec<String> = kinds("project").into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(order, ["flag", "variable", "project_file", "config"]);
    let token = which(&stage, "token");
    assert_eq!((&token["source"], &token["value"]), (&"LANYARD_TOKEN".into(), &Value::Null));
    let table = stage.run(&["which"]).ends(0);
    assert!(table.stdout().contains("in force") && !table.stdout().contains("LNYCANARY"), "{table}");
}

/// A stage whose redirect goes to this host, and its provider.
fn redirecting_to(host: &str) -> (Idp, Stage) {
    let idp = Idp::honest();
    let stage = scene::stage_for(&idp);
    stage.write_config(&stage.config().replace("client_id =", &format!("redirect_host = \"{host}\"\nclient_id =")));
    (idp, stage)
}

#[test]
fn a_redirect_to_localhost_is_taken_at_both_addresses() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    for family in ["127.0.0.1", "[::1]"] {
        let (_idp, stage) = redirecting_to("localhost");
        let mut running = scene::begin(&stage, &[]);
        let callback = wire::callback_of(&running.url());
        assert!(callback.starts_with("http://localhost:"), "{callback}");
        let port = url::Url::parse(&callback).ok().and_then(|url| url.port()).expect("a port");
        for address in ["127.0.0.1", "[::1]"] {
            assert!(TcpStream::connect(format!("{address}:{port}")).is_ok(), "{address}");
        }
        // The name resolves to one of the two; the browser says the name all the same.
        let target = callback.split_once(&format!(":{port}")).expect("a path").1;
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
        let page = wire::send_raw(&format!("{family}:{port}"), request.as_bytes());
        // Taken, and sent on to the page that says so.
        assert_eq!(page.map(|page| page.status()), Some(303), "{family}");
        running.finish().ends(0);
    }
}

#[test]
fn a_redirect_to_the_ipv6_loopback_is_taken_there_alone() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let (_idp, stage) = redirecting_to("[::1]");
    let mut running = scene::begin(&stage, &[]);
    let url = running.url();
    let callback = wire::callback_of(&url);
    assert!(callback.starts_with("http://[::1]:"), "{callback}");
    let port = url::Url::parse(&callback).ok().and_then(|url| url.port()).expect("a port");
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err());
    assert_eq!(wire::browse(&url).answer.map(|page| page.status()), Some(200));
    running.finish().ends(0);
}
