//! Git hosts: which software runs there, and where its API is.

use crate::credential::Metadata;
use crate::http::{Url, is_loopback, parse_url};
use crate::provider::ProviderError;

/// The software of a git host, by which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// github.com, data residency on ghe.com, or GitHub Enterprise Server.
    GitHub,
    /// gitlab.com, or GitLab on a host of one's own.
    GitLab,
    /// bitbucket.org, or Bitbucket Data Center.
    Bitbucket,
    /// Gitea or Forgejo.
    Gitea,
    /// Azure DevOps.
    Azure,
    /// Anything else that speaks git over HTTPS.
    Other,
}

/// The word of each flavour in the field `service`, its title, its public host, and the user name that git gives there
/// beside a token, where any does.
pub(super) const FLAVOURS: [(Flavour, &str, &str, &str, Option<&str>); 6] = [
    (Flavour::GitHub, "github", "GitHub", "github.com", Some("x-access-token")),
    (Flavour::GitLab, "gitlab", "GitLab", "", Some("oauth2")),
    (Flavour::Bitbucket, "bitbucket", "Bitbucket", "bitbucket.org", None),
    (Flavour::Gitea, "gitea", "Gitea", "", Some("git")),
    (Flavour::Azure, "azure", "Azure DevOps", "dev.azure.com", Some("git")),
    (Flavour::Other, "other", "the git host", "", None),
];

/// What is plainly no credential for git, by its beginning.
const STRANGERS: [(&str, &str); 9] = [
    ("ghr_", "it is a refresh token, which is used up when it is tried"),
    ("glrt-", "it is a token of a GitLab runner"),
    ("glptt-", "it is a token that triggers pipelines"),
    ("glft-", "it is a token for feeds"),
    ("glimt-", "it is a token for incoming mail"),
    ("glagent-", "it is a token of a GitLab agent"),
    ("glsoat-", "it is a token for SCIM"),
    ("gloas-", "it is the secret of an OAuth application"),
    ("glffct-", "it is a token for feature flags"),
];

impl Flavour {
    fn row(self) -> &'static (Self, &'static str, &'static str, &'static str, Option<&'static str>) {
        FLAVOURS.iter().find(|row| row.0 == self).unwrap_or(&FLAVOURS[5])
    }

    /// The word in the field `service`.
    pub(super) fn word(self) -> &'static str {
        self.row().1
    }

    /// What a person calls it.
    pub(super) fn title(self) -> &'static str {
        self.row().2
    }

    /// The host that everybody means who names none. Not so for GitLab, which many run themselves: a token that was
    /// made elsewhere is not shown to gitlab.com.
    pub(super) fn public_host(self) -> Option<&'static str> {
        Some(self.row().3).filter(|host| !host.is_empty())
    }

    /// The user name beside this token, where the host does not look at it.
    pub(super) fn user(self, token: Option<&str>) -> Option<&'static str> {
        match (self, token) {
            (Self::GitLab, Some(token)) if token.starts_with("glcbt-") => Some("gitlab-ci-token"),
            (Self::Bitbucket, Some(token)) if token.starts_with("ATCTT") => Some("x-token-auth"),
            _ => self.row().4,
        }
    }

    /// The flavour of that word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        FLAVOURS.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    /// The flavour of a host that everybody knows, or whose name says it.
    pub(super) fn of_host(host: &str) -> Option<Self> {
        let name = host.split(':').next().unwrap_or_default();
        match name {
            "github.com" => Some(Self::GitHub),
            "gitlab.com" => Some(Self::GitLab),
            "bitbucket.org" => Some(Self::Bitbucket),
            "codeberg.org" | "gitea.com" => Some(Self::Gitea),
            "dev.azure.com" => Some(Self::Azure),
            _ if name.ends_with(".ghe.com") => Some(Self::GitHub),
            _ if name.ends_with(".visualstudio.com") => Some(Self::Azure),
            _ => None,
        }
    }

    /// The flavour that makes tokens of this form.
    pub(super) fn of_token(token: &str) -> Option<Self> {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| token.starts_with(prefix));
        if starts(&["ghp_", "gho_", "ghu_", "ghs_", "github_pat_"]) {
            Some(Self::GitHub)
        } else if starts(&["glpat-", "gldt-", "glcbt-"]) {
            Some(Self::GitLab)
        } else if starts(&["ATATT", "ATCTT", "ATBB"]) {
            Some(Self::Bitbucket)
        } else {
            None
        }
    }

    /// The flavour of a stored credential.
    pub(super) fn of(metadata: &Metadata) -> Self {
        metadata.field("service").and_then(Self::from_word).unwrap_or(Self::Other)
    }
}

/// Why this is no credential for git, where it is plainly something else.
pub(super) fn stranger(token: &str) -> Option<&'static str> {
    STRANGERS.iter().find(|(prefix, _)| token.starts_with(prefix)).map(|(_, what)| *what)
}

/// The address of a host's pages, below which its repositories lie; `http` for this machine alone, where the endpoint
/// says so.
pub(super) fn root(metadata: &Metadata) -> Result<Url, ProviderError> {
    let own = metadata.field("endpoint").filter(|_| matches!(Flavour::of(metadata), Flavour::Other | Flavour::Azure));
    match own {
        Some(own) => address("endpoint", own),
        None => address("host", &format!("https://{}", metadata.field("host").unwrap_or_default())),
    }
}

/// Where the API of a host is; `None` where there is none that lanyard knows.
pub(super) fn api(metadata: &Metadata) -> Result<Option<Url>, ProviderError> {
    let flavour = Flavour::of(metadata);
    if matches!(flavour, Flavour::Other | Flavour::Azure) {
        return Ok(None);
    }
    if let Some(own) = metadata.field("endpoint") {
        return address("endpoint", own).map(Some);
    }
    let host = metadata.field("host").unwrap_or_default();
    let url = match (flavour, host) {
        (Flavour::GitHub, "github.com") => "https://api.github.com".to_owned(),
        (Flavour::GitHub, _) if host.ends_with(".ghe.com") => format!("https://api.{host}"),
        (Flavour::GitHub, _) => format!("https://{host}/api/v3"),
        (Flavour::GitLab, _) => format!("https://{host}/api/v4"),
        (Flavour::Bitbucket, "bitbucket.org") => "https://api.bitbucket.org/2.0".to_owned(),
        (Flavour::Gitea, _) => format!("https://{host}/api/v1"),
        _ => return Ok(None),
    };
    address("host", &url).map(Some)
}

fn address(name: &str, text: &str) -> Result<Url, ProviderError> {
    parse_url(text).map_err(|cause| ProviderError::BadEndpoint { name: name.to_owned(), cause })
}

/// A host as a person writes it, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// The host in lower case, with its port where it has one.
    pub(super) host: String,
    /// The path of a repository, where it was the address of one.
    pub(super) repository: Option<String>,
    /// The address of a host on this machine that does not speak TLS.
    pub(super) endpoint: Option<String>,
}

impl Written {
    /// Reads `github.com`, `https://github.com/owner/repository.git` or `http://127.0.0.1:3000`.
    pub(super) fn parse(text: &str) -> Self {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("https", text.trim()));
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = host.to_lowercase();
        let plain = format!("http://{host}");
        let is_here = scheme == "http" && parse_url(&plain).is_ok_and(|url| is_loopback(&url));
        let path = path.trim_matches('/');
        Self {
            repository: (!path.is_empty()).then(|| path.to_owned()),
            endpoint: is_here.then_some(plain),
            host,
        }
    }
}
