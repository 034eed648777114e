//! The same vault with its secrets in a keeper: what counts, what is left over, and what does not open.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::server::engine::Engine;
use crate::server::keeper::tests::{Inside, kv};
use crate::server::vault::places::Renamed;
use crate::vault::contract::vault_contract;

fn scratch() -> (Scratch, Arc<Mutex<Inside>>) {
    let (kv, inside) = kv();
    (Scratch { engine: Engine::new(Some(kv), true), ..Scratch::new() }, inside)
}

fn count(scratch: &Scratch, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table}");
    scratch.db.read(&scratch.org, |rows| rows.first(&sql, &[])?.unwrap().int(0)).unwrap()
}

fn last_event(scratch: &Scratch) -> String {
    let last = "SELECT entry FROM audit_events WHERE org = 'org_test' ORDER BY sequence DESC LIMIT 1";
    scratch.db.read(&scratch.org, |rows| rows.first(last, &[])?.unwrap().text(0)).unwrap()
}

#[test]
fn it_keeps_the_contract() {
    vault_contract(|| {
        let (scratch, _) = scratch();
        scratch.projects(&["shop", "b"]);
        Whole(scratch)
    });
}

#[test]
fn secrets_rest_in_the_keeper_sealed_and_go_with_what_names_them() {
    let (scratch, inside) = scratch();
    scratch.projects(&["shop"]);
    let mine = Whole::of(&scratch);
    let first = mine.put(New::named("db", variables(&[("A", "LNYCANARYone")]))).unwrap();
    assert_eq!(
        (count(&scratch, "secrets"), count(&scratch, "kept_secrets"), count(&scratch, "kept_leftovers")),
        (0, 1, 0)
    );
    let places = || inside.lock().unwrap().kept.keys().cloned().collect::<Vec<_>>();
    let rests = places();
    assert!(rests[0].contains("/org_test/") && rests[0].contains(&first.id), "{rests:?}");
    assert!(!inside.lock().unwrap().kept[&rests[0]].0.to_string().contains("LNYCANARY"));
    let replaced = New { replaces: Some(first.clone()), ..New::named("db", variables(&[("A", "two")])) };
    let second = mine.put(replaced).unwrap();
    assert!(places().len() == 1 && places() != rests, "the version before is destroyed");
    assert!(matches!(mine.open(&first), Err(VaultError::Changed { .. })));
    let moved = Change { scope: Some(Scope::Project("shop".into())), ..Change::default() };
    let third = mine.amend(&second, &moved).unwrap();
    assert_eq!(plain(&mine, &third), map(&[("A", "two")]));
    let mut renamed = mine.about_to_rename("shop", "web").unwrap();
    let ids = scratch.db.write(&scratch.org, |rows| mine.rename_project(rows, &mut renamed)).unwrap().unwrap();
    mine.clear_all(&ids);
    let fourth = mine.by_id(&third.id).unwrap().unwrap().metadata;
    assert_eq!(plain(&mine, &fourth), map(&[("A", "two")]));
    assert_eq!((places().len(), count(&scratch, "kept_leftovers")), (1, 0));
    assert!(mine.remove(&fourth).unwrap());
    assert_eq!((places().len(), count(&scratch, "kept_leftovers"), count(&scratch, "kept_secrets")), (0, 0, 0));
}

