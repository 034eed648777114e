//! Cloudflare: API tokens, of a user or of an account.
//!
//! From developers.cloudflare.com (`fundamentals/api`, `api/resources/user/subresources/tokens`), cloudflare-python, and
//! cloudflare/workers-sdk (`packages/workers-auth`) for what wrangler keeps.

use super::api::{self, Api};
use super::{Discovered, Here, Mark, Net, Outcome, Provider, ProviderError, Rotation, Verdict};
use crate::credential::{Credential, Field, FieldError, Issued, Kind, Material, Metadata, Raw, Variable, rules};
use crate::http::{Request, Response, segment};

mod answer;
mod found;
mod rotate;

const TITLE: &str = "Cloudflare";
const API: Api = Api {
    variables: &["CLOUDFLARE_BASE_URL", "CLOUDFLARE_API_BASE_URL"],
    official: "https://api.cloudflare.com/client/v4",
};
const DASHBOARD: &str = "https://dash.cloudflare.com/profile/api-tokens";

static FIELDS: [Field; 3] = [
    Field::secret("api_token", "API token")
        .checked(api_token, "cfut_U8JZpDE0iGXlD6gNCFbaEPFjbD0kH8Oool8DklZD5a9c21f7"),
    Field::plain("account_id", "Account id").optional().checked(account_id, "023e105f4ecef8ad9ca31a8372d0c353"),
    api::ENDPOINT,
];
static KINDS: [Kind; 1] = [Kind::new("cloudflare_api_token", "Cloudflare API token", "cloudflare", &FIELDS)];
static MARKS: [Mark; 3] = [
    mark("cfut_", r"\b(cfut_[A-Za-z0-9]{40}[a-f0-9]{8})\b"),
    mark("cfat_", r"\b(cfat_[A-Za-z0-9]{40}[a-f0-9]{8})\b"),
    mark(
        "_API_TOKEN",
        r#"\b(?:CLOUDFLARE|CF)_API_TOKEN["']?\s*[:=]\s*["']?([A-Za-z0-9_-]{40})(?:[^A-Za-z0-9_-]|$)"#,
    ),
];

const fn mark(keyword: &'static str, pattern: &'static str) -> Mark {
    Mark { kind: "cloudflare_api_token", field: "api_token", service: "", keyword, pattern }
}

/// Cloudflare.
pub struct Cloudflare;
/// The provider.
pub static PROVIDER: Cloudflare = Cloudflare;

fn api_token(value: &str) -> Result<(), &'static str> {
    rules::token(value)?;
    let old_key = value.len() == 37 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if old_key || value.starts_with("cfk_") {
        return Err("it is the global API key, which may do everything; make an API token instead");
    }
    if value.starts_with("v1.0-") {
        return Err("it is an Origin CA key, which is no API token");
    }
    Ok(())
}

fn account_id(value: &str) -> Result<(), &'static str> {
    let fits = !value.is_empty() && value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(()) } else { Err("an account id is 32 hexadecimal digits") }
}

/// What a token is, which decides where it can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// A user's, by its prefix.
    User,
    /// An account's, by its prefix.
    Account,
    /// One from before there were prefixes: either.
    Old,
    /// The access token of a browser session of wrangler. No API token has a dot.
    Session,
}

impl Sort {
    fn of(credential: &Credential) -> Result<Self, ProviderError> {
        let token = credential.secret("api_token").ok_or_else(|| api::missing(credential, "api_token"))?;
        Ok(Self::of_text(token.expose()))
    }

    fn of_text(token: &str) -> Self {
        match token {
            token if token.starts_with("cfut_") => Self::User,
            token if token.starts_with("cfat_") => Self::Account,
            token if token.contains('.') => Self::Session,
            _ => Self::Old,
        }
    }
}

