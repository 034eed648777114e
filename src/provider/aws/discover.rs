//! What the official tools have on this machine, in the order in which they look.

use std::path::Path;

use super::cache::{self, Keys};
use super::ini::{self, Section};
use super::profiles::{self, DEFAULT, Files, Profile};
use super::{PROFILE, ROLE, STATIC, kind};
use crate::credential::Raw;
use crate::http::parse_json;
use crate::provider::{Discovered, Found, Here, Origin, ProviderError};
use crate::secret::{Reason, Secret};
use crate::text::nearest;

/// A program that gives keys may ask somebody else for them.
const PATIENCE: u64 = 30;
/// Arguments of the CLI that gives keys, whatever they are made from.
const EXPORT: [&str; 5] = ["configure", "export-credentials", "--format", "process", "--profile"];

/// What lies here: of the profile that was named, or of all.
pub(super) fn discover(here: &Here<'_>) -> Discovered {
    let mut all = Discovered::default();
    let files = Files::read(here, &mut all);
    let (active, chosen) = profiles::active(here);
    let named = here.input(PROFILE);
    // Whoever has keys in the environment never gets as far as a profile.
    let keys = if named.is_some() { Ok(None) } else { environment(here) };
    let is_meant = !matches!(keys, Ok(Some(_)));
    match keys {
        Ok(keys) => all.found.extend(keys),
        Err(failure) => all.meant(failure),
    }
    // What a profile that was named says may stand in either file.
    all.broken.iter_mut().for_each(|broken| broken.is_meant |= named.is_some() || (chosen && is_meant));
    let look = Look { here, files: &files, ask: is_meant, person: named.is_some() };
    match files.profile(named.unwrap_or(active)).map(|profile| look.profile(&profile)) {
        Some(Ok(found)) if found.is_empty() && named.is_some() => all.meant(nothing(here, &files, named.unwrap_or(active))),
        Some(Ok(found)) => all.found.extend(found),
        Some(Err(failure)) if is_meant => all.meant(failure),
        Some(Err(failure)) => all.broken(failure),
        None if (named.is_some() || (chosen && is_meant)) && all.broken.is_empty() => {
            all.meant(unknown(here, &files, named.unwrap_or(active)));
        }
        None => {}
    }
    if named.is_some() {
        return all;
    }
    for profile in files.profiles().iter().filter(|profile| profile.name != active) {
        all.add(Look { ask: false, ..look }.profile(profile));
    }
    for cached in cache::all(here) {
        let is_known = |known: &Found| known.origin.path.is_some() && known.origin.path == cached.origin.path;
        if !all.found.iter().any(is_known) {
            all.found.push(cached);
        }
    }
    all
}

/// Keys in variables.
fn environment(here: &Here<'_>) -> Result<Option<Found>, ProviderError> {
    let [id, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| here.env.var(name).ok_or(name));
    let (id, secret) = match (id, secret) {
        (Ok(id), Ok(secret)) => (id, secret),
        (Err(_), Err(_)) => return Ok(None),
        (Err(missing), _) | (_, Err(missing)) => {
            return Err(ProviderError::Foreign {
                place: "the environment".into(),
                what: "place of AWS keys",
                problem: format!("{missing} is not set, and its other half is"),
            });
        }
    };
    let mut raw = Raw::new();
    raw.plain("access_key_id", id).set("secret_access_key", Secret::new(secret.to_owned()));
    // The old name wins, as it does for the official tools.
    if let Some(token) = here.env.var("AWS_SECURITY_TOKEN").or_else(|| here.env.var("AWS_SESSION_TOKEN")) {
        raw.set("session_token", Secret::new(token.to_owned()));
    }
    let expires = here.env.var("AWS_CREDENTIAL_EXPIRATION").and_then(cache::moment);
    if let Some(at) = expires {
        raw.plain("expires_at", &at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    }
    let origin = Origin::variable("AWS_ACCESS_KEY_ID");
    Ok(Some(Found { kind: kind(STATIC), raw, name: None, origin, expires }))
}

/// How far one looks.
#[derive(Clone, Copy)]
struct Look<'a> {
    here: &'a Here<'a>,
    files: &'a Files,
    /// Whether programs may be asked.
    ask: bool,
    /// Whether the user named the profile, so that a program may ask for a code.
    person: bool,
}

