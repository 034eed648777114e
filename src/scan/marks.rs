//! The marks of all providers as one machine: a pass over a text for the keywords, then the patterns of those that
//! occur.

use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::credential::Kind;
use crate::provider::{Mark, Provider};

/// All marks, ready to be looked for. Patterns are built when their keyword is first met.
pub(super) struct Marks {
    keywords: Option<Regex>,
    marks: Vec<Ready>,
}

/// One mark.
pub(super) struct Ready {
    /// What it is the mark of.
    pub(super) kind: &'static Kind,
    /// The mark.
    pub(super) mark: &'static Mark,
    pattern: OnceLock<Option<Regex>>,
}

/// Where a mark was met.
pub(super) struct Hit<'m> {
    /// The mark.
    pub(super) ready: &'m Ready,
    /// Where the value stands.
    pub(super) value: Range<usize>,
    /// Where all that the pattern matches stands.
    pub(super) whole: Range<usize>,
}

impl Marks {
    /// The marks of these providers.
    pub(super) fn of(providers: &[&'static dyn Provider]) -> Self {
        let ready = |provider: &&'static dyn Provider| -> Vec<Ready> {
            let kind = |mark: &Mark| provider.kinds().iter().find(|kind| kind.id == mark.kind);
            let ready = |mark| Some(Ready { kind: kind(mark)?, mark, pattern: OnceLock::new() });
            provider.marks().iter().filter_map(ready).collect()
        };
        let marks: Vec<Ready> = providers.iter().flat_map(ready).collect();
        let mut words: Vec<&str> =
            marks.iter().map(|ready| ready.mark.keyword).filter(|word| !word.is_empty()).collect();
        // The shortest first: what is met first is then a beginning of all that begin there.
        words.sort_unstable_by_key(|word| (word.len(), *word));
        words.dedup();
        let alternatives: Vec<String> = words.iter().map(|word| regex::escape(word)).collect();
        let keywords = if words.is_empty() { None } else { build(&alternatives.join("|")) };
        Self { keywords, marks }
    }

    /// Whether any mark is met in the text, and where. In the order of the text.
    pub(super) fn hits(&self, text: &[u8]) -> Vec<Hit<'_>> {
        let Some(keywords) = &self.keywords else { return Vec::new() };
        let mut met: Vec<Option<usize>> = Vec::new();
        let mut from = 0;
        // Keywords may overlap, so that the search goes on one byte behind where it was successful.
        while let Some(found) = keywords.find_at(text, from) {
            if met.is_empty() {
                met = vec![None; self.marks.len()];
            }
            let here = text.get(found.start()..).unwrap_or_default();
            for (ready, first) in self.marks.iter().zip(&mut met) {
                if first.is_none() && here.starts_with(ready.mark.keyword.as_bytes()) {
                    *first = Some(found.start());
                }
            }
            from = found.start() + 1;
        }
        let mut hits = Vec::new();
        for (ready, _) in self.marks.iter().zip(&met).filter(|(_, first)| first.is_some()) {
            let Some(pattern) = ready.pattern.get_or_init(|| build(ready.mark.pattern)) else { continue };
            for captures in pattern.captures_iter(text) {
                let Some(whole) = captures.get(0) else { continue };
                let value = captures.get(1).unwrap_or(whole);
                hits.push(Hit { ready, value: value.range(), whole: whole.range() });
            }
        }
        hits.sort_by_key(|hit| (hit.value.start, hit.value.end));
        hits
    }
}

/// Patterns are of bytes: what is looked for is ASCII, and what is around it may be anything.
fn build(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).unicode(false).build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::PROVIDERS;
    use crate::scan::tests::{KEYS, Keys};

    #[test]
    fn every_mark_of_every_provider_can_be_looked_for() {
        for provider in PROVIDERS {
            for mark in provider.marks() {
                let named = || format!("the mark {} of {}", mark.keyword, provider.name());
                assert!(build(mark.pattern).is_some(), "{} is no pattern", named());
                assert!(!mark.keyword.is_empty(), "{} has no keyword", named());
                let kind = provider.kinds().iter().find(|kind| kind.id == mark.kind);
                let kind = kind.unwrap_or_else(|| panic!("{} is of no kind", named()));
                assert!(kind.field(mark.field).is_some(), "{} gives no field", named());
            }
        }
    }

    fn met(text: &[u8]) -> Vec<(&'static str, String)> {
        let marks = Marks::of(&[&KEYS as &'static dyn Provider]);
        let found = marks.hits(text);
        found
            .iter()
            .map(|hit| (hit.ready.mark.field, String::from_utf8_lossy(&text[hit.value.clone()]).into()))
            .collect()
    }

    #[test]
    fn marks_are_met_where_their_keywords_overlap_and_between_bytes_of_any_sort() {
        let _ = Keys;
        let text = b"\xff\xfe tk-live-0123456789abcdef\xe9 TID0123456789ABCDEFG, tk-0123456789abcdef tk-live-";
        assert_eq!(
            met(text),
            [
                ("token", "tk-live-0123456789abcdef".to_owned()),
                ("key_id", "TID0123456789ABCDEFG".to_owned()),
                ("token", "tk-0123456789abcdef".to_owned()),
            ]
        );
        assert!(met(b"nothing here").is_empty());
        assert!(met(b"").is_empty());
    }
}
