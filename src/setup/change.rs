//! Making the changes and taking them back: backup first, then the file; a kill in between loses nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Edit, Plan, SetupError, Tool, links, read};
use crate::os::Env;
use crate::os::files::{self, Lock};

/// How long to wait for another process that sets up a tool.
const LOCKED: Duration = Duration::from_secs(20);

/// How the folder begins in which a tool works on a copy of its file. It is gone at the end, unless the process is killed.
pub(super) const WORKING_COPY: &str = "kubeconfig-";
/// No tool works on a copy for so long.
const STALE: Duration = Duration::from_mins(10);

/// What was done to the files of a tool, so that it can be undone.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    edits: Vec<Entry>,
    /// Copies of what files held before, which stay although no undoing puts them back.
    #[serde(default)]
    copies: Vec<Kept>,
}

/// A copy that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The file that it is of.
    path: PathBuf,
    /// Its name in the folder.
    copy: String,
}

/// One change that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    /// The copy of what was there before; `None` where there was nothing.
    backup: Option<String>,
    /// The digest of what we left; `None` for a link.
    left: Option<String>,
    /// Whether others had changed the file when we did once more. The copy is of what they made of it, without our part.
    #[serde(default)]
    merged: bool,
    /// By what our links there are known.
    #[serde(default)]
    marks: Vec<String>,
}

impl Record {
    /// A name for a copy that no other has. What a kill left under it is overwritten.
    fn free_name(&self, tool: &dyn Tool) -> String {
        let backups = self.edits.iter().filter_map(|entry| entry.backup.as_ref());
        let taken: Vec<&String> = backups.chain(self.copies.iter().map(|kept| &kept.copy)).collect();
        let name = |number| format!("{}.{number}.before", tool.name());
        // Of one more names than are taken, one is free.
        (0..=taken.len()).map(name).find(|name| !taken.contains(&name)).unwrap_or_default()
    }
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was as it should be.
    Already,
    /// It was changed.
    Changed,
    /// It is as it was before, byte for byte.
    Restored,
    /// Our part was taken out, and what others changed since was kept.
    TakenOut,
    /// It was ours alone and is gone.
    Removed,
}

/// Makes the changes of a plan, each with a backup that is on the disk before.
pub fn apply(env: &Env, tool: &dyn Tool, plan: &Plan) -> Result<Vec<(PathBuf, Done)>, SetupError> {
    let folder = folder(env);
    let _lock = lock(&folder)?;
    let mut record = load(&folder, tool)?;
    let mut done = Vec::new();
    for edit in &plan.edits {
        if !edit.is_due() {
            done.push((edit.path().to_owned(), Done::Already));
            continue;
        }
        match edit {
            Edit::File { path, before, after, .. } => {
                if read(path)? != *before {
                    return Err(SetupError::Changed { path: path.clone() });
                }
                note(env, &folder, tool, &mut record, edit)?;
                save(&folder, tool, &record)?;
                files::amend(path, after.as_bytes())?;
            }
            Edit::Link { path, to } => {
                note_link(&mut record, path, to)?;
                save(&folder, tool, &record)?;
                links::make(path, to)?;
            }
        }
        done.push((edit.path().to_owned(), Done::Changed));
    }
    Ok(done)
}

/// Notes what is needed to undo a change of a file that is about to be made.
fn note(env: &Env, folder: &Path, tool: &dyn Tool, record: &mut Record, edit: &Edit) -> Result<(), SetupError> {
    let Edit::File { path, before, after, .. } = edit else { return Ok(()) };
    let name = record.free_name(tool);
    let keep = |text: &str| files::replace(&folder.join(&name), text.as_bytes(), false).map(|()| name.clone());
    let left = Some(digest(after));
    let Some(entry) = record.edits.iter_mut().find(|entry| entry.path == *path) else {
        let backup = before.as_deref().map(keep).transpose()?;
        record.edits.push(Entry { path: path.clone(), backup, left, merged: false, marks: Vec::new() });
        return Ok(());
    };
    if entry.left != before.as_deref().map(digest) {
        // Somebody changed what we left: undoing must not put back what was there before that.
        let old = kept_before(folder, entry)?;
        let ours = |before: &String| tool.without(env, path, before, old.as_deref().unwrap_or_default());
        let without = before.as_ref().map(ours).transpose()?;
        if without != old {
            let backup = without.as_deref().map(keep).transpose()?;
            let old = std::mem::replace(&mut entry.backup, backup);
            record.copies.extend(old.map(|copy| Kept { path: path.clone(), copy }));
            entry.merged = true;
        }
    }
    entry.left = left;
    Ok(())
}

/// Notes what is needed to undo a link that is about to be made. Nothing but a link of ours gives way to it.
fn note_link(record: &mut Record, path: &Path, to: &Path) -> Result<(), SetupError> {
    let mark = links::mark_of(to);
    let present = record.edits.iter_mut().find(|entry| entry.path == path);
    links::refuse_anothers(path, present.as_ref().map_or(&[], |entry| &entry.marks))?;
    if let Some(entry) = present {
        entry.marks.extend(mark.filter(|mark| !entry.marks.contains(mark)));
    } else {
        let marks = mark.into_iter().collect();
        record.edits.push(Entry { path: path.to_owned(), backup: None, left: None, merged: false, marks });
    }
    Ok(())
}

