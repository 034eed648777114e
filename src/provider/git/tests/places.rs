//! Where logins lie and by what tokens are recognised.

use super::*;
use crate::provider::Found;

/// What is found in a home with these files: host, place, user, token, service, name.
fn found(host: Option<&str>, files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Vec<String>, ProviderError> {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    for (name, text) in files {
        let path = home.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        if name.starts_with("bin/") {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    let programs = format!("{}:/bin:/usr/bin", home.join("bin").display());
    let variables = [variables, &[("PATH", programs.as_str())]].concat();
    let env = Env::invented(&home.join("config"), root.path(), &variables);
    let given = host.map(|host| ("host".to_owned(), vec![host.to_owned()])).into_iter().collect();
    let told = |found: Found| {
        let raw = |name: &str| found.raw.get(name).map_or("-", Secret::expose).to_owned();
        let place = found.origin.place.clone();
        [raw("host"), place, raw("username"), raw("token"), raw("service"), found.name.unwrap()].join(" | ")
    };
    Ok(PROVIDER.discover(&Here { env: &env, given: &given }).choice()?.into_iter().map(told).collect())
}

#[test]
fn nothing_is_found_where_nothing_is() {
    assert!(found(None, &[], &[]).unwrap().is_empty());
}

const FILES: [(&str, &str); 6] = [
    (
        ".config/gh/hosts.yml",
        "github.com:\n    users:\n        alice:\n            oauth_token: gho_alice\n        bob:\n            oauth_token: gho_bob\n    \
         git_protocol: https\n    user: alice\n    oauth_token: gho_alice\nghe.corp.example:\n    user: carol\n    users:\n        carol:\n",
    ),
    ("bin/gh", "#!/bin/sh\n[ \"$*\" = 'auth token --hostname ghe.corp.example' ] && echo gho_from_keychain\n"),
    (
        ".config/glab-cli/config.yml",
        "git_protocol: ssh\nhosts:\n    gitlab.com:\n        token: glpat-one\n        api_host: gitlab.com\n    \
         gl.corp.example:\n        token: two\n        api_host: api.gl.corp.example\n    none.example:\n        token:\n",
    ),
    (".config/tea/config.yml", "logins:\n    - name: cb\n      url: https://codeberg.org\n      token: abc123\n      user: dora\n"),
    (
        ".git-credentials",
        "https://eve:p%40ss@git.corp.example:8443\nhttps://alice:gho_alice@github.com\nhttp://x:y@plain.example\n\
         smtp://me:mail@smtp.example:587\n",
    ),
    (".netrc", "machine bitbucket.org login fred password ATATTz\n"),
];

#[test]
fn logins_are_found_where_git_and_the_tools_of_the_hosts_keep_them() {
    let variables = [("GITHUB_TOKEN", "ghp_variable"), ("GITLAB_HOST", "https://gl2.corp.example/"), ("GITLAB_TOKEN", "glpat-v")];
    assert_eq!(
        found(None, &FILES, &variables).unwrap(),
        [
            "github.com | $GITHUB_TOKEN | x-access-token | ghp_variable | github | github.com",
            "gl2.corp.example | $GITLAB_TOKEN | oauth2 | glpat-v | gitlab | gl2.corp.example",
            "ghe.corp.example | `gh auth token --hostname ghe.corp.example` | carol | gho_from_keychain | github | ghe.corp.example",
            "github.com | ~/.config/gh/hosts.yml [github.com] | alice | gho_alice | github | github.com-alice",
            "github.com | ~/.config/gh/hosts.yml [github.com] | bob | gho_bob | github | github.com-bob",
            "gitlab.com | ~/.config/glab-cli/config.yml [gitlab.com] | oauth2 | glpat-one | gitlab | gitlab.com",
            "gl.corp.example | ~/.config/glab-cli/config.yml [gl.corp.example] | oauth2 | two | gitlab | gl.corp.example",
            "codeberg.org | ~/.config/tea/config.yml [codeberg.org] | dora | abc123 | gitea | codeberg.org",
            "git.corp.example:8443 | ~/.git-credentials [git.corp.example:8443] | eve | p@ss | - | git.corp.example:8443",
            "bitbucket.org | ~/.netrc [bitbucket.org] | fred | ATATTz | bitbucket | bitbucket.org",
        ]
    );
    let one = found(Some("https://git.corp.example:8443/x.git"), &FILES, &variables).unwrap();
    assert_eq!(one.len(), 1, "{one:?}");
}

#[test]
fn a_token_in_a_variable_is_for_its_host_alone() {
    let variables = [("GH_TOKEN", "ghp_public"), ("GH_ENTERPRISE_TOKEN", "ghp_own"), ("GH_HOST", "ghe.corp.example")];
    let own = found(Some("ghe.corp.example"), &[], &variables).unwrap();
    assert_eq!(own, ["ghe.corp.example | $GH_ENTERPRISE_TOKEN | x-access-token | ghp_own | github | ghe.corp.example"]);
    assert!(found(Some("evil.example"), &[], &variables).unwrap().is_empty());
    let without_host = [("GH_ENTERPRISE_TOKEN", "ghp_own")];
    assert!(found(None, &[], &without_host).unwrap().is_empty(), "nobody says which host it is for");
}

#[test]
fn a_broken_file_is_named_with_its_line_and_not_quoted() {
    for (path, text) in [
        (".config/gh/hosts.yml", "github.com:\n    oauth_token: [s3cret\n"),
        (".config/glab-cli/config.yml", "hosts:\n    - s3cret\n"),
        (".config/tea/config.yml", "logins:\n    s3cret: true\n"),
        (".git-credentials", "https://a:b@c\ns3cret\n"),
        (".netrc", "machine a login b password \"s3cret\n"),
    ] {
        let told = found(None, &[(path, text)], &[]).unwrap_err().to_string();
        assert!(told.contains(path) && told.contains("line ") && !told.contains("s3cret"), "{told}");
    }
}

#[test]
fn every_mark_fits_its_tokens_and_has_its_keyword() {
    let body = |length: usize| "aB3".chars().cycle().take(length).collect::<String>();
    let samples = [
        format!("ghp_{}", body(36)),
        format!("gho_{}", body(36)),
        format!("ghu_{}", body(36)),
        format!("ghs_{}", body(36)),
        format!("ghs_1234567_eyJ{}.eyJ{}.{}-x", body(40), body(300), body(80)),
        format!("github_pat_{}", body(82)),
        format!("glpat-{}", body(20)),
        format!("glpat-{}.01.0z1234567", body(32)),
        format!("glpat-{}.0z1234567", body(32)),
        format!("gldt-{}", body(20)),
        format!("glcbt-64_{}", body(20)),
        format!("ATATT3xFfGF0{}=1A2B3C4D", body(170)),
        format!("ATCTT3xFfGN0{}=1A2B3C4D", body(170)),
        format!("ATBB{}", body(32)),
        format!("{}AZDO{}", body(76), body(4)),
        "0123456789abcdef0123456789abcdef01234567".to_owned(),
    ];
    let mut used = [false; 15];
    assert_eq!(used.len(), marks::MARKS.len());
    for sample in &samples {
        let text = format!("x = {{\"GITEA_TOKEN\": \"{sample}\"}}\n");
        let mut hit = false;
        for (used, mark) in used.iter_mut().zip(&marks::MARKS) {
            let Some(found) = regex::Regex::new(mark.pattern).unwrap().captures(&text) else { continue };
            assert!(found[0].contains(mark.keyword), "{}", mark.pattern);
            assert!(host::Flavour::from_word(mark.service).is_some() && KINDS[0].field(mark.field).is_some());
            *used |= found[1] == **sample;
            hit |= found[1] == **sample;
        }
        assert!(hit, "{sample} is not recognised");
    }
    assert!(used.iter().all(|used| *used), "a mark without a sample: {used:?}");
}

#[test]
fn every_example_passes_its_own_check() {
    for field in KINDS[0].fields {
        assert_eq!((field.check)(field.example), Ok(()), "{}", field.name);
    }
    for bad in ["../x", "a/../b", "https://h/x", "a?b", "a#b", "a b", ""] {
        assert!(path(bad).is_err(), "{bad}");
    }
}
