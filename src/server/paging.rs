//! Lists in pages. Where a page ends is said by a word that only this server makes, for one list of one organization.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::db::OrgScope;
use super::keys::Keys;
use super::problem::{Answer, Problem};

/// So many come on a page unless fewer are asked for, and never more.
const USUAL: i64 = 50;
const MOST: i64 = 200;
const CODE: usize = 32;

/// What is asked of a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// So many at most; 50 unless it is said.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// What stands on one page.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub(crate) struct Part<T> {
    pub(crate) items: Vec<T>,
    /// The cursor of the next page, where there is one.
    pub(crate) next: Option<String>,
}

impl<T> Part<T> {
    /// The same with something else in the place of each.
    pub(crate) fn map<U>(self, one: impl FnMut(T) -> U) -> Part<U> {
        Part { items: self.items.into_iter().map(one).collect(), next: self.next }
    }
}

/// One page of a list that is sorted by one text.
pub(crate) struct Paging<'p> {
    keys: &'p Keys,
    scope: &'p OrgScope,
    /// Which list it is.
    list: String,
    shown: usize,
    /// The text of the last one before.
    pub(crate) after: String,
}

impl Asked {
    /// As many as usual, after a cursor.
    pub(crate) fn after(cursor: Option<String>) -> Self {
        Self { limit: None, cursor }
    }

    /// The page that is asked for.
    pub(crate) fn page<'p>(&self, keys: &'p Keys, scope: &'p OrgScope, list: &str) -> Answer<Paging<'p>> {
        let limit = self.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(Problem::bad(format!("a limit is a number from 1 to {MOST}")));
        }
        let shown = usize::try_from(limit).unwrap_or_default();
        let mut paging = Paging { keys, scope, list: list.to_owned(), shown, after: String::new() };
        if let Some(cursor) = &self.cursor {
            paging.after = paging.read(cursor)?;
        }
        Ok(paging)
    }
}

impl Paging<'_> {
    /// So many rows are read: one more than are shown tells whether there is a next page.
    pub(crate) fn limit(&self) -> i64 {
        i64::try_from(self.shown).unwrap_or(MOST) + 1
    }

    /// The page, of what was read. `by` is the text that it is sorted by.
    pub(crate) fn cut<T>(&self, mut read: Vec<T>, by: impl Fn(&T) -> &str) -> Answer<Part<T>> {
        let is_last = read.len() <= self.shown;
        read.truncate(self.shown);
        let next = match read.last() {
            Some(last) if !is_last => Some(self.write(by(last))?),
            _ => None,
        };
        Ok(Part { items: read, next })
    }

    fn code(&self, place: &str) -> Answer<[u8; CODE]> {
        let key = self.keys.derived("cursor").ok_or_else(|| Problem::internal("no key for cursors"))?;
        Ok(key.code(&[self.list.as_bytes(), self.scope.id().as_bytes(), place.as_bytes()]))
    }

    fn write(&self, last: &str) -> Answer<String> {
        let mut bytes = self.code(last)?.to_vec();
        bytes.extend_from_slice(last.as_bytes());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn read(&self, cursor: &str) -> Answer<String> {
        let bad = || Problem::bad("the cursor is none of this list");
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
        let (found, place) = bytes.split_at_checked(CODE).ok_or_else(bad)?;
        let place = std::str::from_utf8(place).map_err(|_| bad())?;
        if !bool::from(self.code(place)?.as_slice().ct_eq(found)) {
            return Err(bad());
        }
        Ok(place.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::db::tests::Scratch;

    #[test]
    fn a_cursor_is_of_one_list_of_one_organization() {
        let scratch = Scratch::new();
        let other = OrgScope::of("org_other");
        let asked = |cursor: Option<String>| Asked { limit: Some(1), cursor };
        let first = asked(None).page(&scratch.keys, &scratch.org, "projects").unwrap();
        let page = first.cut(vec!["a", "b"], |one| one).unwrap();
        assert_eq!(page.items, ["a"]);
        let cursor = page.next.unwrap();
        let again = |scope, list, cursor: &str| {
            asked(Some(cursor.to_owned())).page(&scratch.keys, scope, list).map(|paging| paging.after)
        };
        assert_eq!(again(&scratch.org, "projects", &cursor).unwrap(), "a");
        assert!(again(&other, "projects", &cursor).is_err() && again(&scratch.org, "members", &cursor).is_err());
        let flipped = format!("{}A", &cursor[..cursor.len() - 1]);
        assert!(again(&scratch.org, "projects", &flipped).is_err() && again(&scratch.org, "projects", "").is_err());
        assert!(Asked { limit: Some(201), cursor: None }.page(&scratch.keys, &scratch.org, "projects").is_err());
    }
}