/// The paths below which tokens are kept: of the user, and of the account where it is known.
fn collections(credential: &Credential) -> Result<Vec<String>, ProviderError> {
    let of_account = credential.field("account_id").map(|id| format!("accounts/{}/tokens", segment(id)));
    Ok(match (Sort::of(credential)?, of_account) {
        (Sort::Account, Some(of_account)) => vec![of_account],
        (Sort::Account, None) => return Err(needs_account().into()),
        (Sort::Old, Some(of_account)) => vec!["user/tokens".into(), of_account],
        (Sort::User | Sort::Old | Sort::Session, _) => vec!["user/tokens".into()],
    })
}

/// An account's token is known to the account alone.
fn needs_account() -> Verdict {
    Verdict::failed(
        Outcome::Unexpected,
        "it is a token of an account, and can only be asked about with the id of the account",
        "give the account id, the 32 digits in the dashboard's address: `lanyard credentials update NAME --field \
         account_id=ID`",
    )
}

impl Cloudflare {
    /// Asks about the token where it may be kept, until one place knows it. Gives the answer and that place.
    fn ask(credential: &Credential, net: &Net<'_>) -> Result<(Response, String), ProviderError> {
        let mut last = None;
        for collection in collections(credential)? {
            let request = Request::get(API.at(&credential.metadata, net.env, &format!("{collection}/verify"))?);
            let answer = api::send_as(credential, "api_token", request, net)?;
            let refused = answer::of_verify(&answer).outcome == Outcome::Invalid;
            last = Some((answer, collection));
            if !refused {
                break;
            }
        }
        last.ok_or_else(|| needs_account().into())
    }
}

impl Provider for Cloudflare {
    fn name(&self) -> &'static str {
        "cloudflare"
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

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        API.fill(raw, here.env)?;
        let of_account = raw.get("api_token").is_some_and(|token| Sort::of_text(token.expose()) == Sort::Account);
        if of_account && !raw.has("account_id") {
            let missing = || FieldError::Missing { kind: KINDS[0].title, field: "account_id".into() };
            raw.plain("account_id", found::account_id(here.env).ok_or_else(missing)?);
        }
        Ok(&KINDS[0])
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        API.hosts(metadata)
    }

    fn probe(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<Request>, ProviderError> {
        let path = match (Sort::of(credential)?, collections(credential)?.first()) {
            (Sort::Session, _) | (_, None) => "user".to_owned(),
            (_, Some(collection)) => format!("{collection}/verify"),
        };
        Ok(Some(Request::get(API.at(&credential.metadata, net.env, &path)?)))
    }

    fn judge(&self, credential: &Credential, answer: &Response) -> Verdict {
        match Sort::of(credential) {
            Ok(Sort::Session) => answer::of_user(answer),
            _ => answer::of_verify(answer),
        }
    }

    fn verify(&self, credential: &Credential, _: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let asked = || -> Result<Verdict, ProviderError> {
            if Sort::of(credential)? != Sort::Session {
                return Ok(answer::of_verify(&Self::ask(credential, net)?.0));
            }
            let request = Request::get(API.at(&credential.metadata, net.env, "user")?);
            Ok(answer::of_user(&api::send_as(credential, "api_token", request, net)?))
        };
        let verdict = asked().unwrap_or_else(|failure| failure.into_verdict(TITLE));
        api::dated(verdict, credential, net.now)
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let token = credential.secret("api_token").ok_or_else(|| api::missing(credential, "api_token"))?;
        Ok(Issued { material: Material::Bearer(token.duplicate()), expires: credential.metadata.expires })
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let mut variables = Vec::new();
        variables.extend(credential.secret("api_token").map(|token| Variable::secret("CLOUDFLARE_API_TOKEN", token)));
        variables.extend(credential.field("account_id").map(|id| Variable::plain("CLOUDFLARE_ACCOUNT_ID", id)));
        if let Some(address) = credential.field("endpoint") {
            variables.extend(API.variables.iter().map(|name| Variable::plain(name, address)));
        }
        // The global key wins over a token in wrangler, and Terraform refuses both at once.
        let others = ["CLOUDFLARE_API_KEY", "CLOUDFLARE_EMAIL", "CF_API_KEY", "CF_EMAIL"];
        variables.extend(others.map(|name| Variable::Unset { name }));
        variables
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&rotate::Rotate)
    }
}

#[cfg(test)]
mod tests;
