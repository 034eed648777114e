//! Passphrases, of members above all: Argon2id, with the parameters beside each hash.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// What new hashes are made with: 64 MiB, three passes, one lane.
pub(super) const MEMORY: u32 = 64 << 10;
pub(super) const PASSES: u32 = 3;
const LENGTH: usize = 32;
/// The longest passphrase, in bytes, and the shortest.
const LONGEST: usize = 1024;
const SHORTEST: usize = 12;
/// What is kept for somebody who has none.
pub(crate) const NONE: &str = "";
/// What is hashed for a login that nobody has, so that the answer takes as long.
const NOBODY: &str = "$argon2id$v=19$m=65536,t=3,p=1$bGFueWFyZCBub2JvZHkuLg$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Whether a passphrase can be one, of a person or a thing that is called so; why not, in a sentence.
///
/// What was found in breaches is tried first, and so is what belongs to somebody's name: what is let through takes a
/// hundred million guesses at least, as `zxcvbn` estimates them.
pub(crate) fn check(passphrase: &Secret, names: &[&str]) -> Result<(), &'static str> {
    let text = passphrase.expose();
    if text.chars().count() < SHORTEST {
        return Err("a passphrase has 12 characters at least");
    }
    if text.len() > LONGEST {
        return Err("a passphrase has 1024 bytes at most");
    }
    let parts = names.iter().flat_map(|name| name.split(|letter: char| !letter.is_alphanumeric()));
    let before = names.iter().filter_map(|name| name.split('@').next());
    let names: Vec<&str> = names.iter().copied().chain(before).chain(parts).chain(["lanyard"]).collect();
    if zxcvbn::zxcvbn(text, &names).score() < zxcvbn::Score::Three {
        return Err(
            "this passphrase is among those that are tried first; a few words that have nothing to do with each \
                    other are good",
        );
    }
    Ok(())
}

/// The hash of a passphrase, as the database keeps it.
pub(crate) fn hash(passphrase: &Secret) -> Option<String> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).ok()?;
    let parameters = Params::new(MEMORY, PASSES, 1, Some(LENGTH)).ok()?;
    let made = stretch(passphrase, &salt, parameters)?;
    let (salt, made) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(&*made));
    Some(format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1${salt}${made}"))
}

/// Whether this is the passphrase. Without a hash to compare with, it takes as long and is not: neither for a login that
/// nobody has, nor for somebody who has no passphrase.
pub(crate) fn is_right(passphrase: &Secret, kept: Option<&str>) -> bool {
    let kept = kept.filter(|kept| *kept != NONE);
    let compared = compare(passphrase, kept.unwrap_or(NOBODY)).unwrap_or(false);
    compared && kept.is_some()
}

/// Whether a hash was made with less than what new ones are made with.
pub(crate) fn is_outdated(kept: &str) -> bool {
    !kept.starts_with(&format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1$"))
}

fn compare(passphrase: &Secret, kept: &str) -> Option<bool> {
    if passphrase.expose().len() > LONGEST {
        return None;
    }
    let mut parts = kept.strip_prefix("$argon2id$v=19$")?.split('$');
    let (numbers, salt, made) = (parts.next()?, parts.next()?, parts.next()?);
    let mut values =
        numbers.split(',').zip(["m=", "t=", "p="]).map(|(part, name)| part.strip_prefix(name)?.parse().ok());
    let (memory, passes, lanes) = (values.next()??, values.next()??, values.next()??);
    let salt = STANDARD_NO_PAD.decode(salt).ok()?;
    let expected = STANDARD_NO_PAD.decode(made).ok()?;
    let parameters = Params::new(memory, passes, lanes, Some(expected.len())).ok()?;
    let found = stretch(passphrase, &salt, parameters)?;
    Some(found.as_slice().ct_eq(&expected).into())
}

/// The bytes that Argon2id makes of a passphrase.
pub(super) fn stretch(passphrase: &Secret, salt: &[u8], parameters: Params) -> Option<Zeroizing<Vec<u8>>> {
    #[cfg(test)]
    tests::STRETCHED.with(|count| count.set(count.get() + 1));
    let mut made = Zeroizing::new(vec![0; parameters.output_len().unwrap_or(LENGTH)]);
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
    argon.hash_password_into(passphrase.expose().as_bytes(), salt, &mut made).ok()?;
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        /// How often a passphrase was stretched.
        pub(super) static STRETCHED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[test]
    fn whoever_is_not_there_costs_as_much() {
        let secret = |text: &str| Secret::new(text.into());
        let kept = hash(&secret("correct horse battery")).unwrap();
        let parameters = |kept: &str| kept.split('$').nth(3).unwrap().to_owned();
        for (who, kept) in [("nobody", None), ("without one", Some(NONE)), ("another", Some(kept.as_str()))] {
            let before = STRETCHED.get();
            assert!(!is_right(&secret("wrong wrong wrong"), kept), "{who}");
            assert_eq!(STRETCHED.get() - before, 1, "{who}");
        }
        assert_eq!(parameters(NOBODY), parameters(&kept), "and is stretched as long");
        assert!(!is_right(&secret(""), Some(NONE)));
    }

    #[test]
    fn the_right_passphrase_is_told_from_others() {
        let secret = |text: &str| Secret::new(text.into());
        let kept = hash(&secret("correct horse battery")).unwrap();
        assert!(is_right(&secret("correct horse battery"), Some(&kept)));
        for wrong in ["correct horse batterY", "", "correct horse battery "] {
            assert!(!is_right(&secret(wrong), Some(&kept)), "{wrong}");
        }
        assert!(!is_outdated(&kept) && is_outdated("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$x"));
        assert!(!is_right(&secret("correct horse battery"), None));
        assert!(!is_right(&secret("correct horse battery"), Some("$argon2id$v=19$m=1")));
        assert_eq!(compare(&secret("x"), NOBODY), Some(false), "as long as any other");
        assert!(hash(&secret("correct horse battery")).unwrap() != kept);
    }

    #[test]
    fn short_long_and_dull_ones_are_refused() {
        let told =
            |text: &str| check(&Secret::new(text.into()), &["alice.miller@example.com", "Acme Corporation"]).is_ok();
        for good in ["a long enough one", "correct horse battery", "vG7#kq-pL2xT", &"a long enough one ".repeat(56)] {
            assert!(told(good), "{good}");
        }
        for bad in [
            "short",
            &"x".repeat(1025),
            &"x".repeat(20),
            "",
            "password1234",
            "Password123!",
            "qwertyuiop[]",
            "123456789012",
            "abcabcabcabc",
            "iloveyou1234",
            "alice.miller@example.com",
            "alice.miller",
            "Acme Corporation",
            "lanyardlanyard",
        ] {
            assert!(!told(bad), "{bad}");
        }
    }
}
