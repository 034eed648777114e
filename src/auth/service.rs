//! What one signs in to: a `[services.NAME]` table, a preset, or both, and the addresses found by discovery.
//!
//! Discovery follows OpenID Connect Discovery 1.0 section 4 and RFC 8414 section 3. A document counts only if its
//! `issuer` equals the configured one byte for byte, and each address in it must be safe to send a secret to.

use crate::auth::presets::{self, Preset, Quirks};
use crate::config::PresetDefaults;
use crate::config::{ApiTable, Config, ServiceTable};
use crate::http::{Http, Url};
use crate::text::nearest;

mod described;
mod discovery;
mod error;

pub use discovery::Metadata;
use discovery::{address, discover};
pub use error::ServiceError;

/// A service as the user means it: the preset's values under the user's own.
#[derive(Debug, Clone)]
pub struct Service {
    /// The name in the configuration.
    pub name: String,
    /// The merged table.
    pub table: ServiceTable,
    /// How it departs from the standards.
    pub quirks: Quirks,
    preset: Option<&'static str>,
}

/// What a preset gives the resolution of a profile: its token variables and its endpoint.
///
/// With an issuer of the user's own it is another server, whose tokens must not reach the preset's endpoint.
pub fn preset_defaults(name: &str, issuer: Option<&str>) -> Option<PresetDefaults> {
    let own = ServiceTable { issuer: issuer.map(str::to_owned), ..ServiceTable::default() };
    let table = presets::find(name)?.under(&own);
    Some(PresetDefaults { token_env: table.token_env.unwrap_or_default(), endpoint: table.endpoint })
}

/// The names of every service: the user's tables first, then the presets without a table.
pub fn names(config: &Config) -> Vec<String> {
    let own = config.services.keys().cloned();
    let presets = presets::PRESETS.iter().map(|preset| preset.name.to_owned());
    own.chain(presets.filter(|name| !config.services.contains_key(name))).collect()
}

/// The service of that name.
pub fn find(config: &Config, name: &str) -> Result<Service, ServiceError> {
    let user = config.services.get(name);
    if user.is_none() && presets::find(name).is_none() {
        return Err(ServiceError::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, names(config).iter().map(String::as_str)).map(str::to_owned),
        });
    }
    Ok(Service::of_table(name, user.unwrap_or(&ServiceTable::default())))
}

/// The keys of an issuer that is known by its address alone: by its discovery document, which must be its own.
#[cfg(feature = "server")]
pub fn keys_of(issuer: &str, http: &dyn Http) -> crate::error::Result<super::jwks::Keys> {
    let metadata = discover(issuer, issuer, http)?;
    let none = || super::id_token::IdTokenError::Keys("its document names none");
    super::jwks::Keys::fetch(http, &metadata.jwks_uri.ok_or_else(none)?)
}

/// The document of an issuer that is known by its address alone.
#[cfg(feature = "server")]
pub fn document_of(issuer: &str, http: &dyn Http) -> crate::error::Result<Metadata> {
    Ok(discover(issuer, issuer, http)?)
}

impl Service {
    /// A service as its table says, over the preset that the table or the name chooses.
    pub fn of_table(name: &str, table: &ServiceTable) -> Self {
        match presets::find(table.preset.as_deref().unwrap_or(name)) {
            Some(preset) => Self {
                name: name.to_owned(),
                table: preset.under(table),
                quirks: preset.quirks,
                preset: Some(preset.name),
            },
            None => Self { name: name.to_owned(), table: table.clone(), quirks: Quirks::default(), preset: None },
        }
    }

    /// What tells this service from another of the same name: its issuer, else its token endpoint.
    pub fn address(&self) -> &str {
        self.table.issuer.as_deref().or(self.table.token_endpoint.as_deref()).unwrap_or_default()
    }

    /// An address that the service itself names, held to the same rules as those of its metadata.
    pub fn address_of(&self, field: &'static str, value: &str) -> Result<Url, ServiceError> {
        address(&self.name, self.table.issuer.as_deref(), field, value)
    }

