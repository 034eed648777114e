//! What is found of the files of docker, podman and helm.

use std::fs;
use std::io::Write;

use super::*;
use crate::provider::Found;

/// A made-up machine: a home in a temporary folder, with these files below it.
fn found(files: &[(&str, &str)], variables: &[(&str, &str)], url: Option<&str>) -> Result<Vec<String>, ProviderError> {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    for (path, content) in files {
        let path = home.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
    let variables: Vec<(&str, String)> =
        variables.iter().map(|(name, value)| (*name, value.replace('~', home.to_str().unwrap()))).collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let env = Env::invented(&home.join("config"), home, &variables);
    let given = url.map(|url| ("url".to_owned(), vec![url.to_owned()])).into_iter().collect();
    let here = Here { env: &env, given: &given };
    let shown = |found: Found| {
        let value = |name| found.raw.get(name).map_or("-", Secret::expose);
        let plain = if found.origin.plain_text { "" } else { " (not in plain text)" };
        let (username, password) = (value("username"), value("password"));
        format!("{} {username}:{password} {}{plain}", found.name.unwrap_or_default(), found.origin.place)
    };
    Ok(PROVIDER.discover(&here).choice()?.into_iter().map(shown).collect())
}

const GHCR: &str = r#"{"auths":{"ghcr.io":{"auth":"YWxpY2U6cA=="}}}"#;

#[test]
fn nothing_is_found_where_nothing_is() {
    assert_eq!(found(&[], &[], None).unwrap(), [""; 0]);
    assert_eq!(found(&[(".docker/config.json", "{}")], &[], None).unwrap(), [""; 0]);
}

#[test]
fn logins_are_found_in_the_order_of_the_tools() {
    let helm = "repositories:\n- name: corp\n  url: https://c.example/a\n  username: bob\n  password: q\n";
    let files = [
        (".docker/config.json", r#"{"auths":{"https://index.docker.io/v1/":{"auth":"YWxpY2U6cA=="},"ghcr.io":{"auth":"Ym9iOnE="}}}"#),
        ("run/containers/auth.json", r#"{"auths":{"quay.io/org":{"auth":"YWxpY2U6cA=="}}}"#),
        (".config/containers/auth.json", r#"{"auths":{"quay.io":{"auth":"Ym9iOnE="}}}"#),
        (".config/helm/registry/config.json", r#"{"auths":{"charts.example":{"auth":"YWxpY2U6cA=="}}}"#),
        (".config/helm/repositories.yaml", helm),
    ];
    let variables = [("DOCKER_AUTH_CONFIG", GHCR), ("XDG_RUNTIME_DIR", "~/run")];
    assert_eq!(
        found(&files, &variables, None).unwrap(),
        [
            "ghcr.io alice:p $DOCKER_AUTH_CONFIG",
            "ghcr.io bob:q ~/.docker/config.json [ghcr.io]",
            "docker.io alice:p ~/.docker/config.json [https://index.docker.io/v1/]",
            "quay.io alice:p ~/run/containers/auth.json [quay.io/org]",
            "quay.io bob:q ~/.config/containers/auth.json [quay.io]",
            "charts.example alice:p ~/.config/helm/registry/config.json [charts.example]",
            "corp bob:q ~/.config/helm/repositories.yaml [corp]",
        ]
    );
    for (url, count) in [("ghcr.io", 2), ("docker.io", 1), ("quay.io", 2), ("https://c.example/a/", 1), ("other.io", 0)] {
        assert_eq!(found(&files, &variables, Some(url)).unwrap().len(), count, "{url}");
    }
}

#[test]
fn variables_move_the_files() {
    let files = [("d/config.json", GHCR), ("a.json", GHCR), ("h.json", GHCR), ("r.yaml", "repositories: []\n")];
    let variables = [
        ("DOCKER_CONFIG", "~/d"),
        ("REGISTRY_AUTH_FILE", "~/a.json"),
        ("HELM_REGISTRY_CONFIG", "~/h.json"),
        ("HELM_REPOSITORY_CONFIG", "~/r.yaml"),
    ];
    assert_eq!(
        found(&files, &variables, None).unwrap(),
        [
            "ghcr.io alice:p ~/d/config.json [ghcr.io]",
            "ghcr.io alice:p ~/a.json [ghcr.io]",
            "ghcr.io alice:p ~/h.json [ghcr.io]"
        ]
    );
}

#[test]
fn a_broken_file_is_told_with_its_place_and_its_line() {
    for (path, content, told) in [
        (".docker/config.json", "{\n\"auths\"", "~/.docker/config.json is no usable docker configuration: the JSON ends too early at line 2"),
        (".config/helm/repositories.yaml", "repositories:\n- name: [\n", "~/.config/helm/repositories.yaml is no usable list"),
    ] {
        let failure = found(&[(path, content)], &[], None).unwrap_err().to_string();
        assert!(failure.starts_with(told), "{failure}");
    }
}

#[cfg(unix)]
#[test]
fn a_helper_is_named_and_asked_only_for_the_registry_that_is_wanted() {
    let helper = "#!/bin/sh\nread -r host; [ \"$1 $host\" = 'get r.example' ] || { echo 'credentials not found in native keychain'; exit 1; }\n\
        echo '{\"ServerURL\":\"r.example\",\"Username\":\"bob\",\"Secret\":\"q\"}'\n";
    let config = r#"{"credHelpers":{"r.example":"mine","s.example":"mine","t.example":"none","public.ecr.aws":"none","u.example":"../mine"}}"#;
    let files = [("bin/docker-credential-mine", helper), (".docker/config.json", config)];
    let variables = [("PATH", "~/bin:/usr/bin:/bin")];
    let all = found(&files, &variables, None).unwrap();
    assert_eq!(
        all,
        [
            "public.ecr.aws -:- `docker-credential-none get` (not in plain text)",
            "r.example -:- `docker-credential-mine get` (not in plain text)",
            "s.example -:- `docker-credential-mine get` (not in plain text)",
            "t.example -:- `docker-credential-none get` (not in plain text)",
        ]
    );
    let asked = |url| found(&files, &variables, Some(url));
    assert_eq!(asked("r.example").unwrap(), ["r.example bob:q `docker-credential-mine get` (not in plain text)"]);
    assert_eq!(asked("s.example").unwrap(), [""; 0]);
    assert_eq!(asked("u.example").unwrap(), [""; 0]);
    assert_eq!(asked("public.ecr.aws").unwrap(), [""; 0]);
    assert_eq!(asked("t.example").unwrap_err().to_string(), "docker-credential-none did not give a credential");
    // The helper for all others is asked about what is wanted, too.
    let store = [files[0], (".docker/config.json", r#"{"credsStore":"mine","auths":{"s.example":{}}}"#)];
    assert_eq!(found(&store, &variables, Some("r.example")).unwrap().len(), 1);
    assert_eq!(found(&store, &variables, None).unwrap().len(), 1);
}
