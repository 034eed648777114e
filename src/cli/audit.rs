//! `lanyard audit …`: what happened on a lanyard server, and whether what it tells holds.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::cli::{Doors, active, vault_door};
use crate::error::{Code, Failure, Result};
use crate::http::Response;
use crate::text::clean;
use crate::vault::VaultError;
use crate::vault::trail::{self, Broken, Statement, Whole};

/// So many entries are asked for at a time.
const PAGE: usize = 200;

/// See what happened on a lanyard server, and check that it is all there
#[derive(clap::Subcommand, Debug)]
pub(super) enum Command {
    /// List what happened, the newest first
    ///
    /// With --json: an array of the entries, each with sequence, at, action, outcome and, as far as they are known,
    /// actor, login, token, object, address, agent, request and detail.
    #[command(after_help = "Examples:\n  lanyard audit list --action secret.read --since 2026-01-31\n  \
lanyard audit list --actor alice@example.com --limit 500 --json")]
    List {
        /// Only what this person did: a login, or an identifier
        #[arg(long, value_name = "WHO")]
        actor: Option<String>,
        /// Only this action, such as secret.read
        #[arg(long, value_name = "ACTION")]
        action: Option<String>,
        /// Only what was done to this: an identifier
        #[arg(long, value_name = "ID")]
        object: Option<String>,
        /// Only from this time on: a day, or a time such as 2026-01-31T12:00:00Z
        #[arg(long, value_name = "TIME", value_parser = time)]
        since: Option<DateTime<Utc>>,
        /// Only before this time
        #[arg(long, value_name = "TIME", value_parser = time)]
        until: Option<DateTime<Utc>>,
        /// So many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 50)]
        limit: usize,
    },
    /// Print every entry as JSON, one on a line, for another system or to be checked elsewhere
    ///
    /// Before the entries stand statements that the server signs: which they are, and how many there are in all.
    #[command(after_help = "Examples:\n  lanyard audit export > audit.jsonl\n  lanyard audit export --from 5001")]
    Export {
        /// The first entry
        #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
        from: i64,
    },
    /// Check that no entry was changed, taken out, put elsewhere or cut off
    ///
    /// Without a file the server goes through its own audit, with keys that only it has. An exported file is checked
    /// here, asking nobody, with the public key. With --json: an object with valid and, if it holds, entries, or else
    /// broken: sequence and problem.
    #[command(after_help = "Examples:\n  lanyard audit verify\n  \
lanyard audit verify audit.jsonl --public-key \"$KEY\" --checkpoints checkpoints.jsonl")]
    Verify {
        /// What `lanyard audit export` printed
        #[arg(value_name = "FILE", requires = "public_key", value_hint = clap::ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// The server's public key, as `lanyard audit key` prints it; once more for each that has signed a part of it
        #[arg(long, value_name = "KEY", requires = "file")]
        public_key: Vec<String>,
        /// Hold it against what the server signed before: the file of `lanyard serve --audit-checkpoints`
        #[arg(long, value_name = "FILE", requires = "file", value_hint = clap::ValueHint::FilePath)]
        checkpoints: Option<PathBuf>,
    },
    /// Print the public key that exports are checked with
    ///
    /// Take it once, from a server that you trust, and keep it. Another one takes its place where the server's own key is
    /// replaced: what was signed before that is checked with the one of before. With --json: an object with algorithm,
    /// key and former, the keys of before, the last one first.
    #[command(after_help = "Example:\n  lanyard audit key > audit.key")]
    Key,
}

/// Why there is no answer, or no good one.
#[derive(Debug, thiserror::Error)]
enum AuditError {
    #[error("the audit is broken at entry {}: {}", .0.sequence, .0.problem)]
    Broken(Broken),
    #[error("{file} cannot be read: {problem}")]
    Unread { file: String, problem: String },
    #[error("this is no public key of a server")]
    BadKey,
    #[error("the answer of the server is none of a lanyard server's")]
    Malformed,
}