/// Whatever is done to what rests in the keeper, or to the row that names it, is noticed and told.
#[test]
fn what_is_changed_or_moved_in_the_keeper_does_not_open() {
    type Doing = fn(&mut Inside, &str, &str);
    let doings: [(&str, Doing); 5] = [
        ("overwritten with itself", |inside, mine, _| inside.kept.get_mut(mine).unwrap().1 = 2),
        ("of another credential", |inside, mine, other| {
            let content = inside.kept[other].clone();
            inside.kept.insert(mine.into(), content);
        }),
        ("plain", |inside, mine, _| inside.kept.get_mut(mine).unwrap().0["secrets"]["A"] = json!("MQ==")),
        ("a field less", |inside, mine, _| {
            inside.kept.get_mut(mine).unwrap().0["secrets"].as_object_mut().unwrap().remove("A");
        }),
        ("gone", |inside, mine, _| drop(inside.kept.remove(mine))),
    ];
    for (name, doing) in doings {
        let (scratch, inside) = scratch();
        let mine = Whole::of(&scratch);
        let stored = mine.put(New::named("db", variables(&[("A", "1"), ("B", "2")]))).unwrap();
        let other = mine.put(New::named("other", variables(&[("A", "3"), ("B", "4")]))).unwrap();
        let place = |id: &str| inside.lock().unwrap().kept.keys().find(|key| key.contains(id)).unwrap().clone();
        let (of_mine, of_other) = (place(&stored.id), place(&other.id));
        doing(&mut inside.lock().unwrap(), &of_mine, &of_other);
        assert!(matches!(mine.open(&stored), Err(VaultError::DoesNotOpen { .. })), "{name}");
        assert!(last_event(&scratch).contains("secret.read") && last_event(&scratch).contains("failed"), "{name}");
        assert_eq!(plain(&mine, &other), map(&[("A", "3"), ("B", "4")]));
    }
    for change in [
        // The row names what another one has, or a place that is none.
        "UPDATE kept_secrets SET address = (SELECT o.address FROM kept_secrets o JOIN credentials c ON c.id = \
         o.credential WHERE c.name = 'other')",
        "UPDATE kept_secrets SET address = '../../sys/seal'",
        // It does not name it any more.
        "DELETE FROM kept_secrets",
        "UPDATE credentials SET fields = '{\"endpoint\":\"https://evil.example\"}' WHERE name = 'db'",
        "DELETE FROM data_keys",
    ] {
        let (scratch, _inside) = scratch();
        let mine = Whole::of(&scratch);
        let stored = mine.put(New::named("db", variables(&[("A", "1")]))).unwrap();
        mine.put(New::named("other", variables(&[("A", "3")]))).unwrap();
        tamper(&scratch.db, change);
        let now = mine.by_id(&stored.id).unwrap().unwrap().metadata;
        assert!(matches!(mine.open(&now), Err(VaultError::DoesNotOpen { .. })), "{change}");
    }
}

/// A version from before does not come back, not even with the row that named it.
#[test]
fn what_was_replaced_stays_replaced() {
    let (scratch, inside) = scratch();
    let mine = Whole::of(&scratch);
    let first = mine.put(New::named("db", variables(&[("A", "old")]))).unwrap();
    let copy = inside.lock().unwrap().kept.clone();
    let replaced = New { replaces: Some(first.clone()), ..New::named("db", variables(&[("A", "new")])) };
    let second = mine.put(replaced).unwrap();
    let before = copy.keys().next().unwrap().clone();
    inside.lock().unwrap().kept.extend(copy);
    let back = "UPDATE kept_secrets SET address = $1";
    scratch.db.write(&scratch.org, |rows| rows.execute(back, values![&before])).unwrap();
    assert!(matches!(mine.open(&second), Err(VaultError::DoesNotOpen { .. })));
}