impl Look<'_> {
    /// What a profile holds: first what the official tool would use, then keys that it would pass over.
    fn profile(self, profile: &Profile<'_>) -> Result<Vec<Found>, ProviderError> {
        let own = self.keys(profile)?;
        let first = self.made(profile)?;
        let in_credentials = own.as_ref().is_some_and(|(_, in_credentials)| *in_credentials);
        let own = own.map(|(found, _)| found);
        let first = match first {
            Some(first) => Some(first),
            None if in_credentials => None,
            None => self.late(profile, own.is_some())?,
        };
        let own = own.map(|own| match &first {
            // Both cannot have the profile's name.
            Some(_) => Found { name: Some(keys_of(&profile.name)), ..own },
            None => own,
        });
        Ok(first.into_iter().chain(own).collect())
    }

    /// What the official tool prefers over keys in files: a role, a sign-in through SSO.
    fn made(self, profile: &Profile<'_>) -> Result<Option<Found>, ProviderError> {
        if let Some(role) = profile.text("role_arn") {
            return self.role(profile, role);
        }
        let (Some(account), Some(role)) = (profile.text("sso_account_id"), profile.text("sso_role_name")) else {
            return Ok(None);
        };
        let sign_in = profile
            .text("sso_session")
            .map(|name| ("sessionName", name))
            .or_else(|| profile.text("sso_start_url").map(|url| ("startUrl", url)));
        let cached = sign_in.and_then(|sign_in| cache::of_sso(self.here, account, role, sign_in));
        match cached {
            Some(found) => Ok(Some(self.named(profile, found))),
            None => self.official(profile, "aws sso login"),
        }
    }

    /// What the official tool looks at after the credentials file: `aws login`, a program.
    fn late(self, profile: &Profile<'_>, has_keys: bool) -> Result<Option<Found>, ProviderError> {
        if let Some(session) = profile.text("login_session") {
            return match cache::of_login(self.here, session) {
                Some(found) => Ok(Some(self.named(profile, found))),
                None if has_keys => Ok(None),
                None => self.official(profile, "aws login"),
            };
        }
        match (self.ask, profile.text("credential_process")) {
            (true, Some(line)) => self.process(profile, line),
            _ => Ok(None),
        }
    }

    fn role(self, profile: &Profile<'_>, role: &str) -> Result<Option<Found>, ProviderError> {
        let has_code = profile.text("mfa_serial").is_some();
        if profile.text("web_identity_token_file").is_some() || (has_code && self.person) {
            return self.official(profile, "aws sts get-caller-identity");
        }
        if has_code {
            return Ok(None);
        }
        let broken = |key: &str, problem: &str| {
            let (file, section) = self.files.where_is(profile, key)?;
            Some(file.broken(self.here, section, key, problem))
        };
        let source = match (profile.text("source_profile"), profile.text("credential_source")) {
            (Some(name), _) if name == profile.name => keys_of(name),
            (Some(name), _) if self.files.profile(name).is_some() => stored_as(name),
            (Some(_), _) => return broken("source_profile", "there is no such profile").map_or(Ok(None), Err),
            (None, Some("Environment")) => stored_as(DEFAULT),
            (None, Some(_)) => return self.official(profile, "aws sts get-caller-identity"),
            (None, None) => {
                return broken("role_arn", "the role has neither source_profile nor credential_source")
                    .map_or(Ok(None), Err);
            }
        };
        let mut raw = Raw::new();
        raw.plain("role_arn", role).plain("source", &source);
        for (key, field) in
            [("external_id", "external_id"), ("role_session_name", "session_name"), ("duration_seconds", "duration")]
        {
            if let Some(value) = profile.text(key) {
                raw.plain(field, value);
            }
        }
        let origin = self.files.where_is(profile, "role_arn").map(|(file, section)| self.origin(&file.path, section));
        // A role is no secret.
        let origin = origin.map(|origin| Origin { plain_text: false, ..origin });
        let found = origin.map(|origin| Found { kind: kind(ROLE), raw, name: None, origin, expires: None });
        Ok(found.map(|found| self.named(profile, found)))
    }

    /// Keys in one of the files, and whether it is the credentials file.
    fn keys(self, profile: &Profile<'_>) -> Result<Option<(Found, bool)>, ProviderError> {
        let places =
            [(&self.files.credentials, profile.credentials, true), (&self.files.config, profile.config, false)];
        for (file, section, in_credentials) in places {
            let Some(section) = section else { continue };
            let (id, secret) = match (section.get("aws_access_key_id"), section.get("aws_secret_access_key")) {
                (Some(id), Some(secret)) => (id, secret),
                (None, None) => continue,
                (Some(_), None) => {
                    let problem = "aws_secret_access_key is missing beside it";
                    return Err(file.broken(self.here, section, "aws_access_key_id", problem));
                }
                (None, Some(_)) => {
                    let problem = "aws_access_key_id is missing beside it";
                    return Err(file.broken(self.here, section, "aws_secret_access_key", problem));
                }
            };
            let mut raw = Raw::new();
            raw.plain("access_key_id", id.expose()).set("secret_access_key", secret.duplicate());
            let token = section.get("aws_security_token").or_else(|| section.get("aws_session_token"));
            if let Some(token) = token {
                raw.set("session_token", token.duplicate());
            }
            let origin = self.origin(&file.path, section);
            let found = Found { kind: kind(STATIC), raw, name: None, origin, expires: None };
            return Ok(Some((self.named(profile, found), in_credentials)));
        }
        Ok(None)
    }

    fn origin(self, path: &Path, section: &Section) -> Origin {
        Origin::file(self.here, path, &Profile::entry(section))
    }

    /// Gives a found one the profile's name, region and address.
    fn named(self, profile: &Profile<'_>, mut found: Found) -> Found {
        found.name = (profile.name != DEFAULT).then(|| profile.name.clone());
        if let Some(region) = profile.text("region") {
            found.raw.plain("region", region);
        }
        if let Some(endpoint) = self.files.endpoint(profile) {
            found.raw.plain("endpoint", endpoint);
        }
        found
    }

    /// Asks the CLI, which makes keys out of whatever a profile says. `sign_in` is what mends a refusal.
    fn official(self, profile: &Profile<'_>, sign_in: &str) -> Result<Option<Found>, ProviderError> {
        if !self.ask {
            return Ok(None);
        }
        let name = profile.name.as_str();
        let arguments = [&EXPORT[..], &[name]].concat();
        let origin = Origin::tool(&format!("aws configure export-credentials --profile {name}"));
        let mend = format!("run `{sign_in} --profile {name}` (AWS CLI version 2), then try again");
        self.asked(profile, "aws", &arguments, origin, mend).map(Some)
    }

    /// Runs the program of a profile.
    fn process(self, profile: &Profile<'_>, line: &str) -> Result<Option<Found>, ProviderError> {
        let Some((file, section)) = self.files.where_is(profile, "credential_process") else { return Ok(None) };
        let broken = |problem| file.broken(self.here, section, "credential_process", problem);
        let words = ini::words(line).ok_or_else(|| broken("a quote stays open"))?;
        let (program, arguments) = words.split_first().ok_or_else(|| broken("it names no program"))?;
        let path = Path::new(program);
        if path.components().count() > 1 && !path.is_absolute() {
            return Err(broken("the program is neither a plain name nor an absolute path"));
        }
        if path.file_stem().is_some_and(|stem| stem == "lanyard") {
            // Its keys come from the vault.
            return Ok(None);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mend = format!("run the credential_process of profile {} by hand to see what it says", profile.name);
        self.asked(profile, program, &arguments, Origin::tool(program), mend).map(Some)
    }

    fn asked(
        self,
        profile: &Profile<'_>,
        program: &str,
        arguments: &[&str],
        origin: Origin,
        mend: String,
    ) -> Result<Found, ProviderError> {
        let failed = |cause: Reason, mend: String| ProviderError::Program { program: program.to_owned(), cause, mend };
        for file in [&self.files.config, &self.files.credentials] {
            if !file.may_start_programs() {
                let file = self.here.shown(&file.path);
                let cause = Reason(format!(
                    "it was not started, since others can write to {file}, or it is chosen by a relative path"
                ));
                return Err(failed(cause, format!("make {file} yours alone, and name it by an absolute path")));
            }
        }
        let answer = match self.here.run(program, arguments, PATIENCE) {
            Ok(answer) => answer,
            Err(cause) => return Err(failed(cause, mend)),
        };
        let read: Result<Keys, _> = parse_json(answer.expose().as_bytes());
        let keys = match read {
            Ok(keys) if keys.version == Some(1) => keys,
            Ok(_) => return Err(failed(Reason("its answer is of another version than 1".into()), mend)),
            Err(malformed) => return Err(failed(Reason(format!("its answer is no keys: {malformed}")), mend)),
        };
        let expires = keys.expires();
        let found = Found { kind: kind(STATIC), raw: keys.raw(), name: None, origin, expires };
        Ok(self.named(profile, found))
    }
}

/// The name that the credential of a profile is stored under.
fn stored_as(profile: &str) -> String {
    if profile == DEFAULT { super::NAME.into() } else { profile.to_owned() }
}

/// The name of keys that stand in a profile beside something that is preferred over them.
fn keys_of(profile: &str) -> String {
    format!("{}-keys", stored_as(profile))
}

/// There is no such profile.
fn unknown(here: &Here<'_>, files: &Files, name: &str) -> ProviderError {
    let profiles = files.profiles();
    let near = nearest(name, profiles.iter().map(|profile| profile.name.as_str()));
    let mend = near.map_or_else(
        || "`aws configure list-profiles` shows what there is".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    ProviderError::NotThere { what: format!("profile {name}"), place: files.shown(here), mend }
}

/// A profile holds nothing that can be stored.
fn nothing(here: &Here<'_>, files: &Files, name: &str) -> ProviderError {
    ProviderError::NotThere {
        what: format!("credential of profile {name}"),
        place: files.shown(here),
        mend: format!("see what the official tool finds: `aws configure list --profile {name}`"),
    }
}
