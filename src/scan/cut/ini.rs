//! Files of sections with `name = value` lines, as AWS, npm, PyPI and many others have them.

use std::ops::Range;

use super::{Piece, Unwanted};

/// A line.
struct Line<'t> {
    range: Range<usize>,
    sort: Sort<'t>,
    indent: usize,
}

#[derive(PartialEq, Eq)]
enum Sort<'t> {
    Blank,
    Comment,
    Section,
    /// The values that it may have: after the first `=`, after the first `:`.
    Entry([Option<&'t str>; 2]),
    /// A line that belongs to the one before.
    More,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let range = start..start + line.len();
        start = range.end;
        let bare = line.trim_start_matches('\u{feff}');
        let indent = bare.len() - bare.trim_start_matches([' ', '\t']).len();
        let bare = bare.trim();
        let after = |separator| bare.split_once(separator).map(|(_, value)| value.trim());
        let sort = match bare.chars().next() {
            None => Sort::Blank,
            Some('#' | ';') => Sort::Comment,
            Some('[') => Sort::Section,
            Some(_) if after('=').is_none() && after(':').is_none() => Sort::More,
            Some(_) => Sort::Entry([after('='), after(':')]),
        };
        lines.push(Line { range, sort, indent });
    }
    lines
}

/// A value without the quotes that some readers take off.
fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

/// The line of an entry with an unwanted value; with the head of its section, where nothing else is in that.
pub(super) fn piece(text: &str, unwanted: &Unwanted) -> Piece {
    let lines = lines(text);
    let holds = |line: &Line<'_>, test: &dyn Fn(&str) -> bool| match &line.sort {
        Sort::Entry(values) => values.iter().flatten().any(|value| test(value) || test(unquoted(value))),
        _ => false,
    };
    let Some(secret) = lines.iter().position(|line| holds(line, &|value| unwanted.is(value))) else { return Ok(None) };
    let section = section_of(&lines, secret);
    // The public half goes first: without the secret nobody could tell that it belonged to it.
    let half = section.clone().find(|at| lines.get(*at).is_some_and(|line| holds(line, &|it| unwanted.belongs(it))));
    let at = half.unwrap_or(secret);
    let Some(line) = lines.get(at) else { return Ok(None) };
    let next = lines.get(at + 1..).unwrap_or_default().iter().find(|next| next.sort != Sort::Blank);
    if next.is_some_and(|next| next.sort == Sort::More || (next.indent > line.indent && is_entry(next))) {
        return Err("the value goes on in the lines below it");
    }
    let others = section.clone().filter(|other| *other != at);
    let is_alone = others
        .clone()
        .all(|other| lines.get(other).is_some_and(|line| line.sort == Sort::Blank || line.sort == Sort::Section));
    let head = lines.get(section.start).filter(|head| is_alone && head.sort == Sort::Section);
    Ok(Some(head.map_or(line.range.start, |head| head.range.start)..line.range.end))
}

fn is_entry(line: &Line<'_>) -> bool {
    matches!(line.sort, Sort::Entry(_))
}

/// The lines of the section that a line is in, its head included.
fn section_of(lines: &[Line<'_>], at: usize) -> Range<usize> {
    let is_head = |line: &Line<'_>| line.sort == Sort::Section;
    let start = lines.iter().take(at + 1).rposition(is_head).unwrap_or(0);
    let end = lines.iter().skip(at + 1).position(is_head).map_or(lines.len(), |length| at + 1 + length);
    start..end
}
