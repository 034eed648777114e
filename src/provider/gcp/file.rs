//! The credential files of Google's tools: JSON, told apart by `type`.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::credential::{Credential, FieldError, Raw};
use crate::http::{Malformed, parse_json};
use crate::provider::ProviderError;
use crate::secret::Secret;

use super::{Form, KINDS, address};

/// A key file, shortened.
pub(super) const EXAMPLE: &str = r#"{
  "type": "service_account",
  "project_id": "my-project",
  "private_key_id": "0123456789abcdef",
  "private_key": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
  "client_email": "deploy@my-project.iam.gserviceaccount.com",
  "token_uri": "https://oauth2.googleapis.com/token"
}"#;

/// The key of a service account.
#[derive(Deserialize)]
pub(super) struct ServiceAccount {
    pub(super) client_email: String,
    pub(super) private_key: Secret,
    pub(super) private_key_id: Option<String>,
    pub(super) project_id: Option<String>,
    pub(super) token_uri: Option<String>,
    universe_domain: Option<String>,
}

/// A user's sign-in.
#[derive(Deserialize)]
pub(super) struct AuthorizedUser {
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
    account: Option<String>,
    quota_project_id: Option<String>,
    universe_domain: Option<String>,
}

/// What a credential file is.
pub(super) enum Sort {
    ServiceAccount(Box<ServiceAccount>),
    AuthorizedUser(Box<AuthorizedUser>),
    Other(Other),
}

/// A credential file that lanyard does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Other {
    what: &'static str,
    mend: &'static str,
    /// Whether there is a secret in it.
    pub(super) secret: bool,
}

/// The files that are refused, by their `type`.
const OTHERS: [(&str, Other); 4] = [
    (
        "external_account",
        Other {
            what: "it configures workload identity federation: it holds no secret, and names addresses and programs \
                   that would get one",
            mend: "leave it to the tools that read it, or store the key of a service account",
            secret: false,
        },
    ),
    (
        "external_account_authorized_user",
        Other {
            what: "it is a workforce sign-in, whose token goes to an address that the file itself names",
            mend: "leave it to gcloud, or store the key of a service account",
            secret: true,
        },
    ),
    (
        "impersonated_service_account",
        Other {
            what: "it impersonates a service account through another credential",
            mend: "store that other credential: `gcloud auth application-default login` without impersonation makes one",
            secret: true,
        },
    ),
    (
        "gdch_service_account",
        Other {
            what: "it is for Google Distributed Cloud, where nobody can be asked whether it works",
            mend: "leave it to the tools that read it",
            secret: true,
        },
    ),
];
const UNKNOWN: Other = Other {
    what: "its `type` is none that lanyard knows",
    mend: "give the key of a service account, or the file of `gcloud auth application-default login`",
    secret: true,
};

impl Sort {
    /// Reads a credential file.
    pub(super) fn of(text: &Secret) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Typed {
            r#type: String,
        }
        let text = text.expose().as_bytes();
        let Typed { r#type: sort } = parse_json(text)?;
        Ok(match sort.as_str() {
            "service_account" => Self::ServiceAccount(Box::new(parse_json(text)?)),
            "authorized_user" => Self::AuthorizedUser(Box::new(parse_json(text)?)),
            other => Self::Other(OTHERS.iter().find(|(name, _)| *name == other).map_or(UNKNOWN, |(_, found)| *found)),
        })
    }
}

impl ServiceAccount {
    fn check(&self) -> Result<(), &'static str> {
        let key = self.private_key.expose();
        if !(key.contains("-----BEGIN ") && key.contains("PRIVATE KEY-----")) {
            return Err("its private_key is no key in PEM");
        }
        if !self.client_email.contains('@') || !self.client_email.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("its client_email is no address");
        }
        if self.token_uri.as_deref().is_some_and(|address| address::token_uri(address).is_err()) {
            return Err("its token_uri is no address of Google's, so nothing is sent there");
        }
        universe(self.universe_domain.as_deref())
    }
}

/// The clouds that partners run have other addresses and take other tokens.
fn universe(domain: Option<&str>) -> Result<(), &'static str> {
    match domain {
        None | Some("" | "googleapis.com") => Ok(()),
        Some(_) => Err("its universe_domain is not googleapis.com, and lanyard knows no other"),
    }
}

/// Accepts the key file of a service account.
pub(super) fn is_service_account(text: &str) -> Result<(), &'static str> {
    crate::credential::rules::text(text)?;
    match Sort::of(&Secret::new(text.to_owned())) {
        Ok(Sort::ServiceAccount(key)) => key.check(),
        Ok(_) => Err("it is no key of a service account"),
        Err(_) => Err("it is no JSON with type, client_email and private_key"),
    }
}

/// Spreads the values of a credential file over the fields of its kind.
pub(super) fn spread(text: Secret, raw: &mut Raw) -> Result<Form, ProviderError> {
    let malformed = |problem| FieldError::Malformed { kind: KINDS[0].title, field: "key_file".into(), problem };
    match Sort::of(&text) {
        Ok(Sort::ServiceAccount(key)) => {
            key.check().map_err(malformed)?;
            let usual = |address: &String| address != address::TOKEN;
            for (name, value) in [
                ("client_email", Some(key.client_email)),
                ("private_key_id", key.private_key_id),
                ("token_uri", key.token_uri.filter(usual)),
            ] {
                raw.take(name);
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    raw.plain(name, &value);
                }
            }
            if let Some(project) = key.project_id.filter(|project| !project.is_empty()) {
                raw.fill("project_id", Secret::new(project));
            }
            raw.set("key_file", text);
            Ok(Form::ServiceAccount)
        }
        Ok(Sort::AuthorizedUser(user)) => {
            universe(user.universe_domain.as_deref()).map_err(malformed)?;
            raw.fill("client_id", Secret::new(user.client_id));
            raw.fill("client_secret", user.client_secret).fill("refresh_token", user.refresh_token);
            for (name, value) in [("account", user.account), ("quota_project_id", user.quota_project_id)] {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    raw.fill(name, Secret::new(value));
                }
            }
            Ok(Form::User)
        }
        Ok(Sort::Other(other)) => Err(ProviderError::CannotStore {
            what: "this credential file".into(),
            why: other.what.to_owned(),
            mend: other.mend.to_owned(),
        }),
        Err(_) => Err(malformed("it is no JSON with type and the fields of that type").into()),
    }
}

/// The credential as the file that Google's libraries read; `None` for an API key.
pub(super) fn written(credential: &Credential) -> Option<Secret> {
    if Form::of(&credential.metadata) == Form::ServiceAccount {
        return credential.secret("key_file").map(Secret::duplicate);
    }
    let (refresh, secret) = (credential.secret("refresh_token")?, credential.secret("client_secret")?);
    let mut text = Zeroizing::new(String::with_capacity(1024 + 6 * (refresh.expose().len() + secret.expose().len())));
    text.push_str("{\n  \"type\": \"authorized_user\"");
    let plain = |name: &'static str| Some((name, credential.field(name)?));
    let fields = [plain("client_id"), plain("account"), plain("quota_project_id")];
    let secrets = [Some(("client_secret", secret.expose())), Some(("refresh_token", refresh.expose()))];
    for (name, value) in fields.into_iter().chain(secrets).flatten() {
        let quoted = Zeroizing::new(serde_json::Value::from(value).to_string());
        for part in [",\n  \"", name, "\": ", &quoted] {
            text.push_str(part);
        }
    }
    text.push_str("\n}\n");
    Some(Secret::new(std::mem::take(&mut *text)))
}
