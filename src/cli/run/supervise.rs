//! A command that lanyard stays beside: to mask its output, to take files away after it, to answer at an address.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Masked;
use crate::cli::Doors;
use crate::cli::announce::announce_meanwhile;
use crate::cli::ui::{Relay, is_one_stream};
use crate::credential::Issued;
use crate::error::{Result, with_causes};
use crate::run::child::{self, Program};
use crate::run::endpoint::{self, Endpoint};
use crate::run::folder::Folder;
use crate::run::mask::Masks;
use crate::run::pump::{Shared, pump};
use crate::run::variables::Changes;
use crate::run::watch::{self, Ending, Watch};
use crate::run::{RunError, resolve};
use crate::secret::Secret;

/// After the command's end, its output is waited for until it was quiet for so long: what the command left running may
/// hold it open for ever.
const QUIET: Duration = Duration::from_secs(1);
/// And no longer than this.
const LONGEST: Duration = Duration::from_secs(10);
/// So long whoever asks for keys waits for them.
const PATIENCE: Duration = Duration::from_mins(1);
/// Where fresh keys were not to be had while the old ones are good, it is tried again after this.
const PAUSE: Duration = Duration::from_secs(30);

/// AWS keys that are handed over at an address.
pub(super) struct Keys {
    /// The credential as it is typed.
    name: String,
    endpoint: Option<Endpoint>,
    body: Secret,
    made: DateTime<Utc>,
    expires: Option<DateTime<Utc>>,
    /// When fresh ones were last not to be had.
    failed: Option<Instant>,
}

impl Keys {
    /// The keys of a usable form, at an address that is opened for them.
    pub(super) fn at(endpoint: Endpoint, name: &str, issued: &Issued, now: DateTime<Utc>) -> Result<Self, RunError> {
        let body = endpoint::body(name, issued, now)?;
        let (name, endpoint) = (name.to_owned(), Some(endpoint));
        Ok(Self { name, endpoint, body, made: now, expires: issued.expires, failed: None })
    }

    fn are_good(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_none_or(|at| at > now)
    }

    /// Whether fresh ones are to be made. Whoever asks waits meanwhile, so that while the old ones are good, a service
    /// that does not answer is left alone for a while.
    fn are_due(&self, now: DateTime<Utc>) -> bool {
        let is_paused = self.failed.is_some_and(|at| at.elapsed() < PAUSE) && self.are_good(now);
        endpoint::is_due(self.made, self.expires, now) && !is_paused
    }
}

/// A command, and what is to be done beside it.
pub(super) struct Supervised<'r> {
    pub(super) program: &'r Program,
    pub(super) changes: &'r Changes,
    pub(super) masked: Masked,
    /// `None` where nothing is masked.
    pub(super) masks: Option<Masks>,
    pub(super) secrets: Vec<Secret>,
    pub(super) plain: BTreeSet<String>,
}

/// The variables that name files, each with the place of its file.
type Places = Vec<(String, PathBuf)>;

/// What happens while a command runs.
enum Event {
    /// It has ended.
    Ended(Ending),
    /// A stream of it has.
    Closed,
    /// It asks for keys.
    Asked(SyncSender<Option<Secret>>),
}

/// The output of a command on its way.
struct Streams {
    open: usize,
    passed: Arc<AtomicU64>,
}

impl Supervised<'_> {
    /// Starts the command, and ends this process as it ends.
    pub(super) fn start(
        mut self,
        doors: &Doors<'_>,
        watch: &Watch,
        keys: Option<Keys>,
        renew: &dyn Fn(&str) -> Result<Issued>,
    ) -> Result<()> {
        let (folder, files) = self.files(doors)?;
        let mut command = child::start(self.program)?;
        child::surround(&mut command, self.changes, &files);
        let masks = self.masks.take().map(Shared::new);
        let (events, happened) = channel();
        let mut readers = Vec::new();
        if masks.is_some() {
            let piped = |cause| RunError::System { action: "make a pipe", cause };
            let both = self.masked.output && self.masked.errors && is_one_stream();
            if self.masked.output {
                let (reader, writer) = std::io::pipe().map_err(piped)?;
                if both {
                    command.stderr(Stdio::from(writer.try_clone().map_err(piped)?));
                }
                command.stdout(Stdio::from(writer));
                readers.push((reader, Relay::Output));
            }
            if self.masked.errors && !both {
                let (reader, writer) = std::io::pipe().map_err(piped)?;
                command.stderr(Stdio::from(writer));
                readers.push((reader, Relay::Errors));
            }
        }
        if let Some(folder) = &folder {
            folder.share()?;
        }
        let program = self.program;
        // With the command, our ends of its streams go.
        let start = move || command.spawn().map_err(|cause| program.refused(cause));
        let ended = events.clone();
        watch.follow(start, move |ending| drop(ended.send(Event::Ended(ending))))?;
        let mut streams = Streams { open: 0, passed: Arc::default() };
        for ((reader, writer), masks) in readers.into_iter().zip(std::iter::repeat(&masks)) {
            let (Some(masks), passed, closed) = (masks.clone(), Arc::clone(&streams.passed), events.clone()) else {
                continue;
            };
            std::thread::spawn(move || {
                pump(reader, writer, &masks, || {
                    passed.fetch_add(1, Ordering::Relaxed);
                });
                drop(closed.send(Event::Closed));
            });
            streams.open += 1;
        }
        let beside = Beside { keys, masks, secrets: self.secrets, plain: self.plain };
        let ending = beside.attend(doors, &events, &happened, &mut streams, renew)?;
        streams.drain(&happened);
        drop(folder);
        watch::end(ending)
    }

    /// The files that variables name, written.
    fn files(&self, doors: &Doors<'_>) -> Result<(Option<Folder>, Places)> {
        let mut files = Vec::new();
        let mut folder = None;
        for file in self.changes.files() {
            let mut made = match folder.take() {
                Some(made) => made,
                None => Folder::make(doors.env, file.variable)?,
            };
            files.push((file.variable.to_owned(), made.put(&file)?));
            folder = Some(made);
        }
        Ok((folder, files))
    }
}

