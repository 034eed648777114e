//! Chains that are written, and what is done to them.

use super::*;
use crate::server::db::Reach;
use crate::server::db::tests::{Scratch, tamper};

fn chain(scratch: &Scratch, count: usize) {
    for number in 0..count {
        let actor = Actor { person: format!("person-{number}"), ..Actor::default() };
        let event = Event::done("test.done", "object");
        scratch
            .db
            .write(Reach::Server, |rows| {
                append(rows, &scratch.keys, &scratch.org, &actor, &event, DateTime::UNIX_EPOCH)
            })
            .unwrap();
    }
}

fn checked(scratch: &Scratch) -> Result<i64, Broken> {
    scratch.db.read(Reach::Server, |rows| verify(rows, &scratch.keys, &scratch.org)).unwrap()
}

#[test]
fn however_many_are_written_at_once_are_one_chain() {
    let scratch = Scratch::new();
    let mut written = 0;
    for count in [1, 3, 4, 16, 37] {
        let actors: Vec<Actor> = (0..count).map(|one| Actor { person: one.to_string(), ..Actor::default() }).collect();
        let event = Event::done("test.done", "object");
        let all: Vec<New<'_>> = actors.iter().map(|actor| (actor, &event, DateTime::UNIX_EPOCH)).collect();
        let write = |rows: &mut dyn Rows| append_all(rows, &scratch.keys, &scratch.org, &all);
        scratch.db.write(&scratch.org, write).unwrap();
        written += i64::from(count);
        assert_eq!(checked(&scratch).ok(), Some(written));
    }
    let told = "SELECT actor FROM audit_events WHERE org = $1 ORDER BY sequence DESC LIMIT 1";
    let last = scratch.db.read(&scratch.org, |rows| rows.first(told, values![scratch.org.id()])).unwrap();
    assert_eq!(last.unwrap().text(0).unwrap(), "36");
}

#[test]
fn what_is_done_to_a_chain_is_noticed_at_its_place() {
    let broken = |sequence, problem| Err(Broken { sequence, problem });
    let cut = "DELETE FROM audit_events WHERE sequence > 3; UPDATE audit_heads SET sequence = 3, hash = \
               (SELECT hash FROM audit_events WHERE sequence = 3)";
    for (change, expected) in [
        ("UPDATE audit_events SET actor = 'person-7' WHERE sequence = 2", broken(2, "the entry is listed as another")),
        ("UPDATE audit_events SET at = 7 WHERE sequence = 4", broken(4, "the entry is listed as another")),
        ("DELETE FROM audit_heads", broken(6, "the end of the chain is missing")),
        // The end with its record: what was signed tells.
        (cut, broken(4, "the end of the chain is missing")),
        ("DELETE FROM audit_events WHERE sequence = 3", broken(3, "an entry is missing")),
        ("DELETE FROM audit_events WHERE sequence = 5", broken(5, "the end of the chain is missing")),
        (
            "UPDATE audit_events SET entry = replace(entry, 'person-1', 'person-7') WHERE sequence = 2",
            broken(2, "the entry was changed"),
        ),
        ("UPDATE audit_events SET sequence = sequence + 10 WHERE sequence > 1", broken(2, "an entry is missing")),
        (
            "UPDATE audit_events SET entry = (SELECT other.entry FROM audit_events other WHERE other.sequence = 2) \
             WHERE sequence = 4",
            broken(4, "an entry is of another place"),
        ),
    ] {
        let scratch = Scratch::new();
        chain(&scratch, 5);
        checkpoint::sign(&scratch.db, &scratch.keys, &scratch.org, false, DateTime::UNIX_EPOCH).unwrap().unwrap();
        assert_eq!(checked(&scratch), Ok(5));
        tamper(&scratch.db, change);
        assert_eq!(checked(&scratch), expected, "{change}");
    }
}

/// As long as whoever else writes to it: nobody waits for a connection until it is gone through.
#[test]
fn a_long_chain_is_gone_through_in_parts_that_tell_the_same() {
    let scratch = Scratch::new();
    let actors: Vec<Actor> =
        (0..1001).map(|one| Actor { person: format!("person-{one}"), ..Actor::default() }).collect();
    let event = Event::done("test.done", "object");
    let in_parts = || in_parts(&scratch.db, &scratch.keys, &scratch.org).unwrap();
    assert_eq!(in_parts(), Ok(0));
    for (part, expected) in [(&actors[..500], 500), (&actors[500..], 1001)] {
        let all: Vec<New<'_>> = part.iter().map(|actor| (actor, &event, DateTime::UNIX_EPOCH)).collect();
        scratch.db.write(&scratch.org, |rows| append_all(rows, &scratch.keys, &scratch.org, &all)).unwrap();
        checkpoint::sign(&scratch.db, &scratch.keys, &scratch.org, false, DateTime::UNIX_EPOCH).unwrap().unwrap();
        assert_eq!((in_parts(), checked(&scratch)), (Ok(expected), Ok(expected)));
    }
    let before = crate::server::db::TRANSACTIONS.load(Ordering::Relaxed);
    in_parts().unwrap();
    assert!(crate::server::db::TRANSACTIONS.load(Ordering::Relaxed) >= before + 4);
    let change = |change: &str| tamper(&scratch.db, change);
    for sequence in [1001, 1000, 501, 500, 1] {
        change(&format!("UPDATE audit_events SET actor = 'x' WHERE sequence = {sequence}"));
        let broken = Err(Broken { sequence, problem: "the entry is listed as another" });
        assert_eq!((in_parts(), checked(&scratch)), (broken, checked(&scratch)));
    }
    change("DELETE FROM audit_events WHERE sequence > 500");
    change("UPDATE audit_events SET actor = 'person-' || (sequence - 1)");
    assert_eq!(in_parts(), Err(Broken { sequence: 501, problem: "the end of the chain is missing" }));
}

#[test]
fn an_entry_is_of_a_form_that_stays() {
    let scratch = Scratch::new();
    chain(&scratch, 1);
    let entry = scratch
        .db
        .read(Reach::Server, |rows| rows.first("SELECT entry FROM audit_events", &[])?.unwrap().text(0))
        .unwrap();
    let zeros = "0".repeat(64);
    assert_eq!(
        entry,
        format!(
            "{{\"action\":\"test.done\",\"actor\":\"person-0\",\"at\":\"1970-01-01T00:00:00.000Z\",\"form\":1,\
             \"key\":1,\"object\":\"object\",\"organization\":\"org_test\",\"outcome\":\"done\",\
             \"previous\":\"{zeros}\",\"sequence\":1}}"
        )
    );
}
