//! The charts of a registry: those that the index of a Helm repository names, or those among the repositories of a
//! registry that speaks the protocol of the Open Container Initiative.
//!
//! All of it was written by somebody else. What is read has limits in every direction, and is had whole or not at all.

use std::time::{Duration, Instant};

use super::address::{Address, Flavour};
use crate::http::Unreachable;
use crate::provider::api::host_of;
use crate::provider::{Net, ProviderError};
use crate::secret::Secret;

mod index;
mod oci;
mod version;

use version::Version;

/// So many charts a registry has at most.
const MOST_CHARTS: usize = 5_000;
/// So many versions all charts of a registry have together at most.
const MOST_VERSIONS: usize = 100_000;
/// A description is cut here, in characters.
const LONGEST_DESCRIPTION: usize = 300;
/// The longest name of a chart or a repository, in bytes.
const LONGEST_NAME: usize = 255;
/// No more is asked for after so long: whoever waits for the list waits for no more than a minute.
const LONGEST_LISTING: Duration = Duration::from_secs(30);

/// How charts are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Over HTTP, beside an `index.yaml`.
    Helm,
    /// By a registry, as the Open Container Initiative has it.
    Oci,
}

impl Sort {
    /// Every sort.
    pub const ALL: [Self; 2] = [Self::Helm, Self::Oci];

    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Helm => "helm-http",
            Self::Oci => "oci",
        }
    }

    /// The sort of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sort| sort.word() == word)
    }
}

/// A chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    /// Its name; in a registry with repositories below others, the whole path.
    pub name: String,
    /// What it is, in a line. May be empty.
    pub description: String,
    /// The newest version that is no preview, else the newest.
    pub newest: String,
    /// Its versions, the newest first.
    pub versions: Vec<String>,
}

/// Where charts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    address: Address,
    /// The repository below which the charts of a registry are; empty for all of them.
    below: String,
}

impl Place {
    /// Understands `https://charts.example.com/stable` and `oci://registry.example.com/charts`.
    pub fn parse(sort: Sort, text: &str) -> Result<Self, &'static str> {
        let bad = |_| "it is no https:// or oci:// address (http:// only for this machine)";
        let text = text.trim();
        if sort == Sort::Helm {
            if text.starts_with("oci://") {
                return Err("an oci:// address is of the kind oci");
            }
            let address = Address::parse(text, Some(Flavour::Helm)).map_err(bad)?;
            return Ok(Self { address, below: String::new() });
        }
        let address = Address::parse(text, Some(Flavour::Oci)).map_err(bad)?;
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let path = rest.split_once('/').map_or("", |(_, path)| path).trim_end_matches('/');
        let below = if matches!(path, "v1" | "v2") { "" } else { path };
        if !below.is_empty() && !is_repository(below) {
            return Err("what is behind the host is no name of a repository");
        }
        Ok(Self { address, below: below.to_owned() })
    }

    /// The address as it is stored.
    pub fn text(&self) -> String {
        let whole = self.address.text();
        if self.below.is_empty() { whole.to_owned() } else { format!("{whole}/{}", self.below) }
    }

    /// Its host as a credential names the hosts that it may be sent to.
    pub fn host(&self) -> String {
        host_of(&self.address.base()).unwrap_or_default()
    }

    fn sort(&self) -> Sort {
        if self.address.flavour == Flavour::Helm { Sort::Helm } else { Sort::Oci }
    }
}

/// Whether a text names a repository: words in lower case with slashes between (distribution spec, pulling manifests).
pub fn is_repository(name: &str) -> bool {
    let word = |word: &str| {
        let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        ends(word.bytes().next())
            && ends(word.bytes().next_back())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
            && !word.contains("..")
    };
    name.len() <= LONGEST_NAME && name.split('/').all(word)
}

/// What is asked for.
pub struct Listing<'l> {
    /// Where the charts are.
    pub place: &'l Place,
    /// The repositories that are looked at; all that the registry lists, where none is named.
    pub repositories: &'l [String],
    /// User name and password, where the place asks for them.
    pub login: Option<(&'l str, &'l Secret)>,
    /// A token server of another domain that may have the password.
    pub token_server: Option<&'l str>,
    /// The doors.
    pub net: &'l Net<'l>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum NoList {
    /// User name and password are wrong, or there are none where some are needed.
    #[error("the registry does not accept the credential, or asks for one")]
    Refused,
    /// They are good, and their rights are too few.
    #[error("the credential may not list the charts")]
    Insufficient,
    /// Nobody answers.
    #[error("the registry does not answer, or is at an address that may not be asked")]
    Unreachable(#[source] Unreachable),
    /// What answers is no such registry.
    #[error("{0}")]
    Unexpected(&'static str),
    /// There is more than a list may have.
    #[error("{0}")]
    TooLarge(&'static str),
    /// The registry sends its users to a token server of another domain.
    #[error("the registry sends its users to a token server of another domain: nothing was sent there")]
    Elsewhere,
}

impl NoList {
    /// The word for what came of it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Insufficient => "insufficient",
            Self::Unreachable(_) => "unreachable",
            Self::Unexpected(_) => "unexpected",
            Self::TooLarge(_) => "too_large",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl From<Unreachable> for NoList {
    fn from(failure: Unreachable) -> Self {
        match failure {
            Unreachable::TooLarge { .. } => Self::TooLarge("the answer is longer than a list may be"),
            Unreachable::Redirect { .. } => Self::Unexpected("the registry sends its users to another address"),
            other => Self::Unreachable(other),
        }
    }
}

impl From<ProviderError> for NoList {
    fn from(failure: ProviderError) -> Self {
        match failure {
            ProviderError::Unreachable(failure) => failure.into(),
            _ => Self::Unexpected(NOT_ONE),
        }
    }
}

const NOT_ONE: &str = "what answers there is no such registry";

/// Lists the charts, by name: all of them, or none.
pub fn list(listing: &Listing<'_>) -> Result<Vec<Chart>, NoList> {
    let mut charts = match listing.place.sort() {
        Sort::Helm => index::list(listing)?,
        Sort::Oci => oci::list(listing, Instant::now() + LONGEST_LISTING)?,
    };
    if charts.len() > MOST_CHARTS || charts.iter().map(|chart| chart.versions.len()).sum::<usize>() > MOST_VERSIONS {
        return Err(NoList::TooLarge("there are more charts or versions than a list may have"));
    }
    charts.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(charts)
}

/// A chart of what its registry says; `None` where it has no version.
fn chart(name: String, description: &str, mut versions: Vec<Version>) -> Option<Chart> {
    versions.sort_by(|one, other| other.cmp(one));
    versions.dedup_by(|one, other| one.text == other.text);
    let newest = versions.iter().find(|version| version.is_release()).or(versions.first())?.text.clone();
    let line = crate::text::clean(description).split_whitespace().collect::<Vec<_>>().join(" ");
    let description = line.chars().take(LONGEST_DESCRIPTION).collect();
    Some(Chart { name, description, newest, versions: versions.into_iter().map(|version| version.text).collect() })
}

#[cfg(test)]
mod tests;
