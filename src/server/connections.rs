//! Credentials that come of a sign-in at another service, which the server holds: somebody signs in once in the portal,
//! and from then on the server renews what it got, for everybody who uses it.
//!
//! Nobody reads what renews a sign-in, nor the secret of the client. What goes to the service goes through the connector
//! alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::Json;
use super::audit::Event;
use super::bridge::blocking;
use super::caller::{Access, Caller};
use super::connector::Connector;
use super::permission::Permission;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::Server;
use super::vault::sign_in::is_sign_in;
use super::vault::{OrgVault, Stored};
use crate::auth::hosted::Registration;
use crate::auth::login;
use crate::credential::{Check, Credential, Fields, Metadata};
use crate::error::with_causes;
use crate::secret::Secret;

mod attempt;
mod callback;
mod end;
mod lease;
mod refresh;

pub(crate) use attempt::{Begun, begin};
pub(crate) use end::{Ended, end};
pub(crate) use refresh::{By, Want, fresh};

/// Where services send browsers back to.
pub(crate) const CALLBACK: &str = "/connect/callback";

pub(crate) fn routes() -> Vec<Route> {
    let write = Access::InProject(Permission::CredentialsWrite);
    let verify = Access::InProject(Permission::CredentialsVerify);
    vec![
        Route::new(Method::GET, CALLBACK, Access::Page, callback::come_back),
        Route::api(
            Method::POST,
            "/credential-configs/{id}/connect",
            write,
            offer,
            "connectCredential",
            "Tell where to sign in",
        )
        .refuses(&["no-sign-in"]),
        Route::api(
            Method::POST,
            "/credential-configs/{id}/disconnect",
            write,
            disconnect,
            "disconnectCredential",
            "End a sign-in",
        )
        .refuses(&["no-sign-in", "not-connected"]),
        Route::api(
            Method::POST,
            "/credential-configs/{id}/refresh",
            verify,
            renew,
            "refreshCredential",
            "Renew a sign-in",
        )
        .refuses(&["no-sign-in", "not-connected", "needs-reconnecting", "service-unreachable", "renewing"]),
    ]
}

/// Where a sign-in stands, as far as its metadata tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// Nobody has signed in yet.
    Never,
    /// It works, and is renewed.
    Connected,
    /// Its time is over, and the service gave nothing to renew it with.
    Expired,
    /// The service does not renew it any more.
    Refused,
    /// It was ended here.
    Disconnected,
}

impl Connection {
    /// Where the sign-in of a credential stands.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        match (metadata.secret_names.contains(Credential::SESSION), metadata.check) {
            (false, Check::Never) => Self::Never,
            (false, _) => Self::Disconnected,
            (true, Check::Expired) => Self::Expired,
            (true, Check::Invalid) => Self::Refused,
            (true, _) => Self::Connected,
        }
    }

    /// The words for it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Never => "not connected",
            Self::Connected => "connected",
            Self::Expired => "expired",
            Self::Refused => "needs reconnecting",
            Self::Disconnected => "disconnected",
        }
    }
}

/// What the fields of a credential say of how one signs in.
fn registration(metadata: &Metadata, client_secret: Option<&Secret>) -> Registration {
    registered(&metadata.fields, client_secret)
}

/// Refuses values by which nobody can sign in.
pub(crate) fn check(fields: &Fields) -> Answer<()> {
    registered(&fields.plain, None).check().map_err(|failure| cannot(&failure))
}

fn registered(plain: &BTreeMap<String, String>, client_secret: Option<&Secret>) -> Registration {
    let field = |name: &str| plain.get(name).cloned();
    Registration {
        service: field("service").unwrap_or_default(),
        issuer: field("issuer"),
        authorization_endpoint: field("authorization_endpoint"),
        token_endpoint: field("token_endpoint"),
        revocation_endpoint: field("revocation_endpoint"),
        endpoint: field("endpoint"),
        client_id: field("client_id"),
        client_secret: client_secret.map(Secret::duplicate),
        scopes: plain.get("scopes").map(|scopes| login::scopes(scopes)).unwrap_or_default(),
        account: field("account"),
    }
}

/// The way to services.
fn connector(server: &Server) -> Connector<'_> {
    Connector::new(&server.allowed_hosts)
}