impl Failure for AuditError {
    fn code(&self) -> Code {
        match self {
            Self::Broken(_) => Code::Invalid,
            Self::Unread { .. } => Code::Failed,
            Self::BadKey => Code::Usage,
            Self::Malformed => Code::Unreachable,
        }
    }

    fn mend(&self) -> Option<String> {
        Some(match self {
            Self::Broken(_) => {
                "somebody changed it past the server: compare it with a backup, and ask who could".into()
            }
            Self::Unread { .. } => "name the file that `lanyard audit export` printed, or that the server wrote".into(),
            Self::BadKey => "give what `lanyard audit key` prints".into(),
            Self::Malformed => "check the address of the server in the configuration".into(),
        })
    }
}

/// A day, or a time with its zone.
fn time(text: &str) -> std::result::Result<DateTime<Utc>, String> {
    let day = || format!("{text}T00:00:00Z").parse().ok();
    text.parse().ok().or_else(day).ok_or_else(|| "write a day such as 2026-01-31, or 2026-01-31T12:00:00Z".into())
}

impl Command {
    /// Runs the command.
    pub(super) fn run(self, doors: &Doors<'_>) -> Result<()> {
        match self {
            Self::List { actor, action, object, since, until, limit } => {
                let time = |at: DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
                let filters = [
                    ("actor", actor),
                    ("action", action),
                    ("object", object),
                    ("since", since.map(time)),
                    ("until", until.map(time)),
                ];
                list(doors, &filters, limit)
            }
            Self::Export { from } => export(doors, from),
            Self::Verify { file: Some(file), public_key, checkpoints } => {
                let path = |path: PathBuf| doors.env.working_dir().join(path);
                elsewhere(doors, &path(file), &public_key, checkpoints.map(path).as_deref())
            }
            Self::Verify { .. } => at_the_server(doors),
            Self::Key => key(doors),
        }
    }
}

/// The way to what is at a path of the server.
type Get<'g> = &'g dyn Fn(&str) -> Result<Response, VaultError>;

/// Asks the server of the profile, again and again until there is nothing more to ask.
fn ask(doors: &Doors<'_>, see: &mut dyn FnMut(Get<'_>) -> Result<()>) -> Result<()> {
    let (config, profile) = active::active(doors)?;
    let server = vault_door::server(doors, &config, &profile)?;
    see(&|path| server.get(path))
}

fn answer(doors: &Doors<'_>, path: &str) -> Result<Value> {
    let mut found = Value::Null;
    ask(doors, &mut |get| {
        found = get(path)?.json().map_err(|_| AuditError::Malformed)?;
        Ok(())
    })?;
    Ok(found)
}

fn list(doors: &Doors<'_>, filters: &[(&str, Option<String>)], limit: usize) -> Result<()> {
    let mut entries: Vec<Value> = Vec::new();
    ask(doors, &mut |get| {
        let mut cursor: Option<String> = None;
        while entries.len() < limit {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
            query.append_pair("limit", &PAGE.min(limit - entries.len()).to_string());
            if let Some(cursor) = &cursor {
                query.append_pair("cursor", cursor);
            }
            let page: Value = get(&format!("/audit?{}", query.finish()))?.json().map_err(|_| AuditError::Malformed)?;
            let items = page["items"].as_array().ok_or(AuditError::Malformed)?;
            entries.extend(items.iter().cloned());
            match page["next"].as_str() {
                Some(next) if !items.is_empty() => cursor = Some(next.to_owned()),
                _ => break,
            }
        }
        Ok(())
    })?;
    show(doors, active::wants_json(doors, &active::load(doors)?), &entries)
}

/// Answers with entries.
pub(super) fn show(doors: &Doors<'_>, json: bool, entries: &[Value]) -> Result<()> {
    if json {
        return doors.ui.answer_json(&entries);
    }
    let row = |entry: &Value| -> Vec<String> {
        let text = |name: &str| clean(entry[name].as_str().unwrap_or_default());
        let who = if entry["login"].is_string() { text("login") } else { text("actor") };
        vec![text("at"), who, text("action"), text("object"), text("outcome"), text("address")]
    };
    doors.ui.table(&["at", "who", "action", "object", "outcome", "from"], &entries.iter().map(row).collect::<Vec<_>>())
}

