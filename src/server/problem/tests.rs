//! What a failure is told as.

use super::*;

/// By what a failure is, and not by what it says: the database's own, also where it comes through the keys.
#[test]
fn what_the_database_said_is_told_wherever_it_comes_from() {
    let through = |failure: DbError| Problem::from(VaultError::from(KeyError::Db(failure)));
    for (problem, kind) in [
        (Problem::from(VaultError::from(DbError::Full)), "no-room"),
        (Problem::from(VaultError::from(DbError::Zero)), "invalid"),
        (through(DbError::Full), "no-room"),
        (through(DbError::Zero), "invalid"),
        (through(DbError::Busy), "unavailable"),
        (Problem::from(VaultError::from(KeyError::DoesNotOpen)), "internal"),
    ] {
        assert_eq!(problem.kind(), kind, "{problem:?}");
    }
}
