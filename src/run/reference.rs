//! References to credentials in text: `lanyard://NAME/FIELD`.
//!
//! ```text
//! reference = "lanyard://" [ project "/" ] name "/" field
//! name      = a letter or digit, then letters, digits and . _ @ + : -
//! project   = as name
//! field     = letters, digits, _ and -
//! ```
//!
//! It stands alone or between double braces, `{{ lanyard://NAME/FIELD }}`, with blanks inside if one likes. Alone, it
//! is as long as it can be, and a second part with `. @ + :` in it is read as a field that ends there, so text that
//! follows at once, and a project's credential with such a name, need the braces. A backslash before a reference makes
//! it plain text and goes; two are one backslash before a reference. Nothing else in the text is touched.

use std::borrow::Cow;
use std::fmt;

/// How a reference begins.
const SCHEME: &str = "lanyard://";

/// A field of a credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The credential as one types it: `NAME`, or `PROJECT/NAME`.
    pub credential: String,
    /// The field.
    pub field: String,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.credential, self.field)
    }
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Text as it is.
    Text(Cow<'t, str>),
    /// What stands for a value.
    Reference {
        /// The value that is meant.
        reference: Reference,
        /// The line it stands in, from 1.
        line: usize,
    },
}

/// What begins like a reference is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// The line it stands in, from 1.
    pub line: usize,
}

/// Takes a text apart. `line` is the number of its first line.
pub fn parse(text: &str, mut line: usize) -> Result<Vec<Piece<'_>>, Malformed> {
    let mut pieces = Vec::new();
    let mut done = 0;
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find(SCHEME)).map(|at| from + at) {
        let before = text.get(done..at).unwrap_or_default();
        let brace = opening_brace(before);
        let plain = before.len() - brace.unwrap_or(0);
        let before = before.get(..plain).unwrap_or_default();
        let slashes = before.len() - before.trim_end_matches('\\').len();
        line += before.bytes().filter(|byte| *byte == b'\n').count();
        push(&mut pieces, before.get(..before.len() - slashes.div_ceil(2)).unwrap_or_default());
        if slashes % 2 == 1 {
            from = at + SCHEME.len();
            done += plain;
            // What stands from the brace on is text, the scheme included.
            push(&mut pieces, text.get(done..from).unwrap_or_default());
            done = from;
            continue;
        }
        let malformed = Malformed { line };
        let rest = text.get(at + SCHEME.len()..).unwrap_or_default();
        let (reference, length) = if brace.is_some() { in_braces(rest) } else { alone(rest) }.ok_or(malformed)?;
        pieces.push(Piece::Reference { reference, line });
        from = at + SCHEME.len() + length;
        done = from;
    }
    push(&mut pieces, text.get(done..).unwrap_or_default());
    Ok(pieces)
}

/// Whether there is a reference in the text.
pub fn has_any(pieces: &[Piece<'_>]) -> bool {
    pieces.iter().any(|piece| matches!(piece, Piece::Reference { .. }))
}

fn push<'t>(pieces: &mut Vec<Piece<'t>>, text: &'t str) {
    if text.is_empty() {
        return;
    }
    if let Some(Piece::Text(last)) = pieces.last_mut() {
        last.to_mut().push_str(text);
    } else {
        pieces.push(Piece::Text(Cow::Borrowed(text)));
    }
}

/// The length of the double brace and the blanks that the text ends with.
fn opening_brace(before: &str) -> Option<usize> {
    let without = before.trim_end_matches([' ', '\t']);
    without.ends_with("{{").then(|| before.len() - without.len() + 2)
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._@+:-".contains(&byte)
}

fn in_field(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-".contains(&byte)
}

/// The part at the beginning of the text whose bytes fit.
fn part(text: &str, fits: fn(u8) -> bool) -> &str {
    let length = text.bytes().take_while(|byte| fits(*byte)).count();
    text.get(..length).unwrap_or_default()
}

