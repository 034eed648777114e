//! The second factor: codes by time (RFC 6238: HMAC-SHA-1, thirty seconds, six digits), as every authenticator has them,
//! and recovery codes for the day on which it is lost.
//!
//! A code is good once: the step of time it was made for is noted in the same statement that accepts it, so that two who
//! send it at once are not both let in. Blanks and hyphens go before anything is compared.

use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::db::{DbError, Rows, values};
use super::factors;
use super::keys::{FORM, KeyError, Keys};
use super::random;

/// Seconds.
const STEP: i64 = 30;
const DIGITS: usize = 6;
/// The bytes of a secret, as many as the hash has.
const SECRET: usize = 20;
/// Codes of the step before and of the one after are accepted, for clocks that are off.
const AROUND: [i64; 3] = [0, -1, 1];
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Makes a new secret for a person, who has to confirm it; `None` where one is in force already.
pub(crate) fn begin(
    rows: &mut dyn Rows,
    keys: &Keys,
    person: &str,
    now: DateTime<Utc>,
) -> Result<Option<Zeroizing<String>>, KeyError> {
    if is_on(rows, person)? {
        return Ok(None);
    }
    let mut secret = Zeroizing::new([0; SECRET]);
    getrandom::fill(secret.as_mut()).map_err(|_| KeyError::NoRandom)?;
    let Kept { sealed, version, mark } = Kept::of(rows, keys, person, secret.as_ref())?;
    let kept = rows.execute(
        "INSERT INTO second_factors (person, sealed, created, step, key_version) VALUES ($1, $2, $3, 0, $4) \
         ON CONFLICT (person) DO UPDATE SET sealed = $2, created = $3, step = 0, key_version = $4 \
         WHERE second_factors.confirmed IS NULL",
        values![person, &sealed, now.timestamp_millis(), version],
    )?;
    if kept == 0 {
        return Ok(None);
    }
    keep_mark(rows, person, &mark)?;
    Ok(Some(base32(secret.as_ref())))
}

/// The secret that a person has not confirmed yet, as text.
pub(crate) fn unconfirmed(
    rows: &mut dyn Rows,
    keys: &Keys,
    person: &str,
) -> Result<Option<Zeroizing<String>>, KeyError> {
    if is_on(rows, person)? {
        return Ok(None);
    }
    Ok(secret(rows, keys, person)?.map(|secret| base32(&secret)))
}

/// Whether a person is asked for a second factor.
pub(crate) fn is_on(rows: &mut dyn Rows, person: &str) -> Result<bool, DbError> {
    let one = "SELECT 1 FROM second_factors WHERE person = $1 AND confirmed IS NOT NULL";
    Ok(rows.first(one, values![person])?.is_some())
}

/// Puts a second factor in force, if the code is right. The recovery codes are told here and nowhere else.
pub(crate) fn confirm(
    rows: &mut dyn Rows,
    keys: &Keys,
    person: &str,
    typed: &str,
    now: DateTime<Utc>,
) -> Result<Option<Vec<Zeroizing<String>>>, KeyError> {
    if is_on(rows, person)? || !accept_by_time(rows, keys, person, &factors::plain(typed), now)? {
        return Ok(None);
    }
    let on = "UPDATE second_factors SET confirmed = $2 WHERE person = $1 AND confirmed IS NULL";
    if rows.execute(on, values![person, now.timestamp_millis()])? == 0 {
        return Ok(None);
    }
    Ok(Some(factors::new_recovery_codes(rows, person)?))
}

/// Whether this is a code that the person has now, by time or for recovery. It is none any more after this.
pub(crate) fn accept(
    rows: &mut dyn Rows,
    keys: &Keys,
    person: &str,
    typed: &str,
    now: DateTime<Utc>,
) -> Result<bool, KeyError> {
    let code = factors::plain(typed);
    if code.len() == DIGITS {
        return Ok(is_on(rows, person)? && accept_by_time(rows, keys, person, &code, now)?);
    }
    Ok(factors::spend(rows, person, &code, now)?)
}