/// Takes back what was done to the files of a tool; nothing where nothing was.
pub fn undo(env: &Env, tool: &dyn Tool) -> Result<Vec<(PathBuf, Done)>, SetupError> {
    let folder = folder(env);
    let _lock = lock(&folder)?;
    let mut record = load(&folder, tool)?;
    let mut done = Vec::new();
    // The last change is taken back first; what was taken back leaves the record, so that a kill is no harm.
    while let Some(entry) = record.edits.last().cloned() {
        let became = take_back(env, &folder, tool, &entry)?;
        record.edits.pop();
        let put_back = became == Done::Restored;
        // What the file held before is thrown away only when the file holds it again.
        let copy = entry.backup.map(|copy| Kept { path: entry.path.clone(), copy });
        record.copies.extend(copy.clone().filter(|_| !put_back));
        save(&folder, tool, &record)?;
        if let Some(copy) = copy.filter(|_| put_back) {
            files::remove(&folder.join(copy.copy))?;
        }
        done.push((entry.path, if put_back && entry.merged { Done::TakenOut } else { became }));
    }
    record.copies.retain(|kept| folder.join(&kept.copy).exists());
    if record.copies.is_empty() {
        files::remove(&record_file(&folder, tool))?;
    }
    Ok(done)
}

/// A copy of what a file held before a tool was set up. It holds whatever secret the file did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The file.
    pub path: PathBuf,
    /// The copy.
    pub copy: PathBuf,
    /// Whether undoing puts it back, and removes it then.
    pub goes_back: bool,
}

/// The copies that were made when a tool was set up and are still there.
pub fn saved(env: &Env, tool: &dyn Tool) -> Result<Vec<Saved>, SetupError> {
    let folder = folder(env);
    let record = load(&folder, tool)?;
    let of = |path, copy: String, goes_back| Saved { path, copy: folder.join(copy), goes_back };
    let backups = record.edits.into_iter().filter_map(|entry| Some(of(entry.path, entry.backup?, true)));
    let copies = record.copies.into_iter().map(|kept| of(kept.path, kept.copy, false));
    Ok(backups.chain(copies).filter(|saved| saved.copy.exists()).collect())
}

/// Whether the tool was set up here and not undone.
pub fn is_set_up(env: &Env, tool: &dyn Tool) -> Result<bool, SetupError> {
    Ok(!load(&folder(env), tool)?.edits.is_empty())
}

fn take_back(env: &Env, folder: &Path, tool: &dyn Tool, entry: &Entry) -> Result<Done, SetupError> {
    let Some(left) = &entry.left else {
        return Ok(if links::remove(&entry.path, &entry.marks)? { Done::Removed } else { Done::Already });
    };
    let Some(present) = read(&entry.path)? else { return Ok(Done::Already) };
    let before = kept_before(folder, entry)?;
    match &before {
        Some(before) if digest(&present) == *left || present == *before => {
            files::amend(&entry.path, before.as_bytes())?;
            return Ok(Done::Restored);
        }
        None if digest(&present) == *left && entry.backup.is_none() => {
            files::remove(&entry.path)?;
            return Ok(Done::Removed);
        }
        _ => {}
    }
    let rest = tool.without(env, &entry.path, &present, before.as_deref().unwrap_or_default())?;
    if rest == present {
        return Ok(Done::Already);
    }
    files::amend(&entry.path, rest.as_bytes())?;
    Ok(Done::TakenOut)
}

/// What the file of an entry held before.
fn kept_before(folder: &Path, entry: &Entry) -> Result<Option<String>, SetupError> {
    entry.backup.as_ref().map_or(Ok(None), |backup| read(&folder.join(backup)))
}

fn folder(env: &Env) -> PathBuf {
    env.data_dir().join("setup")
}

fn lock(folder: &Path) -> Result<Lock, SetupError> {
    files::create_private_dir(folder)?;
    let waiting = |holder| tracing::debug!(?holder, "waiting for another process");
    let lock = Lock::acquire(&folder.join("lock"), LOCKED, &mut |holder| waiting(holder))?;
    sweep(folder);
    Ok(lock)
}

/// Removes the copies of files that killed processes were working on. One in use is younger.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let is_old = |entry: &std::fs::DirEntry| {
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
        age.is_some_and(|age| age > STALE)
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORKING_COPY) && is_old(&entry) {
            // What cannot be removed is private, and the next one tries again.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn record_file(folder: &Path, tool: &dyn Tool) -> PathBuf {
    folder.join(format!("{}.json", tool.name()))
}

fn load(folder: &Path, tool: &dyn Tool) -> Result<Record, SetupError> {
    let path = record_file(folder, tool);
    let Some(bytes) = files::read_private(&path)? else { return Ok(Record::default()) };
    serde_json::from_slice(&bytes).map_err(|_| SetupError::Unclear {
        mend: format!("move {} away, and undo by hand", path.display()),
        problem: "it is no record of what was set up".into(),
        path,
    })
}

fn save(folder: &Path, tool: &dyn Tool, record: &Record) -> Result<(), SetupError> {
    let path = record_file(folder, tool);
    // A path that is no text cannot be noted; what cannot be undone is not done.
    let text = serde_json::to_vec_pretty(record).map_err(|_| SetupError::Unclear {
        path: path.clone(),
        problem: "a path that is no text cannot be noted in it".into(),
        mend: "give the folder of the tool's configuration a name in UTF-8".into(),
    })?;
    Ok(files::replace(&path, &text, false)?)
}

pub(super) fn digest(content: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(content))
}

#[cfg(test)]
mod tests;
