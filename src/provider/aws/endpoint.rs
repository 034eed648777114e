//! Where AWS answers: partitions, regions and the official variables that name another place.

use crate::http::{BadUrl, Url, parse_url};
use crate::os::Env;
use crate::provider::ProviderError;

/// A service of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Identities and temporary keys.
    Sts,
    /// Users and their keys.
    Iam,
    /// Private container registries.
    Ecr,
    /// The public container registry.
    EcrPublic,
}

impl Service {
    /// Its name in signatures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::Iam => "iam",
            Self::Ecr => "ecr",
            Self::EcrPublic => "ecr-public",
        }
    }

    /// The variable that names its address for the official tools.
    fn variable(self) -> &'static str {
        match self {
            Self::Sts => "AWS_ENDPOINT_URL_STS",
            Self::Iam => "AWS_ENDPOINT_URL_IAM",
            Self::Ecr => "AWS_ENDPOINT_URL_ECR",
            Self::EcrPublic => "AWS_ENDPOINT_URL_ECR_PUBLIC",
        }
    }
}

/// A part of AWS with accounts of its own.
struct Partition {
    /// How the names of its regions begin.
    prefix: &'static str,
    /// What its hosts end in.
    suffix: &'static str,
    /// The host of IAM, of which there is one.
    iam: &'static str,
    /// The region that IAM's signatures are for.
    home: &'static str,
}