/// Asks a person for no code by time any more.
pub(crate) fn remove(rows: &mut dyn Rows, person: &str) -> Result<(), DbError> {
    rows.execute("DELETE FROM second_factors WHERE person = $1", values![person])?;
    factors::tidy(rows, person)
}

fn accept_by_time(
    rows: &mut dyn Rows,
    keys: &Keys,
    person: &str,
    code: &str,
    now: DateTime<Utc>,
) -> Result<bool, KeyError> {
    let Some(secret) = secret(rows, keys, person)? else { return Ok(false) };
    let present = now.timestamp() / STEP;
    let is_right = |step: &i64| -> bool { at(&secret, *step).as_bytes().ct_eq(code.as_bytes()).into() };
    let Some(step) = AROUND.into_iter().map(|by| present + by).find(is_right) else { return Ok(false) };
    let spend = "UPDATE second_factors SET step = $2 WHERE person = $1 AND step < $2";
    Ok(rows.execute(spend, values![person, step])? > 0)
}

/// The code of a step of time (RFC 4226 section 5.3).
fn at(secret: &[u8], step: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last().copied().unwrap_or_default() & 15);
    let number = tag.iter().skip(offset).take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

/// The key that a secret is sealed under is made of one of the server's own for this.
const PURPOSE: &str = "second-factors";

/// A secret as it is kept, under the key in force.
struct Kept {
    sealed: Vec<u8>,
    version: i64,
    mark: String,
}

impl Kept {
    fn of(rows: &mut dyn Rows, keys: &Keys, person: &str, secret: &[u8]) -> Result<Self, KeyError> {
        let (version, own) = keys.own_to_seal(rows)?;
        let mark = random::base62(20).map_err(|_| KeyError::NoRandom)?.to_string();
        let key = own.derived(PURPOSE).ok_or(KeyError::None)?;
        let sealed = key.seal(secret, &place(person, &mark, &version.to_string())).map_err(|_| KeyError::NoRandom)?;
        Ok(Self { sealed, version, mark })
    }
}

/// What a secret is bound to: the person, the mark that stands with them, and the version of the key. One without a mark is
/// of an earlier version, which bound it to the person alone.
fn place<'p>(person: &'p str, mark: &'p str, version: &'p str) -> Vec<&'p str> {
    let mut parts = vec![FORM, "second-factor", person];
    if !mark.is_empty() {
        parts.extend([mark, version]);
    }
    parts
}

fn keep_mark(rows: &mut dyn Rows, person: &str, mark: &str) -> Result<(), DbError> {
    rows.execute("UPDATE people SET factor_mark = $2 WHERE id = $1", values![person, mark]).map(|_| ())
}

fn secret(rows: &mut dyn Rows, keys: &Keys, person: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
    let one = "SELECT f.sealed, p.factor_mark, COALESCE(f.key_version, 0) FROM second_factors f \
               JOIN people p ON p.id = f.person WHERE f.person = $1";
    let Some(mut row) = rows.first(one, values![person])? else { return Ok(None) };
    let (sealed, mark, version) = (row.bytes(0)?, row.text(1)?, row.int(2)?);
    let key = match keys.derived_of(rows, version, PURPOSE) {
        // Somebody has written another version into the row.
        Err(KeyError::None) => return Err(KeyError::DoesNotOpen),
        key => key?,
    };
    let opened = key.open(&sealed, &place(person, &mark, &version.to_string()));
    Ok(Some(opened.map_err(|_| KeyError::DoesNotOpen)?))
}

