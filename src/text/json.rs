//! JSON (RFC 8259) in somebody else's file, read with the place of every part, so that a part can be put in or cut out
//! and every other byte stays.

use std::ops::Range;

use zeroize::Zeroizing;

/// Deeper texts are not read.
const DEEPEST: usize = 64;

/// A value and where it stands.
pub struct Value {
    /// From its first byte to behind its last.
    pub range: Range<usize>,
    /// What it is.
    pub form: Form,
}

/// What a value is.
pub enum Form {
    /// A string, which may be a secret.
    Text(Zeroizing<String>),
    /// An object.
    Object(Vec<Member>),
    /// An array.
    List(Vec<Value>),
    /// A number, a truth value or null.
    Other,
}

/// A member of an object.
pub struct Member {
    /// Its name.
    pub name: Zeroizing<String>,
    /// From the first quote of its name to the end of its value.
    pub range: Range<usize>,
    /// Its value.
    pub value: Value,
}

impl Value {
    /// The members, where it is an object.
    pub fn members(&self) -> Option<&[Member]> {
        match &self.form {
            Form::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// The value that a whole text is; `None` where it is no JSON. A byte order mark before it is passed over.
pub fn read(text: &str) -> Option<Value> {
    let mut reader = Reader { text, at: 0 };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let value = reader.value(0)?;
    reader.blanks();
    (reader.at == text.len()).then_some(value)
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
        let start = self.at;
        let form = match self.peek()? {
            b'{' => Form::Object(self.object(depth)?),
            b'[' => Form::List(self.list(depth)?),
            b'"' => Form::Text(self.string()?),
            _ => {
                while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                    self.at += 1;
                }
                let word = self.text.get(start..self.at)?;
                serde_json::from_str::<serde::de::IgnoredAny>(word).is_ok().then_some(Form::Other)?
            }
        };
        Some(Value { range: start..self.at, form })
    }

    fn object(&mut self, depth: usize) -> Option<Vec<Member>> {
        self.take(b'{')?;
        let mut members = Vec::new();
        self.blanks();
        if self.take(b'}').is_some() {
            return Some(members);
        }
        loop {
            self.blanks();
            let start = self.at;
            let name = self.string()?;
            self.blanks();
            self.take(b':')?;
            let value = self.value(depth + 1)?;
            members.push(Member { name, range: start..self.at, value });
            self.blanks();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(members);
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value>> {
        self.take(b'[')?;
        let mut values = Vec::new();
        self.blanks();
        if self.take(b']').is_some() {
            return Some(values);
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.blanks();
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(values);
            }
        }
    }

    fn string(&mut self) -> Option<Zeroizing<String>> {
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
        Some(Zeroizing::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_where_it_is_said_to_be() {
        let text = "\u{feff} {\"a\": [1, \"x\\\"\"], \"\\u0062\" : {\"c\":null}} ";
        let value = read(text).unwrap();
        let members = value.members().unwrap();
        let told: Vec<_> =
            members.iter().map(|member| (member.name.as_str(), &text[member.value.range.clone()])).collect();
        assert_eq!(told, [("a", "[1, \"x\\\"\"]"), ("b", "{\"c\":null}")]);
        assert_eq!(&text[members[1].range.clone()], "\"\\u0062\" : {\"c\":null}");
        assert_eq!(&text[value.range.clone()], text.trim_matches(['\u{feff}', ' ']));
    }

    #[test]
    fn what_is_no_json_is_none() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        for text in ["", "{", "{} x", "{\"a\"}", "[1,]", "{\"a\":1,}", "tru", "'a'", "\"\\", "\"\\u00e", &deep] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
