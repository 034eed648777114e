//! The contract of every vault, as a test that each implementation runs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};

use super::*;
use crate::credential::{Check, Fields, Raw};
use crate::provider::Outcome;
use crate::secret::Secret;

/// Variables with these values.
pub(crate) fn variables(pairs: &[(&str, &str)]) -> Fields {
    let mut raw = Raw::new();
    for (name, value) in pairs {
        raw.plain(name, value);
    }
    Fields::parse(provider::by_kind("generic_env").unwrap().1, raw).unwrap()
}

/// A credential that is used through another: a registry that AWS keys sign in to.
pub(crate) fn through(source: &str) -> Fields {
    let mut raw = Raw::new();
    raw.plain("url", "https://public.ecr.aws").plain("source", source).plain("region", "us-east-1");
    Fields::parse(provider::by_kind("registry_ecr").unwrap().1, raw).unwrap()
}

/// The secrets of a credential in plain text.
pub(crate) fn plain(vault: &dyn Vault, metadata: &Metadata) -> BTreeMap<String, String> {
    let opened = vault.open(metadata).unwrap();
    opened.secrets.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect()
}

pub(crate) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

fn found(vault: &dyn Vault, name: &str) -> Metadata {
    vault.find(&Scope::Organization, name).unwrap().unwrap()
}

/// Runs every part of the contract, each on a vault of its own that `make` makes, empty.
pub(crate) fn vault_contract<V: Vault>(make: impl Fn() -> V) {
    for part in [
        keeps_and_tells,
        bounds,
        replaces,
        renews,
        amends,
        is_used_through_others,
        is_found_by_host,
        notes_verdicts_and_uses,
        notes_rotations,
        removes,
        keeps_any_text,
    ] {
        part(&make());
    }
}

fn keeps_and_tells(vault: &dyn Vault) {
    assert!(vault.list().unwrap().is_empty());
    assert!(vault.find(&Scope::Organization, "db").unwrap().is_none());
    let stored =
        vault.put(New { note: "why".into(), tags: words(&["a"]), ..New::named("db", variables(&[("A", "1")])) });
    let stored = stored.unwrap();
    assert_eq!(format!("{stored:?}"), format!("{:?}", found(vault, "db")), "what is returned is what is read");
    assert_eq!((stored.version, stored.check, stored.used), (1, Check::Never, None));
    assert_eq!(plain(vault, &stored), map(&[("A", "1")]));

    let again = vault.put(New::named("db", variables(&[("A", "2")])));
    assert!(matches!(again, Err(VaultError::Taken { name }) if name == "db"));
    let shop = Scope::Project("shop".into());
    vault.put(New { scope: shop.clone(), ..New::named("db", variables(&[("A", "3")])) }).unwrap();
    assert_eq!(plain(vault, &stored), map(&[("A", "1")]));
    assert_eq!(plain(vault, &vault.find(&shop, "db").unwrap().unwrap()), map(&[("A", "3")]));

    vault.put(New::named("aa", variables(&[("A", "4")]))).unwrap();
    let order: Vec<_> = vault.list().unwrap().into_iter().map(|one| (one.scope, one.name)).collect();
    let org = Scope::Organization;
    assert_eq!(order, [(org.clone(), "aa".into()), (org, "db".into()), (shop, "db".into())]);
    for bad in ["", "-x", "a b", "a/b", "é", ".", &"x".repeat(129)] {
        assert!(matches!(vault.put(New::named(bad, variables(&[("A", "5")]))), Err(VaultError::BadName)), "{bad}");
    }
    assert_eq!(vault.list().unwrap().len(), 3);
}

fn bounds(vault: &dyn Vault) {
    let named = || New::named("db", variables(&[("A", "1")]));
    let many: BTreeSet<String> = (0..33).map(|one| one.to_string()).collect();
    let far = DateTime::<Utc>::MAX_UTC;
    for long in [
        New { tags: many.clone(), ..named() },
        New { note: "x".repeat(1001), ..named() },
        New { expires: Some(far), ..named() },
    ] {
        assert!(matches!(vault.put(long), Err(VaultError::TooMuch(_))));
    }
    let old = vault.put(New { tags: many.iter().skip(1).cloned().collect(), ..named() }).unwrap();
    let late = Change { tag: words(&["late"]), ..Change::default() };
    assert!(vault.amend(&old, &late).is_err(), "what is there already counts as well");
    let note = Change { note: Some("x".repeat(1001)), ..Change::default() };
    assert!(matches!(vault.amend(&old, &note), Err(VaultError::TooMuch(_))));
    vault.amend(&old, &Change { untag: words(&["5"]), ..late }).unwrap();
    assert_eq!(found(vault, "db").tags.len(), 32);
}

