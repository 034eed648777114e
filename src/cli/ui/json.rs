//! JSON as it is printed: what a terminal would act on leaves as `\u` escapes.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer as _};
use serde_json::Serializer;
use serde_json::ser::Formatter;

use super::UiError;
use crate::error::Result;
use crate::text::{is_plain, is_unprintable};

type Pretty<'t> = Serializer<&'t mut Vec<u8>, Printable>;

/// The elements of an array, written one after the other, so that a long one is never held in another form.
pub struct JsonList<'l, 't>(<&'l mut Pretty<'t> as serde::Serializer>::SerializeSeq);

impl JsonList<'_, '_> {
    /// Adds an element.
    pub fn push(&mut self, element: &impl Serialize) -> Result<(), UiError> {
        self.0.serialize_element(element).map_err(unfit)
    }
}

/// A value, over several lines.
pub(super) fn pretty(value: &impl Serialize) -> Result<Vec<u8>, UiError> {
    written(value, Printable::pretty())
}

/// A value on one line.
pub(super) fn line(value: &impl Serialize) -> Result<Vec<u8>, UiError> {
    written(value, Printable::line())
}

/// An array that `fill` fills, over several lines.
pub(super) fn list(fill: impl FnOnce(&mut JsonList<'_, '_>) -> Result<()>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, Printable::pretty());
    let mut list = JsonList(serializer.serialize_seq(None).map_err(unfit)?);
    fill(&mut list)?;
    list.0.end().map_err(unfit)?;
    Ok(text)
}

fn written(value: &impl Serialize, formatter: Printable) -> Result<Vec<u8>, UiError> {
    let mut text = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut text, formatter)).map_err(unfit)?;
    Ok(text)
}

/// Only a value that JSON has no form for comes here.
fn unfit(_: serde_json::Error) -> UiError {
    UiError::Write(io::ErrorKind::InvalidData.into())
}

/// A line break and the blanks before what stands in an array or object, after a comma. Cut at its depth.
const BREAK: &[u8] = b",\n                                                                ";
/// The same at the depths that most keys stand at, with the quote that a key begins with.
const BREAK_AND_QUOTE: [&[u8]; 5] = [b",\n\"", b",\n  \"", b",\n    \"", b",\n      \"", b",\n        \""];

/// The form that `serde_json` gives: two blanks a level, or all on one line; what a terminal would act on as escapes.
///
/// Its own formatter writes what stands around a key in six pieces or more, which is half of the time that a long list
/// takes; this one does with two.
struct Printable {
    /// How deep the value is that is being written; `None` where all stands on one line.
    depth: Option<usize>,
    /// Whether anything stands in the innermost array or object.
    is_filled: bool,
    /// Where a key is that is being written.
    key: Key,
}

#[derive(Clone, Copy)]
enum Key {
    /// Behind us.
    None,
    /// About to begin, the first of its object or not.
    Begins { first: bool },
    /// About to end.
    Ends,
}

impl Printable {
    fn pretty() -> Self {
        Self { depth: Some(0), is_filled: false, key: Key::None }
    }

    fn line() -> Self {
        Self { depth: None, is_filled: false, key: Key::None }
    }

    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.map(|depth| depth + 1);
        self.is_filled = false;
        writer.write_all(bracket)
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.map(|depth| depth.saturating_sub(1));
        if self.is_filled && self.depth.is_some() {
            self.next(writer, true)?;
        }
        writer.write_all(bracket)
    }

    /// To the next line, or to the next element of one; a comma goes before all but the first.
    fn next<W: ?Sized + Write>(&self, writer: &mut W, first: bool) -> io::Result<()> {
        let comma = usize::from(first);
        let Some(depth) = self.depth else { return writer.write_all(BREAK.get(comma..1).unwrap_or_default()) };
        if let Some(line) = BREAK.get(comma..2 + 2 * depth) {
            return writer.write_all(line);
        }
        writer.write_all(BREAK.get(comma..2).unwrap_or_default())?;
        (0..depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl Formatter for Printable {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.next(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        self.key = Key::Begins { first };
        Ok(())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        Ok(())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_filled = true;
        Ok(())
    }

    fn begin_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let Key::Begins { first } = self.key else { return writer.write_all(b"\"") };
        self.key = Key::Ends;
        let both = self.depth.and_then(|depth| BREAK_AND_QUOTE.get(depth)?.get(usize::from(first)..));
        match both {
            Some(both) => writer.write_all(both),
            None => self.next(writer, first).and_then(|()| writer.write_all(b"\"")),
        }
    }

    fn end_string<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        match (std::mem::replace(&mut self.key, Key::None), self.depth) {
            (Key::Ends, Some(_)) => writer.write_all(b"\": "),
            (Key::Ends, None) => writer.write_all(b"\":"),
            _ => writer.write_all(b"\""),
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        if !is_plain(rest) {
            while let Some((before, character)) = rest.find(is_unprintable).and_then(|at| rest.split_at_checked(at)) {
                let mut after = character.chars();
                writer.write_all(before.as_bytes())?;
                for unit in after.next().unwrap_or_default().encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
                rest = after.as_str();
            }
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_what_serde_writes_but_for_what_a_terminal_acts_on() {
        let deep = (0..40).fold(serde_json::json!({"x": [1, 2]}), |inside, _| serde_json::json!([inside, "y"]));
        let value = serde_json::json!({
            "a": [1, -2.5, null, true, [], {}], "b\u{7f}": {"c": "é日本\n\"\\\u{1}", "d": "x"}, "": "",
            "deep": deep,
            "bidi\u{202e}": ["\u{9b}31m", "\u{e0041}end", "\u{feff}", "\u{200b}\u{200b}"],
        });
        let pretty = String::from_utf8(pretty(&value).unwrap()).unwrap();
        let line = String::from_utf8(line(&value).unwrap()).unwrap();
        for (text, plain) in [(&pretty, serde_json::to_string_pretty(&value).unwrap()), (&line, value.to_string())] {
            assert!(!text.chars().any(|character| character != '\n' && is_unprintable(character)), "{text}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(text).unwrap(), value);
            let escape = |text: String, character: char| {
                let units =
                    character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>();
                text.replace(character, &units.concat())
            };
            let bare = ['\u{7f}', '\u{202e}', '\u{9b}', '\u{e0041}', '\u{feff}', '\u{200b}'];
            assert_eq!(*text, bare.into_iter().fold(plain, escape));
        }
    }

    #[test]
    fn a_list_is_what_its_elements_are_together() {
        for elements in [&[][..], &[vec!["a"]], &[vec!["a", "b\u{202e}"], vec![], vec!["c"]]] {
            let text = list(|list| {
                for element in elements {
                    list.push(element)?;
                }
                Ok(())
            });
            assert_eq!(String::from_utf8(text.unwrap()), String::from_utf8(pretty(&elements).unwrap()));
        }
    }
}
