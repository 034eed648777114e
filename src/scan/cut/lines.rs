//! Files in which every line stands for itself: `.env` files, start-up files of shells, git's stored credentials.

use std::ops::Range;

use super::{Piece, Unwanted};
use crate::scan::dotenv::assignments;

/// The lines of a `.env` file that hold an unwanted value.
pub(super) fn of_dotenv(text: &str, unwanted: &Unwanted) -> Piece {
    let Some(found) = next(text, unwanted) else { return Ok(None) };
    if !found.alone {
        return Err("something else stands on the same line");
    }
    Ok(Some(found.lines))
}

/// The value alone: `export NAME=` stays, since a line may be all that a block holds, and an empty block is an error.
pub(super) fn of_shell(text: &str, unwanted: &Unwanted) -> Piece {
    let Some(found) = next(text, unwanted) else { return Ok(None) };
    let is_plain = found.value.bytes().all(|byte| !byte.is_ascii_whitespace() && !b";&|<>()".contains(&byte));
    let is_quoted = text.get(found.written.clone()).is_some_and(|written| written.starts_with(['\'', '"']));
    if !is_plain && !is_quoted {
        return Err("something else stands on the same line");
    }
    Ok(Some(found.written))
}

/// The first assignment with an unwanted value: of the secrets, and while there is one, of what belongs to them.
fn next<'t>(text: &'t str, unwanted: &Unwanted) -> Option<crate::scan::dotenv::Assignment<'t>> {
    let (mut secret, mut other) = (None, None);
    for assignment in assignments(text) {
        if unwanted.is(&assignment.value) {
            secret = secret.or(Some(assignment));
        } else if unwanted.belongs(&assignment.value) {
            other = other.or(Some(assignment));
        }
    }
    // The public half goes first: without the secret nobody could tell that it belonged to it.
    if secret.is_some() { other.or(secret) } else { None }
}

/// The lines of git's store (`git-credential-store`) that hold an unwanted password.
pub(super) fn of_git_credentials(text: &str, unwanted: &Unwanted) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let password = line.trim().split_once("://").and_then(|(_, rest)| {
            let (user_info, _) = rest.rsplit_once('@')?;
            user_info.split_once(':').map(|(_, password)| password)
        });
        if password.is_some_and(|password| unwanted.is(password) || unwanted.is(&percent_decoded(password))) {
            return Some(start..end);
        }
        start = end;
    }
    None
}

/// `%40` as `@`. What is no text in UTF-8 stays out of it.
fn percent_decoded(text: &str) -> zeroize::Zeroizing<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digits = (byte == b'%').then(|| Some((digit(ahead.next()?)?, digit(ahead.next()?)?))).flatten();
        match digits {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = ahead;
            }
            None => bytes.push(byte),
        }
    }
    zeroize::Zeroizing::new(String::from_utf8(bytes).unwrap_or_default())
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
