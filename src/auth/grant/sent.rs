//! What a request gave away, so that an answer which repeats it is not shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::http::{Request, header};
use crate::secret::Secret;
use crate::text::repeats;

/// The fields of a form that hold a secret.
const SECRETS: [&str; 7] =
    ["assertion", "client_secret", "code", "code_verifier", "device_code", "refresh_token", "token"];

/// The secrets that were sent.
pub(super) struct Sent(Vec<Secret>);

impl Sent {
    /// The secrets in a request that is about to be sent.
    pub(super) fn with(request: &Request) -> Self {
        let body = request.body.as_deref().map(Vec::as_slice).unwrap_or_default();
        let fields = url::form_urlencoded::parse(body).filter(|(name, _)| SECRETS.contains(&name.as_ref()));
        let mut secrets: Vec<Secret> = fields.map(|(_, value)| Secret::new(value.into_owned())).collect();
        secrets.extend(client_secret(request));
        Self(secrets)
    }

    /// The text, unless it repeats one of them.
    pub(super) fn unrepeated<'t>(&self, text: Option<&'t str>) -> Option<&'t str> {
        text.filter(|text| !self.0.iter().any(|secret| repeats(text, secret.expose())))
    }
}

/// The secret in a Basic header: form-encoded, behind the first colon (RFC 6749 section 2.3.1).
fn client_secret(request: &Request) -> Option<Secret> {
    let encoded = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (secret, _) = url::form_urlencoded::parse(pair.get(colon + 1..)?).next()?;
    Some(Secret::new(secret.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_url;

    #[test]
    fn what_was_sent_is_known_again_and_other_words_pass() {
        let secret = Secret::new("a client's secret: 50% & more".into());
        let fields =
            [("grant_type", "refresh_token"), ("refresh_token", "1//0abcdefghijkl"), ("scope", "openid email")];
        let request = Request::form(parse_url("https://id.example/token").unwrap(), &fields).basic("cli", &secret);
        let sent = Sent::with(&request);
        for repeated in ["no token 1//0abcdefghijkl here", "wrong: a client's secret: 50% & more"] {
            assert_eq!(sent.unrepeated(Some(repeated)), None, "{repeated}");
        }
        for word in ["invalid_grant", "refresh_token is not allowed for openid email", "1//0abcde"] {
            assert_eq!(sent.unrepeated(Some(word)), Some(word));
        }
        assert!(Sent::with(&Request::get(parse_url("https://id.example/").unwrap())).0.is_empty());
    }
}
