//! Replacing an access key through IAM: a second one is made, and the first one switched off and deleted.
//!
//! A user may have two keys. What an interrupted rotation made and lost is found by its age: the key was made within
//! moments of the attempt's start, and nothing but our own verification ever used it. Each attempt begins only when the
//! one before it is cleared away, so that there is never more than one to be found. Any other key is somebody's: it is
//! named, and stays.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::api::{self, Door, Refusal, element, text};
use super::endpoint::Service;
use super::keys;
use crate::credential::{Credential, Issued, Metadata, Raw};
use crate::http::Response;
use crate::provider::{Net, ProviderError, Rotation, Verdict};
use crate::secret::Secret;
use crate::text::clean;

/// A key that an interrupted rotation made is at most so much older or younger than its start, by AWS' clock.
const BEFORE: TimeDelta = TimeDelta::minutes(1);
/// See [`BEFORE`].
const AFTER: TimeDelta = TimeDelta::minutes(2);
/// Its verification was over by then.
const VERIFIED: TimeDelta = TimeDelta::minutes(5);
/// A new key may not be known to all of IAM at once; after such pauses it is tried again.
const PAUSES: [Duration; 3] = if cfg!(test) {
    [Duration::ZERO; 3]
} else {
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8)]
};

/// Replaces long-lived access keys.
pub(super) struct AccessKeys;

impl Rotation for AccessKeys {
    fn can(&self, metadata: &Metadata) -> Result<(), ProviderError> {
        if metadata.kind.id != super::STATIC {
            let source = metadata.field("source").unwrap_or("its source");
            return Err(ProviderError::CannotRotate {
                what: format!("{} is a role, whose keys are made afresh each time", metadata.name),
                mend: format!("rotate what it is used through: `lanyard credentials rotate {source}`"),
            });
        }
        let temporary = metadata.field("access_key_id").is_some_and(|id| id.starts_with("ASIA"));
        if temporary || metadata.secret_names.contains("session_token") {
            return Err(ProviderError::CannotRotate {
                what: format!("{} holds temporary keys, which end by themselves", metadata.name),
                mend: "get new ones as before and store them: `lanyard credentials store aws --replace`".into(),
            });
        }
        Ok(())
    }

    fn clear(&self, credential: &Credential, since: DateTime<Utc>, net: &Net<'_>) -> Result<bool, ProviderError> {
        remove_lost(credential, &keys(credential)?, since, net)
    }

    fn mint(&self, credential: &Credential, since: Option<DateTime<Utc>>, net: &Net<'_>) -> Result<Raw, ProviderError> {
        let issued = keys(credential)?;
        let answer = iam(credential, &issued, "CreateAccessKey", &[], net)?;
        if !answer.is_success() {
            return Err(not_made(&answer, credential, &issued, since, net));
        }
        let read = || {
            let text = text(&answer)?;
            let mut raw = Raw::new();
            raw.plain("access_key_id", element(text, "AccessKeyId")?);
            raw.set("secret_access_key", Secret::new(element(text, "SecretAccessKey")?.to_owned()));
            Some(raw)
        };
        read().ok_or_else(|| Verdict::unexpected(api::TITLE, answer.status).into())
    }

    fn handle(&self, credential: &Credential) -> Option<String> {
        credential.field("access_key_id").map(str::to_owned)
    }

    fn retire(&self, handle: &str, new: &Credential, net: &Net<'_>) -> Result<(), ProviderError> {
        if new.field("access_key_id") == Some(handle) {
            return Err(ProviderError::CannotRotate {
                what: "a key is not deleted with its own authority".into(),
                mend: "delete it in the IAM console".into(),
            });
        }
        let issued = keys(new)?;
        // Switched off first: where deleting fails, it is at least of no use to anybody. Deleting needs no consent of it.
        let off = patiently(new, &issued, "UpdateAccessKey", &[("AccessKeyId", handle), ("Status", "Inactive")], net)?;
        if is_gone(&off) {
            return Ok(());
        }
        let deleted = patiently(new, &issued, "DeleteAccessKey", &[("AccessKeyId", handle)], net)?;
        if deleted.is_success() || is_gone(&deleted) {
            return Ok(());
        }
        Err(api::refusal(&deleted, "iam:DeleteAccessKey").into())
    }
}

/// Asks IAM with a credential's keys.
fn iam(
    credential: &Credential,
    issued: &Issued,
    action: &str,
    parameters: &[(&str, &str)],
    net: &Net<'_>,
) -> Result<Response, ProviderError> {
    let region = credential.field("region");
    api::ask(Door { keys: &issued.material, service: Service::Iam, region, endpoint: None }, action, parameters, net)
}

/// Asks again for a while when IAM does not know the key, which may be new.
fn patiently(
    credential: &Credential,
    issued: &Issued,
    action: &str,
    parameters: &[(&str, &str)],
    net: &Net<'_>,
) -> Result<Response, ProviderError> {
    let mut pauses = PAUSES.iter();
    loop {
        let answer = iam(credential, issued, action, parameters, net)?;
        let unknown = Refusal::of(&answer).is_some_and(|refusal| refusal.code == "InvalidClientTokenId");
        match pauses.next() {
            Some(pause) if unknown => std::thread::sleep(*pause),
            _ => return Ok(answer),
        }
    }
}

fn is_gone(answer: &Response) -> bool {
    Refusal::of(answer).is_some_and(|refusal| refusal.code == "NoSuchEntity")
}

