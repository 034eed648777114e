//! SSH keys, with ssh-keygen, ssh and sshd as witnesses.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::foreground::Foreground;
use crate::canary::{Canary, Sweep};
use crate::peers::free_port;
use crate::stage::Stage;
use crate::vaulted::{self, list, reveal};

/// Runs a program to its end and gives what it wrote to stdout, without the line break at the end.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it is installed; tests/run does that");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Makes a key by ssh-keygen, in the form that is wanted: `RFC4716` is OpenSSH's own.
fn keygen(stage: &Stage, name: &str, kind: &[&str], form: &str, passphrase: &str) -> PathBuf {
    let path = stage.home().join(name);
    let file = path.to_str().unwrap();
    run("ssh-keygen", &[&["-q", "-N", "", "-C", "of keygen", "-f", file, "-t"], kind].concat());
    run("ssh-keygen", &["-q", "-p", "-m", form, "-a", "1", "-P", "", "-N", passphrase, "-f", file]);
    path
}

fn line(path: &Path) -> String {
    std::fs::read_to_string(path.with_extension("pub")).unwrap().trim_end().to_owned()
}

fn export(stage: &Stage, name: &str, format: &str, file: &str) -> PathBuf {
    stage.run(&["credentials", "export", name, "--format", format, "--to", file]).ends(0);
    stage.home().join(file)
}

#[test]
fn a_key_that_was_made_lets_one_in() {
    let stage = vaulted::stage();
    let made = stage.run(&["credentials", "store", "ssh-key", "--generate", "--comment", "ci@example"]).ends(0);
    assert!(made.stdout().is_empty(), "{made}");
    assert!(made.stderr().starts_with("✓ Stored ci@example (SSH key), active: SHA256:"), "{made}");
    let public = list(&stage)[0]["fields"]["public_key"].as_str().unwrap().to_owned();

    let file = export(&stage, "ci@example", "openssh", "key");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let file = file.to_str().unwrap();
    assert_eq!(run("ssh-keygen", &["-y", "-f", file]), public);
    let fingerprint = list(&stage)[0]["fields"]["fingerprint"].as_str().unwrap().to_owned();
    assert_eq!(run("ssh-keygen", &["-l", "-f", file]), format!("256 {fingerprint} ci@example (ED25519)"));

    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port();
    let _sshd = Foreground::start("sshd/up.sh", port, &[folder.path().to_str().unwrap(), &port.to_string()]);
    let user = run("id", &["-un"]);
    let ssh = |key: &str| {
        let port = port.to_string();
        let options = ["-F", "none", "-i", key, "-p", &port, "-l", &user, "-o", "IdentitiesOnly=yes"];
        let strange = ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"];
        let words = [&options[..], &strange, &["127.0.0.1", "echo", "inside"]].concat();
        Command::new("ssh").args(words).env_remove("SSH_AUTH_SOCK").output().expect("ssh is there")
    };
    assert!(!ssh(file).status.success(), "nobody is let in yet");
    let authorized = export(&stage, "ci@example", "authorized-keys", "authorized");
    std::fs::copy(authorized, folder.path().join("authorized_keys")).unwrap();
    let output = ssh(file);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "inside\n", "{output:?}");

    let tested = stage.run(&["credentials", "test", "ci@example"]).ends(0);
    assert_eq!(tested.stdout(), format!("ci@example  PASSED: {fingerprint} ci@example\n"));
    let rotated = stage.run(&["credentials", "rotate", "ci@example"]).ends(1);
    assert!(rotated.stderr().contains("store ssh-key --generate --name ci@example-new"), "{rotated}");
}

