//! The index of a Helm repository: one YAML text, of whoever runs it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Chart, LONGEST_NAME, Listing, MOST_CHARTS, NOT_ONE, NoList, Version, chart};
use crate::credential::Material;
use crate::http::{Request, below, header};
use crate::provider::apply;

/// The longest index that is read, in bytes: some twenty thousand versions with all that is said of each.
const LONGEST: usize = 16 << 20;

#[derive(Deserialize)]
struct Index {
    entries: Option<BTreeMap<String, Option<Vec<Entry>>>>,
}

#[derive(Deserialize)]
struct Entry {
    version: Option<String>,
    description: Option<String>,
}

pub(super) fn list(listing: &Listing<'_>) -> Result<Vec<Chart>, NoList> {
    let base = &listing.place.address.url;
    let mut url = below(base, "/index.yaml").map_err(|_| NoList::Unexpected(NOT_ONE))?;
    url.set_query(base.query());
    let mut request = Request::new(crate::http::Method::GET, url).header("accept", "*/*");
    request.max_answer = LONGEST;
    if let Some((username, password)) = listing.login {
        let material = Material::Basic { username: username.to_owned(), password: password.duplicate() };
        apply(&material, &mut request);
    }
    let answer = listing.net.http.send(request)?;
    match answer.status {
        200 => {}
        401 => return Err(NoList::Refused),
        403 => return Err(NoList::Insufficient),
        404 => return Err(NoList::Unexpected("there is no index.yaml at the address")),
        _ => return Err(NoList::Unexpected(NOT_ONE)),
    }
    // Nothing is unpacked: what was asked for is the text itself.
    if answer.header(&header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(NoList::Unexpected("the index comes packed, which was not asked for"));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| NoList::Unexpected(NO_INDEX))?;
    read(text)
}

const NO_INDEX: &str = "what is there is no index of charts";

/// Reads an index.
pub(super) fn read(text: &str) -> Result<Vec<Chart>, NoList> {
    let Index { entries } =
        serde_saphyr::from_str_with_options(text, limits()).map_err(|_| NoList::Unexpected(NO_INDEX))?;
    let entries = entries.ok_or(NoList::Unexpected(NO_INDEX))?;
    if entries.len() > MOST_CHARTS {
        return Err(NoList::TooLarge("there are more charts or versions than a list may have"));
    }
    if !entries.keys().all(|name| is_name(name)) {
        return Err(NoList::Unexpected("the index has a name that no chart can have"));
    }
    let one = |(name, entries): (String, Option<Vec<Entry>>)| {
        let entries = entries.unwrap_or_default();
        // helm passes over what is no version, too.
        let of = |entry: &Entry| Version::parse(entry.version.as_deref()?.trim());
        let newest = entries.iter().filter_map(|entry| Some((of(entry)?, entry))).max_by(|one, other| one.0.cmp(&other.0));
        let description = newest.and_then(|(_, entry)| entry.description.clone()).unwrap_or_default();
        chart(name, &description, entries.iter().filter_map(of).collect())
    };
    Ok(entries.into_iter().filter_map(one).collect())
}

/// Whether a chart can have this name: it becomes a file's, and stands in commands.
fn is_name(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    starts && name.len() <= LONGEST_NAME && name.bytes().all(allowed)
}

/// How much of YAML an index may be: long, and neither deep nor growing.
fn limits() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            flow_nesting_limit: 32,
            max_documents: 1,
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_aliases: 100,
            max_anchors: 100,
            max_merge_keys: 100,
            max_total_scalar_bytes: LONGEST,
            max_recorded_anchor_events: 1_000,
            max_recorded_anchor_bytes: 64 << 10,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 1_000,
            max_replay_stack_depth: 4,
            max_alias_expansions_per_anchor: 100,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        emit_comments: false,
        with_snippet: false,
    }
}
