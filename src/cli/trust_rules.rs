//! `lanyard trust-rules …`: which jobs of which outside service sign in to a lanyard server without a secret.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::auth::federated;
use crate::auth::login::clean_token;
use crate::cli::access::{Access, Bearer};
use crate::cli::{Doors, active, vault_door};
use crate::config::{Config, Profile};
use crate::error::{Code, Failure, Result};
use crate::http::{self, Method, Request};
use crate::secret::Secret;
use crate::text::clean;

/// Decide which CI jobs sign in to the lanyard server without a secret
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// List the trust rules of the organization
    ///
    /// With --json: an array of objects with id, name, issuer, audience, subject, claims, permissions, project, lifetime, mode.
    #[command(after_help = "Example:\n  lanyard trust-rules list")]
    List,
    /// Let the jobs in whose token fits
    ///
    /// A pattern is the whole text; a `*` in it stands for any letters but `/`. What is not written down is not let in.
    #[command(
        after_help = "Examples:\n  lanyard trust-rules create web-main --permission credentials.read,secrets.read \\\n    \
--issuer https://token.actions.githubusercontent.com --subject 'repo:acme/web:ref:refs/heads/main'\n  \
lanyard trust-rules create web-gitlab --permission credentials.read --issuer https://gitlab.com \\\n    \
--subject 'project_path:acme/web:ref_type:branch:ref:main' --claim ref_protected=true --audit"
    )]
    Create(Create),
    /// Let no more jobs in by a rule, and end the tokens that it gave
    #[command(after_help = "Example:\n  lanyard trust-rules delete web-main")]
    Delete {
        /// The rule's name or identifier
        rule: String,
    },
    /// Tell what each rule says to the token of a job, without letting it in
    ///
    /// The token is that of the job that this runs in, or the one in a file. With --json: an object with job and rules.
    #[command(after_help = "Example:\n  lanyard trust-rules try --token-file token.txt")]
    Try {
        /// The file that holds the token; - for stdin
        #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
        token_file: Option<PathBuf>,
    },
}

/// A rule on the command line.
#[derive(clap::Args, Debug)]
pub(super) struct Create {
    /// A name for the rule
    name: String,
    /// The issuer of the jobs' tokens, exactly as they have it
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// A pattern for the subject
    #[arg(long, value_name = "PATTERN")]
    subject: String,
    /// The audience of the jobs' tokens [default: the server's address]
    #[arg(long, value_name = "TEXT")]
    audience: Option<String>,
    /// A pattern for another claim; may be given several times
    #[arg(long = "claim", value_name = "NAME=PATTERN", value_parser = claim)]
    claims: Vec<(String, String)>,
    /// What the jobs may do: credentials.read, credentials.write, credentials.verify, secrets.read
    #[arg(long = "permission", value_name = "LIST", value_delimiter = ',', required = true)]
    permissions: Vec<String>,
    /// The project that the jobs work in, and nowhere else [default: the whole organization]
    #[arg(long, value_name = "PROJECT")]
    for_project: Option<String>,
    /// How many seconds a job's token lives [default: 900]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(60..=3600))]
    lifetime: Option<i64>,
    /// Let nobody in yet; note in the audit who would be
    #[arg(long)]
    audit: bool,
}

fn claim(text: &str) -> std::result::Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, pattern)) if !name.is_empty() => Ok((name.to_owned(), pattern.to_owned())),
        _ => Err("write it as NAME=PATTERN"),
    }
}

/// Why a rule was not shown or changed.
#[derive(Debug, thiserror::Error)]
enum TrustError {
    #[error("there is no trust rule {rule}")]
    Unknown { rule: String },
    #[error("the server does not permit this: {detail}")]
    Forbidden { detail: String },
    #[error("the server answered {status}: {detail}")]
    Refused { status: u16, detail: String },
    #[error("the answer of the server is none of a lanyard server's")]
    Malformed(#[source] http::Malformed),
    #[error("cannot read the token")]
    Token(#[source] std::io::Error),
}

impl Failure for TrustError {
    fn code(&self) -> Code {
        match self {
            Self::Forbidden { .. } => Code::Forbidden,
            Self::Refused { status: 401, .. } => Code::SignedOut,
            Self::Refused { status: 429 | 500.., .. } | Self::Malformed(_) => Code::Unreachable,
            Self::Unknown { .. } | Self::Refused { .. } => Code::Failed,
            Self::Token(_) => Code::Usage,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { .. } => "lanyard trust-rules list".into(),
            Self::Forbidden { .. } => {
                "sign in as an owner or an administrator, for this: `lanyard auth login --scopes trust.manage,…`, with \
                 every permission that a rule is to give"
                    .into()
            }
            Self::Refused { status: 401, .. } => "lanyard auth login".into(),
            Self::Refused { status: 429 | 500.., .. } => "try again in a minute".into(),
            Self::Refused { .. } => "change what was asked for".into(),
            Self::Malformed(_) => "check the address of the server in the configuration".into(),
            Self::Token(_) => "name a file that holds the token".into(),
        })
    }
}

impl Command {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let asked = Asked { doors, config: &config, profile: &profile };
        let json = active::output_json(&profile);
        match self {
            Self::List => list(&asked, json),
            Self::Create(create) => make(&asked, create, json),
            Self::Delete { rule } => delete(&asked, &rule),
            Self::Try { token_file } => attempt(&asked, token_file, json),
        }
    }
}

/// The server that the profile signs in to.
struct Asked<'a> {
    doors: &'a Doors<'a>,
    config: &'a Config,
    profile: &'a Profile,
}

