//! Versions of charts: SemVer 2, read as helm reads them, with a `v` before it or fewer than three numbers, too.

use std::cmp::Ordering;

/// The longest version, in bytes.
const LONGEST: usize = 128;

/// A version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// As its registry writes it.
    pub(super) text: String,
    numbers: [u64; 3],
    /// What a preview has behind its numbers.
    preview: Vec<Part>,
}

/// Numbers come before words (SemVer section 11).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Version {
    /// Reads one; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if text.len() > LONGEST {
            return None;
        }
        let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
        if build.is_some_and(|build| !build.split('.').all(is_word)) {
            return None;
        }
        let rest = rest.strip_prefix('v').unwrap_or(rest);
        let (core, preview) = rest.split_once('-').map_or((rest, None), |(core, preview)| (core, Some(preview)));
        let mut numbers = [0; 3];
        let mut places = numbers.iter_mut();
        for word in core.split('.') {
            *places.next()? = number(word)?;
        }
        let part = |word: &str| is_word(word).then(|| number(word).map_or_else(|| Part::Word(word.into()), Part::Number));
        let preview = preview.map_or(Some(Vec::new()), |preview| preview.split('.').map(part).collect())?;
        Some(Self { text: text.to_owned(), numbers, preview })
    }

    /// Whether it is no preview.
    pub(super) fn is_release(&self) -> bool {
        self.preview.is_empty()
    }
}

/// Digits alone: neither a sign nor a blank, which the standard library would take.
fn number(word: &str) -> Option<u64> {
    if word.bytes().all(|byte| byte.is_ascii_digit()) { word.parse().ok() } else { None }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let own = (self.numbers, self.is_release(), &self.preview);
        // Those that differ in nothing that counts stand in the order of their texts, so that all orders are one.
        own.cmp(&(other.numbers, other.is_release(), &other.preview)).then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_stand_in_the_order_of_semver() {
        let order = [
            "0.9.9",
            "1.0.0-1",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "v1.0.1",
            "1.2",
            "1.10.0+build.5",
            "2",
        ];
        let read: Vec<Version> = order.iter().map(|text| Version::parse(text).unwrap()).collect();
        assert!(read.windows(2).all(|pair| pair[0] < pair[1]), "{read:?}");
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in ["", "v", "latest", "1.2.3.4", "1..2", "1.2.x", "-1", "+1", "1.0.0-", "1.0.0-a..b", "1.0.0+", "1 2"] {
            assert!(Version::parse(text).is_none(), "{text}");
        }
        assert!(Version::parse(&format!("1.0.0-{}", "a".repeat(200))).is_none());
        assert!(Version::parse("99999999999999999999.0.0").is_none());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in any::<String>()) {
            let _ = Version::parse(&text);
        }
    }
}
