//! A login as a line of a netrc file, for curl and others: `curl --netrc-file <(lanyard helper netrc HOST) https://HOST/`.
//!
//! Such a file knows hosts, and neither ports nor paths nor schemes: what was stored for a path is not written, and the
//! address should be one of `https`. Readers do not agree on quotes: what would need them is refused.

use crate::credential::{Address, Material, Want};
use crate::helper::{Answer, Ask, Call, Framing, Helper, Reply, told};

/// Readers of netrc files.
pub(super) struct Netrc;
/// The helper.
pub(super) static HELPER: Netrc = Netrc;

const KINDS: [&str; 3] = ["username_password", "git", "api_key"];

impl Helper for Netrc {
    fn name(&self) -> &'static str {
        "netrc"
    }

    fn title(&self) -> &'static str {
        "curl and other readers of netrc files"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &KINDS
    }

    fn framing(&self, _: &[String]) -> Framing {
        Framing::Nothing
    }

    fn ask(&self, call: &Call<'_>) -> Result<Ask, Reply> {
        let (host, user) = match call.arguments {
            [host] => (host, None),
            [host, user] => (host, Some(user.clone())),
            _ => return Err(Reply::refusal(1, "usage: lanyard helper netrc HOST [USER]")),
        };
        let at = Address::asked(None, host, None).ok_or_else(|| Reply::refusal(1, "lanyard: this is no host"))?;
        Ok(Ask::Get(Want::at(&KINDS, at, user)))
    }

    fn reply(&self, call: &Call<'_>, answer: &Answer<'_>) -> Reply {
        match answer {
            Answer::Found(_, issued) => found(machine(call.verb()), &issued.material)
                .unwrap_or_else(|what| Reply::refusal(1, format!("lanyard: {what}"))),
            Answer::Missing | Answer::Listed(_) | Answer::Done => {
                Reply::refusal(1, "lanyard: no login is stored for this host")
            }
            Answer::Failed(failure) => Reply::refusal(1, told(*failure)),
        }
    }
}

/// The host without its port, which such a file does not know.
fn machine(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    }
}

fn found(machine: &str, material: &Material) -> Result<Reply, &'static str> {
    let Material::Basic { username, password } = material else {
        return Err("such a file holds a user and a password, and this credential is neither");
    };
    for (text, problem) in [
        (machine, "readers of such files do not agree on this host"),
        (username, "readers of such files do not agree on a user name with such characters"),
        (password.expose(), "readers of such files do not agree on a password with such characters"),
    ] {
        if !is_plain(text) {
            return Err(problem);
        }
    }
    Ok(Reply::joined(&["machine ", machine, " login ", username, " password ", password.expose(), "\n"]))
}

/// Whether every reader takes it as it stands: one word without quotes, backslashes or what begins a comment.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\#".contains(&byte))
}

#[cfg(test)]
mod tests;
