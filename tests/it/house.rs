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
const BORDERS: [&str; 53] = [
    "agent/frame.rs",
    "auth/device.rs",
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
    "cli/store.rs",
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
    "server/invitations.rs",
    "server/keys.rs",
    "server/members.rs",
    "server/oauth/",
    "server/passphrase.rs",
    "server/portal/",
    "server/serve.rs",
    "server/vault/sealed.rs",
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
