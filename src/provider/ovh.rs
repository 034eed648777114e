//! OVHcloud: an application and its consumer key, with which each request is signed.
//!
//! From ovh/go-ovh (`ovh/ovh.go`, `configuration.go`), ovh/python-ovh (`ovh/client.py`) and the API's own description
//! (`eu.api.ovh.com/1.0/auth.json`).

use super::api::{self, Api, ByHand};
use super::foreign::Ini;
use super::{Discovered, Here, Mark, Net, Provider, ProviderError, Rotation, Verdict};
use crate::credential::{Credential, Field, Issued, Kind, Material, Metadata, Raw, Variable, rules};
use crate::http::{Method, Request, Response};
use crate::secret::Secret;

mod answer;
mod found;
mod sign;

const TITLE: &str = "OVHcloud";
const CURRENT: &str = "/auth/currentCredential";
/// The region where nobody names one.
const USUAL: &str = "ovh-eu";

/// The names of the regions, as OVH's tools know them, and where their APIs are.
const REGIONS: [(&str, &str); 7] = [
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0"),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0"),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0"),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0"),
];

static FIELDS: [Field; 6] = [
    Field::identifier("application_key", "Application key").checked(rules::token, "7kbG7Bk7S9Nt7ZSV"),
    Field::secret("application_secret", "Application secret")
        .checked(rules::token, "EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF"),
    Field::secret("consumer_key", "Consumer key").checked(rules::token, "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1"),
    Field::plain("project_id", "Public Cloud project id")
        .optional()
        .checked(rules::token, "aaaabbbbccccddddeeeeffff00001111"),
    Field::plain("region", "Region of the API: ovh-eu, ovh-ca, ovh-us").optional().checked(region, USUAL),
    api::ENDPOINT,
];
static KINDS: [Kind; 1] = [Kind::new("ovh_api", "OVHcloud API keys", "ovh", &FIELDS)];
/// The values are letters and digits like many others, so only their names tell them.
static MARKS: [Mark; 2] = [
    mark("application_secret", r#"\bapplication_secret["']?\s*[:=]\s*["']?([A-Za-z0-9]{32})\b"#),
    mark("OVH_APPLICATION_SECRET", r#"\bOVH_APPLICATION_SECRET["']?\s*[:=]\s*["']?([A-Za-z0-9]{32})\b"#),
];
static ROTATION: ByHand = ByHand {
    why: "a new consumer key of OVHcloud needs your consent in a browser",
    mend: "make new keys at the page createToken of your region's API, such as https://eu.api.ovh.com/createToken/, \
           store them with `lanyard credentials store ovh --replace`, then revoke the old ones",
};

const fn mark(keyword: &'static str, pattern: &'static str) -> Mark {
    Mark { kind: "ovh_api", field: "application_secret", service: "", keyword, pattern }
}

/// OVHcloud.
pub struct Ovh;
/// The provider.
pub static PROVIDER: Ovh = Ovh;

fn region(value: &str) -> Result<(), &'static str> {
    if REGIONS.iter().any(|(name, _)| *name == value) {
        Ok(())
    } else {
        Err("OVH's regions are ovh-eu, ovh-ca, ovh-us, kimsufi-eu, kimsufi-ca, soyoustart-eu and soyoustart-ca")
    }
}

/// Where the API of the credential's region is. No variable moves it: keys belong to one region.
fn api(metadata: &Metadata) -> Api {
    let wanted = metadata.field("region").unwrap_or(USUAL);
    let official = REGIONS.iter().find(|(name, _)| *name == wanted).map_or(REGIONS[0].1, |(_, address)| address);
    Api { variables: &[], official }
}

impl Ovh {
    /// Asks about the keys. The server's own time is signed, so that no clock of ours can be wrong; a request that was
    /// too long on its way is sent once more.
    fn ask(credential: &Credential, net: &Net<'_>) -> Result<Verdict, ProviderError> {
        let api = api(&credential.metadata);
        let at = |path: &str| api.at(&credential.metadata, net.env, path);
        let mut again = false;
        loop {
            let clock = net.http.send(Request::new(Method::GET, at("/auth/time")?))?;
            let now = match answer::time(&clock) {
                Ok(now) => now,
                Err(verdict) => return Ok(*verdict),
            };
            let mut request = Request::new(Method::GET, at(CURRENT)?);
            sign::sign(&mut request, credential, now)?;
            let answer = net.http.send(request)?;
            if again || !answer::is_about_time(&answer) {
                return Ok(answer::of_current(&answer));
            }
            again = true;
        }
    }
}

impl Provider for Ovh {
    fn name(&self) -> &'static str {
        "ovh"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        found::discover(here)
    }

    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        if !raw.has("region") && !raw.has("endpoint") {
            found::endpoint(here.env.var("OVH_ENDPOINT").unwrap_or(USUAL), raw);
        }
        if let Some(project) = here.env.var("OVH_CLOUD_PROJECT_SERVICE") {
            raw.fill("project_id", Secret::new(project.to_owned()));
        }
        Ok(&KINDS[0])
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        api(metadata).hosts(metadata)
    }

    fn probe(&self, credential: &Credential, net: &Net<'_>) -> Result<Option<Request>, ProviderError> {
        let url = api(&credential.metadata).at(&credential.metadata, net.env, CURRENT)?;
        Ok(Some(Request::new(Method::GET, url)))
    }

    fn judge(&self, _: &Credential, answer: &Response) -> Verdict {
        answer::of_current(answer)
    }

    fn verify(&self, credential: &Credential, _: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let verdict = Self::ask(credential, net).unwrap_or_else(|failure| failure.into_verdict(TITLE));
        api::dated(verdict, credential, net.now)
    }

    /// Each request is signed for itself, so what is handed out are the keys, as the official tools read them.
    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let variables = keys(credential)?.map(|(name, value)| (name.to_owned(), value));
        Ok(Issued { material: Material::Variables(variables.into()), expires: credential.metadata.expires })
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        let Ok(keys) = keys(credential) else { return Vec::new() };
        let mut variables: Vec<Variable> = keys.iter().map(|(name, value)| Variable::secret(name, value)).collect();
        variables.extend(
            credential.field("project_id").map(|project| Variable::plain("OVH_CLOUD_PROJECT_SERVICE", project)),
        );
        // The tools refuse keys beside another way of signing in.
        let others = ["OVH_CLIENT_ID", "OVH_CLIENT_SECRET", "OVH_ACCESS_TOKEN"];
        variables.extend(others.map(|name| Variable::Unset { name }));
        variables
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[("ovh-conf", "configuration of OVH's tools, ovh.conf")]
    }

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        if format != "ovh-conf" {
            return None;
        }
        let [(_, endpoint), (_, key), (_, secret), (_, consumer)] = keys(credential).ok()?;
        let general = Ini::write("default", &[("endpoint", endpoint.expose())])?;
        let values = [
            ("application_key", key.expose()),
            ("application_secret", secret.expose()),
            ("consumer_key", consumer.expose()),
        ];
        let own = Ini::write(endpoint.expose(), &values)?;
        Some(Secret::new([general.expose(), "\n", own.expose()].concat()))
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&ROTATION)
    }
}

/// The variables that the official tools read. The endpoint is a region's name or an address.
fn keys(credential: &Credential) -> Result<[(&'static str, Secret); 4], ProviderError> {
    let secret = |name: &'static str| {
        credential.secret(name).map(Secret::duplicate).ok_or_else(|| api::missing(credential, name))
    };
    let key = credential.field("application_key").ok_or_else(|| api::missing(credential, "application_key"))?;
    let endpoint = credential.field("endpoint").or(credential.field("region")).unwrap_or(USUAL);
    Ok([
        ("OVH_ENDPOINT", Secret::new(endpoint.to_owned())),
        ("OVH_APPLICATION_KEY", Secret::new(key.to_owned())),
        ("OVH_APPLICATION_SECRET", secret("application_secret")?),
        ("OVH_CONSUMER_KEY", secret("consumer_key")?),
    ])
}

#[cfg(test)]
mod tests;
