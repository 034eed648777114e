//! Holds a configuration text against the schema and remembers on which line each value stands.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{At, ConfigError};
use super::schema::{self, Field, Kind, Node};
use super::{Config, ServiceTable};

/// One value of the file.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key as a person writes it.
    pub key: String,
    /// What the schema says about it.
    pub field: &'static Field,
    /// The line, counted from 1.
    pub line: usize,
    /// The value.
    pub value: serde_json::Value,
}

impl Entry {
    /// The value as a person writes it: a list with commas between.
    pub fn shown(&self) -> String {
        match &self.value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) => {
                items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        }
    }
}

/// Reads and checks the bytes of `path`.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<(Config, Vec<Entry>), ConfigError> {
    let text = utf8(path, bytes)?;
    let table = parse(path, text)?;
    let mut walk = Walk { path, text, key: Vec::new(), entries: Vec::new() };
    walk.table(table.get_ref())?;
    let mut entries = walk.entries;
    entries.sort_by_key(|entry| entry.line);
    let span = table.span();
    let config = Config::deserialize(toml::Deserializer::from(table)).map_err(|error| ConfigError::Syntax {
        // The schema has accepted every value, so this is a slip of ours; serde's text would quote the value.
        at: At::offset(path, text, error.span().unwrap_or(span).start),
        problem: "this does not fit".into(),
    })?;
    let lines: BTreeMap<String, usize> = entries.iter().map(|entry| (entry.key.clone(), entry.line)).collect();
    refuse_mix_up(path, &config, &lines)?;
    Ok((Config { lines, path: path.to_owned(), ..config }, entries))
}

/// The text of `bytes`, if it is a configuration that could be used.
pub fn sound<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, ConfigError> {
    read(path, bytes)?;
    utf8(path, bytes)
}

/// The text of a file, or where it stops being UTF-8.
pub(super) fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, ConfigError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        ConfigError::Syntax { at: At::offset(path, &good, good.len()), problem: "this is not UTF-8".into() }
    })
}

/// The table of a TOML text.
pub(super) fn parse<'a>(path: &Path, text: &'a str) -> Result<Spanned<DeTable<'a>>, ConfigError> {
    DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        at: At::offset(path, text, error.span().map_or(text.len(), |span| span.start)),
        // The parser's message is made of its own words; its `Display` would add the whole line.
        problem: error.message().to_owned(),
    })
}

struct Walk<'a> {
    path: &'a Path,
    text: &'a str,
    key: Vec<String>,
    entries: Vec<Entry>,
}

