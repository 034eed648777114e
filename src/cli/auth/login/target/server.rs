//! A service that is named by its address: a lanyard server, if it says that it is one.

use serde_json::Value;

use super::{free_service_name, of_issuer};
use crate::auth::LANYARD_API;
use crate::cli::Doors;
use crate::cli::auth::login::Args;
use crate::config::{Config, ServiceTable};
use crate::error::Result;
use crate::http::{self, Request};

use super::TargetError;

/// The client that a lanyard server knows without being told, and what it asks for.
const CLIENT: &str = "lanyard";
/// Who runs the organization asks for more: `--scopes all`.
const SCOPES: [&str; 9] = [
    "openid",
    "credentials.read",
    "credentials.write",
    "credentials.verify",
    "secrets.read",
    "members.read",
    "workspaces.write",
    "registries.write",
    "audit.read",
];

/// The service at an address: one that is configured already, a lanyard server, or any other issuer.
pub(super) fn find(
    doors: &Doors<'_>,
    config: &Config,
    address: &str,
    args: &Args,
) -> Result<(String, Option<ServiceTable>)> {
    let issuer = address.trim_end_matches('/');
    let url = http::parse_url(issuer).map_err(TargetError::BadIssuer)?;
    // Signed in as another program, it is another service.
    let asks_as = |table: &ServiceTable| {
        args.client_id.is_none() || table.client_id.is_none() || args.client_id == table.client_id
    };
    let known = |table: &ServiceTable| {
        table.issuer.as_deref().is_some_and(|known| known == issuer || known == address) && asks_as(table)
    };
    if let Some((name, _)) = config.services.iter().find(|(_, table)| known(table)) {
        return Ok((name.clone(), None));
    }
    let mut document = url.clone();
    document.set_path("/.well-known/oauth-authorization-server");
    let answer = doors.http.send(Request::get(document))?;
    let told: Option<Value> = answer.is_success().then(|| answer.json().ok()).flatten();
    if told.is_none_or(|told| told[LANYARD_API].as_i64().is_none()) {
        return of_issuer(config, address, args.client_id.as_deref());
    }
    Ok((free_service_name(config, &url), Some(table(issuer, args.client_id.as_deref()))))
}

/// The service that a lanyard server is.
pub(super) fn table(issuer: &str, client_id: Option<&str>) -> ServiceTable {
    ServiceTable {
        issuer: Some(issuer.to_owned()),
        client_id: Some(client_id.unwrap_or(CLIENT).to_owned()),
        scopes: Some(SCOPES.map(str::to_owned).to_vec()),
        endpoint: Some(issuer.to_owned()),
        vault: Some(true),
        ..ServiceTable::default()
    }
}
