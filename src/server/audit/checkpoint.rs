//! Statements about the end of each chain that the server signs from time to time.
//!
//! Whoever can write to the database can cut a chain off at its end, and nothing that is left tells. A statement does,
//! where it was appended to a file that they cannot write to, or is in the machine's log. Before the server signs, it
//! goes through what has come since the last statement, so that it says nothing of a chain that does not hold.
//!
//! A statement is in the database first, as one that was not taken yet, and is noted as taken once the file or the log
//! has it. What was not taken is passed on with the next look, by any server of the database that has such a place: one
//! that was away for a while misses none, nor does a server that crashed. Where it crashed between the two, or two servers
//! passed it on at once, a statement is there twice, which says nothing else than once.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};

use super::verify::{End, go_through};
use super::{Broken, Sink};
use crate::server::db::{Database, DbError, OrgScope, Reach, Row, Rows, values};
use crate::server::error::ServeError;
use crate::server::keys::{KeyError, Keys};
use crate::server::state::{Server, now};
use crate::vault::trail::{self, Statement, hex};

/// So many entries are never without a statement, however fast they come.
const MANY: i64 = 1000;
/// How often is looked whether a statement is due.
const LOOK: Duration = Duration::from_secs(1);
/// So many are passed on before they are noted as taken.
const AT_ONCE: i64 = 100;

/// Signs the end of a chain, for the database alone or to be passed on as well; `false` where nothing has come since the
/// last time, and what is wrong where it is broken.
pub(super) fn sign(
    db: &Database,
    keys: &Keys,
    scope: &OrgScope,
    is_passed_on: bool,
    now: DateTime<Utc>,
) -> Result<Result<bool, Broken>, KeyError> {
    let (start, found) = db.read(scope, |rows| {
        let last = "SELECT c.sequence, e.hash FROM audit_checkpoints c JOIN audit_events e \
                    ON e.org = c.org AND e.sequence = c.sequence WHERE c.org = $1 ORDER BY c.sequence DESC LIMIT 1";
        let from = match rows.first(last, values![scope.id()])? {
            Some(mut row) => End { sequence: row.int(0)?, hash: row.bytes(1)? },
            None => End::nothing(),
        };
        Ok::<_, KeyError>((from.sequence, go_through(rows, keys, scope, from)?))
    })?;
    let end = match found {
        Ok(end) => end,
        Err(broken) => return Ok(Err(broken)),
    };
    if end.sequence == start {
        return Ok(Ok(false));
    }
    let at = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    let statement = Statement::new(keys.instance(), scope.id(), &at, end.sequence, &end.hash);
    let line = statement.signed(&keys.statement_signer().ok_or(KeyError::None)?);
    // Another instance may have signed the same end meanwhile.
    let keep = "INSERT INTO audit_checkpoints (org, sequence, statement, taken) VALUES ($1, $2, $3, $4) \
                ON CONFLICT DO NOTHING";
    let taken = i64::from(!is_passed_on);
    db.write(scope, |rows| rows.execute(keep, values![scope.id(), end.sequence, &line, taken]))?;
    Ok(Ok(true))
}

/// What the log was told, and is not told once more.
#[derive(Default)]
struct Told {
    /// The chains that are broken, and how.
    broken: HashMap<String, Broken>,
    /// That statements do not get where they should be.
    is_deaf: bool,
}

/// Where and how often statements are made.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    /// Where they go as well.
    pub(crate) sink: Option<Sink>,
    /// How often.
    pub(crate) every: Duration,
}

impl Checkpoints {
    /// Makes statements for as long as the server lives.
    pub(crate) async fn make(&self, server: &Arc<Server>) {
        let mut last = Instant::now();
        let told = Arc::new(Mutex::new(Told::default()));
        loop {
            tokio::time::sleep(LOOK.min(self.every)).await;
            let all = last.elapsed() >= self.every;
            if all {
                last = Instant::now();
            }
            let (server, this, told) = (Arc::clone(server), self.clone(), Arc::clone(&told));
            let due = move || {
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                this.due(&server.db, &server.keys, all, &mut told);
            };
            if let Err(broken_off) = tokio::task::spawn_blocking(due).await {
                tracing::error!(%broken_off, "no statement about the audit was made");
            }
        }
    }

    /// Makes one last statement of each chain.
    pub(crate) fn finish(&self, server: &Server) {
        self.due(&server.db, &server.keys, true, &mut Told::default());
    }

    /// Signs those that are due, and passes on what was signed. What goes wrong is told in the log, and tried again.
    fn due(&self, db: &Database, keys: &Keys, all: bool, told: &mut Told) {
        self.sign(db, keys, all, told);
        if let Some(sink) = &self.sink
            && let Err(failure) = pass_on(db, sink, all, told)
        {
            tracing::warn!(%failure, "what was signed of the audit was not passed on");
        }
    }

