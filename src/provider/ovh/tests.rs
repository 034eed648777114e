//! Tests of OVHcloud.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::error::Failure;
use crate::provider::Outcome;
use crate::provider::api::tests::{
    Home, Server, answer, assert_cases, assert_checks, assert_common_failures, assert_marks, credential, example,
    exported, now, said, told, written,
};

const HOME: &str = ".ovh.conf";
const NEAR: &str = "work/ovh.conf";
const TIME: &str = "GET /1.0/auth/time";

fn current(status: &str, expiration: &str) -> String {
    format!(
        r#"{{"credentialId":1234,"applicationId":42,"status":"{status}","creation":"2023-10-01T10:00:00+02:00",
        "expiration":{expiration},"lastUse":null,"rules":[{{"method":"GET","path":"/cloud/*"}},{{"method":"GET",
        "path":"/me"}}],"allowedIPs":null,"ovhSupport":false}}"#
    )
}

fn refused(status: u16, code: &str) -> String {
    format!(r#"{{"message":"no","httpCode":"{status} Status","errorCode":"{code}"}}"#)
}

/// What comes of this answer to the signed request.
fn judged(credential: &Credential, status: u16, body: &str) -> Verdict {
    let server = Server::new(|line: &str, _: &Request| {
        if line == TIME { answer(200, "1700000123") } else { answer(status, body) }
    });
    said(&PROVIDER, credential, &server)
}

#[test]
fn each_answer_comes_to_its_outcome() {
    let credential = example(&PROVIDER, &[]);
    let cases = [
        (200, current("validated", "null"), Outcome::Valid, None),
        (200, current("expired", "null"), Outcome::Expired, Some("expired")),
        (200, current("refused", "null"), Outcome::Invalid, Some("refused")),
        (200, current("pendingValidation", "null"), Outcome::Invalid, Some("pendingValidation")),
        (200, current("new", "null"), Outcome::Unexpected, Some("new")),
        (403, refused(403, "INVALID_KEY"), Outcome::Invalid, Some("INVALID_KEY")),
        (403, refused(403, "INVALID_CREDENTIAL"), Outcome::Invalid, Some("INVALID_CREDENTIAL")),
        (403, refused(403, "NOT_CREDENTIAL"), Outcome::Invalid, Some("NOT_CREDENTIAL")),
        (403, refused(403, "NOT_GRANTED_CALL"), Outcome::Insufficient, Some("NOT_GRANTED_CALL")),
        (403, refused(403, "FORBIDDEN"), Outcome::Insufficient, Some("FORBIDDEN")),
        (403, refused(403, "NEW"), Outcome::Unexpected, Some("NEW")),
        (400, refused(400, "INVALID_SIGNATURE"), Outcome::Invalid, Some("INVALID_SIGNATURE")),
        (400, refused(400, "QUERY_TIME_OUT"), Outcome::Unreachable, Some("QUERY_TIME_OUT")),
        (404, refused(404, "NOT_FOUND"), Outcome::Unexpected, Some("NOT_FOUND")),
        (429, refused(429, "X"), Outcome::RateLimited, None),
        (500, refused(500, "X"), Outcome::Unreachable, None),
        (403, "<html>".into(), Outcome::Unexpected, None),
        (200, "<html>".into(), Outcome::Unexpected, None),
    ];
    for (status, body, outcome, code) in cases {
        let verdict = judged(&credential, status, &body);
        assert_eq!((verdict.outcome, verdict.error.as_deref()), (outcome, code), "{status} {body}");
        assert!(outcome == Outcome::Valid || verdict.next.is_some_and(|next| !next.is_empty()), "{status} {body}");
    }
    // The same for what comes instead of the time.
    assert_common_failures(&PROVIDER, &credential);
    assert_cases(&PROVIDER, &credential, &[(200, "\"1700000000\"", Outcome::Unexpected, None)]);
}

#[test]
fn good_keys_tell_their_application_their_end_and_their_rules() {
    let credential = example(&PROVIDER, &[]);
    let verdict = judged(&credential, 200, &current("validated", "\"2023-12-01T10:00:00+01:00\""));
    assert_eq!(verdict.identity.as_deref(), Some("Application 42, consumer key 1234"));
    assert_eq!(verdict.expires.unwrap().to_rfc3339(), "2023-12-01T09:00:00+00:00");
    assert_eq!(verdict.scopes, ["GET /cloud/*", "GET /me"]);
    let mut ended = example(&PROVIDER, &[]);
    ended.metadata.expires = Some(now());
    assert_eq!(judged(&ended, 403, &refused(403, "INVALID_CREDENTIAL")).outcome, Outcome::Expired);
}

#[test]
fn the_signature_is_over_the_servers_time_and_the_whole_address() {
    let values = [("application_key", "AK"), ("application_secret", "AS"), ("consumer_key", "CK")];
    let server = Server::new(|line: &str, request: &Request| {
        if line == TIME {
            assert!(request.headers.iter().all(|(name, _)| !name.as_str().starts_with("x-ovh")));
            return answer(200, "1700000123");
        }
        let header = |name: &str| request.headers[name].to_str().unwrap();
        assert_eq!(line, "GET /1.0/auth/currentCredential");
        assert_eq!(
            (header("x-ovh-application"), header("x-ovh-consumer"), header("x-ovh-timestamp")),
            ("AK", "CK", "1700000123")
        );
        // printf 'AS+CK+GET+https://ca.api.ovh.com/1.0/auth/currentCredential++1700000123' | sha1sum
        assert_eq!(header("x-ovh-signature"), "$1$93c97f61b88fdf367a7529507d4c1ffd994bfc6d");
        answer(200, &current("validated", "null"))
    });
    let keys = credential(&PROVIDER, &[&values[..], &[("region", "ovh-ca")]].concat());
    assert_eq!(said(&PROVIDER, &keys, &server).outcome, Outcome::Valid);
}

#[test]
fn a_signature_covers_the_body() {
    let keys = credential(&PROVIDER, &[("application_key", "AK"), ("application_secret", "AS"), ("consumer_key", "CK")]);
    let url = crate::http::parse_url("https://eu.api.ovh.com/1.0/me/x?a=b").unwrap();
    let mut request = Request::post_json(url, "{\"a\":1}");
    sign::sign(&mut request, &keys, 1_700_000_123).unwrap();
    // printf 'AS+CK+POST+https://eu.api.ovh.com/1.0/me/x?a=b+{"a":1}+1700000123' | sha1sum
    assert_eq!(request.headers["x-ovh-signature"], "$1$9bfe9ac1dc2b98cd83f91873178f56d1dd1d5791");
    assert!(request.headers["x-ovh-consumer"].is_sensitive() && request.headers["x-ovh-signature"].is_sensitive());
}

#[test]
fn a_request_that_came_too_late_is_sent_once_more() {
    let times = AtomicU32::new(0);
    let server = Server::new(|line: &str, request: &Request| {
        if line == TIME {
            return answer(200, &(1_700_000_000 + times.fetch_add(1, Ordering::SeqCst)).to_string());
        }
        match request.headers["x-ovh-timestamp"].to_str().unwrap() {
            "1700000000" => answer(400, &refused(400, "QUERY_TIME_OUT")),
            _ => answer(200, &current("validated", "null")),
        }
    });
    assert_eq!(said(&PROVIDER, &example(&PROVIDER, &[]), &server).outcome, Outcome::Valid);
    assert_eq!(server.lines().len(), 4);
}

const KEYS: &str = "application_key=AK\napplication_secret=AS\nconsumer_key=CK\n";

fn found(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Vec<String> {
    told(&Home::new(files, variables).find(&PROVIDER, &[]).unwrap())
}

#[test]
fn the_later_file_wins_value_by_value_and_variables_over_all() {
    let home = format!("[default]\nendpoint=ovh-ca\n[ovh-ca]\n{KEYS}[ovh-us]\napplication_key=UK\napplication_secret=US\n");
    let near = "[ovh-ca]\nconsumer_key=near\n";
    let us = "~/.ovh.conf [ovh-us] as ovh-us: application_key=UK application_secret=US region=ovh-us";
    let all = |consumer: &str, region: &str| {
        format!("application_key=AK application_secret=AS consumer_key={consumer} region={region}")
    };
    assert_eq!(
        found(&[(HOME, &home), (NEAR, near)], &[]),
        [&format!("~/.ovh.conf [ovh-ca]: {}", all("near", "ovh-ca")), us]
    );
    assert_eq!(
        found(&[(HOME, &home), (NEAR, near)], &[("OVH_CONSUMER_KEY", "V"), ("OVH_APPLICATION_SECRET", "W")])[0],
        "$OVH_APPLICATION_SECRET: application_key=AK application_secret=W consumer_key=V region=ovh-ca"
    );
    // The usual region, where nobody names one.
    assert_eq!(
        found(&[(HOME, &format!("[ovh-eu]\n{KEYS}"))], &[]),
        [format!("~/.ovh.conf [ovh-eu]: {}", all("CK", "ovh-eu"))]
    );
    let named = found(&[(HOME, &home)], &[("OVH_ENDPOINT", "ovh-us")]);
    assert_eq!(named[0], us.replace(" as ovh-us", ""));
    assert!(found(&[], &[]).is_empty());
}

#[test]
fn an_address_in_the_place_of_a_region_is_an_address() {
    let text = format!("[default]\nendpoint=https://api.test/1.0\n[https://api.test/1.0]\n{KEYS}");
    let expected = "application_key=AK application_secret=AS consumer_key=CK endpoint=https://api.test/1.0";
    assert_eq!(found(&[(HOME, &text)], &[]), [format!("~/.ovh.conf [https://api.test/1.0]: {expected}")]);
}

#[test]
fn a_file_in_a_clone_does_not_send_keys_from_elsewhere_to_its_own_address() {
    let near = "[default]\nendpoint=https://thief.test/1.0\n";
    let variables = [("OVH_APPLICATION_SECRET", "AS"), ("OVH_CONSUMER_KEY", "CK")];
    let failure = Home::new(&[(NEAR, near)], &variables).find(&PROVIDER, &[]).unwrap_err();
    assert!(failure.to_string().contains("it sends keys that lie elsewhere to an address of its own"), "{failure}");
    let own = format!("{near}[https://thief.test/1.0]\n{KEYS}");
    assert_eq!(found(&[(NEAR, &own)], &[]).len(), 1);
}

#[test]
fn two_ways_of_signing_in_are_refused_and_another_way_is_none_of_ours() {
    let both = format!("[ovh-eu]\n{KEYS}client_id=EU.1\nclient_secret=x\n");
    let failure = Home::new(&[(HOME, &both)], &[]).find(&PROVIDER, &[]).unwrap_err().to_string();
    assert_eq!(
        failure,
        "~/.ovh.conf [ovh-eu] is no usable configuration of OVH's tools: it mixes two ways of signing in, application \
         keys and an OAuth2 client"
    );
    let one = format!("[ovh-eu]\n{KEYS}");
    let failure = Home::new(&[(HOME, &one)], &[("OVH_ACCESS_TOKEN", "x")]).find(&PROVIDER, &[]).unwrap_err();
    assert!(failure.to_string().starts_with("~/.ovh.conf [ovh-eu] with $OVH_ACCESS_TOKEN is no usable "), "{failure}");
    assert!(found(&[(HOME, "[ovh-eu]\nclient_id=EU.1\nclient_secret=x\n")], &[]).is_empty());
    let broken = Home::new(&[(NEAR, "[ovh-eu]\nSECRET\n")], &[]).find(&PROVIDER, &[]).unwrap_err().to_string();
    assert!(broken.starts_with("~/work/ovh.conf is no usable ") && broken.contains("line 2"), "{broken}");
    assert!(!broken.contains("SECRET"));
}

#[test]
fn the_region_is_europe_unless_told() {
    let region = |values: &[(&str, &str)], variables: &[(&str, &str)]| {
        let raw = Home::new(&[], variables).complete(&PROVIDER, values).unwrap();
        let value = |name: &str| raw.get(name).map(|value| value.expose().to_owned());
        (value("region"), value("endpoint"), value("project_id"))
    };
    assert_eq!(region(&[], &[]), (Some("ovh-eu".into()), None, None));
    assert_eq!(region(&[], &[("OVH_ENDPOINT", "ovh-us")]).0.as_deref(), Some("ovh-us"));
    assert_eq!(region(&[("region", "ovh-ca")], &[("OVH_ENDPOINT", "ovh-us")]).0.as_deref(), Some("ovh-ca"));
    let own = region(&[], &[("OVH_ENDPOINT", "https://a.test/1.0"), ("OVH_CLOUD_PROJECT_SERVICE", "p")]);
    assert_eq!(own, (None, Some("https://a.test/1.0".into()), Some("p".into())));
}

#[test]
fn keys_go_to_the_host_of_their_region_alone() {
    for (name, address) in REGIONS {
        let credential = example(&PROVIDER, &[("region", name)]);
        let host = address.trim_start_matches("https://").trim_end_matches("/1.0");
        assert_eq!(PROVIDER.hosts(&credential.metadata), [host]);
        let server = Server::new(|line: &str, request: &Request| {
            assert_eq!(request.url.host_str(), Some(host));
            if line == TIME { answer(200, "1") } else { answer(200, &current("validated", "null")) }
        });
        assert_eq!(said(&PROVIDER, &credential, &server).outcome, Outcome::Valid, "{name}");
    }
}

#[test]
fn they_are_handed_over_as_the_tools_read_them() {
    let keys = [("application_key", "AK"), ("application_secret", "AS"), ("consumer_key", "CK")];
    let full = credential(&PROVIDER, &[&keys[..], &[("region", "ovh-us"), ("project_id", "P")]].concat());
    assert_eq!(
        exported(&PROVIDER, &full),
        [
            "OVH_ENDPOINT=ovh-us", "OVH_APPLICATION_KEY=AK", "OVH_APPLICATION_SECRET=AS", "OVH_CONSUMER_KEY=CK",
            "OVH_CLOUD_PROJECT_SERVICE=P", "-OVH_CLIENT_ID", "-OVH_CLIENT_SECRET", "-OVH_ACCESS_TOKEN",
        ]
    );
    let own = credential(&PROVIDER, &[&keys[..], &[("endpoint", "https://a.test/1.0"), ("region", "ovh-us")]].concat());
    assert_eq!(exported(&PROVIDER, &own)[0], "OVH_ENDPOINT=https://a.test/1.0");
    for (credential, place) in [(full, "region=ovh-us"), (own, "endpoint=https://a.test/1.0")] {
        let file = written(&PROVIDER, "ovh-conf", &credential).unwrap();
        let read = found(&[(HOME, file.expose())], &[]).concat();
        let keys = "application_key=AK application_secret=AS consumer_key=CK";
        assert!(read.ends_with(&format!("]: {keys} {place}")), "{read}");
    }
    let failure = PROVIDER.rotation().unwrap().can(&example(&PROVIDER, &[]).metadata).unwrap_err();
    assert_eq!(failure.to_string(), "a new consumer key of OVHcloud needs your consent in a browser");
    assert!(failure.mend().unwrap().contains("createToken"));
}

#[test]
fn secrets_are_recognised_by_their_names() {
    let secret = FIELDS[1].example;
    let text = format!("application_secret={secret}\nOVH_APPLICATION_SECRET=\"{secret}\"\nx={secret}\n");
    assert_marks(&PROVIDER, &text, &[secret, secret]);
    assert_checks(&PROVIDER, &[("region", "ovh-mars"), ("endpoint", "ftp://a")]);
}

proptest! {
    #[test]
    fn no_file_makes_the_reader_fall_over(home in "(?s).{0,120}", near in "(?s).{0,120}") {
        let _ = Home::new(&[(HOME, &home), (NEAR, &near)], &[]).find(&PROVIDER, &[]);
    }

    #[test]
    fn what_is_written_is_read_back(key in "[!-~]{1,20}", secret in "[!-~]{1,40}", consumer in "[!-~]{1,40}") {
        let values = [("application_key", &*key), ("application_secret", &*secret), ("consumer_key", &*consumer)];
        if let Some(file) = written(&PROVIDER, "ovh-conf", &credential(&PROVIDER, &values)) {
            let found = Home::new(&[(HOME, file.expose())], &[]).find(&PROVIDER, &[]).unwrap();
            for (name, value) in values {
                prop_assert_eq!(found[0].raw.get(name).unwrap().expose(), value);
            }
        }
    }
}
