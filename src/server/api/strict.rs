//! JSON that is read strictly: no member twice, and no more of anything than a request needs.
//!
//! Two readers of one text must not come to two meanings, and a text must not cost more than its length. So a body is
//! gone through before it is read into anything.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use axum::http::StatusCode;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::server::problem::Problem;
use crate::text::clean;

/// So deep a body may be nested.
const DEEPEST: usize = 32;
/// So many members and items it may have in all.
const MOST: usize = 10_000;
/// The longest text in it, in bytes: the largest secret there is, in base64.
const LONGEST: usize = 2 << 20;
/// The longest name of a member.
const NAME: usize = 256;
/// A larger number is another one to some who read it (RFC 8259 section 6).
const LARGEST: u64 = 1 << 53;

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrong {
    Deep,
    Many,
    Long,
    Large,
    Twice(String),
}

impl Wrong {
    fn problem(self) -> Problem {
        let complex = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "too-complex", detail);
        match self {
            Self::Deep => complex("the body is nested too deep"),
            Self::Many => complex("the body has too many members and items"),
            Self::Long => complex("a text in the body is too long"),
            Self::Large => complex("a number in the body is too large"),
            Self::Twice(name) => {
                let name: String = clean(&name).chars().take(64).collect();
                let detail = format!("the body names {name} twice in one object");
                let problem = Problem::new(StatusCode::BAD_REQUEST, "duplicate-name", detail);
                problem.with("name", name)
            }
        }
    }
}

/// Goes through a body.
pub(super) fn check(body: &[u8]) -> Result<(), Problem> {
    let state = RefCell::new(State { left: MOST, wrong: None });
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = At { state: &state, depth: 0 }.deserialize(&mut reader).and_then(|()| reader.end());
    let wrong = state.into_inner().wrong;
    match (wrong, read) {
        (Some(wrong), _) => Err(wrong.problem()),
        (None, Ok(())) => Ok(()),
        // Where it breaks off, and not a word of what stands there.
        (None, Err(failure)) => {
            Err(Problem::bad(format!("the body is no JSON: line {}, column {}", failure.line(), failure.column())))
        }
    }
}

struct State {
    /// So many members and items there may still be.
    left: usize,
    wrong: Option<Wrong>,
}

/// A place in a body.
#[derive(Clone, Copy)]
struct At<'s> {
    state: &'s RefCell<State>,
    depth: usize,
}

impl At<'_> {
    fn wrong<E: serde::de::Error>(self, wrong: Wrong) -> E {
        self.state.borrow_mut().wrong = Some(wrong);
        E::custom("refused")
    }

    /// One level deeper.
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEEPEST { Err(self.wrong(Wrong::Deep)) } else { Ok(Self { depth: self.depth + 1, ..self }) }
    }

    fn one_more<E: serde::de::Error>(self) -> Result<(), E> {
        let left = self.state.borrow().left.checked_sub(1);
        let left = left.ok_or_else(|| self.wrong(Wrong::Many))?;
        self.state.borrow_mut().left = left;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        if number > LARGEST { Err(self.wrong(Wrong::Large)) } else { Ok(()) }
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_u64(number.unsigned_abs())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        // 2^53 is a number of this form as it is.
        #[allow(clippy::cast_precision_loss, reason = "a power of two loses nothing")]
        let is_large = number.abs() > LARGEST as f64;
        if is_large { Err(self.wrong(Wrong::Large)) } else { Ok(()) }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.len() > LONGEST { Err(self.wrong(Wrong::Long)) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        while items.next_element_seed(inside)?.is_some() {
            self.one_more()?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inside = self.deeper()?;
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            self.one_more()?;
            if name.len() > NAME {
                return Err(self.wrong(Wrong::Long));
            }
            if names.contains(&name) {
                return Err(self.wrong(Wrong::Twice(name)));
            }
            names.insert(name);
            members.next_value_seed(inside)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn code(body: &str) -> Option<&'static str> {
        check(body.as_bytes()).err().map(|problem| problem.kind())
    }

    #[test]
    fn a_body_is_of_bounded_form() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let members =
            |count: usize| format!("{{{}}}", (0..count).map(|at| format!("\"k{at}\":0")).collect::<Vec<_>>().join(","));
        for good in [
            "{}",
            "[1, -1, 9007199254740992, 0.5, null, true]",
            r#"{"a":{"b":1},"c":{"b":1},"b":[{"b":1},{"b":1}]}"#,
            &nested(32),
            &members(10_000),
        ] {
            assert_eq!(code(good), None, "{}", &good[..good.len().min(40)]);
        }
        for (body, expected) in [
            (nested(33), "too-complex"),
            ("[".repeat(100_000), "too-complex"),
            ("{\"a\":".repeat(100_000), "too-complex"),
            (members(10_001), "too-complex"),
            (members(100_000), "too-complex"),
            (format!("[{}0]", "0,".repeat(10_000)), "too-complex"),
            (format!("\"{}\"", "a".repeat(LONGEST + 1)), "too-complex"),
            (format!("{{\"{}\":1}}", "a".repeat(NAME + 1)), "too-complex"),
            ("9007199254740993".into(), "too-complex"),
            ("-9007199254740993".into(), "too-complex"),
            ("1e300".into(), "too-complex"),
            ("9".repeat(1 << 20), "bad-request"),
            ("1e999".into(), "bad-request"),
            (r#"{"a":1,"a":1}"#.into(), "duplicate-name"),
            (r#"{"a":1,"\u0061":2}"#.into(), "duplicate-name"),
            (r#"[{"b":{"c":{},"d":1,"c":[]}}]"#.into(), "duplicate-name"),
            ("{\"a\":1".into(), "bad-request"),
            ("{} {}".into(), "bad-request"),
            ("{'a':1}".into(), "bad-request"),
            ("NaN".into(), "bad-request"),
            (String::new(), "bad-request"),
        ] {
            let begun = Instant::now();
            assert_eq!(code(&body), Some(expected), "{}", &body[..body.len().min(40)]);
            assert!(begun.elapsed() < Duration::from_secs(2), "{}", &body[..body.len().min(40)]);
        }
    }

    #[test]
    fn a_refusal_names_what_is_there_twice_and_quotes_nothing_else() {
        let problem = check(br#"{"password":"hunter2","password":"hunter3"}"#).unwrap_err();
        assert!(problem.detail().contains("password") && !problem.detail().contains("hunter"));
        let problem = check(b"{\"password\":\"hunter2\",}").unwrap_err();
        assert_eq!(problem.detail(), "the body is no JSON: line 1, column 23");
        let problem =
            check("{\"a\u{1b}[31m\":1,\"a\u{1b}[31m\":1}".replace('\u{1b}', "\\u001b").as_bytes()).unwrap_err();
        assert!(!problem.detail().contains('\u{1b}'));
    }
}
