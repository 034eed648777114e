//! How names compare where one of them can be there once: without blanks around them, whatever their case, and whichever of
//! the ways it is that Unicode has to write the same (NFKC). Letters of another script that look the same are others.

use unicode_normalization::UnicodeNormalization;

/// The form of a name that is compared.
pub(crate) fn folded(name: &str) -> String {
    let one_way: String = name.trim().nfkc().collect();
    // By way of capitals, so that ß is ss, and the two small sigmas are one.
    one_way.to_uppercase().to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_however_it_is_written() {
        for same in ["Admin", "ADMIN", "admin ", "\u{ff21}dmin", "\tadmin\n"] {
            assert_eq!(folded(same), "admin", "{same}");
        }
        for (one, other) in [
            ("Stra\u{df}e", "STRASSE"),
            ("S\u{f6}hne", "so\u{308}HNE"),
            ("\u{3c3}\u{3c2}", "\u{3a3}\u{3a3}"),
            ("\u{212a}ey", "key"),
            ("\u{fb01}le", "FILE"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        assert_ne!(folded("\u{430}dmin"), folded("admin"), "a Cyrillic letter is another one");
    }
}
