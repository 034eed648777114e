//! Amazon Web Services: access keys, and roles assumed with them.
//!
//! Found where the official tools look, in their order; verified with `GetCallerIdentity`, which needs no permission;
//! replaced through IAM.

use chrono::{DateTime, Utc};

use crate::credential::{
    Credential, Field, FieldError, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules,
};
use crate::http::{Request, Response};
use crate::os::Env;
use crate::provider::api::host_of;
use crate::provider::{Discovered, Here, Input, Mark, Net, Provider, ProviderError, Rotation, Verdict};
use crate::secret::Secret;

mod api;
mod cache;
mod discover;
mod ecr;
mod eks;
mod elsewhere;
mod endpoint;
mod ini;
mod profiles;
mod role;
mod rotate;
mod session;
mod sign;

pub use ecr::{ecr_password, ecr_place};
pub use eks::eks_token;
pub use elsewhere::sent_elsewhere;

use api::Door;
use endpoint::Service;

/// The kind of keys as they are.
const STATIC: &str = "aws_static";
/// The kind of a role.
const ROLE: &str = "aws_assume_role";
/// The expression for the secret beside an access key id with this beginning.
macro_rules! mark {
    ($beginning:literal) => {
        concat!(
            r"\b",
            $beginning,
            r#"[A-Z2-7]{16}(?:\b[ -~\s]{0,200}?(?i:secret)[ -~\s]{0,60}?[^A-Za-z0-9/+]|["',;:\s]{1,5})"#,
            r"([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)",
        )
    };
}

/// What the credential of the default profile is called.
const NAME: &str = "aws";
/// The input that names a profile.
const PROFILE: &str = "aws-profile";

const REGION: Field = Field::plain("region", "Region").checked(endpoint::check_region, "eu-west-1").optional();
const ENDPOINT: Field = Field::plain("endpoint", "Address of STS, where it is not the official one")
    .checked(rules::url, "https://sts.eu-west-1.amazonaws.com")
    .optional();

static STATIC_FIELDS: [Field; 6] = [
    Field::identifier("access_key_id", "Access key id").checked(access_key_id, "AKIAIOSFODNN7EXAMPLE"),
    Field::secret("secret_access_key", "Secret access key")
        .checked(secret_access_key, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    Field::secret("session_token", "Session token")
        .checked(rules::token, "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJHMEUCIQ==")
        .optional(),
    Field::plain("expires_at", "When the keys expire").checked(expires_at, "2026-01-01T00:00:00Z").optional(),
    REGION,
    ENDPOINT,
];
static ROLE_FIELDS: [Field; 7] = [
    Field::plain("role_arn", "ARN of the role").checked(role_arn, "arn:aws:iam::123456789012:role/deploy"),
    Field::plain("source", "Credential that it is assumed with").checked(rules::token, "aws"),
    Field::plain("external_id", "External id").checked(rules::line, "a-word-of-the-other-account").optional(),
    Field::plain("session_name", "Name of the session").checked(session_name, "deploy@laptop").optional(),
    Field::plain("duration", "Seconds that the keys are good for").checked(duration, "3600").optional(),
    REGION,
    ENDPOINT,
];
static KINDS: [Kind; 2] = [
    Kind::new(STATIC, "AWS access key", "aws", &STATIC_FIELDS),
    Kind::new(ROLE, "AWS role", "aws", &ROLE_FIELDS).renews_itself(),
];
static INPUTS: [Input; 1] = [Input::flag(PROFILE, "PROFILE", "Take what the official tools have under this profile")];
static MARKS: [Mark; 2] = [
    Mark { kind: STATIC, field: "secret_access_key", service: "", keyword: "AKIA", pattern: LASTING },
    Mark { kind: STATIC, field: "secret_access_key", service: "", keyword: "ASIA", pattern: TEMPORARY },
];
/// The secret that stands soon after an access key id, alone or under a name with `secret` in it.
const LASTING: &str = mark!("AKIA");
/// The same of temporary keys.
const TEMPORARY: &str = mark!("ASIA");

/// Amazon Web Services.
pub struct Aws;
/// The provider.
pub static PROVIDER: Aws = Aws;

/// The kind of that identifier.
fn kind(id: &str) -> &'static Kind {
    if id == ROLE { &KINDS[1] } else { &KINDS[0] }
}