fn export(doors: &Doors<'_>, from: i64) -> Result<()> {
    ask(doors, &mut |get| {
        let mut next = from;
        loop {
            let part = get(&format!("/audit/export?from={next}"))?.body;
            let head = part.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let head = Statement::read(&String::from_utf8_lossy(head)).ok_or(AuditError::Malformed)?;
            if head.sequence() < next {
                return Err(AuditError::Malformed.into());
            }
            doors.ui.answer_bytes(&part)?;
            if head.is_the_end() {
                return Ok(());
            }
            next = head.sequence() + 1;
        }
    })
}

fn at_the_server(doors: &Doors<'_>) -> Result<()> {
    let found = answer(doors, "/audit/verify")?;
    let checked = match (&found["valid"], found["entries"].as_i64()) {
        (Value::Bool(true), Some(entries)) => Ok(entries),
        (Value::Bool(false), _) => Err(Broken {
            sequence: found["broken"]["sequence"].as_i64().unwrap_or_default(),
            problem: clean(found["broken"]["problem"].as_str().unwrap_or_default()),
        }),
        _ => return Err(AuditError::Malformed.into()),
    };
    told(doors, checked, |entries| format!("The audit holds: {entries} entries"), |entries| *entries)
}

fn elsewhere(doors: &Doors<'_>, file: &Path, keys: &[String], checkpoints: Option<&Path>) -> Result<()> {
    let read = |key: &String| STANDARD.decode(key.trim()).ok().filter(|key| key.len() == 32).ok_or(AuditError::BadKey);
    let keys = keys.iter().map(read).collect::<std::result::Result<Vec<_>, _>>()?;
    let unread = |file: &Path, problem: String| AuditError::Unread { file: file.display().to_string(), problem };
    let open = |file: &Path| File::open(file).map_err(|cause| unread(file, cause.to_string())).map(BufReader::new);
    let mut seen = Vec::new();
    if let Some(file) = checkpoints {
        let found = trail::statements(open(file)?, &keys).map_err(|cause| unread(file, cause.to_string()))?;
        seen = found.map_err(|line| unread(file, format!("line {line} is not signed by this key")))?;
    }
    let checked = trail::verify(open(file)?, &keys, &seen).map_err(|cause| unread(file, cause.to_string()))?;
    let words = |whole: &Whole| {
        let (from, to, at) = (whole.from, whole.to, clean(&whole.at));
        format!("The export holds: entries {from} to {to} of {}, as of {at}", clean(&whole.organization))
    };
    told(doors, checked, words, |whole| whole.to - whole.from + 1)
}

fn told<T>(
    doors: &Doors<'_>,
    checked: Result<T, Broken>,
    words: impl Fn(&T) -> String,
    count: impl Fn(&T) -> i64,
) -> Result<()> {
    let json = active::wants_json(doors, &active::load(doors)?);
    match checked {
        Ok(whole) if json => doors.ui.answer_json(&json!({ "valid": true, "entries": count(&whole) })),
        Ok(whole) => {
            doors.ui.done(&words(&whole));
            Ok(())
        }
        Err(broken) => {
            if json {
                let place = json!({ "sequence": broken.sequence, "problem": broken.problem });
                doors.ui.answer_json(&json!({ "valid": false, "broken": place }))?;
            }
            Err(AuditError::Broken(broken).into())
        }
    }
}

fn key(doors: &Doors<'_>) -> Result<()> {
    let found = answer(doors, "/audit/key")?;
    let key = found["key"].as_str().ok_or(AuditError::Malformed)?;
    if active::wants_json(doors, &active::load(doors)?) {
        return doors.ui.answer_json(&found);
    }
    doors.ui.answer(&clean(key))
}
