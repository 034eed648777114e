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

async fn lives() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready is who reaches the database.
async fn is_ready(State(server): State<Arc<Server>>) -> Answer<Json<Value>> {
    blocking(&server, |server| Ok(server.db.answers()?)).await?;
    Ok(Json(json!({ "status": "ok" })))
}
