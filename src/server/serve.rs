//! The server's life: open everything, listen, end in order.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use chrono::TimeDelta;

use super::audit::{self, Broken, Together};
use super::db::{Address, Database, DbError, OrgScope, Reach, values};
use super::error::ServeError;
use super::keys::{Keys, Master};
use super::lanes::Lanes;
use super::limits::Limits;
use super::listen::Door;
use super::reload::Certificate;
use super::routes::router;
use super::settings::Settings;
use super::state::{Server, now, room};
use super::{listen, metrics, people, running, sweep, tls};
use crate::error::Failure as _;
use crate::os::files;
use crate::secret::{Secret, SecretStore};
use crate::server::signing::SigningKey;
use crate::server::token::{self, Kind};
use crate::server::trust::Issuers;

/// The link that makes the first owner is good for so long.
const LINK: TimeDelta = TimeDelta::hours(1);
/// So many threads may block at a time.
const BLOCKING: usize = 64;

/// What whoever started the server is told.
pub enum Notice {
    /// It listens here, people know it by this address, and this is its database.
    Listening {
        /// Where it listens.
        address: SocketAddr,
        /// Where it tells what it counts of itself.
        metrics: Option<SocketAddr>,
        /// The address by which people know it.
        public: String,
        /// The database, without its password.
        database: String,
    },
    /// Nobody can sign in yet: this link makes the first owner, once.
    SetUp(Secret),
}

/// Opens all that a server needs, goes through its audit, and tells what is wrong, without serving anybody.
pub fn check(settings: &Settings, store: &dyn SecretStore) -> Result<(), ServeError> {
    if let Some((certificate, key)) = &settings.tls {
        tls::config(certificate, key)?;
    }
    settings.public_at(settings.listen)?;
    drop(bind(settings.listen)?);
    settings.metrics.map(bind).transpose()?;
    let (db, keys) = open(settings, store)?;
    if let Some(file) = &settings.checkpoints.file {
        audit::hold_against(&db, &keys, file)?;
    }
    db.read(Reach::Server, |rows| {
        for mut row in rows.query("SELECT org FROM audit_heads ORDER BY org", &[])? {
            let org = row.text(0)?;
            let scope = OrgScope::of(&org);
            rows.enter(Reach::Of(&scope))?;
            let checked = audit::verify(rows, &keys, &scope).map_err(|failure| ServeError::Audit {
                org: org.clone(),
                problem: failure.to_string(),
                sequence: 0,
            })?;
            if let Err(Broken { sequence, problem }) = checked {
                return Err(ServeError::Audit { org, problem: problem.to_owned(), sequence });
            }
        }
        Ok(())
    })
}

