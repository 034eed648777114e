//! Changes to the configuration file: under a lock, on what the file says now, whole or not at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml_edit::{DocumentMut, Value};

use super::error::{At, ConfigError};
use super::schema::{self, Kind};
use super::{FILE, check, document};
use crate::error::Result;
use crate::os::Env;
use crate::os::files::{self, FileError, Lock};

/// The lock file beside the configuration.
const LOCK: &str = "config.lock";

/// How long a writer waits for the others.
const PATIENCE: Duration = Duration::from_secs(30);

/// Changes the configuration: takes the lock, reads the file again, checks it, lets `change` edit it, checks the
/// result, and replaces the file as a whole. Nothing is written when nothing changed or anything failed.
pub fn edit<T>(env: &Env, change: impl FnOnce(&mut DocumentMut) -> Result<T>) -> Result<T> {
    let _lock = lock(env)?;
    let path = file(env);
    let bytes = files::read(&path)?.unwrap_or_default();
    check::read(&path, &bytes)?;
    let text = check::utf8(&path, &bytes)?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| ConfigError::Syntax {
        at: At::offset(&path, text, error.span().map_or(0, |span| span.start)),
        problem: "this is no TOML".into(),
    })?;
    let before = document.to_string();
    let answer = change(&mut document)?;
    let after = document.to_string();
    if after != before {
        write(&path, &with_line_ends_of(text, after))?;
    }
    Ok(answer)
}

/// Replaces the whole text, if the file still says `expected`; refused where another process changed it.
pub fn replace_text(env: &Env, expected: Option<&[u8]>, text: &str) -> Result<(), ConfigError> {
    let _lock = lock(env)?;
    let path = file(env);
    if files::read(&path)?.as_deref() != expected {
        return Err(ConfigError::Changed { path, kept: None });
    }
    write(&path, text)
}

/// The configuration file.
pub fn file(env: &Env) -> PathBuf {
    env.config_dir().join(FILE)
}

fn lock(env: &Env) -> Result<Lock, FileError> {
    Lock::acquire(&env.config_dir().join(LOCK), PATIENCE, &mut |_| {})
}

fn write(path: &Path, text: &str) -> Result<(), ConfigError> {
    check::read(path, text.as_bytes())?;
    refuse_foreign_link(path)?;
    Ok(files::replace(path, text.as_bytes(), true)?)
}

/// `toml_edit` ends its lines with a line feed; a file that ended them otherwise goes on doing so.
fn with_line_ends_of(original: &str, edited: String) -> String {
    let returns = original.matches("\r\n").count();
    if returns == 0 || returns != original.matches('\n').count() {
        return edited;
    }
    edited.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// A dotfile manager may put a link in the file's place; somebody else's link would let them choose what we replace.
#[cfg(unix)]
fn refuse_foreign_link(path: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;
    let Ok(link) = path.symlink_metadata() else { return Ok(()) };
    if !link.is_symlink() {
        return Ok(());
    }
    let me = rustix::process::geteuid().as_raw();
    let strange = [Ok(link), path.metadata()].into_iter().flatten().map(|found| found.uid()).find(|uid| *uid != me);
    match strange {
        Some(uid) => Err(FileError::Unsafe {
            path: path.to_owned(),
            problem: format!("it is a symbolic link, and the link or its target belongs to user {uid}"),
            mend: format!("replace {} by a file of your own", path.display()),
        }),
        None => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_foreign_link(_: &Path) -> Result<(), FileError> {
    Ok(())
}

/// Writes keys of `[profiles.NAME]`, which is made if need be; `None` removes a key. The profile becomes the default
/// when there is none and `make_default_if_none` says so.
pub fn set_profile(env: &Env, name: &str, changes: &[(&str, Option<Value>)], make_default_if_none: bool) -> Result<()> {
    edit(env, |document| {
        set_keys(document, "profiles", name, changes)?;
        if make_default_if_none && document.get("profile").is_none() {
            document::set(document, &["profile".into()], name.into())?;
        }
        Ok(())
    })
}

/// Writes keys of `[services.NAME]`, which is made if need be; `None` removes a key. A key may be `api.whoami`.
pub fn set_service(env: &Env, name: &str, changes: &[(&str, Option<Value>)]) -> Result<()> {
    edit(env, |document| set_keys(document, "services", name, changes))
}

fn set_keys(document: &mut DocumentMut, section: &str, name: &str, changes: &[(&str, Option<Value>)]) -> Result<()> {
    check_name(name)?;
    let table = [section.to_owned(), name.to_owned()];
    for (key, value) in changes {
        let key: Vec<String> = table.iter().cloned().chain(schema::split(key)).collect();
        match value {
            Some(value) => document::set(document, &key, value.clone())?,
            None => {
                document::unset(document, &key);
            }
        }
    }
    document::make_table(document, &table);
    Ok(())
}

/// Refuses what cannot be the name of a profile or a service.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    match schema::problem(Kind::Name, name) {
        None => Ok(()),
        Some((problem, mend)) => {
            Err(ConfigError::BadValue { at: At::Argument, key: "the name given".into(), problem, mend })
        }
    }
}
