//! Keys of services with a web API: one table of the services, and one way for all of them.

use chrono::{DateTime, Utc};

use self::pypi::Token;
use self::services::{Carried, EMPTY_FORM, SERVICES, Service};
use super::api::{self, Api};
use super::foreign::Ini;
use super::{Discovered, Here, Input, Mark, Net, Provider, ProviderError, Rotation, Verdict, apply};
use crate::credential::{Address, Credential, Field, FieldError, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules};
use crate::http::{Request, Response, parse_url};
use crate::secret::Secret;
use crate::text::nearest;

mod answer;
mod cargo;
mod found;
mod marks;
mod npmrc;
mod pypi;
mod sendgrid;
mod services;

static FIELDS: [Field; 5] = [
    Field::plain("service", "Service").checked(service_name, "openai"),
    Field::secret("api_key", "API key").checked(rules::token, "sk-proj-Zb3kQ9vXw2LrN7yTd5cHj8mGfT3BlbkFJs6aKe1uPi4oRq0tVx"),
    api::ENDPOINT,
    Field::plain("header", "Header that carries the key, for a service that lanyard does not know")
        .optional()
        .checked(header_name, "x-api-key"),
    cargo::INDEX,
];
static KINDS: [Kind; 1] = [Kind::new("api_key", "API key", "api-key", &FIELDS)];
static INPUTS: [Input; 1] = [Input::argument(
    "service",
    "SERVICE",
    "openai, anthropic, stripe, linear, slack, digitalocean, npm, pypi, cargo, terraform, huggingface, sendgrid, discord, \
     or any other",
)];

/// The headers in which a service that lanyard does not know may want the key alone. Without one, it is a bearer token.
const HEADERS: [&str; 7] =
    ["authorization", "x-api-key", "api-key", "apikey", "x-auth-token", "x-access-token", "private-token"];

/// Keys of services with a web API.
pub struct ApiKey;
/// The provider.
pub static PROVIDER: ApiKey = ApiKey;

fn service_name(value: &str) -> Result<(), &'static str> {
    let fits = value.len() <= 64
        && value.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
    if fits { Ok(()) } else { Err("a service is one word of small letters, digits, ., _ and -") }
}

fn header_name(value: &str) -> Result<(), &'static str> {
    if HEADERS.contains(&value) {
        return Ok(());
    }
    Err("it is none of authorization, x-api-key, api-key, apikey, x-auth-token, x-access-token and private-token")
}

/// The service of a credential, where lanyard knows it.
fn service(metadata: &Metadata) -> Option<&'static Service> {
    Service::of(metadata.field("service")?)
}

fn is(metadata: &Metadata, name: &str) -> bool {
    metadata.field("service") == Some(name)
}

fn key(credential: &Credential) -> Result<&Secret, ProviderError> {
    credential.secret("api_key").ok_or_else(|| api::missing(credential, "api_key"))
}

/// Where PyPI takes uploads, and where its packages are.
const PYPI: [&str; 2] = ["https://upload.pypi.org/legacy/", "https://pypi.org/simple/"];

/// A service that lanyard does not know is at the address that the user gave.
const ELSEWHERE: Api = Api { variables: &[], official: "" };

impl ApiKey {
    /// Asks a service that lanyard does not know, at the address that the user gave. An address that answers everybody
    /// proves nothing, so it is asked without the key first.
    fn ask_unknown(credential: &Credential, net: &Net<'_>) -> Result<Verdict, ProviderError> {
        let name = credential.metadata.service();
        if credential.field(api::ENDPOINT.name).is_none() {
            let known = nearest(name, SERVICES.iter().map(|service| service.name));
            let hint = known.map_or_else(String::new, |known| format!(" (did you mean {known}?)"));
            let reason = format!("lanyard does not know {name}{hint}; with an endpoint it would ask there");
            return Ok(Verdict { reason: Some(reason), ..Verdict::cannot_be_asked() });
        }
        let url = ELSEWHERE.at(&credential.metadata, net.env, "")?;
        if net.http.send(Request::get(url.clone()))?.is_success() {
            let reason = format!("{name} answers at this endpoint without a key as well, which proves nothing");
            return Ok(Verdict { reason: Some(reason), ..Verdict::cannot_be_asked() });
        }
        let mut request = Request::get(url);
        apply(&PROVIDER.material(credential, None, net)?.material, &mut request);
        let answer = net.http.send(request)?;
        let is_refusal = answer.json::<serde_json::Value>().is_ok_and(|body| body.is_object())
            || answer.headers.contains_key(crate::http::header::WWW_AUTHENTICATE);
        Ok(match answer.status {
            401 | 403 if !is_refusal => Verdict::unexpected(name, answer.status),
            _ => Verdict::of_status(&answer, name),
        })
    }

