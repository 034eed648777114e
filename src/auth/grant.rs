//! Requests to the token endpoint and its relatives: client authentication, answers, errors (RFC 6749 section 5).
//!
//! Every request is a form POST that no redirect moves. Answers are read as JSON or, from services that ignore
//! `Accept`, as a form; errors are recognised whatever the status says.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;

use crate::auth::service::{Metadata, Service};
use crate::error::{Code, Failure};
use crate::http::{Http, Malformed, Request, Response, Unreachable, Url, header};
use crate::secret::Secret;
use crate::text::{clean, is_unprintable};

/// The longest token accepted, in bytes.
const MAX_TOKEN: usize = 64 << 10;
/// The longest life of a token that is believed, in seconds: ten years.
const MAX_LIFE: i64 = 10 * 366 * 24 * 3600;

/// The OAuth client that lanyard is at a service.
#[derive(Debug)]
pub struct Client {
    /// The client identifier.
    pub id: String,
    /// The client secret of a confidential client, or of a native one whose service insists.
    pub secret: Option<Secret>,
    /// How the secret is presented.
    pub method: AuthMethod,
}

/// How a client proves itself (OpenID Connect Core section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// A public client: only its identifier, in the form.
    None,
    /// Identifier and secret in a Basic header.
    Basic,
    /// Identifier and secret in the form.
    Post,
}

impl AuthMethod {
    /// The registered name.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    /// The method of that registered name; a name that is none of them means a public client.
    pub fn from_word(word: &str) -> Self {
        match word {
            "client_secret_basic" => Self::Basic,
            "client_secret_post" => Self::Post,
            _ => Self::None,
        }
    }
}

impl Client {
    /// The client for a service: the method is the configured one, else what the metadata offers, else Basic, which
    /// RFC 6749 section 2.3.1 obliges every server to take.
    pub fn new(service: &Service, metadata: &Metadata, id: String, secret: Option<Secret>) -> Self {
        let offered = metadata.token_endpoint_auth_methods_supported.as_deref();
        let offers = |method: AuthMethod| offered.is_none_or(|names| names.iter().any(|name| name == method.word()));
        let method = match (&secret, &service.table.token_endpoint_auth_method) {
            (None, _) => AuthMethod::None,
            (Some(_), Some(configured)) => AuthMethod::from_word(configured),
            (Some(_), None) if service.quirks.secret_in_form => AuthMethod::Post,
            (Some(_), None) if !offers(AuthMethod::Basic) && offers(AuthMethod::Post) => AuthMethod::Post,
            (Some(_), None) => AuthMethod::Basic,
        };
        Self { id, secret, method }
    }

    /// A form POST to `endpoint` that carries this client's proof.
    pub fn form(&self, endpoint: &Url, fields: &[(&str, &str)]) -> Request {
        let mut fields = fields.to_vec();
        match (&self.secret, self.method) {
            (Some(secret), AuthMethod::Basic) => Request::form(endpoint.clone(), &fields).basic(&self.id, secret),
            (Some(secret), AuthMethod::Post) => {
                fields.extend([("client_id", self.id.as_str()), ("client_secret", secret.expose())]);
                Request::form(endpoint.clone(), &fields)
            }
            _ => {
                fields.push(("client_id", self.id.as_str()));
                Request::form(endpoint.clone(), &fields)
            }
        }
    }
}

/// What the token endpoint gave.
#[derive(Debug)]
pub struct TokenAnswer {
    /// The access token.
    pub access_token: Secret,
    /// The refresh token, where one was given.
    pub refresh_token: Option<Secret>,
    /// The ID token, where one was given. Not verified yet.
    pub id_token: Option<Secret>,
    /// How long the access token lives, where the service says.
    pub expires_in: Option<Duration>,
    /// The scopes granted, where the service says.
    pub scopes: Option<Vec<String>>,
    /// When the server thinks it answered.
    pub date: Option<DateTime<Utc>>,
}

