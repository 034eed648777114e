//! The same secret found twice is one finding with two places.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use chrono::{DateTime, Utc};

use super::finding::{Draft, Finding, Spot, masked};
use super::readers::Ways;
use crate::credential::{Class, Fields, Kind, Raw};
use crate::provider::{Here, Provider, ProviderError};
use crate::text::clean;

/// So many places of a finding are compared with a new one, besides the last.
const FRONT: usize = 16;

/// Puts together what was found.
pub(super) struct Merge {
    providers: Vec<&'static dyn Provider>,
    keys: [RandomState; 2],
    /// By the fingerprint of a value: the drafts that hold it.
    known: HashMap<u128, Vec<usize>>,
    drafts: Vec<(Draft, Vec<Spot>)>,
}

impl Merge {
    /// Nothing yet. Values are compared by fingerprints under keys that were made up for this run and are never kept.
    pub(super) fn new(providers: &[&'static dyn Provider]) -> Self {
        let keys = [RandomState::new(), RandomState::new()];
        Self { providers: providers.to_vec(), keys, known: HashMap::new(), drafts: Vec::new() }
    }

    fn fingerprint(&self, value: &str) -> u128 {
        let [one, other] = &self.keys;
        u128::from(one.hash_one(value)) << 64 | u128::from(other.hash_one(value))
    }

    /// The fingerprints of the values by which a draft is known: of its secrets, or where it has none, of its
    /// identifiers.
    fn fingerprints(&self, draft: &Draft, class: Class) -> Vec<u128> {
        let of_class = draft.raw.names().filter(|name| draft.kind.class(name) == class);
        of_class.filter_map(|name| draft.raw.get(name)).map(|value| self.fingerprint(trimmed(value.expose()))).collect()
    }

    /// Adds what was found. What tools found comes first, since it is more than what a text shows.
    pub(super) fn add(&mut self, draft: Draft) {
        let (secrets, identifiers) =
            (self.fingerprints(&draft, Class::Secret), self.fingerprints(&draft, Class::Identifier));
        let by = if secrets.is_empty() { &identifiers } else { &secrets };
        let candidates: Vec<usize> = by.iter().filter_map(|print| self.known.get(print)).flatten().copied().collect();
        let same = candidates
            .into_iter()
            .find(|index| self.drafts.get(*index).is_some_and(|(known, _)| is_same(known, &draft)));
        let Some((known, spots)) = same.and_then(|index| self.drafts.get_mut(index)) else {
            let index = self.drafts.len();
            for print in secrets.into_iter().chain(identifiers) {
                self.known.entry(print).or_default().push(index);
            }
            let spot = draft.spot.clone();
            self.drafts.push((draft, vec![spot]));
            return;
        };
        if std::ptr::eq(known.kind, draft.kind) {
            known.raw.fill_from(draft.raw);
        }
        known.expires = known.expires.or(draft.expires);
        known.name = known.name.take().or(draft.name);
        // What tools found stands in front, and texts are read from their first line to their last.
        let length = spots.len().min(FRONT);
        let (front, back) = spots.split_at_mut(length);
        match front.iter_mut().chain(back.last_mut()).find(|spot| spot.is(&draft.spot)) {
            Some(spot) => spot.line = spot.line.or(draft.spot.line),
            None => spots.push(draft.spot),
        }
    }

    /// Every finding, complete as far as its provider can make it so.
    pub(super) fn finish(self, here: &Here<'_>, now: DateTime<Utc>) -> Vec<Finding> {
        let mut ways = Ways::default();
        let providers = self.providers;
        let mut findings: Vec<Finding> = self
            .drafts
            .into_iter()
            .filter_map(|(draft, spots)| {
                let provider = providers.iter().find(|provider| provider.name() == draft.kind.provider)?;
                Some(finished(*provider, draft, spots, here, &mut ways))
            })
            .collect();
        sort(&mut findings, now);
        findings
    }
}

/// Puts what wants to be acted upon most on top.
pub(super) fn sort(findings: &mut [Finding], now: DateTime<Utc>) {
    let place = |finding: &Finding| {
        let first = finding.spots.first();
        first.map(|spot| (spot.path.clone(), spot.line, spot.place.clone()))
    };
    findings
        .sort_by(|one, other| other.urgency(now).cmp(&one.urgency(now)).then_with(|| place(one).cmp(&place(other))));
}

/// Key files may end with a line break or not.
fn trimmed(value: &str) -> &str {
    value.trim_end_matches(['\r', '\n'])
}

/// Whether what was found is what is known already. The same secret in the hands of two kinds, such as one token for a
/// git host and for its registry, is two credentials where their tools say so.
fn is_same(known: &Draft, new: &Draft) -> bool {
    if !std::ptr::eq(known.kind, new.kind) {
        return new.is_sighting;
    }
    let conflicts = new.raw.names().any(|name| {
        let known = known.raw.get(name).map(|value| trimmed(value.expose()));
        known.is_some_and(|known| new.raw.get(name).is_some_and(|new| trimmed(new.expose()) != known))
    });
    !conflicts
}

fn finished(
    provider: &'static dyn Provider,
    draft: Draft,
    mut spots: Vec<Spot>,
    here: &Here<'_>,
    ways: &mut Ways,
) -> Finding {
    let Draft { kind, mut raw, name, expires, .. } = draft;
    for spot in &mut spots {
        spot.finish(ways);
    }
    let completed = provider.complete(&mut raw, here);
    let mut is_unfit = false;
    let (kind, problem): (&'static Kind, _) = match completed {
        // What the tool's own file says is more than what the values alone tell.
        Ok(other) if raw.missing(other).is_empty() || raw.missing(kind).len() >= raw.missing(other).len() => {
            (other, None)
        }
        Ok(_) => (kind, None),
        Err(ProviderError::CannotStore { why, .. }) => {
            is_unfit = true;
            (kind, Some(clean(&why)))
        }
        Err(failure) => (kind, Some(clean(&crate::error::with_causes(&failure)))),
    };
    let masked = masked(kind, &raw);
    // What is nothing to be stored lacks nothing either.
    let missing = if is_unfit { Vec::new() } else { raw.missing(kind) };
    let fields = match problem {
        Some(problem) => Err(problem),
        None => Fields::parse(kind, duplicate(&raw)).map_err(|failure| clean(&failure.to_string())),
    };
    let told = fields.as_ref().ok();
    let expires = expires.or_else(|| told.and_then(|fields| provider.expires(fields)));
    let own = told.map(|fields| provider.default_name(fields));
    let name = name.or(own).unwrap_or_else(|| provider.name().to_owned());
    let mut finding = Finding { provider, kind, name, fields, missing, masked, spots, expires, verdict: None };
    finding.sort_spots();
    finding
}

fn duplicate(raw: &Raw) -> Raw {
    let mut copy = Raw::new();
    for name in raw.names() {
        if let Some(value) = raw.get(name) {
            copy.set(name, value.duplicate());
        }
    }
    copy
}
