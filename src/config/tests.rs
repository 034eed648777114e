//! The rules of the configuration, one test each.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::error::{Code, Failure};
use crate::http::parse_url;
use crate::secret::Secret;

const CANARY: &str = "CANARY7f3a";

/// A home folder with a configuration folder and a place to work in.
struct Stage {
    _root: tempfile::TempDir,
    home: PathBuf,
}

impl Stage {
    fn new(config: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = root.path().canonicalize().unwrap().join("home");
        std::fs::create_dir_all(home.join("config")).unwrap();
        let stage = Self { _root: root, home };
        stage.write("config/config.toml", config);
        stage
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.home.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        files::replace(&path, text.as_bytes(), false).unwrap();
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.home.join("config/config.toml")).unwrap()
    }

    fn env_in(&self, folder: &str, variables: &[(&str, &str)]) -> Env {
        let working_dir = self.home.join(folder);
        std::fs::create_dir_all(&working_dir).unwrap();
        Env::invented(&self.home.join("config"), &working_dir, variables)
    }

    fn env(&self) -> Env {
        self.env_in("desk", &[])
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.env())
    }

    #[expect(clippy::unused_self, reason = "the stage is where the environment points")]
    fn resolve(&self, env: &Env, overrides: &Overrides) -> Result<Profile, ConfigError> {
        profile(&Config::load(env)?, env, overrides, &presets)
    }
}

fn presets(name: &str, _: Option<&str>) -> Option<PresetDefaults> {
    (name == "github").then(|| PresetDefaults {
        token_env: vec!["GH_TOKEN".into(), "GITHUB_TOKEN".into()],
        endpoint: Some("https://api.github.com".into()),
    })
}

/// The whole text that a person would see of an error.
fn told(error: &ConfigError) -> String {
    let mut text = format!("{error}\n{}\n{error:?}", error.mend().unwrap_or_default());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push('\n');
        text += &inner.to_string();
        cause = inner.source();
    }
    text
}

const TWO: &str = r#"
profile = "home"
[defaults]
storage = "keychain"
[profiles.home]
service = "github"
[profiles.work]
service = "corp"
project = "shop"
endpoint = "https://api.work.example"
storage = "file"
[services.corp]
issuer = "https://id.work.example"
token_env = ["CORP_TOKEN"]
"#;

fn flag(name: &str) -> Overrides {
    Overrides { profile: Some(name.into()), ..Overrides::default() }
}

#[test]
fn no_file_is_an_empty_configuration_with_the_profile_default() {
    let stage = Stage::new("");
    std::fs::remove_file(stage.home.join("config/config.toml")).unwrap();
    let config = stage.load().unwrap();
    assert_eq!(config.path, stage.home.join("config/config.toml"));
    let found = stage.resolve(&stage.env(), &Overrides::default()).unwrap();
    assert_eq!(found.name, Sourced { value: "default".into(), source: Source::Default });
    assert!(!found.exists);
    assert_eq!(found.storage.value, Choice::Auto);
}

#[test]
fn flag_wins_over_variable_over_rule_over_project_file_over_configuration() {
    let text = format!(
        "{TWO}\n[profiles.a]\n[profiles.b]\n[profiles.c]\n[profiles.d]\n[[rules]]\ndirectory = \"~/desk\"\nprofile = \"c\"\n"
    );
    let stage = Stage::new(&text);
    stage.write("desk/.lanyard.toml", "profile = \"d\"\n");
    let variables = [("LANYARD_PROFILE", "b")];
    let name = |stage: &Stage, folder: &str, variables: &[(&str, &str)], overrides: &Overrides| {
        stage.resolve(&stage.env_in(folder, variables), overrides).unwrap().name
    };
    assert_eq!(name(&stage, "desk", &variables, &flag("a")).source, Source::Flag("--profile"));
    assert_eq!(name(&stage, "desk", &variables, &Overrides::default()).value, "b");
    assert_eq!(name(&stage, "desk", &[], &Overrides::default()).value, "c");
    stage.write("shelf/.lanyard.toml", "# mine\nprofile = \"d\"\n");
    let of_file = name(&stage, "shelf/inner", &[], &Overrides::default());
    assert_eq!(of_file.value, "d");
    assert_eq!(of_file.source.to_string(), "~/shelf/.lanyard.toml:2");
    let of_config = name(&stage, "elsewhere", &[], &Overrides::default());
    assert_eq!((of_config.value.as_str(), of_config.source.to_string().as_str()), ("home", "~/config/config.toml:2"));
}

