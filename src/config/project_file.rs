//! `.lanyard.toml`: a file that comes with a repository, and therefore from strangers. It may choose `profile` and
//! `project` among what the user has configured, and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use super::check;
use super::error::{At, ConfigError};
use super::schema::{self, Kind};
use crate::os::Env;
use crate::os::files::FileError;
use crate::text::clean;

/// The file's name.
pub(super) const NAME: &str = ".lanyard.toml";

/// The largest project file read, in bytes.
const LIMIT: u64 = 64 << 10;

/// What a project file chooses, each with its line.
#[derive(Debug)]
pub(super) struct ProjectFile {
    pub(super) path: PathBuf,
    pub(super) profile: Option<(String, usize)>,
    pub(super) project: Option<(String, usize)>,
}

/// The nearest project file, if one may be used, and what a person should know about it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) file: Option<ProjectFile>,
    pub(super) warnings: Vec<String>,
}

/// Looks in the working folder and above, to the repository's root, the home folder or the end of the file system,
/// whichever comes first.
pub(super) fn find(env: &Env) -> Result<Found, ConfigError> {
    let start = super::rules::resolved(env.working_dir());
    let home = env.home().map(super::rules::resolved);
    let device = device_of(&start);
    for folder in start.ancestors() {
        if device_of(folder) != device {
            break;
        }
        let path = folder.join(NAME);
        match open(&path, folder)? {
            Opened::Absent => {}
            Opened::Refused(reason) => {
                let warning = format!("{} is not used: {reason}", clean(&path.display().to_string()));
                return Ok(Found { file: None, warnings: vec![warning] });
            }
            Opened::File(file) => return read(file, &path),
        }
        if folder.join(".git").symlink_metadata().is_ok() || home.as_deref() == Some(folder) {
            break;
        }
    }
    Ok(Found::default())
}

enum Opened {
    Absent,
    Refused(String),
    File(File),
}

/// Opens the file without following a link, and checks the owner on what was opened.
fn open(path: &Path, folder: &Path) -> Result<Opened, ConfigError> {
    let failed = |cause| FileError::Io { action: "read", path: path.to_owned(), cause };
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(Opened::Refused("it is not a regular file".into())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Opened::Absent);
        }
        Err(cause) => return Err(failed(cause).into()),
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    Ok(match stranger(&found).or_else(|| stranger(&folder.metadata().ok()?)) {
        Some(uid) => Opened::Refused(format!("it belongs to user {uid}")),
        None => Opened::File(file),
    })
}

/// The owner, where it is neither this user nor the superuser.
#[cfg(unix)]
fn stranger(found: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let me = rustix::process::geteuid().as_raw();
    Some(found.uid()).filter(|uid| *uid != me && *uid != 0)
}

#[cfg(not(unix))]
fn stranger(_: &std::fs::Metadata) -> Option<u32> {
    None
}

#[cfg(unix)]
fn device_of(folder: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    folder.metadata().ok().map(|found| found.dev())
}

#[cfg(not(unix))]
fn device_of(_: &Path) -> Option<u64> {
    None
}

fn read(file: File, path: &Path) -> Result<Found, ConfigError> {
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|cause| FileError::Io {
        action: "read",
        path: path.to_owned(),
        cause,
    })?;
    if bytes.len() as u64 > LIMIT {
        return Err(ConfigError::BadValue {
            at: At::File { path: path.to_owned(), line: 1, column: 1 },
            key: NAME.into(),
            problem: "is larger than 64 KiB".into(),
            mend: "keep profile and project in it, and nothing else".into(),
        });
    }
    let text = check::utf8(path, &bytes)?;
    let table = check::parse(path, text)?;
    let mut chosen = ProjectFile { path: path.to_owned(), profile: None, project: None };
    let mut ignored: Vec<(usize, String)> = Vec::new();
    for (key, value) in table.get_ref() {
        let at = At::offset(path, text, key.span().start);
        let line = match at {
            At::File { line, .. } => line,
            At::Argument => 0,
        };
        let (slot, kind) = match &**key.get_ref() {
            "profile" => (&mut chosen.profile, Kind::Name),
            "project" => (&mut chosen.project, Kind::Text),
            other => {
                ignored.push((line, schema::join(&[other.to_owned()])));
                continue;
            }
        };
        let value_at = At::offset(path, text, value.span().start);
        *slot = Some((text_of(value.get_ref(), kind, value_at, key.get_ref())?, line));
    }
    ignored.sort();
    let place = clean(&path.display().to_string());
    let warnings = ignored
        .into_iter()
        .map(|(line, key)| {
            format!("{place}:{line}: {key} is ignored: a project file may choose profile and project only")
        })
        .collect();
    Ok(Found { file: Some(chosen), warnings })
}

fn text_of(value: &DeValue<'_>, kind: Kind, at: At, key: &str) -> Result<String, ConfigError> {
    let DeValue::String(text) = value else {
        return Err(ConfigError::BadValue {
            at,
            key: key.to_owned(),
            problem: "is not a text in quotation marks".into(),
            mend: "write a text in quotation marks".into(),
        });
    };
    match schema::problem(kind, text) {
        None => Ok(text.to_string()),
        Some((problem, mend)) => Err(ConfigError::BadValue { at, key: key.to_owned(), problem, mend }),
    }
}
