//! The house rules that a program can check: who imports whom, who prints, who sees a plain secret, how long a file is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Which layers each layer may import, besides itself.
const LAYERS: [(&str, &[&str]); 18] = [
    ("error", &[]),
    ("text", &[]),
    ("secret", &["error", "text", "os"]),
    ("os", &["error", "secret"]),
    ("http", &["error", "secret", "text"]),
    ("config", &["error", "text", "secret", "os", "http"]),
    ("store", &["error", "text", "secret", "os"]),
    ("credential", &["error", "text", "secret", "http"]),
    ("auth", &["error", "text", "secret", "os", "http", "config"]),
    ("provider", &["error", "text", "secret", "os", "http", "credential"]),
    ("scan", &["error", "text", "secret", "os", "http", "credential", "provider"]),
    ("vault", &["error", "text", "secret", "os", "http", "store", "credential", "provider", "auth"]),
    ("helper", &["error", "text", "secret", "os", "http", "credential", "provider", "auth", "vault"]),
    ("setup", &["error", "text", "secret", "os", "http", "credential", "provider", "vault", "helper", "agent"]),
    ("agent", &["error", "text", "secret", "os", "http", "credential", "provider", "vault", "helper"]),
    ("run", &["error", "text", "secret", "os", "http", "credential", "provider", "vault"]),
    ("server", &["error", "text", "secret", "os", "http", "store", "credential", "provider", "auth", "vault"]),
    (
        "cli",
        &[
            "error",
            "text",
            "secret",
            "os",
            "http",
            "config",
            "store",
            "credential",
            "auth",
            "provider",
            "scan",
            "vault",
            "helper",
            "setup",
            "agent",
            "run",
            "server",
        ],
    ),
];

/// Where a plain secret meets a wire, a store or a tool. Whoever adds a place adds it here, and says why in review.
/// A name that ends in `/` stands for a folder: each provider speaks to its own system.
const BORDERS: [&str; 63] = [
    "agent/frame.rs",
    "auth/device.rs",
    "auth/federated.rs",
    "auth/grant/client.rs",
    "auth/grant/fields.rs",
    "auth/grant/sent.rs",
    "auth/id_token.rs",
    "auth/identity.rs",
    "auth/login.rs",
    "auth/renew.rs",
    "auth/revoke.rs",
    "auth/session/item.rs",
    "auth/web/attempt.rs",
    "cli/agent/start.rs",
    "cli/argv.rs",
    "cli/credentials/",
    "cli/given.rs",
    "cli/helper/sign_in.rs",
    "cli/inject.rs",
    "cli/run.rs",
    "cli/serve.rs",
    "cli/server/reset.rs",
    "cli/store.rs",
    "cli/trust_rules.rs",
    "cli/ui.rs",
    "credential/fields.rs",
    "credential/material.rs",
    "helper/",
    "http/client.rs",
    "http.rs",
    "provider/",
    "run/",
    "scan/cut.rs",
    "scan/finding.rs",
    "scan/merge.rs",
    "secret/file.rs",
    "secret/keychain/item.rs",
    "secret/keyutils.rs",
    "secret/map.rs",
    "secret/memory.rs",
    "secret/mod.rs",
    "server/api_keys.rs",
    "server/credentials.rs",
    "server/invitations.rs",
    "server/invitations/",
    "server/keeper/",
    "server/keys/place.rs",
    "server/keys/recipe.rs",
    "server/leaked.rs",
    "server/oauth/",
    "server/passkey.rs",
    "server/passphrase.rs",
    "server/portal/",
    "server/reset.rs",
    "server/serve.rs",
    "server/upstream/",
    "server/vault/place.rs",
    "setup/",
    "vault/kept.rs",
    "vault/local.rs",
    "vault/local/unlocked.rs",
    "vault/seal.rs",
    "vault/wire.rs",
];