#[test]
fn every_loser_has_its_reason() {
    let stage = Stage::new(TWO);
    let env = stage.env_in("desk", &[("LANYARD_PROFILE", "home")]);
    let chain = stage.resolve(&env, &flag("work")).unwrap().chains.profile;
    let lost = |place: usize| match &chain[place].outcome {
        Outcome::Lost(reason) => reason.as_str(),
        Outcome::Won => "won",
    };
    assert_eq!(lost(0), "won");
    assert_eq!(lost(1), "--profile wins");
    assert_eq!(lost(2), "no such file here or above");
    assert_eq!(lost(3), "--profile wins");
    assert_eq!(chain.len(), 5);
}

#[test]
fn the_longest_rule_wins_by_whole_components() {
    let stage = Stage::new(
        r#"
[profiles.short]
[profiles.long]
[[rules]]
directory = "~/work/**"
profile = "short"
[[rules]]
directory = "~/work/client"
profile = "long"
"#,
    );
    let name = |folder: &str| stage.resolve(&stage.env_in(folder, &[]), &Overrides::default()).unwrap().name.value;
    assert_eq!(name("work"), "short");
    assert_eq!(name("work/other"), "short");
    assert_eq!(name("work/client/deep"), "long");
    assert_eq!(name("work/clients"), "short");
    assert_eq!(name("workshop"), "default");
}

#[cfg(unix)]
#[test]
fn a_rule_holds_through_symbolic_links() {
    let stage = Stage::new("[profiles.w]\n[[rules]]\ndirectory = \"~/link\"\nprofile = \"w\"\n");
    std::fs::create_dir_all(stage.home.join("real/deep")).unwrap();
    std::os::unix::fs::symlink(stage.home.join("real"), stage.home.join("link")).unwrap();
    let found = stage.resolve(&stage.env_in("real/deep", &[]), &Overrides::default()).unwrap();
    assert_eq!(found.name.value, "w");
}

#[test]
fn a_profile_that_is_not_there_is_refused_with_the_nearest_name() {
    let stage = Stage::new(TWO);
    let error = stage.resolve(&stage.env(), &flag("worke")).unwrap_err();
    assert_eq!(error.code(), Code::Config);
    assert!(error.mend().unwrap().contains("use work"), "{error}");
    let new = Overrides { allow_new: true, ..flag("worke") };
    assert!(!stage.resolve(&stage.env(), &new).unwrap().exists);
    let env = stage.env_in("desk", &[("LANYARD_PROFILE", "../../etc")]);
    assert!(stage.resolve(&env, &Overrides::default()).is_err());
}

#[test]
fn project_and_endpoint_follow_their_chains() {
    let stage = Stage::new(&format!("{TWO}endpoint = \"https://service.example\"\n"));
    let found = stage.resolve(&stage.env(), &flag("work")).unwrap();
    assert_eq!(found.project.unwrap().value, "shop");
    assert_eq!(found.endpoint.unwrap().value, "https://api.work.example");
    let found = stage.resolve(&stage.env(), &flag("home")).unwrap();
    assert_eq!(
        found.endpoint.unwrap(),
        Sourced { value: "https://api.github.com".into(), source: Source::Preset("github".into()) }
    );
    stage.write("desk/.lanyard.toml", "project = \"file\"\nendpoint = \"https://evil.example\"\n");
    let found = stage.resolve(&stage.env(), &flag("work")).unwrap();
    assert_eq!(found.project.unwrap().value, "file");
    assert_eq!(found.endpoint.unwrap().value, "https://api.work.example");
    let env = stage.env_in("desk", &[("LANYARD_PROJECT", "env"), ("LANYARD_ENDPOINT", "https://env.example")]);
    let found = stage.resolve(&env, &flag("work")).unwrap();
    assert_eq!(found.project.unwrap().source, Source::Variable("LANYARD_PROJECT".into()));
    assert_eq!(found.endpoint.unwrap().value, "https://env.example");
    let both = Overrides { project: Some("flag".into()), ..flag("work") };
    assert_eq!(stage.resolve(&env, &both).unwrap().project.unwrap().value, "flag");
}

