//! Vercel: access tokens.
//!
//! From vercel/vercel (`packages/cli`, `cli-config`, `cli-auth`), vercel/sdk, and vercel.com/docs (`rest-api`,
//! `accounts/access-tokens`).

use super::api::{self, Api};
use super::{Discovered, Here, Mark, Net, Outcome, Provider, ProviderError, Rotation, Verdict};
use crate::credential::{Credential, Field, Issued, Kind, Material, Metadata, Raw, Variable, rules};
use crate::http::{Request, Response};

mod answer;
mod found;
mod rotate;

const TITLE: &str = "Vercel";
const API: Api = Api { variables: &[], official: "https://api.vercel.com" };
const DASHBOARD: &str = "https://vercel.com/account/tokens";
const CURRENT: &str = "/v5/user/tokens/current";

static FIELDS: [Field; 4] = [
    Field::secret("api_token", "access token")
        .checked(api_token, "vcp_OCj2ISaJiHkTj0rLGlkoMXGjtEkDnNfribxUdl7dXTPyLsxPFkThf4Vu"),
    Field::plain("team_id", "Team id").optional().checked(id, "team_LLHUOMOoDlqOp8wPE4kFo9pE"),
    Field::plain("project_id", "Project id").optional().checked(id, "prj_XLKmu1DyR1eY7zq8UgeRKbA7yVLA"),
    api::ENDPOINT,
];
static KINDS: [Kind; 1] = [Kind::new("vercel_api_token", "Vercel access token", "vercel", &FIELDS)];
static MARKS: [Mark; 3] = [
    mark("vcp_", r"\b(vcp_[A-Za-z0-9]{56})\b"),
    mark("vca_", r"\b(vca_[A-Za-z0-9]{56})\b"),
    mark("VERCEL_", r#"\bVERCEL_(?:API_)?TOKEN["']?\s*[:=]\s*["']?([A-Za-z0-9]{24})\b"#),
];

const fn mark(keyword: &'static str, pattern: &'static str) -> Mark {
    Mark { kind: "vercel_api_token", field: "api_token", service: "", keyword, pattern }
}

/// Vercel.
pub struct Vercel;
/// The provider.
pub static PROVIDER: Vercel = Vercel;

fn api_token(value: &str) -> Result<(), &'static str> {
    rules::token(value)?;
    if value.starts_with("vcr_") {
        return Err("it is a refresh token, which only makes access tokens");
    }
    if value.starts_with("vck_") {
        return Err("it is a key of the AI Gateway, which is no access token");
    }
    Ok(())
}

/// An id or a slug: what can stand in a query and in a variable.
fn id(value: &str) -> Result<(), &'static str> {
    let fits = !value.is_empty()
        && value.len() <= 100
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if fits { Ok(()) } else { Err("an id is letters, digits, _ and -") }
}

impl Vercel {
    /// Asks which token this is; where that is refused to a token that is alive, whose it is.
    fn ask(credential: &Credential, net: &Net<'_>) -> Result<Verdict, ProviderError> {
        let url = API.at(&credential.metadata, net.env, CURRENT)?;
        let answer = api::send_as(credential, "api_token", Request::get(url), net)?;
        let verdict = answer::of_current(&answer, credential.field("team_id"));
        let tells_nothing = verdict.outcome == Outcome::Insufficient && verdict.identity.is_none();
        if !(tells_nothing || answer.status == 404) {
            return Ok(verdict);
        }
        let url = API.at(&credential.metadata, net.env, "/v2/user")?;
        Ok(answer::of_user(&api::send_as(credential, "api_token", Request::get(url), net)?))
    }
}

impl Provider for Vercel {
    fn name(&self) -> &'static str {
        "vercel"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
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
        Ok(Some(Request::get(API.at(&credential.metadata, net.env, CURRENT)?)))
    }

    fn judge(&self, credential: &Credential, answer: &Response) -> Verdict {
        answer::of_current(answer, credential.field("team_id"))
    }

    fn verify(&self, credential: &Credential, _: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let verdict = Self::ask(credential, net).unwrap_or_else(|failure| failure.into_verdict(TITLE));
        api::dated(verdict, credential, net.now)
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let token = credential.secret("api_token").ok_or_else(|| api::missing(credential, "api_token"))?;
        Ok(Issued { material: Material::Bearer(token.duplicate()), expires: credential.metadata.expires })
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let mut variables = Vec::new();
        variables.extend(credential.secret("api_token").map(|token| Variable::secret("VERCEL_TOKEN", token)));
        // The CLI refuses to run with one of these two alone.
        if let (Some(team), Some(project)) = (credential.field("team_id"), credential.field("project_id")) {
            variables.push(Variable::plain("VERCEL_ORG_ID", team));
            variables.push(Variable::plain("VERCEL_PROJECT_ID", project));
        }
        variables
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&rotate::Rotate)
    }
}

#[cfg(test)]
mod tests;
