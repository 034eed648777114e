//! The file of a backup: a line that says what it is, a line of facts, and sealed pieces, each bound to the facts, to its
//! number and to whether it is the last.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::bad;
use crate::server::db::Rows;
use crate::server::error::ServeError;
use crate::server::keys::{FORM, Keys, WRAPPED, WRAPPED_NEXT, setting};
use crate::vault::seal::Key;

const MARK: &str = "lanyard-server-backup-1\n";
/// A piece is sealed once it is so long.
const PIECE: usize = 256 << 10;
/// No piece is longer: the longest row, and some.
const LONGEST: usize = 64 << 20;
/// The line of facts is no longer.
const FACTS: u64 = 4 << 10;

/// The line of facts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) instance: String,
    /// The version of the tables.
    pub(super) schema: usize,
    pub(super) made: String,
    /// The key of the pieces, wrapped under the master key.
    key: String,
    /// The master key where a key of the keeper wraps it, and the one that was to take its place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) masters: Vec<String>,
    /// The line itself, to which the pieces are bound.
    #[serde(skip)]
    line: String,
}

impl Head {
    /// Reads what a file says of itself.
    pub(super) fn read(path: &Path) -> Result<Self, ServeError> {
        Ok(opened(path)?.0)
    }

    /// The key of the pieces, if this is the master key that wraps it.
    pub(super) fn key(&self, master: &Key) -> Option<Key> {
        let wrapped = STANDARD.decode(&self.key).ok()?;
        master.unwrap(&wrapped, &[FORM, "backup", &self.instance]).ok()
    }
}

/// A file, read as far as its pieces.
fn opened(path: &Path) -> Result<(Head, BufReader<File>), ServeError> {
    let told =
        |cause: std::io::Error| ServeError::Unread { file: path.display().to_string(), problem: cause.to_string() };
    let mut file = BufReader::new(File::open(path).map_err(told)?);
    let mut line = |limit| -> Result<String, ServeError> {
        let mut bytes = Vec::new();
        Read::take(&mut file, limit).read_until(b'\n', &mut bytes).map_err(told)?;
        String::from_utf8(bytes).map_err(|_| bad(path, "it is no backup of a server"))
    };
    if line(MARK.len() as u64)? != MARK {
        return Err(bad(path, "it is no backup of a server"));
    }
    let line = line(FACTS)?;
    let mut head: Head = serde_json::from_str(&line).map_err(|_| bad(path, "it is damaged"))?;
    head.line = line;
    Ok((head, file))
}

/// What a piece is bound to.
fn place<'p>(line: &'p str, number: &'p str, last: &'p str) -> [&'p str; 5] {
    [FORM, "backup-piece", line, number, last]
}

fn word(is_last: bool) -> &'static str {
    if is_last { "last" } else { "more" }
}

/// Writes a backup.
pub(super) struct Writer<W: Write> {
    out: BufWriter<W>,
    key: Key,
    line: String,
    piece: Vec<u8>,
    number: u64,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    pub(super) fn begin(
        out: W,
        keys: &Keys,
        rows: &mut dyn Rows,
        schema: usize,
        made: &str,
    ) -> Result<Self, ServeError> {
        let key = Key::random().map_err(|_| ServeError::NoRandom)?;
        let wrapped = keys.wrap(rows, &key, &[FORM, "backup", keys.instance()])?;
        let (instance, made) = (keys.instance().to_owned(), made.to_owned());
        let masters = [setting(rows, WRAPPED)?, setting(rows, WRAPPED_NEXT)?].into_iter().flatten().collect();
        let head = Head { instance, schema, made, key: STANDARD.encode(wrapped), masters, line: String::new() };
        let line = format!("{}\n", serde_json::to_string(&head).unwrap_or_default());
        let mut out = BufWriter::new(out);
        out.write_all(MARK.as_bytes()).and_then(|()| out.write_all(line.as_bytes())).map_err(ServeError::System)?;
        Ok(Self { out, key, line, piece: Vec::new(), number: 0 })
    }

    /// Adds a line.
    pub(super) fn line(&mut self, line: &Json) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.piece, line)?;
        self.piece.push(b'\n');
        if self.piece.len() >= PIECE { self.seal(false) } else { Ok(()) }
    }

    fn seal(&mut self, is_last: bool) -> std::io::Result<()> {
        let number = self.number.to_string();
        let sealed = self.key.seal(&self.piece, &place(&self.line, &number, word(is_last)));
        let sealed = sealed.map_err(std::io::Error::other)?;
        let length = u32::try_from(sealed.len()).map_err(std::io::Error::other)?;
        self.out.write_all(&[u8::from(is_last)])?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&sealed)?;
        self.piece.clear();
        self.number += 1;
        Ok(())
    }

    /// Ends it.
    pub(super) fn end(mut self) -> std::io::Result<()> {
        self.seal(true)?;
        self.out.flush()
    }
}

/// Reads a backup.
pub(super) struct Reader<'r> {
    path: PathBuf,
    file: BufReader<File>,
    key: &'r Key,
    line: &'r str,
    lines: VecDeque<String>,
    number: u64,
    is_over: bool,
}

impl<'r> Reader<'r> {
    /// Begins with the first piece.
    pub(super) fn open(path: &Path, head: &'r Head, key: &'r Key) -> Result<Self, ServeError> {
        let (again, file) = opened(path)?;
        if again.line != head.line {
            return Err(bad(path, "it is being changed"));
        }
        let (path, lines) = (path.to_owned(), VecDeque::new());
        Ok(Self { path, file, key, line: &head.line, lines, number: 0, is_over: false })
    }

    /// Goes through all of it.
    pub(super) fn check(mut self) -> Result<(), ServeError> {
        while self.line()?.is_some() {}
        Ok(())
    }

    /// The next line.
    pub(super) fn line(&mut self) -> Result<Option<String>, ServeError> {
        while self.lines.is_empty() {
            if self.is_over {
                return Ok(None);
            }
            self.next()?;
        }
        Ok(self.lines.pop_front())
    }

    fn next(&mut self) -> Result<(), ServeError> {
        let path = self.path.clone();
        let told = |cause: std::io::Error| match cause.kind() {
            ErrorKind::UnexpectedEof => bad(&path, "its end is missing"),
            _ => bad(&path, &cause.to_string()),
        };
        let damaged = || bad(&path, "it is damaged");
        let mut head = [0; 5];
        self.file.read_exact(&mut head).map_err(told)?;
        let [last, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if last > 1 || length > LONGEST {
            return Err(damaged());
        }
        let mut sealed = vec![0; length];
        self.file.read_exact(&mut sealed).map_err(told)?;
        let number = self.number.to_string();
        let piece = self.key.open(&sealed, &place(self.line, &number, word(last == 1))).map_err(|_| damaged())?;
        let text = std::str::from_utf8(&piece).map_err(|_| damaged())?;
        self.lines.extend(text.lines().map(str::to_owned));
        self.number += 1;
        if last == 1 {
            self.is_over = true;
            // Nothing comes after the last one.
            if self.file.read(&mut [0; 1]).map_err(told)? != 0 {
                return Err(damaged());
            }
        }
        Ok(())
    }
}
