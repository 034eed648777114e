//! The master key where it rests when nobody says otherwise: in a real keychain, which may be locked, or gone.

use super::openbao::wait_until;
use super::served::{PASSPHRASE, Served};
use crate::canary::{Canary, Sweep};
use crate::keyring::Keyring;
use crate::stage::Stage;
use crate::vaulted::{reveal, store_env};

const VALUE: &str = "LNYCANARYvalue0123456789";

/// What cannot be done without the key says so, and how to have it.
fn is_closed(served: &Served, words: &[&str]) {
    let refused = served.stage.run(words).ends(7);
    let told = refused.stderr();
    assert!(
        told.contains("keychain")
            && told.contains("next: ")
            && !told.contains("--storage")
            && refused.stdout().is_empty(),
        "{refused}"
    );
    // A file would open nothing of what is there.
    assert!(!told.contains("--master-key-file"), "{refused}");
}

#[test]
fn a_server_starts_with_its_key_in_the_keychain_and_waits_for_nobody_while_that_is_locked() {
    let mut keyring = Keyring::start();
    let mut served = Served::with_a_store(Stage::with_keyring(&keyring));
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    assert!(!served.data().join("master.key").exists());
    let stage = served.client();
    store_env(&stage, "db", "A", VALUE);
    let before = keyring.items();
    assert_eq!(before.matches("label = ").count(), 1, "{before}");
    let secret = before.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap().to_owned();
    // Neither the key nor what it opens lies in the data.
    Sweep::for_canaries(&[Canary::of(VALUE), Canary::of(&secret)]).tree(&served.data()).assert_clean();
    // One that runs has its key. One that starts, and whoever needs the key besides, is told.
    keyring.lock();
    assert_eq!(reveal(&stage, "db", "A"), VALUE);
    let place = ["--data", "server"];
    for words in [&["backup", "file"][..], &["rotate-key"], &["audit"]] {
        is_closed(&served, &[&["server"], words, &place].concat());
    }
    assert_eq!(served.end("TERM"), Some(0));
    is_closed(&served, &served.words(&["--listen", "127.0.0.1:0"]));
    is_closed(&served, &served.words(&["--check", "--listen", "127.0.0.1:0"]));
    // Unlocked, it goes on where it was; another key takes the place of the one before.
    keyring.kill();
    is_closed(&served, &served.words(&["--listen", "127.0.0.1:0"]));
    let fresh = served.stage.run(&["serve", "--check", "--data", "other", "--listen", "127.0.0.1:0"]).ends(7);
    assert!(fresh.stderr().contains("--master-key-file") && !fresh.stderr().contains("--storage"), "{fresh}");
    keyring.start_service();
    served.again();
    wait_until("it serves", || reveal(&stage, "db", "A") == VALUE);
    served.stage.run(&[&["server", "rotate-key"][..], &place].concat()).ends(0);
    let after = keyring.items();
    assert!(after != before && after.matches("label = ").count() == 1, "{after}");
    assert_eq!(reveal(&stage, "db", "A"), VALUE);
    served.end("TERM");
    served.again();
    assert_eq!(reveal(&stage, "db", "A"), VALUE);
}
