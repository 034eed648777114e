//! Temporary keys that the official tools keep: of roles, of sign-ins through SSO, and of `aws login`.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::profiles::below_aws;
use crate::credential::Raw;
use crate::http::parse_json;
use crate::os::files;
use crate::provider::{Found, Here, Origin};
use crate::secret::Secret;
use crate::text::hex;

/// Keys as the official tools write them, in caches and as the answer of a `credential_process`.
#[derive(Debug, Deserialize)]
pub(super) struct Keys {
    /// The version of the form, where a program answers.
    #[serde(rename = "Version")]
    pub(super) version: Option<u32>,
    #[serde(rename = "AccessKeyId", alias = "accessKeyId")]
    access_key_id: String,
    #[serde(rename = "SecretAccessKey", alias = "secretAccessKey")]
    secret_access_key: Secret,
    #[serde(rename = "SessionToken", alias = "sessionToken")]
    session_token: Option<Secret>,
    #[serde(rename = "Expiration", alias = "expiresAt")]
    expiration: Option<String>,
}

impl Keys {
    /// When they end.
    pub(super) fn expires(&self) -> Option<DateTime<Utc>> {
        self.expiration.as_deref().and_then(moment)
    }

    /// The values of a credential.
    pub(super) fn raw(self) -> Raw {
        let mut raw = Raw::new();
        if let Some(expires) = self.expires() {
            raw.plain("expires_at", &expires.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        }
        raw.plain("access_key_id", &self.access_key_id).set("secret_access_key", self.secret_access_key);
        if let Some(token) = self.session_token.filter(|token| !token.expose().is_empty()) {
            raw.set("session_token", token);
        }
        raw
    }
}

/// A moment as the official tools write it: RFC 3339, in older files with `UTC` for the zone.
pub(super) fn moment(text: &str) -> Option<DateTime<Utc>> {
    let text = text.strip_suffix("UTC").map_or_else(|| text.to_owned(), |local| format!("{local}Z"));
    DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc())
}

/// A file of the CLI's cache.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "Credentials")]
    keys: Keys,
    #[serde(rename = "AssumedRoleUser")]
    who: Option<AssumedRole>,
}

#[derive(Deserialize)]
struct AssumedRole {
    #[serde(rename = "Arn")]
    arn: String,
}

/// A file of the cache of `aws login`.
#[derive(Deserialize)]
struct SignIn {
    #[serde(rename = "accessToken")]
    keys: Keys,
}

/// The keys that the CLI keeps for an account and a role reached through SSO. `sign_in` is the name and the value by
/// which the sign-in is told from others: `sessionName` or `startUrl`.
pub(super) fn of_sso(here: &Here<'_>, account: &str, role: &str, sign_in: (&str, &str)) -> Option<Found> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (account, role, kind, value) = (quoted(account), quoted(role), quoted(sign_in.0), quoted(sign_in.1));
    let asked = format!("{{\"accountId\":{account},\"roleName\":{role},{kind}:{value}}}");
    let name = format!("{}.json", hex(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, asked.as_bytes()).as_ref()));
    let path = below_aws(here, "cli/cache")?.join(name);
    let entry: Entry = read(&path)?;
    found(here, &path, entry.keys, None).map(whole)
}

/// The keys of a sign-in by `aws login`.
pub(super) fn of_login(here: &Here<'_>, session: &str) -> Option<Found> {
    let chosen = here.env.var("AWS_LOGIN_CACHE_DIRECTORY").map(|path| here.env.expand_home(path));
    let folder = chosen.or_else(|| below_aws(here, "login/cache"))?;
    let name = format!("{}.json", hex(digest::digest(&SHA256, session.as_bytes()).as_ref()));
    let path = here.env.working_dir().join(folder).join(name);
    let entry: SignIn = read(&path)?;
    found(here, &path, entry.keys, None)
}

/// Every set of keys in the caches of the CLI and of boto that is still good.
pub(super) fn all(here: &Here<'_>) -> Vec<Found> {
    let folders = ["cli/cache", "boto/cache"].iter().filter_map(|folder| below_aws(here, folder));
    let entries = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let each = |path: &PathBuf| {
        let Entry { keys, who } = read(path)?;
        let role = who.and_then(|who| Some(who.arn.split('/').nth(1)?.to_owned()));
        found(here, path, keys, role).map(whole)
    };
    paths.iter().filter_map(each).collect()
}

/// A cached file. The official tools take one that they cannot read for one that is not there.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = Zeroizing::new(files::read(path).ok()??);
    parse_json(&bytes).ok()
}

fn found(here: &Here<'_>, path: &Path, keys: Keys, name: Option<String>) -> Option<Found> {
    let expires = keys.expires();
    if expires.is_some_and(|at| at <= here.env.now()) {
        return None;
    }
    let origin = Origin::file(here, path, "");
    Some(Found { kind: super::kind(super::STATIC), raw: keys.raw(), name, origin, expires })
}

/// The file holds nothing else.
fn whole(found: Found) -> Found {
    Found { origin: found.origin.whole(), ..found }
}