/// What one reads in a sitting, with some room.
const LONGEST: usize = 450;

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 50, "the sources are where they were");
    found
}

/// A file's lines up to its unit tests.
fn program(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn is_test(name: &str) -> bool {
    name.contains("tests") || name.ends_with("contract.rs")
}

#[test]
fn an_import_only_points_down() {
    let mut wrong = BTreeSet::new();
    for (name, text) in sources() {
        let layer = name.split(['/', '.']).next().unwrap();
        let Some((_, allowed)) = LAYERS.iter().find(|(known, _)| *known == layer) else { continue };
        for part in program(&text).split("crate::").skip(1) {
            let target: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let is_layer = LAYERS.iter().any(|(known, _)| *known == target);
            if is_layer && target != layer && !allowed.contains(&target.as_str()) {
                wrong.insert(format!("{name} imports {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Where a provider is named outside of its own files and the one list, and why.
const PROVIDERS_NAMED: [(&str, &str, &str); 10] = [
    ("agent/ssh/added.rs", "ssh_key", "a key that ssh-add hands over signs by the same code as a stored one"),
    ("agent/ssh/mod.rs", "ssh_key", "the agent signs with SSH keys, and with nothing else"),
    ("agent/ssh/stored.rs", "ssh_key", "the agent signs with SSH keys, and with nothing else"),
    ("cli/doctor/checks.rs", "aws", "where AWS's own tools send what is signed is no question about a credential"),
    ("cli/run.rs", "env", "a line of a template sets a variable, whose name has to be one"),
    ("provider/file.rs", "env", "the variable that names the file has to be one"),
    ("provider/file.rs", "gcp", "a file that is handed out as Google's is held against what Google's may hold"),
    ("provider/k8s/cloud.rs", "aws", "a token of EKS is a request signed with AWS keys"),
    ("provider/registry.rs", "aws", "a password of ECR is what AWS answers to a signed request"),
    ("server/registries.rs", "registry", "the charts of a registry are read by who knows registries"),
];

/// The words of the list that a macro makes: `providers! { aws, gcp }`.
fn listed(text: &str, list: &str) -> Vec<String> {
    let body = text.split(&format!("\n{list}! {{\n")).nth(1).and_then(|rest| rest.split('}').next());
    let words = body.unwrap_or_else(|| panic!("no list {list}")).split(',').map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// The modules that a file names directly below `folder`: `crate::provider::aws`, `provider::aws`, `super::aws`, and each
/// word of `crate::provider::{self, aws}`.
fn named_below(folder: &str, name: &str, text: &str) -> BTreeSet<String> {
    let depth = name.strip_prefix(&format!("{folder}/")).map(|rest| rest.matches('/').count());
    // From a file of the folder, `super` is the folder; from one in a folder below it, the `super` above that is.
    let up = depth.map(|depth| vec!["super"; depth + 1].join("::"));
    let text = program(text);
    let mut named = BTreeSet::new();
    for way in [Some(folder.to_owned()), up].into_iter().flatten() {
        let prefix = format!("{way}::");
        for (at, _) in text.match_indices(&prefix) {
            let before = &text[..at];
            let is_longer = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                || (way.starts_with("super") && before.ends_with("super::"));
            let rest = &text[at + prefix.len()..];
            let group = rest.strip_prefix('{').and_then(|rest| rest.split("};").next());
            let words: Vec<&str> = group.map_or_else(|| vec![rest], |group| group.split(',').collect());
            let word = |text: &str| -> String {
                text.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
            };
            named.extend(words.into_iter().map(word).filter(|word| !is_longer && !word.is_empty()));
        }
    }
    named
}

/// Each use of a module of the list outside of its own files, as the file and the module.
fn named_elsewhere(folder: &str, list: &str) -> BTreeSet<(String, String)> {
    let sources = sources();
    let home = format!("{folder}/mod.rs");
    let (_, text) = sources.iter().find(|(name, _)| *name == home).expect("the list");
    let modules = listed(text, list);
    assert!(modules.len() > 10, "{modules:?}");
    for module in &modules {
        let own = format!("{folder}/{module}.rs");
        assert!(sources.iter().any(|(name, _)| *name == own), "{module} has its own file");
    }
    let mut found = BTreeSet::new();
    for (name, text) in sources.iter().filter(|(name, _)| !is_test(name)) {
        let is_own =
            |module: &str| *name == format!("{folder}/{module}.rs") || name.starts_with(&format!("{folder}/{module}/"));
        let named = named_below(folder, name, text);
        found.extend(
            named.into_iter().filter(|one| modules.contains(one) && !is_own(one)).map(|one| (name.clone(), one)),
        );
    }
    found
}

#[test]
fn each_way_to_name_a_module_is_seen() {
    for (name, text) in [
        ("cli/x.rs", "use crate::provider::aws;"),
        ("cli/x.rs", "use crate::provider::{self, aws};"),
        ("cli/x.rs", "use crate::provider::{\n    self,\n    aws::Keys,\n};"),
        ("cli/x.rs", "provider::aws::PROVIDER.name()"),
        ("provider/x.rs", "super::aws::sign()"),
        ("provider/x/y.rs", "use super::super::aws;"),
    ] {
        assert!(named_below("provider", name, text).contains("aws"), "{name}: {text}");
    }
    for (name, text) in [
        ("cli/x.rs", "super::aws::run()"),
        ("provider/x/y.rs", "super::aws::run()"),
        ("cli/x.rs", "cloud_provider::aws"),
        ("cli/x.rs", "#[cfg(test)]\nuse crate::provider::aws;"),
    ] {
        assert!(!named_below("provider", name, text).contains("aws"), "{name}: {text}");
    }
}

#[test]
fn a_provider_is_its_own_files_and_one_word_in_a_list() {
    let known = PROVIDERS_NAMED.iter().map(|(name, module, _)| ((*name).to_owned(), (*module).to_owned()));
    assert_eq!(named_elsewhere("provider", "providers"), known.collect());
}

#[test]
fn a_helper_and_a_tool_to_set_up_are_their_own_files_and_one_word_in_a_list() {
    assert_eq!(named_elsewhere("helper", "helpers"), BTreeSet::new());
    assert_eq!(named_elsewhere("setup", "tools"), BTreeSet::new());
}

#[test]
fn what_is_shared_does_not_ask_which_provider_it_has() {
    let sources = sources();
    for (name, text) in sources.iter().filter(|(name, _)| !is_test(name) && !name.starts_with("provider/")) {
        for line in program(text).lines() {
            let by_word = line.contains("provider == \"") || line.contains("provider != \"");
            let by_name = line.contains("provider.name() ") && line.contains("= \"");
            assert!(!(by_word || by_name), "{name} asks: {line}");
        }
    }
}

#[test]
fn a_plain_secret_is_seen_in_few_places() {
    let is_known =
        |name: &str| BORDERS.iter().any(|known| name == *known || (known.ends_with('/') && name.starts_with(known)));
    let places: Vec<String> = sources()
        .into_iter()
        .filter(|(name, text)| !is_test(name) && program(text).contains(".expose()") && !is_known(name))
        .map(|(name, _)| name)
        .collect();
    assert!(places.is_empty(), "new places: {places:?}");
}

#[test]
fn only_the_face_prints() {
    for (name, text) in sources().iter().filter(|(name, _)| !is_test(name) && !name.starts_with("cli/ui")) {
        for word in ["println!", "eprintln!", "print!(", "io::stdout()", "io::stderr().lock", "dbg!"] {
            assert!(!program(text).contains(word) || name == "os/mod.rs", "{name} has {word}");
        }
    }
}

#[test]
fn no_file_is_longer_than_a_sitting() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{name} has {lines} lines: split it by meaning");
    }
}
