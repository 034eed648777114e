//! Patterns for what a job's token says: the whole text or nothing, and a `*` stands for any letters but `/`.

/// The longest pattern.
const LONGEST: usize = 512;
/// The longest text that can fit one: trying takes as long as both together are long, once for each.
const LONGEST_TEXT: usize = 4096;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(String);

impl Pattern {
    /// Reads a pattern; why it is none, in a sentence.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > LONGEST {
            return Err("a pattern has from 1 to 512 bytes");
        }
        if text.chars().any(crate::text::is_unprintable) {
            return Err("a pattern is of letters that can be seen");
        }
        Ok(Self(text.to_owned()))
    }

    /// Reads the pattern for a subject. What comes first in a subject is whose job it is, and has no wildcard: at an
    /// issuer that works for everybody, such a rule would let everybody in. It stands before the first slash; where there
    /// is none, in the first two parts between colons, as in `organization:acme:project:web`.
    pub(crate) fn of_subject(text: &str) -> Result<Self, &'static str> {
        let pattern = Self::read(text)?;
        let is_open = match text.split_once('/') {
            Some((owner, _)) => owner.contains('*'),
            None => text.split(':').take(2).any(|part| part.contains('*')),
        };
        if is_open {
            Err("a subject begins with whose job it is, and a wildcard cannot stand for that")
        } else {
            Ok(pattern)
        }
    }

    /// The pattern as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Whether the whole of a text fits. One that is too long fits nothing.
    pub(crate) fn fits(&self, text: &str) -> bool {
        if text.len() > LONGEST_TEXT {
            return false;
        }
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where the last wildcard stands, and how far it reaches. An earlier one never has to be tried again.
        let mut wildcard: Option<(usize, usize)> = None;
        while seen < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    wildcard = Some((at, seen));
                    at += 1;
                }
                Some(letter) if *letter == text[seen] => {
                    at += 1;
                    seen += 1;
                }
                _ => {
                    let Some((star, reach)) = wildcard.filter(|(_, reach)| text[*reach] != b'/') else { return false };
                    wildcard = Some((star, reach + 1));
                    (at, seen) = (star + 1, reach + 1);
                }
            }
        }
        pattern[at..].iter().all(|letter| *letter == b'*')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Pattern::read(pattern).unwrap().fits(text)
    }

    #[test]
    fn a_pattern_is_the_whole_and_a_wildcard_stays_between_slashes() {
        for (pattern, text) in [
            ("repo:acme/web:ref:refs/heads/main", "repo:acme/web:ref:refs/heads/main"),
            ("repo:acme/web:ref:refs/heads/*", "repo:acme/web:ref:refs/heads/release-1"),
            ("repo:acme/*:ref:refs/tags/v*", "repo:acme/web-shop:ref:refs/tags/v1.2"),
            ("system:serviceaccount:ci:*", "system:serviceaccount:ci:builder"),
            ("a*b*c", "abbbcbc"),
            ("a**c", "ac"),
            ("*", ""),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("repo:acme/web:ref:refs/heads/main", "repo:acme/web:ref:refs/heads/main2"),
            ("repo:acme/web:ref:refs/heads/main", "xrepo:acme/web:ref:refs/heads/main"),
            ("repo:acme/web:ref:refs/heads/*", "repo:acme/web:ref:refs/heads/feature/x"),
            ("repo:acme/*", "repo:acme/web:ref:refs/heads/main"),
            ("repo:acme/*:ref:refs/heads/main", "repo:acme/web/x:ref:refs/heads/main"),
            ("repo:acme/web", "repo:acme/web\n"),
            ("repo:acme/web", "repo:ACME/web"),
            ("a.c", "abc"),
            ("a*c", "a/c"),
            ("a", ""),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_subject_says_whose_job_it_is() {
        for good in [
            "repo:acme/*:ref:refs/heads/main",
            "project_path:acme/web:*",
            "system:serviceaccount:ci:*",
            "organization:acme:project:*:workspace:prod:run_phase:apply",
            "organization:acme:pipeline:*",
            "alice",
        ] {
            assert!(Pattern::of_subject(good).is_ok(), "{good}");
        }
        for bad in [
            "*",
            "repo:*/web:ref:refs/heads/main",
            "repo:acme*/web",
            "*:acme",
            "organization:*:project:*:workspace:prod:run_phase:apply",
            "organization:*:pipeline:web",
            "organization:acme*",
            "alice*",
            "",
            "a\u{202e}b",
            "a\nb",
        ] {
            assert!(Pattern::of_subject(bad).is_err(), "{bad}");
        }
        assert!(Pattern::read(&"a".repeat(513)).is_err());
    }

    proptest! {
        /// The same as a regular expression that stands for it.
        #[test]
        fn a_pattern_is_what_its_regular_expression_is(pattern in "[ab/*]{1,8}", text in "[ab/]{0,10}") {
            let expression = format!("\\A{}\\z", pattern.replace('*', "[^/]*"));
            let expected = regex::Regex::new(&expression).unwrap().is_match(&text);
            prop_assert_eq!(fits(&pattern, &text), expected);
        }

        #[test]
        fn what_is_too_long_fits_nothing(count in 4090_usize..4100) {
            prop_assert_eq!(fits("a*", &"a".repeat(count)), count <= LONGEST_TEXT);
        }

        #[test]
        fn many_wildcards_take_no_longer(count in 1_usize..200) {
            prop_assert!(!fits(&"a*".repeat(count), &"b".repeat(2000)));
        }
    }
}
