//! The server's life: open everything, listen, end in order.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tokio::task::block_in_place;
use url::Url;

use super::audit::{self, Actor, Event, Sink, Together};
use super::connector::Own;
use super::db::{Database, Reach, Rows, Version, values};
use super::error::ServeError;
use super::gate::{self, Gate};
use super::health;
use super::keys::{self, KeyError, Keys, Master};
use super::lanes::Lanes;
use super::last_used::{self, LastUsed};
use super::limits::Limits;
use super::listen::{CONNECTIONS, Door};
use super::reload::Certificate;
use super::routes::router;
use super::settings::{Keeping, Settings};
use super::state::{Server, now, room};
use super::{backup, behind, engine, listen, metrics, people, running, started, sweep};
use crate::error::{Failure as _, with_causes};
use crate::os::files;
use crate::secret::{Secret, SecretStore};
use crate::server::signing::SigningKey;
use crate::server::token::{self, Kind};
use crate::server::trust::Issuers;

/// The link that makes the first owner is good for so long.
const LINK: TimeDelta = TimeDelta::hours(1);
/// A master key over a network that could not be looked for is looked for again after this.
const LATER: Duration = Duration::from_secs(5);
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
    /// The master key cannot be had: it serves nobody, and tries again.
    Sealed(ServeError),
    /// It has its master key now.
    Unsealed,
    /// So many credentials rest where new ones do not go.
    Elsewhere(i64),
    /// The role in the database is bound by no row-level security.
    Unbound(String),
    /// What was signed of the audit before is not in the file where it should be.
    NoCheckpoints(ServeError),
    /// Nobody can sign in yet: this link makes the first owner, once.
    SetUp(Secret),
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
    let db = open_database(settings)?;
    db.look_over()?;
    let keys = match open_keys(settings, store, &db) {
        Err(failure) if settings.keeping.waits && failure.is_of_the_key() => Err(failure),
        keys => Ok(keys?),
    };
    let database = settings.database.in_words();
    let counting = metrics.as_ref().map(TcpListener::local_addr).transpose().map_err(ServeError::System)?;
    let is_secure = public.scheme() == "https";
    let known_as = public.as_str().trim_end_matches('/').to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    // Before anything is told: whoever reads that it serves may ask it to end.
    let stop = {
        let _within = runtime.enter();
        asked_to_end().map_err(ServeError::System)?
    };
    let listens: Vec<SocketAddr> = [Some(address), counting].into_iter().flatten().collect();
    let _running = running::hold(&settings.data, &known_as, &listens)?;
    tell(Notice::Listening { address, metrics: counting, public: known_as, database })?;
    if let Some(role) = db.unbound_role()? {
        tell(Notice::Unbound(role))?;
    }
    if let Some(Sink::File(file)) = &settings.checkpoints.sink
        && let Some(count) = audit::without_file(&db, file)?
    {
        tell(Notice::NoCheckpoints(ServeError::NoCheckpoints { file: file.display().to_string(), count }))?;
    }
    let gate = Arc::new(Gate::default());
    let known = metrics::Opened::default();
    let (routes, server) = match keys {
        Ok(keys) => {
            let server = opened(settings, public, db, keys, tell)?;
            (router(Arc::clone(&server)), Ok(server))
        }
        Err(failure) => {
            tell(Notice::Sealed(failure))?;
            (gate.router(is_secure), Err((db, public)))
        }
    };
    let done = runtime.block_on(async {
        listener.set_nonblocking(true).map_err(ServeError::System)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(ServeError::System)?;
        let door =
            |tls| Door { tls, most: CONNECTIONS, per_address: settings.per_address, proxies: settings.proxies.clone() };
        let main = door(certificate.as_ref().map(Certificate::current));
        if let Some(certificate) = certificate {
            tokio::spawn(certificate.keep());
        }
        // A task of its own: whoever reads the master key below keeps nobody waiting.
        let mut listening = tokio::spawn(listen::listen(listener, main, behind::guarded(routes, settings), stop));
        if let Some(metrics) = metrics {
            metrics.set_nonblocking(true).map_err(ServeError::System)?;
            let metrics = tokio::net::TcpListener::from_std(metrics).map_err(ServeError::System)?;
            let pages = metrics::router(Arc::clone(&known));
            tokio::spawn(listen::listen(metrics, door(None), pages, std::future::pending()));
        }
        let server = match server {
            Ok(server) => server,
            Err((db, public)) => {
                let keys = tokio::select! {
                    _ = &mut listening => return Ok(None),
                    keys = gate::until(|| open_keys(settings, store, &db)) => keys,
                };
                let server = block_in_place(|| opened(settings, public, db, keys, tell))?;
                gate.open(router(Arc::clone(&server)));
                tell(Notice::Unsealed)?;
                server
            }
        };
        // It is set once.
        let _ = known.set(Arc::clone(&server));
        // The secret store is this thread's alone: here the master key is read again when it was replaced.
        let answering = answering(settings, store, &server);
        tokio::spawn(sweep::sweeping(Arc::clone(&server)));
        tokio::spawn(engine::sweeping(Arc::clone(&server)));
        tokio::spawn(last_used::writing(Arc::clone(&server)));
        tokio::spawn(keys::following(Arc::clone(&server)));
        tokio::select! {
            _ = &mut listening => {}
            () = answering => {}
            () = settings.checkpoints.make(&server) => {}
        }
        Ok::<_, ServeError>(Some(Arc::clone(&server)))
    })?;
    if let Some(server) = done {
        if server.last_used.write(&server.db).is_err() {
            tracing::warn!("when tokens were last used was not written");
        }
        settings.checkpoints.finish(&server);
    }
    // Whoever still asks a provider is not waited for; what was acknowledged is on the disk.
    runtime.shutdown_background();
    Ok(())
}

