use super::discovery::metadata_places;
use super::*;
use crate::http::{HeaderMap, Request, Response};

fn answering(document: &'static str) -> impl Http {
    move |_: Request| {
        Ok(Response {
            status: 200,
            headers: HeaderMap::new(),
            body: zeroize::Zeroizing::new(document.as_bytes().to_vec()),
        })
    }
}

fn service(issuer: &str) -> Service {
    Service::of_table("corp", &ServiceTable { issuer: Some(issuer.to_owned()), ..ServiceTable::default() })
}

#[test]
fn the_document_lies_in_three_places() {
    let places = metadata_places(&Url::parse("https://id.example/tenant/").unwrap());
    let places: Vec<&str> = places.iter().map(Url::as_str).collect();
    assert_eq!(
        places,
        [
            "https://id.example/tenant/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server/tenant",
            "https://id.example/.well-known/openid-configuration/tenant",
        ]
    );
}

#[test]
fn another_issuer_is_refused_to_the_last_slash() {
    let http = answering(r#"{"issuer":"https://id.example/","token_endpoint":"https://id.example/token"}"#);
    let error = service("https://id.example").metadata(&http).unwrap_err();
    assert!(matches!(error, ServiceError::OtherIssuer { .. }), "{error}");
}

#[test]
fn unsafe_addresses_are_refused() {
    for token_endpoint in
        ["http://id.example/token", "http://127.0.0.1/token", "file:///etc/passwd", "https://u:p@id.example/"]
    {
        let document = format!(r#"{{"issuer":"https://id.example","token_endpoint":"{token_endpoint}"}}"#);
        let http = answering(document.leak());
        let error = service("https://id.example").metadata(&http).unwrap_err();
        assert!(matches!(error, ServiceError::BadAddress { field: "token_endpoint", .. }), "{token_endpoint}: {error}");
    }
}

#[test]
fn the_table_wins_over_the_document() {
    let http = answering(r#"{"issuer":"https://id.example","token_endpoint":"https://id.example/token"}"#);
    let mut service = service("https://id.example");
    service.table.token_endpoint = Some("https://login.example/token".into());
    assert_eq!(service.metadata(&http).unwrap().token_endpoint.unwrap().as_str(), "https://login.example/token");
}
