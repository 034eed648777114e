//! The charts of a registry of the Open Container Initiative: its repositories, the tags of each, and the manifest that
//! tells a chart from an image.
//!
//! See the distribution specification: listing tags, `_catalog`, pagination by `Link`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;

use super::{Chart, Listing, NOT_ONE, NoList, Version, chart, is_repository};
use crate::credential::Material;
use crate::http::{Method, Request, Response, Url, below, header, parse_url};
use crate::provider::apply;
use crate::provider::registry::asked::{Asked, NOBODY};
use crate::provider::registry::challenge::Challenge;
use crate::provider::registry::token;
use crate::secret::Secret;

/// So many repositories are looked at, each of which takes several requests.
const MOST: usize = 500;
/// So many come with each question.
const PAGE: usize = 200;
/// So many pages a list has at most.
const MOST_PAGES: usize = 100;
/// What the configuration of a chart is called (helm's `registry` package).
const CHART: &str = "application/vnd.cncf.helm.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// What the longest answers may be, in bytes: a page of tags.
const LONGEST: usize = 1 << 20;

pub(super) fn list(listing: &Listing<'_>, until: Instant) -> Result<Vec<Chart>, NoList> {
    let none = Secret::new(String::new());
    let (username, password) = listing.login.unwrap_or((NOBODY, &none));
    let address = listing.place.address.clone();
    let token_server = listing.token_server.and_then(|url| parse_url(url).ok());
    let asked = Asked { address, endpoint: None, token_server, username, password, net: listing.net };
    let door = Door { asked, has_login: listing.login.is_some(), shown: RefCell::default(), until };
    let prefix = match listing.place.below.as_str() {
        "" => String::new(),
        below => format!("{below}/"),
    };
    let named = !listing.repositories.is_empty();
    let repositories = if named {
        listing.repositories.iter().map(|name| format!("{prefix}{name}")).collect()
    } else {
        let mut all = door.catalog()?;
        all.retain(|name| name.starts_with(&prefix));
        all
    };
    if repositories.len() > MOST {
        return Err(NoList::TooLarge("there are more repositories than are looked at: name those that are wanted"));
    }
    let mut charts = Vec::new();
    for repository in repositories {
        let found = door.chart(&repository, &prefix)?;
        if found.is_none() && named {
            return Err(NoList::Unexpected("a repository that was named is not there, or holds no chart"));
        }
        charts.extend(found);
    }
    Ok(charts)
}

/// How a registry wants to be shown who asks.
#[derive(Default)]
enum Shown {
    #[default]
    Nothing,
    Password,
    Token(Secret),
}

/// One registry, and what it was shown last.
struct Door<'l> {
    asked: Asked<'l>,
    has_login: bool,
    shown: RefCell<Shown>,
    until: Instant,
}

