//! Changes to the file: nothing lost, nothing touched that was not meant.

use super::*;

fn set(stage: &Stage, key: &str, text: &str) {
    let (segments, field) = schema::lookup(key).unwrap();
    let value = schema::value(&segments, field, text).unwrap();
    edit::edit(&stage.env(), |document| Ok(document::set(document, &segments, value)?)).unwrap();
}

fn unset(stage: &Stage, key: &str) -> bool {
    let (segments, _) = schema::lookup(key).unwrap();
    edit::edit(&stage.env(), |document| Ok(document::unset(document, &segments))).unwrap()
}

fn get(stage: &Stage, key: &str) -> Option<String> {
    let (_, entries) = Config::load_with_entries(&stage.env()).unwrap();
    entries.iter().find(|entry| entry.key == key).map(check::Entry::shown)
}

const COMMENTED: &str = "\
# The default.
profile = \"work\" # for now

# Work.
[profiles.work] # the office
# who pays
service = \"corp\"
project   =   'shop'   # the shop

# Home.
[profiles.home]
service = \"github\"

# the end
";

#[test]
fn a_change_keeps_comments_order_and_spacing() {
    let stage = Stage::new(COMMENTED);
    set(&stage, "profiles.work.project", "new");
    assert_eq!(stage.text(), COMMENTED.replace("'shop'", "\"new\""));
    set(&stage, "profiles.work.project", "shop");
    set(&stage, "profiles.work.endpoint", "https://w.example");
    assert!(stage.text().contains("# the shop\nendpoint = \"https://w.example\"\n\n# Home."), "{}", stage.text());
    assert!(unset(&stage, "profiles.work.endpoint"));
    assert_eq!(stage.text(), COMMENTED.replace("'shop'", "\"shop\""));
    assert!(unset(&stage, "profiles.work.service"));
    assert!(stage.text().contains("# who pays\nproject"), "{}", stage.text());
}

#[test]
fn a_file_of_comments_keeps_them_on_top() {
    for heading in ["# mine\n", "# mine\n\n", "\n# mine\n# all\n"] {
        let stage = Stage::new(heading);
        for key in ["profile", "profiles.work.service"] {
            set(&stage, key, "work");
            assert!(stage.text().starts_with(heading), "{:?}", stage.text());
            assert!(unset(&stage, key));
            assert_eq!(stage.text(), heading);
        }
    }
}

#[test]
fn line_ends_of_the_other_kind_stay() {
    let text = COMMENTED.replace('\n', "\r\n");
    let stage = Stage::new(&text);
    set(&stage, "profiles.home.project", "x");
    assert_eq!(stage.text().matches('\n').count(), stage.text().matches("\r\n").count());
    unset(&stage, "profiles.home.project");
    assert_eq!(stage.text(), text);
}

#[test]
fn nothing_is_written_when_nothing_changes_or_anything_fails() {
    let stage = Stage::new(COMMENTED);
    let file = || {
        let found = std::fs::metadata(stage.home.join("config/config.toml")).unwrap();
        (std::os::unix::fs::MetadataExt::ino(&found), stage.text())
    };
    let before = file();
    set(&stage, "profiles.home.service", "github");
    assert!(!unset(&stage, "profiles.home.project"));
    let key = ["profiles".to_owned(), "home".into(), "endpoint".into()];
    let bad = edit::edit(&stage.env(), |document| Ok(document::set(document, &key, "http://x.example".into())?));
    assert!(bad.is_err());
    assert_eq!(file(), before);
}

