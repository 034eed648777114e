//! Tokens for clusters of Amazon's Kubernetes service: a signed request for `GetCallerIdentity`, which the cluster sends
//! to STS in the user's stead. As aws-iam-authenticator defines them, and `aws eks get-token` makes them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use zeroize::Zeroizing;

use super::api;
use super::endpoint::{self, Service};
use super::sign::{Keys, Scope, presign};
use crate::credential::{Issued, Material};
use crate::http::{HeaderValue, Method, Request};
use crate::provider::{Net, ProviderError};
use crate::secret::Secret;

/// What such a token begins with.
const PREFIX: &str = "k8s-aws-v1.";
/// The header that names the cluster, so that no other one can use the request.
const CLUSTER: &str = "x-k8s-aws-id";
/// The cluster takes a token for 15 minutes after it was signed; the official tools call it good for one less.
const LIFE: TimeDelta = TimeDelta::minutes(14);

/// Makes a token for the cluster of that name. Asks nobody.
pub fn eks_token(keys: &Material, region: &str, cluster: &str, net: &Net<'_>) -> Result<Issued, ProviderError> {
    let place = endpoint::place(Service::Sts, Some(region).filter(|region| !region.is_empty()), None, net.env)?;
    let mut url = place.url.clone();
    url.query_pairs_mut().append_pair("Action", "GetCallerIdentity").append_pair("Version", "2011-06-15");
    let mut request = Request::new(Method::GET, url);
    let name = HeaderValue::from_str(cluster).map_err(|_| api::unsignable())?;
    // The cluster sends no other header that was signed for.
    request.headers.clear();
    request.headers.insert(CLUSTER, name);
    let scope = Scope { region: &place.region, service: Service::Sts.name() };
    let signed = Keys::of(keys).and_then(|keys| presign(&request, keys, scope, net.now));
    let signed = Zeroizing::new(signed.ok_or_else(api::unsignable)?);
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(signed.as_bytes()));
    let token = Secret::new([PREFIX, &encoded].concat());
    Ok(Issued { material: Material::Bearer(token), expires: Some(net.now + LIFE) })
}