#[test]
fn a_key_that_was_made_is_shown_only_when_asked_for() {
    let stage = vaulted::stage();
    let words = ["credentials", "store", "ssh-key", "--generate", "--print-private", "--name", "new"];
    let printed = stage.run(&words).ends(0).stdout();
    assert_eq!(printed.trim_end(), reveal(&stage, "new", "private_key").trim_end());
    assert!(printed.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
    let again = stage.run(&["credentials", "show", "new"]).ends(0);
    assert!(!again.stdout().contains("BEGIN"), "{again}");
}

#[test]
fn every_form_of_ssh_keygen_is_read() {
    let stage = vaulted::stage();
    let sorts: [(&str, &[&str]); 5] = [
        ("ed25519", &["ed25519"]),
        ("rsa", &["rsa", "-b", "2048"]),
        ("p256", &["ecdsa", "-b", "256"]),
        ("p384", &["ecdsa", "-b", "384"]),
        ("p521", &["ecdsa", "-b", "521"]),
    ];
    for (sort, kind) in sorts {
        // Ed25519 is kept in OpenSSH's own form whatever one asks for.
        let forms = if sort == "ed25519" { &["RFC4716"][..] } else { &["RFC4716", "PEM", "PKCS8"] };
        for form in forms {
            for passphrase in ["", "opens it"] {
                let name = format!("{sort}-{form}-{}", passphrase.len());
                let path = keygen(&stage, &name, kind, form, passphrase);
                let file = path.to_str().unwrap();
                let stored = stage.run(&["credentials", "store", "ssh-key", "--private-key", file]).ends(0);
                let open = passphrase.is_empty();
                assert!(stored.stderr().contains(if open { "active" } else { "unverified" }), "{stored}");
                let fields = &list(&stage)[0]["fields"];
                assert_eq!(fields["public_key"], line(&path), "{name}");
                let told = run("ssh-keygen", &["-l", "-f", file]);
                assert!(told.contains(fields["fingerprint"].as_str().unwrap()), "{told}");
                let exported = export(&stage, &name, "openssh", "again");
                assert_eq!(std::fs::read(exported).unwrap(), std::fs::read(&path).unwrap(), "{name}");
                stage.run(&["credentials", "delete", &name, "--yes"]).ends(0);
            }
        }
    }
}

#[test]
fn a_passphrase_is_proved_and_neither_it_nor_the_key_leaks() {
    let stage = vaulted::stage();
    let canary = Canary::new();
    let path = keygen(&stage, "closed", &["ed25519"], "RFC4716", canary.text());
    let key = std::fs::read_to_string(&path).unwrap();
    let file = path.to_str().unwrap();
    let words = ["credentials", "store", "ssh-key", "--private-key", file, "--passphrase", "-"];
    let refused = stage.run_with(&words, b"wrong").ends(8);
    assert!(refused.stderr().contains("the passphrase does not open the private key"), "{refused}");
    let stored = stage.run_with(&[&words[..], &["--name", "mine"]].concat(), canary.text().as_bytes()).ends(0);
    assert!(stored.stderr().contains("Stored mine (SSH key), active: SHA256:"), "{stored}");
    stage.run(&["credentials", "test"]).ends(0);
    std::fs::remove_file(&path).unwrap();
    let body = Canary::of(key.lines().nth(3).unwrap());
    let mut sweep = Sweep::for_canaries(&[canary, body]);
    stage.sweep(&mut sweep);
    sweep.assert_clean();
}

#[test]
fn the_public_half_alone_and_halves_that_do_not_fit() {
    let stage = vaulted::stage();
    let (one, other) =
        (keygen(&stage, "one", &["ed25519"], "RFC4716", ""), keygen(&stage, "other", &["ed25519"], "RFC4716", ""));
    let (one, other) = (one.to_str().unwrap(), format!("{}.pub", other.display()));
    let half = stage.run(&["credentials", "store", "ssh-key", "--public-key", &other, "--name", "half"]).ends(0);
    assert!(half.stderr().ends_with("unverified: [..]\n") || half.stderr().contains("unverified"), "{half}");
    stage.run(&["credentials", "export", "half", "--format", "openssh"]).ends(2);
    let line = stage.run(&["credentials", "export", "half", "--format", "authorized-keys"]).ends(0).stdout();
    assert_eq!(line, std::fs::read_to_string(&other).unwrap());
    let words = ["credentials", "store", "ssh-key", "--private-key", one, "--public-key", &other];
    let refused = stage.run(&words).ends(8);
    assert!(refused.stderr().contains("the public key belongs to another private key"), "{refused}");
    let nothing = stage.run(&["credentials", "store", "ssh-key"]).ends(1);
    assert!(nothing.stderr().contains("there is no SSH key in ~/.ssh"), "{nothing}");
    assert!(nothing.stderr().contains("--generate"), "{nothing}");
}

#[test]
fn the_usual_key_is_found() {
    let stage = vaulted::stage();
    std::fs::create_dir(stage.home().join(".ssh")).unwrap();
    keygen(&stage, ".ssh/id_ed25519", &["ed25519"], "RFC4716", "");
    let stored = stage.run(&["credentials", "store", "ssh-key"]).ends(0);
    assert!(
        stored.stderr().contains("Stored id_ed25519 (SSH key, from ~/.ssh/id_ed25519), active: SHA256:"),
        "{stored}"
    );
    assert!(stored.stderr().contains("it still lies in plain text in ~/.ssh/id_ed25519"), "{stored}");
    std::fs::write(stage.home().join(".ssh/id_rsa"), "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n").unwrap();
    let stored = stage.run(&["credentials", "store", "ssh-key", "--replace"]).ends(0);
    assert!(stored.stderr().contains("warning: passed over: ~/.ssh/id_rsa is no usable SSH private key"), "{stored}");
    assert!(stored.stderr().contains("Replaced id_ed25519"), "{stored}");
    let broken = stage.run(&["credentials", "store", "ssh-key", "--private-key", "~/.ssh/id_rsa"]).ends(1);
    assert!(broken.stderr().contains("~/.ssh/id_rsa is no usable SSH private key"), "{broken}");
}

#[test]
fn a_new_private_key_brings_its_public_half() {
    let stage = vaulted::stage();
    let (old, new) = (keygen(&stage, "old", &["ed25519"], "RFC4716", ""), keygen(&stage, "new", &["ecdsa"], "PEM", ""));
    let old = old.to_str().unwrap();
    let store = ["credentials", "store", "ssh-key", "--private-key", old, "--name", "key", "--user", "git"];
    stage.run(&[&store[..], &["--comment", "my own"]].concat()).ends(0);
    stage.run(&["credentials", "update", "key", "--field", "private_key=@new"]).ends(0);
    let fields = list(&stage)[0]["fields"].clone();
    let type_and_key = |line: &str| line.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
    let public = fields["public_key"].as_str().unwrap();
    assert_eq!(type_and_key(public), type_and_key(&line(&new)));
    assert!(public.ends_with(" my own"), "{fields}");
    assert_eq!((&fields["comment"], &fields["user"]), (&"my own".into(), &"git".into()));
    let told = run("ssh-keygen", &["-l", "-f", new.with_extension("pub").to_str().unwrap()]);
    assert_eq!(fields["fingerprint"], told.split(' ').nth(1).unwrap());
    // The other half of another key is no change that makes sense, and changes nothing else either.
    let other = line(Path::new(old));
    stage.run(&["credentials", "update", "key", "--field", &format!("public_key={other}"), "--tag", "x"]).ends(8);
    assert_eq!(list(&stage)[0]["fields"], fields);
    assert_eq!(list(&stage)[0]["tags"], serde_json::json!([]));
}