    /// What a token of PyPI says of itself.
    fn look_into(credential: &Credential, now: DateTime<Utc>) -> Result<Verdict, ProviderError> {
        let damaged = || ProviderError::Damaged {
            name: credential.metadata.name.clone(),
            field: "api_key",
            problem: "it is no token of PyPI",
        };
        let token = Token::parse(key(credential)?.expose()).ok_or_else(damaged)?;
        if let Some(at) = token.expires.filter(|at| *at <= now) {
            let reason = format!("its time was over on {}", at.format("%Y-%m-%d at %H:%M UTC"));
            return Ok(Verdict::expired(reason, "make a new one: https://pypi.org/manage/account/token/").expiring(Some(at)));
        }
        let reason = format!("{}; {} can only be asked by an upload", token.reach(), token.location);
        let verdict = Verdict { reason: Some(reason), ..Verdict::cannot_be_asked() };
        Ok(verdict.with_scopes(&token.projects).expiring(token.expires))
    }
}

impl Provider for ApiKey {
    fn name(&self) -> &'static str {
        "api-key"
    }

    fn title(&self) -> &'static str {
        "Service with API keys"
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

    fn marks(&self) -> &'static [Mark] {
        &marks::MARKS
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        if let Some(service) = here.input("service") {
            raw.plain("service", &service.to_lowercase());
        }
        cargo::complete(raw)?;
        let Some(known) = raw.get("service").and_then(|name| Service::of(name.expose())) else { return Ok(&KINDS[0]) };
        known.api.fill(raw, here.env)?;
        let Some(key) = raw.get("api_key").map(Secret::expose) else { return Ok(&KINDS[0]) };
        let stranger = known.strangers.iter().find(|(prefix, _)| key.starts_with(prefix)).map(|(_, what)| *what);
        let no_macaroon = (known.name == "pypi" && Token::parse(key).is_none()).then_some("it is no token of PyPI");
        match stranger.or(no_macaroon) {
            Some(problem) => {
                let kind = KINDS[0].title;
                Err(FieldError::Malformed { kind, field: "api_key".into(), problem }.into())
            }
            None => Ok(&KINDS[0]),
        }
    }

    fn expires(&self, fields: &Fields) -> Option<DateTime<Utc>> {
        let is_pypi = fields.plain.get("service").is_some_and(|service| service == "pypi");
        fields.secrets.get("api_key").filter(|_| is_pypi).and_then(|key| Token::parse(key.expose())?.expires)
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        if is(metadata, "cargo") {
            return cargo::hosts(metadata);
        }
        if is(metadata, "pypi") && metadata.field(api::ENDPOINT.name).is_none() {
            return PYPI.iter().filter_map(|address| api::host_at(address)).collect();
        }
        service(metadata).map_or(ELSEWHERE, |service| service.api).hosts(metadata)
    }

    fn addresses(&self, metadata: &Metadata) -> Vec<Address> {
        if is(metadata, "cargo") {
            // cargo alone asks for these, by the index.
            return Vec::new();
        }
        match (metadata.field(api::ENDPOINT.name), service(metadata)) {
            (Some(own), _) => Address::of_text(own).into_iter().collect(),
            (None, Some(Service { name: "pypi", .. })) => PYPI.iter().filter_map(|text| Address::of_text(text)).collect(),
            (None, Some(service)) => Address::of_text(service.api.official).into_iter().collect(),
            (None, None) => Vec::new(),
        }
    }

    fn probe(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<Request>, ProviderError> {
        let Some(service) = service(&credential.metadata) else { return Ok(None) };
        let form = service.form(key(credential)?.expose());
        let Some(ask) = form.and_then(|form| form.ask) else { return Ok(None) };
        let url = service.api.at(&credential.metadata, net.env, ask.path)?;
        let mut request = match ask.body {
            None => Request::get(url),
            Some(EMPTY_FORM) => Request::form(url, &[]),
            Some(body) => Request::post_json(url, body),
        };
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        request.max_answer = api::LONG;
        Ok(Some(request))
    }

    fn judge(&self, credential: &Credential, answer: &Response) -> Verdict {
        match (service(&credential.metadata), credential.secret("api_key")) {
            (Some(service), Some(key)) => answer::Told::new(service, key, answer).verdict(),
            _ => Verdict::of_status(answer, credential.metadata.service()),
        }
    }

    fn verify(&self, credential: &Credential, source: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let asked = || -> Result<Verdict, ProviderError> {
            match service(&credential.metadata) {
                None => Self::ask_unknown(credential, net),
                Some(Service { name: "cargo", .. }) => cargo::ask(credential, net),
                Some(Service { name: "pypi", .. }) => Self::look_into(credential, net.now),
                Some(_) => {
                    let Some(mut request) = self.probe(credential, net)? else { return Ok(Verdict::cannot_be_asked()) };
                    apply(&self.material(credential, source, net)?.material, &mut request);
                    Ok(self.judge(credential, &net.http.send(request)?))
                }
            }
        };
        let title = service(&credential.metadata).map_or(credential.metadata.service(), |service| service.title);
        let verdict = asked().unwrap_or_else(|failure| failure.into_verdict(title));
        api::dated(verdict, credential, net.now)
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let key = key(credential)?;
        let known = service(&credential.metadata);
        let carried = known.map_or_else(
            || own_header(credential),
            |service| service.form(key.expose()).map_or(Carried::Bearer, |form| form.carried),
        );
        let material = match carried {
            Carried::Bearer => Material::Bearer(key.duplicate()),
            Carried::Bot => {
                Material::Header { name: "authorization", value: Secret::new(["Bot ", key.expose()].concat()) }
            }
            Carried::Header(name) => Material::Header { name, value: key.duplicate() },
            Carried::Password(user) => Material::Basic { username: user.into(), password: key.duplicate() },
        };
        Ok(Issued { material, expires: credential.metadata.expires })
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let Some(key) = credential.secret("api_key") else { return Vec::new() };
        let Some(service) = service(&credential.metadata) else {
            let name = format!("{}_API_KEY", variable_word(credential.metadata.service()));
            return vec![Variable::secret(&name, key)];
        };
        if let Some(name) = variable_of_host(credential, service) {
            return vec![Variable::secret(&name, key)];
        }
        let names = service.form(key.expose()).map_or(&[] as &[&str], |form| form.variables);
        let mut variables: Vec<Variable> = names.iter().map(|name| Variable::secret(name, key)).collect();
        if service.name == "pypi" {
            variables.extend(["TWINE_USERNAME", "FLIT_USERNAME"].map(|name| Variable::plain(name, "__token__")));
        }
        if let Some(endpoint) = credential.field(api::ENDPOINT.name) {
            let names = service.api.variables.iter();
            variables.extend(names.map(|name| Variable::plain(name, endpoint)));
        }
        // Anthropic's tools would send both, and be refused.
        variables.extend(match names {
            ["ANTHROPIC_API_KEY"] => Some(Variable::Unset { name: "ANTHROPIC_AUTH_TOKEN" }),
            ["ANTHROPIC_AUTH_TOKEN"] => Some(Variable::Unset { name: "ANTHROPIC_API_KEY" }),
            _ => None,
        });
        variables
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[("npmrc", "npm's settings with the token"), ("pypirc", "the file that twine reads")]
    }

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        let (key, service) = (credential.secret("api_key")?, service(&credential.metadata)?);
        let address = credential.field(api::ENDPOINT.name);
        match (format, service.name) {
            ("npmrc", "npm") => npmrc::write(&parse_url(address.unwrap_or(service.api.official)).ok()?, key),
            ("pypirc", "pypi") => {
                let mut values = vec![("username", "__token__"), ("password", key.expose())];
                values.extend(address.map(|address| ("repository", address)));
                Ini::write("pypi", &values)
            }
            _ => None,
        }
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&sendgrid::Rotate)
    }
}

/// A name as the beginning of a variable's name.
fn variable_word(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let digit_first = name.starts_with(|first: char| first.is_ascii_digit());
    format!("{}{}", if digit_first { "_" } else { "" }, name.chars().map(word).collect::<String>())
}

/// The variable of a service whose tool names it after the host: Terraform, with `_` for a dot and `__` for a hyphen.
fn variable_of_host(credential: &Credential, service: &Service) -> Option<String> {
    let endpoint = credential.field(api::ENDPOINT.name).filter(|_| service.name == "terraform")?;
    let host = api::host_at(endpoint)?;
    Some(format!("TF_TOKEN_{}", host.replace('-', "__").replace(['.', ':'], "_")))
}

/// How the key of a service that is not in the table is carried: in the header that the user named, else as bearer.
fn own_header(credential: &Credential) -> Carried {
    let known = credential.field("header").and_then(|name| HEADERS.iter().find(|known| **known == name));
    known.map_or(Carried::Bearer, |name| Carried::Header(name))
}

#[cfg(test)]
pub(super) mod tests;
