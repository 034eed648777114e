//! A master key that is made of a passphrase by Argon2id, and is kept nowhere.
//!
//! The salt and the parameters stand before the proof, in the same setting: whoever reads the proof that counts reads
//! what its key is made by as well.

use argon2::Params;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{PROOF, setting};
use crate::secret::Secret;
use crate::server::db::{DbError, Rows};
use crate::server::passphrase::{self, MEMORY, PASSES};
use crate::vault::seal::Key;

/// How one begins.
const MARK: &str = "$argon2id$v=19$";
const LANES: u32 = 1;
const SALT: usize = 16;
/// No more than this is believed of what stands in a database: 4 GiB, and so many passes.
const MOST: (u32, u32) = (4 << 20, 64);
/// A passphrase has so many characters at least, where it is chosen.
const SHORTEST: usize = 15;

/// What a key is made of a passphrase by.
pub(super) struct Recipe {
    memory: u32,
    passes: u32,
    salt: Vec<u8>,
}

impl Recipe {
    /// A new one.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut salt = vec![0; SALT];
        getrandom::fill(&mut salt)?;
        Ok(Self { memory: MEMORY, passes: PASSES, salt })
    }

    /// As it stands before a proof.
    pub(super) fn word(&self) -> String {
        let Self { memory, passes, salt } = self;
        format!("{MARK}m={memory},t={passes},p={LANES}${}", STANDARD_NO_PAD.encode(salt))
    }

    /// Reads such a word. `None` where it is none, and where it asks for less than new ones do.
    pub(super) fn read(word: &str) -> Option<Self> {
        let (numbers, salt) = word.strip_prefix(MARK)?.split_once('$')?;
        let numbers = numbers.strip_suffix(&format!(",p={LANES}"))?;
        let (memory, passes) = numbers.strip_prefix("m=")?.split_once(",t=")?;
        let (memory, passes) = (memory.parse().ok()?, passes.parse().ok()?);
        let salt = STANDARD_NO_PAD.decode(salt).ok()?;
        let fits = (MEMORY..=MOST.0).contains(&memory) && (PASSES..=MOST.1).contains(&passes) && salt.len() >= SALT;
        fits.then_some(Self { memory, passes, salt })
    }

    /// The key that it makes of a passphrase.
    pub(super) fn key(&self, passphrase: &Secret) -> Option<Key> {
        let parameters = Params::new(self.memory, self.passes, LANES, None).ok()?;
        Key::of(&passphrase::stretch(passphrase, &self.salt, parameters)?)
    }
}

/// The word of the recipe before a proof, where there is one, and the proof alone.
pub(super) fn split(proof: &str) -> (Option<&str>, &str) {
    proof.rsplit_once('$').map_or((None, proof), |(word, proof)| (Some(word), proof))
}

/// The word of the recipe that the master key in force is made by, where it is made of a passphrase.
pub(crate) fn in_force(rows: &mut dyn Rows) -> Result<Option<String>, DbError> {
    Ok(setting(rows, PROOF)?.and_then(|proof| split(&proof).0.map(str::to_owned)))
}

/// Whether a passphrase is good enough where it is chosen; why not, in a sentence.
pub(super) fn check(passphrase: &Secret) -> Result<(), &'static str> {
    if passphrase.expose().chars().count() < SHORTEST {
        return Err("it has 15 characters at least");
    }
    passphrase::check(passphrase, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_back_and_makes_the_same_key() {
        let recipe = Recipe::new().unwrap();
        let word = recipe.word();
        assert!(word.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{word}");
        let again = Recipe::read(&word).unwrap();
        let of = |recipe: &Recipe, text: &str| recipe.key(&Secret::new(text.into())).unwrap().code(&[b"a"]);
        let made = of(&recipe, "correct horse battery staple");
        assert_eq!(of(&again, "correct horse battery staple"), made);
        assert_ne!(of(&again, "correct horse battery stapl"), made);
        assert_ne!(of(&Recipe::new().unwrap(), "correct horse battery staple"), made, "another salt");
        assert_eq!(split(&format!("{word}$cHJvb2Y=")), (Some(word.as_str()), "cHJvb2Y="));
        assert_eq!(split("cHJvb2Y="), (None, "cHJvb2Y="));
    }

    #[test]
    fn what_asks_for_less_or_for_too_much_is_none() {
        let salt = STANDARD_NO_PAD.encode([7; SALT]);
        let is_one = |word: &str| Recipe::read(word).is_some();
        assert!(is_one(&format!("{MARK}m=65536,t=3,p=1${salt}")) && is_one(&format!("{MARK}m=131072,t=4,p=1${salt}")));
        for bad in
            ["m=8,t=3,p=1", "m=65536,t=1,p=1", "m=4294967295,t=3,p=1", "m=65536,t=99999,p=1", "m=65536,t=3,p=2", ""]
        {
            assert!(!is_one(&format!("{MARK}{bad}${salt}")), "{bad}");
        }
        assert!(!is_one(&format!("{MARK}m=65536,t=3,p=1$c2FsdA")), "a short salt");
        assert!(!is_one("$argon2i$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA"));
    }

    #[test]
    fn short_and_dull_ones_are_not_chosen() {
        let is_good = |text: &str| check(&Secret::new(text.into())).is_ok();
        assert!(is_good("fifteen letters") && is_good("ünfzehn ü Buchst"));
        assert!(!is_good("fourteen chars") && !is_good(&"x".repeat(30)) && !is_good(""));
    }
}
