//! Verda, formerly DataCrunch: client credentials, from which an access token is made for each use.
//!
//! From verda-cloud/verda-cli (`internal/verda-cli/options`, `cmd/auth/README.md`) and verda-cloud/verdacloud-sdk-go
//! (`pkg/verda/auth.go`, `errors.go`, `balance.go`).

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::api::{self, Api, ByHand};
use super::foreign::Ini;
use super::{Discovered, Here, Input, Mark, Net, Outcome, Provider, ProviderError, Rotation, Verdict};
use crate::credential::{Credential, Field, Issued, Kind, Material, Metadata, Raw, Variable, mask_identifier, rules};
use crate::http::{Request, Response};
use crate::secret::Secret;

mod found;
mod token;

const TITLE: &str = "Verda";
const API: Api = Api { variables: &[], official: "https://api.verda.com/v1" };
const CONSOLE: &str = "https://console.verda.com, Keys";

static FIELDS: [Field; 4] = [
    Field::identifier("client_id", "Client id").checked(rules::token, "k3bqVvXxLZ0f8tWnPq2Yc"),
    Field::secret("client_secret", "Client secret")
        .checked(rules::token, "9rTfVb2mQxW7kLpZs4NcJh8GdYeAuT0oRi6vBnMq"),
    Field::plain("project_id", "Project id")
        .optional()
        .checked(rules::token, "5f1a6c1e-6d5c-4a53-9f10-5a6a0d5b2c77"),
    api::ENDPOINT,
];
static KINDS: [Kind; 1] =
    [Kind::new("verda_oauth_client", "Verda client credentials", "verda", &FIELDS).renews_itself()];
static INPUTS: [Input; 1] =
    [Input::flag("verda-profile", "NAME", "The profile of verda's credentials file that is taken")];
/// The values have no form of their own, so only their names tell them.
static MARKS: [Mark; 2] = [
    mark("verda_client_secret", r#"\bverda_client_secret["']?\s*[:=]\s*["']?([A-Za-z0-9_-]{16,})"#),
    mark("VERDA_CLIENT_SECRET", r#"\bVERDA_CLIENT_SECRET["']?\s*[:=]\s*["']?([A-Za-z0-9_-]{16,})"#),
];
static ROTATION: ByHand = ByHand {
    why: "Verda makes client credentials in its console alone",
    mend: "make new ones in the console, store them with `lanyard credentials store verda --replace --client-id ID \
           --client-secret -`, then delete the old ones there",
};

const fn mark(keyword: &'static str, pattern: &'static str) -> Mark {
    Mark { kind: "verda_oauth_client", field: "client_secret", service: "", keyword, pattern }
}

/// Verda.
pub struct Verda;
/// The provider.
pub static PROVIDER: Verda = Verda;

impl Provider for Verda {
    fn name(&self) -> &'static str {
        "verda"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        found::discover(here)
    }

    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }

    fn complete(&self, _: &mut Raw, _: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        Ok(&KINDS[0])
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        API.hosts(metadata)
    }

    fn probe(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<Request>, ProviderError> {
        Ok(Some(Request::get(API.at(&credential.metadata, net.env, "/balance")?)))
    }

    /// That a token was made proves the client; the balance tells whether it may be used.
    fn judge(&self, credential: &Credential, answer: &Response) -> Verdict {
        if let Some(verdict) = api::not_now(answer, TITLE, "x-ratelimit-reset") {
            return verdict;
        }
        let client = || format!("Client {}", mask_identifier(credential.field("client_id").unwrap_or_default()));
        if answer.is_success() && answer.json::<Balance>().is_ok() {
            return Verdict::valid(client());
        }
        let unexpected = Verdict::unexpected(TITLE, answer.status);
        let Some(refusal) = api::refusal::<token::Refusal>(answer) else { return unexpected };
        let verdict = match answer.status {
            403 => Verdict::insufficient(
                "Verda knows the client and does not let it read the balance (403 Forbidden)",
                format!("look at what it may do, if you want that shown: {CONSOLE}"),
            ),
            _ => unexpected,
        };
        verdict.code(refusal.code())
    }

    fn verify(&self, credential: &Credential, _: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let asked = || -> Result<Verdict, ProviderError> {
            let token = token::make(credential, net)?;
            let url = API.at(&credential.metadata, net.env, "/balance")?;
            let answer = net.http.send(Request::get(url).bearer(&token.text))?;
            let verdict = self.judge(credential, &answer);
            let tells_scopes = verdict.outcome == Outcome::Valid;
            Ok(if tells_scopes { verdict.with_scopes(token.scopes()) } else { verdict })
        };
        asked().unwrap_or_else(|failure| failure.into_verdict(TITLE))
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, net: &Net<'_>) -> Result<Issued, ProviderError> {
        let token = token::make(credential, net)?;
        let expires = token.expires(net.now);
        Ok(Issued { material: Material::Bearer(token.text), expires })
    }

    fn made_at(&self, metadata: &Metadata, net: &Net<'_>) -> Option<String> {
        API.at(metadata, net.env, "/oauth2/token").ok().map(|url| url.to_string())
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let mut variables = Vec::new();
        variables.extend(credential.field("client_id").map(|id| Variable::plain("VERDA_CLIENT_ID", id)));
        variables.extend(
            credential.secret("client_secret").map(|secret| Variable::secret("VERDA_CLIENT_SECRET", secret)),
        );
        variables
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[("verda-credentials", "credentials file of verda")]
    }

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        if format != "verda-credentials" {
            return None;
        }
        let mut values = Vec::new();
        values.extend(credential.field("endpoint").map(|address| ("verda_base_url", address)));
        values.push(("verda_client_id", credential.field("client_id")?));
        values.push(("verda_client_secret", credential.secret("client_secret")?.expose()));
        Ini::write("default", &values)
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&ROTATION)
    }
}

/// The documented answer to the probe; the amount itself does not matter.
#[derive(Deserialize)]
struct Balance {
    #[serde(rename = "amount")]
    _amount: IgnoredAny,
}

#[cfg(test)]
mod tests;