impl Provider for Aws {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn title(&self) -> &'static str {
        api::TITLE
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        discover::discover(here)
    }

    fn is_told(&self, raw: &Raw) -> bool {
        raw.has("role_arn")
    }

    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        if let Some(region) = here.env.var("AWS_REGION").or_else(|| here.env.var("AWS_DEFAULT_REGION")) {
            raw.fill("region", Secret::new(region.to_owned()));
        }
        if raw.has("role_arn") || raw.has("source") {
            return Ok(kind(ROLE));
        }
        let temporary = raw.get("access_key_id").is_some_and(|id| id.expose().starts_with("ASIA"));
        if temporary && !raw.has("session_token") {
            let (kind, field) = (kind(STATIC).title, "session_token".to_owned());
            return Err(FieldError::Missing { kind, field }.into());
        }
        Ok(kind(STATIC))
    }

    fn default_name(&self, fields: &Fields) -> String {
        let role = fields.plain.get("role_arn").and_then(|arn| arn.rsplit('/').next());
        role.unwrap_or(NAME).to_owned()
    }

    fn expires(&self, fields: &Fields) -> Option<DateTime<Utc>> {
        cache::moment(fields.plain.get("expires_at")?)
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        // No variable counts here: what is said must hold wherever the credential is used.
        let nowhere = Env::empty();
        let (region, own) = (metadata.field("region"), metadata.field("endpoint"));
        let services = [(Service::Sts, own), (Service::Iam, None)];
        let services = if metadata.kind.id == ROLE { &services[..1] } else { &services[..] };
        let places =
            services.iter().filter_map(|(service, own)| endpoint::place(*service, region, *own, &nowhere).ok());
        places.filter_map(|place| host_of(&place.url)).collect()
    }

    fn probe(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<Request>, ProviderError> {
        let (region, own) = (credential.field("region"), credential.field("endpoint"));
        let place = endpoint::place(Service::Sts, region, own, net.env)?;
        Ok(Some(api::form(&place, Service::Sts, IDENTITY, &[])))
    }

    fn judge(&self, _: &Credential, answer: &Response) -> Verdict {
        if !answer.is_success() {
            return api::refusal(answer, "sts:GetCallerIdentity");
        }
        let account = api::text(answer).and_then(|text| api::element(text, "Account"));
        let is_account = |account: &&str| !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
        account.filter(is_account).map_or_else(|| Verdict::unexpected(api::TITLE, answer.status), of_account)
    }

    fn material(
        &self,
        credential: &Credential,
        source: Option<&Issued>,
        net: &Net<'_>,
    ) -> Result<Issued, ProviderError> {
        if credential.metadata.kind.id == ROLE {
            return Ok(role::assume(credential, source, net)?.issued);
        }
        keys(credential)
    }

    /// Keys that end: those of the role, the temporary ones that are stored, or a session of those that stay.
    fn short(
        &self,
        credential: &Credential,
        source: Option<&Issued>,
        net: &Net<'_>,
    ) -> Result<Issued, ProviderError> {
        let issued = if credential.metadata.kind.id == STATIC { keys(credential)? } else { return self.material(credential, source, net) };
        session::of(credential, issued, net)
    }

    fn made_at(&self, metadata: &Metadata, net: &Net<'_>) -> Option<String> {
        (metadata.kind.id == ROLE).then(|| sts(metadata, net)).flatten()
    }

    fn short_made_at(&self, metadata: &Metadata, net: &Net<'_>) -> Option<String> {
        let is_session = metadata.secret_names.contains("session_token");
        if is_session { None } else { sts(metadata, net) }
    }

    fn verify(&self, credential: &Credential, source: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let asked = || -> Result<Verdict, ProviderError> {
            if credential.metadata.kind.id == ROLE {
                // Whoever was given the role has it: there is nothing more to ask.
                let assumed = role::assume(credential, source, net)?;
                return Ok(role::account(&assumed.arn).map_or_else(Verdict::valid_unnamed, of_account));
            }
            let issued = keys(credential)?;
            let door = Door {
                keys: &issued.material,
                service: Service::Sts,
                region: credential.field("region"),
                endpoint: credential.field("endpoint"),
            };
            let answer = api::ask(door, IDENTITY, &[], net)?;
            Ok(self.judge(credential, &answer).expiring(issued.expires))
        };
        asked().unwrap_or_else(|failure| failure.into_verdict(self.title()))
    }

    fn export(&self, credential: &Credential, issued: &Issued) -> Vec<Variable> {
        let Material::AwsKeys { access_key_id, secret_access_key, session_token } = &issued.material else {
            return Vec::new();
        };
        let mut variables = vec![
            Variable::plain("AWS_ACCESS_KEY_ID", access_key_id),
            Variable::secret("AWS_SECRET_ACCESS_KEY", secret_access_key),
        ];
        variables.push(match session_token {
            Some(token) => Variable::secret("AWS_SESSION_TOKEN", token),
            None => Variable::Unset { name: "AWS_SESSION_TOKEN" },
        });
        variables.push(match issued.expires {
            Some(at) => Variable::plain("AWS_CREDENTIAL_EXPIRATION", &rfc3339(at)),
            None => Variable::Unset { name: "AWS_CREDENTIAL_EXPIRATION" },
        });
        if let Some(region) = credential.field("region") {
            // The SDKs read the first, the CLI the second.
            variables.extend(["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| Variable::plain(name, region)));
        }
        if let Some(endpoint) = credential.field("endpoint") {
            variables.push(Variable::plain("AWS_ENDPOINT_URL_STS", endpoint));
        }
        // What would win over the keys, or belong to others.
        let unset = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SECURITY_TOKEN", "AWS_ACCOUNT_ID"];
        variables.extend(unset.map(|name| Variable::Unset { name }));
        variables
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[("aws-credentials", "an AWS credentials file, which AWS_SHARED_CREDENTIALS_FILE can name")]
    }

    fn file(&self, format: &str, credential: &Credential, issued: &Issued) -> Option<Secret> {
        let Material::AwsKeys { access_key_id, secret_access_key, session_token } = &issued.material else {
            return None;
        };
        if format != "aws-credentials" {
            return None;
        }
        let mut parts = vec![
            "[default]\naws_access_key_id = ",
            access_key_id,
            "\naws_secret_access_key = ",
            secret_access_key.expose(),
            "\n",
        ];
        if let Some(token) = session_token {
            parts.extend(["aws_session_token = ", token.expose(), "\n"]);
        }
        if let Some(region) = credential.field("region") {
            parts.extend(["region = ", region, "\n"]);
        }
        Some(Secret::new(parts.concat()))
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&rotate::AccessKeys)
    }
}

/// The request that tells whose keys they are. It needs no permission, and none can forbid it.
const IDENTITY: &str = "GetCallerIdentity";

/// The keys of a credential, as they are.
fn keys(credential: &Credential) -> Result<Issued, ProviderError> {
    let damaged =
        |field| ProviderError::Damaged { name: credential.metadata.name.clone(), field, problem: "it is not there" };
    let id = credential.field("access_key_id").ok_or_else(|| damaged("access_key_id"))?;
    let secret = credential.secret("secret_access_key").ok_or_else(|| damaged("secret_access_key"))?;
    let material = Material::AwsKeys {
        access_key_id: id.to_owned(),
        secret_access_key: secret.duplicate(),
        session_token: credential.secret("session_token").map(Secret::duplicate),
    };
    Ok(Issued { material, expires: credential.field("expires_at").and_then(cache::moment) })
}

/// Where STS is asked for a credential.
fn sts(metadata: &Metadata, net: &Net<'_>) -> Option<String> {
    let place = endpoint::place(Service::Sts, metadata.field("region"), metadata.field("endpoint"), net.env).ok()?;
    Some(format!("{} {}", place.url, place.region))
}

fn of_account(account: &str) -> Verdict {
    Verdict::valid(format!("Account {account}"))
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Accepts an access key id: a word of letters and digits, as the service's own model has it.
fn access_key_id(value: &str) -> Result<(), &'static str> {
    let is_word =
        (16..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_word { Ok(()) } else { Err("it is no access key id such as AKIAIOSFODNN7EXAMPLE") }
}

/// Accepts a secret access key, and refuses the id in its place.
fn secret_access_key(value: &str) -> Result<(), &'static str> {
    rules::token(value)?;
    let is_id = value.len() == 20 && (value.starts_with("AKIA") || value.starts_with("ASIA"));
    if is_id { Err("it is the access key id; the secret is the longer one") } else { Ok(()) }
}

fn expires_at(value: &str) -> Result<(), &'static str> {
    cache::moment(value).map(|_| ()).ok_or("it is no time such as 2026-01-01T00:00:00Z")
}

fn role_arn(value: &str) -> Result<(), &'static str> {
    rules::token(value)?;
    let is_role = value.starts_with("arn:") && value.contains(":role/");
    if is_role { Ok(()) } else { Err("it is no ARN of a role such as arn:aws:iam::123456789012:role/deploy") }
}

/// As the service's model has it.
fn session_name(value: &str) -> Result<(), &'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    let is_name = (2..=64).contains(&value.len()) && value.bytes().all(fits);
    if is_name { Ok(()) } else { Err("it is not 2 to 64 letters, digits and _+=,.@-") }
}

/// As the service's model has it.
fn duration(value: &str) -> Result<(), &'static str> {
    let fits = value.parse::<u32>().is_ok_and(|seconds| (900..=43_200).contains(&seconds));
    if fits { Ok(()) } else { Err("it is no number of seconds from 900 to 43200") }
}

#[cfg(test)]
mod tests;