/// Why a grant gave no token.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// No answer came.
    #[error("the service did not answer")]
    Unreachable(#[source] Unreachable),
    /// The service is in trouble: 5xx, or 429.
    #[error("the service is in trouble (it answered {status})")]
    Trouble {
        /// The status.
        status: u16,
        /// How long it asks to be left alone, in seconds.
        retry_after: Option<u64>,
    },
    /// An error from the registered list, or one of the service's own.
    #[error("{}", sentence(.error))]
    Refused {
        /// The error's registered name, such as `invalid_grant`.
        error: String,
        /// The service's own words, cleaned.
        #[source]
        words: Option<ProviderWords>,
        /// A new polling interval in seconds, which some services send with `slow_down`.
        interval: Option<u64>,
    },
    /// The answer is neither tokens nor an error.
    #[error("the answer of the token endpoint (status {status}) is not what it should be")]
    Malformed {
        /// The status.
        status: u16,
        /// Where the text went wrong.
        #[source]
        cause: Option<Malformed>,
    },
    /// A field of the answer breaks the rules. Names the field, never its value.
    #[error("the token endpoint sent an unusable {field}: {problem}")]
    BadField {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// What a service said in its own words: shown as a quotation, cleaned and cut.
#[derive(Debug, thiserror::Error)]
#[error("the service says: “{0}”")]
pub struct ProviderWords(pub String);

impl ProviderWords {
    /// The words, if there are any left after cleaning.
    pub fn of(text: Option<&str>) -> Option<Self> {
        text.map(clean).filter(|text| !text.is_empty()).map(Self)
    }
}

/// Our own sentence for an error name from RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5, OpenID Connect
/// Core section 3.1.2.6 and GitHub's device flow.
pub fn sentence(error: &str) -> String {
    match error {
        "access_denied" => "the sign-in was denied".into(),
        "invalid_grant" => "the service does not accept this grant any more".into(),
        "invalid_client" | "incorrect_client_credentials" | "unauthorized_client" => {
            "the service does not accept this client".into()
        }
        "invalid_scope" => "the service does not know one of the scopes".into(),
        "unsupported_grant_type" | "unsupported_response_type" => {
            "the service does not offer this way to sign in".into()
        }
        "redirect_uri_mismatch" => "the service does not know this redirect address".into(),
        "expired_token" => "the code expired before it was used".into(),
        "authorization_pending" => "nobody has entered the code yet".into(),
        "slow_down" => "the service asks for fewer questions".into(),
        "device_flow_disabled" => "the service does not allow sign-in by device code for this client".into(),
        "server_error" | "temporarily_unavailable" => "the service is in trouble".into(),
        "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
            "the service wants you to sign in again".into()
        }
        "bad_verification_code" | "incorrect_device_code" => "the service does not know this code".into(),
        other => format!("the service refused: {}", clean(other)),
    }
}

impl GrantError {
    /// Whether the service said that the grant is spent: a refresh token that will never work again.
    pub fn is_invalid_grant(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error == "invalid_grant" || error == "bad_refresh_token")
    }

    /// Whether the request may have been carried out although no answer told so.
    pub fn is_unclear(&self) -> bool {
        match self {
            Self::Unreachable(cause) => !cause.never_sent() && !matches!(cause, Unreachable::Redirect { .. }),
            Self::Trouble { .. } => true,
            _ => false,
        }
    }
}

impl Failure for GrantError {
    fn code(&self) -> Code {
        match self {
            Self::Unreachable(_) | Self::Trouble { .. } | Self::Malformed { .. } => Code::Unreachable,
            Self::Refused { error, .. } => match error.as_str() {
                "invalid_grant" | "login_required" | "interaction_required" | "bad_refresh_token" => Code::SignedOut,
                "access_denied" | "consent_required" | "invalid_scope" => Code::Forbidden,
                "server_error" | "temporarily_unavailable" => Code::Unreachable,
                _ => Code::Failed,
            },
            Self::BadField { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable(cause) => return cause.mend(),
            Self::Trouble { retry_after: Some(seconds), .. } => format!("try again in {seconds} s"),
            Self::Trouble { .. } => "try again in a minute".into(),
            Self::Malformed { .. } | Self::BadField { .. } => "check the service's addresses: `lanyard doctor`".into(),
            Self::Refused { error, .. } => match error.as_str() {
                "access_denied" => "run `lanyard auth login` again and allow the access".into(),
                "invalid_client" | "incorrect_client_credentials" | "unauthorized_client" => {
                    "check client_id, and the client secret if the service gave one (`--client-secret-stdin`)".into()
                }
                "invalid_scope" => "name other scopes with `--scopes`".into(),
                "redirect_uri_mismatch" => {
                    "register the redirect address at the service, or fix the port with `--port`".into()
                }
                "unsupported_grant_type" | "unsupported_response_type" | "device_flow_disabled" => {
                    "choose another way: `--web`, `--device` or `--with-token`".into()
                }
                _ => "sign in again: `lanyard auth login`".into(),
            },
        })
    }
}

/// Sends a token request and reads the answer.
pub fn request_tokens(http: &dyn Http, request: Request) -> Result<TokenAnswer, GrantError> {
    let answer = http.send(request).map_err(GrantError::Unreachable)?;
    let date = answer.date();
    let mut fields = read_fields(&answer)?;
    refuse_errors(&answer, &fields)?;
    if !answer.is_success() {
        return Err(GrantError::Malformed { status: answer.status, cause: None });
    }
    // `mac` and its like would need a proof that lanyard cannot give (RFC 6749 section 7.1).
    match fields.text("token_type") {
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => {}
        None => {}
        Some(_) => return Err(GrantError::BadField { field: "token_type", problem: "only Bearer is known" }),
    }
    let expires_in = fields.seconds("expires_in")?;
    let scopes = fields.text("scope").map(words);
    Ok(TokenAnswer {
        access_token: fields
            .token("access_token")?
            .ok_or(GrantError::BadField { field: "access_token", problem: "it is missing" })?,
        refresh_token: fields.token("refresh_token")?,
        id_token: fields.token("id_token")?,
        expires_in,
        scopes,
        date,
    })
}

