//! Where a registry is, and what sort it is: the many ways to write one and the same address, understood once.

use url::Url;

use crate::credential::{DOCKER_HUB, docker_key};
use crate::http::{BadUrl, is_loopback, parse_url};

/// A sort of registry: whom to ask about a credential, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// GitHub's packages.
    Ghcr,
    /// Google's Artifact Registry, and Container Registry before it.
    Gar,
    /// Amazon's Elastic Container Registry.
    Ecr,
    /// Azure's Container Registry.
    Acr,
    /// Docker Hub.
    DockerHub,
    /// A Harbor.
    Harbor,
    /// An Artifactory.
    Jfrog,
    /// Any other that speaks the protocol of the Open Container Initiative.
    Oci,
    /// A Helm repository: charts and an index, over plain HTTP.
    Helm,
}

impl Flavour {
    /// Every flavour.
    pub(super) const ALL: [Self; 9] = [
        Self::Ghcr,
        Self::Gar,
        Self::Ecr,
        Self::Acr,
        Self::DockerHub,
        Self::Harbor,
        Self::Jfrog,
        Self::Oci,
        Self::Helm,
    ];

    /// The word for `--flavour`.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ghcr => "ghcr",
            Self::Gar => "gar",
            Self::Ecr => "ecr",
            Self::Acr => "acr",
            Self::DockerHub => "dockerhub",
            Self::Harbor => "harbor",
            Self::Jfrog => "jfrog",
            Self::Oci => "oci",
            Self::Helm => "helm",
        }
    }

    /// The flavour of that word.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flavour| flavour.word() == word)
    }

    /// The flavour that a host's name tells; [`Flavour::Oci`] where it tells none.
    fn of_host(host: &str) -> Self {
        let below = |parents: &[&str]| {
            parents.iter().any(|parent| host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.')))
        };
        match host {
            "ghcr.io" => Self::Ghcr,
            "public.ecr.aws" => Self::Ecr,
            "gcr.io" => Self::Gar,
            _ if DOCKER_HUB.contains(&host) => Self::DockerHub,
            _ if Ecr::of_host(host).is_some() => Self::Ecr,
            _ if below(&["pkg.dev", "gcr.io"]) => Self::Gar,
            _ if below(&["azurecr.io", "azurecr.cn", "azurecr.us"]) => Self::Acr,
            _ if below(&["jfrog.io"]) => Self::Jfrog,
            _ => Self::Oci,
        }
    }
}

/// The address of a registry or of a Helm repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The origin of a registry, with no path; the whole address of a Helm repository.
    pub(super) url: Url,
    /// What sort it is.
    pub(super) flavour: Flavour,
}

impl Address {
    /// Understands `ghcr.io`, `https://index.docker.io/v1/`, `oci://host/path/chart`, `localhost:5000`,
    /// `https://charts.example.com/stable`. Without a flavour, the host tells it; an address with a path of its own,
    /// written with `https://`, is a Helm repository.
    pub(super) fn parse(text: &str, flavour: Option<Flavour>) -> Result<Self, BadUrl> {
        let text = text.trim();
        let (url, is_web) = match (text.strip_prefix("oci://"), text.contains("://")) {
            (Some(rest), _) => (with_scheme(rest)?, false),
            (None, true) => (parse_url(text)?, true),
            (None, false) => (with_scheme(text)?, false),
        };
        let of_host = Flavour::of_host(url.host_str().unwrap_or_default());
        let may_be_helm = matches!(of_host, Flavour::Oci | Flavour::Jfrog);
        let is_bare = matches!(url.path().trim_end_matches('/'), "" | "/v1" | "/v2");
        let guessed = if is_web && may_be_helm && !is_bare { Flavour::Helm } else { of_host };
        Ok(Self::of(url, flavour.unwrap_or(guessed)))
    }

    /// Understands what stands for a registry in a file of docker or podman, which never names a Helm repository.
    pub(super) fn of_container_file(key: &str) -> Result<Self, BadUrl> {
        let url = if key.contains("://") { parse_url(key)? } else { with_scheme(key)? };
        let flavour = Flavour::of_host(url.host_str().unwrap_or_default());
        Ok(Self::of(url, flavour))
    }

