//! Docker's configuration file, which podman, skopeo and helm read as well: `{"auths":{"HOST":{"auth":"…"}}}`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::asked::IDENTITY_TOKEN;
use crate::http::parse_json;
use crate::secret::Secret;

/// What such a file says.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// The logins whose passwords stand in the file, by the registry's name in it.
    pub(super) logins: Vec<(String, Login)>,
    /// The registries for which a helper is asked, and the helper's short name.
    pub(super) helpers: BTreeMap<String, String>,
    /// The helper for all other registries.
    pub(super) store: Option<String>,
    /// The registries whose logins the helper for all others has.
    pub(super) elsewhere: Vec<String>,
}

impl Config {
    /// The helper that docker would ask about a registry.
    pub(super) fn helper(&self, key: &str) -> Option<&str> {
        self.helpers.get(key).or(self.store.as_ref()).map(String::as_str)
    }
}

/// A user name and a password.
#[derive(Debug)]
pub(super) struct Login {
    /// The user, [`IDENTITY_TOKEN`] where the password is one.
    pub(super) username: String,
    /// The password.
    pub(super) password: Secret,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    auths: Option<BTreeMap<String, Option<Entry>>>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
}

/// Reads such a file. The error says where it is wrong and quotes nothing of it.
pub(super) fn parse(bytes: &[u8]) -> Result<Config, String> {
    let wire: Wire = parse_json(bytes).map_err(|problem| problem.to_string())?;
    let filled = |name: &String| !name.is_empty();
    let mut config = Config {
        helpers: wire.cred_helpers.unwrap_or_default().into_iter().filter(|(_, name)| filled(name)).collect(),
        store: wire.creds_store.filter(filled),
        ..Config::default()
    };
    for (key, entry) in wire.auths.unwrap_or_default() {
        // What docker keeps beside a login for its own use is none.
        if key.ends_with("/access-token") || key.ends_with("/refresh-token") {
            continue;
        }
        match entry.map(login).transpose() {
            Ok(Some(Some(login))) => config.logins.push((key, login)),
            Ok(_) => config.elsewhere.push(key),
            Err(problem) => return Err(format!("{problem} at line {}", line_of(bytes, &key))),
        }
    }
    Ok(config)
}

/// The login of an entry; `None` where the entry only says that there is one elsewhere.
fn login(entry: Entry) -> Result<Option<Login>, &'static str> {
    let is_there = |secret: &Secret| !secret.expose().is_empty();
    if let Some(password) = entry.identitytoken.filter(is_there) {
        return Ok(Some(Login { username: IDENTITY_TOKEN.into(), password }));
    }
    if let Some(auth) = entry.auth.filter(is_there) {
        return decode(&auth).map(Some);
    }
    Ok(match (entry.username, entry.password.filter(is_there)) {
        (Some(username), Some(password)) if !username.is_empty() => Some(Login { username, password }),
        _ => None,
    })
}

/// Takes apart the base64 of `user:password`, which docker once padded with zero bytes.
fn decode(auth: &Secret) -> Result<Login, &'static str> {
    let bytes = STANDARD.decode(auth.expose()).map(Zeroizing::new).map_err(|_| "an auth is no base64")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "an auth holds no text")?;
    let (username, password) = text.split_once(':').ok_or("an auth holds no user and password")?;
    Ok(Login { username: username.to_owned(), password: Secret::new(password.trim_matches('\0').to_owned()) })
}

/// The line in which a registry's name stands.
fn line_of(bytes: &[u8], key: &str) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let quoted = serde_json::to_string(key).unwrap_or_default();
    text.lines().position(|line| line.contains(&quoted)).map_or(1, |line| line + 1)
}