#[test]
fn profiles_and_services_are_written_key_by_key() {
    let stage = Stage::new("");
    let env = stage.env();
    edit::set_profile(&env, "a.b@c", &[("account", Some("u@e".into())), ("project", None)], true).unwrap();
    edit::set_service(
        &env,
        "corp",
        &[("issuer", Some("https://i.example".into())), ("api.whoami", Some("/me".into()))],
    )
    .unwrap();
    let config = stage.load().unwrap();
    assert_eq!(config.profile.as_deref(), Some("a.b@c"));
    assert_eq!(config.profiles["a.b@c"].account.as_deref(), Some("u@e"));
    assert_eq!(config.services["corp"].api.as_ref().unwrap().whoami.as_deref(), Some("/me"));
    edit::set_profile(&env, "second", &[], true).unwrap();
    edit::set_profile(&env, "a.b@c", &[("account", None)], true).unwrap();
    let config = stage.load().unwrap();
    assert!(config.profiles.contains_key("second") && config.profiles.contains_key("a.b@c"));
    assert_eq!(config.profile.as_deref(), Some("a.b@c"));
    assert!(edit::set_profile(&env, "../x", &[], true).is_err());
}

#[test]
fn a_profile_is_renamed_and_removed_with_all_that_names_it() {
    let text = format!(
        "{COMMENTED}[[rules]]\ndirectory = \"~/w\"\nprofile = \"work\"\n# other\n[[rules]]\ndirectory = \"~/h\"\nprofile = \"home\"\n"
    );
    let stage = Stage::new(&text);
    edit::edit(&stage.env(), |document| Ok(document::rename_profile(document, "work", "acme"))).unwrap();
    assert_eq!(stage.text(), text.replace("= \"work\"", "= \"acme\"").replace("profiles.work", "profiles.acme"));
    edit::edit(&stage.env(), |document| Ok(document::remove_profile(document, "acme"))).unwrap();
    let config = stage.load().unwrap();
    assert_eq!((config.profile, config.profiles.len(), config.rules.len()), (None, 1, 1));
    for comment in ["# The default.", "# Work.", "# Home.", "# other", "# the end"] {
        assert!(stage.text().contains(comment), "{comment}: {}", stage.text());
    }
}

#[test]
fn inline_tables_and_dotted_keys_are_edited_in_their_style() {
    for text in [
        "profiles = { work = { service = \"corp\" } }\n",
        "profiles.work.service = \"corp\"\n",
        "[profiles]\nwork = { service = \"corp\" }\n",
        "[profiles]\nwork.service = \"corp\"\n",
    ] {
        let stage = Stage::new(text);
        set(&stage, "profiles.work.project", "x");
        set(&stage, "profiles.new.project", "y");
        set(&stage, "services.s.api.whoami", "/z");
        assert_eq!(get(&stage, "profiles.work.project").as_deref(), Some("x"));
        assert_eq!(get(&stage, "profiles.new.project").as_deref(), Some("y"));
        assert_eq!(get(&stage, "services.s.api.whoami").as_deref(), Some("/z"));
        unset(&stage, "services.s.api.whoami");
        unset(&stage, "profiles.new.project");
        unset(&stage, "profiles.work.project");
        assert_eq!(stage.text(), text);
    }
}

#[cfg(unix)]
#[test]
fn a_link_to_the_file_stays_a_link() {
    let stage = Stage::new("");
    let path = stage.home.join("config/config.toml");
    stage.write("dots/lanyard.toml", "# dots\n");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(stage.home.join("dots/lanyard.toml"), &path).unwrap();
    set(&stage, "profile", "w");
    assert!(path.is_symlink());
    assert_eq!(stage.text(), "# dots\nprofile = \"w\"\n");
}

#[test]
fn many_writers_at_once_lose_nothing() {
    let stage = Stage::new("# mine\n");
    std::thread::scope(|scope| {
        for number in 0..50 {
            let stage = &stage;
            scope.spawn(move || set(stage, &format!("profiles.p{number}.project"), &format!("x{number}")));
        }
    });
    let config = stage.load().unwrap();
    assert_eq!(config.profiles.len(), 50);
    assert!((0..50).all(|n| config.profiles[&format!("p{n}")].project == Some(format!("x{n}"))));
    assert!(stage.text().starts_with("# mine\n"));
}