/// Seals those anew that rest under an older key than a version, so many of them, after a person. Gives the last one, and
/// how many were sealed and how many do not open; `None` where there are no more.
pub(crate) fn seal_anew(
    rows: &mut dyn Rows,
    keys: &Keys,
    version: i64,
    after: &str,
    most: i64,
) -> Result<Option<(String, u64, u64)>, KeyError> {
    let some = "SELECT person FROM second_factors WHERE COALESCE(key_version, 0) < $1 AND person > $2 \
                ORDER BY person LIMIT $3";
    // Held before what rests under it, as whoever begins a second factor does.
    keys.own_to_seal(rows)?;
    let (mut last, mut done, mut closed) = (None, 0, 0);
    for mut row in rows.query(some, values![version, after, most])? {
        let person = row.text(0)?;
        // Held until this transaction ends: nobody changes it between the two looks.
        rows.execute("UPDATE second_factors SET step = step WHERE person = $1", values![&person])?;
        match secret(rows, keys, &person) {
            Ok(Some(secret)) => {
                let Kept { sealed, version, mark } = Kept::of(rows, keys, &person, &secret)?;
                let keep = "UPDATE second_factors SET sealed = $2, key_version = $3 WHERE person = $1";
                rows.execute(keep, values![&person, &sealed, version])?;
                keep_mark(rows, &person, &mark)?;
                done += 1;
            }
            Ok(None) => {}
            Err(KeyError::DoesNotOpen) => closed += 1,
            Err(failure) => return Err(failure),
        }
        last = Some(person);
    }
    Ok(last.map(|last| (last, done, closed)))
}