/// What cannot be signed in to, in words that name no address that was asked.
fn cannot(failure: &(dyn crate::error::Failure + 'static)) -> Problem {
    tracing::debug!(reason = with_causes(failure), "a sign-in");
    Problem::invalid(failure.to_string())
}

/// The credential of a sign-in, of the caller's organization, to which they may do this.
fn permitted<'s>(
    server: &'s Server,
    caller: &Caller,
    id: &str,
    permission: Permission,
) -> Answer<(OrgVault<'s>, Stored)> {
    let vault = server.vault(caller.scope.clone(), caller.actor.clone());
    let stored = vault.by_id(id)?.ok_or_else(Problem::not_found)?;
    caller.sees(stored.metadata.scope.project())?;
    caller.must(server, permission, stored.metadata.scope.project())?;
    if is_sign_in(stored.metadata.kind) {
        return Ok((vault, stored));
    }
    let why = "this credential comes of no sign-in";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-sign-in", why))
}

/// Where a person goes on.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConnectionOffer")]
struct Offered {
    url: String,
}

/// How a sign-in was ended.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Disconnected")]
struct Parted {
    /// Whether the service ended it as well.
    revoked: bool,
    outcome: &'static str,
}

/// How a sign-in stands after it was renewed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RenewedConnection")]
struct Renewed {
    version: i64,
    expires: Option<DateTime<Utc>>,
    connection: &'static str,
}

/// Tells where a person goes on in a browser. Whoever opens it signs in to the portal, so that nobody's account is
/// connected by following a stranger's link.
async fn offer(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Json<Offered>> {
    blocking(&server, move |server| {
        let (_, stored) = permitted(server, &caller, &id, Permission::CredentialsWrite)?;
        registration(&stored.metadata, None).check().map_err(|failure| cannot(&failure))?;
        server.tell(&caller.scope, &caller.actor, &Event::done("credential.connect-offer", &id))?;
        let path = format!("/portal/{}/credentials/{id}/connect", caller.scope.id());
        Ok(Json(Offered { url: server.address(&path) }))
    })
    .await
}

async fn disconnect(State(server): State<Arc<Server>>, caller: Caller, Path(id): Path<String>) -> Answer<Json<Parted>> {
    let by = By::of(&caller, "credential.disconnect");
    let known = id.clone();
    blocking(&server, move |server| permitted(server, &caller, &known, Permission::CredentialsWrite).map(|_| ()))
        .await?;
    let ended = end(&server, &by, &id).await?;
    Ok(Json(Parted { revoked: ended == Ended::AtTheService, outcome: ended.word() }))
}

/// What is said of the token that is to be renewed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Refused {
    /// The version whose token did not work; where there is another by now, that is the renewed one.
    version: Option<i64>,
}

/// The state of a sign-in after it was renewed.
async fn renew(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path<String>,
    Json(refused): Json<Refused>,
) -> Answer<Json<Renewed>> {
    let by = By::of(&caller, "credential.refresh");
    let known = id.clone();
    let version = blocking(&server, move |server| {
        let (_, stored) = permitted(server, &caller, &known, Permission::CredentialsVerify)?;
        if !stored.metadata.secret_names.contains(Credential::SESSION) {
            return Err(not_connected());
        }
        Ok(stored.metadata.version)
    })
    .await?;
    fresh(&server, &by, &id, Want::Newer(refused.version.unwrap_or(version))).await?;
    blocking(&server, move |server| {
        let stored = server.vault(by.scope, by.actor).by_id(&id)?.ok_or_else(Problem::not_found)?;
        let metadata = stored.metadata;
        let connection = Connection::of(&metadata).words();
        Ok(Json(Renewed { version: metadata.version, expires: metadata.expires, connection }))
    })
    .await
}

/// Nobody has signed in.
pub(crate) fn not_connected() -> Problem {
    let why = "nobody has signed in for this credential, or it was disconnected";
    Problem::new(StatusCode::CONFLICT, "not-connected", why)
}

/// Somebody has to sign in anew.
pub(crate) fn needs_reconnecting() -> Problem {
    let why = "the service does not renew this sign-in any more: somebody has to reconnect it";
    Problem::new(StatusCode::CONFLICT, "needs-reconnecting", why)
}
