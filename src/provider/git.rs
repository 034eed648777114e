//! Git hosts: a user name with a token or a password, for git over HTTPS and the host's API.
//!
//! Facts from docs.github.com and cli/cli, docs.gitlab.com, support.atlassian.com, docs.gitea.com, and git's own
//! gitcredentials(7), git-credential-store(1) and gitprotocol-http(5).

use self::host::{Flavour, Written};
use super::api::host_of;
use super::{Discovered, Here, Input, Mark, Net, Provider, ProviderError, Rotation, Verdict, api};
use crate::credential::{Address, Credential, Field, FieldError, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules};
use crate::secret::Secret;

mod ask;
mod found;
mod hands;
mod host;
mod lines;
mod marks;
mod netrc;
mod refuse;

static FIELDS: [Field; 7] = [
    Field::plain("host", "Host").checked(rules::host, "github.com"),
    Field::plain("username", "User name; for an API token of Bitbucket, the account's e-mail address")
        .checked(user_name, "x-access-token")
        .follows(),
    Field::secret("token", "Token or password")
        .checked(rules::password, "ghp_1B4a2e77838347a7E420ce178F2E7c6912E1"),
    Field::plain("service", "Software of a host of your own: github, gitlab, bitbucket, gitea, azure or other")
        .optional()
        .checked(flavour, "gitlab")
        .follows(),
    Field::plain("repository", "Path of a private repository to ask about, where the host has no API that tells")
        .optional()
        .checked(path, "team/project.git"),
    Field::plain("path", "Path below which git gets it; without one, everywhere on the host. git has to tell the path: useHttpPath")
        .optional()
        .checked(path, "team/project"),
    Field::plain("endpoint", "Address of the host's API, where it is not the usual one")
        .optional()
        .checked(rules::url, "https://git.example.com/api/v4"),
];
static KINDS: [Kind; 1] = [Kind::new("git", "git host login", "git", &FIELDS)];
static INPUTS: [Input; 1] =
    [Input::argument("host", "HOST", "The host, such as github.com, or the address of a repository")];

/// Git hosts.
pub struct Git;
/// The provider.
pub static PROVIDER: Git = Git;

/// What can stand before the colon in `user:password`.
fn user_name(value: &str) -> Result<(), &'static str> {
    rules::line(value)?;
    if value.contains(':') { Err("a user name has no colon") } else { Ok(()) }
}

fn flavour(value: &str) -> Result<(), &'static str> {
    let known = Flavour::from_word(value).map(|_| ());
    known.ok_or("it is none of github, gitlab, bitbucket, gitea, azure and other")
}

fn path(value: &str) -> Result<(), &'static str> {
    rules::token(value)?;
    let climbs = value.split('/').any(|part| part == ".." || part == ".");
    if climbs || value.contains("://") || value.contains(['?', '#', '\\', '@']) {
        return Err("it is no path of a repository, such as team/project.git");
    }
    Ok(())
}

fn token(credential: &Credential) -> Result<&Secret, ProviderError> {
    credential.secret("token").ok_or_else(|| api::missing(credential, "token"))
}

/// The user name that git gives beside the token.
fn git_user<'c>(credential: &'c Credential, token: &Secret) -> &'c str {
    let own = credential.field("username").unwrap_or("git");
    let is_api_token = Flavour::of(&credential.metadata) == Flavour::Bitbucket && token.expose().starts_with("ATATT");
    if is_api_token && own.contains('@') { "x-bitbucket-api-token-auth" } else { own }
}

impl Provider for Git {
    fn name(&self) -> &'static str {
        "git"
    }

    fn title(&self) -> &'static str {
        "Git host"
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
        if let Some(given) = here.input("host") {
            let Written { host, repository, endpoint } = Written::parse(given);
            raw.plain("host", &host);
            for (name, value) in [("repository", repository), ("endpoint", endpoint)] {
                if let Some(value) = value {
                    raw.fill(name, Secret::new(value));
                }
            }
        }
        let problem = raw.get("token").and_then(|token| host::stranger(token.expose()));
        if let Some(problem) = problem {
            return Err(FieldError::Malformed { kind: KINDS[0].title, field: "token".into(), problem }.into());
        }
        let text = |raw: &Raw, name: &str| raw.get(name).map(|value| value.expose().to_owned());
        let flavour = text(raw, "service").map_or_else(
            || {
                let of_host = raw.get("host").and_then(|host| Flavour::of_host(host.expose()));
                of_host.or_else(|| Flavour::of_token(raw.get("token")?.expose()))
            },
            |word| Flavour::from_word(&word),
        );
        let Some(flavour) = flavour else { return Ok(&KINDS[0]) };
        raw.fill("service", Secret::new(flavour.word().to_owned()));
        if let Some(host) = flavour.public_host() {
            raw.fill("host", Secret::new(host.to_owned()));
        }
        if let Some(user) = flavour.user(raw.get("token").map(Secret::expose)) {
            raw.fill("username", Secret::new(user.to_owned()));
        }
        Ok(&KINDS[0])
    }

    fn default_name(&self, fields: &Fields) -> String {
        fields.plain.get("host").cloned().unwrap_or_else(|| "git".into())
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        let own = host::root(metadata).ok();
        let api = host::api(metadata).ok().flatten();
        let mut hosts: Vec<String> = own.iter().chain(&api).filter_map(host_of).collect();
        hosts.dedup();
        hosts
    }

    fn addresses(&self, metadata: &Metadata) -> Vec<Address> {
        let root = host::root(metadata).ok().and_then(|root| Address::of_url(&root));
        let below = metadata.field("path").map(|path| path.trim_matches('/').to_owned());
        root.map(|root| Address { path: below.or(root.path), ..root }).into_iter().collect()
    }

    fn is_for_user(&self, metadata: &Metadata, user: &str) -> bool {
        // Azure DevOps writes the organization in the place of a user into the addresses that it shows, and looks at the
        // token alone.
        Flavour::of(metadata) == Flavour::Azure || metadata.field("username").is_none_or(|own| own == user)
    }

    fn verify(&self, credential: &Credential, _: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let title = Flavour::of(&credential.metadata).title();
        let verdict = ask::ask(credential, net).unwrap_or_else(|failure| failure.into_verdict(title));
        api::dated(verdict, credential, net.now)
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, _: &Net<'_>) -> Result<Issued, ProviderError> {
        let token = token(credential)?;
        let username = git_user(credential, token).to_owned();
        let material = Material::Basic { username, password: token.duplicate() };
        Ok(Issued { material, expires: credential.metadata.expires })
    }

    fn export(&self, credential: &Credential, _: &Issued) -> Vec<Variable> {
        hands::variables(credential)
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("git-credentials", "the line of git's own credential store"),
            ("netrc", "the entry that git and curl read from ~/.netrc"),
        ]
    }

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        let token = credential.secret("token")?;
        let (user, root) = (git_user(credential, token), host::root(&credential.metadata).ok()?);
        match format {
            "git-credentials" => Some(lines::write(root.scheme(), &Address::of_url(&root)?.host, user, token)),
            "netrc" => netrc::write(root.host_str()?, user, token),
            _ => None,
        }
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&refuse::Refuse)
    }
}

#[cfg(test)]
pub(super) mod tests;