#[test]
fn a_text_from_an_editor_gives_way_to_what_another_process_wrote() {
    let stage = Stage::new("# one\n");
    let refused = edit::replace_text(&stage.env(), Some(b"# zero\n"), "# two\n");
    assert!(matches!(refused, Err(ConfigError::Changed { .. })));
    edit::replace_text(&stage.env(), Some(b"# one\n"), "# two\n").unwrap();
    assert!(edit::replace_text(&stage.env(), Some(b"# two\n"), "nonsense").is_err());
    assert_eq!(stage.text(), "# two\n");
}

/// Files as people write them: comments everywhere, tables in any order.
fn config_text() -> impl Strategy<Value = String> {
    let comment = prop_oneof![Just(String::new()), Just("\n".into()), "# [a-z ]{0,12}\n", "\n# [a-z\"\\[\\]=]{0,12}\n"];
    let tail = prop_oneof![Just(String::new()), " # [a-z]{0,8}"];
    let line = |key: &'static str| {
        (comment.clone(), "[a-zé\" ]{1,9}", tail.clone())
            .prop_map(move |(above, value, tail)| format!("{above}{key} = {}{tail}\n", toml_edit::Value::from(value)))
    };
    let table = |name: &'static str, keys: [&'static str; 2]| {
        (comment.clone(), tail.clone(), line(keys[0]), line(keys[1]), any::<bool>()).prop_map(
            move |(above, tail, first, second, both)| {
                let second = if both { second } else { String::new() };
                format!("{above}[{name}]{tail}\n{first}{second}")
            },
        )
    };
    let tables = proptest::sample::subsequence(vec![0, 1, 2, 3], 0..=4).prop_shuffle();
    (
        tables,
        table("profiles.work", ["project", "account"]),
        table("profiles.\"a.b\"", ["account", "project"]),
        table("services.corp", ["client_id", "audience"]),
        comment.clone().prop_map(|above| format!("{above}[[rules]]\ndirectory = \"~/x\"\nprofile = \"work\"\n")),
        comment.clone(),
    )
        .prop_map(|(order, a, b, c, d, end)| {
            let parts = [a, b, c, d];
            order.into_iter().map(|place| parts[place].as_str()).collect::<String>() + &end
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic_or_tell_a_value(text in "(?s).{0,200}", tail in "[a-z.\\[\\]=\"'{},# \n]{0,60}") {
        for text in [text.clone(), tail.clone(), format!("profile = \"CANARY7f3a{tail}")] {
            if let Err(error) = check::read(Path::new("c"), text.as_bytes()) {
                let shown = error.to_string() + &error.mend().unwrap_or_default();
                prop_assert!(!shown.contains(CANARY), "{}", shown);
            }
        }
    }

    #[test]
    fn set_then_get_then_unset_keeps_everything_else(
        text in config_text(),
        value in "[a-zA-Zé0-9\"'#\\\\= ]{1,20}",
        key in prop_oneof![
            Just("profiles.work.project"), Just("profiles.new.account"), Just("profiles.\"a.b\".project"),
            Just("services.corp.api.whoami"), Just("services.corp.audience"), Just("defaults.storage"), Just("profile"),
        ],
    ) {
        // A profile that a rule names keeps its table even when that is empty.
        prop_assume!(key != "profiles.work.project" || !text.contains("[[rules]]") || text.contains("[profiles.work]"));
        let stage = Stage::new(&text);
        let value = match key {
            "services.corp.api.whoami" => format!("/{}", value.replace('\\', "")),
            "defaults.storage" => "file".into(),
            "profile" => "other".into(),
            _ => value,
        };
        let before = get(&stage, key);
        set(&stage, key, &value);
        prop_assert_eq!(get(&stage, key), Some(value));
        let after = stage.text();
        for line in text.lines().filter(|line| line.trim_start().starts_with('#')) {
            prop_assert!(after.lines().any(|kept| kept == line), "{} lost in {}", line, after);
        }
        match before {
            Some(before) => set(&stage, key, &before),
            None => prop_assert!(unset(&stage, key)),
        }
        prop_assert_eq!(stage.text(), text);
    }
}