/// Reads the master key again where it rests, when it was replaced and is asked for. One that comes over a network is
/// looked for all the time: nobody's transaction waits for it.
async fn answering(settings: &Settings, store: &dyn SecretStore, server: &Server) {
    let place = place(settings, store, &server.db);
    let is_far = settings.keeping.transit.is_some();
    let mut asked = server.keys.asked(is_far);
    let mut rests: Option<Instant> = None;
    loop {
        if is_far && rests.is_none_or(|until| until <= Instant::now()) {
            let attended = block_in_place(|| server.keys.attend(&place));
            if let Err(failure) = &attended {
                tracing::warn!(failure = with_causes(failure), "the master key was not looked for");
            }
            rests = attended.err().map(|_| Instant::now() + LATER);
        }
        match tokio::time::timeout(keys::LOOK, asked.recv()).await {
            Ok(Some(asked)) if asked.waits() => block_in_place(|| asked.answer(&server.keys, &place)),
            Ok(None) => return,
            // Somebody needs it now, or it is time to look.
            Ok(Some(_)) | Err(_) => {}
        }
    }
}

/// The server, once it has its keys.
fn opened(
    settings: &Settings,
    public: Url,
    db: Database,
    keys: Keys,
    tell: &mut dyn FnMut(Notice) -> Result<(), ServeError>,
) -> Result<Arc<Server>, ServeError> {
    let engine = settings.keeping.engine.clone().fit_for(&db)?;
    let elsewhere = engine.elsewhere(&db)?;
    let (stretching, asking) = room();
    let server = Server {
        db,
        keys,
        engine,
        together: Together::default(),
        own: Own::of(&public, &settings.database),
        public,
        proxies: settings.proxies.clone(),
        allowed_hosts: settings.allowed_hosts.clone(),
        env: settings.surroundings(),
        issuers: Issuers::default(),
        stretching,
        asking,
        limits: Limits::new(settings.rates),
        lanes: Lanes::new(),
        last_used: LastUsed::default(),
        keeper: health::Keeper::default(),
    };
    started::tell(settings, &server)?;
    if elsewhere > 0 {
        tell(Notice::Elsewhere(elsewhere))?;
    }
    if let Some(link) = set_up_link(&server)? {
        tell(Notice::SetUp(link))?;
    }
    Ok(Arc::new(server))
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

/// Listens on an address.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).map_err(|cause| ServeError::Listen { address, cause })
}

