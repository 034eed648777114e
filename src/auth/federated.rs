//! Keyless sign-in of a job: the token that the job's own service makes for it is exchanged for one of the service that
//! it works with (RFC 8693). No secret is stored anywhere; what decides is a trust rule on the other side.

use std::io::Read;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::auth::Person;
use crate::auth::grant::{self, Client};
use crate::auth::login::{Fresh, Login};
use crate::auth::session::Grant;
use crate::error::{Code, Failure, Result};
use crate::http::{self, BadUrl, Http, Malformed, Request, Unreachable};
use crate::os::Env;
use crate::secret::Secret;

/// Where a job's token is given to lanyard by name.
const GIVEN: &str = "LANYARD_ID_TOKEN";
/// The file that holds it.
const FILE: &str = "LANYARD_ID_TOKEN_FILE";
/// Where other services put it by themselves, or by their own examples.
const ELSEWHERE: [&str; 3] = ["GITLAB_OIDC_TOKEN", "CIRCLE_OIDC_TOKEN_V2", "BITBUCKET_STEP_OIDC_TOKEN"];
/// Where a job of GitHub Actions asks for one.
const REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// The longest token that is read from a file.
const LONGEST: u64 = 64 << 10;

/// Why there is no token of the job.
#[derive(Debug, thiserror::Error)]
pub enum FederatedError {
    /// Nothing here makes or holds one.
    #[error("there is no token of a job here")]
    None,
    /// The file cannot be read.
    #[error("cannot read the file that LANYARD_ID_TOKEN_FILE names")]
    File(#[source] std::io::Error),
    /// GitHub's address is none.
    #[error("ACTIONS_ID_TOKEN_REQUEST_URL cannot be used")]
    BadUrl(#[source] BadUrl),
    /// GitHub did not answer.
    #[error("the job's service does not answer")]
    Unreachable(#[source] Unreachable),
    /// GitHub gave no token.
    #[error("the job's service answered {0} when it was asked for a token")]
    Status(u16),
    /// What it gave is none.
    #[error("the job's service answered with something that is no token")]
    Malformed(#[source] Malformed),
    /// The service does not take tokens of jobs.
    #[error("{service} does not take tokens of jobs")]
    NotOffered {
        /// The service.
        service: String,
    },
}

impl Failure for FederatedError {
    fn code(&self) -> Code {
        match self {
            Self::None | Self::File(_) | Self::BadUrl(_) => Code::Usage,
            Self::Unreachable(_) | Self::Malformed(_) => Code::Unreachable,
            Self::Status(status) if *status >= 500 => Code::Unreachable,
            Self::Status(_) | Self::NotOffered { .. } => Code::Failed,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::None => "GitHub Actions: give the job `permissions: id-token: write`; GitLab: `id_tokens:` with \
                           LANYARD_ID_TOKEN; elsewhere: put the token into LANYARD_ID_TOKEN or name its file in \
                           LANYARD_ID_TOKEN_FILE"
                .into(),
            Self::File(_) => "check the path, and that the job may read the file".into(),
            Self::Unreachable(cause) => return cause.mend(),
            Self::BadUrl(_) | Self::Status(_) | Self::Malformed(_) => {
                "check that the job has `permissions: id-token: write`".into()
            }
            Self::NotOffered { .. } => "give --service the address of a lanyard server".into(),
        })
    }
}

/// What GitHub answers.
#[derive(Deserialize)]
struct Made {
    value: Secret,
}

/// The token of the job that this runs in, made for this audience where it is made on demand.
pub fn job_token(env: &Env, audience: &str, http: &dyn Http) -> std::result::Result<Secret, FederatedError> {
    if let Some(token) = env.var(GIVEN) {
        return Ok(Secret::new(token.trim().to_owned()));
    }
    if let Some(path) = env.var(FILE) {
        let mut text = zeroize::Zeroizing::new(String::new());
        let file = std::fs::File::open(env.working_dir().join(PathBuf::from(path))).map_err(FederatedError::File)?;
        file.take(LONGEST).read_to_string(&mut text).map_err(FederatedError::File)?;
        return Ok(Secret::new(text.trim().to_owned()));
    }
    if let (Some(url), Some(token)) = (env.var(REQUEST_URL), env.var(REQUEST_TOKEN)) {
        let mut url = http::parse_url(url).map_err(FederatedError::BadUrl)?;
        url.query_pairs_mut().append_pair("audience", audience);
        let mut request = Request::get(url).bearer(&Secret::new(token.to_owned()));
        // A token that a redirect carries elsewhere is somebody else's.
        request.follow_same_origin = false;
        let answer = http.send(request).map_err(FederatedError::Unreachable)?;
        if !answer.is_success() {
            return Err(FederatedError::Status(answer.status));
        }
        return Ok(answer.json::<Made>().map_err(FederatedError::Malformed)?.value);
    }
    let elsewhere = ELSEWHERE.into_iter().find_map(|name| env.var(name));
    elsewhere.map(|token| Secret::new(token.trim().to_owned())).ok_or(FederatedError::None)
}

impl Login<'_> {
    /// Signs a job in at an organization of the service.
    pub fn federated(
        &self,
        client: Client,
        organization: &str,
        job: &Secret,
        http: &dyn Http,
        now: DateTime<Utc>,
        person: &mut Person<'_>,
    ) -> Result<Fresh> {
        const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
        let Some(endpoint) = self.metadata.token_endpoint.as_ref().filter(|_| !self.metadata.lacks_grant(EXCHANGE))
        else {
            return Err(FederatedError::NotOffered { service: self.service.title().to_owned() }.into());
        };
        let scopes = self.scopes.join(" ");
        let mut fields = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", job.expose()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", organization),
        ];
        if !scopes.is_empty() {
            fields.push(("scope", &scopes));
        }
        let tokens = grant::request_tokens(http, client.form(endpoint, &fields))?;
        let session = self.session(Grant::Federated, client, tokens, None, http, now, person)?;
        Ok(Fresh { session, page: None })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::http::{HeaderMap, Response};

    fn found(variables: &[(&str, &str)], status: u16, body: &'static str) -> (Option<String>, Option<String>) {
        let asked = std::sync::Mutex::new(None);
        let http = |request: Request| -> std::result::Result<Response, Unreachable> {
            *asked.lock().unwrap() = Some(request.url.to_string());
            Ok(Response { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec().into() })
        };
        let env = Env::invented(Path::new("/nowhere"), Path::new("/nowhere"), variables);
        let token = job_token(&env, "https://lanyard.example", &http).ok().map(|token| token.expose().to_owned());
        (token, asked.into_inner().unwrap())
    }

    #[test]
    fn a_job_has_its_token_from_where_its_service_puts_it() {
        let github = [(REQUEST_URL, "https://run.example/token?api-version=2"), (REQUEST_TOKEN, "runtime")];
        let asked = "https://run.example/token?api-version=2&audience=https%3A%2F%2Flanyard.example";
        let made = r#"{"value":"a.b.c","count":1}"#;
        assert_eq!(found(&github, 200, made), (Some("a.b.c".into()), Some(asked.into())));
        assert_eq!(found(&github, 403, made).0, None);
        assert_eq!(found(&github, 200, r#"{"value":7}"#).0, None);
        assert_eq!(found(&[(REQUEST_URL, "http://run.example/"), (REQUEST_TOKEN, "runtime")], 200, made), (None, None));
        let given = [github[0], github[1], (GIVEN, " d.e.f\n")];
        assert_eq!(found(&given, 200, made), (Some("d.e.f".into()), None));
        assert_eq!(found(&[("GITLAB_OIDC_TOKEN", "g.h.i")], 200, made), (Some("g.h.i".into()), None));
        assert_eq!(found(&[], 200, made), (None, None));
        assert_eq!(found(&[(FILE, "no-such-file")], 200, made), (None, None));
    }
}