#[test]
fn a_keeper_that_does_not_answer_is_told_apart_and_nothing_is_half_done() {
    let (scratch, inside) = scratch();
    let mine = Whole::of(&scratch);
    let stored = mine.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    let rests = inside.lock().unwrap().kept.clone();
    for status in [0, 503] {
        inside.lock().unwrap().broken = Some(status);
        let failure = mine.open(&stored).unwrap_err();
        assert_eq!(crate::server::problem::Problem::from(failure).status().as_u16(), 503);
        assert!(last_event(&scratch).contains("failed"));
        assert!(mine.put(New::named("late", variables(&[("A", "2")]))).is_err());
        let replaced = New { replaces: Some(stored.clone()), ..New::named("db", variables(&[("A", "2")])) };
        assert!(mine.put(replaced).is_err());
        // What is no secret goes on.
        assert_eq!(mine.list().unwrap().len(), 1);
        mine.amend(&stored, &Change { note: Some(format!("{status}")), ..Change::default() }).unwrap();
    }
    inside.lock().unwrap().broken = None;
    assert_eq!(plain(&mine, &stored), map(&[("A", "1")]));
    // What was noted and never written goes in its time.
    assert_eq!(count(&scratch, "kept_leftovers"), 4);
    assert_eq!(scratch.engine.sweep(&scratch.db, now()).unwrap(), 0, "somebody may be about to use it");
    let later = now() + chrono::TimeDelta::minutes(3);
    assert_eq!(scratch.engine.sweep(&scratch.db, later).unwrap(), 4);
    assert_eq!((count(&scratch, "kept_leftovers"), inside.lock().unwrap().kept == rests), (0, true));
    // Who is removed while the keeper is away goes when it is back, and opens for nobody meanwhile.
    inside.lock().unwrap().broken = Some(503);
    assert!(mine.remove(&stored).unwrap());
    assert!(scratch.engine.sweep(&scratch.db, now()).is_err());
    assert_eq!((count(&scratch, "data_keys"), inside.lock().unwrap().kept.len()), (0, 1));
    inside.lock().unwrap().broken = None;
    assert_eq!(scratch.engine.sweep(&scratch.db, now()).unwrap(), 1);
    assert!(inside.lock().unwrap().kept.is_empty());
}

/// Who comes too late finds that their place was cleared away, and leaves everything as it was.
#[test]
fn what_was_cleared_away_never_counts() {
    let (scratch, inside) = scratch();
    let mine = Whole::of(&scratch);
    let stored = mine.put(New::named("db", variables(&[("A", "1")]))).unwrap();
    let parcel = mine.sealed(&stored, &mine.open(&stored).unwrap().secrets).unwrap();
    assert_eq!(inside.lock().unwrap().kept.len(), 2);
    let later = now() + chrono::TimeDelta::minutes(3);
    assert_eq!(scratch.engine.sweep(&scratch.db, later).unwrap(), 1);
    assert!(scratch.db.write(&scratch.org, |rows| mine.put_in(rows, &stored, parcel)).is_err());
    assert_eq!(plain(&mine, &stored), map(&[("A", "1")]));
}

/// A clock that goes on by ten seconds with every look at it.
fn slow() -> DateTime<Utc> {
    static LOOKS: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);
    now() + chrono::TimeDelta::seconds(10 * LOOKS.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
}

