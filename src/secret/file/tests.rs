use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::*;

fn slot(name: &str) -> Slot {
    Slot { name: name.into(), label: String::new() }
}

fn secret(value: &str) -> Secret {
    Secret::new(value.into())
}

/// A store whose passphrase is `passphrase` and whose stretching is quick enough for a thousand tries.
fn store(dir: &Path, passphrase: &'static str) -> EncryptedFile<'static> {
    let mut store = EncryptedFile::new(dir, Box::new(move |_| Ok(secret(passphrase))));
    store.work_factor = 1;
    store
}

#[test]
fn keeps_the_contract() {
    let home = tempfile::tempdir().unwrap();
    super::super::contract::secret_store_contract(|| Box::new(store(home.path(), "correct horse")));
}

#[test]
fn another_process_reads_what_was_written_and_the_file_shows_nothing() {
    let home = tempfile::tempdir().unwrap();
    store(home.path(), "correct horse").set(&slot("profile-name"), &secret("canary")).unwrap();
    let sealed = std::fs::read(home.path().join("sessions.age")).unwrap();
    for word in ["canary", "profile-name", "correct"] {
        assert!(!sealed.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
    let found = store(home.path(), "correct horse").get(&slot("profile-name")).unwrap().unwrap();
    assert_eq!(found.expose(), "canary");
}

#[test]
fn every_flipped_byte_and_a_wrong_passphrase_give_the_same_error() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("sessions.age");
    store(home.path(), "correct horse").set(&slot("work"), &secret("canary")).unwrap();
    let wrong = store(home.path(), "wrong horse").get(&slot("work")).unwrap_err().to_string();
    let whole = std::fs::read(&path).unwrap();
    // The cost stands behind the salt on the second line; a flip there may ask for real work, which is bounded.
    for index in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[index] ^= 1;
        files::replace(&path, &flipped, false).unwrap();
        let error = store(home.path(), "correct horse").get(&slot("work")).unwrap_err();
        assert_eq!(error.to_string(), wrong, "byte {index}");
    }
    for length in [0, 1, 20, whole.len() / 2, whole.len() - 1] {
        files::replace(&path, &whole[..length], false).unwrap();
        let error = store(home.path(), "correct horse").get(&slot("work")).unwrap_err();
        assert_eq!(error.to_string(), wrong, "cut at {length}");
    }
}

#[test]
fn an_absurd_cost_is_refused_at_once() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("sessions.age");
    store(home.path(), "correct horse").set(&slot("work"), &secret("canary")).unwrap();
    let whole = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    let line = whole.lines().nth(1).unwrap().to_owned();
    for cost in ["19", "30", "63", "64", "255", "99999999999"] {
        let costly = format!("{} {cost}", line.rsplit_once(' ').unwrap().0);
        files::replace(&path, whole.replace(&line, &costly).as_bytes(), false).unwrap();
        let start = Instant::now();
        assert!(matches!(store(home.path(), "correct horse").get(&slot("work")), Err(StoreError::Sealed { .. })));
        assert!(start.elapsed() < Duration::from_secs(1), "{cost}");
    }
}

#[test]
fn the_passphrase_is_asked_once_and_only_when_needed() {
    let home = tempfile::tempdir().unwrap();
    let asked = Rc::new(Cell::new(Vec::new()));
    let asking = |answer: &'static str| {
        let asked = asked.clone();
        let mut store = EncryptedFile::new(
            home.path(),
            Box::new(move |purpose| {
                let mut so_far = asked.take();
                so_far.push(purpose);
                asked.set(so_far);
                Ok(secret(answer))
            }),
        );
        store.work_factor = 1;
        store
    };
    let first = asking("x");
    assert!(first.get(&slot("work")).unwrap().is_none());
    assert!(!first.remove(&slot("work")).unwrap());
    assert_eq!(asked.take(), []);
    first.set(&slot("work"), &secret("1")).unwrap();
    first.set(&slot("work"), &secret("2")).unwrap();
    assert_eq!(asked.take(), [PassphraseUse::Create]);
    let second = asking("x");
    assert_eq!(second.get(&slot("work")).unwrap().unwrap().expose(), "2");
    assert!(second.remove(&slot("work")).unwrap());
    assert_eq!(asked.take(), [PassphraseUse::Open]);
    assert!(matches!(asking("").set(&slot("work"), &secret("1")), Err(StoreError::NoPassphrase)));
}

#[test]
fn a_wrong_passphrase_never_replaces_the_file() {
    let home = tempfile::tempdir().unwrap();
    store(home.path(), "correct horse").set(&slot("work"), &secret("canary")).unwrap();
    let wrong = store(home.path(), "wrong horse");
    assert!(matches!(wrong.set(&slot("home"), &secret("x")), Err(StoreError::Sealed { .. })));
    assert!(matches!(wrong.remove(&slot("work")), Err(StoreError::Sealed { .. })));
    assert_eq!(store(home.path(), "correct horse").get(&slot("work")).unwrap().unwrap().expose(), "canary");
}

#[test]
fn what_another_process_wrote_meanwhile_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let (mine, other) = (store(home.path(), "p"), store(home.path(), "p"));
    mine.set(&slot("a"), &secret("1")).unwrap();
    other.set(&slot("b"), &secret("2")).unwrap();
    mine.set(&slot("c"), &secret("3")).unwrap();
    assert_eq!(other.get(&slot("c")).unwrap().unwrap().expose(), "3");
    assert_eq!(mine.get(&slot("b")).unwrap().unwrap().expose(), "2");
}
#[test]
fn the_real_cost_is_paid_once_per_change() {
    let home = tempfile::tempdir().unwrap();
    let store = EncryptedFile::new(home.path(), Box::new(|_| Ok(secret("p"))));
    store.set(&slot("work"), &secret("canary")).unwrap();
    let header = std::fs::read(store.path()).unwrap();
    let header = String::from_utf8_lossy(&header).lines().nth(1).unwrap().to_owned();
    assert!(header.ends_with(&format!(" {WORK_FACTOR}")), "{header}");
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(store.get(&slot("work")).unwrap().unwrap().expose(), "canary");
    }
    assert!(start.elapsed() < Duration::from_secs(1));
}