impl Door<'_> {
    /// Every repository that the registry lists.
    fn catalog(&self) -> Result<Vec<String>, NoList> {
        #[derive(Deserialize)]
        struct Catalog {
            repositories: Option<Vec<String>>,
        }
        let first = self.at(&format!("/v2/_catalog?n={PAGE}"))?;
        let pages = self.pages(first, |answer| {
            if answer.status == 404 || answer.status == 405 {
                return Err(NoList::Unexpected("the registry lists no repositories: name those that are wanted"));
            }
            let read = answer.json::<Catalog>().map_err(|_| NoList::Unexpected(NOT_ONE))?;
            Ok(read.repositories.unwrap_or_default())
        })?;
        if pages.iter().all(|name| is_repository(name)) {
            Ok(pages)
        } else {
            Err(NoList::Unexpected("the registry lists a name that no repository can have"))
        }
    }

    /// The chart in a repository; `None` where there is none.
    fn chart(&self, repository: &str, prefix: &str) -> Result<Option<Chart>, NoList> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let first = self.at(&format!("/v2/{repository}/tags/list?n={PAGE}"))?;
        let tags = self.pages(first, |answer| {
            if answer.status == 404 {
                return Ok(Vec::new());
            }
            Ok(answer.json::<Tags>().map_err(|_| NoList::Unexpected(NOT_ONE))?.tags.unwrap_or_default())
        })?;
        // A tag holds no `+`: helm writes `_` in its place.
        let version = |tag: &String| Version::parse(&tag.replace('_', "+"));
        let versions: Vec<Version> = tags.iter().filter_map(version).collect();
        let Some(newest) = versions.iter().max_by_key(|version| (version.is_release(), *version)) else { return Ok(None) };
        let Some(description) = self.description(repository, &newest.text.replace('+', "_"))? else { return Ok(None) };
        let name = repository.strip_prefix(prefix).unwrap_or(repository).to_owned();
        Ok(chart(name, &description, versions))
    }

    /// What a chart says of itself; `None` for what is no chart.
    fn description(&self, repository: &str, tag: &str) -> Result<Option<String>, NoList> {
        #[derive(Deserialize)]
        struct Manifest {
            config: Option<Config>,
            annotations: Option<BTreeMap<String, String>>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Config {
            media_type: String,
        }
        let url = self.at(&format!("/v2/{repository}/manifests/{tag}"))?;
        let answer = self.get(&url, MANIFEST)?;
        match answer.status {
            200 => {}
            // It went away meanwhile, or is of a form that no chart has.
            404 | 406 => return Ok(None),
            _ => return Err(other(&answer)),
        }
        let read: Manifest = answer.json().map_err(|_| NoList::Unexpected(NOT_ONE))?;
        let is_chart = read.config.is_some_and(|config| config.media_type == CHART);
        let said = |mut notes: BTreeMap<String, String>| notes.remove("org.opencontainers.image.description");
        Ok(is_chart.then(|| read.annotations.and_then(said).unwrap_or_default()))
    }

    /// All that a list has, page by page. A page that does not come leaves nothing of the others.
    fn pages(
        &self,
        first: Url,
        read: impl Fn(&Response) -> Result<Vec<String>, NoList>,
    ) -> Result<Vec<String>, NoList> {
        let (mut all, mut next) = (Vec::new(), Some(first));
        for _ in 0..MOST_PAGES {
            let Some(url) = next else { return Ok(all) };
            let answer = self.get(&url, "application/json")?;
            if !matches!(answer.status, 200 | 404 | 405) {
                return Err(other(&answer));
            }
            all.extend(read(&answer)?);
            next = match answer.header(&header::LINK).and_then(next_of) {
                Some(target) => Some(self.following(&url, target)?),
                None => None,
            };
        }
        Err(NoList::TooLarge("the registry lists without end"))
    }

    /// The next page, which is at the same registry.
    fn following(&self, url: &Url, target: &str) -> Result<Url, NoList> {
        let next = url.join(target).ok().filter(|next| next.origin() == url.origin());
        let next = next.filter(|next| next.path().starts_with(self.asked.address.base().path()));
        next.ok_or(NoList::Unexpected("the registry continues its list at another address"))
    }

    fn at(&self, path: &str) -> Result<Url, NoList> {
        below(&self.asked.address.base(), path).map_err(|_| NoList::Unexpected(NOT_ONE))
    }

    /// Asks for an address, with what the registry wants to be shown.
    fn get(&self, url: &Url, accept: &'static str) -> Result<Response, NoList> {
        let answer = self.send(url, accept)?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let challenges = token::challenges(&answer);
        let by = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
        let shown = match (by("bearer"), by("basic")) {
            (Some(bearer), _) => {
                let realm = token::realm(&self.asked, bearer).map_err(|_| NoList::Elsewhere)?;
                let login = self.has_login;
                let given = if login { token::fetch(&self.asked, &realm, bearer)? } else { self.openly(&realm, bearer)? };
                match given.status {
                    200..300 => Shown::Token(token::token_in(&given).ok_or(NoList::Unexpected(NOT_ONE))?),
                    400 | 401 => return Err(NoList::Refused),
                    403 => return Err(NoList::Insufficient),
                    _ => return Err(other(&given)),
                }
            }
            (None, Some(_)) if self.has_login => Shown::Password,
            _ => return Err(NoList::Refused),
        };
        self.shown.replace(shown);
        let answer = self.send(url, accept)?;
        match answer.status {
            401 if self.has_login && by("bearer").is_some() => Err(NoList::Insufficient),
            401 => Err(NoList::Refused),
            _ => Ok(answer),
        }
    }

    fn openly(&self, realm: &Url, bearer: &Challenge) -> Result<Response, NoList> {
        Ok(self.asked.openly(Request::get(token::question(realm, bearer, None)))?)
    }

    fn send(&self, url: &Url, accept: &'static str) -> Result<Response, NoList> {
        if Instant::now() > self.until {
            return Err(NoList::TooLarge("listing takes too long: name the repositories that are wanted"));
        }
        let mut request = Request::new(Method::GET, url.clone()).header("accept", accept);
        request.max_answer = LONGEST;
        match &*self.shown.borrow() {
            Shown::Nothing => {}
            Shown::Password => {
                let (username, password) = (self.asked.username.to_owned(), self.asked.password.duplicate());
                apply(&Material::Basic { username, password }, &mut request);
            }
            Shown::Token(token) => request = request.bearer(token),
        }
        Ok(self.asked.openly(request)?)
    }
}

/// An answer that is no list.
fn other(answer: &Response) -> NoList {
    match answer.status {
        401 => NoList::Refused,
        403 => NoList::Insufficient,
        _ => NoList::Unexpected(NOT_ONE),
    }
}

/// Where the next page is: `</v2/_catalog?last=a&n=2>; rel="next"` (RFC 8288).
fn next_of(link: &str) -> Option<&str> {
    let (target, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = rest.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
    is_next.then_some(target)
}
