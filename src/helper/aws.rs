//! The `credential_process` of the AWS CLI and SDKs: `lanyard helper aws NAME` in a profile.
//!
//! Such a program is asked nothing but its own command line. What it answers is kept by the tool until it ends, so it is
//! never a key that stays: the session of a role, temporary keys, or a session that is made of the keys. A session of
//! keys may do all that the user may, but nothing of IAM (see the provider).
//!
//! A profile can name another `endpoint_url`, and tools sign requests for that one as well: nothing binds what is handed
//! out to AWS itself, which is why it is good for an hour at most unless the credential says otherwise.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;

use crate::credential::{Material, Metadata, Want};
use crate::helper::{Answer, Ask, Call, Framing, Helper, Reply, json, told};
use crate::text::clean;

/// AWS CLI and SDKs.
pub(super) struct Aws;
/// The helper.
pub(super) static HELPER: Aws = Aws;

const KINDS: [&str; 2] = ["aws_static", "aws_assume_role"];

/// Clocks differ, and a request takes its time: so much before the end it is called the end.
const AHEAD: TimeDelta = TimeDelta::minutes(1);
/// Temporary keys whose end nobody knows are asked for again after a while, since they may have been replaced. The SDKs
/// ask 15 minutes before the end.
const UNKNOWN: TimeDelta = TimeDelta::minutes(30);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Told<'t> {
    version: u8,
    access_key_id: &'t str,
    secret_access_key: &'t str,
    session_token: &'t str,
    expiration: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<&'t str>,
}

impl Helper for Aws {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn title(&self) -> &'static str {
        "the AWS CLI and SDKs (credential_process)"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn framing(&self, _: &[String]) -> Framing {
        Framing::Nothing
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        match call.arguments {
            [name] if !name.starts_with('-') => Ok(Ask::Get(Want { short: true, ..Want::named(&KINDS, name) })),
            _ => Err(Reply::refusal(1, "usage: lanyard helper aws NAME")),
        }
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Found(metadata, issued) => {
                let Material::AwsKeys { access_key_id, secret_access_key, session_token: Some(token) } =
                    &issued.material
                else {
                    return Reply::refusal(1, "lanyard: only keys that end are handed out here");
                };
                let Some(end) = end(issued.expires, call.env.now()) else { return over(metadata) };
                let told = Told {
                    version: 1,
                    access_key_id,
                    secret_access_key: secret_access_key.expose(),
                    session_token: token.expose(),
                    expiration: end.to_rfc3339_opts(SecondsFormat::Secs, true),
                    account_id: account(metadata),
                };
                json::line(&told).unwrap_or_else(|| Reply::refusal(1, "lanyard: the answer cannot be written"))
            }
            Answer::Failed(failure) => Reply::refusal(1, told(*failure)),
            Answer::Missing | Answer::Listed(_) | Answer::Done => Reply::refusal(
                1,
                "lanyard: there is no AWS credential of that name; `lanyard credentials list` shows what there is",
            ),
        }
    }
}

/// The end that a tool is told; `None` where it has come.
fn end(known: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let end = known.map_or(now + UNKNOWN, |at| at.checked_sub_signed(AHEAD).unwrap_or(at));
    (end > now).then_some(end)
}

fn over(metadata: &Metadata) -> Reply {
    let name = clean(&metadata.name);
    let mend = "get new ones and store them with `--replace`";
    Reply::refusal(1, format!("lanyard: the time of the temporary keys in {name} is over; {mend}"))
}

/// The account of a role: the fifth part of its ARN.
fn account(metadata: &Metadata) -> Option<&str> {
    metadata.field("role_arn")?.split(':').nth(4).filter(|account| !account.is_empty())
}

#[cfg(test)]
mod tests;