    fn sign(&self, db: &Database, keys: &Keys, all: bool, told: &mut Told) {
        let heads = match db.read(Reach::Server, |rows| waiting(rows)) {
            Ok(heads) => heads,
            Err(failure) => {
                tracing::warn!(%failure, "no statement about the audit was made");
                return;
            }
        };
        for (scope, count) in heads {
            // A chain that is shorter than what was signed of it is looked at as well, and told.
            if count == 0 || (!all && (0..MANY).contains(&count)) {
                continue;
            }
            match sign(db, keys, &scope, self.sink.is_some(), now()) {
                Ok(Ok(_)) => drop(told.broken.remove(scope.id())),
                Ok(Err(broken)) if told.broken.get(scope.id()) == Some(&broken) => {}
                Ok(Err(broken)) => {
                    let Broken { sequence, problem } = broken;
                    tracing::error!(organization = scope.id(), sequence, problem, "the audit is broken");
                    told.broken.insert(scope.id().to_owned(), broken);
                }
                Err(failure) => tracing::warn!(%failure, "no statement about the audit was made"),
            }
        }
    }
}

/// Passes on what was signed and not taken yet, each chain in its order.
fn pass_on(db: &Database, sink: &Sink, all: bool, told: &mut Told) -> Result<(), DbError> {
    let missed =
        "SELECT org, sequence, statement FROM audit_checkpoints WHERE taken = 0 ORDER BY org, sequence LIMIT $1";
    let note = "UPDATE audit_checkpoints SET taken = 1 WHERE org = $1 AND sequence = $2";
    loop {
        let missed = db.read(Reach::Server, |rows| rows.query(missed, values![AT_ONCE]))?;
        let is_last = i64::try_from(missed.len()).unwrap_or(AT_ONCE) < AT_ONCE;
        let (mut taken, mut refused) = (Vec::new(), None);
        for mut row in missed {
            let (org, sequence, line) = (row.text(0)?, row.int(1)?, row.text(2)?);
            match sink.append(&line) {
                Ok(()) => taken.push((org, sequence)),
                Err(failure) => {
                    refused = Some(failure);
                    break;
                }
            }
        }
        if !taken.is_empty() {
            db.write(Reach::Server, |rows| {
                taken.iter().try_for_each(|(org, sequence)| rows.execute(note, values![org, *sequence]).map(|_| ()))
            })?;
        }
        if let Some(failure) = refused {
            if all || !told.is_deaf {
                tracing::error!(failure, "a statement about the audit was not written where it should be");
            }
            told.is_deaf = true;
            return Ok(());
        }
        if is_last {
            break;
        }
    }
    if std::mem::take(&mut told.is_deaf) {
        tracing::info!("what was signed of the audit is where it should be again");
    }
    Ok(())
}

/// Every chain, and how many entries it has that no statement is about.
fn waiting(rows: &mut dyn Rows) -> Result<Vec<(OrgScope, i64)>, DbError> {
    let all = "SELECT h.org, h.sequence, (SELECT MAX(c.sequence) FROM audit_checkpoints c WHERE c.org = h.org) \
               FROM audit_heads h ORDER BY h.org";
    let of = |mut row: Row| Ok((OrgScope::of(row.text(0)?), row.int(1)? - row.maybe_int(2)?.unwrap_or_default()));
    rows.query(all, &[])?.into_iter().map(of).collect()
}

/// How many statements were signed where the file that they go to as well is not there.
pub(crate) fn without_file(db: &Database, file: &Path) -> Result<Option<i64>, DbError> {
    if std::fs::exists(file).unwrap_or(true) {
        return Ok(None);
    }
    let count = "SELECT COUNT(*) FROM audit_checkpoints";
    let count = db.read(Reach::Server, |rows| rows.first(count, &[])?.ok_or(DbError::Shape)?.int(0))?;
    Ok((count > 0).then_some(count))
}