/// What lanyard has to do with beside a command.
struct Beside {
    keys: Option<Keys>,
    masks: Option<Shared>,
    secrets: Vec<Secret>,
    plain: BTreeSet<String>,
}

impl Beside {
    /// Answers until the command has ended.
    fn attend(
        mut self,
        doors: &Doors<'_>,
        events: &Sender<Event>,
        happened: &Receiver<Event>,
        streams: &mut Streams,
        renew: &dyn Fn(&str) -> Result<Issued>,
    ) -> Result<Ending> {
        if let Some(endpoint) = self.keys.as_mut().and_then(|keys| keys.endpoint.take()) {
            let asked = Mutex::new(events.clone());
            endpoint.serve(move || {
                let (reply, answer) = sync_channel(1);
                let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
                asked.send(Event::Asked(reply)).ok()?;
                answer.recv_timeout(PATIENCE).ok().flatten()
            })?;
        }
        loop {
            // The caller holds a sender as well, so there is always something to wait for.
            match happened.recv() {
                Ok(Event::Ended(ending)) => return Ok(ending),
                Ok(Event::Closed) => streams.open = streams.open.saturating_sub(1),
                // Whoever asked may be gone.
                Ok(Event::Asked(reply)) => drop(reply.send(self.answer(doors, renew))),
                Err(_) => return Ok(Ending::Code(1)),
            }
        }
    }

    /// The keys, made anew where they are due; `None` where there are none that are good.
    fn answer(&mut self, doors: &Doors<'_>, renew: &dyn Fn(&str) -> Result<Issued>) -> Option<Secret> {
        let keys = self.keys.as_mut()?;
        let now = doors.env.now();
        if keys.are_due(now) {
            match renew(&keys.name).and_then(|issued| Ok((endpoint::body(&keys.name, &issued, now)?, issued))) {
                Ok((body, issued)) => {
                    (keys.body, keys.made, keys.expires, keys.failed) = (body, now, issued.expires, None);
                    let new = resolve::secrets_of(&issued.material);
                    if let Err(failure) = announce_meanwhile(doors.ui, &new) {
                        // Nobody reads stderr any more; the keys are good all the same.
                        tracing::debug!(%failure, "the new keys are not announced");
                    }
                    if let Some(masks) = &self.masks {
                        self.secrets.extend(new);
                        masks.extend(Masks::of(&self.secrets, &self.plain));
                    }
                }
                Err(failure) => {
                    keys.failed = Some(Instant::now());
                    doors.ui.warn(&format!("no fresh keys for {}: {}", keys.name, with_causes(&*failure)));
                }
            }
        }
        keys.are_good(doors.env.now()).then(|| keys.body.duplicate())
    }
}

impl Streams {
    /// Waits until everything was passed on, or until nothing comes any more from what the command left running.
    fn drain(&mut self, happened: &Receiver<Event>) {
        let ended = Instant::now();
        let mut passed = self.passed.load(Ordering::Relaxed);
        while self.open > 0 && ended.elapsed() < LONGEST {
            match happened.recv_timeout(QUIET) {
                Ok(Event::Closed) => self.open -= 1,
                Ok(_) => {}
                Err(_) => {
                    let now = self.passed.load(Ordering::Relaxed);
                    if now == passed {
                        return;
                    }
                    passed = now;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn good_keys_are_handed_out_while_fresh_ones_are_not_to_be_had() {
        let made = DateTime::UNIX_EPOCH;
        let at = |minutes| made + TimeDelta::minutes(minutes);
        let body = Secret::new("{}".into());
        let mut keys = Keys { name: "a".into(), endpoint: None, body, made, expires: Some(at(60)), failed: None };
        assert!(!keys.are_due(at(1)) && keys.are_due(at(50)));
        keys.failed = Some(Instant::now());
        assert!(!keys.are_due(at(50)) && keys.are_good(at(50)));
        assert!(keys.are_due(at(61)) && !keys.are_good(at(61)), "there is nothing else to hand out");
        keys.failed = Instant::now().checked_sub(PAUSE);
        assert!(keys.are_due(at(50)));
    }
}
