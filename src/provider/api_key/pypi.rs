//! PyPI's tokens are macaroons: what they are for and until when stands in them, and nobody can be asked about one but by
//! an upload, which lanyard does not try.
//!
//! The binary format is that of libmacaroons, version 2; the caveats are those of pypi/warehouse (`macaroons/caveats`).

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chrono::{DateTime, Utc};
use serde_json::Value;
use zeroize::Zeroizing;

/// With the `=` at the end or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const LOCATION: u64 = 1;
const IDENTIFIER: u64 = 2;
const VERIFICATION: u64 = 4;
const SIGNATURE: u64 = 6;

/// What a token says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The server that made it: `pypi.org`.
    pub(super) location: String,
    /// The projects that it is limited to. Empty for one that is good for a whole account.
    pub(super) projects: Vec<String>,
    /// When it expires, where it does.
    pub(super) expires: Option<DateTime<Utc>>,
}

impl Token {
    /// Reads a token; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(LENIENT.decode(text.strip_prefix("pypi-")?).ok()?);
        let mut reader = Reader(bytes.strip_prefix(&[2])?);
        let (mut location, mut identified) = (None, false);
        while let Next::Field(kind, content) = reader.field()? {
            match kind {
                LOCATION => location = Some(std::str::from_utf8(content).ok()?.to_owned()),
                IDENTIFIER => identified = true,
                _ => return None,
            }
        }
        let mut token = Self { location: location.filter(|_| identified)?, projects: Vec::new(), expires: None };
        // Each caveat is a section; an empty section ends them.
        loop {
            let mut empty = true;
            while let Next::Field(kind, content) = reader.field()? {
                empty = false;
                match kind {
                    IDENTIFIER => token.limit(content),
                    LOCATION | VERIFICATION => {}
                    _ => return None,
                }
            }
            if empty {
                break;
            }
        }
        matches!(reader.field()?, Next::Field(SIGNATURE, signature) if signature.len() == 32).then_some(token)
    }

    /// Takes a caveat into account. One of a kind that is not known limits the token in a way that is not known.
    fn limit(&mut self, caveat: &[u8]) {
        let Ok(caveat) = serde_json::from_slice::<Value>(caveat) else { return };
        let (expires, projects) = match caveat.get(0).and_then(Value::as_u64) {
            Some(0) => (caveat.get(1), None),
            Some(1) => (None, caveat.get(1)),
            Some(_) => (None, None),
            None => (caveat.get("exp"), caveat.pointer("/permissions/projects")),
        };
        if let Some(at) = expires.and_then(Value::as_i64).and_then(|second| DateTime::from_timestamp(second, 0)) {
            self.expires = Some(self.expires.map_or(at, |known| known.min(at)));
        }
        let projects = projects.and_then(Value::as_array).into_iter().flatten();
        self.projects.extend(projects.filter_map(Value::as_str).map(str::to_owned));
    }

    /// What it is for, in words.
    pub(super) fn reach(&self) -> String {
        if self.projects.is_empty() {
            return "it is well-formed".into();
        }
        format!("it is well-formed, for {}", self.projects.join(", "))
    }
}

/// What comes next in a section.
enum Next<'a> {
    /// A field of a type.
    Field(u64, &'a [u8]),
    /// The section's end.
    End,
}

/// Fields of a type, a length and so many bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next field; `None` where the bytes are no such thing.
    fn field(&mut self) -> Option<Next<'a>> {
        let kind = self.number()?;
        if kind == 0 {
            return Some(Next::End);
        }
        let length = usize::try_from(self.number()?).ok()?;
        let (content, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Next::Field(kind, content))
    }

    /// A number in groups of seven bits, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        let mut length = content.len();
        while length > 0x7f {
            bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        bytes.push(u8::try_from(length).unwrap());
        [&bytes, content].concat()
    }

    /// A token as PyPI makes them, with these caveats.
    pub(in crate::provider::api_key) fn token(caveats: &[&str]) -> String {
        let mut bytes = vec![2];
        bytes.extend(field(1, b"pypi.org"));
        bytes.extend(field(2, b"7a3e0c5e-7f2e-4b6f-9d5a-2f0f5a6f6f10"));
        bytes.push(0);
        for caveat in caveats {
            bytes.extend(field(2, caveat.as_bytes()));
            bytes.push(0);
        }
        bytes.push(0);
        bytes.extend(field(6, &[7; 32]));
        format!("pypi-{}", LENIENT.encode(bytes).trim_end_matches('='))
    }

    #[test]
    fn a_token_tells_what_it_is_for() {
        assert!(token(&[]).starts_with("pypi-AgEIcHlwaS5vcmc"), "as PyPI's own begin");
        let whole = Token::parse(&token(&[])).unwrap();
        assert_eq!(whole, Token { location: "pypi.org".into(), projects: vec![], expires: None });
        let new = Token::parse(&token(&[r#"[1, ["one", "two"]]"#, "[0, 1900000000, 1800000000]", r#"[3, "me"]"#]));
        let new = new.unwrap();
        assert_eq!(new.projects, ["one", "two"]);
        assert_eq!(new.expires.unwrap().timestamp(), 1_900_000_000);
        let old = r#"{"version": 1, "permissions": {"projects": ["three"]}}"#;
        let old = Token::parse(&token(&[old, r#"{"nbf": 1, "exp": 1700000000}"#])).unwrap();
        assert_eq!((old.projects, old.expires.unwrap().timestamp()), (vec!["three".to_owned()], 1_700_000_000));
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = token(&[r#"[1, ["one"]]"#]);
        for length in 0..good.len() {
            assert_eq!(Token::parse(&good[..length]), None, "cut at {length}");
        }
        assert_eq!(Token::parse(&good.replace("pypi-", "pypi_")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_token_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Token::parse(&format!("pypi-{}", LENIENT.encode(&bytes)));
        }
    }
}
