//! The lines of a backup, as they come out of its file and go into it: first the facts, then the tables with their rows,
//! and last what the master key makes of all of them.
//!
//! The file is sealed piece by piece (age), and none is given before it was found good; how long the file is does not
//! matter. What stands at its end tells that nobody wrote it anew whom the file opens for, but who has no master key.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, EncryptError};
use aws_lc_rs::digest::{self, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use subtle::ConstantTimeEq;

use super::head::{Head, MARK, Opener, Recipients};
use super::{bad, unwritten};
use crate::server::error::ServeError;

/// No line is longer: the longest row, and some.
const LONGEST: u64 = 64 << 20;
/// The head is no longer: all that may be named, and some.
const HEAD: u64 = 64 << 10;

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    /// The version of the tables.
    pub(super) schema: usize,
    pub(super) made: String,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    code: String,
}

/// Writes a backup.
pub(super) struct Writer<W: Write> {
    out: StreamWriter<BufWriter<W>>,
    opener: Opener,
    digest: digest::Context,
    line: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins one.
    pub(super) fn begin(
        out: W,
        path: &Path,
        opener: Opener,
        recipients: &Recipients,
        facts: &Facts,
    ) -> Result<Self, ServeError> {
        let told = |cause: &std::io::Error| unwritten(path, cause);
        let all = std::iter::once(&opener as &dyn age::Recipient).chain(recipients.each());
        let sealed = age::Encryptor::with_recipients(all).map_err(|failure| match failure {
            EncryptError::Io(cause) => told(&cause),
            other => told(&std::io::Error::other(other.to_string())),
        })?;
        let out = sealed.wrap_output(BufWriter::new(out)).map_err(|cause| told(&cause))?;
        let mut writer = Self { out, opener, digest: digest::Context::new(&SHA256), line: Vec::new() };
        writer.line(facts).map_err(|cause| told(&cause))?;
        Ok(writer)
    }

    /// Adds a line.
    pub(super) fn line(&mut self, line: &impl Serialize) -> std::io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.digest.update(&self.line);
        self.out.write_all(&self.line)
    }

    /// Ends it.
    pub(super) fn end(mut self) -> std::io::Result<()> {
        let code = self.opener.code(self.digest.clone().finish().as_ref());
        self.line(&End { code })?;
        self.out.finish()?.flush()
    }
}

/// Opens a file, which must begin as every one of them.
fn opened(path: &Path) -> Result<BufReader<File>, ServeError> {
    let told =
        |cause: std::io::Error| ServeError::Unread { file: path.display().to_string(), problem: cause.to_string() };
    let mut file = BufReader::new(File::open(path).map_err(told)?);
    if !file.fill_buf().map_err(told)?.starts_with(MARK) {
        return Err(bad(path, "it is no backup of a server"));
    }
    Ok(file)
}

/// What stands readable at the head of a file.
pub(super) fn head(path: &Path) -> Result<Head, ServeError> {
    Head::read(path, opened(path)?.take(HEAD))
}

/// Reads a backup.
pub(super) struct Reader<'o> {
    path: PathBuf,
    lines: BufReader<StreamReader<BufReader<File>>>,
    opener: &'o Opener,
    digest: digest::Context,
    line: Vec<u8>,
    is_over: bool,
}

impl<'o> Reader<'o> {
    /// Begins with the facts.
    pub(super) fn open(path: &Path, opener: &'o Opener) -> Result<(Facts, Self), ServeError> {
        let file = age::Decryptor::new_buffered(opened(path)?);
        let lines = file.and_then(|file| file.decrypt(std::iter::once(opener as _))).map_err(|failure| {
            // The master key is the right one, by what stands in the head.
            match failure {
                DecryptError::Io(cause) if cause.kind() == ErrorKind::UnexpectedEof => bad(path, "its end is missing"),
                DecryptError::Io(cause) => bad(path, &cause.to_string()),
                _ => bad(path, "it is damaged"),
            }
        })?;
        let (path, lines, line) = (path.to_owned(), BufReader::new(lines), Vec::new());
        let mut reader = Self { path, lines, opener, digest: digest::Context::new(&SHA256), line, is_over: false };
        let first = reader.line()?.unwrap_or_default();
        let facts = serde_json::from_value(first).map_err(|_| reader.damaged())?;
        Ok((facts, reader))
    }

    /// Goes through all of it.
    pub(super) fn check(mut self) -> Result<(), ServeError> {
        while self.line()?.is_some() {}
        Ok(())
    }

