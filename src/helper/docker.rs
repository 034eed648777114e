//! docker's credential helper, which podman, skopeo, crane, Helm and others speak as well: the protocol of
//! docker/docker-credential-helpers, with the sentences that its client looks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::credential::{Address, Material, Metadata, Raw, Want, docker_key};
use crate::error::Code;
use crate::helper::{Answer, Ask, Call, Framing, Helper, Keep, Reply, json, told};
use crate::secret::Secret;

/// Registries.
pub(super) struct Docker;
/// The helper.
pub(super) static HELPER: Docker = Docker;

/// A registry's own password; passwords made of AWS keys and of a Google Cloud credential, with the users that go with
/// them.
const KINDS: [&str; 3] = ["registry", "registry_ecr", "registry_gar"];
const USERS: [(&str, &str); 2] = [("registry_ecr", "AWS"), ("registry_gar", "oauth2accesstoken")];

/// The sentence by which every client knows that it may go on without a password. Any other fails its pull.
const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";
const NO_USER: &str = "no credentials username";
const USAGE: &str = "Usage: docker-credential-lanyard <store|get|erase|list|version>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given<'g> {
    #[serde(rename = "ServerURL", borrow)]
    server: std::borrow::Cow<'g, str>,
    #[serde(borrow)]
    username: std::borrow::Cow<'g, str>,
    secret: Secret,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told<'t> {
    #[serde(rename = "ServerURL")]
    server: &'t str,
    username: &'t str,
    secret: &'t str,
}

impl Helper for Docker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn title(&self) -> &'static str {
        "docker and other clients of registries"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn programs(&self) -> &'static [&'static str] {
        &["docker-credential-lanyard"]
    }

    fn framing(&self, arguments: &[String]) -> Framing {
        match arguments {
            [verb] if ["get", "store", "erase", "list"].contains(&verb.as_str()) => Framing::Whole,
            _ => Framing::Nothing,
        }
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        let server = || match call.text.trim() {
            "" => Err(error(NO_SERVER)),
            server => address(server).ok_or_else(|| error(NOT_FOUND)),
        };
        match call.arguments {
            [verb] if verb == "get" => Ok(Ask::Get(Want::at(&KINDS, server()?, None))),
            [verb] if verb == "erase" => Ok(Ask::Forget(Want::at(&KINDS, server()?, None))),
            [verb] if verb == "list" => Ok(Ask::List(&KINDS)),
            [verb] if verb == "store" => store(call.text),
            [verb] if ["version", "--version", "-v"].contains(&verb.as_str()) => {
                let version = concat!("docker-credential-lanyard (lanyard) v", env!("CARGO_PKG_VERSION"), "\n");
                Ok(Ask::Answered(Reply::of(version)))
            }
            [_] => Err(error("docker-credential-lanyard: unknown action")),
            _ => Err(error(USAGE)),
        }
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Found(_, issued) => {
                let (username, secret) = match &issued.material {
                    Material::Basic { username, password } => (username.as_str(), password),
                    Material::Bearer(token) => ("<token>", token),
                    _ => return error(NOT_FOUND),
                };
                line(&Told { server: call.text.trim(), username, secret: secret.expose() })
            }
            Answer::Listed(all) => {
                let made = |metadata: &Metadata| USERS.iter().find(|(kind, _)| *kind == metadata.kind.id).map(|(_, user)| *user);
                let user = |metadata: &Metadata| metadata.field("username").or(made(metadata)).unwrap_or("").to_owned();
                let entries: BTreeMap<String, String> = all
                    .iter()
                    .filter_map(|(metadata, addresses)| Some((docker_key(&addresses.first()?.host), user(metadata))))
                    .collect();
                line(&entries)
            }
            Answer::Done => Reply::default(),
            // Logging out of what was never logged in to is no error.
            Answer::Missing if call.verb() == "erase" => Reply::default(),
            Answer::Missing => error(NOT_FOUND),
            // A client that looks for a password goes on without one, as it would with an empty keychain.
            Answer::Failed(failure) if call.verb() == "get" && failure.code() != Code::Unreachable => {
                error(NOT_FOUND).saying(told(*failure))
            }
            Answer::Failed(failure) => error(&told(*failure)),
        }
    }
}

/// An error as the client reads it: on stdout.
fn error(sentence: &str) -> Reply {
    Reply::joined(&[sentence, "\n"]).ending(1)
}

fn line(value: &impl Serialize) -> Reply {
    json::line(value).unwrap_or_else(|| error("the answer cannot be written"))
}

/// The address that a client writes: a host, an `https://` address, or docker's own word for Docker Hub.
fn address(server: &str) -> Option<Address> {
    let (scheme, rest) = match server.split_once("://") {
        Some((scheme @ ("https" | "http"), rest)) => (Some(scheme), rest),
        Some(_) => return None,
        None => (None, server),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    // Only Docker Hub's own word has a path that says nothing.
    let is_bare = matches!(path.trim_end_matches('/'), "" | "v1" | "v2");
    is_bare.then(|| Address::asked(scheme, host, None)).flatten()
}

fn store(text: &str) -> Result<Ask, Reply> {
    let given: Given<'_> = json::read(text).ok_or_else(|| error("the input is no credential"))?;
    if given.server.trim().is_empty() {
        return Err(error(NO_SERVER));
    }
    if given.username.trim().is_empty() {
        return Err(error(NO_USER));
    }
    let at = address(given.server.trim()).ok_or_else(|| error("this is no address of a registry"))?;
    let mut raw = Raw::new();
    raw.plain("username", &given.username).set("password", given.secret);
    let inputs = BTreeMap::from([("url".to_owned(), vec![given.server.trim().to_owned()])]);
    Ok(Ask::Store(Keep { provider: "registry", inputs, want: Want::at(&KINDS, at, None), raw }))
}

#[cfg(test)]
mod tests;
