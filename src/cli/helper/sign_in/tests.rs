use std::path::Path;

use super::*;
use crate::config::{GitTable, ServiceTable};
use crate::credential::tests::credential;

fn config(services: &[(&str, ServiceTable)]) -> Config {
    let mut config = Config::default();
    config.services.extend(services.iter().map(|(name, table)| ((*name).to_owned(), table.clone())));
    config
}

fn with_client(preset: Option<&str>) -> ServiceTable {
    ServiceTable { client_id: Some("mine".into()), preset: preset.map(str::to_owned), ..ServiceTable::default() }
}

fn asked(scheme: &str, host: &str) -> Address {
    Address::asked(Some(scheme), host, Some("team/app.git")).unwrap()
}

fn service_for(config: &Config, at: &Address, over: Option<&Metadata>) -> Result<Option<Service>, SignInFailure> {
    the_one(services_for(config, at, over), at)
}

fn service(config: &Config, scheme: &str, host: &str) -> Option<String> {
    service_for(config, &asked(scheme, host), None).unwrap().map(|service| service.name)
}

#[test]
fn the_exact_host_of_a_service_with_a_client_leads_to_a_sign_in_and_no_other() {
    let own = ServiceTable { issuer: Some("https://git.corp.example:8443".into()), ..with_client(Some("gitlab")) };
    let config = config(&[("github", with_client(None)), ("corp", own)]);
    assert_eq!(service(&config, "https", "github.com").as_deref(), Some("github"));
    assert_eq!(service(&config, "https", "git.corp.example:8443").as_deref(), Some("corp"));
    for (scheme, host) in [
        ("http", "github.com"),
        ("https", "github.com.evil.example"),
        ("https", "evilgithub.com"),
        ("https", "gist.github.com"),
        ("https", "api.github.com"),
        ("https", "github.com:8443"),
        ("https", "git.corp.example"),
        // A built-in service that the user has no client for.
        ("https", "gitlab.com"),
        ("https", "bitbucket.org"),
    ] {
        assert_eq!(service(&config, scheme, host), None, "{scheme}://{host}");
    }
    let nameless = Address::asked(None, "github.com", None).unwrap();
    assert!(service_for(&config, &nameless, None).unwrap().is_none());
}

#[test]
fn every_built_in_git_host_can_be_signed_in_to() {
    for (name, host) in [
        ("github", "github.com"),
        ("gitlab", "gitlab.com"),
        ("bitbucket", "bitbucket.org"),
        ("gitea", "gitea.com"),
        ("azure-devops", "dev.azure.com"),
    ] {
        let config = config(&[(name, with_client(None))]);
        assert_eq!(service(&config, "https", host).as_deref(), Some(name));
    }
    let git = GitTable { address: Some("https://git.example.com".into()), ..GitTable::default() };
    let config = config(&[("corp", ServiceTable { git: Some(git), ..with_client(None) })]);
    assert_eq!(service(&config, "https", "git.example.com").as_deref(), Some("corp"));
}

#[test]
fn of_two_services_for_a_host_none_is_guessed() {
    let config = config(&[("github", with_client(None)), ("work", with_client(Some("github")))]);
    let failure = service_for(&config, &asked("https", "github.com"), None).unwrap_err();
    assert!(failure.to_string().contains("github, work"), "{failure}");
    // A sign-in that is over says which of them it was.
    let mut raw = Raw::new();
    raw.plain("service", "work");
    let over = credential("mine", Fields::parse(by_kind(KIND).unwrap().1, raw).unwrap()).metadata;
    let meant = service_for(&config, &asked("https", "github.com"), Some(&over)).unwrap().unwrap();
    assert_eq!(meant.name, "work");
}

#[test]
fn what_git_needs_is_asked_for_beside_the_rest_and_once() {
    let scopes_of = |name: &str| scopes(&Service::of_table(name, &with_client(None)));
    assert_eq!(scopes_of("github"), "repo read:org gist");
    assert_eq!(scopes_of("gitlab"), "openid profile email read_user read_repository write_repository");
    assert!(scopes_of("azure-devops").ends_with("/.default offline_access"));
}

#[test]
fn the_variables_that_say_no() {
    let said = |variables: &[(&str, &str)]| obstacle(&Env::invented(Path::new("/c"), Path::new("/"), variables));
    assert_eq!(said(&[]), None);
    for (name, value) in [
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_TERMINAL_PROMPT", "False"),
        ("GIT_TERMINAL_PROMPT", "off"),
        ("GCM_INTERACTIVE", "never"),
        ("CI", "true"),
        ("CI", "1"),
        ("CI", "woodpecker"),
    ] {
        assert!(said(&[(name, value)]).is_some(), "{name}={value}");
    }
    for (name, value) in [("GIT_TERMINAL_PROMPT", "1"), ("GIT_TERMINAL_PROMPT", "true"), ("CI", "false")] {
        assert_eq!(said(&[(name, value)]), None, "{name}={value}");
    }
}

#[test]
fn a_lock_has_a_name_that_a_file_can_have() {
    let env = Env::invented(Path::new("/c"), Path::new("/"), &[]);
    let name = |host: &str| lock_path(&env, &asked("https", host)).display().to_string();
    assert_eq!(name("[::1]:8443"), "/c/locks/sign-in----1--8443.lock");
    assert_eq!(name(".."), "/c/locks/sign-in-...lock");
}