impl Asked<'_> {
    /// Asks the server, with the token in force.
    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        vault_door::must_be_on_a_server(self.config, self.profile)?;
        let access = Access::new(self.doors, self.config, self.profile)?;
        let bearer: Bearer = access.bearer()?;
        let url = http::below(&access.endpoint_for(&bearer)?, path).map_err(|cause| {
            crate::auth::identity::IdentityError::BadEndpoint { service: self.profile.name.value.clone(), cause }
        })?;
        let request = match body {
            Some(body) => Request::post_json(url, &body.to_string()),
            None => Request::new(method, url),
        };
        let answer = self.doors.http.send(request.bearer(bearer.token()))?;
        if answer.is_success() {
            return Ok(if answer.body.is_empty() {
                Value::Null
            } else {
                answer.json().map_err(TrustError::Malformed)?
            });
        }
        let told: Value = answer.json().unwrap_or_default();
        let detail = clean(told["detail"].as_str().unwrap_or(http::reason_phrase(answer.status)));
        Err(match answer.status {
            403 => TrustError::Forbidden { detail },
            status => TrustError::Refused { status, detail },
        }
        .into())
    }

    fn rules(&self) -> Result<Vec<Value>> {
        let told = self.ask(Method::GET, "/trust-rules", None)?;
        Ok(told["items"].as_array().cloned().unwrap_or_default())
    }
}

fn text(value: &Value, name: &str) -> String {
    clean(value[name].as_str().unwrap_or_default())
}

fn list(asked: &Asked<'_>, json: bool) -> Result<()> {
    let rules = asked.rules()?;
    if json {
        return asked.doors.ui.answer_json(&rules);
    }
    let row = |rule: &Value| {
        let permissions = rule["permissions"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let permissions = permissions.map(clean).collect::<Vec<_>>().join(" ");
        let [name, issuer, subject, project, mode] =
            ["name", "issuer", "subject", "project", "mode"].map(|column| text(rule, column));
        vec![name, issuer, subject, permissions, project, mode]
    };
    let rows: Vec<Vec<String>> = rules.iter().map(row).collect();
    asked.doors.ui.table(&["name", "issuer", "subject", "permissions", "project", "mode"], &rows)
}

fn make(asked: &Asked<'_>, create: Create, json: bool) -> Result<()> {
    let claims: Map<String, Value> =
        create.claims.into_iter().map(|(name, pattern)| (name, Value::String(pattern))).collect();
    let body = json!({
        "name": create.name,
        "issuer": create.issuer,
        "audience": create.audience,
        "subject": create.subject,
        "claims": claims,
        "permissions": create.permissions,
        "project": create.for_project,
        "lifetime": create.lifetime,
        "mode": if create.audit { "audit" } else { "enforce" },
    });
    let made = asked.ask(Method::POST, "/trust-rules", Some(&body))?;
    // The organization is in what the server tells of whoever asks.
    let me = asked.ask(Method::GET, "/userinfo", None)?;
    let organization = clean(me["organization"]["id"].as_str().unwrap_or_default());
    if json {
        let mut made = made;
        made["organization"] = json!(organization);
        return asked.doors.ui.answer_json(&made);
    }
    asked.doors.ui.done(&format!("Jobs that fit {} are let in", text(&made, "name")));
    let server = asked.profile.endpoint.as_ref().map(|endpoint| clean(&endpoint.value)).unwrap_or_default();
    asked
        .doors
        .ui
        .note(&format!("in the job: lanyard auth login --federated --service {server} --organization {organization}"));
    Ok(())
}

fn delete(asked: &Asked<'_>, rule: &str) -> Result<()> {
    let rules = asked.rules()?;
    let named = rules.iter().find(|known| known["name"] == rule || known["id"] == rule);
    let unknown = || TrustError::Unknown { rule: clean(rule) };
    let id = named.and_then(|known| known["id"].as_str()).ok_or_else(unknown)?;
    asked.ask(Method::DELETE, &format!("/trust-rules/{}", http::segment(id)), None)?;
    asked.doors.ui.done(&format!("{} lets no more jobs in, and the tokens that it gave have ended", clean(rule)));
    Ok(())
}

fn attempt(asked: &Asked<'_>, file: Option<PathBuf>, json: bool) -> Result<()> {
    let token = if let Some(path) = file {
        let is_stdin = path.as_os_str() == "-";
        let read = if is_stdin { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
        clean_token(&Secret::new(read.map_err(TrustError::Token)?))?
    } else {
        let service = Access::new(asked.doors, asked.config, asked.profile)?.service()?;
        federated::job_token(asked.doors.env, service.address(), asked.doors.http)?
    };
    let told = asked.ask(Method::POST, "/trust-rules/try", Some(&json!({ "token": token.expose() })))?;
    if json {
        return asked.doors.ui.answer_json(&told);
    }
    match told["job"].as_str() {
        Some(job) => asked.doors.ui.note(&format!("the job is {}", clean(job))),
        None => asked.doors.ui.note("no rule names the issuer of this token, or it does not hold"),
    }
    let row = |rule: &Value| {
        let says = match (rule["admits"] == true, rule["mode"] == "audit") {
            (true, false) => "let in".to_owned(),
            (true, true) => "would be let in".to_owned(),
            (false, _) => text(rule, "why"),
        };
        vec![text(rule, "name"), says]
    };
    let rows: Vec<Vec<String>> = told["rules"].as_array().into_iter().flatten().map(row).collect();
    asked.doors.ui.table(&["rule", "says"], &rows)
}
