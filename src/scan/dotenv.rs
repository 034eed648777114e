//! Files of `NAME=value` lines: `.env` files as their many readers agree on them, and the assignments of a shell's
//! start-up files.
//!
//! Every part is known by its place in the text, so that a line can be cut out and every other byte kept.

use std::borrow::Cow;
use std::ops::Range;

/// One `NAME=value`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment<'t> {
    /// The name.
    pub(super) name: &'t str,
    /// The value, without its quotes and with its escapes resolved. Owned where it does not stand in the text as it is.
    pub(super) value: Cow<'t, str>,
    /// Where the value stands, its quotes included.
    pub(super) written: Range<usize>,
    /// The lines it takes up, the last line break included.
    pub(super) lines: Range<usize>,
    /// Whether nothing else stands on these lines but a comment.
    pub(super) alone: bool,
}

/// Every assignment in a text. What is no assignment is passed over.
pub(super) fn assignments(text: &str) -> Vec<Assignment<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        match assignment(text, start) {
            Some(assignment) => {
                start = assignment.lines.end;
                found.push(assignment);
            }
            None => start = line_end(text, start),
        }
    }
    found
}

/// Where the line ends in which `from` stands, its line break included.
fn line_end(text: &str, from: usize) -> usize {
    text.get(from..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| from + length + 1)
}

/// The assignment that begins on the line at `start`.
fn assignment(text: &str, start: usize) -> Option<Assignment<'_>> {
    let line = text.get(start..line_end(text, start))?;
    let mut rest = line.trim_start_matches(['\u{feff}', ' ', '\t']);
    if let Some(after) = rest.strip_prefix("export").filter(|after| after.starts_with([' ', '\t'])) {
        rest = after.trim_start_matches([' ', '\t']);
    }
    let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte)).count();
    let (name, rest) = rest.split_at_checked(length)?;
    if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        return None;
    }
    let rest = rest.trim_start_matches([' ', '\t']).strip_prefix('=')?.trim_start_matches([' ', '\t']);
    let begin = start + line.len() - rest.len();
    let quoted = quoted(text, begin);
    let (value, end) = quoted.unwrap_or_else(|| bare(text, begin));
    let end_of_line = line_end(text, end);
    let after = text.get(end..end_of_line)?.trim();
    let alone = after.is_empty() || after.starts_with('#');
    Some(Assignment { name, value, written: begin..end, lines: start..end_of_line, alone })
}

/// A value in quotes that begins at `begin`, and where it ends. It may span lines. `None` where the quotes do not close,
/// or where more of a word follows them: then they are a part of the value.
fn quoted(text: &str, begin: usize) -> Option<(Cow<'_, str>, usize)> {
    let rest = text.get(begin..)?;
    let quote = rest.chars().next().filter(|first| ['\'', '"', '`'].contains(first))?;
    let inner = rest.get(1..)?;
    let mut length = None;
    let mut is_escaped = false;
    for (index, character) in inner.char_indices() {
        if is_escaped {
            is_escaped = false;
        } else if character == '\\' && quote == '"' {
            is_escaped = true;
        } else if character == quote {
            length = Some(index);
            break;
        }
    }
    let length = length?;
    let inner = inner.get(..length)?;
    let end = begin + length + 2;
    let follows = text.get(end..)?.chars().next();
    if follows.is_some_and(|next| !next.is_whitespace() && !"#;&|)".contains(next)) {
        return None;
    }
    let value = if quote == '"' && inner.contains('\\') { Cow::Owned(unescaped(inner)) } else { Cow::Borrowed(inner) };
    Some((value, end))
}

/// A value without quotes: the rest of the line, up to a comment.
fn bare(text: &str, begin: usize) -> (Cow<'_, str>, usize) {
    let line = text.get(begin..line_end(text, begin)).unwrap_or_default();
    let comment = line
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|at| *at == 0 || line.as_bytes().get(at - 1).is_some_and(|before| b" \t".contains(before)));
    let value = line.get(..comment.unwrap_or(line.len())).unwrap_or_default().trim_end();
    (Cow::Borrowed(value), begin + value.len())
}

/// The text with the escapes that readers of `.env` files know resolved; others stay as they are.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some(same @ ('\\' | '"' | '$' | '\'' | '`')) => plain.push(same),
            Some('\n') => {}
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        assignments(text).into_iter().map(|found| (found.name.to_owned(), found.value.into_owned())).collect()
    }

    #[test]
    fn values_are_read_as_their_readers_read_them() {
        for (text, name, value) in [
            ("A=b", "A", "b"),
            ("\u{feff}A=b", "A", "b"),
            ("  export\tA = b c \r\n", "A", "b c"),
            ("A=b # comment", "A", "b"),
            ("A=b#no-comment", "A", "b#no-comment"),
            ("A=#comment", "A", ""),
            ("A='b # c' # d", "A", "b # c"),
            ("A=\"b\\n\\\"c\\\" \\q\"", "A", "b\n\"c\" \\q"),
            ("A='b\nc'\n", "A", "b\nc"),
            ("A=`b'c\"`", "A", "b'c\""),
            ("A='b", "A", "'b"),
            ("A='b'c", "A", "'b'c"),
            ("A='b';", "A", "b"),
            ("a.b-c_1=x", "a.b-c_1", "x"),
        ] {
            assert_eq!(read(text), [(name.to_owned(), value.to_owned())], "{text}");
        }
        for text in ["", "#A=b", "A", "1A=b", "A:b", "=b", "export", "exportA b=c", "if [ A=b ]", "\n\n"] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn what_else_stands_on_the_line_is_known() {
        for (text, alone) in
            [("A=b\n", true), ("A='b' # c", true), ("A='b' cmd", false), ("A=\"b\"; c", false), ("A=b c", true)]
        {
            assert_eq!(assignments(text)[0].alone, alone, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in any::<String>()) {
            assignments(&text);
        }

        #[test]
        fn lines_follow_one_another_and_values_stand_in_them(
            text in "([A-C]{0,2}[ \t]{0,1}[=#'\"`\\\\\n a-cé]{0,6}\r?\n?){0,12}",
        ) {
            let mut end = 0;
            for found in assignments(&text) {
                prop_assert!(end <= found.lines.start && found.lines.start < found.lines.end);
                prop_assert!(found.lines.start < found.written.start && found.written.end <= found.lines.end);
                prop_assert!(text.get(found.written.clone()).is_some() && text.get(found.lines.clone()).is_some());
                prop_assert!(found.lines.start == 0 || text.as_bytes()[found.lines.start - 1] == b'\n');
                end = found.lines.end;
            }
        }

        #[test]
        fn a_value_that_was_written_is_read_back(
            before in "(#[a-z=' ]*\n|[A-Z]{1,4}=[a-z]*\n|\n){0,4}",
            value in "[^']{0,40}",
            plain in "[!-~&&[^#'\"`\\\\]]{1,40}",
        ) {
            let double = value.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("{before}ONE='{value}'\nTWO=\"{double}\" # two\nTHREE={plain}\n");
            let found = read(&text);
            let last: Vec<(&str, &str)> =
                found.iter().rev().take(3).rev().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            prop_assert_eq!(last, vec![("ONE", value.as_str()), ("TWO", value.as_str()), ("THREE", plain.as_str())]);
        }
    }
}
