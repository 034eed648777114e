//! git's credential helper: `git-credential(1)`, `gitcredentials(7)`; behaviour that the pages leave open as in
//! `credential.c` of git 2.47.
//!
//! A question is lines of `key=value`. Hosts, ports and schemes must be exactly those that a credential was stored
//! for. What is answered is never a refresh token, since git hands the answer to every other helper as well.

use crate::credential::{Address, Issued, Material, Want};
use crate::helper::{Answer, Ask, Call, Framing, Helper, Reply, told};
use crate::secret::Secret;

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

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Found(_, issued) => {
                let Ok(question) = Question::parse(call.text) else { return Reply::default() };
                found(&question, issued).unwrap_or_else(|what| {
                    Reply::refusal(1, format!("lanyard: {what} of the credential cannot be written to git"))
                })
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
fn found(question: &Question<'_>, issued: &Issued) -> Result<Reply, &'static str> {
    let expiry = issued.expires.map(|at| format!("password_expiry_utc={}\n", at.timestamp())).unwrap_or_default();
    let line = |what: &'static str, value: &str| if is_writable(value) { Ok(()) } else { Err(what) };
    match &issued.material {
        Material::Basic { username, password } => {
            line("the user name", username)?;
            line("the password", password.expose())?;
            Ok(Reply::joined(&["username=", username, "\npassword=", password.expose(), "\n", &expiry]))
        }
        Material::Bearer(token) if question.knows_authtype => {
            line("the token", token.expose())?;
            // Ephemeral: other helpers are told not to keep it.
            Ok(Reply::joined(&[
                "capability[]=authtype\nauthtype=Bearer\nephemeral=1\ncredential=",
                token.expose(),
                "\n",
                &expiry,
            ]))
        }
        Material::Bearer(token) => {
            line("the token", token.expose())?;
            let user = question.username.unwrap_or("oauth2");
            line("the user name", user)?;
            Ok(Reply::joined(&["username=", user, "\npassword=", token.expose(), "\n", &expiry]))
        }
        _ => Err("the form"),
    }
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
    credential: Option<&'q str>,
    knows_authtype: bool,
}

impl<'q> Question<'q> {
    /// Reads lines that end with LF, one CR before it allowed.
    fn parse(text: &'q str) -> Result<Self, &'static str> {
        let mut question = Self::default();
        for line in text.split_terminator('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.contains('\r') {
                return Err("a carriage return stands within a line");
            }
            let (key, value) = line.split_once('=').ok_or("a line has no equals sign")?;
            let place = match key {
                "" => return Err("a line has no key"),
                "protocol" => &mut question.protocol,
                "host" => &mut question.host,
                "path" => &mut question.path,
                "username" => &mut question.username,
                "password" => &mut question.password,
                "credential" => &mut question.credential,
                "capability[]" => {
                    question.knows_authtype |= value == "authtype";
                    continue;
                }
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err("a key stands there twice");
            }
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
        self.password.or(self.credential).map(|secret| Secret::new(secret.to_owned()))
    }
}

#[cfg(test)]
mod tests;
