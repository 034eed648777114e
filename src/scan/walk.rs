//! The walk over folders: every text file once, on all cores.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use ignore::{DirEntry, WalkBuilder, WalkState};
use zeroize::Zeroizing;

use super::marks::Marks;
use super::readers::Rights;
use super::sight::{Sighting, Sort, sightings};
use crate::credential::Kind;

/// Larger files are read only where they are named.
const LARGEST: u64 = 1 << 20;
/// Larger files are not read at all.
const LARGEST_NAMED: u64 = 256 << 20;
/// A zero byte in the first bytes makes a file a binary one.
const BEGINNING: usize = 8 << 10;
/// So many places that could not be read are told.
const MOST_TOLD: usize = 100;

/// Folders below the home folder that hold what everybody can download. Their test keys are nobody's.
const PUBLIC: [&str; 10] = [
    ".cargo/registry",
    ".cargo/git",
    ".rustup",
    "go/pkg/mod",
    ".npm/_cacache",
    ".cache/go-build",
    ".cache/pip",
    ".m2/repository",
    ".gradle/caches",
    ".local/share/uv",
];

/// Where to walk.
pub(super) struct Ground<'a> {
    /// Files and folders that the user named.
    pub(super) named: &'a [PathBuf],
    /// The home folder, where it is to be walked.
    pub(super) home: Option<&'a Path>,
    /// Folders that are left out: lanyard's own.
    pub(super) without: Vec<PathBuf>,
    /// Whether ignore files count.
    pub(super) honours_ignore: bool,
}

/// A file with something in it.
pub(super) struct Seen {
    /// The file.
    pub(super) path: PathBuf,
    /// Its rights when it was read.
    pub(super) rights: Rights,
    /// What is in it.
    pub(super) sightings: Vec<Sighting>,
}

/// What a walk came past.
#[derive(Debug, Default, Clone)]
pub struct Passed {
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were too large to be read.
    pub large: u64,
    /// Files that hold no text.
    pub binary: u64,
    /// Files and folders that could not be read.
    pub unreadable: u64,
    /// The first of these.
    pub unreadable_places: Vec<PathBuf>,
}

impl Passed {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.large += other.large;
        self.binary += other.binary;
        self.unreadable += other.unreadable;
        let room = MOST_TOLD.saturating_sub(self.unreadable_places.len());
        self.unreadable_places.extend(other.unreadable_places.into_iter().take(room));
    }

    fn unreadable(&mut self, path: Option<&Path>) {
        self.unreadable += 1;
        if let Some(path) = path.filter(|_| self.unreadable_places.len() < MOST_TOLD) {
            self.unreadable_places.push(path.to_owned());
        }
    }
}

/// Walks, and gives every file with something in it, in the order of their paths. `read` counts the files meanwhile.
pub(super) fn walk(
    ground: &Ground<'_>,
    marks: &Marks,
    open: Option<&'static Kind>,
    read: &AtomicU64,
) -> (Vec<Seen>, Passed) {
    let mut passed = Passed::default();
    let Some(builder) = builder(ground, &mut passed) else { return (Vec::new(), passed) };
    let (seen, all_seen) = channel();
    let (counted, counts) = channel();
    builder.build_parallel().run(|| {
        let mut visitor = Visitor {
            marks,
            open,
            named: ground.named,
            buffer: Zeroizing::new(Vec::with_capacity(64 << 10)),
            passed: Passed::default(),
            read,
            seen: seen.clone(),
            counted: counted.clone(),
        };
        Box::new(move |entry| {
            visitor.visit(entry);
            WalkState::Continue
        })
    });
    drop((seen, counted));
    for other in counts {
        passed.add(other);
    }
    let mut all: Vec<Seen> = all_seen.into_iter().collect();
    all.sort_by(|one, other| one.path.cmp(&other.path));
    all.dedup_by(|one, other| one.path == other.path);
    passed.unreadable_places.sort();
    (all, passed)
}

/// The walk with its rules; `None` where there is nowhere to go.
fn builder(ground: &Ground<'_>, passed: &mut Passed) -> Option<WalkBuilder> {
    let mut roots: Vec<PathBuf> = ground.named.to_vec();
    if let Some(home) = ground.home {
        roots.extend(children(home, &ground.without, passed));
    }
    let mut roots = roots.into_iter();
    let mut builder = WalkBuilder::new(roots.next()?);
    roots.for_each(|root| {
        builder.add(root);
    });
    let public: Vec<PathBuf> = ground.home.map_or_else(Vec::new, |home| PUBLIC.map(|folder| home.join(folder)).into());
    let without = ground.without.clone();
    let honours = ground.honours_ignore;
    builder
        .hidden(false)
        .follow_links(false)
        .same_file_system(true)
        .ignore(honours)
        .git_ignore(honours)
        .git_exclude(honours)
        .git_global(honours)
        .require_git(false)
        // The ignore files of a home folder that is kept in git tend to name everything in it.
        .parents(honours && ground.home.is_none())
        .threads(std::thread::available_parallelism().map_or(2, usize::from))
        .filter_entry(move |entry| is_walked(entry, &without, &public));
    Some(builder)
}

/// What lies in the home folder, but for links, for what is mounted there and for what is left out.
fn children(home: &Path, without: &[PathBuf], passed: &mut Passed) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(home) else {
        passed.unreadable(Some(home));
        return Vec::new();
    };
    let of_home = std::fs::metadata(home).ok().map(|found| device(&found));
    let mut children: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let found = entry.metadata();
            found.is_ok_and(|found| !found.is_symlink() && Some(device(&found)) == of_home)
        })
        .map(|entry| entry.path())
        .filter(|path| !without.contains(path))
        .collect();
    children.sort();
    children
}

