//! The shape of a document: its keys, and which of them have a value. What the values are is not kept.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// So many parts a document may have in all: what is kept of one is many times as long as it is.
const MOST: usize = 100_000;
/// So deep it may be nested.
const DEEPEST: usize = 32;

/// A part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing, no, or an empty text: what tools take for a key that is not there.
    Empty,
    /// Any other value.
    Value,
    List(Vec<Part>),
    Map(BTreeMap<String, Part>),
}

/// Why nothing is told of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is of another form.
    Other,
    /// It is of this form, and a tool may read it; this reader does not: it has one key twice, which each tool reads in
    /// its own way, or is larger or deeper than any such document.
    Strange,
}

impl Part {
    /// What is under a key; nothing where it is no map.
    pub(super) fn at(&self, key: &str) -> &Self {
        match self {
            Self::Map(parts) => parts.get(key).unwrap_or(&Self::Empty),
            _ => &Self::Empty,
        }
    }

    /// Its keys, with what is under them.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, &Self)> {
        let parts = if let Self::Map(parts) = self { Some(parts) } else { None };
        parts.into_iter().flatten().map(|(key, part)| (key.as_str(), part))
    }

    /// What a list has.
    pub(super) fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// Whether a tool would take it for a value.
    pub(super) fn is_set(&self) -> bool {
        match self {
            Self::Empty => false,
            // An empty map under `exec` is a program without a name.
            Self::Value | Self::Map(_) => true,
            Self::List(items) => !items.is_empty(),
        }
    }

    /// Reads JSON.
    pub(super) fn of_json(text: &str) -> Result<Self, Unread> {
        let (part, mut reader) = json(text)?;
        reader.end().map_err(|_| Unread::Other)?;
        Ok(part)
    }

    /// Reads the JSON that a text begins with: some tools look no further.
    pub(super) fn of_leading_json(text: &str) -> Result<Self, Unread> {
        json(text).map(|(part, _)| part)
    }

    /// Reads YAML within narrow limits.
    pub(super) fn of_yaml(text: &str) -> Option<Self> {
        const LONGEST: usize = 256 << 10;
        if text.len() > LONGEST {
            return None;
        }
        let limits = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: DEEPEST,
                flow_nesting_limit: DEEPEST,
                max_documents: 1,
                max_events: 30_000,
                max_nodes: 10_000,
                max_aliases: 20,
                max_anchors: 20,
                max_merge_keys: 10,
                max_total_scalar_bytes: LONGEST,
                max_recorded_anchor_events: 1_000,
                max_recorded_anchor_bytes: 64 << 10,
            },
            alias_limits: serde_saphyr::alias_limits! {
                max_total_replayed_events: 1_000,
                max_replay_stack_depth: 4,
                max_alias_expansions_per_anchor: 20,
            },
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
            emit_comments: false,
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(text, limits).ok()
    }
}

/// The JSON that a text begins with, and what reads on.
fn json(text: &str) -> Result<(Part, serde_json::Deserializer<serde_json::de::StrRead<'_>>), Unread> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let part = Part::deserialize(&mut reader).map_err(|failure| match failure.classify() {
        // Only what `Reader` refuses is of this sort: any value is a part.
        serde_json::error::Category::Data => Unread::Strange,
        _ => Unread::Other,
    })?;
    Ok((part, reader))
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader { left: &Cell::new(MOST), depth: 0 })
    }
}

/// Reads one part.
#[derive(Clone, Copy)]
struct Reader<'l> {
    /// So many there may still be in all of the document.
    left: &'l Cell<usize>,
    depth: usize,
}

impl Reader<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEEPEST { Err(E::custom("too deep")) } else { Ok(Self { depth: self.depth + 1, ..self }) }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Part;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Part, D::Error> {
        self.left.set(self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many parts"))?);
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Part;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_unit<E: Error>(self) -> Result<Part, E> {
        Ok(Part::Empty)
    }

    fn visit_none<E: Error>(self) -> Result<Part, E> {
        Ok(Part::Empty)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Part, D::Error> {
        from.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Part, E> {
        Ok(if value { Part::Value } else { Part::Empty })
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Part, E> {
        Ok(if value.is_empty() { Part::Empty } else { Part::Value })
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Part, E> {
        Ok(Part::Value)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Part, E> {
        Ok(Part::Value)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Part, E> {
        Ok(Part::Value)
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Part, E> {
        Ok(Part::Value)
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Part, E> {
        Ok(Part::Value)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Part, E> {
        Ok(Part::Value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Part, A::Error> {
        let inside = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Part::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Part, A::Error> {
        let inside = self.deeper()?;
        let mut parts = BTreeMap::new();
        while let Some(key) = from.next_key::<String>()? {
            if parts.insert(key, from.next_value_seed(inside)?).is_some() {
                return Err(A::Error::custom("one key twice"));
            }
        }
        Ok(Part::Map(parts))
    }
}
