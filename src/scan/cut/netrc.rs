//! `.netrc`: entries of words, each from its `machine` to the next.

use std::ops::Range;

use super::{Piece, Unwanted};

/// The entry with an unwanted password.
pub(super) fn piece(text: &str, unwanted: &Unwanted) -> Piece {
    let words = words(text);
    let is_head = |word: &Word<'_>| ["machine", "default", "macdef"].contains(&word.text.as_ref());
    let mut heads: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let is_entry = is_head(word);
        if is_entry {
            heads.push(at);
        }
        // A value may be called as a keyword is.
        at += match word.text.as_ref() {
            "machine" | "login" | "password" | "account" => 2,
            "default" => 1,
            // A macro is lines of commands up to a blank one; what comes behind it cannot be told for certain.
            "macdef" => break,
            _ => return Err("it has words that a .netrc has not"),
        };
    }
    let has_macros = words.get(at).is_some();
    for (index, head) in heads.iter().enumerate() {
        let next = heads.get(index + 1).copied();
        let entry = words.get(*head..next.unwrap_or(at.min(words.len()))).unwrap_or_default();
        let password = entry.iter().skip_while(|word| word.text != "password").nth(1);
        if !password.is_some_and(|word| unwanted.is(&word.text)) {
            continue;
        }
        let (Some(first), Some(last)) = (entry.first(), entry.last()) else { continue };
        if has_macros && next.is_none_or(|next| words.get(next).is_some_and(|word| word.text == "macdef")) {
            return Err("a macro belongs to the entry");
        }
        let follows = next.and_then(|next| words.get(next)).map(|word| word.range.start);
        return Ok(Some(lines(text, first.range.start..last.range.end, follows)));
    }
    Ok(None)
}

/// The entry with the rest of its last line, where nothing else stands there.
fn lines(text: &str, entry: Range<usize>, follows: Option<usize>) -> Range<usize> {
    let before = text.get(..entry.start).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let starts_line = before.get(start..).is_some_and(|indent| indent.trim().is_empty());
    let after = text.get(entry.end..).unwrap_or_default();
    let end = after.find('\n').map_or(text.len(), |length| entry.end + length + 1);
    match follows.filter(|follows| *follows < end) {
        // Two entries on one line.
        Some(follows) => entry.start..follows,
        None if starts_line => start..end,
        None => entry.start..end.max(entry.end) - usize::from(text.get(..end).is_some_and(|to| to.ends_with('\n'))),
    }
}

struct Word<'t> {
    text: std::borrow::Cow<'t, str>,
    range: Range<usize>,
}

/// The words of a text, without comments. A word in double quotes may hold blanks.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let blank = rest.len() - rest.trim_start().len();
        at += blank;
        let rest = rest.get(blank..).unwrap_or_default();
        let Some(first) = rest.chars().next() else { break };
        if first == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let (length, word) = quoted(rest).unwrap_or_else(|| {
            let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (length, std::borrow::Cow::Borrowed(rest.get(..length).unwrap_or_default()))
        });
        words.push(Word { text: word, range: at..at + length });
        at += length;
    }
    words
}

/// A word in double quotes, and how much of the text it takes up.
fn quoted(text: &str) -> Option<(usize, std::borrow::Cow<'_, str>)> {
    let inner = text.strip_prefix('"')?;
    let mut word = String::with_capacity(inner.len());
    let mut is_escaped = false;
    for (at, character) in inner.char_indices() {
        match character {
            '\n' => return None,
            '\\' if !is_escaped => {
                is_escaped = true;
                continue;
            }
            '"' if !is_escaped => return Some((at + 2, word.into())),
            other => word.push(other),
        }
        is_escaped = false;
    }
    None
}
