//! A block of lines in somebody else's file that is ours: put in, found again, taken out without a trace.

use std::path::Path;

use super::SetupError;

/// The line that our block begins with, behind the file's comment sign.
const BEGIN: &str = "lanyard: begin (made by `lanyard setup`, taken out by `lanyard setup --undo`)";
/// The line that it ends with.
const END: &str = "lanyard: end";

/// Where a block stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Before everything else, for files in which the first word counts.
    Top,
    /// After everything else, for files in which the last word counts.
    Bottom,
}

/// The text with the lines in a block of ours, which replaces one that is there. `comment` begins a comment in this
/// sort of file. No lines means no block.
pub(super) fn with(text: &str, comment: &str, at: At, lines: &str) -> String {
    let rest = without(text);
    if lines.is_empty() {
        return rest;
    }
    let break_before = if rest.is_empty() || rest.ends_with('\n') { "" } else { "\n" };
    let block = format!("{comment} {BEGIN}\n{lines}{comment} {END}\n");
    match at {
        At::Top => format!("{block}{rest}"),
        // A file without a line break at its end gets one, inside the block, so that it can be taken out again.
        At::Bottom if break_before.is_empty() => format!("{rest}{block}"),
        At::Bottom => format!("{rest}\n{block}{comment} {END} (there was no line break before)\n"),
    }
}

/// The text without our block.
pub(super) fn without(text: &str) -> String {
    let Some((start, end, lacked_break)) = find(text) else { return text.to_owned() };
    let before = text.get(..start).unwrap_or_default();
    let before = if lacked_break { before.strip_suffix('\n').unwrap_or(before) } else { before };
    [before, text.get(end..).unwrap_or_default()].concat()
}

/// The text without our block, to be undone with.
///
/// # Errors
/// [`SetupError::Unclear`] when the block has lost its end: nobody knows then which lines are ours.
pub(super) fn taken_out(path: &Path, text: &str) -> Result<String, SetupError> {
    let rest = without(text);
    if rest == text && text.lines().any(begins) {
        return Err(SetupError::Unclear {
            path: path.to_owned(),
            problem: format!("lanyard's lines in it begin, but no line says `{END}`"),
            mend: format!("take them out of {} by hand, from `lanyard: begin` on", path.display()),
        });
    }
    Ok(rest)
}

fn begins(line: &str) -> bool {
    line.trim_end().ends_with(BEGIN)
}

/// Whether there is a block of ours.
pub(super) fn stands(text: &str) -> bool {
    find(text).is_some()
}

/// What stands in our block, its own marks left out.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let block = find(text).and_then(|(start, end, _)| text.get(start..end)).unwrap_or_default();
    block.lines().filter(|line| !line.ends_with(BEGIN) && !line.contains(END))
}

/// Where our block begins and ends, and whether the line before it lacked its break.
fn find(text: &str) -> Option<(usize, usize, bool)> {
    let mut at = 0;
    let mut start = None;
    let mut end = None;
    let mut lacked_break = false;
    for line in text.split_inclusive('\n') {
        let next = at + line.len();
        match (start, end) {
            // One that begins anew has lost its end before, and what is between is somebody else's.
            (_, None) if begins(line) => start = Some(at),
            (Some(_), None) if line.trim_end().ends_with(END) => end = Some(next),
            (Some(_), Some(_)) => {
                lacked_break = line.contains(END) && line.contains("no line break");
                if lacked_break {
                    end = Some(next);
                }
                break;
            }
            _ => {}
        }
        at = next;
    }
    Some((start?, end?, lacked_break))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_block_is_replaced_and_not_repeated() {
        let once = with("a = 1\n", "#", At::Bottom, "b = 2\n");
        assert!(once.starts_with("a = 1\n# lanyard: begin") && once.contains("\nb = 2\n"), "{once}");
        assert_eq!(with(&once, "#", At::Bottom, "b = 2\n"), once);
        assert!(!with(&once, "#", At::Bottom, "c = 3\n").contains("b = 2"));
        assert_eq!(with(&once, "#", At::Bottom, ""), "a = 1\n");
        assert!(stands(&once) && !stands("a = 1\n"));
    }

    #[test]
    fn a_block_that_has_lost_its_end_takes_nothing_of_others_with_it() {
        let cut = with("", "#", At::Bottom, "b = 2\n").replace("# lanyard: end\n", "theirs = 1\n");
        let once = with(&cut, "#", At::Bottom, "c = 3\n");
        assert_eq!(without(&once), cut);
        assert_eq!(lines(&once).collect::<Vec<_>>(), ["c = 3"]);
        assert!(taken_out(Path::new("x"), &cut).is_err() && taken_out(Path::new("x"), &once).is_ok());
    }

    proptest! {
        #[test]
        fn what_was_there_comes_back_byte_for_byte(text in "[a-z#\\[\\]= \\r\\n\u{e9}]{0,200}", top in any::<bool>()) {
            let at = if top { At::Top } else { At::Bottom };
            prop_assert_eq!(without(&with(&text, "#", at, "x = 1\n")), text);
        }
    }
}