#[test]
fn a_bad_endpoint_in_the_environment_is_refused_without_quoting_it() {
    let stage = Stage::new(TWO);
    for value in ["http://CANARY7f3a.example", "https://u:CANARY7f3a@h", "CANARY7f3a", "https:\\\\CANARY7f3a"] {
        let env = stage.env_in("desk", &[("LANYARD_ENDPOINT", value)]);
        let error = stage.resolve(&env, &Overrides::default()).unwrap_err();
        assert!(told(&error).contains("LANYARD_ENDPOINT"));
        assert!(!told(&error).to_lowercase().contains(&CANARY.to_lowercase()), "{}", told(&error));
    }
}

#[test]
fn storage_and_output_follow_flag_profile_defaults() {
    let stage = Stage::new(TWO);
    let storage = |overrides: &Overrides| stage.resolve(&stage.env(), overrides).unwrap().storage;
    assert_eq!(storage(&flag("work")).value, Choice::File);
    assert_eq!(storage(&flag("home")).source.to_string(), "~/config/config.toml:4");
    let plain = Overrides { storage: Some(Choice::Plain), ..flag("work") };
    assert_eq!(storage(&plain).source, Source::Flag("--storage"));
}

#[test]
fn a_token_comes_from_the_generic_variable_then_from_the_service() {
    let stage = Stage::new(TWO);
    let token = |variables: &[(&str, &str)], name: &str| {
        stage.resolve(&stage.env_in("desk", variables), &flag(name)).unwrap().token.map(|token| {
            assert_eq!(token.value.expose(), "t0k");
            token.variable
        })
    };
    assert_eq!(token(&[("LANYARD_TOKEN", " t0k\n"), ("CORP_TOKEN", "x")], "work").as_deref(), Some("LANYARD_TOKEN"));
    assert_eq!(token(&[("CORP_TOKEN", "t0k"), ("GH_TOKEN", "x")], "work").as_deref(), Some("CORP_TOKEN"));
    assert_eq!(token(&[("GITHUB_TOKEN", "t0k"), ("GH_TOKEN", " ")], "home").as_deref(), Some("GITHUB_TOKEN"));
    assert_eq!(token(&[("GITHUB_TOKEN", "t0k")], "work"), None);
}

#[test]
fn a_token_with_white_space_inside_is_refused_by_the_name_of_its_variable() {
    let stage = Stage::new(TWO);
    for value in ["CANARY7f3a b", "CANARY7f3a\nb", "CANARY7f3a\u{1b}", "CANARY7f3aé"] {
        let env = stage.env_in("desk", &[("LANYARD_TOKEN", value)]);
        let text = told(&stage.resolve(&env, &Overrides::default()).unwrap_err());
        assert!(text.contains("LANYARD_TOKEN") && !text.contains(CANARY), "{text}");
    }
}

#[test]
fn a_cloned_repository_does_not_choose_where_a_generic_token_goes() {
    let stage = Stage::new(TWO);
    stage.write("desk/.lanyard.toml", "profile = \"work\"\n");
    let resolve =
        |variables: &[(&str, &str)]| stage.resolve(&stage.env_in("desk", variables), &Overrides::default()).unwrap();
    let found = resolve(&[("LANYARD_TOKEN", CANARY)]);
    assert_eq!(found.name.value, "work");
    assert!(found.token.is_none());
    assert!(found.warnings[0].starts_with("LANYARD_TOKEN is not used"));
    assert!(matches!(&found.chains.token[1].outcome, Outcome::Lost(reason) if reason.contains("project file")));
    assert!(!format!("{:?}", found.chains).contains(CANARY));
    assert!(resolve(&[("LANYARD_TOKEN", "t"), ("LANYARD_PROFILE", "home")]).token.is_some());
    assert!(resolve(&[("LANYARD_TOKEN", "t"), ("LANYARD_ENDPOINT", "https://e.example")]).token.is_some());
    assert!(resolve(&[("CORP_TOKEN", "t")]).token.is_some());
}