    fn of(mut url: Url, flavour: Flavour) -> Self {
        if flavour != Flavour::Helm {
            url.set_path("");
            url.set_query(None);
            if DOCKER_HUB.contains(&url.host_str().unwrap_or_default()) {
                // Of a name to a name: a host that parsed once.
                let _ = url.set_host(Some("docker.io"));
            }
        }
        Self { url, flavour }
    }

    /// The address as it is stored.
    pub(super) fn text(&self) -> &str {
        if self.flavour == Flavour::Helm { self.url.as_str() } else { self.url.as_str().trim_end_matches('/') }
    }

    /// The host, with its port where the address has one.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// What docker's files call it.
    pub(super) fn key(&self) -> String {
        docker_key(&self.host())
    }

    /// The other names of the same registry. Docker Hub has some, nothing else does.
    pub(super) fn aliases(&self) -> impl Iterator<Item = &'static str> {
        let own = self.host();
        let is_hub = DOCKER_HUB.contains(&own.as_str());
        DOCKER_HUB.into_iter().filter(move |alias| is_hub && *alias != own)
    }

    /// Where its protocol is spoken: Docker Hub's name is not its registry's.
    pub(super) fn base(&self) -> Url {
        let mut base = self.url.clone();
        if base.host_str() == Some("docker.io") {
            let _ = base.set_host(Some("registry-1.docker.io"));
        }
        base
    }
}

/// A bare host as an address: `http` on this machine, as docker has it, else `https`.
fn with_scheme(host: &str) -> Result<Url, BadUrl> {
    let secure = parse_url(&format!("https://{host}"))?;
    if is_loopback(&secure) { parse_url(&format!("http://{host}")) } else { Ok(secure) }
}

/// What the host of an ECR registry tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ecr<'h> {
    /// The account, where the registry is a private one.
    pub(super) account: Option<&'h str>,
    /// The region.
    pub(super) region: &'h str,
}

