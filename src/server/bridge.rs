//! The one bridge from the server's tasks to the domain, which knows no tasks: it may block for as long as it likes.

use std::sync::Arc;

use tokio::task::AbortHandle;

use super::problem::{Answer, Problem};
use super::state::Server;

/// Whoever waits for work. Work that has not begun when they are gone is not begun.
struct Waiter(AbortHandle);

impl Drop for Waiter {
    fn drop(&mut self) {
        // Work that has begun goes on.
        self.0.abort();
    }
}

/// Runs work that blocks. Every handler goes through here; what it calls may read, write, wait and ask providers.
pub(crate) async fn blocking<T: Send + 'static>(
    server: &Arc<Server>,
    work: impl FnOnce(&Server) -> Answer<T> + Send + 'static,
) -> Answer<T> {
    let server = Arc::clone(server);
    let work = tokio::task::spawn_blocking(move || work(&server));
    let _waiter = Waiter(work.abort_handle());
    match work.await {
        Ok(answer) => answer,
        Err(broken_off) => Err(Problem::internal(&broken_off)),
    }
}
