//! Who a token is, and whether it may see the project. That there is a token proves the credential already; nothing that
//! comes after takes this back.

use serde::Deserialize;

use super::{Form, TITLE, address, token};
use crate::credential::{Credential, Material};
use crate::http::{Request, Response, segment};
use crate::provider::{Net, Outcome, ProviderError, Verdict};
use crate::secret::Secret;
use crate::text::repeats;

/// An error as Google's APIs tell it.
#[derive(Deserialize)]
struct Failed {
    error: Inner,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    reason: Option<String>,
}

/// What an answer that is no success says: Google's word for it, the reason behind it, and the sentence.
pub(super) struct Said {
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) message: String,
}

/// Reads the error that one of Google's APIs tells; `None` where the body is none.
pub(super) fn said(answer: &Response) -> Option<Said> {
    let Failed { error } = answer.json().ok()?;
    let reason = error.details.into_iter().find_map(|detail| detail.reason);
    Some(Said { status: error.status, reason, message: error.message })
}

/// Gets a token, and asks who it is.
pub(super) fn verify(credential: &Credential, net: &Net<'_>) -> Result<Verdict, ProviderError> {
    let issued = token::issue(credential, net)?;
    let Material::Bearer(token) = &issued.material else { return Ok(Verdict::cannot_be_asked()) };
    let verdict = if Form::of(&credential.metadata) == Form::User {
        who(credential, token, net)?
    } else {
        credential.field("client_email").map_or_else(Verdict::valid_unnamed, Verdict::valid)
    };
    project(credential, token, net, verdict)
}

/// Whose token it is. A sign-in without the scope `email` does not tell.
fn who(credential: &Credential, token: &Secret, net: &Net<'_>) -> Result<Verdict, ProviderError> {
    #[derive(Deserialize)]
    struct Info {
        email: Option<String>,
        #[serde(default)]
        scope: String,
    }
    let url = address::OAUTH.at(&credential.metadata, net, "/tokeninfo")?;
    let answer = net.http.send(Request::form(url, &[("access_token", token.expose())]));
    let info = answer.ok().filter(Response::is_success).and_then(|answer| answer.json::<Info>().ok());
    // A server that repeats the token tells nothing.
    let tells = |text: &str| !repeats(text, token.expose());
    let email = info.as_ref().and_then(|info| info.email.as_deref()).filter(|email| tells(email));
    let verdict = email.or_else(|| credential.field("account")).map_or_else(Verdict::valid_unnamed, Verdict::valid);
    Ok(match &info {
        Some(info) => verdict.with_scopes(info.scope.split_ascii_whitespace().filter(|scope| tells(scope))),
        None => verdict,
    })
}

/// Whether the project can be seen. Only a plain no counts: where the API is switched off, or does not answer, nobody
/// knows.
fn project(
    credential: &Credential,
    token: &Secret,
    net: &Net<'_>,
    verdict: Verdict,
) -> Result<Verdict, ProviderError> {
    let Some(project) = credential.field("project_id") else { return Ok(verdict) };
    let url = address::PROJECTS.at(&credential.metadata, net, &format!("/v3/projects/{}", segment(project)))?;
    let Ok(answer) = net.http.send(Request::get(url).bearer(token)) else { return Ok(verdict) };
    let Some(said) = said(&answer).filter(|_| answer.status == 403) else { return Ok(verdict) };
    if said.reason.as_deref() == Some("SERVICE_DISABLED") || said.status != "PERMISSION_DENIED" {
        return Ok(verdict);
    }
    let refused = Verdict::failed(
        Outcome::Insufficient,
        format!("{TITLE} accepts it and does not let it see the project {project}"),
        "check the name of the project, or grant it resourcemanager.projects.get (role Browser), if you want it seen",
    );
    Ok(Verdict { identity: verdict.identity, scopes: verdict.scopes, ..refused.code(said.status) })
}
