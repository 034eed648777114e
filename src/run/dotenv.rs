//! Templates of environments: lines `NAME=VALUE` whose values may hold references.
//!
//! - Empty lines and lines that begin with `#` say nothing. `export` may stand before a name.
//! - A name has letters, digits and `_`, no digit in front, and stands once. Blanks around `=` do not count.
//! - Without quotes, a value ends with its line, or before a `#` that follows a blank; blanks at its ends go.
//! - In single quotes it is as it stands; in double quotes `\n \r \t \" \\ \$` are what they usually are. Either may
//!   span lines, and nothing but a comment may follow.
//! - `$` is a character like others: nothing is expanded but references, in all three forms, after the quotes.

use std::collections::BTreeSet;

use crate::run::reference::{Malformed, Piece, parse};

/// One variable of a template.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The variable's name.
    pub name: String,
    /// Its value.
    pub value: Vec<Piece<'static>>,
    /// Where it stands, from 1.
    pub number: usize,
}

/// Why a text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Reads a template.
pub fn read(text: &str) -> Result<Vec<Line>, Bad> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut number = 1;
    let mut lines = Vec::new();
    let mut names = BTreeSet::new();
    while !rest.is_empty() {
        let start = rest.trim_start_matches([' ', '\t']);
        if start.is_empty() || start.starts_with(['#', '\n', '\r']) {
            rest = after_line(start);
            number += 1;
            continue;
        }
        let bad = |problem| Bad { line: number, problem };
        let (name, value) = name(start).ok_or(bad("it is no NAME=VALUE"))?;
        let (value, after) = value_of(value).map_err(bad)?;
        if !names.insert(name.to_owned()) {
            return Err(bad("the variable stands there a second time"));
        }
        if value.contains('\0') {
            return Err(bad("it holds a zero byte"));
        }
        let pieces = parse(&value, number).map_err(|Malformed { .. }| bad(NO_REFERENCE))?;
        lines.push(Line { name: name.to_owned(), value: owned(pieces, number), number });
        let taken = start.len() - after.len();
        number += start.bytes().take(taken).filter(|byte| *byte == b'\n').count() + 1;
        rest = after_line(after);
    }
    Ok(lines)
}

/// What is wrong with what begins like a reference.
pub const NO_REFERENCE: &str =
    "what begins with lanyard:// is no reference; write lanyard://NAME/FIELD, or \\ before it";

/// The pieces as they are kept; a reference stands where its variable does.
fn owned(pieces: Vec<Piece<'_>>, number: usize) -> Vec<Piece<'static>> {
    let own = |piece: Piece<'_>| match piece {
        Piece::Text(text) => Piece::Text(text.into_owned().into()),
        Piece::Reference { reference, .. } => Piece::Reference { reference, line: number },
    };
    pieces.into_iter().map(own).collect()
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// The name at the beginning of a line, and what follows `=`.
fn name(line: &str) -> Option<(&str, &str)> {
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
    let line = exported.unwrap_or(line).trim_start_matches([' ', '\t']);
    let length = line.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let (name, rest) = line.split_at_checked(length)?;
    let rest = rest.trim_start_matches([' ', '\t']).strip_prefix('=')?;
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts.then_some((name, rest.trim_start_matches([' ', '\t'])))
}

/// A value, and what follows it, up to the end of the text.
fn value_of(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '\'' | '"')) else {
        return Ok(bare(text));
    };
    let inner = text.get(1..).unwrap_or_default();
    let (value, rest) = if quote == '\'' {
        let (value, rest) = inner.split_once('\'').ok_or(OPEN)?;
        (value.to_owned(), rest)
    } else {
        double_quoted(inner).ok_or(OPEN)?
    };
    let line = rest.lines().next().unwrap_or_default();
    let after = line.trim_start_matches([' ', '\t']);
    if after.is_empty() || (after.starts_with('#') && after.len() < line.len()) {
        Ok((value, rest))
    } else {
        Err("something stands behind the closing quote")
    }
}

const OPEN: &str = "its quote is not closed";

/// A value without quotes.
fn bare(text: &str) -> (String, &str) {
    let line = text.split('\n').next().unwrap_or_default();
    let comment = line.find([' ', '\t']).and_then(|_| [" #", "\t#"].iter().filter_map(|mark| line.find(mark)).min());
    let end = if line.starts_with('#') { 0 } else { comment.unwrap_or(line.len()) };
    let value = line.get(..end).unwrap_or_default().trim_end_matches([' ', '\t', '\r']);
    (value.to_owned(), text.get(line.len()..).unwrap_or_default())
}

/// What stands up to the closing quote, its escapes resolved.
fn double_quoted(inner: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, inner.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                escaped @ ('"' | '\\' | '$') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Result<(String, String), &'static str> {
        let mut lines = read(text).map_err(|bad| bad.problem)?;
        let line = lines.remove(0);
        let shown = line.value.iter().map(|piece| match piece {
            Piece::Text(text) => text.to_string(),
            Piece::Reference { reference, .. } => format!("<{reference}>"),
        });
        Ok((line.name, shown.collect()))
    }

    #[test]
    fn values_are_read_as_the_page_says() {
        for (text, value) in [
            ("A=", ""),
            ("A=b", "b"),
            ("  export A = b c  # comment", "b c"),
            ("A=b#c", "b#c"),
            ("A=#c", ""),
            ("A= # c", ""),
            ("A=b\\n$X ${Y} `z`\r\n", "b\\n$X ${Y} `z`"),
            ("A='b \"c\" \\n' # d", "b \"c\" \\n"),
            ("A='b\nc'\n", "b\nc"),
            (r#"A="b\n\t\"\\\$\x""#, "b\n\t\"\\$\\x"),
            ("A=lanyard://a/b # c", "<lanyard://a/b>"),
            ("A='lanyard://a/b'", "<lanyard://a/b>"),
            ("A=\"x{{ lanyard://a/b }}y\"", "x<lanyard://a/b>y"),
            ("A=\\lanyard://a/b", "lanyard://a/b"),
            ("\u{feff}A=b", "b"),
        ] {
            assert_eq!(one(text).unwrap(), ("A".to_owned(), value.to_owned()), "{text:?}");
        }
        for bad in
            ["A", "9A=b", "A-B=c", "=b", "A='b", "A=\"b", "A='b'c", "A='b'#c", "A=lanyard://x", "A=1\nA=2", "A=\0"]
        {
            assert!(one(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_are_counted() {
        let lines = read("# c\n\nA='x\ny'\nB=\"\n\n\"\n  C=lanyard://a/b\n").unwrap();
        let numbers: Vec<(&str, usize)> = lines.iter().map(|line| (line.name.as_str(), line.number)).collect();
        assert_eq!(numbers, [("A", 3), ("B", 5), ("C", 8)]);
        assert_eq!(read("A=1\n\nB=\"x\n\ny\"\n?").unwrap_err().line, 6);
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "([A='\"\\\\# \n]|lanyard://|é|b/c){0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn what_is_quoted_comes_back(value in "[^\0'\\\\l]{0,60}") {
            prop_assert_eq!(one(&format!("A='{value}'\n")).unwrap().1, value);
        }
    }
}
