//! Connecting a credential to an account at another service: how one signs in there, the way there, and the end of it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use url::Url;

use super::inside::{Inside, Sent, sentence};
use super::page::{Page, Text};
use super::shell::{Place, alert};
use crate::credential::{Credential, Metadata};
use crate::server::bridge::blocking;
use crate::server::caller::Access;
use crate::server::connections::{self, Begun, By, Connection, Ended};
use crate::server::permission::Permission;
use crate::server::problem::{Answer, Problem};
use crate::server::routes::Route;
use crate::server::state::Server;
use crate::server::vault::OrgVault;
use crate::server::vault::sign_in::is_sign_in;

mod form;

pub(super) fn routes() -> Vec<Route> {
    let write = Access::InsideProject(Permission::CredentialsWrite);
    let (get, post) = (Method::GET, Method::POST);
    vec![
        Route::new(get.clone(), "/portal/{org}/credentials/connect", write, form::show_new),
        Route::new(post.clone(), "/portal/{org}/credentials/connect", write, form::submit_new),
        Route::new(get.clone(), "/portal/{org}/credentials/{id}/connection", write, form::show),
        Route::new(post.clone(), "/portal/{org}/credentials/{id}/connection", write, form::submit),
        Route::new(get, "/portal/{org}/credentials/{id}/connect", write, show),
        Route::new(post.clone(), "/portal/{org}/credentials/{id}/connect", write, submit),
        Route::new(post, "/portal/{org}/credentials/{id}/disconnect", write, disconnect),
    ]
}

/// The organization and the credential of a path.
#[derive(Deserialize)]
struct One {
    id: String,
}

fn vault<'s>(server: &'s Server, inside: &Inside) -> OrgVault<'s> {
    server.vault(inside.caller.scope.clone(), inside.caller.actor.clone())
}

/// The sign-in of an identifier, which they may change where it belongs; what comes of none has no such page.
fn sign_in(server: &Server, inside: &Inside, id: &str) -> Answer<Metadata> {
    let metadata = vault(server, inside).by_id(id)?.ok_or_else(Problem::not_found)?.metadata;
    if !is_sign_in(metadata.kind) {
        return Err(Problem::not_found());
    }
    inside.caller.must(server, Permission::CredentialsWrite, metadata.scope.project())?;
    Ok(metadata)
}

async fn show(State(server): State<Arc<Server>>, inside: Inside, Path(One { id }): Path<One>) -> Answer<Response> {
    blocking(&server, move |server| {
        let metadata = sign_in(server, &inside, &id)?;
        Ok(question(&inside, &metadata, None).into_response())
    })
    .await
}

fn question(inside: &Inside, metadata: &Metadata, problem: Option<&str>) -> Page {
    let one = inside.path(&format!("credentials/{}", metadata.id));
    let is_new = Connection::of(metadata) == Connection::Never;
    let account = metadata.field("account").or(metadata.field("account_id"));
    let another = account.map_or_else(String::new, |account| {
        format!(
            "<label class=\"check\"><input type=\"checkbox\" name=\"switches\" value=\"yes\">Another account than {} may \
             come back</label>\n",
            Text(account)
        )
    });
    let scopes = metadata.field("scopes").map_or_else(
        || "<span class=\"none\">the service's usual ones</span>".to_owned(),
        |scopes| Text(scopes).to_string(),
    );
    let body = format!(
        "{}<p>{} asks you whether this server may act for your account. What it gives is kept here and renewed; whoever \
         may read the secrets of <strong>{}</strong> gets the access token, and nothing else of it.</p>\n\
         <dl class=\"facts\">\n<dt>Client id</dt><dd>{}</dd>\n<dt>Scopes</dt><dd>{scopes}</dd>\n</dl>\n\
         <form method=\"post\" action=\"{}/connect\">\n{}{another}\
         <p class=\"actions\"><button>{}</button><a class=\"button quiet\" href=\"{}/connection\">How one signs in</a>\
         <a class=\"button quiet\" href=\"{}\">Cancel</a></p>\n</form>",
        alert(problem),
        Text(metadata.service()),
        Text(&metadata.name),
        Text(metadata.field("client_id").unwrap_or("none")),
        Text(&one),
        inside.word(),
        if is_new { "Connect" } else { "Reconnect" },
        Text(&one),
        Text(&one),
    );
    let title = if is_new { "Connect" } else { "Reconnect" };
    inside.page(Place::Credentials, format!("{title} {}", metadata.name), body)
}

async fn submit(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    sent: Sent,
) -> Answer<Response> {
    let by = By::of(&inside.caller, "credential.connect");
    let switches = !sent.text("switches").is_empty();
    let (asker, known) = (inside.clone(), id.clone());
    blocking(&server, move |server| sign_in(server, &asker, &known).map(|_| ())).await?;
    match connections::begin(&server, &by, &inside.signed_in, &id, switches).await {
        Ok(Begun { service, url }) => Ok(go_on(&inside, &service, &url)),
        Err(problem)
            if [StatusCode::UNPROCESSABLE_ENTITY, StatusCode::SERVICE_UNAVAILABLE].contains(&problem.status()) =>
        {
            blocking(&server, move |server| {
                let metadata = sign_in(server, &inside, &id)?;
                let why = sentence(problem.detail());
                Ok(question(&inside, &metadata, Some(&why)).after(&problem).into_response())
            })
            .await
        }
        Err(problem) => Err(problem),
    }
}

/// The page that leads to the service. A form that ended there would have to be allowed to before it is known where that
/// is; so the browser goes on from here, by itself or by the link.
fn go_on(inside: &Inside, service: &str, url: &Url) -> Response {
    let host = url.host_str().unwrap_or_default();
    let body = format!(
        "<p>You go on to {} at {}.</p>\n<p class=\"actions\"><a class=\"button\" rel=\"noreferrer\" href=\"{}\">Go on</a></p>",
        Text(service),
        Text(host),
        Text(url.as_str()),
    );
    let mut response = inside.page(Place::Credentials, format!("Go on to {service}"), body).into_response();
    if let Ok(refresh) = HeaderValue::from_str(&format!("0;url={url}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    response
}

async fn disconnect(
    State(server): State<Arc<Server>>,
    inside: Inside,
    Path(One { id }): Path<One>,
    _: Sent,
) -> Answer<Response> {
    let by = By::of(&inside.caller, "credential.disconnect");
    let known = id.clone();
    let asker = inside.clone();
    let metadata = blocking(&server, move |server| sign_in(server, &asker, &known)).await?;
    if !metadata.secret_names.contains(Credential::SESSION) {
        return Err(connections::not_connected());
    }
    let done = match connections::end(&server, &by, &id).await? {
        Ended::AtTheService => "disconnected",
        _ => "ended-here",
    };
    Ok(inside.on(&format!("credentials/{id}?done={done}")))
}
