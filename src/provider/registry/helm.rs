//! Helm's `repositories.yaml`.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::provider::foreign::yaml_limits;
use crate::secret::Secret;

/// A repository with a user name and a password.
#[derive(Debug)]
pub(super) struct Repository {
    /// Its name.
    pub(super) name: String,
    /// Its address.
    pub(super) url: String,
    /// The user.
    pub(super) username: String,
    /// The password.
    pub(super) password: Secret,
}

/// Reads the repositories that have a password. The error says where the file is wrong and quotes nothing of it.
pub(super) fn parse(text: &str) -> Result<Vec<Repository>, String> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default)]
        repositories: Option<Vec<Entry>>,
    }
    #[derive(Deserialize)]
    struct Entry {
        name: String,
        url: String,
        username: Option<String>,
        password: Option<Secret>,
    }
    let wire: Option<Wire> = serde_saphyr::from_str_with_options(text, yaml_limits()).map_err(|error| {
        // The error's own text quotes what it found.
        let line = error.location().map_or(1, |location| location.line());
        format!("the YAML is broken or lacks a field at line {line}")
    })?;
    let repositories = wire.and_then(|wire| wire.repositories).unwrap_or_default();
    let with_password = |entry: Entry| match (entry.username, entry.password) {
        (Some(username), Some(password)) if !username.is_empty() && !password.expose().is_empty() => {
            Some(Repository { name: entry.name, url: entry.url, username, password })
        }
        _ => None,
    };
    Ok(repositories.into_iter().filter_map(with_password).collect())
}

/// Writes a file with one repository. A string of JSON is one of YAML, too.
pub(super) fn write(name: &str, url: &str, username: &str, password: &Secret) -> Secret {
    let quoted = |text: &str| Zeroizing::new(serde_json::to_string(text).unwrap_or_default());
    let (name, url, username, password) = (quoted(name), quoted(url), quoted(username), quoted(password.expose()));
    let parts = [
        "apiVersion: v1\ngenerated: \"0001-01-01T00:00:00Z\"\nrepositories:\n- name: ",
        &name,
        "\n  url: ",
        &url,
        "\n  username: ",
        &username,
        "\n  password: ",
        &password,
        "\n  pass_credentials_all: false\n",
    ];
    Secret::new(parts.concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(found) => {
                let one = |repository: Repository| {
                    let Repository { name, url, username, password } = repository;
                    format!("{name} {url} {username}:{}", password.expose())
                };
                found.into_iter().map(one).collect::<Vec<_>>().join(", ")
            }
            Err(problem) => problem,
        }
    }

    #[test]
    fn a_file_is_read_as_helm_reads_it() {
        let usual = "apiVersion: v1\ngenerated: \"2026-01-01T00:00:00Z\"\nrepositories:\n\
            - name: open\n  url: https://charts.example.com\n  username: \"\"\n  password: \"\"\n\
            - caFile: \"\"\n  name: corp\n  url: https://charts.corp.example/stable\n  username: alice\n  password: 's3''cret'\n";
        assert_eq!(shown(usual), "corp https://charts.corp.example/stable alice:s3'cret");
        assert_eq!(shown("apiVersion: v1\nrepositories: []\n"), "");
        assert_eq!(shown("repositories:\n"), "");
        assert_eq!(shown(""), "");
    }

    #[test]
    fn what_is_broken_is_told_with_its_line_and_without_its_content() {
        for (text, line) in [
            ("repositories:\n- name: a\n  url: [CANARY]\n", "line 3"),
            ("repositories:\n- name: a\n\tCANARY: b\n", "line"),
            ("repositories: CANARY\n", "line 1"),
            ("a: &a [CANARY]\nrepositories:\n- *b\n", "line"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(line) && !problem.contains("CANARY"), "{text}: {problem}");
        }
    }

    #[test]
    fn a_file_that_explodes_is_refused() {
        let line = |level: usize| format!("a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 9].join(", "));
        let text = "a0: &a0 [x, x]\n".to_owned() + &(1..40).map(line).collect::<Vec<_>>().join("\n");
        assert!(parse(&text).is_err());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn no_odd_yaml_makes_it_panic(text in "[-a-z: \n\\[\\]{}&*!|>'\"#%@`,?~<]{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_repository_is_read_back(name in "[a-z][a-z0-9.-]{0,20}", username in "[^\\p{Cc}]{1,20}", password in "[^\\p{Cc}]{1,40}") {
            let file = write(&name, "https://charts.example.com/a", &username, &Secret::new(password.clone()));
            let read = parse(file.expose()).unwrap();
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!(&read[0].name, &name);
            prop_assert_eq!(&read[0].username, &username);
            prop_assert_eq!(read[0].password.expose(), &password);
        }
    }
}
