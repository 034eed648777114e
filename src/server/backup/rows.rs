//! A row as a line of a backup: an array of texts, numbers, nothing, and bytes in base 64 within an array of their own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use crate::server::db::{Row, Value};

/// One value of a row that was read.
pub(super) enum Cell {
    Null,
    Text(String),
    Int(i64),
    Bytes(Vec<u8>),
}

impl Cell {
    /// As it is bound to a statement.
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Text(text) => Value::Text(text),
            Self::Int(number) => Value::Int(*number),
            Self::Bytes(bytes) => Value::Bytes(bytes),
        }
    }
}

/// The line of a row.
pub(super) fn written(row: &Row) -> Json {
    let cell = |value: Value<'_>| match value {
        Value::Null => Json::Null,
        Value::Text(text) => text.into(),
        Value::Int(number) => number.into(),
        Value::Bytes(bytes) => Json::Array(vec![STANDARD.encode(bytes).into()]),
    };
    row.values().map(cell).collect()
}

/// The row of a line.
pub(super) fn read(line: &Json) -> Option<Vec<Cell>> {
    let cell = |value: &Json| match value {
        Json::Null => Some(Cell::Null),
        Json::String(text) => Some(Cell::Text(text.clone())),
        Json::Number(number) => number.as_i64().map(Cell::Int),
        Json::Array(bytes) => match bytes.as_slice() {
            [Json::String(text)] => STANDARD.decode(text).ok().map(Cell::Bytes),
            _ => None,
        },
        _ => None,
    };
    line.as_array()?.iter().map(cell).collect()
}
