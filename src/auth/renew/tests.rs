use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use zeroize::Zeroizing;

use super::*;
use crate::auth::session::tests::session;
use crate::http::{HeaderMap, Request, Response, Unreachable};
use crate::os::Env;
use crate::secret::memory::Memory;
use crate::secret::{Choice, Slot};

const NOW: i64 = 1_800_000_000;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(NOW + seconds, 0).unwrap()
}

/// A home with a session of profile `work` in a store, and a count of what the service was asked.
struct Stage {
    home: tempfile::TempDir,
    place: Place,
    asked: AtomicUsize,
}

impl Stage {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let place = Place::of(&Env::invented(home.path(), home.path(), &[]), "work");
        Self { home, place, asked: AtomicUsize::new(0) }
    }

    /// Asks for a session `after` seconds, of a service that answers as given.
    fn want(
        &self,
        store: &dyn SecretStore,
        want: Want<'_>,
        after: i64,
        answer: impl Fn(usize) -> Result<(u16, String), Unreachable> + Sync,
    ) -> Result<Session, RenewError> {
        let http = |_: Request| {
            let (status, body) = answer(self.asked.fetch_add(1, Ordering::SeqCst))?;
            Ok(Response { status, headers: HeaderMap::new(), body: Zeroizing::new(body.into_bytes()) })
        };
        let now = || at(after);
        let locks = self.home.path().join("locks");
        let renewal =
            Renewal { place: &self.place, store, http: &http, locks: &locks, now: &now, wait: Span::from_secs(5) };
        renewal.session(want, &mut |_| {})
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an answer")]
fn tokens(number: usize) -> Result<(u16, String), Unreachable> {
    let life = 3600;
    let body = format!(
        r#"{{"access_token":"access{number}","refresh_token":"refresh{number}","token_type":"Bearer","expires_in":{life}}}"#
    );
    Ok((200, body))
}

fn lost(_: usize) -> Result<(u16, String), Unreachable> {
    Err(Unreachable::Slow { origin: "https://id.example".into(), after: Span::from_secs(10) })
}

fn stored(stage: &Stage, store: &dyn SecretStore) -> Session {
    stage.place.load(store).unwrap().unwrap()
}

#[test]
fn a_fresh_token_asks_nobody() {
    let (stage, store) = (Stage::new(), Memory::new());
    stage.place.save(&store, &session(at(0), Some(3600))).unwrap();
    stage.want(&store, Want::Fresh(None), 10, tokens).unwrap();
    assert_eq!(stage.asked(), 0);
}

#[test]
fn a_renewed_session_is_stored_and_keeps_what_was_not_sent() {
    let (stage, store) = (Stage::new(), Memory::new());
    stage.place.save(&store, &session(at(0), Some(3600))).unwrap();
    let without_refresh = |_| Ok((200, r#"{"access_token":"new","token_type":"Bearer"}"#.to_owned()));
    let renewed = stage.want(&store, Want::Fresh(None), 4000, without_refresh).unwrap();
    let kept = stored(&stage, &store);
    assert_eq!((renewed.access_token.expose(), kept.access_token.expose()), ("new", "new"));
    assert_eq!(kept.refresh_token.unwrap().expose(), "refresh");
    assert_eq!(kept.expires_at, Some(at(4000 + 3600)), "the life that was named before");
}

#[test]
fn a_lost_answer_is_asked_for_once_more() {
    let (stage, store) = (Stage::new(), Memory::new());
    stage.place.save(&store, &session(at(0), Some(3600))).unwrap();
    let second_time = |number| if number == 0 { lost(number) } else { tokens(number) };
    stage.want(&store, Want::Fresh(None), 4000, second_time).unwrap();
    assert_eq!(stage.asked(), 2);
    let error = stage.want(&store, Want::Renewed(&[]), 4000, lost).unwrap_err();
    assert_eq!((stage.asked(), error.code()), (4, Code::Unreachable));
}

#[test]
fn a_token_that_still_lives_serves_while_the_service_is_away() {
    let (stage, store) = (Stage::new(), Memory::new());
    stage.place.save(&store, &session(at(0), Some(3600))).unwrap();
    assert!(stage.want(&store, Want::Fresh(None), 3580, lost).is_ok());
    let asked_for_more = Want::Fresh(Some(Duration::minutes(10)));
    assert_eq!(stage.want(&store, asked_for_more, 3580, lost).unwrap_err().code(), Code::Unreachable);
}

#[test]
fn a_spent_refresh_token_is_remembered_and_not_tried_again() {
    let (stage, store) = (Stage::new(), Memory::new());
    stage.place.save(&store, &session(at(0), Some(3600))).unwrap();
    let spent = |_| Ok((400, r#"{"error":"invalid_grant"}"#.to_owned()));
    for _ in 0..3 {
        let error = stage.want(&store, Want::Fresh(None), 4000, spent).unwrap_err();
        assert!(matches!(error, RenewError::LoginNeeded { .. }), "{error}");
        assert!(error.mend().unwrap().contains("lanyard auth login --profile work"));
    }
    assert_eq!(stage.asked(), 1);
    assert!(stored(&stage, &store).refresh_token.is_some(), "nothing else is deleted");
}

#[test]
fn a_token_that_cannot_live_as_long_as_wanted_is_renewed_once_and_handed_out() {
    let (stage, store) = (Stage::new(), Memory::new());
    stage.place.save(&store, &session(at(0), Some(3600))).unwrap();
    let long = Want::Fresh(Some(Duration::hours(2)));
    assert!(stage.want(&store, long, 10, tokens).is_ok(), "the service gives no longer ones");
    assert_eq!(stage.asked(), 1);
}

#[test]
fn tokens_of_another_account_are_not_kept() {
    use base64::Engine;
    let (stage, store) = (Stage::new(), Memory::new());
    stage.place.save(&store, &session(at(0), Some(3600))).unwrap();
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims = encode(r#"{"iss":"https://id.example","sub":"somebody else","aud":"cli"}"#);
    let id_token = format!("{}.{claims}.{}", encode(r#"{"alg":"RS256"}"#), encode("signature"));
    let body = format!(r#"{{"access_token":"theirs","token_type":"Bearer","id_token":"{id_token}"}}"#);
    let error = stage.want(&store, Want::Fresh(None), 4000, |_| Ok((200, body.clone()))).unwrap_err();
    assert!(matches!(error, RenewError::OtherAccount { .. }), "{error}");
    assert_ne!(stored(&stage, &store).access_token.expose(), "theirs");
}

/// A store whose writes fail a number of times.
struct Stumbling {
    inner: Memory,
    failures: Mutex<usize>,
}

impl SecretStore for Stumbling {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        self.inner.get(slot)
    }
    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(StoreError::Locked { store: "keychain", cause: None });
        }
        self.inner.set(slot, value)
    }
    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        self.inner.remove(slot)
    }
    fn probe(&self, size: usize) -> Result<(), StoreError> {
        self.inner.probe(size)
    }
    fn choice(&self) -> Choice {
        Choice::Keychain
    }
}

#[test]
fn a_store_that_cannot_be_written_is_known_before_the_refresh_token_is_spent() {
    let stage = Stage::new();
    let store = Stumbling { inner: Memory::new(), failures: Mutex::new(0) };
    stage.place.save(&store, &session(at(0), Some(3600))).unwrap();
    *store.failures.lock().unwrap() = 1;
    let error = stage.want(&store, Want::Fresh(None), 4000, tokens).unwrap_err();
    assert_eq!((error.code(), stage.asked()), (Code::Store, 0));
}

#[test]
fn a_store_that_stumbles_after_the_renewal_is_asked_again() {
    let stage = Stage::new();
    let store = Stumbling { inner: Memory::new(), failures: Mutex::new(0) };
    stage.place.save(&store, &session(at(0), Some(3600))).unwrap();
    let stumble_now = |number| {
        *store.failures.lock().unwrap() = 2;
        tokens(number)
    };
    let renewed = stage.want(&store, Want::Fresh(None), 4000, stumble_now).unwrap();
    assert_eq!(stored(&stage, &store).access_token, renewed.access_token);
}
