//! Backups as another program reads them: age itself, which knows nothing of ours.

use std::path::Path;
use std::process::Command;

use super::backup::{api_key, at, with_key_of};
use super::served::Served;
use crate::canary::{Canary, Sweep};
use crate::vaulted::{reveal, store_env};

const VALUE: &str = "LNYCANARYvalue0123456789";

/// Has age do something in a folder: what it gives, or what it says.
fn age(folder: &Path, program: &str, words: &[&str]) -> Result<Vec<u8>, String> {
    let done = Command::new(program).args(words).current_dir(folder).output();
    let done = done.expect("age is installed; tests/run does that");
    if done.status.success() { Ok(done.stdout) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

/// A new identity in a file; its public key.
fn identity(folder: &Path, name: &str) -> String {
    age(folder, "age-keygen", &["-o", name]).unwrap();
    let public = age(folder, "age-keygen", &["-y", name]).unwrap();
    String::from_utf8(public).unwrap().trim().to_owned()
}

#[test]
fn whom_it_was_written_for_reads_it_with_age_and_cannot_bring_another_one_back() {
    let served = Served::new(&[]);
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    let key = api_key(&served);
    let home = served.stage.home();
    let [first, second, _] = ["first", "second", "stranger"].map(|name| identity(&home, name));
    let run = |words: &[&str], more: &[&str]| served.stage.run(&at(words, more));
    run(&["backup", "plain"], &[]).ends(0);
    run(&["backup", "b"], &["--recipient", &first, "--recipient", &second]).ends(0);
    let entry = served.entries().into_iter().rfind(|entry| entry["action"] == "server.backup").unwrap();
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("also for {first}, also for {second}")), "{detail}");

    let plain = age(&home, "age", &["-d", "-i", "first", "b"]).unwrap();
    assert!(plain == age(&home, "age", &["-d", "-i", "second", "b"]).unwrap());
    for (who, file) in [("stranger", "b"), ("first", "plain"), ("stranger", "plain")] {
        let told = age(&home, "age", &["-d", "-i", who, file]).unwrap_err();
        assert!(told.contains("no identity matched"), "{who} and {file}: {told}");
    }
    // Names are in it, and the audit, and nothing that opens anything.
    assert!(crate::canary::contains(&plain, b"alice@example.com") && crate::canary::contains(&plain, b"server.backup"));
    let canaries = [Canary::of(VALUE), Canary::of(key.rsplit('_').nth(1).unwrap())];
    Sweep::for_canaries(&canaries).bytes("what the backup holds", &plain).assert_clean();

    // What they write, the server does not take for its own.
    let forged = String::from_utf8(plain).unwrap().replace("alice@example.com", "mallory@example.com");
    std::fs::write(home.join("forged.txt"), forged).unwrap();
    age(&home, "age", &["-r", &first, "-o", "forged", "forged.txt"]).unwrap();
    let other = with_key_of(&served);
    for file in ["forged", "b"] {
        std::fs::copy(home.join(file), other.home().join(file)).unwrap();
    }
    let told = other.run(&at(&["restore", "forged"], &[])).ends(8);
    assert!(told.stderr().contains("is no backup of a server"), "{told}");
    assert!(!other.home().join("server/server.db").exists());
    // Theirs opens as every other one for whoever has the master key.
    other.run(&at(&["restore", "b"], &["--drill"])).ends(0);
    other.run(&at(&["restore", "b"], &[])).ends(0);
    let restored = Served::on(other, &[]);
    assert_eq!(reveal(&restored.client(), "db", "A"), VALUE);
}

#[test]
fn whoever_cannot_be_written_for_is_named_before_anything_is_written() {
    let served = Served::new(&[]);
    let home = served.stage.home();
    identity(&home, "id");
    let file = std::fs::read_to_string(home.join("id")).unwrap();
    let secret = file.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    // With zero, nobody agrees upon anything that not everybody knows.
    let zero = bech32::encode_lower::<bech32::Bech32>(bech32::Hrp::parse("age").unwrap(), &[0; 32]).unwrap();
    for (given, why) in [(secret, "it is an identity"), ("age1nonsense", "it is none"), (zero.as_str(), "it is none")] {
        let told = served.stage.run(&at(&["backup", "b"], &["--recipient", given])).ends(2);
        assert!(told.stderr().contains(why) && told.stderr().contains("`age-keygen`"), "{told}");
        assert!(!told.stderr().contains(&secret[20..]), "{told}");
    }
    let left: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "b" || name.to_string_lossy().contains("backup")), "{left:?}");
}
