//! Programs that ask for a password through another one: `GIT_ASKPASS` and `SSH_ASKPASS` (`git(1)`, `ssh(1)`;
//! `credential.c` of git and `readpass.c`, `sshconnect2.c`, `ssh-add.c` of OpenSSH).
//!
//! All that is told is a sentence for a person. It is answered when it is, letter for letter, one that git or OpenSSH
//! writes, and the address or the key in it is one that a credential was stored for. OpenSSH puts the user and the host
//! before a sentence that comes from a server, so that a server cannot ask as ssh itself does.

use std::path::Path;

use crate::credential::{Address, Material, Want};
use crate::helper::{Answer, Ask, Call, Framing, Helper, Reply, told};
use crate::text::percent_decoded;

mod key;

/// Programs that ask for a password.
pub(super) struct Askpass;
/// The helper.
pub(super) static HELPER: Askpass = Askpass;

/// What stands for an account at a git host.
const GIT: [&str; 3] = ["git", "username_password", "oauth"];
const SSH: [&str; 1] = ["ssh_key"];
const ALL: [&str; 4] = ["git", "username_password", "oauth", "ssh_key"];
/// The user beside a token, at a host that wants none in particular.
const TOKEN_USER: &str = "oauth2";

impl Helper for Askpass {
    fn name(&self) -> &'static str {
        "askpass"
    }

    fn title(&self) -> &'static str {
        "git and ssh, where they ask for a password"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &ALL
    }

    fn programs(&self) -> &'static [&'static str] {
        &["lanyard-askpass"]
    }

    fn framing(&self, _: &[String]) -> Framing {
        Framing::Nothing
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        let silent = || Reply::default().ending(1);
        match call.env.var("SSH_ASKPASS_PROMPT") {
            None => {}
            // Only told, not asked.
            Some("none") => return Ok(Ask::Answered(Reply::default())),
            // A yes is a person's to give. The exit code says no.
            Some(_) => return Err(Reply::refusal(1, "lanyard: nobody is here to confirm the use of the key")),
        }
        let [prompt] = call.arguments else { return Err(silent()) };
        match Prompt::parse(prompt).ok_or_else(silent)? {
            Prompt::User(at) => Ok(Ask::Get(Want::at(&GIT, at, None))),
            Prompt::Password(at, user) => Ok(Ask::Get(Want::at(&GIT, at, user))),
            Prompt::Passphrase(path) => {
                let fingerprint = key::fingerprint(&call.env.working_dir().join(path)).ok_or_else(silent)?;
                let want = Want::holding(&SSH, "fingerprint", &fingerprint);
                Ok(Ask::Secret { want, field: "passphrase" })
            }
        }
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        let prompt = call.arguments.first().and_then(|prompt| Prompt::parse(prompt));
        match (answer, prompt) {
            (Answer::Found(metadata, issued), Some(prompt)) => {
                let told = match (&issued.material, prompt) {
                    (Material::Basic { username, .. }, Prompt::User(_)) => username,
                    (Material::Basic { password, .. }, Prompt::Password(..)) => password.expose(),
                    (Material::Bearer(_), Prompt::User(_)) => metadata.field("git_username").unwrap_or(TOKEN_USER),
                    (Material::Bearer(secret), _) => secret.expose(),
                    _ => return Reply::default().ending(1),
                };
                // Both readers stop at the end of a line, and would take a part for the whole.
                if told.is_empty() || told.contains(['\n', '\r', '\0']) {
                    return Reply::refusal(1, "lanyard: what is stored is not one line, which is all that can be told");
                }
                Reply::joined(&[told, "\n"])
            }
            (Answer::Failed(failure), _) => Reply::refusal(1, told(*failure)),
            _ => Reply::default().ending(1),
        }
    }
}

/// What a sentence asks for.
#[derive(Debug, PartialEq, Eq)]
enum Prompt<'p> {
    /// git asks for the user at an address.
    User(Address),
    /// git asks for the password at an address, of a user where it names one.
    Password(Address, Option<String>),
    /// OpenSSH asks for the passphrase of the key in a file.
    Passphrase(&'p Path),
}

impl<'p> Prompt<'p> {
    fn parse(prompt: &'p str) -> Option<Self> {
        if prompt.chars().any(char::is_control) {
            return None;
        }
        let prompt = prompt.strip_suffix(": ")?;
        let quoted = |before: &str| prompt.strip_prefix(before)?.strip_suffix('\'');
        if let Some(url) = quoted("Username for '") {
            let (at, user) = address(url)?;
            return user.is_none().then_some(Self::User(at));
        }
        if let Some(url) = quoted("Password for '") {
            return address(url).map(|(at, user)| Self::Password(at, user));
        }
        // ssh, then ssh-add: it adds how the key will be held, and asks again after a wrong answer. Who was wrong once
        // is wrong again, so that is not answered.
        let path = quoted("Enter passphrase for key '").or_else(|| {
            let path = prompt.strip_prefix("Enter passphrase for ")?;
            Some(path.strip_suffix(" (will confirm each use)").unwrap_or(path))
        })?;
        (!path.is_empty()).then(|| Self::Passphrase(Path::new(path)))
    }
}

/// What may stand in a user: what git leaves as it is, and what older ones do. Where a backslash or a question mark
/// stands, not every reader of addresses would see the same host.
fn is_of_user(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~%@+".contains(&byte)
}

/// The address in git's sentence and the user in it, who is percent-encoded.
fn address(url: &str) -> Option<(Address, Option<String>)> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "https" | "http") {
        return None;
    }
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) if user.bytes().all(is_of_user) => (Some(decoded(user)?), host),
        Some(_) => return None,
        None => (None, authority),
    };
    let path = path.map(decoded).map_or(Some(None), |path| path.map(Some))?;
    let at = Address::asked(Some(scheme), host, path.as_deref())?;
    Some((at, user))
}

/// A text without its percent-encoding; `None` where it is not well encoded or is no line of text.
fn decoded(text: &str) -> Option<String> {
    percent_decoded(text).filter(|plain| !plain.chars().any(char::is_control)).map(|plain| plain.to_string())
}

#[cfg(test)]
mod tests;
