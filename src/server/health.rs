//! Whether the server lives, and whether it can do its work.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::api::Json;
use super::bridge::blocking;
use super::caller::Access;
use super::problem::Answer;
use super::routes::Route;
use super::state::Server;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::api(Method::GET, "/healthz", Access::Anyone, lives, "isAlive", "Whether the server lives"),
        Route::api(Method::GET, "/readyz", Access::Anyone, is_ready, "isReady", "Whether it reaches its database"),
    ]
}

/// How the server is.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Status {
    /// `ok`; what is not well answers with another status of HTTP.
    status: &'static str,
}

const WELL: Json<Status> = Json(Status { status: "ok" });

/// Whoever answers lives.
pub(crate) async fn lives() -> Json<Status> {
    WELL
}

/// Ready is who reaches the database, and the keeper of secrets where there is one.
async fn is_ready(State(server): State<Arc<Server>>) -> Answer<Json<Status>> {
    blocking(&server, |server| {
        server.db.answers()?;
        Ok(server.engine.kv().map_or(Ok(()), |kv| kv.answers(server.keys.instance()))?)
    })
    .await?;
    Ok(WELL)
}
