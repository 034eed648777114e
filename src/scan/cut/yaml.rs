//! YAML: an entry `name: value` on a line of its own. That nothing else changes is proved by reading both texts.

use std::ops::Range;

use serde_json::Value;

use super::{Piece, Unwanted};

const NO_YAML: &str = "it is no YAML that lanyard reads";

/// The line of an entry with an unwanted value.
pub(super) fn piece(text: &str, unwanted: &Unwanted) -> Piece {
    let Some(line) = line(text, unwanted) else { return Ok(None) };
    let before: Value = serde_saphyr::from_str(text).map_err(|_| NO_YAML)?;
    let (Some(start), Some(end)) = (text.get(..line.start), text.get(line.end..)) else { return Ok(None) };
    let rest = zeroize::Zeroizing::new([start, end].concat());
    let after: Value = if rest.trim().is_empty() {
        Value::Null
    } else {
        serde_saphyr::from_str(&rest).map_err(|_| "other entries hang on it")?
    };
    if lost(&before, &after, unwanted) == Some(1) { Ok(Some(line)) } else { Err("other entries hang on it") }
}

/// The first line that is nothing but an entry with an unwanted value.
fn line(text: &str, unwanted: &Unwanted) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let range = start..start + line.len();
        start = range.end;
        let value = line.trim().split_once(": ").map(|(_, value)| value.trim());
        if value.is_some_and(|value| unwanted.is(value) || unwanted.is(unquoted(value))) {
            return Some(range);
        }
    }
    None
}

fn unquoted(value: &str) -> &str {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(value)
}

/// How many unwanted values one text has that the other lacks; `None` where anything else differs.
fn lost(before: &Value, after: &Value, unwanted: &Unwanted) -> Option<usize> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            if after.keys().any(|name| !before.contains_key(name)) {
                return None;
            }
            before.iter().try_fold(0, |sum, (name, value)| match after.get(name) {
                Some(other) => Some(sum + lost(value, other, unwanted)?),
                None => value.as_str().is_some_and(|value| unwanted.is(value)).then_some(sum + 1),
            })
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            before.iter().zip(after).try_fold(0, |sum, (before, after)| Some(sum + lost(before, after, unwanted)?))
        }
        // What held nothing else holds nothing now.
        (Value::Object(before), Value::Null) => {
            let mut values = before.values();
            let is_alone = values.next()?.as_str().is_some_and(|value| unwanted.is(value)) && values.next().is_none();
            is_alone.then_some(1)
        }
        (before, after) => (before == after).then_some(0),
    }
}