fn replaces(vault: &dyn Vault) {
    let old = vault.put(New::named("db", variables(&[("A", "1"), ("B", "2")]))).unwrap();
    vault.note_use(&old, at(5)).unwrap();
    let read = found(vault, "db");
    let new = New { replaces: Some(read.clone()), ..New::named("ignored", variables(&[("B", "3")])) };
    let new = vault.put(new).unwrap();
    assert_eq!((&new.id, &new.name, new.created, new.version), (&old.id, &old.name, old.created, 2));
    assert_eq!(new.used, Some(at(5)));
    assert_eq!(plain(vault, &found(vault, "db")), map(&[("B", "3")]));
    assert!(matches!(vault.open(&old), Err(VaultError::Changed { .. })));
    let late = vault.put(New { replaces: Some(read), ..New::named("", variables(&[("C", "4")])) });
    assert!(matches!(late, Err(VaultError::Changed { .. })), "somebody else's change is not lost");
    assert_eq!(plain(vault, &new), map(&[("B", "3")]));

    // Words that were changed meanwhile stay; words that are new here count.
    vault.amend(&new, &Change { tag: words(&["theirs"]), note: Some("theirs".into()), ..Change::default() }).unwrap();
    let third = New { replaces: Some(new.clone()), tags: new.tags.clone(), ..New::named("", variables(&[("D", "5")])) };
    vault.put(third).unwrap();
    let read = found(vault, "db");
    assert_eq!((read.note.as_str(), &read.tags), ("theirs", &words(&["theirs"])));
    let mine = New { note: "mine".into(), ..New::named("", variables(&[("D", "6")])) };
    vault.put(New { replaces: Some(read), ..mine }).unwrap();
    assert_eq!((found(vault, "db").note.as_str(), found(vault, "db").tags.len()), ("mine", 0));
}

fn renews(vault: &dyn Vault) {
    let old = vault.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    let mut opened = vault.open(&old).unwrap();
    vault.amend(&old, &Change { tag: words(&["theirs"]), ..Change::default() }).unwrap();
    vault.note_use(&old, at(7)).unwrap();
    vault.note_verdict(&old, &Verdict::valid("me"), at(8)).unwrap();
    opened.secrets.insert("A".into(), Secret::new("2".into()));
    let new = vault.renew(&opened, Some(at(9))).unwrap();
    assert_eq!((new.version, new.expires, new.updated), (2, Some(at(9)), old.updated));
    let read = found(vault, "db");
    assert_eq!((read.version, read.expires, read.updated), (2, Some(at(9)), old.updated));
    assert_eq!((read.tags.len(), read.used, read.check), (1, Some(at(7)), Check::Valid), "what others noted stays");
    assert_eq!(plain(vault, &read), map(&[("A", "2")]));
    assert!(matches!(vault.renew(&opened, None), Err(VaultError::Changed { .. })));
    assert_eq!(plain(vault, &read), map(&[("A", "2")]));
}

fn amends(vault: &dyn Vault) {
    let old = vault.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    vault.put(New::named("other", variables(&[("A", "2")]))).unwrap();
    let rename = |name: &str| Change { name: Some(name.into()), ..Change::default() };
    assert!(matches!(vault.amend(&old, &rename("other")), Err(VaultError::Taken { .. })));
    assert!(matches!(vault.amend(&old, &rename("a b")), Err(VaultError::BadName)));
    let new = vault.amend(&old, &rename("base")).unwrap();
    assert!(vault.find(&Scope::Organization, "db").unwrap().is_none());
    assert_eq!((&new.id, plain(vault, &found(vault, "base"))), (&old.id, map(&[("A", "1")])));
    assert!(matches!(vault.amend(&old, &rename("late")), Err(VaultError::Changed { .. })), "it has another name now");

    let tags = |add: &[&str], away: &[&str]| Change { tag: words(add), untag: words(away), ..Change::default() };
    vault.amend(&new, &tags(&["a", "b"], &[])).unwrap();
    vault.amend(&new, &tags(&["c"], &["a", "none"])).unwrap();
    vault.amend(&new, &Change { note: Some("why".into()), ..Change::default() }).unwrap();
    let read = found(vault, "base");
    assert_eq!((read.tags, read.note.as_str(), read.version), (words(&["b", "c"]), "why", 1));
    let shop = Scope::Project("shop".into());
    vault.amend(&new, &Change { scope: Some(shop.clone()), ..Change::default() }).unwrap();
    assert!(vault.find(&Scope::Organization, "base").unwrap().is_none());
    assert_eq!(plain(vault, &vault.find(&shop, "base").unwrap().unwrap()), map(&[("A", "1")]));
}

