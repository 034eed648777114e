//! Requests signed for AWS: Signature Version 4, by the signer of the official SDK.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign as signature,
};
use aws_sigv4::sign::v4;
use chrono::{DateTime, Utc};

use crate::credential::Material;
use crate::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use crate::secret::Secret;

/// For whom a request is signed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The region that answers, such as `eu-west-1`.
    pub(super) region: &'a str,
    /// The service's name in signatures: `sts`, `iam`, `ecr`.
    pub(super) service: &'a str,
}

/// Keys as signatures take them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a Secret,
    session_token: Option<&'a Secret>,
}

impl<'a> Keys<'a> {
    /// The keys in the usable form of a credential; `None` where it holds none.
    pub(super) fn of(material: &'a Material) -> Option<Self> {
        match material {
            Material::AwsKeys { access_key_id, secret_access_key, session_token } => {
                Some(Self { access_key_id, secret_access_key, session_token: session_token.as_ref() })
            }
            _ => None,
        }
    }
}

/// Signs a request as of `at`. Its content type, its host, the time and the session token are covered.
///
/// `None` where the request or the keys are such that no signature can be made: with a line break in a key, say.
pub(super) fn sign(mut request: Request, keys: Keys<'_>, scope: Scope<'_>, at: DateTime<Utc>) -> Option<Request> {
    let token = keys.session_token.map(|token| token.expose().to_owned());
    let identity = Credentials::new(keys.access_key_id, keys.secret_access_key.expose(), token, None, "lanyard").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(at.into())
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    let signed = {
        let content_type = request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let headers = content_type.into_iter().map(|value| ("content-type", value));
        let body = SignableBody::Bytes(request.body.as_ref().map_or(&[], |body| body.as_slice()));
        let signable = SignableRequest::new(request.method.as_str(), request.url.as_str(), headers, body).ok()?;
        signature(signable, &params).ok()?.into_parts().0
    };
    put(&mut request.headers, signed.headers())?;
    Some(request)
}

/// So long STS takes a signed address, in seconds.
const LIFE: Duration = Duration::from_mins(1);

/// The address of a request without a body, signed as of `at`: whoever has it, and sends the same headers, can send the
/// request.
pub(super) fn presign(request: &Request, keys: Keys<'_>, scope: Scope<'_>, at: DateTime<Utc>) -> Option<String> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFE);
    let token = keys.session_token.map(|token| token.expose().to_owned());
    let identity = Credentials::new(keys.access_key_id, keys.secret_access_key.expose(), token, None, "lanyard").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(at.into())
        .settings(settings)
        .build()
        .ok()?
        .into();
    let headers: Option<Vec<_>> =
        request.headers.iter().map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let body = SignableBody::Bytes(&[]);
    let signable =
        SignableRequest::new(request.method.as_str(), request.url.as_str(), headers?.into_iter(), body).ok()?;
    let signed = signature(signable, &params).ok()?.into_parts().0;
    let mut url = request.url.clone();
    for (name, value) in signed.params() {
        url.query_pairs_mut().append_pair(name, value);
    }
    Some(url.into())
}

/// Adds headers, none of which is shown in a log.
fn put<'h>(headers: &mut HeaderMap, signed: impl Iterator<Item = (&'h str, &'h str)>) -> Option<()> {
    for (name, value) in signed {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Method, parse_url};

    /// What all of the published examples share.
    const TIME: &str = "2015-08-30T12:36:00Z";
    const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "service" };
    const TOKEN: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";

    fn signed(token: Option<&str>, method: Method, path: &str, body: Option<(&str, &str)>) -> Option<Request> {
        let url = parse_url(&format!("https://example.amazonaws.com{path}")).unwrap();
        let mut request = Request::new(method, url);
        if let Some((kind, body)) = body {
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
            request.body = Some(body.as_bytes().to_vec().into());
        }
        let material = Material::AwsKeys {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into()),
            session_token: token.map(|token| Secret::new(token.into())),
        };
        sign(request, Keys::of(&material).unwrap(), SCOPE, TIME.parse().unwrap())
    }

    fn authorization(token: Option<&str>, method: Method, path: &str, body: Option<(&str, &str)>) -> (String, String) {
        let request = signed(token, method, path, body).unwrap();
        let line = request.headers.get(header::AUTHORIZATION).unwrap().to_str().unwrap().to_owned();
        let part = |name: &str| {
            let rest = line.split_once(&format!("{name}=")).unwrap().1;
            rest.split(',').next().unwrap().to_owned()
        };
        assert!(line.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "));
        (part("SignedHeaders"), part("Signature"))
    }

    #[test]
    fn signatures_are_those_of_the_published_examples() {
        let unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let unreserved = format!("/?{unreserved}={unreserved}");
        let examples = [
            (Method::GET, "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (Method::POST, "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (Method::POST, "/?Param1=value1", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
            (Method::GET, "/?Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
            (
                Method::GET,
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (Method::GET, &unreserved, "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
            (Method::GET, "/?%E1%88%B4=bar", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
            (
                Method::GET,
                "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
                "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
            ),
        ];
        for (method, path, signature) in examples {
            let expected = ("host;x-amz-date".to_owned(), signature.to_owned());
            assert_eq!(authorization(None, method, path, None), expected, "{path}");
        }
    }

    #[test]
    fn a_session_token_and_a_form_are_covered() {
        let (headers, signature) = authorization(Some(TOKEN), Method::GET, "/", None);
        assert_eq!(headers, "host;x-amz-date;x-amz-security-token");
        assert_eq!(signature, "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8");
        let forms = [
            ("application/x-www-form-urlencoded", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
            (
                "application/x-www-form-urlencoded; charset=utf8",
                "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
            ),
        ];
        for (kind, expected) in forms {
            let (headers, signature) = authorization(None, Method::POST, "/", Some((kind, "Param1=value1")));
            assert_eq!(headers, "content-type;host;x-amz-date");
            assert_eq!(signature, expected, "{kind}");
        }
    }

    #[test]
    fn what_carries_the_token_is_sensitive_and_what_cannot_be_signed_is_not_sent() {
        let request = signed(Some(TOKEN), Method::POST, "/", None).unwrap();
        for name in ["authorization", "x-amz-security-token", "x-amz-date"] {
            assert!(request.headers.get(name).unwrap().is_sensitive(), "{name}");
        }
        assert!(signed(Some("two\nlines"), Method::POST, "/", None).is_none());
    }
}