impl Walk<'_> {
    fn at(&self, offset: usize) -> At {
        At::offset(self.path, self.text, offset)
    }

    fn table(&mut self, table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            self.key.push(name.get_ref().to_string());
            if schema::ends_in_name(&self.key) && !schema::is_name(name.get_ref()) {
                return Err(ConfigError::BadValue {
                    at: self.at(name.span().start),
                    key: schema::join(&self.key),
                    problem: "has no usable name".into(),
                    mend: schema::NAME_MEND.into(),
                });
            }
            self.item(value, name.span().start)?;
            self.key.pop();
        }
        Ok(())
    }

    fn item(&mut self, value: &Spanned<DeValue<'_>>, key_offset: usize) -> Result<(), ConfigError> {
        match (schema::node(&self.key), value.get_ref()) {
            (Node::Unknown, _) => Err(schema::unknown(self.at(key_offset), &self.key)),
            (Node::Table, DeValue::Table(table)) => self.table(table),
            (Node::Tables, DeValue::Array(items)) => self.tables(items.iter(), key_offset),
            (Node::Table | Node::Tables, other) => {
                let expected = match schema::node(&self.key) {
                    Node::Tables => "a list of tables",
                    _ => "a table",
                };
                Err(self.wrong_type(value, expected, other))
            }
            (Node::Value(field), _) => self.value(field, value),
        }
    }

    fn tables<'v>(
        &mut self,
        items: impl Iterator<Item = &'v Spanned<DeValue<'v>>>,
        key_offset: usize,
    ) -> Result<(), ConfigError> {
        for (place, item) in items.enumerate() {
            self.key.push(place.to_string());
            let DeValue::Table(table) = item.get_ref() else {
                return Err(self.wrong_type(item, "a table", item.get_ref()));
            };
            self.table(table)?;
            self.key.push(String::new());
            for word in schema::siblings(&self.key) {
                if !table.contains_key(word) {
                    self.key.pop();
                    return Err(ConfigError::BadValue {
                        at: self.at(item.span().start.max(key_offset)),
                        key: schema::join(&self.key),
                        problem: format!("lacks {word}"),
                        mend: format!("add {word}, or remove the whole entry"),
                    });
                }
            }
            self.key.truncate(self.key.len() - 2);
        }
        Ok(())
    }

    fn value(&mut self, field: &'static Field, value: &Spanned<DeValue<'_>>) -> Result<(), ConfigError> {
        let json = match (field.kind, value.get_ref()) {
            (Kind::Bool, DeValue::Boolean(truth)) => (*truth).into(),
            (Kind::Port, DeValue::Integer(number)) => self.port(number, value.span().start)?.into(),
            (Kind::List, DeValue::Array(items)) => {
                let texts: Result<Vec<String>, ConfigError> =
                    items.iter().map(|item| self.text(field.kind, item, "a list of texts")).collect();
                texts?.into()
            }
            (Kind::Bool, other) => return Err(self.wrong_type(value, "true or false", other)),
            (Kind::Port, other) => return Err(self.wrong_type(value, "a port number", other)),
            (Kind::List, other) => return Err(self.wrong_type(value, "a list of texts", other)),
            (kind, _) => self.text(kind, value, "a text in quotation marks")?.into(),
        };
        let At::File { line, .. } = self.at(value.span().start) else { return Ok(()) };
        self.entries.push(Entry { key: schema::join(&self.key), field, line, value: json });
        Ok(())
    }

    fn port(&self, number: &toml::de::DeInteger<'_>, offset: usize) -> Result<u16, ConfigError> {
        let port = u16::from_str_radix(number.as_str(), number.radix()).ok().filter(|port| *port > 0);
        port.ok_or_else(|| ConfigError::BadValue {
            at: self.at(offset),
            key: schema::join(&self.key),
            problem: "is no port".into(),
            mend: "write a number from 1 to 65535".into(),
        })
    }

    fn text(&self, kind: Kind, value: &Spanned<DeValue<'_>>, expected: &'static str) -> Result<String, ConfigError> {
        let DeValue::String(text) = value.get_ref() else {
            return Err(self.wrong_type(value, expected, value.get_ref()));
        };
        match schema::problem(kind, text) {
            None => Ok(text.to_string()),
            Some((problem, mend)) => Err(ConfigError::BadValue {
                at: self.at(value.span().start),
                key: schema::join(&self.key),
                problem,
                mend,
            }),
        }
    }

    fn wrong_type(&self, at: &Spanned<DeValue<'_>>, expected: &'static str, found: &DeValue<'_>) -> ConfigError {
        let found = match found {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        ConfigError::WrongType { at: self.at(at.span().start), key: schema::join(&self.key), expected, found }
    }
}

/// One issuer with two token endpoints would let one service collect the other's codes (RFC 9700 section 4.4).
fn refuse_mix_up(path: &Path, config: &Config, lines: &BTreeMap<String, usize>) -> Result<(), ConfigError> {
    let explicit = |table: &ServiceTable| Some((table.issuer.clone()?, table.token_endpoint.clone()?));
    let mut seen: BTreeMap<String, (&str, String)> = BTreeMap::new();
    for (name, table) in &config.services {
        let Some((issuer, endpoint)) = explicit(table) else { continue };
        let (first, known) = seen.entry(issuer).or_insert_with(|| (name, endpoint.clone()));
        if *known != endpoint {
            let key = schema::join(&["services".into(), name.clone(), "token_endpoint".into()]);
            let line = lines.get(&key).copied().unwrap_or(1);
            return Err(ConfigError::MixUp {
                at: At::File { path: path.to_owned(), line, column: 1 },
                first: (*first).to_owned(),
                second: name.clone(),
            });
        }
    }
    Ok(())
}