/// Writes a file with one login.
pub(super) fn write(key: &str, username: &str, password: &Secret) -> Secret {
    let key = serde_json::to_string(key).unwrap_or_default();
    if username == IDENTITY_TOKEN {
        let token = Zeroizing::new(serde_json::to_string(password.expose()).unwrap_or_default());
        // Some readers pass over an entry whose `auth` names nobody.
        let auth = STANDARD.encode(format!("{IDENTITY_TOKEN}:"));
        return joined(&[r#"{"auths":{"#, &key, r#":{"auth":""#, &auth, r#"","identitytoken":"#, &token, "}}}\n"]);
    }
    let pair = Zeroizing::new([username, ":", password.expose()].concat());
    let auth = Zeroizing::new(STANDARD.encode(&*pair));
    joined(&[r#"{"auths":{"#, &key, r#":{"auth":""#, &auth, "\"}}}\n"])
}

/// The parts in a buffer of the right size, so that growing leaves no copy behind.
fn joined(parts: &[&str]) -> Secret {
    Secret::new(parts.concat())
}

/// What a credential helper answers to `get`.
pub(super) fn helper_answer(answer: &Secret) -> Option<Login> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: Secret,
    }
    let Answer { username, secret } = parse_json(answer.expose().as_bytes()).ok()?;
    (!username.is_empty() && !secret.expose().is_empty()).then_some(Login { username, password: secret })
}

/// The program of a helper; `None` for a name that is not to be part of a program's.
pub(super) fn helper_program(name: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-');
    is_name.then(|| format!("docker-credential-{name}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        match parse(text.as_bytes()) {
            Ok(config) => {
                let login = |(key, login): &(String, Login)| {
                    format!("{key}={}:{}", login.username, login.password.expose().replace('\n', "|"))
                };
                let mut parts: Vec<String> = config.logins.iter().map(login).collect();
                parts.extend(config.helpers.iter().map(|(key, name)| format!("{key}->{name}")));
                parts.extend(config.store.map(|name| format!("*->{name}")));
                parts.extend(config.elsewhere.iter().map(|key| format!("{key}?")));
                parts.join(" ")
            }
            Err(problem) => problem,
        }
    }

    #[test]
    fn a_file_is_read_as_docker_reads_it() {
        for (text, meant) in [
            (r#"{"auths":{"ghcr.io":{"auth":"YWxpY2U6czM6Y3JldA=="}}}"#, "ghcr.io=alice:s3:cret"),
            (r#"{"auths":{"h":{"auth":"YWxpY2U6cAAA"}}}"#, "h=alice:p"),
            (r#"{"auths":{"h":{"username":"alice","password":"p"}}}"#, "h=alice:p"),
            (r#"{"auths":{"h":{"auth":"bjo=","identitytoken":"t"}}}"#, "h=<token>:t"),
            (r#"{"auths":{"h":{},"i":null},"credsStore":"desktop"}"#, "*->desktop h? i?"),
            (r#"{"credHelpers":{"h":"ecr-login","i":""},"credsStore":""}"#, "h->ecr-login"),
            (r#"{"auths":{"https://index.docker.io/v1/access-token":{"auth":"YTpi"}}}"#, ""),
            (r#"{"auths":null,"HttpHeaders":{"x":1},"proxies":[]}"#, ""),
            ("{}", ""),
            ("", "the JSON ends too early at line 1, column 0"),
            ("7", "the JSON lacks a field or has one of the wrong type at line 1, column 1"),
            ("{\"auths\":\n{\"h\":\n{\"auth\":\"not base64\"}}}", "an auth is no base64 at line 2"),
            (r#"{"auths":{"h":{"auth":"YWxpY2U="}}}"#, "an auth holds no user and password at line 1"),
            (r#"{"auths":{"h":{"auth":["CANARY"]}}}"#, "the JSON lacks a field or has one of the wrong type at line 1, column 22"),
        ] {
            assert_eq!(shown(text), meant, "{text}");
        }
    }

    #[test]
    fn only_a_plain_word_becomes_part_of_a_program() {
        assert_eq!(helper_program("ecr-login").as_deref(), Some("docker-credential-ecr-login"));
        for name in ["", "../x", "a/b", "a b", "A", "-x", "é", &"x".repeat(65)] {
            assert_eq!(helper_program(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_odd_entry_makes_it_panic(auth in any::<String>(), key in any::<String>()) {
            let (auth, key) = (serde_json::to_string(&auth).unwrap(), serde_json::to_string(&key).unwrap());
            let text = format!(r#"{{"auths":{{{key}:{{"auth":{auth}}}}}}}"#);
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn a_login_is_read_back(
            username in "[^:\\p{Cc}]{1,20}|<token>|_json_key",
            password in "[^\0]{1,60}",
            key in "[a-z0-9.:-]{1,30}",
        ) {
            let file = write(&key, &username, &Secret::new(password.clone()));
            let config = parse(file.expose().as_bytes()).unwrap();
            prop_assert_eq!(config.logins.len(), 1);
            let (read_key, login) = &config.logins[0];
            prop_assert_eq!(read_key, &key);
            prop_assert_eq!(&login.username, &username);
            prop_assert_eq!(login.password.expose(), &password);
        }
    }
}