/// Sends a request of the OAuth family that answers with JSON of another shape than tokens.
pub fn request_json<T: serde::de::DeserializeOwned>(http: &dyn Http, request: Request) -> Result<T, GrantError> {
    let answer = http.send(request).map_err(GrantError::Unreachable)?;
    refuse_errors(&answer, &read_fields(&answer).unwrap_or_default())?;
    if !answer.is_success() {
        return Err(GrantError::Malformed { status: answer.status, cause: None });
    }
    answer.json().map_err(|cause| GrantError::Malformed { status: answer.status, cause: Some(cause) })
}

/// The registered name of the error in an answer, where there is one.
pub fn error_name(answer: &Response) -> Option<String> {
    read_fields(answer).ok()?.text("error").map(str::to_owned)
}

/// Splits a scope list: blanks by the standard, commas at some services. What a terminal would act on is left out.
pub fn words(list: &str) -> Vec<String> {
    let printable = |word: &str| word.chars().filter(|character| !is_unprintable(*character)).collect();
    list.split([' ', ',']).map(printable).filter(|word: &String| !word.is_empty()).collect()
}

/// The fields of an answer, from JSON or from a form. Secrets stay in [`Secret`] from the first byte.
#[derive(Default)]
struct Fields(BTreeMap<String, Field>);

/// One value of an answer. Anything but text and numbers reads as `Other`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Text(Secret),
    Number(f64),
    Other(serde::de::IgnoredAny),
}

fn read_fields(answer: &Response) -> Result<Fields, GrantError> {
    let is_form = answer
        .header(&header::CONTENT_TYPE)
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded") || kind.starts_with("text/plain"));
    if is_form && !answer.body.starts_with(b"{") {
        let pairs = url::form_urlencoded::parse(&answer.body);
        return Ok(Fields(
            pairs.map(|(name, value)| (name.into_owned(), Field::Text(Secret::new(value.into_owned())))).collect(),
        ));
    }
    answer.json().map(Fields).map_err(|cause| {
        if answer.status >= 500 || answer.status == 429 {
            trouble(answer)
        } else if matches!(answer.status, 400 | 401) && answer.body.is_empty() {
            // Some servers refuse without a word.
            GrantError::Refused { error: "invalid_client".into(), words: None, interval: None }
        } else {
            GrantError::Malformed { status: answer.status, cause: Some(cause) }
        }
    })
}

fn trouble(answer: &Response) -> GrantError {
    let retry_after = answer.header(&header::RETRY_AFTER).and_then(|value| value.trim().parse().ok());
    GrantError::Trouble { status: answer.status, retry_after }
}

fn refuse_errors(answer: &Response, fields: &Fields) -> Result<(), GrantError> {
    if let Some(error) = fields.text("error") {
        if answer.status >= 500 && error == "server_error" {
            return Err(trouble(answer));
        }
        return Err(GrantError::Refused {
            error: clean(error),
            words: ProviderWords::of(fields.text("error_description")),
            interval: fields
                .seconds("interval")
                .ok()
                .flatten()
                .and_then(|interval| u64::try_from(interval.num_seconds()).ok()),
        });
    }
    if answer.status >= 500 || answer.status == 429 {
        return Err(trouble(answer));
    }
    Ok(())
}

impl Fields {
    fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Field::Text(text)) => Some(text.expose()),
            _ => None,
        }
    }

    /// A token: visible ASCII only, so that it can stand in a header, and of a bounded length.
    fn token(&mut self, field: &'static str) -> Result<Option<Secret>, GrantError> {
        let token = match self.0.remove(field) {
            Some(Field::Text(token)) if !token.expose().is_empty() => token,
            None | Some(Field::Text(_)) => return Ok(None),
            Some(Field::Number(_)) => return Err(GrantError::BadField { field, problem: "it is a number" }),
            Some(Field::Other(_)) => return Ok(None),
        };
        if token.expose().len() > MAX_TOKEN {
            return Err(GrantError::BadField { field, problem: "it is longer than 64 KiB" });
        }
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(GrantError::BadField { field, problem: "it holds white space or control characters" });
        }
        Ok(Some(token))
    }

    /// A number of seconds, which some services send as text. Zero means that the service does not say.
    fn seconds(&self, field: &'static str) -> Result<Option<Duration>, GrantError> {
        let number = match self.0.get(field) {
            Some(Field::Number(number)) => *number,
            Some(Field::Text(text)) => match text.expose().trim().parse::<f64>() {
                Ok(number) => number,
                Err(_) => return Err(GrantError::BadField { field, problem: "it is no number" }),
            },
            None | Some(Field::Other(_)) => return Ok(None),
        };
        #[expect(clippy::cast_precision_loss, reason = "a limit of ten years in seconds is exact in an f64")]
        if !(0.0..=MAX_LIFE as f64).contains(&number) {
            return Err(GrantError::BadField { field, problem: "it is negative or longer than ten years" });
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range was just checked; fractions of a second are dropped"
        )]
        let seconds = number as i64;
        Ok((seconds > 0).then(|| Duration::seconds(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeaderMap;

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
            tokens(200, JSON, r#"{"access_token":"t0k","token_type":"bearer","scope":"a b","expires_in":"3600"}"#)
                .unwrap();
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
}
