//! What a project file may choose, and where it is looked for.

use super::*;

#[test]
fn other_keys_of_a_project_file_are_ignored_with_key_file_and_line() {
    let stage = Stage::new(TWO);
    stage.write(
        "desk/.lanyard.toml",
        "profile = \"work\"\n\nhelper = \"!touch CANARY7f3a\"\n[services.corp]\nissuer = \"x\"\n",
    );
    let found = stage.resolve(&stage.env(), &Overrides::default()).unwrap();
    assert_eq!(found.warnings.len(), 2);
    assert!(found.warnings[0].contains("desk/.lanyard.toml:3: helper is ignored"), "{:?}", found.warnings);
    assert!(found.warnings[1].contains(":4: services is ignored"));
    assert!(!found.warnings.concat().contains(CANARY));
}

#[test]
fn a_malformed_project_file_is_refused_with_its_place() {
    let stage = Stage::new(TWO);
    for text in ["profile = CANARY7f3a", "profile = 7 # CANARY7f3a", "profile = \"CANARY7f3a/..\"", "project = \"\""] {
        stage.write("desk/.lanyard.toml", text);
        let error = stage.resolve(&stage.env(), &Overrides::default()).unwrap_err();
        assert_eq!(error.code(), Code::Config);
        assert!(error.to_string().contains(".lanyard.toml:1:"), "{error}");
        assert!(!told(&error).contains(CANARY), "{}", told(&error));
    }
}

#[test]
fn the_search_for_a_project_file_stops_at_the_repository_and_at_home() {
    let stage = Stage::new(TWO);
    stage.write("desk/.lanyard.toml", "profile = \"work\"\n");
    std::fs::create_dir_all(stage.home.join("desk/repo/.git")).unwrap();
    let name = |folder: &str| stage.resolve(&stage.env_in(folder, &[]), &Overrides::default()).unwrap().name.value;
    assert_eq!(name("desk/plain/deep"), "work");
    assert_eq!(name("desk/repo/deep"), "home");
    let above_home = stage.home.parent().unwrap().join(".lanyard.toml");
    files::replace(&above_home, b"profile = \"work\"", false).unwrap();
    assert_eq!(name("elsewhere"), "home");
}

#[cfg(unix)]
#[test]
fn a_project_file_that_is_a_link_is_not_used() {
    let stage = Stage::new(TWO);
    stage.write("else.toml", "profile = \"work\"\n");
    std::fs::create_dir_all(stage.home.join("desk")).unwrap();
    std::os::unix::fs::symlink(stage.home.join("else.toml"), stage.home.join("desk/.lanyard.toml")).unwrap();
    let found = stage.resolve(&stage.env(), &Overrides::default()).unwrap();
    assert_eq!(found.name.value, "home");
    assert!(found.warnings[0].contains("is not used"));
}