fn is_name(part: &str) -> bool {
    part.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// A reference without braces, and its length.
fn alone(rest: &str) -> Option<(Reference, usize)> {
    let first = part(rest, in_name);
    let rest = rest.get(first.len()..)?.strip_prefix('/')?;
    let second = part(rest, in_field);
    let third = rest.get(second.len()..)?.strip_prefix('/').map(|rest| part(rest, in_field)).unwrap_or_default();
    if !is_name(first) || second.is_empty() {
        return None;
    }
    if third.is_empty() || !is_name(second) {
        let reference = Reference { credential: first.to_owned(), field: second.to_owned() };
        return Some((reference, first.len() + 1 + second.len()));
    }
    let reference = Reference { credential: format!("{first}/{second}"), field: third.to_owned() };
    Some((reference, first.len() + second.len() + third.len() + 2))
}

/// A reference up to the closing double brace, and the length of both.
fn in_braces(rest: &str) -> Option<(Reference, usize)> {
    let end = rest.find("}}")?;
    let (credential, field) = rest.get(..end)?.trim_end_matches([' ', '\t']).rsplit_once('/')?;
    let mut parts = credential.split('/');
    let fits = parts.by_ref().take(2).all(|part| is_name(part) && part.bytes().all(in_name));
    if !fits || parts.next().is_some() || field.is_empty() || !field.bytes().all(in_field) {
        return None;
    }
    Some((Reference { credential: credential.to_owned(), field: field.to_owned() }, end + 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces as one line: text in quotes, references in angles.
    fn read(text: &str) -> String {
        let Ok(pieces) = parse(text, 1) else { return "malformed".into() };
        let shown = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => format!("{text:?}"),
            Piece::Reference { reference, .. } => format!("<{} {}>", reference.credential, reference.field),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_reference_is_found_in_any_text() {
        for (text, expected) in [
            ("", ""),
            ("no reference", "\"no reference\""),
            ("lanyard://db/password", "<db password>"),
            ("postgres://u:lanyard://db/password@host/x", "\"postgres://u:\" <db password> \"@host/x\""),
            ("lanyard://shop/db/password", "<shop/db password>"),
            ("lanyard://a.b@c+d:e-f_g/API_KEY.", "<a.b@c+d:e-f_g API_KEY> \".\""),
            ("lanyard://a/b/", "<a b> \"/\""),
            ("{{lanyard://a/b}}/c", "<a b> \"/c\""),
            ("x{{ \tlanyard://p/a.b/c  }}y", "\"x\" <p/a.b c> \"y\""),
            ("{{ .Values.x }} {{ y }}", "\"{{ .Values.x }} {{ y }}\""),
            ("lanyard://a/b lanyard://c/d", "<a b> \" \" <c d>"),
            (r"\lanyard://a/b", "\"lanyard://a/b\""),
            (r"\\lanyard://a/b", r#""\\" <a b>"#),
            (r"\\\lanyard://a/b", r#""\\lanyard://a/b""#),
            (r"\{{ lanyard://a/b }}", "\"{{ lanyard://a/b }}\""),
            (r"\\{{ lanyard://a/b }}", r#""\\" <a b>"#),
            (r"C:\x \n", r#""C:\\x \\n""#),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_begins_like_one_and_is_none_is_refused() {
        for text in [
            "lanyard://",
            "lanyard://a",
            "lanyard://a/",
            "lanyard:///b",
            "lanyard://-a/b",
            "lanyard://é/b",
            "{{ lanyard://a/b",
            "{{ lanyard://a/b | quote }}",
            "{{ lanyard://a/b/c/d }}",
            "{{ lanyard://a /b }}",
        ] {
            assert_eq!(read(text), "malformed", "{text}");
        }
        assert_eq!(parse("x\n\\lanyard://a\ny\nlanyard://", 1).unwrap_err().line, 4);
        let pieces = parse("\n\nlanyard://a/b\nlanyard://a/b", 5).unwrap();
        let lines: Vec<usize> = pieces
            .iter()
            .filter_map(|piece| if let Piece::Reference { line, .. } = piece { Some(*line) } else { None })
            .collect();
        assert_eq!(lines, [7, 8]);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_without_a_panic(text in "(lanyard://|[a/{} \\\\\n.é]){0,24}") {
            let _ = parse(&text, 1);
        }

        #[test]
        fn text_without_the_scheme_stays_as_it_is(text in "[^:]{0,200}") {
            let pieces = parse(&text, 1).unwrap();
            let back: String =
                pieces.iter().map(|piece| if let Piece::Text(text) = piece { text.as_ref() } else { "!" }).collect();
            prop_assert_eq!(back, text);
        }
    }
}