/// However many there are and however long that takes: what was sealed first counts with what was sealed last.
#[test]
fn a_project_with_many_secrets_is_renamed_while_some_are_replaced() {
    let (scratch, inside) = scratch();
    scratch.projects(&["shop"]);
    let mine = Whole::of(&scratch);
    let put = |name: &str, value: &str, replaces: Option<Metadata>| {
        let new = New { scope: Scope::Project("shop".into()), ..New::named(name, variables(&[("A", value)])) };
        mine.put(New { replaces, ..new }).unwrap()
    };
    let stored: Vec<Metadata> = (0..40).map(|number| put(&format!("n{number}"), "old", None)).collect();
    let slowly = OrgVault { now: slow, ..Whole::of(&scratch) };
    let began = slow();
    let mut renamed = slowly.about_to_rename("shop", "web").unwrap();
    let done = slow();
    assert!(done - began > chrono::TimeDelta::minutes(10));
    assert_eq!(scratch.engine.sweep(&scratch.db, done).unwrap(), 0, "none is taken for forgotten");
    // One is replaced and one comes in: nothing counts until both are sealed as well, and no other is sealed again.
    put("n7", "new", Some(stored[7].clone()));
    put("late", "new", None);
    let write = |renamed: &mut Renamed| -> Result<Vec<String>, VaultError> {
        scratch.db.write(&scratch.org, |rows| {
            let none = || VaultError::Changed { name: "shop".into() };
            slowly.rename_project(rows, renamed)?.ok_or_else(none)
        })
    };
    assert!(write(&mut renamed).is_err());
    let before = inside.lock().unwrap().kept.len();
    slowly.go_on_renaming(&mut renamed).unwrap();
    assert_eq!(inside.lock().unwrap().kept.len(), before + 2);
    let ids = write(&mut renamed).unwrap();
    assert_eq!(ids.len(), 41);
    slowly.clear_all(&ids);
    let opened = |id: &str| {
        let now = mine.by_id(id).unwrap().unwrap().metadata;
        assert_eq!(now.scope.project(), Some("web"));
        plain(&mine, &now)
    };
    assert_eq!((opened(&stored[6].id), opened(&stored[7].id)), (map(&[("A", "old")]), map(&[("A", "new")])));
    // What was sealed in vain goes in its time.
    assert_eq!(scratch.engine.sweep(&scratch.db, done + chrono::TimeDelta::hours(1)).unwrap(), 1);
    assert_eq!(inside.lock().unwrap().kept.len(), 41);
}

/// One that was destroyed although it was about to be used is sealed once more, and nothing is half done.
#[test]
fn what_was_swept_while_a_project_was_about_to_be_renamed_is_sealed_again() {
    let (scratch, _inside) = scratch();
    scratch.projects(&["shop"]);
    let mine = Whole::of(&scratch);
    let new = New { scope: Scope::Project("shop".into()), ..New::named("db", variables(&[("A", "1")])) };
    let stored = mine.put(new).unwrap();
    let mut renamed = mine.about_to_rename("shop", "web").unwrap();
    assert_eq!(scratch.engine.sweep(&scratch.db, now() + chrono::TimeDelta::minutes(3)).unwrap(), 1);
    let write = |renamed: &mut Renamed| scratch.db.write(&scratch.org, |rows| mine.rename_project(rows, renamed));
    assert!(write(&mut renamed).unwrap().is_none());
    mine.go_on_renaming(&mut renamed).unwrap();
    assert_eq!(write(&mut renamed).unwrap().unwrap(), [stored.id.as_str()]);
    let now = mine.by_id(&stored.id).unwrap().unwrap().metadata;
    assert_eq!(plain(&mine, &now), map(&[("A", "1")]));
}

#[test]
fn secrets_move_from_one_place_to_the_other_and_back() {
    let (kv, inside) = kv();
    let mut scratch = Scratch::new();
    let stored = Whole::of(&scratch).put(New::named("db", variables(&[("A", "1")]))).unwrap();
    let before = count(&scratch, "secrets");
    for is_outside in [true, false, true] {
        scratch.engine = Engine::new(Some(kv.clone()), is_outside);
        let mine = Whole::of(&scratch);
        assert_eq!(plain(&mine, &stored), map(&[("A", "1")]), "it opens before it is moved");
        assert_eq!(scratch.engine.elsewhere(&scratch.db).unwrap(), 1);
        assert_eq!(mine.seal_anew(std::slice::from_ref(&stored.id), |_| Ok(true)).unwrap().done, 1);
        assert_eq!(scratch.engine.elsewhere(&scratch.db).unwrap(), 0);
        assert_eq!(plain(&mine, &stored), map(&[("A", "1")]));
        let (here, there) = (count(&scratch, "secrets"), inside.lock().unwrap().kept.len());
        assert_eq!((here, there), if is_outside { (0, 1) } else { (before, 0) });
    }
    // Without the keeper, such a database is none that can be served.
    assert!(Engine::default().fit_for(&scratch.db).is_err());
    assert!(scratch.engine.clone().fit_for(&scratch.db).is_ok());
}
