//! Flags that name a file: as `FILE`, as `@FILE`, and `-` for what comes through stdin.

use std::process::Command;

use serde_json::Value;

use super::k8s;
use crate::canary::{Canary, Sweep};
use crate::stage::{Outcome, Stage};
use crate::vaulted::{self, reveal};

/// Stores a credential under each way to give the same file, and gives what is shown of each without its name.
fn each_way(stage: &Stage, provider: &str, flag: &str, file: &str, secret: &str) -> [(Value, String); 3] {
    let text = std::fs::read(stage.home().join(file)).unwrap();
    [("plain", file.to_owned()), ("at", format!("@~/{file}")), ("piped", "-".to_owned())].map(|(name, value)| {
        let words = ["credentials", "store", provider, flag, &value, "--name", name, "--no-verify"];
        stage.run_with(&words, if name == "piped" { &text } else { b"" }).ends(0);
        let shown = stage.run(&["credentials", "show", name, "--json"]).ends(0).json();
        let told = (shown["fields"].clone(), reveal(stage, name, secret));
        stage.run(&["credentials", "delete", name, "--yes"]).ends(0);
        told
    })
}

#[track_caller]
fn assert_alike([plain, at, piped]: &[(Value, String); 3]) {
    assert!(!plain.1.is_empty() && plain.0.as_object().is_some_and(|fields| !fields.is_empty()), "{plain:?}");
    assert_eq!((plain, plain), (at, piped));
}

fn piped(stage: &Stage, words: &[&str], stdin: &str) -> Outcome {
    stage.run_with(&[&["credentials", "store"], words].concat(), stdin.as_bytes())
}

#[test]
fn a_private_key_comes_from_a_file_or_from_stdin() {
    let stage = vaulted::stage();
    let key = stage.home().join("key");
    let made = ["-q", "-t", "ed25519", "-N", "", "-C", "of keygen", "-f", key.to_str().unwrap()];
    assert!(Command::new("ssh-keygen").args(made).status().unwrap().success());
    assert_alike(&each_way(&stage, "ssh-key", "--private-key", "key", "private_key"));

    let text = std::fs::read_to_string(&key).unwrap();
    let twice = piped(&stage, &["ssh-key", "--private-key", "-", "--passphrase", "-"], &text).ends(2);
    assert!(twice.stderr().contains("stdin can give one value, and --private-key is the second"), "{twice}");
    let both = piped(&stage, &["ssh-key", "--private-key", "-", "--generate"], &text);
    assert!(both.stderr().contains("a key is either given or made anew"), "{both}");
    let none = piped(&stage, &["ssh-key", "--private-key", "-"], "no key\n").ends(1);
    assert!(none.stderr().starts_with("error: stdin is no usable SSH private key"), "{none}");
    let [plain, at] = ["nowhere", "@nowhere"].map(|path| piped(&stage, &["ssh-key", "--private-key", path], ""));
    assert_eq!((plain.code, plain.stderr()), (at.code, at.stderr()));
    assert_eq!(plain.code, Some(1), "{plain}");
}

#[test]
fn a_kubeconfig_comes_from_a_file_or_from_stdin() {
    let stage = vaulted::stage();
    let of = |token: &str| k8s::kubeconfig("https://k8s.example.com", "", &format!("{{token: {token}}}"));
    let text = of("a-token-of-some-length");
    std::fs::write(stage.home().join("cluster.yaml"), &text).unwrap();
    let each = each_way(&stage, "k8s", "--kubeconfig", "cluster.yaml", "kubeconfig");
    assert!(each[2].1.contains("a-token-of-some-length"), "the kubeconfig is whole");
    assert_alike(&each);

    let other = piped(&stage, &["k8s", "--kubeconfig", "-", "--context", "other", "--no-verify"], &text);
    assert_ne!(other.code, Some(0), "there is no such context: {other}");
    let canary = Canary::new();
    piped(&stage, &["k8s", "--kubeconfig", "-", "--name", "kept", "--no-verify"], &of(canary.text())).ends(0);
    let mut sweep = Sweep::for_canaries(&[canary]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}

#[test]
fn a_credential_file_of_google_comes_from_a_file_or_from_stdin() {
    let stage = vaulted::stage();
    let file = serde_json::json!({
        "type": "authorized_user",
        "client_id": "id.apps.googleusercontent.com",
        "client_secret": "d-FL95Q19q7MQmFpd7hHD0Ty",
        "refresh_token": "1//0gRefreshTokenOfSomeLength",
    });
    std::fs::write(stage.home().join("adc.json"), file.to_string()).unwrap();
    assert_alike(&each_way(&stage, "gcp", "--service-account", "adc.json", "refresh_token"));
    let broken = piped(&stage, &["gcp", "--service-account", "-"], "{").ends(2);
    assert!(broken.stderr().starts_with("error: "), "{broken}");
}
