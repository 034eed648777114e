//! The certificate is replaced while the server goes on: when its files change, and when the process is told to look (SIGHUP).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use tokio::sync::watch;

use super::error::ServeError;
use super::tls;
use crate::error::Failure as _;

/// How often is looked whether the files have changed.
const EVERY: Duration = Duration::from_secs(5);

/// The certificate of a server, and where it comes from.
pub(crate) struct Certificate {
    files: (PathBuf, PathBuf),
    current: watch::Sender<Arc<ServerConfig>>,
    stamps: [Stamp; 2],
}

/// What tells one state of a file from another.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(file: &Path) -> Stamp {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}

impl Certificate {
    /// Reads it for the first time: one that cannot be used is said before anybody is served.
    pub(crate) fn read(files: &(PathBuf, PathBuf)) -> Result<Self, ServeError> {
        let stamps = [stamp(&files.0), stamp(&files.1)];
        let current = watch::Sender::new(tls::config(&files.0, &files.1)?);
        Ok(Self { files: files.clone(), current, stamps })
    }

    /// The one in force, for each new connection.
    pub(crate) fn current(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.current.subscribe()
    }

    /// Replaces it for as long as the server runs. One that cannot be used changes nothing.
    pub(crate) async fn keep(mut self) {
        let Ok(mut told) = told() else {
            tracing::error!("the system gives no signals: the certificate is replaced when its files change");
            return self.keep_by_files().await;
        };
        loop {
            let must = tokio::select! {
                () = told.wait() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            self.look(must);
        }
    }

    async fn keep_by_files(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.look(false);
        }
    }

    fn look(&mut self, must: bool) {
        let stamps = [stamp(&self.files.0), stamp(&self.files.1)];
        if stamps == self.stamps && !must {
            return;
        }
        // Where the chain came and its key did not yet, the key changes the stamps once more.
        self.stamps = stamps;
        match tls::config(&self.files.0, &self.files.1) {
            Ok(config) => {
                self.current.send_replace(config);
                tracing::info!("the certificate was read anew");
            }
            Err(failure) => {
                let (cause, mend) = (std::error::Error::source(&failure).map(ToString::to_string), failure.mend());
                let (cause, mend) = (cause.unwrap_or_default(), mend.unwrap_or_default());
                tracing::error!(%failure, cause, mend, "the certificate of before stays");
            }
        }
    }
}

/// What tells the process to look.
struct Told(#[cfg(unix)] tokio::signal::unix::Signal);

impl Told {
    #[cfg(unix)]
    async fn wait(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) {
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
fn told() -> std::io::Result<Told> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).map(Told)
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "where there are signals, they may not be had")]
fn told() -> std::io::Result<Told> {
    Ok(Told())
}
