//! Google Cloud: keys of service accounts, sign-ins of users as Google's tools keep them, and API keys.
//!
//! Sources: the Google auth libraries (`application default credentials`), the IAM and Resource Manager references.

use chrono::{DateTime, Utc};

use crate::credential::{
    Content, Credential, Field, Fields, Issued, Kind, Material, Metadata, Raw, Variable, rules,
};
use crate::provider::orders::{self, Values};
use crate::provider::{Discovered, Here, Input, Mark, Net, Order, Provider, ProviderError, Rotation, Verdict};
use crate::secret::Secret;

pub(super) mod address;
mod api_key;
mod asked;
mod configuration;
mod file;
mod find;
mod jwt;
mod keys;
mod token;

use file::{ServiceAccount, Sort};

const TITLE: &str = "Google Cloud";

const PROJECT: Field = Field::plain("project_id", "Project").checked(rules::token, "my-project").optional().derived();
const ENDPOINT: Field = Field::plain("endpoint", "Address that stands for all of Google's APIs")
    .checked(rules::url, "https://google.example.com")
    .optional();

static SERVICE_ACCOUNT: [Field; 6] = [
    Field::secret("key_file", "Key file (JSON)").checked(file::is_service_account, file::EXAMPLE).multiline(),
    Field::plain("client_email", "Service account")
        .checked(rules::token, "deploy@my-project.iam.gserviceaccount.com")
        .optional()
        .derived(),
    PROJECT,
    Field::plain("private_key_id", "Key id").checked(rules::token, "0123456789abcdef").optional().derived(),
    Field::plain("token_uri", "Address of the token server")
        .checked(address::token_uri, "https://oauth2.googleapis.com/token")
        .optional()
        .derived(),
    ENDPOINT,
];
static AUTHORIZED_USER: [Field; 7] = [
    Field::plain("client_id", "Client id").checked(rules::token, "764086051850-abc.apps.googleusercontent.com"),
    Field::secret("client_secret", "Client secret"),
    Field::secret("refresh_token", "Refresh token").checked(rules::token, "1//0eXaMpLeReFrEsHtOkEn"),
    Field::plain("account", "Account").checked(rules::line, "user@example.com").optional(),
    PROJECT,
    Field::plain("quota_project_id", "Project that pays").checked(rules::token, "my-project").optional(),
    ENDPOINT,
];
static API_KEY: [Field; 2] =
    [Field::secret("api_key", "API key").checked(rules::token, "AIzaSyEXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE0"), ENDPOINT];

/// A service account, a user, an API key.
static KINDS: [Kind; 3] = [
    Kind::new("gcp_service_account", "service account key", "gcp", &SERVICE_ACCOUNT).renews_itself(),
    Kind::new("gcp_authorized_user", "Google Cloud sign-in", "gcp", &AUTHORIZED_USER).renews_itself(),
    Kind::new("gcp_api_key", "Google API key", "gcp", &API_KEY),
];
static INPUTS: [Input; 2] = [
    Input::file("service-account", "key_file", "The key file of a service account, or any credential file of gcloud"),
    Input::flag("project", "PROJECT", "Google's project, instead of the one that gcloud or the key file names"),
];
static MARKS: [Mark; 3] = [
    Mark {
        kind: "gcp_service_account",
        field: "key_file",
        service: "",
        keyword: "\"private_key_id\"",
        pattern: r#"(\{[^{}]*"private_key_id"[^{}]*\})"#,
    },
    Mark {
        kind: "gcp_authorized_user",
        field: "refresh_token",
        service: "",
        keyword: "1//0",
        pattern: r"(?:^|[^A-Za-z0-9_/.:-])(1//0[A-Za-z0-9_-]{30,})",
    },
    Mark {
        kind: "gcp_api_key",
        field: "api_key",
        service: "",
        keyword: "AIza",
        pattern: r"(?:^|[^0-9A-Za-z_-])(AIza[0-9A-Za-z_-]{35})(?:[^0-9A-Za-z_-]|$)",
    },
];

/// Google Cloud.
pub struct Gcp;
/// The provider.
pub static PROVIDER: Gcp = Gcp;

/// Which of the three a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    ServiceAccount,
    User,
    ApiKey,
}

impl Form {
    fn of(metadata: &Metadata) -> Self {
        match metadata.kind.id {
            "gcp_authorized_user" => Self::User,
            "gcp_api_key" => Self::ApiKey,
            _ => Self::ServiceAccount,
        }
    }

    fn kind(self) -> &'static Kind {
        match self {
            Self::ServiceAccount => &KINDS[0],
            Self::User => &KINDS[1],
            Self::ApiKey => &KINDS[2],
        }
    }
}

