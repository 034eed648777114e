//! `lanyard project …`: the project that commands work on.

use serde_json::Value;

use crate::auth::identity::IdentityError;
use crate::cli::access::Access;
use crate::cli::{Doors, active};
use crate::config::{Profile, document, edit, schema};
use crate::error::{Code, Failure, Result};
use crate::http::{self, Request, Url};
use crate::text::{clean, nearest};

/// The most pages of a project list that are fetched.
const MAX_PAGES: usize = 100;
/// The longest page of a project list, in bytes.
const MAX_PAGE: usize = 8 << 20;

/// Choose the project
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// List the projects that the service knows; a star marks the one in use
    ///
    /// With --json: an array of objects with name and current.
    #[command(after_help = "Example:\n  lanyard project list")]
    List,
    /// Use this project under the profile in force
    #[command(after_help = "Example:\n  lanyard project use web-shop")]
    Use {
        /// The project's name
        #[arg(value_parser = crate::cli::ui::name, add = clap_complete::ArgValueCandidates::new(crate::cli::completions::projects))]
        name: String,
        /// Do not ask the service whether the project exists
        #[arg(long)]
        no_verify: bool,
    },
    /// Print the project in use
    #[command(after_help = "Example:\n  lanyard project current")]
    Current,
    /// Use no project under the profile in force
    #[command(after_help = "Example:\n  lanyard project unset")]
    Unset,
}

/// Why there is no such project.
#[derive(Debug, thiserror::Error)]
enum ProjectError {
    #[error("no project is in use under profile {profile}")]
    None { profile: String },
    #[error("{service} lists no projects: it has no `api.projects`")]
    NotListed { service: String },
    #[error("{service} knows no project {name}")]
    Unknown { service: String, name: String, nearest: Option<String> },
    #[error("the project list of {service} is not what [services.{service}.api] says it is")]
    Malformed { service: String },
    #[error("profile {profile} is not in the configuration")]
    NoProfile { profile: String },
}

impl Failure for ProjectError {
    fn code(&self) -> Code {
        match self {
            Self::None { .. } | Self::Unknown { .. } => Code::Failed,
            Self::NotListed { .. } | Self::Malformed { .. } | Self::NoProfile { .. } => Code::Config,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::None { .. } => "lanyard project use NAME".into(),
            Self::NotListed { service } => {
                let key = schema::join(&["services", service, "api"].map(str::to_owned));
                format!("set {key}.projects and {key}.project_name, or use `lanyard project use NAME`")
            }
            Self::Unknown { nearest: Some(nearest), .. } => {
                format!("did you mean `{nearest}`? `lanyard project list` shows all")
            }
            Self::Unknown { .. } => "lanyard project list".into(),
            Self::Malformed { service } => {
                let key = schema::join(&["services", service, "api"].map(str::to_owned));
                format!("check {key}.projects_list and {key}.project_name")
            }
            Self::NoProfile { .. } => "lanyard auth login".into(),
        })
    }
}

impl Command {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        match self {
            Self::List => list(doors),
            Self::Use { name, no_verify } => choose(doors, &name, no_verify),
            Self::Current => current(doors),
            Self::Unset => unset(doors),
        }
    }
}

fn list(doors: &Doors<'_>) -> Result<()> {
    let (config, profile) = active::active(doors)?;
    let access = Access::new(doors, &config, &profile)?;
    let Some(projects) = projects(&access)? else {
        return Err(ProjectError::NotListed { service: access.service()?.name }.into());
    };
    let in_use = profile.project.as_ref().map(|project| project.value.as_str());
    if active::output_json(&profile) {
        let rows: Vec<Value> =
            projects.iter().map(|name| serde_json::json!({ "name": name, "current": in_use == Some(name) })).collect();
        return doors.ui.answer_json(&rows);
    }
    for name in &projects {
        let mark = if in_use == Some(name) { "*" } else { " " };
        doors.ui.answer(&format!("{mark} {}", clean(name)))?;
    }
    Ok(())
}

fn choose(doors: &Doors<'_>, name: &str, no_verify: bool) -> Result<()> {
    let (config, profile) = active::active(doors)?;
    let profile_name = known(&profile)?;
    if !no_verify {
        let access = Access::new(doors, &config, &profile)?;
        if let Some(projects) = projects(&access)?
            && !projects.iter().any(|known| known == name)
        {
            let nearest = nearest(name, projects.iter().map(String::as_str)).map(clean);
            return Err(ProjectError::Unknown { service: access.service()?.name, name: clean(name), nearest }.into());
        }
    }
    let key = ["profiles", profile_name, "project"].map(str::to_owned);
    edit::edit(doors.env, |document| Ok(document::set(document, &key, name.into())?))?;
    doors.ui.done(&format!("Profile {profile_name} uses project {}", clean(name)));
    let (_, now) = active::active(doors)?;
    if let Some(project) = now.project.filter(|project| project.value != name) {
        doors.ui.warn(&format!("here, {} comes first, because of {}", clean(&project.value), project.source));
    }
    Ok(())
}

