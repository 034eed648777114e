//! Python's `keyring` command, as pip and uv start it: the command line of jaraco/keyring 25, `network/auth.py` of pip
//! and `keyring.rs` of uv.
//!
//! The service is the address of a package index. pip and uv ask for the whole address first and then for the bare
//! host, which does not say whether a password would travel in the clear: a bare host is not answered. What pip gives to
//! be kept for a bare host is kept for `https`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::credential::{Address, Material, Raw, Want};
use crate::helper::{Answer, Ask, Call, Framing, Helper, Keep, Reply, json, told};
use crate::http::parse_url;
use crate::secret::Secret;

/// Package indexes of Python.
pub(super) struct Keyring;
/// The helper.
pub(super) static HELPER: Keyring = Keyring;

const KINDS: [&str; 2] = ["username_password", "api_key"];
/// The user that stands for a token, by PyPI's convention.
const TOKEN_USER: &str = "__token__";
const USAGE: &str = "usage: keyring [--mode {password,creds}] [--output {plain,json}] {get,set,del} service [username]";

impl Helper for Keyring {
    fn name(&self) -> &'static str {
        "keyring"
    }

    fn title(&self) -> &'static str {
        "pip, uv and other users of Python's keyring"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn programs(&self) -> &'static [&'static str] {
        &["keyring"]
    }

    fn framing(&self, arguments: &[String]) -> Framing {
        match Line::parse(arguments) {
            Ok(Line { verb: Verb::Set, .. }) => Framing::Whole,
            _ => Framing::Nothing,
        }
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        let line = Line::parse(call.arguments).map_err(misused)?;
        match (line.verb, line.user) {
            (Verb::Get, user) => {
                let at = address(line.service).ok_or_else(|| Reply::default().ending(1))?;
                Ok(Ask::Get(Want::at(&KINDS, at, user.filter(|user| *user != TOKEN_USER).map(str::to_owned))))
            }
            (Verb::Set, Some(user)) => set(line.service, user, call.text),
            (Verb::Delete, Some(user)) => {
                let at = address(&whole(line.service)).ok_or_else(|| Reply::default().ending(1))?;
                Ok(Ask::Forget(Want::at(&KINDS, at, Some(user.to_owned()))))
            }
            (Verb::Set | Verb::Delete, None) => Err(misused(format!("{} requires service and username", line.verb.word()))),
        }
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        let Ok(line) = Line::parse(call.arguments) else { return Reply::default().ending(2) };
        match answer {
            Answer::Found(_, issued) => {
                found(&line, &issued.material).unwrap_or_else(|what| Reply::refusal(1, format!("lanyard: {what}")))
            }
            Answer::Done => Reply::default(),
            Answer::Missing | Answer::Listed(_) => Reply::default().ending(1),
            Answer::Failed(failure) => Reply::refusal(1, told(*failure)),
        }
    }
}

fn misused(what: impl std::fmt::Display) -> Reply {
    Reply::refusal(2, format!("{USAGE}\nkeyring: error: {what}"))
}

/// The address of an index; `None` for any other service, which nothing here is bound to.
fn address(service: &str) -> Option<Address> {
    let url = parse_url(service).ok()?;
    url.query().is_none().then(|| Address::of_url(&url)).flatten()
}

/// The address that pip means by a bare host: the safe one, and this machine's own where it is this machine.
fn whole(service: &str) -> Cow<'_, str> {
    if service.contains("://") {
        return Cow::Borrowed(service);
    }
    let plain = format!("http://{service}");
    // Without TLS no address is one but that of this machine.
    Cow::Owned(if parse_url(&plain).is_ok() { plain } else { format!("https://{service}") })
}

#[derive(Serialize)]
struct Password<'p> {
    password: &'p str,
}

#[derive(Serialize)]
struct Pair<'p> {
    username: &'p str,
    password: &'p str,
}

fn found(line: &Line<'_>, material: &Material) -> Result<Reply, &'static str> {
    let (username, password) = match material {
        Material::Basic { username, password } => (username.as_str(), password),
        Material::Bearer(token) => (line.user.unwrap_or(TOKEN_USER), token),
        _ => return Err("this form of a credential is no password"),
    };
    // One line each is what the readers expect.
    if [username, password.expose()].iter().any(|text| text.contains(['\n', '\r', '\0'])) {
        return Err("a credential with a line break cannot be written to the tool");
    }
    let password = password.expose();
    Ok(match (line.is_pair, line.is_json) {
        (false, false) => Reply::joined(&[password, "\n"]),
        (true, false) => Reply::joined(&[username, "\n", password, "\n"]),
        (false, true) => json::line(&Password { password }).unwrap_or_default(),
        (true, true) => json::line(&Pair { username, password }).unwrap_or_default(),
    })
}

/// What a tool's user gave to be kept. One line break at the end is the terminal's.
fn set(service: &str, user: &str, text: &str) -> Result<Ask, Reply> {
    let no_index = || Reply::refusal(1, "lanyard: a password is kept for the address of an index: https://HOST/PATH/");
    let service = whole(service);
    let at = address(&service).ok_or_else(no_index)?;
    let password = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    let mut raw = Raw::new();
    raw.plain("service", "python").plain("username", user).plain("endpoint", &service);
    raw.set("password", Secret::new(password.to_owned()));
    let want = Want::at(&KINDS, at, Some(user.to_owned()));
    Ok(Ask::Store(Keep { provider: "password", inputs: BTreeMap::new(), want, raw }))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Get,
    Set,
    Delete,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "del",
        }
    }
}

/// The command line: options stand anywhere.
#[derive(Debug, PartialEq, Eq)]
struct Line<'l> {
    verb: Verb,
    service: &'l str,
    user: Option<&'l str>,
    is_pair: bool,
    is_json: bool,
}

impl<'l> Line<'l> {
    fn parse(words: &'l [String]) -> Result<Self, String> {
        let (mut is_pair, mut is_json, mut is_over) = (false, false, false);
        let mut plain = Vec::new();
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word.split_once('=').unwrap_or((word, "")) {
                _ if is_over || !word.starts_with('-') || word == "-" => plain.push(word),
                ("--", _) => is_over = true,
                (name @ ("--mode" | "--output"), value) => {
                    let value = if word.contains('=') { value } else { words.next().unwrap_or_default() };
                    match (name, value) {
                        ("--mode", "password") => is_pair = false,
                        ("--mode", "creds") => is_pair = true,
                        ("--output", "plain") => is_json = false,
                        ("--output", "json") => is_json = true,
                        _ => return Err(format!("argument {name}: invalid choice")),
                    }
                }
                // A backend of keyring's own is none of ours, and what is asked of it is not for us to answer.
                _ => return Err("unrecognized arguments".to_owned()),
            }
        }
        let mut plain = plain.into_iter();
        let verb = match plain.next() {
            Some("get") => Verb::Get,
            Some("set") => Verb::Set,
            Some("del") => Verb::Delete,
            _ => return Err("argument operation: invalid choice (choose from get, set, del)".to_owned()),
        };
        let (service, user) = (plain.next(), plain.next());
        match (service, plain.next()) {
            (Some(service), None) if !service.is_empty() => Ok(Self { verb, service, user, is_pair, is_json }),
            (Some(_), Some(_)) => Err("unrecognized arguments".to_owned()),
            _ => Err(format!("{} requires service", verb.word())),
        }
    }
}

#[cfg(test)]
mod tests;
