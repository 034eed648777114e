//! An organization's vault keeps the contract of every vault, and gives nothing away to another.

use super::*;
use crate::credential::Fields;
use crate::server::db::Reach;
use crate::server::db::tests::{Scratch, close, reopen, tamper};
use crate::vault::contract::{map, plain, variables, vault_contract};

pub(super) fn now() -> DateTime<Utc> {
    crate::os::Env::empty().now()
}

/// The vault with all that it stands on, for the contract.
pub(super) struct Whole(pub(super) Scratch);

/// What waits to be told.
fn together() -> &'static Together {
    static TOGETHER: std::sync::LazyLock<Together> = std::sync::LazyLock::new(Together::default);
    &TOGETHER
}

impl Whole {
    pub(super) fn of(scratch: &Scratch) -> OrgVault<'_> {
        let (scope, actor) = (scratch.org.clone(), Actor::default());
        let (db, keys, engine, once) = (&scratch.db, &scratch.keys, &scratch.engine, Once::default());
        OrgVault { db, keys, engine, together: together(), scope, actor, once, now }
    }
}

macro_rules! forward {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Vault for Whole {
            $(fn $name(&self, $($argument: $kind),*) -> $answer { Whole::of(&self.0).$name($($argument),*) })*
        }
    };
}

forward! {
    each(see: &mut dyn FnMut(Metadata)) -> Result<(), VaultError>;
    find(scope: &Scope, name: &str) -> Result<Option<Metadata>, VaultError>;
    for_host(host: &str) -> Result<Vec<Metadata>, VaultError>;
    open(metadata: &Metadata) -> Result<Credential, VaultError>;
    put(new: New) -> Result<Metadata, VaultError>;
    renew(credential: &Credential, expires: Option<DateTime<Utc>>) -> Result<Metadata, VaultError>;
    amend(metadata: &Metadata, change: &Change) -> Result<Metadata, VaultError>;
    note_verdict(metadata: &Metadata, verdict: &Verdict, at: DateTime<Utc>) -> Result<(), VaultError>;
    note_use(metadata: &Metadata, at: DateTime<Utc>) -> Result<(), VaultError>;
    rotation(metadata: &Metadata) -> Result<Unfinished, VaultError>;
    note_rotation(metadata: &Metadata, unfinished: &Unfinished) -> Result<(), VaultError>;
    remove(metadata: &Metadata) -> Result<bool, VaultError>;
    remove_unused(metadata: &Metadata) -> Result<bool, VaultError>;
    scopes(metadata: &Metadata) -> Result<Vec<String>, VaultError>;
    users(metadata: &Metadata) -> Result<Vec<String>, VaultError>;
}

#[test]
fn it_keeps_the_contract() {
    vault_contract(|| {
        let scratch = Scratch::new();
        scratch.projects(&["shop", "b"]);
        Whole(scratch)
    });
}

#[test]
fn another_organization_sees_and_reaches_nothing() {
    let scratch = Scratch::new();
    let mine = Whole::of(&scratch);
    let stored = mine.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    let other = OrgScope::of("org_other");
    scratch.organization(&other);
    let theirs = OrgVault { scope: other, ..Whole::of(&scratch) };
    assert!(theirs.list().unwrap().is_empty() && theirs.by_id(&stored.id).unwrap().is_none());
    assert!(theirs.find(&Scope::Organization, "db").unwrap().is_none());
    assert!(matches!(theirs.open(&stored), Err(VaultError::Changed { .. })));
    assert!(!theirs.remove(&stored).unwrap());
    assert!(theirs.amend(&stored, &Change { note: Some("theirs".into()), ..Change::default() }).is_err());
    let replaced = New { replaces: Some(stored.clone()), ..New::named("db", variables(&[("A", "2")])) };
    assert!(matches!(theirs.put(replaced), Err(VaultError::Changed { .. })));
    assert_eq!(plain(&mine, &stored), map(&[("A", "1")]));
    let own = theirs.put(New::named("db", variables(&[("A", "3")]))).unwrap();
    assert_eq!(plain(&theirs, &own), map(&[("A", "3")]));
}

