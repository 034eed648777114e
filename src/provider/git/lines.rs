//! The file of git-credential-store(1): one address a line, with the user and the password in it, percent-encoded.

use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::text::{percent_decoded, percent_into};

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `https`, or another that git speaks.
    pub(super) scheme: String,
    /// The host, with its port where it has one.
    pub(super) host: String,
    /// What comes after the host: git keeps it where `useHttpPath` says so.
    pub(super) path: String,
    pub(super) username: String,
    pub(super) password: Secret,
}

/// The lines that hold a user and a password, in order; or the number of a line that is no address. Like git, passes
/// over empty lines, comments, and addresses without a password.
pub(super) fn parse(text: &str) -> Result<Vec<Line>, usize> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let mut found = Vec::new();
    for (index, line) in lines {
        found.extend(address(line.trim_end()).map_err(|NoAddress| index + 1)?);
    }
    Ok(found)
}

/// A line is no address.
struct NoAddress;

/// The user and the password in an address; `None` for one without.
fn address(line: &str) -> Result<Option<Line>, NoAddress> {
    let (scheme, rest) = line.split_once("://").ok_or(NoAddress)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let Some((pair, host)) = authority.rsplit_once('@') else { return Ok(None) };
    let Some((username, password)) = pair.split_once(':') else { return Ok(None) };
    let plain = |text: &str| percent_decoded(text).map(|text| String::clone(&text)).ok_or(NoAddress);
    let line = Line {
        scheme: scheme.to_ascii_lowercase(),
        host: plain(host)?.to_lowercase(),
        path: plain(path)?,
        username: plain(username)?,
        password: Secret::new(plain(password)?),
    };
    Ok((!line.password.expose().is_empty() && !line.host.is_empty()).then_some(line))
}

/// The line for a login.
pub(super) fn write(scheme: &str, host: &str, username: &str, password: &Secret) -> Secret {
    let room = scheme.len() + host.len() + 3 * (username.len() + password.expose().len()) + 8;
    let mut line = Zeroizing::new(String::with_capacity(room));
    for part in [scheme, "://"] {
        line.push_str(part);
    }
    encode(username, &mut line);
    line.push(':');
    encode(password.expose(), &mut line);
    for part in ["@", host, "\n"] {
        line.push_str(part);
    }
    Secret::new(std::mem::take(&mut *line))
}

fn encode(text: &str, into: &mut String) {
    percent_into(text, into, |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(scheme: &str, host: &str, path: &str, username: &str, password: &str) -> Line {
        let own = |text: &str| text.to_owned();
        let password = Secret::new(own(password));
        Line { scheme: own(scheme), host: own(host), path: own(path), username: own(username), password }
    }

    #[test]
    fn lines_are_read_as_git_reads_them() {
        let text = "https://alice:p%40ss%2Fword@github.com\n\n# a comment\nhttps://bob:x@Git.Example:8443/team/repo.git\n\
                    https://carol@nowhere.example\nhttps://nobody.example/path\nsmtp://me:mail@smtp.example:587\n";
        let expected = [
            line("https", "github.com", "", "alice", "p@ss/word"),
            line("https", "git.example:8443", "team/repo.git", "bob", "x"),
            line("smtp", "smtp.example:587", "", "me", "mail"),
        ];
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn a_broken_line_is_told_by_its_number() {
        assert_eq!(parse("https://a:b@c\nnonsense\n"), Err(2));
        assert_eq!(parse("https://a:b%zz@c\n"), Err(1));
        assert_eq!(parse("https://a:b%+1@c\n"), Err(1));
        assert_eq!(parse("https://a:b%f@c"), Err(1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            username in "[^\\p{C}]{1,20}", password in "[^\\p{C}]{1,40}", host in "[a-z0-9.-]{1,20}(:[0-9]{1,5})?"
        ) {
            let written = write("https", &host, &username, &Secret::new(password.clone()));
            prop_assert_eq!(parse(written.expose()).unwrap(), vec![line("https", &host, "", &username, &password)]);
        }

        #[test]
        fn any_text_is_lines_or_not(text in "\\PC{0,120}|(https://[a-z:%@/0-9]{0,40}\n){0,4}") {
            let _ = parse(&text);
        }
    }
}