#[test]
fn what_is_meant_for_the_active_profile_holds_for_no_other() {
    let stage = Stage::new(TWO);
    let variables = [("LANYARD_TOKEN", "t"), ("LANYARD_ENDPOINT", "https://e.example"), ("LANYARD_PROJECT", "p")];
    let env = stage.env_in("desk", &variables);
    let config = Config::load(&env).unwrap();
    let other = named(&config, &env, &Overrides::default(), &presets, "work").unwrap();
    assert!(other.token.is_none());
    assert_eq!(other.endpoint.unwrap().value, "https://api.work.example");
    assert_eq!(other.project.unwrap().value, "shop");
    let active = named(&config, &env, &Overrides::default(), &presets, "home").unwrap();
    assert_eq!(active.token.unwrap().variable, "LANYARD_TOKEN");
}

#[test]
fn mistakes_are_told_with_their_place_and_mend_and_never_with_the_value() {
    let cases = [
        ("profile = CANARY7f3a\n", ":1:11: ", ""),
        ("profile = \"CANARY7f3a\n", ":1:", ""),
        ("[defaults\nCANARY7f3a", ":1:10: ", ""),
        ("x = 1\nx = \"CANARY7f3a\"", ":2:1: duplicate key", "correct that line"),
        ("[profiles.w]\nendpiont = \"CANARY7f3a\"\n", ":2:1: unknown key profiles.w.endpiont", "profiles.w.endpoint"),
        ("zebra = \"CANARY7f3a\"", ":1:1: unknown key zebra", "remove it"),
        ("[profile.w]\nservice = \"CANARY7f3a\"\n", ":1:2: profile must be", "write a text"),
        ("[defaults]\n  storage = \"CANARY7f3a\"\n", ":2:13: defaults.storage is none of", "auto, keychain"),
        ("[defaults]\noutput = \"jsom\"\n", ":2:10: ", "write json"),
        ("[profiles.w]\nendpoint = \"http://CANARY7f3a.example\"\n", ":2:12: ", "https://"),
        ("[profiles.w]\nendpoint = \"CANARY7f3a\"\n", ":2:12: profiles.w.endpoint is not a plain URL", "https://"),
        ("[profiles.w]\nscopes = \"CANARY7f3a\"\n", ":2:10: profiles.w.scopes must be a list", "a list"),
        ("[profiles.w]\nscopes = [\"a\", 7, \"CANARY7f3a\"]\n", ":2:16: ", "a list"),
        ("[profiles.w]\nproject = \"a\\u001bCANARY7f3a\"\n", ":2:11: ", "without them"),
        ("[services.s]\nredirect_port = 70000 # CANARY7f3a\n", ":2:17: ", "65535"),
        ("[services.s]\nredirect_port = \"CANARY7f3a\"\n", ":2:17: ", "a port number"),
        ("[services.s]\naccept_unannounced_iss = \"CANARY7f3a\"\n", ":2:26: ", "true or false"),
        ("[services.s.api]\nwhoami = \"https://CANARY7f3a\"\n", ":2:10: ", "/v1/me"),
        ("[services.s.api]\naccount = \"CANARY7f3a\"\n", ":2:11: ", "/user/email"),
        ("[profiles.\"../CANARY\"]\n", ":1:11: ", "letters"),
        ("[[rules]]\nprofile = \"CANARY7f3a\"\n", "lacks directory", "add directory"),
        ("[[rules]]\ndirectory = \"CANARY7f3a\"\nprofile = \"w\"\n", ":2:13: ", "~/"),
        ("[[rules]]\ndirectory = \"~/CANARY7f3a/**/x\"\nprofile = \"w\"\n", ":2:13: ", "below"),
        ("rules = \"CANARY7f3a\"", ":1:9: rules must be a list of tables", ""),
        ("profiles = \"CANARY7f3a\"", ":1:12: profiles must be a table", ""),
        ("profile = 2026-01-01 # CANARY7f3a", ":1:11: ", ""),
        ("profile = \"CANARY7f3a b\"", ":1:11: ", "letters"),
    ];
    for (text, place, mend) in cases {
        let stage = Stage::new(text);
        let error = stage.load().unwrap_err();
        assert_eq!(error.code(), Code::Config);
        let shown = error.to_string();
        assert!(shown.contains(place), "{text:?}: {shown}");
        assert!(error.mend().unwrap().contains(mend), "{text:?}: {:?}", error.mend());
        assert!(!told(&error).to_lowercase().contains("canary7f3a"), "{text:?}: {}", told(&error));
        assert_eq!(stage.text(), text);
    }
}