impl<'h> Ecr<'h> {
    /// Understands `123456789012.dkr.ecr.eu-west-1.amazonaws.com`, its `-fips` and `on.aws` forms and `public.ecr.aws`.
    pub(super) fn of_host(host: &'h str) -> Option<Self> {
        if host == "public.ecr.aws" {
            return Some(Self { account: None, region: "us-east-1" });
        }
        let (account, rest) = host.split_once('.')?;
        let rest = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."]
            .iter()
            .find_map(|service| rest.strip_prefix(service))?;
        let (region, domain) = rest.split_once('.')?;
        let fits = account.len() == 12
            && account.bytes().all(|byte| byte.is_ascii_digit())
            && !region.is_empty()
            && ["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "on.aws"].contains(&domain);
        fits.then_some(Self { account: Some(account), region })
    }
}

/// Domains below which everybody can have a name, so that two names below one are no relatives.
const SHARED: [&str; 18] = [
    "amazonaws.com",
    "amazonaws.eu",
    "azurecr.cn",
    "azurecr.io",
    "azurecr.us",
    "azurewebsites.net",
    "cloudfront.net",
    "gcr.io",
    "github.io",
    "gitlab.io",
    "herokuapp.com",
    "jfrog.io",
    "netlify.app",
    "on.aws",
    "pages.dev",
    "pkg.dev",
    "run.app",
    "vercel.app",
];
/// Second levels under a country's domain that are no names of their own.
const LEVELS: [&str; 9] = ["ac", "co", "com", "edu", "go", "gov", "ne", "net", "org"];

/// Whether two hosts belong to one owner, as far as their names tell: the same host, or names below one domain.
pub(super) fn are_related(one: &Url, other: &Url) -> bool {
    let (Some(url::Host::Domain(one)), Some(url::Host::Domain(other))) = (one.host(), other.host()) else {
        return one.host().is_some() && one.host() == other.host();
    };
    if one == other {
        return true;
    }
    let mut common: Vec<&str> =
        one.rsplit('.').zip(other.rsplit('.')).take_while(|(one, other)| one == other).map(|(label, _)| label).collect();
    common.reverse();
    let is_level = matches!(*common, [level, country] if country.len() == 2 && LEVELS.contains(&level));
    common.len() >= 2 && !is_level && !SHARED.contains(&common.join(".").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let address = Address::parse(text, None).unwrap();
        format!("{} {} {}", address.text(), address.flavour.word(), address.key())
    }

    #[test]
    fn many_ways_to_write_an_address_mean_the_same() {
        for (text, meant) in [
            ("ghcr.io", "https://ghcr.io ghcr ghcr.io"),
            ("https://ghcr.io/v2/", "https://ghcr.io ghcr ghcr.io"),
            ("ghcr.io/owner/image", "https://ghcr.io ghcr ghcr.io"),
            ("docker.io", "https://docker.io dockerhub https://index.docker.io/v1/"),
            ("https://index.docker.io/v1/", "https://docker.io dockerhub https://index.docker.io/v1/"),
            ("registry-1.docker.io", "https://docker.io dockerhub https://index.docker.io/v1/"),
            ("europe-docker.pkg.dev", "https://europe-docker.pkg.dev gar europe-docker.pkg.dev"),
            ("eu.gcr.io", "https://eu.gcr.io gar eu.gcr.io"),
            ("corp.azurecr.io", "https://corp.azurecr.io acr corp.azurecr.io"),
            ("corp.jfrog.io", "https://corp.jfrog.io jfrog corp.jfrog.io"),
            ("https://corp.jfrog.io/artifactory/charts", "https://corp.jfrog.io/artifactory/charts helm corp.jfrog.io"),
            ("oci://charts.example.com/a/b", "https://charts.example.com oci charts.example.com"),
            ("https://charts.example.com/stable", "https://charts.example.com/stable helm charts.example.com"),
            ("Registry.Example.com:5000", "https://registry.example.com:5000 oci registry.example.com:5000"),
            ("localhost:5000", "http://localhost:5000 oci localhost:5000"),
            ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5000 oci 127.0.0.1:5000"),
            ("public.ecr.aws", "https://public.ecr.aws ecr public.ecr.aws"),
            // Names that only look like a known one.
            ("evilazurecr.io", "https://evilazurecr.io oci evilazurecr.io"),
            ("ghcr.io.example.com", "https://ghcr.io.example.com oci ghcr.io.example.com"),
        ] {
            assert_eq!(shown(text), meant, "{text}");
        }
    }

    #[test]
    fn a_flavour_that_is_given_decides() {
        let helm = Address::parse("charts.example.com/stable?a=b", Some(Flavour::Helm)).unwrap();
        assert_eq!(helm.text(), "https://charts.example.com/stable?a=b");
        let harbor = Address::parse("https://harbor.example.com/project", Some(Flavour::Harbor)).unwrap();
        assert_eq!((harbor.text(), harbor.flavour), ("https://harbor.example.com", Flavour::Harbor));
    }

    #[test]
    fn what_no_secret_is_sent_to_is_no_address() {
        for text in ["", "http://registry.example.com", "https://user:pass@h.example", "ftp://h.example", "a b", "h\\x"] {
            assert!(Address::parse(text, None).is_err(), "{text}");
        }
    }

    #[test]
    fn the_host_of_an_ecr_registry_tells_account_and_region() {
        for host in [
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com",
            "123456789012.dkr-ecr.eu-west-1.on.aws",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.cn",
        ] {
            let found = Ecr::of_host(host);
            assert_eq!(found, Some(Ecr { account: Some("123456789012"), region: "eu-west-1" }), "{host}");
        }
        for host in [
            "12345.dkr.ecr.eu-west-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.amazonaws.com",
            "amazonaws.com",
        ] {
            assert_eq!(Ecr::of_host(host), None, "{host}");
        }
    }

    #[test]
    fn relatives_share_a_domain_that_is_somebodys() {
        let related = |one: &str, other: &str| {
            let url = |host: &str| Url::parse(&format!("https://{host}")).unwrap();
            are_related(&url(one), &url(other))
        };
        for (one, other) in [
            ("registry-1.docker.io", "auth.docker.io"),
            ("registry.gitlab.com", "gitlab.com"),
            ("gitlab.example.com:5050", "gitlab.example.com"),
            ("r.example.co.uk", "auth.example.co.uk"),
            ("127.0.0.1:1", "127.0.0.1:2"),
        ] {
            assert!(related(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("registry.example.com", "auth.evil.example"),
            ("registry.example.com", "registry.example.com.evil.example"),
            ("registryexample.com", "example.com"),
            ("a.azurecr.io", "b.azurecr.io"),
            ("a.co.uk", "b.co.uk"),
            ("a.com", "b.com"),
            ("127.0.0.1", "127.0.0.2"),
            ("127.0.0.1", "localhost"),
        ] {
            assert!(!related(one, other), "{one} {other}");
        }
    }
}