/// RFC 4648 section 6; the bytes are a multiple of five, so that nothing is padded.
fn base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 8 / 5));
    for five in bytes.chunks(5) {
        let held = five.iter().fold(0_u64, |held, byte| (held << 8) | u64::from(*byte));
        text.extend((0..8).rev().map(|place| char::from(BASE32[((held >> (5 * place)) & 31) as usize])));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::Reach;
    use crate::server::db::tests::Scratch;

    fn scratch() -> Scratch {
        let scratch = Scratch::new();
        let person = "INSERT INTO people (id, login, passphrase, created) VALUES ('alice', 'alice', '-', 0)";
        scratch.db.write(Reach::Server, |rows| rows.batch(person)).unwrap();
        scratch
    }

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn code(scratch: &Scratch, seconds: i64) -> String {
        let secret = scratch.db.read(Reach::Server, |rows| secret(rows, &scratch.keys, "alice")).unwrap().unwrap();
        at(&secret, time(seconds).timestamp() / STEP)
    }

    fn accepted(scratch: &Scratch, typed: &str, seconds: i64) -> bool {
        scratch.db.write(Reach::Server, |rows| accept(rows, &scratch.keys, "alice", typed, time(seconds))).unwrap()
    }

    fn confirmed(scratch: &Scratch, seconds: i64) -> Vec<Zeroizing<String>> {
        scratch.db.write(Reach::Server, |rows| begin(rows, &scratch.keys, "alice", time(0))).unwrap().unwrap();
        let typed = code(scratch, seconds);
        scratch
            .db
            .write(Reach::Server, |rows| confirm(rows, &scratch.keys, "alice", &typed, time(seconds)))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238 appendix B, the last six digits.
        for (seconds, expected) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(at(b"12345678901234567890", seconds / STEP), expected);
        }
        assert_eq!(base32(b"foobarfoob").as_str(), "MZXW6YTBOJTG633C");
    }

    #[test]
    fn a_code_is_good_once_however_it_is_written() {
        let scratch = scratch();
        assert!(!accepted(&scratch, "000000", 0), "there is no second factor");
        confirmed(&scratch, 0);
        assert!(!accepted(&scratch, &code(&scratch, 0), 0), "it was used to confirm");
        let next = code(&scratch, 60);
        let spaced = format!(" {} {}", &next[..3], &next[3..]);
        assert!(accepted(&scratch, &spaced, 60));
        for again in [next.clone(), spaced, format!("{}-{}", &next[..3], &next[3..])] {
            assert!(!accepted(&scratch, &again, 61), "{again}");
        }
        assert!(!accepted(&scratch, &code(&scratch, 30), 61), "older than one that was used");
        assert!(accepted(&scratch, &code(&scratch, 120), 91), "a clock that is ahead");
        assert!(!accepted(&scratch, &code(&scratch, 300), 200) && !accepted(&scratch, &code(&scratch, 150), 210));
        assert!(!accepted(&scratch, "", 500) && !accepted(&scratch, "12345", 500));
    }

    #[test]
    fn a_recovery_code_is_good_once() {
        let scratch = scratch();
        let codes = confirmed(&scratch, 0);
        assert_eq!(codes.len(), factors::RECOVERY);
        assert!(accepted(&scratch, &codes[3].to_lowercase().replace('-', " "), 0));
        assert!(!accepted(&scratch, &codes[3], 0) && accepted(&scratch, &codes[4], 0));
        scratch.db.write(Reach::Server, |rows| remove(rows, "alice")).unwrap();
        assert!(!accepted(&scratch, &codes[5], 0), "there is no second factor any more");
    }

    #[test]
    fn one_in_force_is_not_replaced() {
        let scratch = scratch();
        confirmed(&scratch, 0);
        assert!(
            scratch.db.write(Reach::Server, |rows| begin(rows, &scratch.keys, "alice", time(0))).unwrap().is_none()
        );
        assert!(scratch.db.read(Reach::Server, |rows| unconfirmed(rows, &scratch.keys, "alice")).unwrap().is_none());
    }

    #[test]
    fn one_of_an_earlier_version_opens_and_is_sealed_anew_once() {
        let scratch = scratch();
        let seed = || scratch.db.read(Reach::Server, |rows| secret(rows, &scratch.keys, "alice"));
        let put = |sealed: &Vec<u8>| {
            let keep = "INSERT INTO second_factors (person, sealed, created, step) VALUES ('alice', $1, 0, 0) \
                        ON CONFLICT (person) DO UPDATE SET sealed = $1";
            scratch.db.write(Reach::Server, |rows| rows.execute(keep, values![sealed])).unwrap();
        };
        let key = scratch.keys.derived(PURPOSE).unwrap();
        let old = key.seal(&[7; SECRET], &[FORM, "second-factor", "alice"]).unwrap();
        put(&old);
        assert_eq!(seed().unwrap().unwrap().as_slice(), [7; SECRET]);
        let anew =
            |after: &str| scratch.db.write(Reach::Server, |rows| seal_anew(rows, &scratch.keys, 1, after, 10)).unwrap();
        let version = scratch.db.write(Reach::Server, |rows| scratch.keys.next_own(rows, time(0))).unwrap();
        assert_eq!((version, anew("")), (1, Some(("alice".to_owned(), 1, 0))));
        assert_eq!(anew(""), None);
        assert_eq!(seed().unwrap().unwrap().as_slice(), [7; SECRET]);
        // The key of before is still there, and what was sealed under it does not open any more.
        put(&old);
        scratch.db.write(Reach::Server, |rows| rows.batch("UPDATE second_factors SET key_version = 0")).unwrap();
        assert!(matches!(seed(), Err(KeyError::DoesNotOpen)));
        assert_eq!(anew(""), Some(("alice".to_owned(), 0, 1)), "it stays, and is told");
    }

    #[test]
    fn a_secret_of_somebody_else_does_not_open() {
        let scratch = scratch();
        confirmed(&scratch, 0);
        let moved = "INSERT INTO people (id, login, passphrase, created) VALUES ('bob', 'bob', '-', 0); \
                     UPDATE second_factors SET person = 'bob'";
        scratch.db.write(Reach::Server, |rows| rows.batch(moved)).unwrap();
        let tried = scratch.db.write(Reach::Server, |rows| accept(rows, &scratch.keys, "bob", "123456", time(0)));
        assert!(matches!(tried, Err(KeyError::DoesNotOpen)));
    }
}
