//! Where Google's APIs are, and which addresses of a key file are believed.

use crate::credential::Metadata;
use crate::http::{BadUrl, Url, below, is_loopback, parse_url};
use crate::provider::api::host_at;
use crate::provider::{Net, ProviderError};

use super::Form;

/// The token server, which is also the audience of every assertion, wherever the token server really is.
pub(super) const TOKEN: &str = "https://oauth2.googleapis.com/token";
/// The variable by which gcloud is told of another token server.
const TOKEN_VARIABLE: &str = "CLOUDSDK_AUTH_TOKEN_HOST";

/// One of Google's APIs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Api {
    host: &'static str,
    /// The variable by which gcloud is told of another address.
    variable: Option<&'static str>,
}

pub(super) const OAUTH: Api = Api { host: "oauth2.googleapis.com", variable: None };
pub(super) const IAM: Api =
    Api { host: "iam.googleapis.com", variable: Some("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAM") };
pub(super) const PROJECTS: Api = Api {
    host: "cloudresourcemanager.googleapis.com",
    variable: Some("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER"),
};
pub(super) const MODELS: Api = Api { host: "generativelanguage.googleapis.com", variable: None };

impl Api {
    /// The address of a path of this API.
    pub(super) fn at(self, metadata: &Metadata, net: &Net<'_>, path: &str) -> Result<Url, ProviderError> {
        let named = self.variable.and_then(|name| Some((name, net.env.var(name)?)));
        let (name, base) = match (metadata.field("endpoint"), named) {
            (Some(own), _) => ("endpoint", own.to_owned()),
            (None, Some((name, address))) => (name, address.to_owned()),
            (None, None) => ("endpoint", format!("https://{}", self.host)),
        };
        let bad = bad(name);
        below(&parse_url(&base).map_err(&bad)?, path).map_err(bad)
    }
}

/// The address of the token server.
pub(super) fn token(metadata: &Metadata, net: &Net<'_>) -> Result<Url, ProviderError> {
    if metadata.field("endpoint").is_some() {
        return OAUTH.at(metadata, net, "/token");
    }
    if let Some(address) = net.env.var(TOKEN_VARIABLE) {
        return parse_url(address).map_err(bad(TOKEN_VARIABLE));
    }
    // Checked again: the secret goes there, and this field can be changed by itself.
    let address = metadata.field("token_uri").filter(|address| token_uri(address).is_ok()).unwrap_or(TOKEN);
    parse_url(address).map_err(bad("token_uri"))
}

fn bad(name: &str) -> impl Fn(BadUrl) -> ProviderError {
    move |cause| ProviderError::BadEndpoint { name: name.to_owned(), cause }
}

/// Whether an address is Google's own.
pub(in crate::provider) fn is_official(value: &str) -> bool {
    token_uri(value).is_ok() && parse_url(value).is_ok_and(|url| !is_loopback(&url))
}

/// What is said of any other.
pub(super) const FOREIGN: &str = "it is no address of Google's, and would be sent what the key signs";

/// Accepts the address of a token server that is Google's or on this machine. Whoever writes another one into a key
/// file would be sent what the key signs.
pub(super) fn token_uri(value: &str) -> Result<(), &'static str> {
    let url = parse_url(value).map_err(|_| "it is no https:// address (http:// only for this machine)")?;
    let host = url.host_str().unwrap_or_default();
    let official = host == "accounts.google.com" || host.ends_with(".googleapis.com");
    if is_loopback(&url) || (official && url.port().is_none()) {
        Ok(())
    } else {
        Err("it is no address of Google's, so nothing is sent there")
    }
}

/// The hosts that lanyard itself sends the credential to, or what is made of it.
pub(super) fn hosts(metadata: &Metadata) -> Vec<String> {
    if let Some(own) = metadata.field("endpoint") {
        return host_at(own).into_iter().collect();
    }
    let form = Form::of(metadata);
    if form == Form::ApiKey {
        return vec![MODELS.host.to_owned()];
    }
    let mut hosts: Vec<String> = host_at(metadata.field("token_uri").unwrap_or(TOKEN)).into_iter().collect();
    hosts.push(PROJECTS.host.to_owned());
    if form == Form::ServiceAccount {
        hosts.push(IAM.host.to_owned());
    }
    hosts
}