/// Why no key was made.
fn not_made(
    answer: &Response,
    credential: &Credential,
    issued: &Issued,
    since: Option<DateTime<Utc>>,
    net: &Net<'_>,
) -> ProviderError {
    let full = Refusal::of(answer).is_some_and(|refusal| refusal.code == "LimitExceeded");
    if !full {
        return api::refusal(answer, "iam:CreateAccessKey").into();
    }
    let listed = listed(credential, issued, net).ok().flatten();
    let other = listed.and_then(|(keys, _)| keys.into_iter().next());
    let Some(other) = other else {
        return ProviderError::CannotRotate {
            what: "the user has two access keys, and AWS allows no third".into(),
            mend: "delete the one that is not in use, in the IAM console or with `aws iam delete-access-key`, then \
                   rotate again"
                .into(),
        };
    };
    let last = last_used(credential, issued, &other, net);
    let by_us = if since.is_some_and(|since| other.made + BEFORE >= since) {
        "; an interrupted rotation may have made it"
    } else {
        ""
    };
    let (id, user) = (&other.id, &other.user);
    let of_user = if user.is_empty() { String::new() } else { format!(" --user-name {user}") };
    ProviderError::CannotRotate {
        what: format!(
            "the user has two access keys, and AWS allows no third: the other one is {id}, made on {}, {last}{by_us}",
            other.made.format("%Y-%m-%d at %H:%M UTC")
        ),
        mend: format!(
            "if nothing uses it, delete it with `aws iam delete-access-key{of_user} --access-key-id {id}`, then rotate \
             again"
        ),
    }
}

/// What IAM knows of the last use of a key, in words.
fn last_used(credential: &Credential, issued: &Issued, key: &Key, net: &Net<'_>) -> String {
    let told = || {
        let answer = iam(credential, issued, "GetAccessKeyLastUsed", &[("AccessKeyId", &key.id)], net).ok()?;
        let text = text(&answer).filter(|_| answer.is_success())?;
        let service = element(text, "ServiceName")?;
        Some(match element(text, "LastUsedDate").and_then(moment) {
            Some(at) => format!("last used on {} for {}", at.format("%Y-%m-%d at %H:%M UTC"), clean(service)),
            None => "never used".to_owned(),
        })
    };
    told().unwrap_or_else(|| "last used nobody knows when".into())
}

/// An access key of the user that is not the credential's.
struct Key {
    id: String,
    user: String,
    made: DateTime<Utc>,
}

/// The user's other keys, and by how much the clock of AWS is ahead of this machine's; `None` where they may not be
/// listed.
fn listed(
    credential: &Credential,
    issued: &Issued,
    net: &Net<'_>,
) -> Result<Option<(Vec<Key>, TimeDelta)>, ProviderError> {
    let listed = iam(credential, issued, "ListAccessKeys", &[], net)?;
    let text = text(&listed).filter(|text| listed.is_success() && text.contains("<AccessKeyMetadata>"));
    let Some(text) = text else { return Ok(None) };
    let ahead = listed.date().map_or(TimeDelta::zero(), |theirs| theirs - net.now);
    let ours = credential.field("access_key_id").unwrap_or_default();
    let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte));
    let key = |member: &str| {
        let id = element(member, "AccessKeyId").filter(|id| *id != ours).filter(is_word)?;
        let user = element(member, "UserName").filter(is_word).unwrap_or_default();
        Some(Key { id: id.to_owned(), user: user.to_owned(), made: element(member, "CreateDate").and_then(moment)? })
    };
    Ok(Some((text.split("<member>").skip(1).filter_map(key).collect(), ahead)))
}

/// Deletes the key that an interrupted rotation made and that was never stored, where there is one. `true` where none
/// can be left.
fn remove_lost(
    credential: &Credential,
    issued: &Issued,
    since: DateTime<Utc>,
    net: &Net<'_>,
) -> Result<bool, ProviderError> {
    // Without the permission to list, there is still the one to make: AWS says so if there is no room.
    let Some((keys, ahead)) = listed(credential, issued, net)? else { return Ok(false) };
    // The start was noted by this machine's clock; keys are dated by AWS'.
    let start = since + ahead;
    let mut is_clear = true;
    for key in keys.iter().filter(|key| start - BEFORE <= key.made && key.made <= start + AFTER) {
        let used = iam(credential, issued, "GetAccessKeyLastUsed", &[("AccessKeyId", &key.id)], net)?;
        if !used.is_success() {
            is_clear = false;
            continue;
        }
        if !by_us_alone(&used, start) {
            continue;
        }
        let deleted = iam(credential, issued, "DeleteAccessKey", &[("AccessKeyId", &key.id)], net)?;
        if !deleted.is_success() && !is_gone(&deleted) {
            return Err(api::refusal(&deleted, "iam:DeleteAccessKey").into());
        }
    }
    Ok(is_clear)
}

/// Whether a key was never used, or by our verification alone, which asks STS within moments.
fn by_us_alone(answer: &Response, start: DateTime<Utc>) -> bool {
    let Some(text) = text(answer) else { return false };
    match element(text, "LastUsedDate") {
        None | Some("") => element(text, "ServiceName").is_some(),
        Some(date) => {
            let soon = moment(date).is_some_and(|at| at <= start + VERIFIED);
            soon && element(text, "ServiceName") == Some("sts")
        }
    }
}

fn moment(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}
