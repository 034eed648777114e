use super::*;
use crate::auth::grant::AuthMethod;
use crate::os::Env;
use crate::secret::memory::Memory;
use crate::secret::{Choice, SecretStore, Slot, StoreError};

/// A session of the service `corp`, issued at `now`.
pub(crate) fn session(now: DateTime<Utc>, life: Option<i64>) -> Session {
    Session {
        service: "corp".into(),
        issuer: Some("https://id.example".into()),
        grant: Grant::Web,
        client: Some(Client { id: "cli".into(), secret: None, method: AuthMethod::None }),
        endpoints: Endpoints { token: Some(Url::parse("https://id.example/token").unwrap()), ..Endpoints::default() },
        access_token: Secret::new("access \"quoted\"".into()),
        refresh_token: Some(Secret::new("refresh".into())),
        id_token: None,
        issued_at: now,
        expires_at: life.map(|life| now + Duration::seconds(life)),
        scopes: vec!["openid".into()],
        identity: Identity { subject: Some("sub".into()), account: Some("user@example.com".into()), account_id: None },
        login_needed: false,
        refused: false,
    }
}

#[test]
fn an_item_reads_as_it_was_written() {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let read = item::read(&item::write(&session(now, Some(3600)))).unwrap();
    assert_eq!(read.access_token.expose(), "access \"quoted\"");
    assert_eq!(read.refresh_token.unwrap().expose(), "refresh");
    assert_eq!(read.expires_at.unwrap(), now + Duration::hours(1));
    assert_eq!(read.identity.account.as_deref(), Some("user@example.com"));
}

/// Whoever stores an item has not always written it here.
#[test]
fn an_item_with_times_that_nobody_can_reckon_with_is_none() {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let written = |issued: DateTime<Utc>, expires: Option<DateTime<Utc>>, renews: bool| {
        let refresh_token = renews.then(|| Secret::new("refresh".into()));
        item::write(&Session { issued_at: issued, expires_at: expires, refresh_token, ..session(now, None) })
    };
    let reads = |issued, expires, renews| item::read(&written(issued, expires, renews)).is_some();
    let (early, late) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    assert!(written(early, Some(late), true).expose().contains("+262142"), "the calendar has such years");
    for far in [early, late, "1969-12-31T23:59:59Z".parse().unwrap(), "+10000-01-01T00:00:00Z".parse().unwrap()] {
        assert!(!reads(far, None, true) && !reads(now, Some(far), false), "{far}");
    }
    // Tokens that are over when they come would be renewed for ever; what nothing renews is over, and no more.
    assert!(!reads(now, Some(now), true) && !reads(now, Some(now - Duration::hours(1)), true));
    assert!(reads(now, Some(now + Duration::seconds(1)), true) && reads(now, Some(now), false));
}

#[test]
fn a_life_that_ends_after_all_clocks_has_no_end() {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let mut kept = session(at("2000-01-01T00:00:00Z"), None);
    kept.expires_at = Some(at("9999-01-01T00:00:00Z"));
    let (refresh_token, id_token, expires_in, scopes, date) = Default::default();
    let access_token = Secret::new("t0k".into());
    let answer = TokenAnswer { access_token, refresh_token, id_token, expires_in, scopes, date };
    kept.renew(answer, at("2027-01-01T00:00:00Z"));
    assert_eq!(kept.expires_at, None);
}

#[test]
fn freshness_follows_the_margin() {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let at = |seconds| now + Duration::seconds(seconds);
    let hour = session(now, Some(3600));
    assert!(hour.is_fresh(at(3540), None));
    assert!(!hour.is_fresh(at(3541), None));
    assert!(!hour.is_fresh(at(3001), Some(Duration::minutes(10))));
    let short = session(now, Some(100));
    assert!(short.is_fresh(at(90), None));
    assert!(!short.is_fresh(at(91), None));
    assert!(session(now, None).is_fresh(at(1_000_000_000), Some(Duration::days(1))));
    assert!(!hour.is_fresh(at(-301), None), "the clock stepped back");
}

/// A store in memory that says it is another.
struct SharedStore(Memory, Choice);

impl SecretStore for SharedStore {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        self.0.get(slot)
    }
    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        self.0.set(slot, value)
    }
    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        self.0.remove(slot)
    }
    fn probe(&self, size: usize) -> Result<(), StoreError> {
        self.0.probe(size)
    }
    fn choice(&self) -> Choice {
        self.1
    }
}

#[test]
fn two_folders_on_one_keychain_do_not_share_a_session() {
    let home = tempfile::tempdir().unwrap();
    let place = |folder: &str| Place::of(&Env::invented(&home.path().join(folder), home.path(), &[]), "work");
    let (here, there) = (place("here"), place("there"));
    let store = SharedStore(Memory::new(), Choice::Keychain);
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    here.save(&store, &session(now, None)).unwrap();
    assert!(there.load(&store).unwrap().is_none());
    there.save(&store, &session(now, None)).unwrap();
    assert!(here.remove(&store).unwrap());
    assert!(there.load(&store).unwrap().is_some(), "the other folder's session stays");
    assert!(here.load(&store).unwrap().is_none());
}

#[test]
fn a_folder_has_one_name_before_and_after_it_is_made() {
    let home = tempfile::tempdir().unwrap();
    let store = SharedStore(Memory::new(), Choice::Keychain);
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let place = |folder: &str| Place::of(&Env::invented(&home.path().join(folder), home.path(), &[]), "work");
    place("new/").save(&store, &session(now, None)).unwrap();
    std::fs::create_dir(home.path().join("new")).unwrap();
    for spelling in ["new", "new/", "./new", "new/../new"] {
        assert!(place(spelling).load(&store).unwrap().is_some(), "{spelling}");
    }
}

#[test]
fn a_client_secret_belongs_to_one_address() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::of(&Env::invented(home.path(), home.path(), &[]), "work");
    let store = SharedStore(Memory::new(), Choice::Keychain);
    let slot = |address: &str| place.client_slot(&store, "corp", address);
    store.set(&slot("https://id.example"), &Secret::new("s3cret".into())).unwrap();
    assert!(store.get(&slot("https://evil.example")).unwrap().is_none());
    assert!(store.get(&slot("https://id.example")).unwrap().is_some());
}

#[test]
fn a_damaged_item_is_no_session_and_no_crash() {
    let home = tempfile::tempdir().unwrap();
    let place = Place::of(&Env::invented(home.path(), home.path(), &[]), "work");
    let store = SharedStore(Memory::new(), Choice::Plain);
    for item in ["", "{", "[]", "{\"version\":2}", "{\"version\":1,\"access_token\":[\"CANARY\"]}"] {
        store.set(&Slot { name: "work".into(), label: String::new() }, &Secret::new(item.into())).unwrap();
        let error = place.load(&store).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }) && !format!("{error:?}").contains("CANARY"), "{error:?}");
    }
}
