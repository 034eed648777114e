//! JSON files, out of which a member of an object can be cut.

use std::ops::Range;

use super::{Piece, Unwanted};
use crate::text::json::{self, Form, Member, Value};

/// The member with an unwanted value and its comma; where its object holds nothing else, the member that this is.
pub(super) fn piece(text: &str, unwanted: &Unwanted) -> Piece {
    of_value(&json::read(text).ok_or("it is no JSON")?, unwanted)
}

fn of_value(value: &Value, unwanted: &Unwanted) -> Piece {
    match &value.form {
        Form::Object(members) => of_object(members, unwanted),
        Form::List(values) => {
            for value in values {
                if matches!(&value.form, Form::Text(text) if unwanted.is(text)) {
                    return Err("it stands in a list, whose other entries would move");
                }
                let piece = of_value(value, unwanted)?;
                if piece.is_some() {
                    return Ok(piece);
                }
            }
            Ok(None)
        }
        Form::Text(_) | Form::Other => Ok(None),
    }
}

fn of_object(members: &[Member], unwanted: &Unwanted) -> Piece {
    for (at, member) in members.iter().enumerate() {
        let goes = match &member.value.form {
            Form::Text(text) => unwanted.is(text),
            Form::Object(inner) => match inner.as_slice() {
                [Member { value: Value { form: Form::Text(text), .. }, .. }] => unwanted.is(text),
                _ => false,
            },
            Form::List(_) | Form::Other => false,
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
