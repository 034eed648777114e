//! Registries of crates. A token is for one index, named byte for byte as cargo names it: of two indexes whose addresses
//! differ in a slash or in case, one may be somebody else's.

use crate::credential::{Credential, Field, FieldError, Metadata, Raw, rules};
use crate::http::{Request, header, parse_url};
use crate::provider::{Net, Provider, ProviderError, Verdict, api, apply};

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
