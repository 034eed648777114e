//! A user name and a password of any service; of a mail server, one that can be asked (RFC 4954).

use self::smtp::{Security, Server};
use super::{Discovered, Here, Input, Net, Provider, ProviderError, Verdict, api};
use crate::credential::{Address, Credential, Field, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules};
use crate::secret::Secret;

mod found;
mod msmtprc;
mod smtp;

static FIELDS: [Field; 7] = [
    Field::plain("service", "Service").checked(service_name, "smtp"),
    Field::plain("username", "User name").checked(rules::line, "user@example.com"),
    Field::secret("password", "Password").checked(rules::password, "correct horse battery staple"),
    Field::plain("host", "Mail server to ask (SMTP)").optional().checked(host_name, "smtp.example.com"),
    Field::plain("port", "Port of the mail server").optional().checked(port, "587"),
    Field::plain("security", "How the connection is made safe: tls, starttls, or plain on this machine")
        .optional()
        .checked(security, "starttls"),
    Field::plain("endpoint", "Address that it is for on the web, such as a package index")
        .optional()
        .checked(rules::url, "https://packages.example.com/simple/"),
];
static KINDS: [Kind; 1] = [Kind::new("username_password", "user name and password", "password", &FIELDS)];
static INPUTS: [Input; 1] = [Input::argument("service", "SERVICE", "What it is for: smtp, or any word of your own")];

/// User names and passwords.
pub struct Password;
/// The provider.
pub static PROVIDER: Password = Password;

fn service_name(value: &str) -> Result<(), &'static str> {
    let fits = value.len() <= 64
        && value.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits { Ok(()) } else { Err("a service is one word of letters, digits, ., _ and -") }
}

/// A host without a port, which has a field of its own.
fn host_name(value: &str) -> Result<(), &'static str> {
    rules::host(value)?;
    let is_address = value.parse::<std::net::Ipv6Addr>().is_ok();
    if value.contains([':', '[', ']']) && !is_address { Err("it is no host name; the port has a field of its own") } else { Ok(()) }
}

fn port(value: &str) -> Result<(), &'static str> {
    let fits = value.parse::<u16>().is_ok_and(|port| port > 0);
    if fits { Ok(()) } else { Err("it is no number from 1 to 65535") }
}

fn security(value: &str) -> Result<(), &'static str> {
    Security::from_word(value).map(|_| ()).ok_or("it is none of tls, starttls and plain")
}

/// The mail server of a credential, where it names one.
fn server(metadata: &Metadata) -> Option<Server<'_>> {
    let host = metadata.field("host")?;
    let port = metadata.field("port").and_then(|port| port.parse().ok());
    let security = metadata.field("security").and_then(Security::from_word);
    Some(Server::new(host, port, security))
}

/// A word as the beginning of a variable's name.
fn variable_word(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let digit_first = name.starts_with(|first: char| first.is_ascii_digit());
    format!("{}{}", if digit_first { "_" } else { "" }, name.chars().map(word).collect::<String>())
}

impl Provider for Password {
    fn name(&self) -> &'static str {
        "password"
    }

    fn title(&self) -> &'static str {
        "User name and password"
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        found::discover(here)
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        if let Some(service) = here.input("service") {
            raw.plain("service", service);
        }
        Ok(&KINDS[0])
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        let web = metadata.field("endpoint").and_then(api::host_at);
        server(metadata).map(|server| server.place()).into_iter().chain(web).collect()
    }

    fn addresses(&self, metadata: &Metadata) -> Vec<Address> {
        metadata.field("endpoint").and_then(Address::of_text).into_iter().collect()
    }

    fn verify(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Verdict {
        match (server(&credential.metadata), credential.field("username"), credential.secret("password")) {
            (Some(server), Some(username), Some(password)) => smtp::ask(&server, username, password),
            _ => Verdict::cannot_be_asked(),
        }
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let password = credential.secret("password").ok_or_else(|| api::missing(credential, "password"))?;
        let username = credential.field("username").unwrap_or_default().to_owned();
        let material = Material::Basic { username, password: password.duplicate() };
        Ok(Issued { material, expires: credential.metadata.expires })
    }

    fn asks_by_http(&self, metadata: &Metadata) -> bool {
        server(metadata).is_none()
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let (Some(password), Some(username)) = (credential.secret("password"), credential.field("username")) else {
            return Vec::new();
        };
        let word = variable_word(credential.metadata.service());
        let mut variables = vec![Variable::secret(&format!("{word}_PASSWORD"), password)];
        // Of the two usual names for the user, each tool reads one.
        let names: &[&str] = if word == "SMTP" { &["USERNAME", "USER"] } else { &["USERNAME"] };
        variables.extend(names.iter().map(|name| Variable::plain(&format!("{word}_{name}"), username)));
        if let Some(server) = server(&credential.metadata) {
            variables.push(Variable::plain(&format!("{word}_HOST"), server.host));
            variables.push(Variable::plain(&format!("{word}_PORT"), &server.port.to_string()));
        }
        variables
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[("msmtprc", "an account of msmtp")]
    }

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        let server = server(&credential.metadata).filter(|_| format == "msmtprc")?;
        msmtprc::write(credential.metadata.service(), &server, credential.field("username")?, credential.secret("password")?)
    }

    fn default_name(&self, fields: &Fields) -> String {
        fields.plain.get("service").cloned().unwrap_or_else(|| "password".into())
    }
}

#[cfg(test)]
mod tests;
