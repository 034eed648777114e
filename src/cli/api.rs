//! `lanyard api`: an authenticated request to the profile's endpoint, and to no other origin.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::auth::identity::IdentityError;
use crate::cli::access::Access;
use crate::cli::project::next_page;
use crate::cli::{Doors, active};
use crate::error::{Code, Failure, Result};
use crate::http::{self, BadUrl, HeaderName, HeaderValue, Method, Request, Response, Url, header};
use crate::text::clean;

/// The longest answer that is passed on, in bytes.
const MAX_ANSWER: usize = 64 << 20;
/// The longest body that is read from a file or stdin, in bytes.
const MAX_BODY: u64 = 64 << 20;
/// The most pages that `--paginate` fetches.
const MAX_PAGES: usize = 1000;
/// How long one request may take.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Send an authenticated request to the profile's endpoint and print the answer as it came
///
/// PATH is below the endpoint: `/v1/me`. A full address works only at the endpoint's own origin. The placeholder
/// {project} in PATH stands for the project in use. Exits with 8 for 401, 5 for 403, 1 for any other refusal.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Examples:\n  lanyard api GET /v1/me\n  lanyard api POST /v1/projects -f name=web-shop -F public=true\n  \
lanyard api GET /v1/projects --paginate"
)]
pub(super) struct Args {
    /// GET, POST, PUT, PATCH, DELETE or any other method
    #[arg(value_parser = parse_method)]
    method: Method,
    /// The path below the endpoint, with an optional query
    path: String,
    /// A text field: of the query for GET and HEAD, of a JSON body otherwise
    #[arg(short = 'f', long = "field", value_name = "KEY=VALUE", value_parser = parse_field)]
    fields: Vec<(String, String)>,
    /// A field of a JSON body whose value is true, false, null or a number
    #[arg(short = 'F', long = "typed-field", value_name = "KEY=VALUE", value_parser = parse_field)]
    typed_fields: Vec<(String, String)>,
    /// A header, such as `Accept: text/plain`
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Send this file as the body; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fields", "typed_fields"])]
    input: Option<PathBuf>,
    /// Follow the Link headers and print every page
    #[arg(long)]
    paginate: bool,
    /// Print the status and the headers of the answer first
    #[arg(long, short)]
    include: bool,
}

