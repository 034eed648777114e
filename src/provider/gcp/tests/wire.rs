//! What is sent: the assertion, the forms, the addresses.

use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

fn form(request: &Request) -> std::collections::BTreeMap<String, String> {
    ::url::form_urlencoded::parse(request.body.as_ref().unwrap()).into_owned().collect()
}

/// The claims of the assertion in a request.
pub(super) fn claims(request: &Request) -> serde_json::Value {
    let assertion = form(request)["assertion"].clone();
    let claims = assertion.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

fn issued(credential: &Credential, env: &Env) -> (Request, Issued) {
    let sent = Mutex::new(None);
    let http = |request: Request| {
        *sent.lock().unwrap() = Some(request);
        Ok(token())
    };
    let issued = PROVIDER.material(credential, None, &Net { http: &http, env, now: now() }).unwrap();
    (sent.into_inner().unwrap().unwrap(), issued)
}

#[test]
fn the_assertion_is_what_google_documents_and_the_key_signed_it() {
    let (request, issued) = issued(&account(), &no_env());
    assert_eq!(request.url.as_str(), "https://oauth2.googleapis.com/token");
    assert!(!request.follow_same_origin);
    let form = form(&request);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let assertion = form["assertion"].clone();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.decode(signed.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "0a1b2c" }));
    let expected = json!({
        "iss": EMAIL, "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token", "iat": 1_800_000_000, "exp": 1_800_003_600,
    });
    assert_eq!(claims(&request), expected);
    let text: String = PEM.lines().filter(|line| !line.starts_with('-')).collect();
    let pair = KeyPair::from_pkcs8(&STANDARD.decode(text).unwrap()).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key())
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    assert!(matches!(&issued.material, Material::Bearer(token) if token.expose() == "ya29.fake"));
    assert_eq!(issued.expires, Some(now() + chrono::Duration::seconds(3599)));
}

#[test]
fn a_refresh_token_is_exchanged_by_a_form() {
    let (request, _) = issued(&user(), &no_env());
    let expected = [
        ("client_id", "c.apps.googleusercontent.com"), ("client_secret", "the-secret"),
        ("grant_type", "refresh_token"), ("refresh_token", "1//0refresh"),
    ];
    let sent = form(&request);
    assert_eq!(sent.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>(), expected);
    assert_eq!(request.url.query(), None);
}

#[test]
fn the_token_server_is_the_fields_the_variables_the_files_or_googles() {
    let file = key_file(json!({ "token_uri": "http://127.0.0.1:8787/token" }));
    let variable =
        Env::invented("/h/c".as_ref(), "/h".as_ref(), &[("CLOUDSDK_AUTH_TOKEN_HOST", "https://psc.example.com/token")]);
    let own = [("key_file", file.as_str()), ("endpoint", "http://localhost:1/google/")];
    let at = |credential: &Credential, env: &Env| issued(credential, env).0.url.to_string();
    assert_eq!(at(&stored(&own), &variable), "http://localhost:1/google/token");
    assert_eq!(at(&stored(&own[..1]), &variable), "https://psc.example.com/token");
    assert_eq!(at(&stored(&own[..1]), &no_env()), "http://127.0.0.1:8787/token");
    assert_eq!(at(&account(), &no_env()), address::TOKEN);
    let hosts = |credential: &Credential| PROVIDER.hosts(&credential.metadata);
    assert_eq!(hosts(&stored(&own)), ["localhost:1"]);
    assert_eq!(hosts(&stored(&own[..1]))[0], "127.0.0.1:8787");
    let official = ["oauth2.googleapis.com", "cloudresourcemanager.googleapis.com", "iam.googleapis.com"];
    assert_eq!(hosts(&account()), official);
    assert_eq!(hosts(&user()), official[..2]);
    assert_eq!(hosts(&api_key()), ["generativelanguage.googleapis.com"]);
}

#[test]
fn an_address_of_somebody_else_is_not_believed() {
    let good = ["https://oauth2.googleapis.com/token", "https://www.googleapis.com/oauth2/v4/token",
        "https://accounts.google.com/o/oauth2/token", "http://127.0.0.1:1/t", "http://[::1]:1/t", "https://localhost/t"];
    for address in good {
        assert_eq!(address::token_uri(address), Ok(()), "{address}");
    }
    let bad = ["https://evil.example/token", "https://googleapis.com.evil.example/token",
        "https://evilgoogleapis.com/token", "https://oauth2.googleapis.com@evil.example/token",
        "http://oauth2.googleapis.com/token", "https://oauth2.googleapis.com:8443/token", "ftp://localhost/t",
        "https://accounts.google.com.evil.example/", "https://oauth2.googleapis.com\\@evil.example/", ""];
    for address in bad {
        assert!(address::token_uri(address).is_err(), "{address}");
        let mut raw = Raw::new();
        let file = Secret::new(key_file(json!({ "token_uri": address })));
        let failure = file::spread(file, &mut raw).unwrap_err();
        assert!(!format!("{failure}{failure:?}").contains("evil"), "nothing is quoted");
    }
}

#[test]
fn the_older_form_of_a_key_signs_as_well_and_none_at_all_is_told() {
    let text: String = PEM.lines().filter(|line| !line.starts_with('-')).collect();
    let pkcs8 = STANDARD.decode(text).unwrap();
    // The PKCS#1 key is the octet string at the end of the PKCS#8 structure, behind 26 bytes for a key of 2048 bits.
    let old = STANDARD.encode(&pkcs8[26..]);
    let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{old}\n-----END RSA PRIVATE KEY-----\n");
    issued(&stored(&[("key_file", &key_file(json!({ "private_key": pem })))]), &no_env());
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let credential = stored(&[("key_file", &key_file(json!({ "private_key": broken })))]);
    let verdict = asked(&credential, &|_: Request| -> Result<Response, Unreachable> { panic!("nothing is sent") });
    assert_eq!(verdict.outcome, Outcome::Unexpected);
    assert!(verdict.reason.unwrap().contains("its private key cannot be read"));
}
