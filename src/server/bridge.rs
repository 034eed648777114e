//! The one bridge from the server's tasks to the domain, which knows no tasks: it may block for as long as it likes.

use std::sync::Arc;

use super::problem::{Answer, Problem};
use super::state::Server;

/// Runs work that blocks. Every handler goes through here; what it calls may read, write, wait and ask providers.
pub(crate) async fn blocking<T: Send + 'static>(
    server: &Arc<Server>,
    work: impl FnOnce(&Server) -> Answer<T> + Send + 'static,
) -> Answer<T> {
    let server = Arc::clone(server);
    match tokio::task::spawn_blocking(move || work(&server)).await {
        Ok(answer) => answer,
        Err(broken_off) => Err(Problem::internal(&broken_off)),
    }
}