/// Why there is no answer to pass on.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("the path cannot be used")]
    BadPath(#[source] BadUrl),
    #[error("{origin} is not the origin of the profile's endpoint")]
    OtherOrigin { origin: String },
    #[error("the path names {{project}}, and no project is in use")]
    NoProject,
    #[error("the body is longer than 64 MiB")]
    LongBody,
    #[error("--paginate repeats the request, so it goes with GET alone")]
    Paginate,
    #[error("cannot read the body")]
    Body(#[source] std::io::Error),
    #[error("the service answered {status} {reason}")]
    Status { status: u16, reason: &'static str },
    #[error("Permission denied for {project}")]
    ProjectForbidden { project: String },
    #[error("Permission denied: the service answered 403")]
    Forbidden,
}

impl Failure for ApiError {
    fn code(&self) -> Code {
        match self {
            Self::BadPath(_)
            | Self::OtherOrigin { .. }
            | Self::NoProject
            | Self::Body(_)
            | Self::LongBody
            | Self::Paginate => Code::Usage,
            Self::Status { status, .. } if *status >= 500 || *status == 429 => Code::Unreachable,
            Self::Status { .. } => Code::Failed,
            Self::ProjectForbidden { .. } | Self::Forbidden => Code::Forbidden,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::BadPath(_) => "write the path as it follows the endpoint: /v1/me".into(),
            Self::OtherOrigin { .. } => {
                "choose the profile of that service with `--profile`; a token goes to its own service alone".into()
            }
            Self::NoProject => "lanyard project use NAME, or --project NAME".into(),
            Self::Body(_) | Self::LongBody => "check the file given to --input".into(),
            Self::Paginate => "leave --paginate out, or ask with GET".into(),
            Self::Status { .. } => "the answer above says more".into(),
            Self::ProjectForbidden { .. } => "lanyard project list".into(),
            Self::Forbidden => {
                "sign in with more rights: `lanyard auth login --scopes …`, or as another account".into()
            }
        })
    }
}

impl Args {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        let (config, profile) = active::active(doors)?;
        let access = Access::new(doors, &config, &profile)?;
        let project = profile.project.as_ref().map(|project| project.value.as_str());
        let path = self.path_for(project)?;
        if self.paginate && self.method != Method::GET {
            return Err(ApiError::Paginate.into());
        }
        let body = self.body()?;
        let bearer = access.bearer()?;
        let endpoint = access.endpoint_for(&bearer)?;
        let mut next = Some(self.address(&endpoint, &path)?);
        for _ in 0..if self.paginate { MAX_PAGES } else { 1 } {
            let Some(url) = next.take() else { break };
            let answer = doors.http.send(self.request(url.clone(), body.as_ref()).bearer(bearer.token()))?;
            self.pass_on(doors, &answer)?;
            judge(&access, &answer, project.filter(|_| self.path.contains("{project}")))?;
            next = next_page(&url, answer.header(&header::LINK));
        }
        Ok(())
    }

    /// The path with the project in place. Each value stands as one segment, whatever it holds.
    fn path_for(&self, project: Option<&str>) -> Result<String> {
        if !self.path.contains("{project}") {
            return Ok(self.path.clone());
        }
        let project = project.ok_or(ApiError::NoProject)?;
        Ok(self.path.replace("{project}", &http::segment(project)))
    }

    /// The address of the request. A full address must be at the endpoint's origin.
    fn address(&self, endpoint: &Url, path: &str) -> Result<Url> {
        let mut url = if is_address(path) {
            let url = http::parse_url(path).map_err(ApiError::BadPath)?;
            if url.origin() != endpoint.origin() {
                return Err(ApiError::OtherOrigin { origin: url.origin().ascii_serialization() }.into());
            }
            url
        } else {
            http::below(endpoint, path).map_err(ApiError::BadPath)?
        };
        if self.fields_in_query() && self.has_fields() {
            url.query_pairs_mut().extend_pairs(self.fields.iter().chain(&self.typed_fields));
        }
        Ok(url)
    }

    fn has_fields(&self) -> bool {
        !self.fields.is_empty() || !self.typed_fields.is_empty()
    }

    fn fields_in_query(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    fn body(&self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        if let Some(path) = &self.input {
            let mut bytes = Zeroizing::new(Vec::new());
            let read = if path.as_os_str() == "-" {
                std::io::stdin().lock().take(MAX_BODY + 1).read_to_end(&mut bytes)
            } else {
                std::fs::File::open(path).and_then(|file| file.take(MAX_BODY + 1).read_to_end(&mut bytes))
            };
            read.map_err(ApiError::Body)?;
            if bytes.len() as u64 > MAX_BODY {
                return Err(ApiError::LongBody.into());
            }
            return Ok(Some(bytes));
        }
        if !self.has_fields() || self.fields_in_query() {
            return Ok(None);
        }
        let text = self.fields.iter().map(|(key, value)| (key.clone(), Value::String(value.clone())));
        let typed = self.typed_fields.iter().map(|(key, value)| (key.clone(), typed(value)));
        let object: Map<String, Value> = text.chain(typed).collect();
        Ok(Some(Zeroizing::new(Value::Object(object).to_string().into_bytes())))
    }

    fn request(&self, url: Url, body: Option<&Zeroizing<Vec<u8>>>) -> Request {
        let mut request = Request::new(self.method.clone(), url);
        request.max_answer = MAX_ANSWER;
        request.timeout = TIMEOUT;
        request.follow_same_origin = self.fields_in_query();
        if let Some(body) = body {
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.body = Some(body.clone());
        }
        for (name, value) in &self.headers {
            request.headers.insert(name.clone(), value.clone());
        }
        request
    }

    fn pass_on(&self, doors: &Doors<'_>, answer: &Response) -> Result<()> {
        if self.include {
            doors.ui.answer(&format!("HTTP {}", answer.status))?;
            for (name, value) in &answer.headers {
                doors.ui.answer(&format!("{name}: {}", clean(&String::from_utf8_lossy(value.as_bytes()))))?;
            }
            doors.ui.answer("")?;
        }
        doors.ui.answer_bytes(&answer.body)?;
        // The bytes are the service's; on a terminal, what comes next starts on a line of its own.
        if doors.env.stdout_is_terminal && answer.body.last().is_some_and(|last| *last != b'\n') {
            doors.ui.answer("")?;
        }
        Ok(())
    }
}

/// What the status means for the exit code. The answer itself was passed on already.
fn judge(access: &Access<'_>, answer: &Response, project: Option<&str>) -> Result<()> {
    match answer.status {
        200..=399 => Ok(()),
        401 => {
            let service =
                access.service().map_or_else(|_| "the service".to_owned(), |service| service.title().to_owned());
            Err(IdentityError::Rejected { service, token_page: None }.into())
        }
        403 => Err(match project {
            Some(project) => ApiError::ProjectForbidden { project: clean(project) }.into(),
            None => ApiError::Forbidden.into(),
        }),
        status => Err(ApiError::Status { status, reason: http::reason_phrase(status) }.into()),
    }
}

/// Whether this is a whole address rather than a path, which may hold one in its query.
fn is_address(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.starts_with("https://") || lower.starts_with("http://")
}

/// `true`, `false`, `null` and numbers as JSON has them; everything else is text.
fn typed(value: &str) -> Value {
    match serde_json::from_str(value) {
        Ok(plain @ (Value::Bool(_) | Value::Null | Value::Number(_))) => plain,
        _ => Value::String(value.to_owned()),
    }
}

fn parse_method(text: &str) -> std::result::Result<Method, String> {
    Method::from_bytes(text.to_ascii_uppercase().as_bytes()).map_err(|_| "this is no HTTP method".into())
}

fn parse_field(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn parse_header(text: &str) -> std::result::Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| "this is no header name")?;
    if [header::AUTHORIZATION, header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&name) {
        return Err("lanyard sets this header itself".into());
    }
    let value = HeaderValue::from_str(value.trim()).map_err(|_| "this is no header value")?;
    Ok((name, value))
}
