//! Identifiers that sort by age: 48 bits of milliseconds and 80 random bits, in the letters of Crockford's base 32.

use chrono::{DateTime, Utc};

const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new identifier behind `prefix`, such as `cred_01k…`.
pub(crate) fn new(prefix: &str, now: DateTime<Utc>) -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    let milliseconds = now.timestamp_millis().unsigned_abs();
    bytes[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
    let number = u128::from_be_bytes(bytes);
    let letter = |place: u32| {
        let five = usize::try_from((number >> (5 * place)) & 31).unwrap_or_default();
        char::from(LETTERS[five])
    };
    Ok(format!("{prefix}_{}", (0..26).rev().map(letter).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_sort_by_age_and_differ() {
        let at = |milliseconds| new("cred", DateTime::from_timestamp_millis(milliseconds).unwrap()).unwrap();
        assert!(at(1_000) < at(2_000) && at(2_000) < at(1_700_000_000_000));
        assert_ne!(at(5), at(5));
        assert_eq!(at(0).len(), "cred_".len() + 26);
    }
}
