//! The files of official tools, read as those tools read them. A file that is there and broken is told by name and line;
//! nothing that stands in it is quoted.

use std::path::Path;

use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Here, ProviderError};
use crate::http;
use crate::os::files;

mod ini;

pub(super) use ini::{Ini, Section};

/// A file of an official tool that is there.
pub(super) struct Foreign {
    text: Zeroizing<String>,
    place: String,
    what: &'static str,
}

impl Foreign {
    /// The file; `None` where there is none. `what` is what it should be: `OVH configuration`.
    pub(super) fn read(here: &Here<'_>, path: &Path, what: &'static str) -> Result<Option<Self>, ProviderError> {
        let Some(bytes) = files::read(path)?.map(Zeroizing::new) else { return Ok(None) };
        let place = here.shown(path);
        // Windows tools put a byte-order mark in front.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(Self { text: Zeroizing::new(text.to_owned()), place, what })),
            Err(error) => {
                let line = line_of(bytes, error.valid_up_to());
                Err(ProviderError::Foreign { place, what, problem: format!("line {line} is no UTF-8 text") })
            }
        }
    }

    /// What stands in it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing stands in it.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// What is wrong with it.
    pub(super) fn broken(&self, problem: String) -> ProviderError {
        ProviderError::Foreign { place: self.place.clone(), what: self.what, problem }
    }

    /// The file as TOML of the shape `T`.
    pub(super) fn toml<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        toml::from_str(&self.text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(self.text.as_bytes(), span.start));
            self.broken(format!("line {line} is no TOML of the expected form"))
        })
    }

    /// The file as JSON of the shape `T`.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        http::parse_json(self.text.as_bytes()).map_err(|problem| self.broken(problem.to_string()))
    }

    /// The file as YAML of the shape `T`.
    pub(super) fn yaml<T: DeserializeOwned>(&self) -> Result<T, ProviderError> {
        serde_saphyr::from_str_with_options(&self.text, yaml_limits()).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            self.broken(format!("line {line} is no YAML of the expected form"))
        })
    }

    /// The file as sections of `name = value`.
    pub(super) fn ini(&self) -> Result<Ini, ProviderError> {
        Ini::parse(&self.text).map_err(|(line, problem)| self.broken(format!("line {line} {problem}")))
    }
}

/// How much of YAML is read: more than any official tool writes, and no text that is small and grows.
pub(super) fn yaml_limits() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            flow_nesting_limit: 32,
            max_documents: 1,
            max_events: 200_000,
            max_nodes: 100_000,
            max_aliases: 500,
            max_anchors: 500,
            max_merge_keys: 100,
            max_total_scalar_bytes: 4 << 20,
            max_recorded_anchor_events: 20_000,
            max_recorded_anchor_bytes: 1 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 500,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        emit_comments: false,
        with_snippet: false,
    }
}

/// The line in which the byte at `offset` stands, from 1.
fn line_of(bytes: &[u8], offset: usize) -> usize {
    1 + bytes.iter().take(offset).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests;
