//! Whether the server lives, and whether it can do its work.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use serde_json::{Value, json};

use super::bridge::blocking;
use super::caller::Access;
use super::problem::Answer;
use super::routes::Route;
use super::state::Server;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::new(Method::GET, "/healthz", Access::Anyone, lives),
        Route::new(Method::GET, "/readyz", Access::Anyone, is_ready),
    ]
}

/// Whoever answers lives.
pub(crate) async fn lives() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready is who reaches the database, and the keeper of secrets where there is one.
async fn is_ready(State(server): State<Arc<Server>>) -> Answer<Json<Value>> {
    blocking(&server, |server| {
        server.db.answers()?;
        Ok(server.engine.kv().map_or(Ok(()), |kv| kv.answers(server.keys.instance()))?)
    })
    .await?;
    Ok(Json(json!({ "status": "ok" })))
}
