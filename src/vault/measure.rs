//! How much may be said of a credential beside its secrets. Lists show all of it, many at a time: what one of them says
//! has an end, so that a list has one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::Change;
use crate::auth::session::is_of_a_clock;
use crate::credential::Metadata;

/// So many tags.
pub const TAGS: usize = 32;
/// The longest of them, in characters.
pub const TAG: usize = 64;
/// The longest note, in characters.
pub const NOTE: usize = 1000;
/// The longest handle of an old one that is to be revoked, in bytes.
pub const HANDLE: usize = 1024;
/// All fields that are no secret and the names of those that are, in bytes. 200 such credentials are one answer of a
/// server, and one that a client still reads.
pub const FIELDS: usize = 64 << 10;
/// All that a provider says it may do, in bytes.
pub const SCOPES: usize = 16 << 10;

/// What is more than a vault keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// Tags.
    #[error("there are at most {TAGS} tags, of at most {TAG} characters each")]
    Tags,
    /// The note.
    #[error("a note has at most {NOTE} characters")]
    Note,
    /// The handle of an old one.
    #[error("what names the old one at its provider has at most {HANDLE} bytes")]
    Handle,
    /// Fields that are no secret.
    #[error("all fields that are no secret have at most {} KiB together", FIELDS >> 10)]
    Fields,
    /// What it may do.
    #[error("what a credential may do has at most {} KiB in all", SCOPES >> 10)]
    Scopes,
    /// A time that no clock shows.
    #[error("a time is of the years 1970 to 9999")]
    Time,
}

impl Excess {
    /// The input that it is about.
    pub fn input(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Note => "note",
            Self::Handle => "retiring",
            Self::Fields => "fields",
            Self::Scopes => "scopes",
            Self::Time => "expires",
        }
    }
}

/// Refuses tags that are too many or too long.
pub fn tags(tags: &BTreeSet<String>) -> Result<(), Excess> {
    let fits = |tag: &String| tag.chars().count() <= TAG;
    if tags.len() <= TAGS && tags.iter().all(fits) { Ok(()) } else { Err(Excess::Tags) }
}

/// Refuses a note that is too long.
pub fn note(text: &str) -> Result<(), Excess> {
    if text.chars().count() <= NOTE { Ok(()) } else { Err(Excess::Note) }
}

/// Refuses the handle of an old one that is too long.
pub fn handle(handle: Option<&str>) -> Result<(), Excess> {
    if handle.is_none_or(|handle| handle.len() <= HANDLE) { Ok(()) } else { Err(Excess::Handle) }
}

/// Refuses fields that are too much in all.
pub fn fields<'n>(
    plain: &BTreeMap<String, String>,
    secret_names: impl IntoIterator<Item = &'n String>,
) -> Result<(), Excess> {
    let plain: usize = plain.iter().map(|(name, value)| name.len() + value.len()).sum();
    let names: usize = secret_names.into_iter().map(String::len).sum();
    if plain + names <= FIELDS { Ok(()) } else { Err(Excess::Fields) }
}

/// Refuses more of what a credential may do than anybody reads.
pub fn scopes(scopes: &[String]) -> Result<(), Excess> {
    // What stands between two of them counts, too: many empty ones are long.
    let length: usize = scopes.iter().map(|scope| scope.len() + 3).sum();
    if length <= SCOPES { Ok(()) } else { Err(Excess::Scopes) }
}

/// Refuses a time with which nobody can reckon.
pub fn time(at: Option<DateTime<Utc>>) -> Result<(), Excess> {
    if at.as_ref().is_none_or(is_of_a_clock) { Ok(()) } else { Err(Excess::Time) }
}

/// Refuses what is too much of a new credential, or of new values for `old`. What is as it was stays.
pub(crate) fn new(
    old: Option<&Metadata>,
    tags: &BTreeSet<String>,
    note: &str,
    expires: Option<DateTime<Utc>>,
) -> Result<(), Excess> {
    if old.is_none_or(|old| old.tags != *tags) {
        self::tags(tags)?;
    }
    if old.is_none_or(|old| old.note != note) {
        self::note(note)?;
    }
    time(expires)
}

/// Refuses what is too much of a change.
pub(crate) fn change(change: &Change) -> Result<(), Excess> {
    tags(&change.tag)?;
    note(change.note.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_fits_and_one_more_does_not() {
        let words = |count: usize, length: usize| (0..count).map(|one| format!("{one:0length$}")).collect();
        assert!(tags(&words(TAGS, TAG)).is_ok());
        for (count, length) in [(TAGS + 1, TAG), (1, TAG + 1)] {
            assert_eq!(tags(&words(count, length)), Err(Excess::Tags));
        }
        assert!(note(&"é".repeat(NOTE)).is_ok());
        assert_eq!(note(&"é".repeat(NOTE + 1)), Err(Excess::Note));
        assert!(handle(Some(&"x".repeat(HANDLE))).is_ok() && handle(None).is_ok());
        assert_eq!(handle(Some(&"x".repeat(HANDLE + 1))), Err(Excess::Handle));
        let plain = |length: usize| BTreeMap::from([("a".to_owned(), "x".repeat(length))]);
        assert!(fields(&plain(FIELDS - 2), &["B".to_owned()]).is_ok());
        for (length, name) in [(FIELDS - 2, "BC"), (FIELDS - 1, "B")] {
            assert_eq!(fields(&plain(length), &[name.to_owned()]), Err(Excess::Fields));
        }
        assert!(scopes(&["x".repeat(SCOPES - 3)]).is_ok());
        for long in [vec!["x".repeat(SCOPES)], vec![String::new(); SCOPES]] {
            assert_eq!(scopes(&long), Err(Excess::Scopes));
        }
        let at = |text: &str| Some(text.parse().unwrap());
        assert!(
            time(None).is_ok() && time(at("1970-01-01T00:00:00Z")).is_ok() && time(at("9999-12-31T23:59:59Z")).is_ok()
        );
        for far in ["1969-12-31T23:59:59Z", "+10000-01-01T00:00:00Z", "-262143-01-01T00:00:00Z"] {
            assert_eq!(time(at(far)), Err(Excess::Time));
        }
    }
}