#[cfg(unix)]
fn device(found: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::dev(found)
}

#[cfg(not(unix))]
fn device(_: &std::fs::Metadata) -> u64 {
    0
}

/// Whether an entry is of any interest: git's packed objects are not, and what lanyard itself keeps is not either.
fn is_walked(entry: &DirEntry, without: &[PathBuf], public: &[PathBuf]) -> bool {
    if !entry.file_type().is_some_and(|found| found.is_dir()) {
        return true;
    }
    let path = entry.path();
    let in_git = || path.parent().and_then(Path::file_name).is_some_and(|parent| parent == ".git");
    let is_packed = (entry.file_name() == "objects" || entry.file_name() == "lfs") && in_git();
    !is_packed && !without.iter().chain(public).any(|folder| path == folder)
}

/// One thread of the walk, with one buffer for all its files.
struct Visitor<'m> {
    marks: &'m Marks,
    open: Option<&'static Kind>,
    named: &'m [PathBuf],
    buffer: Zeroizing<Vec<u8>>,
    passed: Passed,
    read: &'m AtomicU64,
    seen: Sender<Seen>,
    counted: Sender<Passed>,
}

impl Drop for Visitor<'_> {
    fn drop(&mut self) {
        // The receiver lives until all have spoken.
        let _ = self.counted.send(std::mem::take(&mut self.passed));
    }
}

impl Visitor<'_> {
    fn visit(&mut self, entry: Result<DirEntry, ignore::Error>) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                if is_of_the_disk(&error) {
                    self.passed.unreadable(path_of(&error));
                }
                return;
            }
        };
        let Some(sort) = entry.file_type() else { return };
        if sort.is_dir() {
            self.read_always(entry.path());
        } else if sort.is_file() {
            let sort = Sort::of(&entry.file_name().to_string_lossy());
            // Those were read with their folder.
            if entry.depth() == 0 || !sort.is_read_always() {
                let is_named = entry.depth() == 0 && self.named.iter().any(|named| named == entry.path());
                self.read(entry.path(), sort, is_named);
            }
        }
    }

    /// The files of a folder that are read even where an ignore file names them.
    fn read_always(&mut self, folder: &Path) {
        // That the folder cannot be read is told by the walk itself.
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let sort = Sort::of(&entry.file_name().to_string_lossy());
            if sort.is_read_always() && entry.file_type().is_ok_and(|found| found.is_file()) {
                self.read(&entry.path(), sort, false);
            }
        }
    }

    fn read(&mut self, path: &Path, sort: Sort, is_named: bool) {
        let file = match open(path) {
            Ok(file) => file,
            // Gone since, or a link put in its place.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(_) => return self.passed.unreadable(Some(path)),
        };
        let Ok(found) = file.metadata() else { return self.passed.unreadable(Some(path)) };
        if !found.is_file() || found.len() == 0 {
            return;
        }
        if found.len() > if is_named { LARGEST_NAMED } else { LARGEST } {
            self.passed.large += 1;
            return;
        }
        match fill(&file, &mut self.buffer, found.len()) {
            Ok(true) => {}
            Ok(false) => {
                self.passed.binary += 1;
                return;
            }
            Err(_) => return self.passed.unreadable(Some(path)),
        }
        self.passed.files += 1;
        self.read.fetch_add(1, Ordering::Relaxed);
        self.passed.bytes += self.buffer.len() as u64;
        let sightings = match utf16(&self.buffer) {
            Some(text) => sightings(self.marks, self.open, text.as_bytes(), sort),
            None => sightings(self.marks, self.open, &self.buffer, sort),
        };
        if !sightings.is_empty() {
            let rights = Rights::of(&found);
            let _ = self.seen.send(Seen { path: path.to_owned(), rights, sightings });
        }
    }
}

/// Opens without following a link and without waiting for the writer of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    options.open(path)
}

/// Reads a file of about this length into the buffer; `false` as soon as it turns out to hold no text.
fn fill(mut file: &File, buffer: &mut Vec<u8>, length: u64) -> io::Result<bool> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    buffer.clear();
    let first = length.min(BEGINNING);
    buffer.resize(first, 0);
    let mut read = 0;
    while read < first {
        match file.read(buffer.get_mut(read..).unwrap_or_default())? {
            0 => break,
            more => read += more,
        }
    }
    buffer.truncate(read);
    let is_utf16 = buffer.starts_with(&[0xff, 0xfe]) || buffer.starts_with(&[0xfe, 0xff]);
    if buffer.contains(&0) && !is_utf16 {
        return Ok(false);
    }
    if length > first {
        buffer.reserve(length - first + 1);
        file.take((length - first) as u64).read_to_end(buffer)?;
    }
    Ok(true)
}

/// A text in UTF-16, as Windows writes it, in UTF-8.
fn utf16(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return None,
    };
    let units = bytes.get(2..)?.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
    Some(Zeroizing::new(char::decode_utf16(units).map(|read| read.unwrap_or('\u{fffd}')).collect()))
}

/// Whether an error is about a place that could not be read, rather than about a line of an ignore file.
fn is_of_the_disk(error: &ignore::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() != io::ErrorKind::NotFound)
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        _ => None,
    }
}
