//! Sessions of keys that stay: keys for an hour, from STS, for tools that keep what they are given.
//!
//! `GetSessionToken` needs no permission. Its keys may do what the user may, but for two things: nothing of IAM, and of
//! STS nothing but `AssumeRole` and `GetCallerIdentity` (IAM User Guide, "Compare AWS STS credentials").

use chrono::{DateTime, Utc};

use super::api::{self, Door, element, text};
use super::endpoint::Service;
use crate::credential::{Credential, Issued, Material};
use crate::http::Response;
use crate::provider::{Net, ProviderError, Verdict};
use crate::secret::Secret;

/// How long a session lives, in seconds: the longest that the keys of an account's root may have.
const LIFE: &str = "3600";

/// A session of these keys of a credential; keys that are temporary already are one.
pub(super) fn of(credential: &Credential, keys: Issued, net: &Net<'_>) -> Result<Issued, ProviderError> {
    if matches!(&keys.material, Material::AwsKeys { session_token: Some(_), .. }) {
        return Ok(keys);
    }
    let door = Door {
        keys: &keys.material,
        service: Service::Sts,
        region: credential.field("region"),
        endpoint: credential.field("endpoint"),
    };
    let answer = api::ask(door, "GetSessionToken", &[("DurationSeconds", LIFE)], net)?;
    if !answer.is_success() {
        return Err(api::refusal(&answer, "sts:GetSessionToken").into());
    }
    read(&answer).ok_or_else(|| Verdict::unexpected(api::TITLE, answer.status).into())
}

/// The keys in an answer of STS.
pub(super) fn read(answer: &Response) -> Option<Issued> {
    let text = text(answer)?;
    let secret = |name| element(text, name).map(|value| Secret::new(value.to_owned()));
    let expires = DateTime::parse_from_rfc3339(element(text, "Expiration")?).ok()?;
    Some(Issued {
        material: Material::AwsKeys {
            access_key_id: element(text, "AccessKeyId")?.to_owned(),
            secret_access_key: secret("SecretAccessKey")?,
            session_token: Some(secret("SessionToken")?),
        },
        expires: Some(expires.with_timezone(&Utc)),
    })
}
