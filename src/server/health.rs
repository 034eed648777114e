//! Whether the server lives, and whether it can do its work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Mutex;

use super::api::Json;
use super::bridge::blocking;
use super::caller::Access;
use super::problem::{Answer, Problem};
use super::routes::Route;
use super::state::Server;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::api(Method::GET, "/healthz", Access::Anyone, lives, "isAlive", "Whether the server lives"),
        Route::api(Method::GET, "/readyz", Access::Anyone, is_ready, "isReady", "Whether it reaches its database"),
    ]
}

/// So long counts what the keeper of secrets answered: whoever asks often does not have it asked as often.
const COUNTS: Duration = Duration::from_secs(1);

/// Whether the keeper of secrets answered when it was last asked, and when that was.
pub(crate) type Keeper = Arc<Mutex<Option<(Instant, bool)>>>;

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
    blocking(&server, |server| Ok(server.db.answers()?)).await?;
    if server.engine.kv().is_none() || reaches_keeper(&server).await? { Ok(WELL) } else { Err(Problem::no_secrets()) }
}

/// Whether the keeper answers, or did a moment ago. Whoever comes while it is asked waits for that answer.
async fn reaches_keeper(server: &Arc<Server>) -> Answer<bool> {
    let mut known = Arc::clone(&server.keeper).lock_owned().await;
    if let Some((at, answers)) = *known
        && at.elapsed() < COUNTS
    {
        return Ok(answers);
    }
    let server = Arc::clone(server);
    // A task of its own: somebody who goes away meanwhile does not let the next one ask beside it.
    let asked = tokio::spawn(async move {
        let answered = blocking(&server, |server| match server.engine.kv() {
            Some(kv) => Ok(kv.answers(server.keys.instance())?),
            None => Ok(()),
        });
        let answers = answered.await.is_ok();
        *known = Some((Instant::now(), answers));
        answers
    });
    asked.await.map_err(|broken_off| Problem::internal(&broken_off))
}
