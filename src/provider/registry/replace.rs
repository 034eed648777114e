//! Why no registry's password is replaced through an API, and what to do instead.

use chrono::{DateTime, Utc};

use super::{Flavour, address};
use crate::credential::{Credential, Metadata, Raw};
use crate::provider::{Net, ProviderError, Rotation};

/// Passwords and tokens of registries are made by a person who is signed in.
pub(super) struct ByHand;

impl Rotation for ByHand {
    fn can(&self, metadata: &Metadata) -> Result<(), ProviderError> {
        Err(refused(metadata))
    }

    fn mint(&self, credential: &Credential, _: Option<DateTime<Utc>>, _: &Net<'_>) -> Result<Raw, ProviderError> {
        Err(refused(&credential.metadata))
    }

    fn handle(&self, _: &Credential) -> Option<String> {
        None
    }

    fn retire(&self, _: &str, new: &Credential, _: &Net<'_>) -> Result<(), ProviderError> {
        Err(refused(&new.metadata))
    }
}

fn refused(metadata: &Metadata) -> ProviderError {
    let (name, address) = (&metadata.name, address(metadata));
    if let Some(source) = metadata.field("source") {
        return ProviderError::CannotRotate {
            what: format!("the password of {name} is made of another credential and ends by itself"),
            mend: format!("rotate that one: `lanyard credentials rotate {source}`"),
        };
    }
    let host = address.as_ref().map_or_else(|| "the registry".to_owned(), super::Address::host);
    let make = match address.map(|address| address.flavour) {
        Some(Flavour::DockerHub) => "make a new access token at https://app.docker.com/settings".to_owned(),
        Some(Flavour::Ghcr) => "make a new classic token at https://github.com/settings/tokens".into(),
        Some(Flavour::Gar) => "make a new key for the service account in Google Cloud".into(),
        _ => format!("make a new password or token at {host}"),
    };
    ProviderError::CannotRotate {
        what: format!("{host} has no way to replace the password of {name} by itself"),
        mend: format!("{make}, then `lanyard credentials update {name} --field password=-`"),
    }
}
