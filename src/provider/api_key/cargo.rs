//! Registries of crates. A token is for one index, named byte for byte as cargo names it: of two indexes whose addresses
//! differ in a slash or in case, one may be somebody else's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::found::entry;
use super::services::Service;
use crate::credential::{Credential, Field, FieldError, Metadata, Raw, rules};
use crate::http::{Request, header, parse_url};
use crate::provider::foreign::Foreign;
use crate::provider::{Found, Here, Net, Origin, Provider, ProviderError, Verdict, api, apply};
use crate::secret::Secret;

/// The index that a token is for.
pub(super) const INDEX: Field = Field::plain("index", "Index of the cargo registry, as in cargo's configuration")
    .optional()
    .checked(index, "sparse+https://cargo.example.com/index/");

const CRATES_IO: &str = "sparse+https://index.crates.io/";
const SPARSE: &str = "sparse+";

fn index(value: &str) -> Result<(), &'static str> {
    rules::token(value)?;
    parse_url(value.strip_prefix(SPARSE).unwrap_or(value)).map(|_| ()).map_err(|_| {
        "it is no index of a registry: sparse+https://HOST/PATH/, or https://HOST/PATH of one in git (http:// only for \
         this machine)"
    })
}

/// A token for no index in particular is for crates.io; a key of another service is for none.
pub(super) fn complete(raw: &mut Raw) -> Result<(), ProviderError> {
    let is_cargo = raw.get("service").is_some_and(|service| service.expose() == "cargo");
    if is_cargo && !raw.has(INDEX.name) {
        raw.plain(INDEX.name, CRATES_IO);
    }
    let stray = if is_cargo { api::ENDPOINT.name } else { INDEX.name };
    if !raw.has(stray) {
        return Ok(());
    }
    let problem = if is_cargo { "a registry is named by its index" } else { "only the service cargo has an index" };
    Err(FieldError::Malformed { kind: super::KINDS[0].title, field: stray.into(), problem }.into())
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Tokens {
    registry: Option<Entry>,
    registries: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    token: Option<Secret>,
    index: Option<String>,
}

/// The tokens in cargo's home: that of crates.io first, then those of registries whose index stands beside.
pub(super) fn discover(here: &Here<'_>, service: &'static Service) -> Result<Vec<Found>, ProviderError> {
    let mut found = Vec::new();
    let home = here.env.var("CARGO_HOME").map(|home| here.env.working_dir().join(here.env.expand_home(home)));
    let Some(home) = home.or_else(|| here.home(".cargo")) else { return Ok(found) };
    let Some((path, tokens)) = read(here, &home, "credentials", "tokens of cargo")? else { return Ok(found) };
    let mut known = read(here, &home, "config", "configuration of cargo")?.map(|(_, read)| read.registries).unwrap_or_default();
    let is_set = |token: &Secret| !token.expose().is_empty();
    if let Some(token) = tokens.registry.and_then(|registry| registry.token).filter(is_set) {
        found.push(entry(service, token, None, Origin::file(here, &path, "[registry]")));
    }
    for (name, Entry { token, index }) in tokens.registries {
        let index = known.remove(&name).and_then(|registry| registry.index).or(index);
        // Without its index, nobody knows what a token is for.
        let (Some(token), Some(index)) = (token.filter(is_set), index) else { continue };
        let origin = Origin::file(here, &path, &format!("[registries.{name}]"));
        let mut one = entry(service, token, Some(format!("cargo-{name}")), origin);
        one.raw.plain(INDEX.name, &index);
        found.push(one);
    }
    Ok(found)
}

/// A file in cargo's home, which older ones write without an ending and read first.
fn read(
    here: &Here<'_>,
    home: &std::path::Path,
    name: &str,
    what: &'static str,
) -> Result<Option<(PathBuf, Tokens)>, ProviderError> {
    for path in [home.join(name), home.join(format!("{name}.toml"))] {
        if let Some(file) = Foreign::read(here, &path, what)? {
            return Ok(Some((path, file.toml()?)));
        }
    }
    Ok(None)
}

fn address(metadata: &Metadata) -> &str {
    let index = metadata.field(INDEX.name).unwrap_or(CRATES_IO);
    index.strip_prefix(SPARSE).unwrap_or(index)
}

/// The host of the index. That of crates.io has its API on another one.
pub(super) fn hosts(metadata: &Metadata) -> Vec<String> {
    let mut hosts: Vec<String> = api::host_at(address(metadata)).into_iter().collect();
    if metadata.field(INDEX.name).is_none_or(|index| index == CRATES_IO) {
        hosts.push("crates.io".into());
    }
    hosts
}

/// Asks an index that wants a token for its own description. One that answers everybody proves nothing, and neither
/// does one in git.
pub(super) fn ask(credential: &Credential, net: &Net<'_>) -> Result<Verdict, ProviderError> {
    let unproven = |reason: &str| Verdict { reason: Some(reason.to_owned()), ..Verdict::cannot_be_asked() };
    let index = credential.field(INDEX.name).unwrap_or(CRATES_IO);
    if index == CRATES_IO {
        return Ok(unproven("crates.io tells nothing about a token but to what the token is for"));
    }
    if !index.starts_with(SPARSE) {
        return Ok(unproven("an index in git is read without the token"));
    }
    let bad = |cause| ProviderError::BadEndpoint { name: INDEX.name.to_owned(), cause };
    let url = parse_url(address(&credential.metadata)).and_then(|url| crate::http::below(&url, "/config.json"));
    let url = url.map_err(bad)?;
    if net.http.send(Request::get(url.clone()))?.is_success() {
        return Ok(unproven("the index answers without a token as well, which proves nothing"));
    }
    let mut request = Request::get(url);
    apply(&super::PROVIDER.material(credential, None, net)?.material, &mut request);
    let answer = net.http.send(request)?;
    let is_refusal = answer.headers.contains_key(header::WWW_AUTHENTICATE)
        || answer.json::<serde_json::Value>().is_ok_and(|body| body.is_object());
    Ok(match answer.status {
        401 | 403 if !is_refusal => Verdict::unexpected("the registry", answer.status),
        200..=299 if answer.json::<serde_json::Value>().is_ok_and(|body| body.is_object()) => Verdict::valid_unnamed(),
        200..=299 => Verdict::unexpected("the registry", answer.status),
        _ => Verdict::of_status(&answer, "the registry"),
    })
}
