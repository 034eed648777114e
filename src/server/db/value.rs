//! What is bound to a statement, and what comes back.

use super::DbError;

/// A value that is bound to a statement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'v> {
    /// Nothing.
    Null,
    /// A text.
    Text(&'v str),
    /// A number.
    Int(i64),
    /// Bytes.
    Bytes(&'v [u8]),
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(text: &'v String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v> From<&'v Vec<u8>> for Value<'v> {
    fn from(bytes: &'v Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v> From<&'v [u8; 32]> for Value<'v> {
    fn from(bytes: &'v [u8; 32]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v, T: Into<Value<'v>>> From<Option<T>> for Value<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The values of a statement, in the order of their numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::server::db::Value::from($value)),*] };
}
pub(crate) use values;

/// One row.
#[derive(Debug)]
pub(crate) struct Row(pub(super) Vec<Cell>);

/// One value of a row.
#[derive(Debug)]
pub(super) enum Cell {
    Null,
    Text(String),
    Int(i64),
    Bytes(Vec<u8>),
}

impl Row {
    fn cell(&mut self, column: usize) -> Result<Cell, DbError> {
        let cell = self.0.get_mut(column).ok_or(DbError::Shape)?;
        Ok(std::mem::replace(cell, Cell::Null))
    }

    /// Each value, as it would be bound to a statement.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value<'_>> {
        self.0.iter().map(|cell| match cell {
            Cell::Null => Value::Null,
            Cell::Text(text) => Value::Text(text),
            Cell::Int(number) => Value::Int(*number),
            Cell::Bytes(bytes) => Value::Bytes(bytes),
        })
    }

    /// The text in a column, which is taken out.
    pub(crate) fn text(&mut self, column: usize) -> Result<String, DbError> {
        self.maybe_text(column)?.ok_or(DbError::Shape)
    }

    /// The number in a column.
    pub(crate) fn int(&mut self, column: usize) -> Result<i64, DbError> {
        self.maybe_int(column)?.ok_or(DbError::Shape)
    }

    /// The bytes in a column, which are taken out.
    pub(crate) fn bytes(&mut self, column: usize) -> Result<Vec<u8>, DbError> {
        match self.cell(column)? {
            Cell::Bytes(bytes) => Ok(bytes),
            _ => Err(DbError::Shape),
        }
    }

    /// Bytes, or nothing.
    pub(crate) fn maybe_bytes(&mut self, column: usize) -> Result<Option<Vec<u8>>, DbError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes)),
            _ => Err(DbError::Shape),
        }
    }

    /// The text in a column, where there is one.
    pub(crate) fn maybe_text(&mut self, column: usize) -> Result<Option<String>, DbError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            _ => Err(DbError::Shape),
        }
    }

    /// The number in a column, where there is one.
    pub(crate) fn maybe_int(&mut self, column: usize) -> Result<Option<i64>, DbError> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Int(number) => Ok(Some(number)),
            _ => Err(DbError::Shape),
        }
    }
}
