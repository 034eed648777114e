//! git's credential helper: `git-credential(1)`, `gitcredentials(7)`; behaviour that the pages leave open as in
//! `credential.c` of git 2.47.
//!
//! A question is lines of `key=value`. Hosts, ports and schemes must be exactly those that a credential was stored
//! for. What is answered is never a refresh token, since git hands the answer to every other helper as well.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use crate::credential::{Address, Issued, Material, Metadata, Want};
use crate::error::Code;
use crate::helper::{Answer, Ask, Call, Framing, Helper, Reply, told};
use crate::secret::Secret;
use crate::text::clean;

/// git over HTTPS.
pub(super) struct Git;
/// The helper.
pub(super) static HELPER: Git = Git;

/// Any of these can stand for an account at a git host.
const KINDS: [&str; 2] = ["git", "oauth"];

impl Helper for Git {
    fn name(&self) -> &'static str {
        "git"
    }

    fn title(&self) -> &'static str {
        "git over HTTPS"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn programs(&self) -> &'static [&'static str] {
        &["git-credential-lanyard"]
    }

    fn framing(&self, arguments: &[String]) -> Framing {
        match arguments.first().map(String::as_str) {
            Some("get" | "store" | "erase") => Framing::Paragraph,
            _ => Framing::Nothing,
        }
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        match call.verb() {
            "get" => {
                let question = Question::parse(call.text).map_err(refused)?;
                Ok(question.want().map_or_else(|| Ask::Answered(Reply::default()), Ask::Get))
            }
            "erase" => {
                let question = Question::parse(call.text).map_err(refused)?;
                let secret = question.secret();
                Ok(question.want().map_or_else(|| Ask::Answered(Reply::default()), |want| Ask::Refused { want, secret }))
            }
            // What git stores is what a helper gave it, or what a person typed for this once. A person who wants it
            // kept says so to lanyard.
            "store" => {
                Question::parse(call.text).map_err(refused)?;
                Ok(Ask::Answered(Reply::default()))
            }
            "capability" => Ok(Ask::Answered(Reply::of(*b"version 0\ncapability authtype\n"))),
            // An operation of a later git: the page asks to do nothing, without a word.
            _ => Ok(Ask::Answered(Reply::default())),
        }
    }

    fn signs_in(&self) -> bool {
        true
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Found(metadata, issued) => {
                let Ok(question) = Question::parse(call.text) else { return Reply::default() };
                found(&question, metadata, issued, call.env.now()).unwrap_or_else(|what| {
                    Reply::refusal(1, format!("lanyard: {what} of the credential cannot be written to git"))
                })
            }
            // Who may not, or does not want to, is not asked for a password by git instead.
            Answer::Failed(failure) if matches!(failure.code(), Code::Forbidden | Code::Interrupted) => {
                Reply::of(*b"quit=1\n").saying(told(*failure))
            }
            Answer::Failed(failure) => Reply::refusal(0, told(*failure)),
            Answer::Listed(_) | Answer::Done | Answer::Missing => Reply::default(),
        }
    }
}

fn refused(problem: &'static str) -> Reply {
    Reply::refusal(1, format!("lanyard: git's question is refused: {problem}"))
}

/// The lines for git; which value cannot be written, where one cannot.
fn found(
    question: &Question<'_>,
    metadata: &Metadata,
    issued: &Issued,
    now: DateTime<Utc>,
) -> Result<Reply, &'static str> {
    // git would throw it away and show the user name to the next helper.
    if issued.expires.is_some_and(|at| at <= now) {
        let name = clean(&metadata.name);
        let mend = format!("replace it: `lanyard credentials update {name}`");
        return Ok(Reply::refusal(0, format!("lanyard: credential {name} has expired; {mend}")));
    }
    let (user, password) = match &issued.material {
        Material::Basic { username, password } => (username.as_str(), password),
        // Every host takes an OAuth token as a password; which user name it wants beside it, the credential knows.
        Material::Bearer(token) => {
            let own = metadata.field("git_username").or(question.username).filter(|user| !user.is_empty());
            (own.unwrap_or("oauth2"), token)
        }
        _ => return Err("the form"),
    };
    for (what, value) in [("the user name", user), ("the password", password.expose())] {
        if !is_writable(value) {
            return Err(what);
        }
    }
    let expiry = issued.expires.map(|at| format!("password_expiry_utc={}\n", at.timestamp())).unwrap_or_default();
    if !question.knows_authtype || user.contains(':') {
        return Ok(Reply::joined(&["username=", user, "\npassword=", password.expose(), "\n", &expiry]));
    }
    let pair = Zeroizing::new([user, ":", password.expose()].concat());
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    // Ephemeral: every other helper is shown what worked, and told not to keep it.
    let form = "capability[]=authtype\nauthtype=Basic\nephemeral=1\ncredential=";
    Ok(Reply::joined(&[form, &encoded, "\n", &expiry]))
}

/// Whether a value stays one value in the protocol.
fn is_writable(value: &str) -> bool {
    !value.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | b'\0'))
}

/// What git asks.
#[derive(Debug, Default)]
struct Question<'q> {
    protocol: Option<&'q str>,
    host: Option<&'q str>,
    path: Option<&'q str>,
    username: Option<&'q str>,
    password: Option<&'q str>,
    authtype: Option<&'q str>,
    credential: Option<&'q str>,
    knows_authtype: bool,
}

impl<'q> Question<'q> {
    /// Reads lines that end with LF, one CR before it allowed.
    fn parse(text: &'q str) -> Result<Self, &'static str> {
        let mut question = Self::default();
        let mut seen = BTreeSet::new();
        for line in text.split_terminator('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.contains('\r') {
                return Err("a carriage return stands within a line");
            }
            let (key, value) = line.split_once('=').ok_or("a line has no equals sign")?;
            if key.is_empty() {
                return Err("a line has no key");
            }
            if !key.ends_with("[]") && !seen.insert(key) {
                return Err("a key stands there twice");
            }
            let place = match key {
                "protocol" => &mut question.protocol,
                "host" => &mut question.host,
                "path" => &mut question.path,
                "username" => &mut question.username,
                "password" => &mut question.password,
                "authtype" => &mut question.authtype,
                "credential" => &mut question.credential,
                "capability[]" => {
                    question.knows_authtype |= value == "authtype";
                    continue;
                }
                _ => continue,
            };
            *place = Some(value);
        }
        if text.ends_with('\r') && !text.ends_with("\r\n") {
            return Err("a carriage return stands within a line");
        }
        for (value, problem) in [(question.protocol, "it names no protocol"), (question.host, "it names no host")] {
            if value.is_none_or(str::is_empty) {
                return Err(problem);
            }
        }
        Ok(question)
    }

    /// What it is for; `None` where no credential could be.
    fn want(&self) -> Option<Want> {
        let protocol = self.protocol.filter(|protocol| matches!(*protocol, "https" | "http"))?;
        let at = Address::asked(Some(protocol), self.host?, self.path)?;
        Some(Want::at(&KINDS, at, self.username.map(str::to_owned)))
    }

    /// The secret that git was given and that did not work.
    fn secret(&self) -> Option<Secret> {
        if let Some(password) = self.password {
            return Some(Secret::new(password.to_owned()));
        }
        let credential = self.credential?;
        if !self.authtype.is_some_and(|kind| kind.eq_ignore_ascii_case("basic")) {
            return Some(Secret::new(credential.to_owned()));
        }
        let pair = Zeroizing::new(STANDARD.decode(credential).ok()?);
        let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
        Some(Secret::new(password.to_owned()))
    }
}

#[cfg(test)]
mod tests;