fn current(doors: &Doors<'_>) -> Result<()> {
    let (_, profile) = active::active(doors)?;
    let Some(project) = &profile.project else {
        return Err(ProjectError::None { profile: profile.name.value }.into());
    };
    if active::output_json(&profile) {
        return doors
            .ui
            .answer_json(&serde_json::json!({ "project": project.value, "source": project.source.to_string() }));
    }
    doors.ui.answer(&clean(&project.value))
}

fn unset(doors: &Doors<'_>) -> Result<()> {
    let (_, profile) = active::active(doors)?;
    let key = ["profiles", known(&profile)?, "project"].map(str::to_owned);
    let removed = edit::edit(doors.env, |document| Ok(document::unset(document, &key)))?;
    if removed {
        doors.ui.done(&format!("Profile {} uses no project", profile.name.value));
    } else {
        doors.ui.note(&format!("Profile {} used no project", profile.name.value));
    }
    Ok(())
}

fn known(profile: &Profile) -> Result<&str> {
    if profile.exists {
        return Ok(&profile.name.value);
    }
    Err(ProjectError::NoProfile { profile: profile.name.value.clone() }.into())
}

/// The names of the service's projects, page by page; `None` where the service lists none.
fn projects(access: &Access<'_>) -> Result<Option<Vec<String>>> {
    let service = access.service()?;
    let Some((api, path)) = service.api().and_then(|api| Some((api, api.projects.as_deref()?))) else {
        return Ok(None);
    };
    let bearer = access.bearer()?;
    let endpoint = access.endpoint_for(&bearer)?;
    let bad = |cause| IdentityError::BadEndpoint { service: service.name.clone(), cause };
    let malformed = || ProjectError::Malformed { service: service.name.clone() };
    let mut next = Some(http::below(&endpoint, path).map_err(bad)?);
    let mut names = Vec::new();
    for _ in 0..MAX_PAGES {
        let Some(url) = next.take() else { break };
        let mut request = Request::get(url.clone()).bearer(bearer.token());
        request.max_answer = MAX_PAGE;
        let answer = access.http().send(request)?;
        match answer.status {
            200..=299 => {}
            401 => {
                return Err(IdentityError::Rejected {
                    service: service.name.clone(),
                    token_page: api.token_page.clone(),
                }
                .into());
            }
            403 => return Err(IdentityError::Forbidden { service: service.name.clone() }.into()),
            status => return Err(IdentityError::Status { service: service.name.clone(), status }.into()),
        }
        let page: Value = answer.json().map_err(|_| malformed())?;
        let list = api.projects_list.as_deref().map_or(Some(&page), |pointer| page.pointer(pointer));
        let list = list.and_then(Value::as_array).ok_or_else(malformed)?;
        let name_of = |project: &Value| match api
            .project_name
            .as_deref()
            .map_or(Some(project), |pointer| project.pointer(pointer))?
        {
            Value::String(name) => Some(name.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        names.extend(list.iter().filter_map(name_of));
        next = next_page(&url, answer.header(&http::header::LINK));
    }
    Ok(Some(names))
}

/// The address of the next page in a `Link` header (RFC 8288), if it is at the same origin.
pub(super) fn next_page(current: &Url, link: Option<&str>) -> Option<Url> {
    link?.split(',').find_map(|entry| {
        let (target, parameters) = entry.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            parameter
                .trim()
                .strip_prefix("rel=")
                .is_some_and(|rel| rel.trim_matches('"').split(' ').any(|word| word == "next"))
        });
        let url = current.join(target).ok().filter(|url| is_next && url.origin() == current.origin())?;
        Some(url)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_and_stays_at_home() {
        let here = Url::parse("https://api.example/projects?page=1").unwrap();
        let link =
            r#"<https://api.example/projects?page=9>; rel="last", <https://api.example/projects?page=2>; rel="next""#;
        assert_eq!(next_page(&here, Some(link)).unwrap().as_str(), "https://api.example/projects?page=2");
        assert_eq!(
            next_page(&here, Some("</projects?page=2>; rel=next")).unwrap().as_str(),
            "https://api.example/projects?page=2"
        );
        assert!(next_page(&here, Some(r#"<https://evil.example/>; rel="next""#)).is_none());
        assert!(next_page(&here, None).is_none());
    }
}
