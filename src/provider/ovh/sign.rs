//! The signature of a request: `$1$` and the SHA-1 of the secrets, the request and the time, joined by `+`.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use crate::credential::Credential;
use crate::http::Request;
use crate::provider::{ProviderError, api};
use crate::secret::Secret;
use crate::text::hex;

/// Puts the keys and the signature on a request that is to be sent at `now`, in seconds since 1970.
pub(super) fn sign(request: &mut Request, credential: &Credential, now: i64) -> Result<(), ProviderError> {
    let secret = |name| credential.secret(name).ok_or_else(|| api::missing(credential, name));
    let key = credential.field("application_key").ok_or_else(|| api::missing(credential, "application_key"))?;
    let (application, consumer) = (secret("application_secret")?, secret("consumer_key")?);
    let now = now.to_string();
    let body = request.body.as_ref().map_or(&b""[..], |body| body.as_slice());
    let method = request.method.clone();
    let parts: [&[u8]; 6] = [
        application.expose().as_bytes(),
        consumer.expose().as_bytes(),
        method.as_str().as_bytes(),
        request.url.as_str().as_bytes(),
        body,
        now.as_bytes(),
    ];
    // The API takes no other digest.
    let mut digest = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            digest.update(b"+");
        }
        digest.update(part);
    }
    let signature = format!("$1${}", hex(digest.finish().as_ref()));
    request.set_secret_header("x-ovh-application", &Secret::new(key.to_owned()));
    request.set_secret_header("x-ovh-consumer", consumer);
    request.set_secret_header("x-ovh-timestamp", &Secret::new(now));
    request.set_secret_header("x-ovh-signature", &Secret::new(signature));
    Ok(())
}
