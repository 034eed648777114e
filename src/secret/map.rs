//! The text that both file stores hold: a versioned JSON map from slot to secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::{Secret, Slot, StoreError};
use crate::os::files::Lock;

/// The version this lanyard writes.
const VERSION: u32 = 1;

/// How long a writer waits for another one. A write is a few milliseconds, or one passphrase stretch.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The largest text that can be written: what [`crate::os::files`] reads back, less the cost of encryption.
const MAX_TEXT: usize = (4 << 20) - (64 << 10);

/// Slots and their secrets.
pub(super) type Secrets = BTreeMap<String, Secret>;

#[derive(Deserialize)]
struct Found {
    version: u32,
    #[serde(default)]
    secrets: Secrets,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    secrets: BTreeMap<&'a str, Exposed<'a>>,
}

/// A secret on its way into a store's file, the one place where it is serialized.
struct Exposed<'a>(&'a Secret);

impl Serialize for Exposed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

/// Reads a file's text. What the parser says is dropped, because it quotes what it read.
pub(super) fn parse(text: &[u8], path: &Path) -> Result<Secrets, StoreError> {
    let unusable =
        |problem: String, mend: String| StoreError::Unsafe { path: path.display().to_string(), problem, mend };
    let strange = || {
        let mend = format!("move {} away and sign in again", path.display());
        unusable("it does not hold what lanyard wrote there".into(), mend)
    };
    let Versioned { version } = serde_json::from_slice(text).map_err(|_| strange())?;
    if version > VERSION {
        return Err(unusable(
            format!("a newer lanyard wrote it (format {version})"),
            "use the newer lanyard, or choose another store with `--storage`".into(),
        ));
    }
    let found: Found = serde_json::from_slice(text).map_err(|_| strange())?;
    if found.version == VERSION { Ok(found.secrets) } else { Err(strange()) }
}

/// Writes a file's text into memory that is wiped on drop. `store` names the store in the error.
pub(super) fn text(secrets: &Secrets, store: &'static str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let exposed = secrets.iter().map(|(name, secret)| (name.as_str(), Exposed(secret))).collect();
    // Room for the longest escapes, so that the text never moves and leaves no copy behind.
    let room = secrets.iter().map(|(name, secret)| 6 * (name.len() + secret.expose().len()) + 16).sum::<usize>() + 64;
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    let written = Written { version: VERSION, secrets: exposed };
    let done = serde_json::to_writer(&mut *text, &written);
    if done.is_err() || text.len() > MAX_TEXT {
        return Err(StoreError::TooLong { store, size: text.len() });
    }
    Ok(text)
}

/// A file that holds the whole map, as the two file stores have it.
pub(super) trait MapFile {
    /// The folder of the file and of its lock.
    fn dir(&self) -> &Path;
    /// What the file holds; nothing where there is no file.
    fn load(&self) -> Result<Secrets, StoreError>;
    /// Replaces the file as a whole; the last secret takes it away.
    fn save(&self, secrets: &Secrets) -> Result<(), StoreError>;

    /// Puts one secret into the map, under the lock.
    fn put(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        let _lock = lock(self.dir())?;
        let mut secrets = self.load()?;
        secrets.insert(slot.name.clone(), value.duplicate());
        self.save(&secrets)
    }

    /// Takes one secret out of the map, under the lock; `false` where it was not there.
    fn take(&self, slot: &Slot) -> Result<bool, StoreError> {
        let _lock = lock(self.dir())?;
        let mut secrets = self.load()?;
        let found = secrets.remove(&slot.name).is_some();
        if found {
            self.save(&secrets)?;
        }
        Ok(found)
    }
}

/// Takes the lock that every writer of a file store holds from reading to replacing.
fn lock(dir: &Path) -> Result<Lock, StoreError> {
    Ok(Lock::acquire(&lock_path(dir), LOCK_WAIT, &mut |_| ())?)
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("locks").join("sessions.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let secrets = Secrets::from([("work".into(), Secret::new("a\"b\u{1}".into()))]);
        let text = text(&secrets, "plain file").unwrap();
        assert_eq!(std::str::from_utf8(&text).unwrap(), r#"{"version":1,"secrets":{"work":"a\"b\u0001"}}"#);
        assert_eq!(parse(&text, Path::new("x")).unwrap()["work"].expose(), "a\"b\u{1}");
    }

    #[test]
    fn errors_quote_nothing() {
        let texts: [&str; 6] = [
            "",
            "canary",
            r#"{"version":1,"secrets":{"work":["canary"]}}"#,
            r#"{"version":1,"secrets":"canary"}"#,
            r#"{"version":0,"secrets":{"work":"canary"}}"#,
            r#"{"version":2,"sealed":"canary"}"#,
        ];
        for text in texts {
            let error = parse(text.as_bytes(), Path::new("sessions.plain.json")).unwrap_err();
            assert!(matches!(error, StoreError::Unsafe { .. }));
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let error = parse(br#"{"version":7,"x":1}"#, Path::new("x")).unwrap_err();
        assert!(error.to_string().contains("newer lanyard"), "{error}");
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let secrets = Secrets::from([("work".into(), Secret::new("x".repeat(5 << 20)))]);
        assert!(matches!(text(&secrets, "plain file"), Err(StoreError::TooLong { .. })));
    }
}