#[test]
fn a_folder_or_other_bytes_in_the_file_s_place_are_clear_errors() {
    let stage = Stage::new("");
    let path = stage.home.join("config/config.toml");
    files::replace(&path, b"profile = \"a\"\n# \xff", false).unwrap();
    let error = stage.load().unwrap_err();
    assert!(error.to_string().contains(":2:3: this is not UTF-8"), "{error}");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(stage.load().unwrap_err().to_string().contains("not a regular file"));
    assert!(edit::edit(&stage.env(), |_| Ok(())).is_err());
}

#[test]
fn one_issuer_with_two_token_endpoints_is_refused() {
    let service = |name: &str, endpoint: &str| {
        format!("[services.{name}]\nissuer = \"https://id.example\"\ntoken_endpoint = \"https://{endpoint}\"\n")
    };
    let error = Stage::new(&(service("a", "x.example") + &service("b", "y.example"))).load().unwrap_err();
    assert!(error.to_string().contains(":6:1: services a and b"), "{error}");
    assert!(Stage::new(&(service("a", "x.example") + &service("b", "x.example"))).load().is_ok());
}

#[cfg(unix)]
#[test]
fn a_mode_that_lets_others_in_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::new("");
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(&stage.home.join("config"), 0o700);
    assert!(stage.load().unwrap().warnings.is_empty());
    set(&stage.home.join("config/config.toml"), 0o644);
    assert!(stage.load().unwrap().warnings[0].contains("chmod 600"));
}

#[test]
fn every_field_of_the_table_is_read_into_the_configuration() {
    let mut document = toml_edit::DocumentMut::new();
    for field in schema::FIELDS.iter().filter(|field| !field.path.contains('#')) {
        let key = schema::split(&field.path.replace('*', "name"));
        let text = match field.kind {
            schema::Kind::Choice(words) => words[0],
            schema::Kind::Url => "https://h.example",
            schema::Kind::Bool => "true",
            schema::Kind::Port => "8400",
            schema::Kind::Path | schema::Kind::Pointer => "/x",
            _ => "x",
        };
        assert_ne!(field.doc, "");
        document::set(&mut document, &key, schema::value(&key, field, text).unwrap()).unwrap();
    }
    document::add_rule(&mut document, "~/x", "name");
    let text = document.to_string();
    let (config, entries) = check::read(Path::new("c"), text.as_bytes()).unwrap();
    assert_eq!(entries.len(), schema::FIELDS.len());
    // A field that serde does not know would be dropped without a word.
    let shown = format!("{config:?}");
    assert!(!shown[..shown.find("lines:").unwrap()].contains("None"), "{shown}");
    assert!(parse_url("https://h.example").is_ok());
}

mod editing;
mod project_files;

#[test]
fn a_key_in_a_message_can_be_typed() {
    assert_eq!(schema::typed(&["services", "corp", "client_id"]), "services.corp.client_id");
    let typed = schema::typed(&["services", "id.example.com", "client_id"]);
    assert_eq!(typed, "'services.\"id.example.com\".client_id'");
    assert_eq!(schema::split(typed.trim_matches('\'')), ["services", "id.example.com", "client_id"]);
}

#[test]
fn a_key_that_a_flag_gives_wins_and_a_cloned_repository_does_not_choose_where_it_goes() {
    let stage = Stage::new(TWO);
    let key = Overrides { api_key: Some(Arc::new(Secret::new("k3y".into()))), ..flag("work") };
    let found = stage.resolve(&stage.env_in("desk", &[("LANYARD_TOKEN", "t0k")]), &key).unwrap();
    let token = found.token.unwrap();
    assert_eq!((token.value.expose(), token.variable.as_str()), ("k3y", "--api-key"));
    assert!(matches!(&found.chains.token[1].outcome, Outcome::Lost(reason) if reason.contains("--api-key wins")));
    stage.write("desk/.lanyard.toml", "profile = \"work\"\n");
    let unnamed = Overrides { profile: None, ..key };
    let found = stage.resolve(&stage.env_in("desk", &[]), &unnamed).unwrap();
    assert!(found.token.is_none() && found.warnings[0].starts_with("--api-key is not used"), "{:?}", found.warnings);
    let sent = stage.env_in("desk", &[("LANYARD_ENDPOINT", "https://e.example")]);
    assert!(stage.resolve(&sent, &unnamed).unwrap().token.is_some());
}
