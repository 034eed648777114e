//! The shape of a document: its keys, and which of them have a value. What the values are is not kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

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

    /// Reads JSON. One key twice is read by each tool in its own way, and by this one not at all.
    pub(super) fn of_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Reads YAML within narrow limits.
    pub(super) fn of_yaml(text: &str) -> Option<Self> {
        const LONGEST: usize = 256 << 10;
        if text.len() > LONGEST {
            return None;
        }
        let limits = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_depth: 32,
                flow_nesting_limit: 32,
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

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
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
        Part::deserialize(from)
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
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Part::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Part, A::Error> {
        let mut parts = BTreeMap::new();
        while let Some((key, part)) = from.next_entry::<String, Part>()? {
            if parts.insert(key, part).is_some() {
                return Err(A::Error::custom("one key twice"));
            }
        }
        Ok(Part::Map(parts))
    }
}