/// Who is_user a credential, as a look at every one tells; whatever finds them must agree with that.
fn users(vault: &dyn Vault, of: &Metadata) -> Vec<String> {
    let all = vault.list().unwrap();
    let hidden = |scope: &Scope| all.iter().any(|other| other.scope == *scope && other.name == of.name);
    let is_user = |other: &&Metadata| is_through(other, of, || Ok(hidden(&other.scope))).unwrap();
    let expected: Vec<String> = all.iter().filter(is_user).map(in_words).collect();
    let users = vault.users(of).unwrap();
    assert_eq!(users, expected, "{}", of.name);
    users
}

fn is_used_through_others(vault: &dyn Vault) {
    let shop = || Scope::Project("shop".into());
    let keys = vault.put(New::named("keys", variables(&[("A", "1")]))).unwrap();
    vault.put(New::named("here", through("keys"))).unwrap();
    vault.put(New { scope: shop(), ..New::named("there", through("keys")) }).unwrap();
    vault.put(New::named("elsewhere", through("others"))).unwrap();
    assert_eq!(users(vault, &keys), ["credential here", "credential there"]);

    let renamed = vault.amend(&keys, &Change { name: Some("new-keys".into()), ..Change::default() }).unwrap();
    assert_eq!(found(vault, "here").field("source"), Some("new-keys"));
    assert_eq!(found(vault, "elsewhere").field("source"), Some("others"));
    let there = vault.find(&shop(), "there").unwrap().unwrap();
    assert_eq!(there.field("source"), Some("new-keys"));
    // The name is bound to nothing, so that what follows still opens.
    vault.open(&found(vault, "here")).unwrap();

    // A credential of the project's own goes before the organization's.
    let own = vault.put(New { scope: shop(), ..New::named("new-keys", variables(&[("A", "2")])) }).unwrap();
    assert_eq!(users(vault, &renamed), ["credential here"]);
    assert_eq!(users(vault, &own), ["credential there"]);

    // A name is meant letter by letter, and in the field that names a source alone.
    for name in ["a_b", "A_B", "a-b", "a_b.c", "x@a_b+1:2"] {
        vault.put(New::named(name, variables(&[("A", "3")]))).unwrap();
        vault.put(New::named(&format!("of-{name}"), through(name))).unwrap();
    }
    let mut raw = Raw::new();
    raw.plain("url", "https://public.ecr.aws").plain("source", "own").plain("region", "a_b");
    let region = Fields::parse(provider::by_kind("registry_ecr").unwrap().1, raw).unwrap();
    vault.put(New::named("region", region)).unwrap();
    for name in ["a_b", "A_B", "a-b", "a_b.c", "x@a_b+1:2"] {
        assert_eq!(users(vault, &found(vault, name)), [format!("credential of-{name}")]);
    }

    // What is used goes only when it is to go all the same.
    let (used, of) = (found(vault, "a_b"), found(vault, "of-a_b"));
    let refused = vault.remove_unused(&used);
    assert!(matches!(&refused, Err(VaultError::InUse { users, .. }) if users == &["credential of-a_b"]), "{refused:?}");
    assert!(vault.remove_unused(&of).unwrap() && !vault.remove_unused(&of).unwrap());
    assert!(vault.remove_unused(&used).unwrap());
    assert!(vault.remove(&found(vault, "a-b")).unwrap());
}

/// A key of an API at an address.
pub(crate) fn api_key(endpoint: &str) -> Fields {
    let mut raw = Raw::new();
    raw.plain("service", "example").plain("api_key", "0123456789abcdef").plain("endpoint", endpoint);
    Fields::parse(provider::by_kind("api_key").unwrap().1, raw).unwrap()
}

