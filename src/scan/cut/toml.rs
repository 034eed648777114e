//! TOML: an entry that has its lines to itself.

use std::ops::Range;

use toml_edit::{Document, Item, Table, Value};

use super::{Piece, Unwanted};

/// The lines of an entry with an unwanted value.
pub(super) fn piece(text: &str, unwanted: &Unwanted) -> Piece {
    let document = Document::parse(text).map_err(|_| "it is no TOML")?;
    of_table(text, document.as_table(), unwanted)
}

fn of_table(text: &str, table: &Table, unwanted: &Unwanted) -> Piece {
    for (name, item) in table {
        let piece = match item {
            Item::Value(Value::String(value)) if unwanted.is(value.value()) => {
                let key = table.key(name).and_then(toml_edit::Key::span);
                let lines = key.zip(item.span()).and_then(|(key, value)| lines(text, key.start..value.end));
                Some(lines.ok_or("something else stands on the same line")?)
            }
            Item::Value(value) if holds(value, unwanted) => return Err("it stands within a value of several parts"),
            Item::Table(inner) => of_table(text, inner, unwanted)?,
            Item::ArrayOfTables(tables) => {
                let mut piece = None;
                for inner in tables {
                    piece = of_table(text, inner, unwanted)?;
                    if piece.is_some() {
                        break;
                    }
                }
                piece
            }
            Item::Value(_) | Item::None => None,
        };
        if piece.is_some() {
            return Ok(piece);
        }
    }
    Ok(None)
}

fn holds(value: &Value, unwanted: &Unwanted) -> bool {
    match value {
        Value::String(text) => unwanted.is(text.value()),
        Value::Array(values) => values.iter().any(|value| holds(value, unwanted)),
        Value::InlineTable(table) => table.iter().any(|(_, value)| holds(value, unwanted)),
        _ => false,
    }
}

/// The lines that a piece takes up, where nothing else but a comment stands on them.
fn lines(text: &str, piece: Range<usize>) -> Option<Range<usize>> {
    let before = text.get(..piece.start)?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let after = text.get(piece.end..)?;
    let end = after.find('\n').map_or(text.len(), |length| piece.end + length + 1);
    let rest = text.get(piece.end..end)?.trim();
    let is_alone = before.get(start..)?.trim().is_empty() && (rest.is_empty() || rest.starts_with('#'));
    is_alone.then_some(start..end)
}
