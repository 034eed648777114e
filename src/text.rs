//! Text from outside: the one filter it passes before a person sees it; and bytes as text.

use std::fmt::Write as _;

use zeroize::Zeroizing;

pub mod json;

/// The longest piece of outside text shown, in characters.
pub const MAX_SHOWN: usize = 200;

/// Makes text from a server, a file or the environment safe to print on a terminal.
///
/// Removes control characters (C0 with the escape character, DEL, C1), bidirectional controls, zero-width characters
/// and line or paragraph separators; turns white space into single blanks; cuts at [`MAX_SHOWN`] characters.
pub fn clean(text: &str) -> String {
    let mut shown = String::new();
    clean_into(text, &mut shown);
    shown
}

/// The same, behind other text.
pub fn clean_into(text: &str, shown: &mut String) {
    if is_clean(text) {
        shown.push_str(text);
        return;
    }
    let start = shown.len();
    let mut length = 0;
    for character in text.chars() {
        let character = if character.is_whitespace() { ' ' } else { character };
        if is_unprintable(character) || (character == ' ' && (shown.len() == start || shown.ends_with(' '))) {
            continue;
        }
        if length == MAX_SHOWN {
            shown.push('…');
            break;
        }
        shown.push(character);
        length += 1;
    }
    if shown.ends_with(' ') && shown.len() > start {
        shown.pop();
    }
}

/// Bytes as hexadecimal digits, put together without a copy of them on the way.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for digit in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
        digits.push(char::from_digit(digit.into(), 16).unwrap_or_default());
    }
    digits
}

/// A text percent-encoded behind other text, but for the bytes that are kept as they are. Where there is room for it, no
/// copy is left on the way.
pub fn percent_into(text: &str, encoded: &mut String, is_kept: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if is_kept(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
}

/// The text behind percent-encoding; `None` where a `%` is not followed by two hexadecimal digits, or it is no text.
pub fn percent_decoded(encoded: &str) -> Option<Zeroizing<String>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut plain = Zeroizing::new(Vec::with_capacity(encoded.len()));
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            other => other,
        });
    }
    Some(Zeroizing::new(std::str::from_utf8(&plain).ok()?.to_owned()))
}

/// Whether it can be seen at a glance that [`clean`] would change nothing.
fn is_clean(text: &str) -> bool {
    let mut last = b' ';
    for byte in text.as_bytes() {
        if *byte == b' ' && last == b' ' {
            return false;
        }
        last = *byte;
    }
    (text.is_empty() || last != b' ') && text.len() <= MAX_SHOWN && is_plain(text)
}

/// Whether it is printable ASCII alone, as most text is: no filter changes it, and each byte is one column wide.
///
/// Looks at eight bytes at a time, since every text that is shown comes through here.
pub fn is_plain(text: &str) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [b' '; 8];
    for (byte, of_rest) in last.iter_mut().zip(rest) {
        *byte = *of_rest;
    }
    let odd = words.iter().chain([&last]).fold(0, |odd, word| {
        let word = u64::from_ne_bytes(*word);
        // The highest bit of a byte is set where it is above `~`, was set before, or is below a blank.
        odd | word.wrapping_add(ONES) | word | (word.wrapping_sub(ONES * 0x20) & !word)
    });
    odd & (ONES << 7) == 0
}

/// So much of the beginning of a secret tells that a text repeats it; a text is cut at a length and may end there.
const BEGINNING: usize = 32;
/// A shorter secret is part of too many texts: only one that is all of a text is repeated by it.
const SHORTEST: usize = 8;

/// Whether a text from outside repeats a secret: a server in trouble may send back what it was sent.
pub fn repeats(text: &str, secret: &str) -> bool {
    if secret.len() < SHORTEST {
        return text == secret;
    }
    let end = (0..=BEGINNING.min(secret.len())).rev().find(|end| secret.is_char_boundary(*end)).unwrap_or_default();
    secret.get(..end).is_some_and(|beginning| text.contains(beginning))
}

/// Leaves out what a terminal could act on, and nothing else: for our own lines, which may hold a name from outside.
pub fn printable(line: &str) -> String {
    line.chars().filter(|character| !is_unprintable(*character)).collect()
}

/// Whether a terminal could act on this character or hide it.
pub fn is_unprintable(character: char) -> bool {
    matches!(character,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The known word closest to `typed`, if one is close enough to be what was meant.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(typed, word), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}

/// The number of slips between two words: a letter too many, missing, wrong, or swapped with the next (the optimal
/// string alignment distance).
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let swapped = i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            let swapped = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
            row.push(substituted.min(rows[i - 1][j] + 1).min(row[j - 1] + 1).min(swapped));
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_removes_what_a_terminal_would_act_on() {
        let hostile = "a\x1b]52;c;Y2F0\x07\x1b[2Jb\r\nc\u{202e}d\u{200b}e\u{9b}31mf";
        assert_eq!(clean(hostile), "a]52;c;Y2F0[2Jb cde31mf");
        assert!(clean(&"x".repeat(1000)).chars().count() <= MAX_SHOWN + 1);
        assert_eq!(clean(&"x".repeat(MAX_SHOWN)), "x".repeat(MAX_SHOWN));
        for (text, shown) in [("", ""), (" ", ""), (" a", "a"), ("a ", "a"), ("a  b", "a b"), ("a\t\tb é ", "a b é")]
        {
            let mut behind = "before ".to_owned();
            clean_into(text, &mut behind);
            assert_eq!((clean(text).as_str(), behind), (shown, format!("before {shown}")));
        }
    }

    #[test]
    fn a_text_repeats_a_secret_or_its_beginning_and_a_short_one_by_itself_alone() {
        assert!(repeats("abc", "abc") && !repeats("abcd", "abc"));
        assert!(repeats("it is abcdefgh!", "abcdefgh") && !repeats("abcdefg", "abcdefgh"));
        let long = "é".repeat(100);
        assert!(repeats(&long[..40], &long) && !repeats(&long[..20], &long));
    }

    #[test]
    fn plain_is_what_can_be_printed_of_ascii() {
        for character in (0..0x180).chain([0x202e, 0x1_f511]).filter_map(char::from_u32) {
            for place in 0..20 {
                let text: String = (0..20).map(|other| if other == place { character } else { '~' }).collect();
                let plain = character == ' ' || character.is_ascii_graphic();
                assert_eq!((is_plain(&text), is_plain(&text[..place])), (plain, true), "{character:?} at {place}");
                assert!(!plain || !is_unprintable(character));
            }
        }
        // A carry out of one byte says nothing about the next.
        for text in
            ["\u{ff}\u{ff}\u{ff}\u{ff}", "       \u{1f}", "\u{1f}       ", "\u{0}\u{20}\u{0}\u{20}", "~~~~~~~\u{7f}"]
        {
            assert!(!is_plain(text), "{text:?}");
        }
        assert!(is_plain("") && is_plain(" ~ ~ ~ ~ ~ ~"));
    }

    #[test]
    fn nearest_finds_the_slip_and_not_the_stranger() {
        assert_eq!(nearest("profil", ["profile", "project"]), Some("profile"));
        assert_eq!(nearest("wrok", ["home", "work"]), Some("work"));
        assert_eq!(nearest("", ["home", ""]), Some(""));
        assert_eq!(nearest("zebra", ["profile", "project"]), None);
    }
}
