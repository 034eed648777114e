//! A new key for a service account, by the IAM API: made by the account itself, with the old key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::asked::said;
use super::file::spread;
use super::{Form, TITLE, address, key_of, token};
use crate::credential::{Credential, Material, Metadata, Raw};
use crate::http::{Method, Request, Response, Unreachable, Url, segment};
use crate::provider::{Net, ProviderError, Rotation, Verdict};
use crate::secret::{Reason, Secret};

/// A key that an interrupted rotation made is as old as that rotation: so much later, and so much earlier by another
/// clock. A key of any other time is somebody else's and stays.
const WINDOW: Duration = Duration::minutes(5);
const SKEW: Duration = Duration::minutes(1);

/// Keys of service accounts.
pub(super) struct Keys;

impl Rotation for Keys {
    fn can(&self, metadata: &Metadata) -> Result<(), ProviderError> {
        let (what, mend) = match Form::of(metadata) {
            Form::ServiceAccount if metadata.field("private_key_id").is_some() => return Ok(()),
            Form::ServiceAccount => (
                "the key file does not say which key it is, so that the old one could not be deleted",
                "make a new key in the console, and put it in with `lanyard credentials update`".to_owned(),
            ),
            Form::User => (
                "a user's sign-in is not replaced by an API",
                format!(
                    "run `gcloud auth application-default login`, then `lanyard credentials store gcp --replace \
                     --name {}`",
                    metadata.name
                ),
            ),
            Form::ApiKey => (
                "an API key cannot replace itself",
                format!(
                    "make a new key in the console under APIs and services, then `{}`, and delete the old one there",
                    token::update(metadata, "api_key=-")
                ),
            ),
        };
        Err(ProviderError::CannotRotate { what: what.to_owned(), mend })
    }

    fn clear(&self, credential: &Credential, since: DateTime<Utc>, net: &Net<'_>) -> Result<bool, ProviderError> {
        Account::of(credential, net)?.remove_lost(since)?;
        Ok(true)
    }

    fn mint(&self, credential: &Credential, _: Option<DateTime<Utc>>, net: &Net<'_>) -> Result<Raw, ProviderError> {
        let account = Account::of(credential, net)?;
        let url = account.at("")?;
        let answer = net.http.send(Request::post_json(url.clone(), "{}").bearer(&account.token))?;
        if !answer.is_success() {
            return Err(not_made(&answer, &url, &account.email));
        }
        let file = private_key_data(&answer).ok_or_else(|| lost(&url, answer.status))?;
        let mut raw = Raw::new();
        if let Some(project) = credential.field("project_id") {
            raw.plain("project_id", project);
        }
        match spread(file, &mut raw) {
            Ok(Form::ServiceAccount) => Ok(raw),
            _ => Err(lost(&url, answer.status)),
        }
    }

    fn handle(&self, credential: &Credential) -> Option<String> {
        key_of(credential).ok()?.private_key_id.filter(|id| !id.is_empty())
    }

    fn retire(&self, handle: &str, new: &Credential, net: &Net<'_>) -> Result<(), ProviderError> {
        Account::of(new, net)?.delete(handle)
    }
}

/// A service account with a token of its own.
struct Account<'a> {
    email: String,
    key_id: Option<String>,
    token: Secret,
    metadata: &'a Metadata,
    net: &'a Net<'a>,
}

impl<'a> Account<'a> {
    fn of(credential: &'a Credential, net: &'a Net<'a>) -> Result<Self, ProviderError> {
        let key = key_of(credential)?;
        let Material::Bearer(token) = token::issue(credential, net)?.material else {
            return Err(ProviderError::Unsupported { provider: "gcp", what: "rotating" });
        };
        let key_id = key.private_key_id;
        Ok(Self { email: key.client_email, key_id, token, metadata: &credential.metadata, net })
    }

    /// The address of the account's keys, or of what is below.
    fn at(&self, below: &str) -> Result<Url, ProviderError> {
        let path = format!("/v1/projects/-/serviceAccounts/{}/keys{below}", segment(&self.email));
        address::IAM.at(self.metadata, self.net, &path)
    }

    fn delete(&self, id: &str) -> Result<(), ProviderError> {
        let url = self.at(&format!("/{}", segment(id)))?;
        let answer = self.net.http.send(Request::new(Method::DELETE, url).bearer(&self.token))?;
        let gone = answer.is_success() || (answer.status == 404 && said(&answer).is_some());
        if gone { Ok(()) } else { Err(verdict(&answer, &self.email).into()) }
    }

    /// Deletes the keys that an interrupted rotation made and lost.
    fn remove_lost(&self, since: DateTime<Utc>) -> Result<(), ProviderError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Key {
            name: String,
            valid_after_time: Option<DateTime<Utc>>,
        }
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            keys: Vec<Key>,
        }
        let url = self.at("?keyTypes=USER_MANAGED")?;
        let answer = self.net.http.send(Request::get(url).bearer(&self.token))?;
        if !answer.is_success() {
            return Err(verdict(&answer, &self.email).into());
        }
        let Ok(List { keys }) = answer.json() else { return Err(Verdict::unexpected(TITLE, answer.status).into()) };
        for key in keys {
            let Some(id) = key.name.rsplit('/').next().filter(|id| Some(*id) != self.key_id.as_deref()) else {
                continue;
            };
            if key.valid_after_time.is_some_and(|at| since - SKEW <= at && at <= since + WINDOW) {
                self.delete(id)?;
            }
        }
        Ok(())
    }
}

/// The new key file, out of the answer that made it.
fn private_key_data(answer: &Response) -> Option<Secret> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Made {
        private_key_data: Secret,
    }
    let made = answer.json::<Made>().ok()?;
    let bytes = Zeroizing::new(STANDARD.decode(made.private_key_data.expose()).ok()?);
    std::str::from_utf8(&bytes).ok().map(|text| Secret::new(text.to_owned()))
}

/// A key may have been made that nobody holds now; the next rotation deletes it.
fn lost(url: &Url, status: u16) -> ProviderError {
    let cause = Reason(format!("what came with status {status} is no key file"));
    Unreachable::BrokenOff { origin: url.origin().ascii_serialization(), cause }.into()
}

/// Why no key was made: after a refusal certainly none was, after anything else perhaps one.
fn not_made(answer: &Response, url: &Url, email: &str) -> ProviderError {
    if said(answer).is_some_and(|said| answer.status == 400 && said.status == "FAILED_PRECONDITION") {
        return ProviderError::CannotRotate {
            what: format!("{TITLE} lets no further key be made for {email}"),
            mend: "delete keys that nobody needs, since an account has ten at most; or ask whether the organization \
                   forbids keys"
                .into(),
        };
    }
    match answer.status {
        400..500 => verdict(answer, email).into(),
        status => lost(url, status),
    }
}

fn verdict(answer: &Response, email: &str) -> Verdict {
    match said(answer) {
        Some(said) if answer.status == 403 && said.reason.as_deref() == Some("SERVICE_DISABLED") => {
            Verdict::insufficient("the IAM API is switched off in the project", "enable iam.googleapis.com there")
                .code("SERVICE_DISABLED")
        }
        Some(said) if answer.status == 403 => Verdict::insufficient(
            format!("{email} may not change its own keys"),
            "grant it roles/iam.serviceAccountKeyAdmin on itself, or make a new key in the console",
        )
        .code(said.status),
        Some(said) => Verdict::of_status(answer, TITLE).code(said.status),
        None => match answer.status {
            429 | 500.. => Verdict::of_status(answer, TITLE),
            status => Verdict::unexpected(TITLE, status),
        },
    }
}