/// Whoever can write to the database moves no secret, brings none back, and changes no address of one.
#[test]
fn what_is_moved_in_the_database_does_not_open() {
    for change in [
        // Between two credentials of one organization.
        "UPDATE secrets SET sealed = (SELECT o.sealed FROM secrets o JOIN credentials c ON c.id = o.credential WHERE \
         c.name = 'other' AND o.field = 'A') WHERE field = 'A'",
        // Between two fields.
        "UPDATE secrets SET sealed = (SELECT o.sealed FROM secrets o WHERE o.credential = secrets.credential AND \
         o.field = 'B') WHERE field = 'A' AND credential = (SELECT id FROM credentials WHERE name = 'db' AND org = 'org_test')",
        // Of another organization, key and all.
        "DELETE FROM data_keys WHERE org = 'org_test'; UPDATE data_keys SET org = 'org_test', credential = (SELECT id \
         FROM credentials WHERE name = 'db' AND org = 'org_test') WHERE org = 'org_other'",
        // To another project.
        "UPDATE credentials SET project = 'shop' WHERE name = 'db'",
        // Another version.
        "UPDATE credentials SET version = 7 WHERE name = 'db'; UPDATE data_keys SET version = 7",
        // Another kind, or fields that say where it goes.
        "UPDATE credentials SET kind = 'api_key' WHERE name = 'db'",
        "UPDATE credentials SET fields = '{\"endpoint\":\"https://evil.example\"}' WHERE name = 'db'",
        // Damage, and what was taken away.
        "UPDATE secrets SET sealed = substr(sealed, 1, length(sealed) - 1)",
        "DELETE FROM secrets WHERE field = 'A'",
        "INSERT INTO organization_keys SELECT org, 2, wrapped, created, own_version FROM organization_keys; \
         UPDATE data_keys SET key_version = 2",
    ] {
        let scratch = Scratch::new();
        let mine = Whole::of(&scratch);
        let stored = mine.put(New::named("db", variables(&[("A", "1"), ("B", "2")]))).unwrap();
        mine.put(New::named("other", variables(&[("A", "3")]))).unwrap();
        let other = OrgScope::of("org_other");
        scratch.organization(&other);
        OrgVault { scope: other, ..Whole::of(&scratch) }.put(New::named("db", variables(&[("A", "4")]))).unwrap();
        tamper(&scratch.db, change);
        let now = mine.by_id(&stored.id).unwrap().unwrap().metadata;
        let opened = mine.open(&now);
        assert!(opened.is_err(), "{change}");
        let last = "SELECT entry FROM audit_events WHERE org = 'org_test' ORDER BY sequence DESC LIMIT 1";
        let entry = scratch.db.read(Reach::Server, |rows| rows.first(last, &[])?.unwrap().text(0)).unwrap();
        // Without a key of the organization nothing can be told, either.
        let told = entry.contains("secret.read") && entry.contains("failed");
        assert!(told || change.contains("organization_keys"), "{entry}");
    }
}

#[test]
fn what_is_deleted_is_overwritten() {
    let scratch = Scratch::new();
    let mine = Whole::of(&scratch);
    let stored = mine.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    let rests = |rows: &mut dyn Rows| {
        let mut key = rows.first("SELECT wrapped FROM data_keys", &[])?.unwrap();
        let mut secret = rows.first("SELECT sealed FROM secrets", &[])?.unwrap();
        Ok::<_, DbError>([key.bytes(0)?, secret.bytes(0)?])
    };
    let rested = scratch.db.read(Reach::Server, rests).unwrap();
    let is_there = |bytes: &[u8]| {
        ["server.db", "server.db-wal"].iter().any(|file| {
            let held = std::fs::read(scratch.dir.path().join(file)).unwrap_or_default();
            held.windows(bytes.len()).any(|part| part == bytes)
        })
    };
    assert!(rested.iter().all(|bytes| is_there(bytes)), "what is looked for is found while it is there");
    assert!(mine.remove(&stored).unwrap());
    assert!(!rested.iter().any(|bytes| is_there(bytes)));
}

#[test]
fn what_cannot_be_audited_is_not_done() {
    let scratch = Scratch::new();
    let mine = Whole::of(&scratch);
    let stored = mine.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    close(&scratch.db, "audit_events", "1 = 1");
    assert!(mine.open(&stored).is_err() && mine.remove(&stored).is_err());
    assert!(mine.put(New::named("late", variables(&[("A", "2")]))).is_err());
    assert_eq!(mine.list().unwrap().len(), 1);
    reopen(&scratch.db, "audit_events");
    assert_eq!(plain(&mine, &stored), map(&[("A", "1")]));
}