    /// The preset this service starts from.
    pub fn preset(&self) -> Option<&'static Preset> {
        self.preset.and_then(presets::find)
    }

    /// The name people use.
    pub fn title(&self) -> &str {
        self.preset().filter(|preset| preset.name == self.name).map_or(&self.name, |preset| preset.title)
    }

    /// The client identifier, which every OAuth grant needs.
    pub fn client_id(&self) -> Result<&str, ServiceError> {
        self.table.client_id.as_deref().ok_or_else(|| ServiceError::NoClientId {
            service: self.name.clone(),
            registration: self.preset().map(|preset| preset.registration),
        })
    }

    /// Whether the service takes bearer tokens and offers no OAuth 2.0 at all.
    pub fn is_token_only(&self) -> bool {
        let table = &self.table;
        table.issuer.is_none()
            && table.authorization_endpoint.is_none()
            && table.device_authorization_endpoint.is_none()
    }

    /// How to ask its API who one is.
    pub fn api(&self) -> Option<&ApiTable> {
        self.table.api.as_ref()
    }

    /// The scopes to ask for unless the profile or the command line names others.
    pub fn scopes(&self) -> Vec<String> {
        match &self.table.scopes {
            Some(scopes) => scopes.clone(),
            None if self.table.issuer.is_some() => {
                ["openid", "profile", "email", "offline_access"].map(str::to_owned).to_vec()
            }
            None => Vec::new(),
        }
    }

    /// The service's addresses: from discovery where it has an issuer, with each one in the table on top.
    pub fn metadata(&self, http: &dyn Http) -> Result<Metadata, ServiceError> {
        let mut metadata = match &self.table.issuer {
            Some(issuer) if self.needs_discovery() => discover(&self.name, issuer, http)?,
            issuer => Metadata { issuer: issuer.clone(), ..Metadata::default() },
        };
        self.lay_table_over(&mut metadata)?;
        Ok(metadata)
    }

    /// The addresses that the table names, without asking anyone.
    pub fn known_metadata(&self) -> Result<Metadata, ServiceError> {
        let mut metadata = Metadata { issuer: self.table.issuer.clone(), ..Metadata::default() };
        self.lay_table_over(&mut metadata)?;
        Ok(metadata)
    }

    fn needs_discovery(&self) -> bool {
        let table = &self.table;
        table.token_endpoint.is_none() || table.authorization_endpoint.is_none() || table.jwks_uri.is_none()
    }

    fn lay_table_over(&self, metadata: &mut Metadata) -> Result<(), ServiceError> {
        let table = &self.table;
        let issuer = table.issuer.as_deref();
        let lay = |slot: &mut Option<Url>, field: &'static str, value: &Option<String>| -> Result<(), ServiceError> {
            if let Some(value) = value {
                *slot = Some(address(&self.name, issuer, field, value)?);
            }
            Ok(())
        };
        lay(&mut metadata.authorization_endpoint, "authorization_endpoint", &table.authorization_endpoint)?;
        lay(&mut metadata.token_endpoint, "token_endpoint", &table.token_endpoint)?;
        lay(
            &mut metadata.device_authorization_endpoint,
            "device_authorization_endpoint",
            &table.device_authorization_endpoint,
        )?;
        lay(&mut metadata.revocation_endpoint, "revocation_endpoint", &table.revocation_endpoint)?;
        lay(&mut metadata.introspection_endpoint, "introspection_endpoint", &table.introspection_endpoint)?;
        lay(&mut metadata.userinfo_endpoint, "userinfo_endpoint", &table.userinfo_endpoint)?;
        lay(
            &mut metadata.pushed_authorization_request_endpoint,
            "pushed_authorization_request_endpoint",
            &table.pushed_authorization_request_endpoint,
        )?;
        lay(&mut metadata.jwks_uri, "jwks_uri", &table.jwks_uri)
    }
}

#[cfg(test)]
mod tests;