fn is_found_by_host(vault: &dyn Vault) {
    // Whatever finds them must agree with a look at every one.
    let names = |host: &str| -> Vec<String> {
        let found = vault.for_host(host).unwrap();
        let mut all = vault.list().unwrap();
        all.retain(|one| provider::hosts(one).iter().any(|known| known == host));
        assert_eq!(format!("{found:?}"), format!("{all:?}"), "{host}");
        found.into_iter().map(|one| one.name).collect()
    };
    assert!(names("api.example.com").is_empty());
    let shop = Scope::Project("shop".into());
    let one = vault.put(New::named("one", api_key("https://api.example.com/v1"))).unwrap();
    vault.put(New { scope: shop.clone(), ..New::named("a", api_key("https://API.example.com")) }).unwrap();
    vault.put(New::named("port", api_key("https://api.example.com:8443"))).unwrap();
    vault.put(New::named("nowhere", variables(&[("A", "api.example.com")]))).unwrap();
    vault.put(New::named("ecr", through("one"))).unwrap();
    assert_eq!(names("api.example.com"), ["one", "a"]);
    assert_eq!(names("api.example.com:8443"), ["port"]);
    assert_eq!(names("public.ecr.aws"), ["ecr"]);
    for other in ["", "example.com", "api.example.com:443", "API.example.com", "%", "api.example.co_", "'"] {
        assert!(names(other).is_empty(), "{other}");
    }

    // A new name, or following one, changes no host; new fields do.
    let one = vault.amend(&one, &Change { name: Some("two".into()), ..Change::default() }).unwrap();
    assert_eq!(
        (names("api.example.com"), names("public.ecr.aws")),
        (vec!["two".into(), "a".into()], vec!["ecr".into()])
    );
    let one = vault.amend(&one, &Change { scope: Some(Scope::Project("b".into())), ..Change::default() }).unwrap();
    assert_eq!(names("api.example.com"), ["two", "a"]);
    let moved = New { replaces: Some(one), ..New::named("", api_key("https://else.example.com")) };
    let one = vault.put(moved).unwrap();
    assert_eq!((names("api.example.com"), names("else.example.com")), (vec!["a".into()], vec!["two".into()]));
    let one = vault.renew(&vault.open(&one).unwrap(), None).unwrap();
    assert_eq!(names("else.example.com"), ["two"]);
    vault.remove(&one).unwrap();
    assert!(names("else.example.com").is_empty());
}

fn notes_verdicts_and_uses(vault: &dyn Vault) {
    let old = vault.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    for silent in
        [Outcome::Unreachable, Outcome::RateLimited, Outcome::Tls, Outcome::Unexpected, Outcome::CannotBeAsked]
    {
        vault.note_verdict(&old, &Verdict::failed(silent, "why", "what"), at(1)).unwrap();
        let read = found(vault, "db");
        assert_eq!((read.check, read.verified), (Check::Never, None), "{silent:?}");
    }
    assert!(vault.scopes(&old).unwrap().is_empty());
    let said = Verdict::valid("me").expiring(Some(at(100))).with_scopes(["repo", "read \"all\""]);
    vault.note_verdict(&old, &said, at(2)).unwrap();
    vault.note_verdict(&old, &Verdict::failed(Outcome::Unreachable, "why", "what"), at(2)).unwrap();
    let read = found(vault, "db");
    assert_eq!(vault.scopes(&read).unwrap(), ["repo", "read \"all\""], "silence takes nothing back");
    assert_eq!((read.check, read.verified, read.expires), (Check::Valid, Some(at(2)), Some(at(100))));
    vault.note_verdict(&old, &Verdict::invalid("why", "what"), at(3)).unwrap();
    let read = found(vault, "db");
    assert_eq!((read.check, read.verified, read.expires), (Check::Invalid, Some(at(3)), Some(at(100))));
    assert!(vault.scopes(&read).unwrap().is_empty(), "what is refused may do nothing");

    for (time, known) in [(10, 10), (5, 10), (11, 11)] {
        vault.note_use(&old, at(time)).unwrap();
        assert_eq!(found(vault, "db").used, Some(at(known)));
    }

    // What is said of old values is not said of new ones.
    let early = Metadata { updated: old.updated - Duration::seconds(1), ..old.clone() };
    vault.note_verdict(&early, &Verdict::valid("me").with_scopes(["old"]), at(20)).unwrap();
    assert_eq!(found(vault, "db").check, Check::Invalid);
    assert!(vault.scopes(&old).unwrap().is_empty());
    let fresh = Some(Verdict::valid("me").expiring(Some(at(200))).with_scopes(["new"]));
    let new =
        vault.put(New { verdict: fresh, replaces: Some(old), ..New::named("", variables(&[("A", "2")])) }).unwrap();
    assert_eq!((new.check, new.verified, new.expires), (Check::Valid, Some(new.updated), Some(at(200))));
    assert_eq!(vault.scopes(&new).unwrap(), ["new"]);
    let unasked = vault.put(New { replaces: Some(new), ..New::named("", variables(&[("A", "3")])) }).unwrap();
    assert_eq!((unasked.check, found(vault, "db").check, unasked.verified), (Check::Never, Check::Never, None));
    assert!(vault.scopes(&unasked).unwrap().is_empty());
    let first =
        New { verdict: Some(Verdict::valid("me").with_scopes(["first"])), ..New::named("x", variables(&[("A", "1")])) };
    let first = vault.put(first).unwrap();
    assert_eq!(vault.scopes(&first).unwrap(), ["first"]);
    let renamed = vault.amend(&first, &Change { name: Some("y".into()), ..Change::default() }).unwrap();
    assert_eq!(vault.scopes(&renamed).unwrap(), ["first"]);
}

