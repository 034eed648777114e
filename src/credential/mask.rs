//! What may be seen of a value that should not be seen.

/// A secret this long shows its last four characters, so that its owner can tell two apart.
const LONG: usize = 20;

/// An identifier as lists show it: `AKIA****XXXX`. A short one shows less.
pub fn mask_identifier(value: &str) -> String {
    let characters: Vec<char> = value.chars().collect();
    let shown = match characters.len() {
        0..8 => 0,
        8..12 => 2,
        _ => 4,
    };
    let text = |part: &[char]| part.iter().collect::<String>();
    format!("{}****{}", text(&characters[..shown]), text(&characters[characters.len() - shown..]))
}

/// A secret as details show it: `****xxxx`, or `****` where it is short. Never its beginning.
///
/// The last four are shown of one line of letters and digits alone: the end of a key block says nothing.
pub fn mask_secret(value: &str) -> String {
    let characters: Vec<char> = value.chars().collect();
    let tail = &characters[characters.len().saturating_sub(4)..];
    if characters.len() < LONG || !tail.iter().all(char::is_ascii_alphanumeric) || value.contains('\n') {
        return "****".into();
    }
    format!("****{}", tail.iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_shows_both_ends_and_a_secret_its_last_four() {
        assert_eq!(mask_identifier("AKIAIOSFODNN7EXAMPLE"), "AKIA****MPLE");
        assert_eq!(mask_identifier("short"), "****");
        assert_eq!(mask_identifier("tenletters"), "te****rs");
        assert_eq!(mask_secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), "****EKEY");
        assert_eq!(mask_secret("nineteen-characters"), "****");
        assert_eq!("twenty-characterswxy".len(), 20);
        assert_eq!(mask_secret("twenty-characterswxy"), "****swxy");
        assert_eq!(mask_secret("-----BEGIN KEY-----\nabc\n-----END KEY-----"), "****");
        assert_eq!(mask_secret(""), "****");
    }
}
