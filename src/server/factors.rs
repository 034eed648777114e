//! What a person is asked for beside their passphrase: a code by time, a passkey; and the recovery codes for the day on
//! which neither is at hand, each of which is good once.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::db::{DbError, Rows, values};
use super::keys::KeyError;
use super::{passkey, random, totp};

/// So many recovery codes are made.
pub(super) const RECOVERY: usize = 10;

/// Whether a person is asked for a second factor after their passphrase.
pub(crate) fn are_asked(rows: &mut dyn Rows, person: &str) -> Result<bool, DbError> {
    Ok(totp::is_on(rows, person)? || passkey::has_any(rows, person)?)
}

/// Makes recovery codes in the place of those that there are. They are told here and nowhere else.
pub(crate) fn new_recovery_codes(rows: &mut dyn Rows, person: &str) -> Result<Vec<Zeroizing<String>>, KeyError> {
    rows.execute("DELETE FROM recovery_codes WHERE person = $1", values![person])?;
    let mut codes = Vec::new();
    for _ in 0..RECOVERY {
        let halves = [random::typed(), random::typed()].map(|half| half.map_err(|_| KeyError::NoRandom));
        let [first, second] = halves;
        let code = Zeroizing::new([first?, second?].join("-"));
        let hash = hash(person, &plain(&code));
        rows.execute("INSERT INTO recovery_codes (person, hash) VALUES ($1, $2)", values![person, &hash])?;
        codes.push(code);
    }
    Ok(codes)
}

/// Whether a person has recovery codes.
pub(crate) fn has_recovery_codes(rows: &mut dyn Rows, person: &str) -> Result<bool, DbError> {
    Ok(recovery_codes_left(rows, person)? > 0)
}

/// How many recovery codes a person has.
pub(crate) fn recovery_codes_left(rows: &mut dyn Rows, person: &str) -> Result<i64, DbError> {
    let count = "SELECT COUNT(*) FROM recovery_codes WHERE person = $1 AND spent IS NULL";
    rows.first(count, values![person])?.ok_or(DbError::Shape)?.int(0)
}

/// Whether this is a recovery code of the person. It is none any more after this.
pub(super) fn spend(rows: &mut dyn Rows, person: &str, code: &str, now: DateTime<Utc>) -> Result<bool, DbError> {
    let spend = "UPDATE recovery_codes SET spent = $3 WHERE person = $1 AND hash = $2 AND spent IS NULL";
    Ok(rows.execute(spend, values![person, &hash(person, code), now.timestamp_millis()])? > 0)
}

/// Takes the recovery codes away, where there is nothing any more that they stand in for.
pub(crate) fn tidy(rows: &mut dyn Rows, person: &str) -> Result<(), DbError> {
    if are_asked(rows, person)? {
        return Ok(());
    }
    rows.execute("DELETE FROM recovery_codes WHERE person = $1", values![person]).map(|_| ())
}

/// A code without what people write between its letters.
pub(super) fn plain(typed: &str) -> Zeroizing<String> {
    Zeroizing::new(typed.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase())
}

fn hash(person: &str, code: &str) -> [u8; 32] {
    Sha256::new().chain_update(person).chain_update([0]).chain_update(code).finalize().into()
}
