//! Clusters of clouds, whose users are proved by tokens made of a credential of the cloud: by `aws eks get-token`,
//! `aws-iam-authenticator` and `gke-gcloud-auth-plugin` elsewhere, and here without running any program.

use super::kubeconfig::User;
use crate::credential::{Credential, Issued, Material, Raw};
use crate::provider::{Net, ProviderError, aws};
use crate::secret::Secret;

/// The kind of Amazon's.
pub(super) const EKS: &str = "kubeconfig_eks";
/// The kind of Google's.
pub(super) const GKE: &str = "kubeconfig_gke";

/// The program by which a kubeconfig would have its user proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    /// Its name, without the folder that it is in.
    pub(super) name: Option<String>,
    /// Whose it is.
    pub(super) of: Of,
}

/// Whose program it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Of {
    /// One of AWS, and the cluster and the region that it is told.
    Aws {
        /// The name of the cluster.
        cluster: Option<String>,
        /// The region.
        region: Option<String>,
    },
    /// One of Google Cloud.
    Google,
    /// An `auth-provider`, which is no program.
    Provider,
    /// Anybody's.
    Others,
}

impl Program {
    /// The one that a user of a kubeconfig names.
    pub(super) fn of(user: &User) -> Option<Self> {
        let Some(exec) = &user.exec else {
            return user.auth_provider.as_ref().map(|_| Self { name: None, of: Of::Provider });
        };
        let name = exec.command.as_deref().and_then(|command| command.rsplit(['/', '\\']).next());
        let words: Vec<&str> = exec.args.iter().flatten().map(String::as_str).collect();
        let after = |names: &[&str]| {
            let next = words.iter().zip(words.iter().skip(1)).find(|(word, _)| names.contains(word));
            let joined = || words.iter().find_map(|word| word.split_once('=').filter(|(name, _)| names.contains(name)));
            next.map(|(_, value)| *value).or_else(|| joined().map(|(_, value)| value)).map(str::to_owned)
        };
        let of = match name.map(|name| name.trim_end_matches(".exe")) {
            Some("aws") if words.contains(&"eks") && words.contains(&"get-token") => {
                Of::Aws { cluster: after(&["--cluster-name", "--cluster-id"]), region: after(&["--region"]) }
            }
            Some("aws-iam-authenticator") => {
                Of::Aws { cluster: after(&["-i", "--cluster-id"]), region: after(&["--region"]) }
            }
            Some("gke-gcloud-auth-plugin") => Of::Google,
            _ => Of::Others,
        };
        Some(Self { name: name.map(str::to_owned), of })
    }
}

/// Which kind of kubeconfig it is whose tokens are made of another credential; the name of Amazon's cluster and its
/// region are filled in where the kubeconfig tells them.
pub(super) fn kind(raw: &mut Raw, program: Option<&Program>, server: &str) -> &'static str {
    let of_host = region(server);
    let (cluster, told, is_aws) = match program.map(|program| &program.of) {
        Some(Of::Aws { cluster, region }) => (cluster.clone(), region.clone(), true),
        _ => (None, None, of_host.is_some() || raw.has("eks_cluster")),
    };
    if !is_aws {
        return GKE;
    }
    for (name, value) in [("eks_cluster", cluster), ("region", told.or(of_host))] {
        if let Some(value) = value {
            raw.fill(name, Secret::new(value));
        }
    }
    EKS
}

/// The region in the host of a cluster of Amazon's: `ID.gr7.eu-west-1.eks.amazonaws.com`.
fn region(server: &str) -> Option<String> {
    let host = server.strip_prefix("https://")?.split(['/', ':']).next()?;
    let domains = [".eks.amazonaws.com", ".eks.amazonaws.com.cn", ".eks.amazonaws.eu"];
    let rest = domains.iter().find_map(|domain| host.strip_suffix(domain))?;
    rest.rsplit('.').next().map(str::to_owned)
}

/// Whether tokens for it are made of another credential.
pub(super) fn is_of(credential: &Credential) -> bool {
    [EKS, GKE].contains(&credential.metadata.kind.id)
}

/// The token, made of the usable form of the credential that it is made through.
pub(super) fn token(
    credential: &Credential,
    source: Option<&Issued>,
    net: &Net<'_>,
) -> Result<Issued, ProviderError> {
    let field = |name| credential.field(name).unwrap_or_default();
    match (credential.metadata.kind.id, source) {
        (EKS, Some(Issued { material: keys @ Material::AwsKeys { .. }, expires })) => {
            let token = aws::eks_token(keys, field("region"), field("eks_cluster"), net)?;
            // It is worth no more than the keys that have signed it.
            Ok(Issued { expires: token.expires.into_iter().chain(*expires).min(), ..token })
        }
        (GKE, Some(Issued { material: Material::Bearer(token), expires })) => {
            Ok(Issued { material: Material::Bearer(token.duplicate()), expires: *expires })
        }
        _ => {
            let name = credential.metadata.name.clone();
            Err(ProviderError::NoSource { name, source_name: field("source").to_owned() })
        }
    }
}