/// Lists show all of it, many at a time.
#[test]
fn what_is_said_beside_the_secrets_has_an_end() {
    use crate::vault::measure::{Excess, FIELDS, HANDLE, NOTE, SCOPES, TAG, TAGS};
    let scratch = Scratch::new();
    let mine = Whole::of(&scratch);
    let named = |name: &str| New::named(name, variables(&[("A", "1")]));
    let stored = mine.put(named("db")).unwrap();
    let tags = |count: usize| (0..count).map(|one| format!("tag-{one}")).collect::<std::collections::BTreeSet<_>>();
    let far = DateTime::<Utc>::MAX_UTC;
    let mut wide = variables(&[("A", "1")]);
    wide.secrets.insert("N".repeat(FIELDS), crate::secret::Secret::new("x".into()));
    let scoped = |length: usize| Verdict { scopes: vec!["s".repeat(length)], ..Verdict::valid("me") };
    let refused = |done: Result<Metadata, VaultError>, expected: Excess| {
        assert!(matches!(done, Err(VaultError::TooMuch(excess)) if excess == expected), "{expected:?}");
    };
    for replaces in [None, Some(&stored)] {
        let new = || New { replaces: replaces.cloned(), ..named("other") };
        refused(mine.put(New { tags: tags(TAGS + 1), ..new() }), Excess::Tags);
        refused(mine.put(New { tags: [("t".repeat(TAG + 1))].into(), ..new() }), Excess::Tags);
        refused(mine.put(New { note: "n".repeat(NOTE + 1), ..new() }), Excess::Note);
        refused(mine.put(New { retiring: Some("r".repeat(HANDLE + 1)), ..new() }), Excess::Handle);
        refused(mine.put(New { verdict: Some(scoped(SCOPES)), ..new() }), Excess::Scopes);
        refused(mine.put(New { expires: Some(far), ..new() }), Excess::Time);
        let secrets = wide.secrets.iter().map(|(name, secret)| (name.clone(), secret.duplicate())).collect();
        let fields = Fields { kind: wide.kind, plain: wide.plain.clone(), secrets };
        refused(mine.put(New { fields, ..new() }), Excess::Fields);
    }
    let mut opened = mine.open(&stored).unwrap();
    refused(mine.renew(&opened, Some(far)), Excess::Time);
    opened.secrets.extend(wide.secrets);
    refused(mine.renew(&opened, None), Excess::Fields);
    let full = mine.amend(&stored, &Change { tag: tags(TAGS), ..Change::default() }).unwrap();
    let one_more = Change { tag: ["more".into()].into(), ..Change::default() };
    refused(mine.amend(&full, &one_more), Excess::Tags);
    refused(mine.amend(&full, &Change { note: Some("n".repeat(NOTE + 1)), ..Change::default() }), Excess::Note);
    let verdict = mine.note_verdict(&full, &scoped(SCOPES), now());
    assert!(matches!(verdict, Err(VaultError::TooMuch(Excess::Scopes))));
    let begun = |since, length: usize| Unfinished { since, retiring: Some("r".repeat(length)) };
    let rotation = |unfinished| mine.note_rotation(&full, &unfinished);
    assert!(matches!(rotation(begun(None, HANDLE + 1)), Err(VaultError::TooMuch(Excess::Handle))));
    assert!(matches!(rotation(begun(Some(far), 1)), Err(VaultError::TooMuch(Excess::Time))));
    rotation(begun(Some(now()), HANDLE)).unwrap();
    assert_eq!(mine.list().unwrap().len(), 1);
}

/// Whoever notes something may have a clock that goes ahead, or say what they like.
#[test]
fn nothing_is_noted_of_a_time_that_is_not_yet_and_only_what_changes_is_told() {
    let scratch = Scratch::new();
    let mine = Whole::of(&scratch);
    let stored = mine.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    let late = DateTime::<Utc>::MAX_UTC;
    let found = || mine.by_id(&stored.id).unwrap().unwrap().metadata;
    mine.note_use(&stored, late).unwrap();
    assert!(found().used.unwrap() <= now());
    mine.note_verdict(&stored, &Verdict::valid("me"), late).unwrap();
    assert!(found().verified.unwrap() <= now());
    let told = || {
        let count = "SELECT COUNT(*) FROM audit_events WHERE action = 'credential.verify'";
        scratch.db.read(&scratch.org, |rows| rows.first(count, &[])?.unwrap().int(0)).unwrap()
    };
    assert_eq!(told(), 1);
    // Of values that are not there any more, a verdict changes nothing.
    let other = Metadata { updated: DateTime::UNIX_EPOCH, ..stored.clone() };
    mine.note_verdict(&other, &Verdict::failed(crate::provider::Outcome::Invalid, "why", "next"), now()).unwrap();
    assert_eq!((told(), found().check.word()), (1, "valid"));
    // That nobody could be asked is told, although it changes nothing.
    mine.note_verdict(&stored, &Verdict::failed(crate::provider::Outcome::Unreachable, "why", "next"), now()).unwrap();
    assert_eq!((told(), found().check.word()), (2, "valid"));
}

mod outside;