    /// The next line; `None` at the end, which is told only where all of it is as it was written.
    pub(super) fn line(&mut self) -> Result<Option<Json>, ServeError> {
        if self.is_over {
            return Ok(None);
        }
        self.read()?;
        if !self.line.ends_with(b"\n") {
            let is_short = self.line.len() as u64 != LONGEST;
            return Err(if is_short { bad(&self.path, "its end is missing") } else { self.damaged() });
        }
        let line: Json = serde_json::from_slice(&self.line).map_err(|_| self.damaged())?;
        if line.get("code").is_none() {
            self.digest.update(&self.line);
            return Ok(Some(line));
        }
        let end: End = serde_json::from_value(line).map_err(|_| self.damaged())?;
        let code = self.opener.code(self.digest.clone().finish().as_ref());
        // Nothing comes after it.
        self.read()?;
        if !bool::from(end.code.as_bytes().ct_eq(code.as_bytes())) || !self.line.is_empty() {
            return Err(self.damaged());
        }
        self.is_over = true;
        Ok(None)
    }

    fn read(&mut self) -> Result<(), ServeError> {
        self.line.clear();
        let read = Read::take(&mut self.lines, LONGEST).read_until(b'\n', &mut self.line);
        read.map_err(|cause| match cause.kind() {
            ErrorKind::UnexpectedEof => bad(&self.path, "its end is missing"),
            ErrorKind::InvalidData => self.damaged(),
            _ => bad(&self.path, &cause.to_string()),
        })?;
        Ok(())
    }

    fn damaged(&self) -> ServeError {
        bad(&self.path, "it is damaged")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::head::tests::begun;
    use super::*;

    /// A file with so many long rows, by this writer of its last line.
    fn written(rows: usize, opener: Opener) -> Vec<u8> {
        let mut out = Vec::new();
        let facts = Facts { schema: 1, made: "now".into() };
        let mut writer = Writer::begin(&mut out, Path::new("b"), opener, &Recipients::default(), &facts).unwrap();
        for row in 0..rows {
            writer.line(&json!([row, "x".repeat(1000)])).unwrap();
        }
        writer.end().unwrap();
        out
    }

    /// How many rows come out of these bytes.
    fn read(bytes: &[u8], master: &crate::vault::seal::Key) -> Result<usize, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, bytes).unwrap();
        let read = || -> Result<usize, ServeError> {
            let opener =
                head(file.path())?.opener(master).ok_or(ServeError::OtherMasterKey { place: String::new() })?;
            let (_, mut reader) = Reader::open(file.path(), &opener)?;
            let mut rows = 0;
            while reader.line()?.is_some() {
                rows += 1;
            }
            Ok(rows)
        };
        read().map_err(|failure| failure.to_string())
    }

    #[test]
    fn what_was_written_comes_back_and_nothing_that_was_changed() {
        let (master, opener) = begun();
        let good = written(150, opener);
        assert_eq!(read(&good, &master), Ok(150));
        let (other, _) = begun();
        assert!(read(&good, &other).unwrap_err().contains("another server"));
        for at in (0..600).chain((600..good.len()).step_by(997)).chain([good.len() - 1]) {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            assert!(read(&flipped, &master).is_err(), "byte {at}");
        }
        for length in (0..600).chain((600..good.len()).step_by(997)).chain([good.len() - 1]) {
            assert!(read(&good[..length], &master).is_err(), "{length} bytes");
        }
        assert!(read(&[&good[..], b"x"].concat(), &master).is_err());
        // The pieces of 64 KiB after the head, in another order, and without the last or the first.
        let payload = good.windows(4).position(|some| some == b"\n---").unwrap() + 49 + 16;
        let (first, second) = (payload..payload + 65552, payload + 65552..payload + 2 * 65552);
        let swapped = [&good[..payload], &good[second.clone()], &good[first.clone()], &good[second.end..]].concat();
        assert_eq!(swapped.len(), good.len());
        for bad in [swapped, good[..first.end].to_vec(), [&good[..payload], &good[second.start..]].concat()] {
            let told = read(&bad, &master).unwrap_err();
            assert!(told.contains("it is damaged") || told.contains("its end is missing"), "{told}");
        }
        let (_, beside) = begun();
        let beside = written(150, beside);
        assert!(read(&[&good[..payload], &beside[payload..]].concat(), &master).is_err());
    }

    #[test]
    fn whoever_it_opens_for_beside_the_master_key_cannot_write_it_anew() {
        let (master, opener) = begun();
        let (_, mut forger) = begun();
        // They have its head and can seal what they like, and lack what makes the last line.
        forger.pose_as(&opener);
        let told = read(&written(3, forger), &master).unwrap_err();
        assert!(told.contains("it is damaged"), "{told}");
        assert_eq!(read(&written(3, opener), &master), Ok(3));
    }
}
