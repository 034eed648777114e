//! What each sort of registry takes as user name and password, for somebody who is asked for them.

use super::address::{Address, Flavour};
use crate::credential::Raw;
use crate::provider::Guide;

/// The kinds whose keys make passwords for ECR.
static KEYS: [&str; 2] = ["aws_static", "aws_assume_role"];

/// The guide for the registry at an address.
pub(super) fn of(address: &Address, raw: &Raw) -> Guide {
    let mut guide = Guide { hint: Some(hint(address)), ..Guide::default() };
    match address.flavour {
        // A key is a whole file, and tells who its user is.
        Flavour::Gar if !raw.has("username") && !raw.has("source") => {
            guide.file = Some(("password", "Key file of the service account (JSON)"));
        }
        Flavour::Ecr => guide.sources = &KEYS,
        _ => {}
    }
    guide
}

/// What it takes, and where that is made.
fn hint(address: &Address) -> String {
    let host = address.host();
    match address.flavour {
        Flavour::Ghcr => format!(
            "{host} takes your GitHub user name and a classic personal access token with read:packages (write:packages \
             to push), made at https://github.com/settings/tokens"
        ),
        Flavour::Gar => format!(
            "{host} takes the key file of a service account, as the user _json_key; with --source NAME it takes access \
             tokens of a stored Google Cloud credential instead"
        ),
        Flavour::Ecr => format!(
            "{host} takes passwords of twelve hours: they are made from an AWS credential in the vault when one is \
             needed; with --password - it takes one that `aws ecr get-login-password` gave"
        ),
        Flavour::Acr => format!(
            "{host} takes a token of the registry by its name, or the application id and the secret of a service \
             principal; the admin user only where it is switched on"
        ),
        Flavour::DockerHub => format!(
            "{host} takes your Docker ID and an access token rather than the password, made at \
             https://app.docker.com/settings; for a token of an organization, its name is the user name"
        ),
        Flavour::Harbor => format!(
            "{host} takes a robot account by its whole name, such as robot$NAME or robot$PROJECT+NAME (in a shell in \
             single quotes), or your user name and the CLI secret of your profile"
        ),
        Flavour::Jfrog => format!(
            "{host} takes your user name and an identity token, made in your profile there; access tokens work as well"
        ),
        Flavour::Oci => format!(
            "{host} takes a user name and a password or token; give --flavour harbor or --flavour jfrog where it is a \
             Harbor or an Artifactory"
        ),
        Flavour::Helm => format!("the Helm repository at {host} takes a user name and a password"),
    }
}