/// Opens the database of a server that is there, as it is, and tells the version of its tables: none is made where its
/// place was misspelt.
pub(super) fn existing(settings: &Settings) -> Result<(Database, Version), ServeError> {
    let nothing = || ServeError::Nothing { place: settings.database.in_words() };
    let db = Database::open_existing(&settings.database)?.ok_or_else(nothing)?;
    match db.version()? {
        Version::None => Err(nothing()),
        version => Ok((db, version)),
    }
}

/// The same of this version alone: whatever changes something leaves the tables of an earlier one to the start.
pub(super) fn current(settings: &Settings) -> Result<Database, ServeError> {
    match existing(settings)? {
        (db, Version::Newest) => Ok(db),
        _ => Err(ServeError::Earlier { place: settings.database.in_words() }),
    }
}

/// Opens the database and the keys of a server that is there.
pub(super) fn open_existing(settings: &Settings, store: &dyn SecretStore) -> Result<(Database, Keys), ServeError> {
    let db = current(settings)?;
    let keys = Keys::existing_to_use(&db, &place(settings, store, &db))?;
    Ok((db, keys))
}

fn open_database(settings: &Settings) -> Result<Database, ServeError> {
    files::create_private_dir(&settings.data)?;
    Ok(Database::open(&settings.database)?)
}

fn open_keys(settings: &Settings, store: &dyn SecretStore, db: &Database) -> Result<Keys, ServeError> {
    let keys = Keys::open(db, &place(settings, store, db))?;
    backup::tell_of_untold(db, &keys)?;
    // There is a key to sign with from the start, so that whoever asks for keys finds it.
    db.write(Reach::Server, |rows| SigningKey::in_force(rows, &keys, now())).map_err(|failure| {
        let (code, mend) = (failure.code(), failure.mend());
        ServeError::Database(Box::new(failure), code, mend)
    })?;
    Ok(keys)
}

/// Where the master key rests.
pub(super) fn place<'m>(settings: &'m Settings, store: &'m dyn SecretStore, db: &'m Database) -> Master<'m> {
    match &settings.keeping.transit {
        Some(transit) => Master::Transit(transit, db),
        None => unwrapped(settings, store),
    }
}

/// Where the master key rests that no other key wraps.
pub(super) fn unwrapped<'m>(settings: &'m Settings, store: &'m dyn SecretStore) -> Master<'m> {
    let Keeping { master_key_file, passphrase_file, .. } = &settings.keeping;
    match (master_key_file, passphrase_file) {
        (Some(file), _) => Master::File(file),
        (None, Some(file)) => Master::Passphrase(file),
        (None, None) => Master::Store(store),
    }
}

/// A new link for the first owner, where there is none. A link that was made before does not count any more.
fn set_up_link(server: &Server) -> Result<Option<Secret>, ServeError> {
    let minted = token::mint(Kind::Invitation).map_err(|_| ServeError::NoRandom)?;
    let (made, ends) = (now().timestamp_millis(), (now() + LINK).timestamp_millis());
    let is_new = server.db.write(Reach::Server, |rows| -> Result<bool, KeyError> {
        // Of two that start at once, the second waits here, and takes the link of the first away.
        keys::hold(rows)?;
        if !people::is_empty(rows)? {
            return Ok(false);
        }
        let former = rows.query("DELETE FROM invitations WHERE purpose = 'setup' RETURNING id", &[])?;
        rows.execute(
            "INSERT INTO invitations (id, hash, purpose, created, expires) VALUES ($1, $2, 'setup', $3, $4)",
            values![&minted.id, &minted.hash, made, ends],
        )?;
        let tell = |rows: &mut dyn Rows, action: &str, id: &str| {
            let event = Event::done(action, id);
            audit::append(rows, &server.keys, &audit::server_scope(), &Actor::operator(), &event, now())
        };
        for mut row in former {
            tell(rows, "setup-link.end", &row.text(0)?)?;
        }
        tell(rows, "setup-link.create", &minted.id)?;
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
