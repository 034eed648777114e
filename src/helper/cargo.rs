//! cargo's credential provider, protocol version 1: `credential-provider-protocol` in the cargo book, and
//! `cargo-credential` for what the book leaves open. A greeting, then a line for each request and one for its answer.
//!
//! An index is compared byte for byte with the one that a token was stored for. The registry's name, its headers and
//! the arguments come from configuration that a clone can bring along: none of them has a say.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::credential::{Issued, Material, Power, Raw, Want};
use crate::error::{Code, Failure};
use crate::helper::{Answer, Ask, Call, Framing, Helper, Keep, Reply, json, told};
use crate::secret::Secret;

/// Registries of crates.
pub(super) struct Cargo;
/// The helper.
pub(super) static HELPER: Cargo = Cargo;

const KINDS: [&str; 1] = ["api_key"];
/// The field with the index that a token is for.
const INDEX: &str = "index";

/// What cargo calls crates.io in some operations, and the index that it means. No other index has two names.
const CRATES_IO: (&str, &str) = ("https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/");

#[derive(Deserialize)]
struct Request<'r> {
    v: u32,
    #[serde(borrow)]
    registry: Registry<'r>,
    #[serde(borrow)]
    kind: Cow<'r, str>,
    #[serde(borrow, default)]
    operation: Option<Cow<'r, str>>,
    #[serde(default)]
    token: Option<Secret>,
}

#[derive(Deserialize)]
struct Registry<'r> {
    #[serde(rename = "index-url", borrow)]
    index: Cow<'r, str>,
}

impl Request<'_> {
    fn index(&self) -> &str {
        if self.registry.index == CRATES_IO.0 { CRATES_IO.1 } else { &self.registry.index }
    }
}

#[derive(Serialize)]
enum Response<'r> {
    Ok(Done<'r>),
    Err(Refusal),
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Done<'r> {
    Get {
        token: &'r str,
        cache: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration: Option<i64>,
        operation_independent: bool,
    },
    Login,
    Logout,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Refusal {
    UrlNotSupported,
    NotFound,
    OperationNotSupported,
    Other { message: String },
}

impl Helper for Cargo {
    fn name(&self) -> &'static str {
        "cargo"
    }

    fn title(&self) -> &'static str {
        "cargo and its registries"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn programs(&self) -> &'static [&'static str] {
        &["cargo-credential-lanyard"]
    }

    fn greeting(&self) -> &'static [u8] {
        b"{\"v\":[1]}\n"
    }

    fn framing(&self, _: &[String]) -> Framing {
        Framing::Lines
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        let request: Request<'_> =
            json::read(call.text).ok_or_else(|| Reply::refusal(1, "lanyard: cargo's request is none"))?;
        if request.v != 1 {
            return Err(other("this version of cargo's protocol is not known".into()));
        }
        let index = request.index().to_owned();
        let want = Want::holding(&KINDS, INDEX, &index);
        match &*request.kind {
            // cargo names operations to come as it does these, and the careful one is to publish.
            "get" if request.operation.as_deref() == Some("read") => Ok(Ask::Get(Want { power: Power::Read, ..want })),
            "get" => Ok(Ask::Get(Want { power: Power::Publish, ..want })),
            "login" => login(&index, want, request.token),
            "logout" => Ok(Ask::Forget(want)),
            _ => Err(refused(Refusal::OperationNotSupported)),
        }
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        let Some(request) = json::read::<Request<'_>>(call.text) else { return Reply::default().ending(1) };
        match answer {
            Answer::Found(_, issued) => found(issued).unwrap_or_else(|| refused(Refusal::NotFound)),
            Answer::Done if request.kind == "login" => said(&Response::Ok(Done::Login)),
            Answer::Done => said(&Response::Ok(Done::Logout)),
            // Not that the registry is none of ours: cargo would not let its user sign in to it here.
            Answer::Listed(_) | Answer::Missing => refused(Refusal::NotFound),
            Answer::Failed(failure) => failed(&request, *failure),
        }
    }
}

fn said(response: &Response<'_>) -> Reply {
    json::line(response).unwrap_or_else(|| Reply::default().ending(1))
}

fn refused(refusal: Refusal) -> Reply {
    said(&Response::Err(refusal))
}

fn other(message: String) -> Reply {
    refused(Refusal::Other { message })
}

/// A vault that does not open is as one without the token: cargo asks its next provider. What only a person can decide,
/// and a network that fails, end the operation.
fn failed(request: &Request<'_>, failure: &dyn Failure) -> Reply {
    match failure.code() {
        Code::Failed | Code::Unreachable => other(told(failure)),
        _ if request.kind == "login" => other(told(failure)),
        Code::Forbidden => refused(Refusal::UrlNotSupported).saying(told(failure)),
        _ => refused(Refusal::NotFound).saying(told(failure)),
    }
}

/// The token as it stands in the header. It is handed out for this one operation, so that cargo asks again for the next.
fn found(issued: &Issued) -> Option<Reply> {
    let (_, value) = match &issued.material {
        Material::Header { name, value } => (*name, value.duplicate()),
        other => other.header()?,
    };
    let expiration = issued.expires.map(|at| at.timestamp());
    Some(said(&Response::Ok(Done::Get {
        token: value.expose(),
        cache: if expiration.is_some() { "expires" } else { "never" },
        expiration,
        operation_independent: false,
    })))
}

/// A helper asks nobody for a token: what a tool was not given it does not get by a question of its own.
fn login(index: &str, want: Want, token: Option<Secret>) -> Result<Ask, Reply> {
    let Some(token) = token.filter(|token| !token.expose().is_empty()) else {
        let mend = "give it on stdin: `cargo login < FILE`, or store it: `lanyard credentials store api-key cargo`";
        return Err(other(format!("no token came with the request; {mend} (`--index {index}`)")));
    };
    let mut raw = Raw::new();
    raw.plain(INDEX, index).set("api_key", token);
    let inputs = BTreeMap::from([("service".to_owned(), vec!["cargo".to_owned()])]);
    Ok(Ask::Store(Keep { provider: "api-key", inputs, want, raw }))
}

#[cfg(test)]
mod tests;
