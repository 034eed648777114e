//! AWS in a closure: what each answer means, what lies on a machine, how keys are replaced.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::credential::tests::credential;
use crate::error::Failure;
use crate::http::{HeaderMap, HeaderValue, Unreachable, header};
use crate::provider::Outcome;

mod discover;
mod rotate;
mod shapes;
mod verify;

/// Now, in all of these tests.
const NOW: &str = "2026-03-01T12:00:00Z";
const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// A request as AWS sees it.
#[derive(Debug, Clone)]
struct Asked {
    url: String,
    /// The form's fields, or the target of the JSON protocol under `Action`.
    fields: BTreeMap<String, String>,
    /// Whose key signed, for which day, region and service.
    scope: String,
    signed_at: String,
    token: Option<String>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let authorization = header("authorization").expect("every request is signed");
        let scope = authorization.split_once("Credential=").unwrap().1.split_once(',').unwrap().0.to_owned();
        let body = request.body.as_ref().map_or(&[][..], |body| body.as_slice());
        let mut fields: BTreeMap<String, String> =
            url::form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        fields.extend(header("x-amz-target").map(|target| ("Action".to_owned(), target)));
        Self {
            url: request.url.to_string(),
            fields,
            scope,
            signed_at: header("x-amz-date").unwrap(),
            token: header("x-amz-security-token"),
        }
    }

    fn action(&self) -> &str {
        &self.fields["Action"]
    }
}

/// AWS in a closure, which gets each request and how many were before it.
struct Aws<F> {
    answers: F,
    asked: Mutex<Vec<Asked>>,
}

impl<F: Fn(&Asked, usize) -> Response + Sync> Aws<F> {
    fn new(answers: F) -> Self {
        Self { answers, asked: Mutex::new(Vec::new()) }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn actions(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.action().to_owned()).collect()
    }
}

impl<F: Fn(&Asked, usize) -> Response + Sync> crate::http::Http for Aws<F> {
    fn send(&self, request: Request) -> Result<Response, Unreachable> {
        let asked = Asked::of(&request);
        let mut all = self.asked.lock().unwrap();
        all.push(asked.clone());
        Ok((self.answers)(&asked, all.len() - 1))
    }
}

fn answer(status: u16, body: &str) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::DATE, HeaderValue::from_static("Sun, 01 Mar 2026 12:00:00 GMT"));
    Response { status, headers, body: body.as_bytes().to_vec().into() }
}

/// A refusal as STS and IAM word it.
fn refused(status: u16, code: &str, message: &str) -> Response {
    answer(
        status,
        &format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n<Error>\n<Type>Sender</Type>\n\
             <Code>{code}</Code>\n<Message>{message}</Message>\n</Error>\n<RequestId>1</RequestId>\n</ErrorResponse>"
        ),
    )
}

fn identity() -> Response {
    answer(
        200,
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::123456789012:user/alice</Arn><UserId>AIDAEXAMPLEEXAMPLE00</UserId>\
         <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
    )
}

fn nowhere(variables: &[(&str, &str)]) -> Env {
    Env::invented(Path::new("/nowhere"), Path::new("/nowhere"), variables)
}

fn now() -> DateTime<Utc> {
    NOW.parse().unwrap()
}

fn of(kind_id: &str, name: &str, values: &[(&str, &str)]) -> Credential {
    let mut raw = Raw::new();
    for (field, value) in values {
        raw.plain(field, value);
    }
    credential(name, Fields::parse(kind(kind_id), raw).unwrap())
}

fn lasting(more: &[(&str, &str)]) -> Credential {
    of(STATIC, "aws", &[&[("access_key_id", ID), ("secret_access_key", SECRET)], more].concat())
}

fn role(more: &[(&str, &str)]) -> Credential {
    of(ROLE, "deploy", &[&[("role_arn", "arn:aws:iam::123456789012:role/deploy"), ("source", "base")], more].concat())
}