fn notes_rotations(vault: &dyn Vault) {
    let old = vault.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    assert_eq!(vault.rotation(&old).unwrap(), Unfinished::default());
    let begun = Unfinished { since: Some(at(1)), retiring: None };
    vault.note_rotation(&old, &begun).unwrap();
    assert_eq!(vault.rotation(&old).unwrap(), begun);
    vault.amend(&old, &Change { note: Some("why".into()), ..Change::default() }).unwrap();
    vault.renew(&vault.open(&old).unwrap(), None).unwrap();
    assert_eq!(vault.rotation(&old).unwrap(), begun, "other changes do not end it");

    let current = found(vault, "db");
    let stored =
        New { retiring: Some("AKIA1".into()), replaces: Some(current), ..New::named("", variables(&[("A", "2")])) };
    let new = vault.put(stored).unwrap();
    let left = Unfinished { since: None, retiring: Some("AKIA1".into()) };
    assert_eq!(vault.rotation(&new).unwrap(), left);
    let by_hand = vault.put(New { replaces: Some(new), ..New::named("", variables(&[("A", "3")])) }).unwrap();
    assert_eq!(vault.rotation(&by_hand).unwrap(), left, "the old one is still to be revoked");
    vault.note_rotation(&by_hand, &Unfinished::default()).unwrap();
    assert_eq!(vault.rotation(&by_hand).unwrap(), Unfinished::default());
}

fn removes(vault: &dyn Vault) {
    let stored = vault.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    assert!(vault.remove(&stored).unwrap());
    assert!(!vault.remove(&stored).unwrap());
    assert!(vault.list().unwrap().is_empty());
    assert!(matches!(vault.open(&stored), Err(VaultError::Changed { .. })));
    let late = vault.put(New { replaces: Some(stored), ..New::named("", variables(&[("A", "2")])) });
    assert!(matches!(late, Err(VaultError::Changed { .. })), "what was removed does not come back");
    let again = vault.put(New::named("db", variables(&[("A", "3")]))).unwrap();
    assert_eq!(plain(vault, &again), map(&[("A", "3")]));
}

fn keeps_any_text(vault: &dyn Vault) {
    let long = "x".repeat(1 << 20);
    let texts = ["", " ", "\n", "\u{0}", "é\u{1f511}", "'; DROP TABLE secrets; --", "\\x00", &long];
    for (number, text) in texts.into_iter().enumerate() {
        let stored = vault.put(New::named(&format!("n{number}"), variables(&[("A", text), ("B", text)]))).unwrap();
        assert_eq!(plain(vault, &stored), map(&[("A", text), ("B", text)]));
    }
    let note = "'; \u{202e}\u{0} \" é".to_owned();
    // What is no secret is kept as it is, or refused: PostgreSQL has no zero byte in a text.
    match vault.put(New { note: note.clone(), ..New::named("noted", variables(&[("A", "1")])) }) {
        Ok(stored) => {
            assert_eq!(stored.note, note);
            assert_eq!(found(vault, "noted").note, note);
        }
        Err(refusal) => {
            assert!(refusal.to_string().contains("zero byte"), "{refusal}");
            assert!(vault.list().unwrap().iter().all(|one| one.name != "noted"));
        }
    }
}
