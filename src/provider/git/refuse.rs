//! Why a git host's login is replaced by hand.

use chrono::{DateTime, Utc};

use super::host::Flavour;
use crate::credential::{Credential, Metadata, Raw};
use crate::provider::{Net, ProviderError, Rotation};

/// No git host makes a new token beside the old one.
pub(super) struct Refuse;

fn refusal(metadata: &Metadata) -> ProviderError {
    let host = metadata.field("host").unwrap_or_default();
    let (why, page) = match Flavour::of(metadata) {
        Flavour::GitHub => ("GitHub makes tokens on its own pages alone", format!("https://{host}/settings/tokens")),
        Flavour::GitLab => (
            "GitLab's own rotation ends the old token at once, so that a lost answer would leave none",
            format!("https://{host}/-/user_settings/personal_access_tokens"),
        ),
        Flavour::Bitbucket => (
            "Bitbucket makes tokens on its own pages alone",
            "https://id.atlassian.com/manage-profile/security/api-tokens".to_owned(),
        ),
        Flavour::Gitea => {
            ("Gitea makes tokens for a password alone", format!("https://{host}/user/settings/applications"))
        }
        Flavour::Azure => ("Azure DevOps makes tokens on its own pages alone", format!("https://{host}")),
        Flavour::Other => ("lanyard does not know how this host replaces a login", format!("https://{host}")),
    };
    ProviderError::CannotRotate {
        what: why.to_owned(),
        mend: format!(
            "make a new one at {page}, put it in with `lanyard credentials update {}`, then delete the old one there",
            metadata.name
        ),
    }
}

impl Rotation for Refuse {
    fn can(&self, metadata: &Metadata) -> Result<(), ProviderError> {
        Err(refusal(metadata))
    }

    fn mint(&self, credential: &Credential, _: Option<DateTime<Utc>>, _: &Net<'_>) -> Result<Raw, ProviderError> {
        Err(refusal(&credential.metadata))
    }

    fn handle(&self, _: &Credential) -> Option<String> {
        None
    }

    fn retire(&self, _: &str, new: &Credential, _: &Net<'_>) -> Result<(), ProviderError> {
        Err(refusal(&new.metadata))
    }
}
