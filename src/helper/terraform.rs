//! Terraform's credentials helper: `internal/command/cliconfig` of hashicorp/terraform and `auth/helper_program.go` of
//! terraform-svchost. The operation and the host are the last two words, after arguments of the user's configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::credential::{Address, Material, Raw, Want};
use crate::error::Code;
use crate::helper::{Answer, Ask, Call, Framing, Helper, Keep, Reply, json, told};
use crate::secret::Secret;

/// Terraform's hosts.
pub(super) struct Terraform;
/// The helper.
pub(super) static HELPER: Terraform = Terraform;

const KINDS: [&str; 1] = ["api_key"];

/// What Terraform gives to be kept. Something that is not known here must not be lost in silence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    token: Secret,
}

#[derive(Serialize)]
struct Told<'t> {
    token: &'t str,
}

/// The operation and the host. Arguments before them say nothing here.
fn words(arguments: &[String]) -> Option<(&str, &str)> {
    let [.., verb, host] = arguments else { return None };
    Some((verb, host))
}

impl Helper for Terraform {
    fn name(&self) -> &'static str {
        "terraform"
    }

    fn title(&self) -> &'static str {
        "Terraform and its registries"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn programs(&self) -> &'static [&'static str] {
        &["terraform-credentials-lanyard"]
    }

    fn framing(&self, arguments: &[String]) -> Framing {
        match words(arguments) {
            Some(("store", _)) => Framing::Whole,
            _ => Framing::Nothing,
        }
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        let usage = || Reply::refusal(1, "usage: terraform-credentials-lanyard get|store|forget HOST");
        let (verb, host) = words(call.arguments).ok_or_else(usage)?;
        let want = || {
            let at = Address::asked(Some("https"), host, None);
            let no_host = || Reply::refusal(1, "lanyard: Terraform names no host");
            at.map(|at| Want::at(&KINDS, at, None)).ok_or_else(no_host)
        };
        match verb {
            "get" => want().map(Ask::Get),
            "forget" => want().map(Ask::Forget),
            "store" => {
                let no_token = || Reply::refusal(1, "lanyard: what Terraform gives to be kept is no token");
                let Given { token } = json::read(call.text).ok_or_else(no_token)?;
                let mut raw = Raw::new();
                raw.plain("endpoint", &format!("https://{host}")).set("api_key", token);
                let inputs = BTreeMap::from([("service".to_owned(), vec!["terraform".to_owned()])]);
                Ok(Ask::Store(Keep { provider: "api-key", inputs, want: want()?, raw }))
            }
            _ => Err(usage()),
        }
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        let is_get = words(call.arguments).is_some_and(|(verb, _)| verb == "get");
        match answer {
            Answer::Found(_, issued) => match &issued.material {
                Material::Bearer(token) => json::line(&Told { token: token.expose() }).unwrap_or_default(),
                _ => nothing(),
            },
            Answer::Missing if is_get => nothing(),
            Answer::Missing | Answer::Done | Answer::Listed(_) => Reply::default(),
            // Terraform goes on without a token, as it does where there is no helper.
            Answer::Failed(failure) if is_get && failure.code() != Code::Unreachable => nothing().saying(told(*failure)),
            Answer::Failed(failure) => Reply::refusal(1, told(*failure)),
        }
    }
}

/// No token for this host.
fn nothing() -> Reply {
    Reply::of(*b"{}\n")
}

#[cfg(test)]
mod tests;
