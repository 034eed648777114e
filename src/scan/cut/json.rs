//! JSON (RFC 8259), read with the place of every part, so that a member of an object can be cut out.

use std::ops::Range;

use super::{Piece, Unwanted};

/// Deeper files are not cut.
const DEEPEST: usize = 64;
const NO_JSON: &str = "it is no JSON";

/// A member of an object.
struct Member {
    /// From its name to the end of its value.
    range: Range<usize>,
    value: Value,
}

enum Value {
    Text(zeroize::Zeroizing<String>),
    Object(Vec<Member>),
    List(Vec<Value>),
    Other,
}

/// The member with an unwanted value and its comma; where its object holds nothing else, the member that this is.
pub(super) fn piece(text: &str, unwanted: &Unwanted) -> Piece {
    let mut reader = Reader { text, at: 0 };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let value = reader.value(0).ok_or(NO_JSON)?;
    reader.blanks();
    if reader.at != text.len() {
        return Err(NO_JSON);
    }
    of_value(&value, unwanted)
}

fn of_value(value: &Value, unwanted: &Unwanted) -> Piece {
    match value {
        Value::Object(members) => of_object(members, unwanted),
        Value::List(values) => {
            for value in values {
                if matches!(value, Value::Text(text) if unwanted.is(text)) {
                    return Err("it stands in a list, whose other entries would move");
                }
                let piece = of_value(value, unwanted)?;
                if piece.is_some() {
                    return Ok(piece);
                }
            }
            Ok(None)
        }
        Value::Text(_) | Value::Other => Ok(None),
    }
}

fn of_object(members: &[Member], unwanted: &Unwanted) -> Piece {
    for (at, member) in members.iter().enumerate() {
        let goes = match &member.value {
            Value::Text(text) => unwanted.is(text),
            Value::Object(inner) => {
                matches!(inner.as_slice(), [Member { value: Value::Text(text), .. }] if unwanted.is(text))
            }
            Value::List(_) | Value::Other => false,
        };
        if goes {
            return Ok(Some(with_comma(members, at, &member.range)));
        }
        let piece = of_value(&member.value, unwanted)?;
        if piece.is_some() {
            return Ok(piece);
        }
    }
    Ok(None)
}

/// A member and the comma that is one too many without it.
fn with_comma(members: &[Member], at: usize, range: &Range<usize>) -> Range<usize> {
    let before = at.checked_sub(1).and_then(|before| members.get(before));
    match (members.get(at + 1), before) {
        (Some(next), _) => range.start..next.range.start,
        (None, Some(before)) => before.range.end..range.end,
        (None, None) => range.clone(),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| b" \t\r\n".contains(&byte)) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.blanks();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => self.string().map(Value::Text),
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                    self.at += 1;
                }
                let word = self.text.get(start..self.at)?;
                serde_json::from_str::<serde::de::IgnoredAny>(word).is_ok().then_some(Value::Other)
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.take(b'{')?;
        let mut members = Vec::new();
        self.blanks();
        if self.take(b'}').is_some() {
            return Some(Value::Object(members));
        }
        loop {
            self.blanks();
            let start = self.at;
            self.string()?;
            self.blanks();
            self.take(b':')?;
            let value = self.value(depth + 1)?;
            members.push(Member { range: start..self.at, value });
            self.blanks();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(Value::Object(members));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        self.take(b'[')?;
        let mut values = Vec::new();
        self.blanks();
        if self.take(b']').is_some() {
            return Some(Value::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.blanks();
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(Value::List(values));
            }
        }
    }

    fn string(&mut self) -> Option<zeroize::Zeroizing<String>> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.take(b'"')?;
        let text: String = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
        Some(zeroize::Zeroizing::new(text))
    }
}
