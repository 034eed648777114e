//! Why an SSH key is not replaced by lanyard, and what to do instead.

use chrono::{DateTime, Utc};

use crate::credential::{Credential, Metadata, Raw};
use crate::provider::{Net, ProviderError, Rotation};

/// Where a key is let in, nobody but its owner knows.
pub(super) struct ByHand;

impl Rotation for ByHand {
    fn can(&self, metadata: &Metadata) -> Result<(), ProviderError> {
        Err(refused(&metadata.name))
    }

    fn mint(&self, credential: &Credential, _: Option<DateTime<Utc>>, _: &Net<'_>) -> Result<Raw, ProviderError> {
        Err(refused(&credential.metadata.name))
    }

    fn handle(&self, _: &Credential) -> Option<String> {
        None
    }

    fn retire(&self, _: &str, new: &Credential, _: &Net<'_>) -> Result<(), ProviderError> {
        Err(refused(&new.metadata.name))
    }
}

fn refused(name: &str) -> ProviderError {
    ProviderError::CannotRotate {
        what: format!("nobody knows on which hosts {name} is let in, so that it cannot be replaced there"),
        mend: format!(
            "make a new one with `lanyard credentials store ssh-key --generate --name {name}-new`, put its public key \
             where that of {name} is, then `lanyard credentials delete {name}`"
        ),
    }
}