impl Provider for Gcp {
    fn name(&self) -> &'static str {
        "gcp"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn kinds(&self) -> &'static [Kind] {
        &KINDS
    }

    fn inputs(&self) -> &'static [Input] {
        &INPUTS
    }

    fn discover(&self, here: &Here<'_>) -> Discovered {
        find::discover(here)
    }

    fn marks(&self) -> &'static [Mark] {
        &MARKS
    }

    fn complete(&self, raw: &mut Raw, here: &Here<'_>) -> Result<&'static Kind, ProviderError> {
        if let Some(project) = here.input("project") {
            raw.plain("project_id", project);
        }
        if let Some(text) = raw.take("key_file") {
            return file::spread(text, raw).map(Form::kind);
        }
        if raw.has("api_key") {
            raw.take("project_id");
            return Ok(Form::ApiKey.kind());
        }
        if ["refresh_token", "client_id", "client_secret"].iter().any(|name| raw.has(name)) {
            return Ok(Form::User.kind());
        }
        Err(ProviderError::NotThere {
            what: "credential".into(),
            place: "the places where Google's tools keep them".into(),
            mend: "name a key file with `--service-account FILE`, or run `gcloud auth application-default login`".into(),
        })
    }

    fn default_name(&self, fields: &Fields) -> String {
        let email = fields.plain.get("client_email").and_then(|email| email.split('@').next());
        let known = email.or_else(|| fields.plain.get("project_id").map(String::as_str));
        known.map_or_else(|| "gcp".into(), |known| format!("gcp-{known}"))
    }

    fn hosts(&self, metadata: &Metadata) -> Vec<String> {
        address::hosts(metadata)
    }

    fn material(&self, credential: &Credential, _: Option<&Issued>, net: &Net<'_>) -> Result<Issued, ProviderError> {
        match Form::of(&credential.metadata) {
            Form::ApiKey => api_key::material(credential),
            Form::User | Form::ServiceAccount => token::issue(credential, net),
        }
    }

    fn made_at(&self, metadata: &Metadata, net: &Net<'_>) -> Option<String> {
        match Form::of(metadata) {
            Form::ApiKey => None,
            Form::User | Form::ServiceAccount => address::token(metadata, net).ok().map(|url| url.to_string()),
        }
    }

    fn verify(&self, credential: &Credential, _: Option<&Issued>, net: &Net<'_>) -> Verdict {
        let asked = match Form::of(&credential.metadata) {
            Form::ApiKey => api_key::verify(credential, net),
            Form::User | Form::ServiceAccount => asked::verify(credential, net),
        };
        asked.unwrap_or_else(|failure| failure.into_verdict(TITLE))
    }

    fn export(&self, credential: &Credential, issued: &Issued) -> Vec<Variable> {
        if let Material::Header { value, .. } = &issued.material {
            return vec![Variable::secret("GOOGLE_API_KEY", value)];
        }
        let mut variables: Vec<Variable> = IN_THE_WAY.iter().map(|name| Variable::Unset { name }).collect();
        if let Some(file) = file::written(credential) {
            variables.push(Variable::File {
                name: "GOOGLE_APPLICATION_CREDENTIALS".into(),
                file: "gcp.json".into(),
                content: Content::Text(file),
            });
        }
        if let Some(project) = credential.field("project_id") {
            let names = ["GOOGLE_CLOUD_PROJECT", "GOOGLE_PROJECT", "CLOUDSDK_CORE_PROJECT"];
            variables.extend(names.iter().map(|name| Variable::plain(name, project)));
        }
        if let Some(quota) = credential.field("quota_project_id") {
            variables.push(Variable::plain("GOOGLE_CLOUD_QUOTA_PROJECT", quota));
        }
        if let Material::Bearer(token) = &issued.material {
            variables.push(Variable::secret("CLOUDSDK_AUTH_ACCESS_TOKEN", token));
        }
        variables
    }

    fn refuse_orders(&self, values: &Values<'_>) -> Result<(), Order> {
        let foreign = |address: &str| if address::is_official(address) { Ok(()) } else { Err((None, address::FOREIGN)) };
        values.held("token_uri", foreign)?;
        values.held("key_file", |text| orders::google(text, address::is_official))
    }

    fn files(&self) -> &'static [(&'static str, &'static str)] {
        &[("gcp-json", "the credential file that GOOGLE_APPLICATION_CREDENTIALS names")]
    }

    fn file(&self, format: &str, credential: &Credential, _: &Issued) -> Option<Secret> {
        (format == "gcp-json").then(|| file::written(credential)).flatten()
    }

    fn rotation(&self) -> Option<&dyn Rotation> {
        Some(&keys::Keys)
    }

    fn expires(&self, _: &Fields) -> Option<DateTime<Utc>> {
        None
    }
}

/// What Terraform and gcloud would take instead.
const IN_THE_WAY: [&str; 5] = [
    "GOOGLE_CREDENTIALS",
    "GOOGLE_CLOUD_KEYFILE_JSON",
    "GCLOUD_KEYFILE_JSON",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
];

/// The credential's key file, read.
fn key_of(credential: &Credential) -> Result<ServiceAccount, ProviderError> {
    let damaged = |problem| ProviderError::Damaged {
        name: credential.metadata.name.clone(),
        field: "key_file",
        problem,
    };
    let text = credential.secret("key_file").ok_or_else(|| damaged("it is not there"))?;
    match Sort::of(text) {
        Ok(Sort::ServiceAccount(key)) => Ok(*key),
        _ => Err(damaged("it is no key of a service account")),
    }
}

#[cfg(test)]
pub(super) mod tests;