/// Holds the chains against the statements in a file, which whoever wrote to the database could not change.
pub(crate) fn hold_against(db: &Database, keys: &Keys, file: &Path) -> Result<(), ServeError> {
    let broken = |org: &str, sequence, problem: &str| ServeError::Audit {
        org: org.to_owned(),
        problem: problem.to_owned(),
        sequence,
    };
    let place = file.display().to_string();
    if let Some(count) = without_file(db, file)? {
        return Err(ServeError::NoCheckpoints { file: place, count });
    }
    let unread = |cause: std::io::Error| broken(&place, 0, &cause.to_string());
    let opened = match File::open(file) {
        Ok(opened) => opened,
        // A server that has signed nothing yet has written none.
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(unread(cause)),
    };
    let signers = db.read(Reach::Server, |rows| keys.statement_keys(rows));
    let signers = signers.map_err(|failure| broken(&place, 0, &failure.to_string()))?;
    let statements = trail::statements(BufReader::new(opened), &signers).map_err(unread)?;
    let statements = statements
        .map_err(|line| broken(&place, 0, &format!("line {line} is no statement that this server has signed")))?;
    db.read(Reach::Server, |rows| {
        for statement in &statements {
            let org = OrgScope::of(statement.organization());
            let one = "SELECT hash FROM audit_events WHERE org = $1 AND sequence = $2";
            let found = rows.first(one, values![org.id(), statement.sequence()])?;
            let hash = found.map(|mut row| row.bytes(0)).transpose()?;
            match hash {
                Some(hash) if hex(&hash) == statement.hash() => {}
                Some(_) => {
                    return Err(broken(org.id(), statement.sequence(), "it was another entry when it was signed"));
                }
                None => return Err(broken(org.id(), statement.sequence(), "it was there when it was signed")),
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::audit::{Actor, Event, append_all};
    use crate::server::db::tests::Scratch;

    #[test]
    fn so_many_entries_are_never_without_a_statement() {
        let scratch = Scratch::new();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints.jsonl");
        let checkpoints = Checkpoints { sink: Some(Sink::File(file.clone())), every: Duration::from_hours(1) };
        let add = |count: usize| {
            let (actor, event) = (Actor::default(), Event::done("test.done", "object"));
            let all = vec![(&actor, &event, DateTime::UNIX_EPOCH); count];
            scratch.db.write(&scratch.org, |rows| append_all(rows, &scratch.keys, &scratch.org, &all)).unwrap();
        };
        // The numbers of the entries that there are statements about, in the database and in the file.
        let signed = |all: bool| -> [Vec<i64>; 2] {
            checkpoints.due(&scratch.db, &scratch.keys, all, &mut Told::default());
            let kept = "SELECT sequence FROM audit_checkpoints WHERE org = $1 ORDER BY sequence";
            let kept = scratch.db.read(&scratch.org, |rows| rows.query(kept, values![scratch.org.id()])).unwrap();
            let lines = std::fs::read_to_string(&file).unwrap_or_default();
            [
                kept.into_iter().map(|mut row| row.int(0).unwrap()).collect(),
                lines.lines().map(|line| Statement::read(line).unwrap().sequence()).collect(),
            ]
        };
        let both = |numbers: &[i64]| [numbers.to_vec(), numbers.to_vec()];
        let many = usize::try_from(MANY).unwrap();
        add(many - 1);
        assert_eq!(signed(false), both(&[]), "one less");
        add(1);
        assert_eq!(signed(false), both(&[MANY]));
        assert_eq!(signed(false), both(&[MANY]), "once");
        add(many - 1);
        assert_eq!(signed(false), both(&[MANY]), "counted from the last statement");
        add(2);
        assert_eq!(signed(false), both(&[MANY, 2 * MANY + 1]));
        add(1);
        assert_eq!(signed(false), both(&[MANY, 2 * MANY + 1]));
        assert_eq!(signed(true), both(&[MANY, 2 * MANY + 1, 2 * MANY + 2]), "when its time has come");
    }

    #[test]
    fn what_was_not_taken_comes_in_its_order_once_it_is_and_no_more_after_that() {
        let scratch = Scratch::new();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints.jsonl");
        let with = |sink: Option<Sink>| Checkpoints { sink, every: Duration::from_hours(1) };
        let checkpoints = with(Some(Sink::File(file.clone())));
        let mut told = Told::default();
        let mut sign = |checkpoints: &Checkpoints| {
            let (actor, event) = (Actor::default(), Event::done("test.done", "object"));
            let one = [(&actor, &event, DateTime::UNIX_EPOCH)];
            scratch.db.write(&scratch.org, |rows| append_all(rows, &scratch.keys, &scratch.org, &one)).unwrap();
            checkpoints.due(&scratch.db, &scratch.keys, true, &mut told);
            told.is_deaf
        };
        let written = || -> Vec<i64> {
            let lines = std::fs::read_to_string(&file).unwrap_or_default();
            lines.lines().map(|line| Statement::read(line).unwrap().sequence()).collect()
        };
        // What nobody wanted elsewhere is not missed.
        assert!(!sign(&with(None)));
        std::fs::create_dir(&file).unwrap();
        let count = AT_ONCE + 2;
        for number in 0..count {
            assert!(sign(&checkpoints), "{number}");
        }
        std::fs::remove_dir(&file).unwrap();
        // After a start, with nothing new.
        checkpoints.due(&scratch.db, &scratch.keys, false, &mut Told::default());
        assert_eq!(written(), (2..2 + count).collect::<Vec<_>>());
        assert!(!sign(&checkpoints));
        checkpoints.due(&scratch.db, &scratch.keys, true, &mut Told::default());
        assert_eq!(written(), (2..3 + count).collect::<Vec<_>>());
        // One that was written and not noted is there twice, which says nothing else.
        let crash = "UPDATE audit_checkpoints SET taken = 0 WHERE sequence = 3";
        scratch.db.write(Reach::Server, |rows| rows.batch(crash)).unwrap();
        checkpoints.due(&scratch.db, &scratch.keys, false, &mut Told::default());
        assert_eq!(written().into_iter().filter(|sequence| *sequence == 3).count(), 2);
        assert!(hold_against(&scratch.db, &scratch.keys, &file).is_ok());
    }
}