/// Serves until the process is asked to end.
pub fn serve(
    settings: &Settings,
    store: &dyn SecretStore,
    tell: &mut dyn FnMut(Notice) -> Result<(), ServeError>,
) -> Result<(), ServeError> {
    let certificate = settings.tls.as_ref().map(Certificate::read).transpose()?;
    allow_many_files();
    let listener = bind(settings.listen)?;
    let metrics = settings.metrics.map(bind).transpose()?;
    let address = listener.local_addr().map_err(ServeError::System)?;
    let public = settings.public_at(address)?;
    let (db, keys) = open(settings, store)?;
    let (stretching, asking) = room();
    let server = Server {
        db,
        keys,
        together: Together::default(),
        public,
        proxies: settings.proxies.clone(),
        allowed_hosts: settings.allowed_hosts.clone(),
        env: settings.surroundings(),
        issuers: Issuers::default(),
        stretching,
        asking,
        limits: Limits::new(settings.rates),
        lanes: Lanes::new(),
    };
    let _running = running::hold(&settings.data, server.issuer())?;
    let database = settings.database.in_words();
    let counting = metrics.as_ref().map(TcpListener::local_addr).transpose().map_err(ServeError::System)?;
    tell(Notice::Listening { address, metrics: counting, public: server.issuer().to_owned(), database })?;
    if let Some(link) = set_up_link(&server)? {
        tell(Notice::SetUp(link))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    let mut asked = server.keys.asked();
    let server = Arc::new(server);
    runtime
        .block_on(async {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let stop = asked_to_end()?;
            let door = |tls| Door { tls, per_address: settings.per_address, proxies: settings.proxies.clone() };
            let main = door(certificate.as_ref().map(Certificate::current));
            if let Some(certificate) = certificate {
                tokio::spawn(certificate.keep());
            }
            if let Some(metrics) = metrics {
                metrics.set_nonblocking(true)?;
                let metrics = tokio::net::TcpListener::from_std(metrics)?;
                let pages = metrics::router(Arc::clone(&server));
                tokio::spawn(listen::listen(metrics, door(None), pages, std::future::pending()));
            }
            let instance = server.keys.instance().to_owned();
            // The secret store is this thread's alone: here the master key is read again when it was replaced.
            let answering = async {
                while let Some(asked) = asked.recv().await {
                    asked.answer(&place(settings, store), &instance);
                }
            };
            tokio::spawn(sweep::sweeping(Arc::clone(&server)));
            tokio::select! {
                () = listen::listen(listener, main, router(Arc::clone(&server)), stop) => {}
                () = answering => {}
                () = settings.checkpoints.make(&server) => {}
            }
            std::io::Result::Ok(())
        })
        .map_err(ServeError::System)?;
    settings.checkpoints.finish(&server);
    // Whoever still asks a provider is not waited for; what was acknowledged is on the disk.
    runtime.shutdown_background();
    Ok(())
}

/// A connection is a file, and the system's first word on how many there may be is not its last.
fn allow_many_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        if let Err(cause) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
            tracing::warn!(%cause, "there may be no more files open than before");
        }
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).map_err(|cause| ServeError::Listen { address, cause })
}

/// Opens the database and the keys of a server that is there: none is made where its place was misspelt.
pub(super) fn open_existing(settings: &Settings, store: &dyn SecretStore) -> Result<(Database, Keys), ServeError> {
    match &settings.database {
        Address::Sqlite(file) if !file.exists() => Err(ServeError::Nothing { place: settings.database.in_words() }),
        _ => open(settings, store),
    }
}

/// Opens the database and the keys of a server.
pub(super) fn open(settings: &Settings, store: &dyn SecretStore) -> Result<(Database, Keys), ServeError> {
    files::create_private_dir(&settings.data).map_err(DbError::File)?;
    let db = Database::open(&settings.database)?;
    let keys = Keys::open(&db, &place(settings, store))?;
    // There is a key to sign with from the start, so that whoever asks for keys finds it.
    db.write(Reach::Server, |rows| SigningKey::in_force(rows, &keys, now())).map_err(|failure| {
        let (code, mend) = (failure.code(), failure.mend());
        ServeError::Database(Box::new(failure), code, mend)
    })?;
    Ok((db, keys))
}

/// Where the master key rests.
pub(super) fn place<'m>(settings: &'m Settings, store: &'m dyn SecretStore) -> Master<'m> {
    match &settings.master_key_file {
        Some(file) => Master::File(file),
        None => Master::Store(store),
    }
}

/// A new link for the first owner, where there is none. A link that was made before does not count any more.
fn set_up_link(server: &Server) -> Result<Option<Secret>, ServeError> {
    let minted = token::mint(Kind::Invitation).map_err(|_| ServeError::NoRandom)?;
    let (made, ends) = (now().timestamp_millis(), (now() + LINK).timestamp_millis());
    let is_new = server.db.write(Reach::Server, |rows| -> Result<bool, DbError> {
        if !people::is_empty(rows)? {
            return Ok(false);
        }
        rows.execute("DELETE FROM invitations WHERE purpose = 'setup'", &[])?;
        rows.execute(
            "INSERT INTO invitations (id, hash, purpose, created, expires) VALUES ($1, $2, 'setup', $3, $4)",
            values![&minted.id, &minted.hash, made, ends],
        )?;
        Ok(true)
    })?;
    let link = || Secret::new([&server.address("/setup?token="), minted.token.expose()].concat());
    Ok(is_new.then(link))
}

/// Done when the process is asked to end.
#[cfg(unix)]
fn asked_to_end() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Done when the process is asked to end.
#[cfg(not(unix))]
fn asked_to_end() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Where it cannot be waited for, the system ends the process itself.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
