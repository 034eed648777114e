//! Random identifiers and texts.

use zeroize::Zeroizing;

/// Digits, capitals, small letters: what a double click selects as one word.
pub(crate) const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Capitals that cannot be mistaken for one another or make a word, for codes that a person types (RFC 8628 section 6.1).
const TYPED: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// So many random letters of an alphabet, each as likely as any other.
fn letters(alphabet: &[u8], count: usize) -> Result<Zeroizing<String>, getrandom::Error> {
    // The largest multiple of the alphabet's size below 256: what lies beyond would favour some letters.
    let fair = 256 - 256 % alphabet.len();
    let mut text = Zeroizing::new(String::with_capacity(count));
    let mut bytes = Zeroizing::new([0u8; 64]);
    while text.len() < count {
        getrandom::fill(bytes.as_mut())?;
        for byte in bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair) {
            if text.len() < count
                && let Some(letter) = alphabet.get(byte % alphabet.len())
            {
                text.push(char::from(*letter));
            }
        }
    }
    Ok(text)
}

/// So many letters of base 62; 43 of them are 256 bits.
pub(crate) fn base62(count: usize) -> Result<Zeroizing<String>, getrandom::Error> {
    letters(BASE62, count)
}

/// A code for a person to type: `BCDF-GHJK`.
pub(crate) fn typed() -> Result<String, getrandom::Error> {
    let letters = letters(TYPED, 8)?;
    let (first, second) = letters.split_at(4);
    Ok(format!("{first}-{second}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_comes_and_none_is_favoured() {
        let text = base62(62_000).unwrap();
        for letter in BASE62 {
            let count = text.bytes().filter(|byte| byte == letter).count();
            assert!((800..1200).contains(&count), "{} {count}", char::from(*letter));
        }
        assert!(typed().unwrap().len() == 9);
    }
}
