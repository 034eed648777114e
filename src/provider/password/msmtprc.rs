//! msmtp's file of accounts: `account NAME [: BASE…]` and `defaults`, with `command argument` lines below.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::smtp::{Security, Server};
use crate::secret::Secret;

/// The commands of an account, those it took over included.
pub(super) type Settings = BTreeMap<String, Secret>;

/// The accounts in order; or the number of a line and what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<(String, Settings)>, (usize, &'static str)> {
    let mut defaults = Settings::new();
    let mut accounts: Vec<(String, Settings)> = Vec::new();
    let mut in_defaults = true;
    for (index, line) in text.lines().enumerate() {
        let broken = |problem| (index + 1, problem);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (command, argument) = line.split_once(|c: char| c.is_whitespace()).unwrap_or((line, ""));
        let argument = unquoted(argument.trim()).ok_or(broken("has a quote that does not end"))?;
        match command.to_ascii_lowercase().as_str() {
            "defaults" => in_defaults = true,
            "account" => {
                let (name, bases) = argument.split_once(':').unwrap_or((argument, ""));
                if name.trim().is_empty() {
                    return Err(broken("names no account"));
                }
                let mut settings = copied(&defaults);
                for base in bases.split(',').map(str::trim).filter(|base| !base.is_empty()) {
                    let base = accounts.iter().find(|(known, _)| known == base);
                    let (_, base) = base.ok_or(broken("takes over an account that is not above it"))?;
                    settings.extend(copied(base));
                }
                accounts.push((name.trim().to_owned(), settings));
                in_defaults = false;
            }
            command => {
                let settings = match accounts.last_mut() {
                    Some((_, settings)) if !in_defaults => settings,
                    _ => &mut defaults,
                };
                settings.insert(command.to_owned(), Secret::new(argument.to_owned()));
            }
        }
    }
    Ok(accounts)
}

fn copied(settings: &Settings) -> Settings {
    settings.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect()
}

/// An argument without its quotes; `None` where one is missing.
fn unquoted(argument: &str) -> Option<&str> {
    match argument.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(argument),
    }
}

/// The lines of an account; `None` where msmtp would read a value as something else.
pub(super) fn write(name: &str, server: &Server<'_>, user: &str, password: &Secret) -> Option<Secret> {
    let plain = |text: &str| !text.contains('"') && !text.chars().any(char::is_control);
    if ![name, server.host, user, password.expose()].into_iter().all(plain) {
        return None;
    }
    let safe = match server.security {
        Security::Tls => "tls on\ntls_starttls off\n",
        Security::StartTls => "tls on\ntls_starttls on\n",
        Security::Plain => "tls off\n",
    };
    let head = format!("account {name}\nhost {}\nport {}\n{safe}auth on\nuser \"{user}\"\n", server.host, server.port);
    let mut text = Zeroizing::new(String::with_capacity(head.len() + password.expose().len() + 16));
    for part in [head.as_str(), "password \"", password.expose(), "\"\n"] {
        text.push_str(part);
    }
    Some(Secret::new(std::mem::take(&mut *text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, Vec<(String, String)>)> {
        let told = |(name, value): (String, Secret)| (name, value.expose().to_owned());
        let accounts = parse(text).unwrap().into_iter();
        accounts.map(|(name, settings)| (name, settings.into_iter().map(told).collect())).collect()
    }

    #[test]
    fn accounts_are_read_as_msmtp_reads_them() {
        let text = "# mine\ndefaults\ntls on\n\naccount work\nhost smtp.corp.example\nuser me@corp.example\n\
                    password \"two words\"\n\naccount other : work\nhost smtp2.corp.example\n\ndefaults\ntls off\n\
                    account default : work\n";
        let pairs = |list: &[(&str, &str)]| {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
        };
        let work = |host: &str| {
            pairs(&[("host", host), ("password", "two words"), ("tls", "on"), ("user", "me@corp.example")])
        };
        let expected = [
            ("work".to_owned(), work("smtp.corp.example")),
            ("other".to_owned(), work("smtp2.corp.example")),
            ("default".to_owned(), work("smtp.corp.example")),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn a_broken_line_is_told_by_its_number() {
        for (text, line) in [("account", 1), ("defaults\npassword \"x\n", 2), ("\naccount a : b\n", 2)] {
            assert_eq!(parse(text).unwrap_err().0, line, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(user in "[!#-~]{1,20}", password in "[^\"\\p{C}]{1,40}") {
            let server = Server::new("smtp.example.com", Some(2525), None);
            let text = write("mine", &server, &user, &Secret::new(password.clone())).unwrap();
            let mut accounts = parse(text.expose()).unwrap();
            let (name, mut settings) = accounts.remove(0);
            let mut value = |name: &str| settings.remove(name).unwrap().expose().to_owned();
            prop_assert_eq!((name.as_str(), value("user"), value("password")), ("mine", user, password));
            prop_assert_eq!(value("port"), "2525");
        }

        #[test]
        fn any_text_is_accounts_or_not(text in "(\\PC|\n|\"|account |: ){0,40}") {
            let _ = parse(&text);
        }
    }
}
