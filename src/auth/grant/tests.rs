use super::*;
use crate::error::Failure;
use crate::http::{HeaderMap, Url, header};

fn answer(status: u16, kind: &'static str, body: &'static str) -> impl Http {
    move |_: Request| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        Ok(Response { status, headers, body: zeroize::Zeroizing::new(body.as_bytes().to_vec()) })
    }
}

fn tokens(status: u16, kind: &'static str, body: &'static str) -> Result<TokenAnswer, GrantError> {
    request_tokens(&answer(status, kind, body), Request::form(Url::parse("https://id.example/token").unwrap(), &[]))
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[test]
fn forms_and_json_say_the_same() {
    let json =
        tokens(200, JSON, r#"{"access_token":"t0k","token_type":"bearer","scope":"a b","expires_in":"3600"}"#).unwrap();
    let form = tokens(200, FORM, "access_token=t0k&token_type=bearer&scope=a%2Cb&expires_in=3600").unwrap();
    for answer in [json, form] {
        assert_eq!(answer.access_token.expose(), "t0k");
        assert_eq!(answer.scopes.unwrap(), ["a", "b"]);
        assert_eq!(answer.expires_in, Some(Duration::hours(1)));
    }
}

#[test]
fn an_error_with_status_200_is_an_error() {
    let error =
        tokens(200, JSON, r#"{"error":"bad_verification_code","error_description":"The code is \u001b[31mwrong"}"#);
    let Err(GrantError::Refused { error, words, .. }) = error else { panic!("{error:?}") };
    assert_eq!(error, "bad_verification_code");
    assert_eq!(words.unwrap().0, "The code is [31mwrong");
}

#[test]
fn a_servers_accident_is_no_decision() {
    let told = |status, body| tokens(status, JSON, body).unwrap_err();
    for accident in [r#"{"error":"internal_server_error"}"#, r#"{"error":"server_error"}"#, "{}"] {
        assert!(told(500, accident).is_unclear(), "{accident}");
    }
    assert!(told(500, r#"{"error":"invalid_grant"}"#).is_invalid_grant());
    assert!(!told(400, r#"{"error":"internal_server_error"}"#).is_unclear());
}

#[test]
fn who_asks_too_often_is_told_when_to_come_back() {
    let told = |status: u16, body: &'static str, headers: &[(&'static str, &'static str)]| {
        let headers = headers.to_vec();
        let http = move |_: Request| {
            let pairs = [("content-type", JSON)].into_iter().chain(headers.iter().copied());
            let pairs =
                pairs.map(|(name, value)| (name.parse::<crate::http::HeaderName>().unwrap(), value.parse().unwrap()));
            let body = zeroize::Zeroizing::new(body.as_bytes().to_vec());
            Ok(Response { status, headers: pairs.collect(), body })
        };
        let asked = Request::form(Url::parse("https://id.example/token").unwrap(), &[]);
        let error = request_tokens(&http, asked).unwrap_err();
        (error.code(), error.mend().unwrap())
    };
    let unreachable = |mend: &str| (crate::error::Code::Unreachable, mend.to_owned());
    for status in [429, 503] {
        for body in ["", "<html>", "{}", r#"{"error":"temporarily_unavailable"}"#, r#"{"error":"too_many_requests"}"#] {
            assert_eq!(
                told(status, body, &[("retry-after", " 42")]),
                unreachable("try again in 42 s"),
                "{status} {body}"
            );
            assert_eq!(told(status, body, &[]), unreachable("try again in a minute"), "{status} {body}");
        }
    }
    let slow = r#"{"error":"slow_down"}"#;
    assert_eq!(told(429, slow, &[("retry-after", "7")]), unreachable("try again in 7 s"));
    // A time is by the clock of whoever says it.
    let until = ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT");
    let at = ("date", "Fri, 31 Dec 1999 23:58:29 GMT");
    let past = ("date", "Sat, 01 Jan 2000 00:00:00 GMT");
    assert_eq!(told(503, "", &[until, at]), unreachable("try again in 90 s"));
    for other in [&[until][..], &[until, past], &[("retry-after", "soon")], &[("retry-after", "-5")]] {
        assert_eq!(told(503, "", other), unreachable("try again in a minute"), "{other:?}");
    }
    // What was decided stays so.
    assert_eq!(told(429, r#"{"error":"invalid_grant"}"#, &[]).0, crate::error::Code::SignedOut);
    assert_eq!(told(400, slow, &[("retry-after", "7")]).0, crate::error::Code::Failed);
}

#[test]
fn unusable_answers_are_refused_without_being_quoted() {
    for (status, body) in [
        (200, r#"{"access_token":"CANARY\r\nHost: evil","token_type":"Bearer"}"#),
        (200, r#"{"access_token":"CANARY","token_type":"mac"}"#),
        (200, r#"{"access_token":"CANARY","token_type":"Bearer","expires_in":-1}"#),
        (200, r#"{"access_token":"CANARY","token_type":"Bearer","expires_in":1e400}"#),
        (200, r#"{"access_token":"CANARY","token_type":"Bearer","expires_in":"CANARY"}"#),
        (200, r#"{"access_token":{"a":"CANARY"},"token_type":"Bearer"}"#),
        (200, r#"["CANARY"]"#),
        (200, "CANARY"),
        (200, ""),
        (500, "<html>CANARY</html>"),
    ] {
        let error = tokens(status, JSON, body).unwrap_err();
        let mut text = format!("{error} {error:?} {:?}", error.mend());
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        assert!(!text.contains("CANARY"), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_answer_is_tokens_or_an_error(status in 100u16..600, body in ".{0,200}", form: bool) {
        let body: &'static str = body.leak();
        let _ = tokens(status, if form { FORM } else { JSON }, body);
    }
}