/// The usual partition, to which every other region belongs.
const USUAL: Partition = partition("", "amazonaws.com", "iam.amazonaws.com", "us-east-1");
/// The others. From the endpoint data of the official SDKs.
const PARTITIONS: [Partition; 7] = [
    partition("cn-", "amazonaws.com.cn", "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    partition("us-gov-", "amazonaws.com", "iam.us-gov.amazonaws.com", "us-gov-west-1"),
    partition("us-iso-", "c2s.ic.gov", "iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
    partition("us-isob-", "sc2s.sgov.gov", "iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
    partition("us-isof-", "csp.hci.ic.gov", "iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"),
    partition("eu-isoe-", "cloud.adc-e.uk", "iam.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
    partition("eusc-", "amazonaws.eu", "iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
];

const fn partition(prefix: &'static str, suffix: &'static str, iam: &'static str, home: &'static str) -> Partition {
    Partition { prefix, suffix, iam, home }
}

/// Where a request goes, and for which region it is signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The address.
    pub(super) url: Url,
    /// The region of the signature.
    pub(super) region: String,
}

/// The place of a service: what the credential says, else what the official variables say, else the official one.
pub(super) fn place(
    service: Service,
    region: Option<&str>,
    own: Option<&str>,
    env: &Env,
) -> Result<Place, ProviderError> {
    let (host, home) = official(service, region)?;
    let variable = |name: &'static str| env.var(name).map(|value| (name, value));
    let chosen = own.map(|url| ("endpoint", url)).or_else(|| {
        let ignored =
            env.var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|word| word.eq_ignore_ascii_case("true"));
        if ignored { None } else { variable(service.variable()).or_else(|| variable("AWS_ENDPOINT_URL")) }
    });
    let official = format!("https://{host}/");
    let (name, url) = chosen.unwrap_or(("region", &official));
    let url = parse_url(url).map_err(|cause| ProviderError::BadEndpoint { name: name.to_owned(), cause })?;
    Ok(Place { url, region: home })
}

/// The official host of a service, and the region of signatures for it.
fn official(service: Service, region: Option<&str>) -> Result<(String, String), ProviderError> {
    if let Some(problem) = region.and_then(|region| check_region(region).err()) {
        return Err(ProviderError::BadEndpoint { name: "region".into(), cause: BadUrl::Malformed(problem) });
    }
    let known = region.unwrap_or("us-east-1");
    let of = PARTITIONS.iter().find(|partition| known.starts_with(partition.prefix));
    let Partition { suffix, iam, home, .. } = of.unwrap_or(&USUAL);
    Ok(match (service, region) {
        (Service::Sts, None) => (format!("sts.{suffix}"), (*home).to_owned()),
        (Service::Sts, Some(region)) => (format!("sts.{region}.{suffix}"), region.to_owned()),
        (Service::Iam, _) => ((*iam).to_owned(), (*home).to_owned()),
        (Service::Ecr, _) => (format!("api.ecr.{known}.{suffix}"), known.to_owned()),
        (Service::EcrPublic, _) => ("api.ecr-public.us-east-1.amazonaws.com".into(), "us-east-1".into()),
    })
}

/// Accepts the name of a region: small letters, digits and hyphens, since it becomes part of a host.
pub(super) fn check_region(region: &str) -> Result<(), &'static str> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_word = (2..=40).contains(&region.len()) && region.bytes().all(fits) && !region.starts_with('-');
    if is_word { Ok(()) } else { Err("it is no region such as eu-west-1") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn at(service: Service, region: Option<&str>, own: Option<&str>, variables: &[(&str, &str)]) -> String {
        let env = Env::invented(Path::new("/nowhere"), Path::new("/nowhere"), variables);
        let Place { url, region } = place(service, region, own, &env).unwrap();
        format!("{url} {region}")
    }

    #[test]
    fn each_partition_has_its_own_hosts() {
        for (service, region, expected) in [
            (Service::Sts, None, "https://sts.amazonaws.com/ us-east-1"),
            (Service::Sts, Some("eu-west-1"), "https://sts.eu-west-1.amazonaws.com/ eu-west-1"),
            (Service::Sts, Some("cn-northwest-1"), "https://sts.cn-northwest-1.amazonaws.com.cn/ cn-northwest-1"),
            (Service::Sts, Some("us-gov-east-1"), "https://sts.us-gov-east-1.amazonaws.com/ us-gov-east-1"),
            (Service::Iam, None, "https://iam.amazonaws.com/ us-east-1"),
            (Service::Iam, Some("ap-south-1"), "https://iam.amazonaws.com/ us-east-1"),
            (Service::Iam, Some("cn-northwest-1"), "https://iam.cn-north-1.amazonaws.com.cn/ cn-north-1"),
            (Service::Iam, Some("us-gov-east-1"), "https://iam.us-gov.amazonaws.com/ us-gov-west-1"),
            (Service::Iam, Some("us-isob-east-1"), "https://iam.us-isob-east-1.sc2s.sgov.gov/ us-isob-east-1"),
            (Service::Ecr, Some("eu-west-1"), "https://api.ecr.eu-west-1.amazonaws.com/ eu-west-1"),
            (Service::Ecr, Some("eusc-de-east-1"), "https://api.ecr.eusc-de-east-1.amazonaws.eu/ eusc-de-east-1"),
            (Service::EcrPublic, Some("eu-west-1"), "https://api.ecr-public.us-east-1.amazonaws.com/ us-east-1"),
        ] {
            assert_eq!(at(service, region, None, &[]), expected);
        }
    }

    #[test]
    fn the_credential_wins_over_the_services_variable_and_that_over_the_general_one() {
        let all = [("AWS_ENDPOINT_URL_STS", "https://sts.example/"), ("AWS_ENDPOINT_URL", "https://all.example/")];
        let region = Some("eu-west-1");
        assert_eq!(at(Service::Sts, region, Some("https://own.example/"), &all), "https://own.example/ eu-west-1");
        assert_eq!(at(Service::Sts, region, None, &all), "https://sts.example/ eu-west-1");
        assert_eq!(at(Service::Iam, region, None, &all), "https://all.example/ us-east-1");
        let ignored = [&all[..], &[("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True")]].concat();
        assert_eq!(at(Service::Sts, None, None, &ignored), "https://sts.amazonaws.com/ us-east-1");
    }

    #[test]
    fn no_region_and_no_variable_leads_to_an_address_in_plain_http_or_elsewhere() {
        let env = |value| Env::invented(Path::new("/n"), Path::new("/n"), &[("AWS_ENDPOINT_URL", value)]);
        let failure = place(Service::Sts, None, None, &env("http://sts.example/")).unwrap_err();
        assert!(matches!(failure, ProviderError::BadEndpoint { name, .. } if name == "AWS_ENDPOINT_URL"));
        for region in ["evil.example/", "eu-west-1.evil", "EU-WEST-1", "", "-a"] {
            let failure = place(Service::Ecr, Some(region), None, &env("")).unwrap_err();
            assert!(matches!(failure, ProviderError::BadEndpoint { name, .. } if name == "region"), "{region}");
        }
    }
}
