//! JSON as tools write and read it.

use serde::{Deserialize, Serialize};

use super::Reply;

/// The deepest JSON that any tool writes, with room to spare.
const DEEPEST: usize = 32;

/// What a tool wrote; `None` where it is no such thing. Nothing of it is quoted.
pub(super) fn read<'t, T: Deserialize<'t>>(text: &'t str) -> Option<T> {
    if is_deep(text) { None } else { serde_json::from_str(text).ok() }
}

/// Whether brackets stand in brackets more often than in any honest question.
fn is_deep(text: &str) -> bool {
    let (mut depth, mut is_quoted, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'{' | b'[' if !is_quoted => depth += 1,
            b'}' | b']' if !is_quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

/// A value on a line of its own, written into a buffer that does not grow over the usual secret.
pub(super) fn line(value: &impl Serialize) -> Option<Reply> {
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(80 << 10));
    serde_json::to_writer(&mut *text, value).ok()?;
    text.push(b'\n');
    Some(Reply { stdout: text, ..Reply::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_limited_and_text_in_quotes_has_none() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read::<serde_json::Value>(&nested(DEEPEST)).is_some());
        assert!(read::<serde_json::Value>(&nested(DEEPEST + 1)).is_none());
        let quoted = format!(r#"["{}\"{}"]"#, "[".repeat(100), "{".repeat(100));
        assert!(read::<serde_json::Value>(&quoted).is_some());
        assert!(read::<serde_json::Value>("{").is_none());
    }
}
