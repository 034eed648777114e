//! What another program writes to us: never more than so much, never later than so long, wiped after use.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

/// The most that is taken in all, in bytes.
const MOST: usize = 1 << 20;
/// The longest line, with its end, in bytes: git's own rule.
const LONGEST_LINE: usize = 65_535;
/// How much is read at once.
const CHUNK: usize = 16 << 10;

/// Why the input is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// There is more of it than any honest caller writes.
    #[error("the input is too long")]
    TooLong,
    /// It did not come in time.
    #[error("the input did not come in time")]
    TooSlow,
    /// It is not UTF-8, or holds a NUL.
    #[error("the input is no text")]
    NoText,
    /// It could not be read.
    #[error("the input cannot be read")]
    Broken,
}

type Chunk = io::Result<Zeroizing<Vec<u8>>>;

/// Where the text comes from.
enum Source {
    /// A thread that reads, since nothing else ends a read that never returns.
    Thread(Receiver<Chunk>),
    /// This process's stdin, of which the system tells whether there is something to read.
    #[cfg(unix)]
    Stdin,
}

/// Text that another program writes, read with limits.
pub struct Input {
    source: Source,
    held: Zeroizing<Vec<u8>>,
    taken: usize,
    ended: bool,
    patience: Duration,
}

impl Input {
    /// Reads this process's stdin. Each question waits for `patience` at most.
    #[cfg(unix)]
    pub fn stdin(patience: Duration) -> Self {
        Self::of(Source::Stdin, patience)
    }

    /// Reads this process's stdin. Each question waits for `patience` at most.
    #[cfg(not(unix))]
    pub fn stdin(patience: Duration) -> Self {
        Self::new(io::stdin(), patience)
    }

    fn of(source: Source, patience: Duration) -> Self {
        Self { source, held: Zeroizing::new(Vec::with_capacity(CHUNK)), taken: 0, ended: false, patience }
    }

    /// Reads from `source` on a thread of its own. Each question waits for `patience` at most.
    pub fn new(mut source: impl Read + Send + 'static, patience: Duration) -> Self {
        // The reader may be two chunks ahead, and then waits: an endless stream takes no memory.
        let (sender, chunks) = sync_channel::<Chunk>(2);
        std::thread::spawn(move || {
            loop {
                let mut chunk = Zeroizing::new(vec![0; CHUNK]);
                let read = match source.read(&mut chunk) {
                    Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                    read => read,
                };
                let message = read.map(|length| {
                    chunk.truncate(length);
                    chunk
                });
                let is_last = message.as_ref().map_or(true, |chunk| chunk.is_empty());
                if sender.send(message).is_err() || is_last {
                    return;
                }
            }
        });
        Self::of(Source::Thread(chunks), patience)
    }

    /// Everything up to the end.
    pub fn whole(&mut self) -> Result<Zeroizing<String>, InputError> {
        let deadline = Instant::now() + self.patience;
        while self.more(deadline)? {}
        self.take(self.held.len())
    }

    /// Lines up to an empty one or the end, each with its end; the empty one is left out.
    pub fn paragraph(&mut self) -> Result<Zeroizing<String>, InputError> {
        let deadline = Instant::now() + self.patience;
        let mut start = 0;
        loop {
            let line = self.line_end(start, deadline)?;
            let end = line.unwrap_or(self.held.len());
            let is_blank = matches!(self.held.get(start..end), Some(b"\n" | b"\r\n" | b""));
            if is_blank || line.is_none() {
                let text = self.take(if is_blank { start } else { end })?;
                if is_blank {
                    self.take(end - start)?;
                }
                return Ok(text);
            }
            start = end;
        }
    }

    /// The next line without its end; `None` after the last one. Waits for its beginning for as long as it takes, since
    /// a caller may think between two questions; what has begun has to end in time.
    pub fn line(&mut self) -> Result<Option<Zeroizing<String>>, InputError> {
        if self.held.is_empty() {
            self.more(Instant::now() + Duration::from_hours(24))?;
        }
        let end = self.line_end(0, Instant::now() + self.patience)?.unwrap_or(self.held.len());
        if end == 0 {
            return Ok(None);
        }
        let line = self.take(end)?;
        // A long conversation is no long input.
        self.taken = self.held.len();
        Ok(Some(Zeroizing::new(line.trim_end_matches('\n').trim_end_matches('\r').to_owned())))
    }

    /// Where the line that begins at `start` ends, its end included; `None` where the input ends before.
    fn line_end(&mut self, start: usize, deadline: Instant) -> Result<Option<usize>, InputError> {
        let mut seen = start;
        loop {
            let rest = self.held.get(seen..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let end = seen + at + 1;
                return if end - start > LONGEST_LINE { Err(InputError::TooLong) } else { Ok(Some(end)) };
            }
            seen = self.held.len();
            if seen - start > LONGEST_LINE {
                return Err(InputError::TooLong);
            }
            if !self.more(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Takes in another chunk; `false` at the end.
    fn more(&mut self, deadline: Instant) -> Result<bool, InputError> {
        if self.ended {
            return Ok(false);
        }
        let chunk = self.chunk(deadline)?;
        self.ended = chunk.is_empty();
        self.taken += chunk.len();
        if self.taken > MOST {
            return Err(InputError::TooLong);
        }
        if self.held.capacity() - self.held.len() < chunk.len() {
            // Growing in place would leave a copy behind.
            let mut larger = Zeroizing::new(Vec::with_capacity(2 * self.held.capacity() + chunk.len()));
            larger.extend_from_slice(&self.held);
            self.held = larger;
        }
        self.held.extend_from_slice(&chunk);
        Ok(!self.ended)
    }

    fn chunk(&self, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, InputError> {
        let left = deadline.saturating_duration_since(Instant::now());
        match &self.source {
            Source::Thread(chunks) => match chunks.recv_timeout(left) {
                Ok(chunk) => chunk.map_err(|_| InputError::Broken),
                Err(RecvTimeoutError::Timeout) => Err(InputError::TooSlow),
                Err(RecvTimeoutError::Disconnected) => Ok(Zeroizing::default()),
            },
            #[cfg(unix)]
            Source::Stdin => from_stdin(left),
        }
    }

    /// Takes the first bytes as text.
    fn take(&mut self, length: usize) -> Result<Zeroizing<String>, InputError> {
        let taken: Zeroizing<Vec<u8>> = Zeroizing::new(self.held.get(..length).unwrap_or_default().to_vec());
        let length = length.min(self.held.len());
        self.held.drain(..length);
        let text = std::str::from_utf8(&taken).map_err(|_| InputError::NoText)?;
        if text.contains('\0') {
            return Err(InputError::NoText);
        }
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// What stdin has to give within `patience`; nothing at its end.
#[cfg(unix)]
fn from_stdin(patience: Duration) -> Result<Zeroizing<Vec<u8>>, InputError> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    let stdin = io::stdin();
    let patience = Timespec::try_from(patience).map_err(|_| InputError::TooSlow)?;
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    loop {
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&patience)) {
            Ok(0) => return Err(InputError::TooSlow),
            Err(Errno::INTR) => continue,
            Err(_) => return Err(InputError::Broken),
            Ok(_) => {}
        }
        match rustix::io::read(&stdin, chunk.as_mut_slice()) {
            Ok(length) => {
                chunk.truncate(length);
                return Ok(chunk);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return Err(InputError::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn input(bytes: &[u8]) -> Input {
        Input::new(io::Cursor::new(bytes.to_vec()), SOON)
    }

    #[test]
    fn text_comes_whole_by_paragraph_or_by_line() {
        assert_eq!(&**input(b"a\nb").whole().unwrap(), "a\nb");
        let mut two = input(b"a=1\nb=2\n\nc=3\r\n\r\n");
        assert_eq!(&**two.paragraph().unwrap(), "a=1\nb=2\n");
        assert_eq!(&**two.paragraph().unwrap(), "c=3\r\n");
        assert_eq!(&**two.paragraph().unwrap(), "");
        let mut lines = input(b"one\r\ntwo\n\nlast");
        for expected in ["one", "two", "", "last"] {
            assert_eq!(&**lines.line().unwrap().unwrap(), expected);
        }
        assert!(lines.line().unwrap().is_none());
    }

    #[test]
    fn what_no_honest_caller_writes_is_refused() {
        assert_eq!(input(&vec![b'x'; MOST + 1]).whole().unwrap_err(), InputError::TooLong);
        assert_eq!(input(&vec![b'x'; LONGEST_LINE + 1]).paragraph().unwrap_err(), InputError::TooLong);
        assert_eq!(input(b"a\0b").whole().unwrap_err(), InputError::NoText);
        assert_eq!(input(b"\xff\n").line().unwrap_err(), InputError::NoText);
        let endless = Input::new(io::repeat(b'x'), SOON).whole();
        assert_eq!(endless.unwrap_err(), InputError::TooLong);
    }

    #[test]
    fn a_caller_that_says_nothing_is_not_waited_for() {
        let (reader, _writer) = io::pipe().unwrap();
        let mut input = Input::new(reader, Duration::from_millis(20));
        assert_eq!(input.paragraph().unwrap_err(), InputError::TooSlow);
    }

    #[test]
    fn a_line_may_begin_late_and_has_to_end_in_time() {
        use std::io::Write;
        let (reader, mut writer) = io::pipe().unwrap();
        let mut input = Input::new(reader, Duration::from_millis(20));
        let begun = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            writer.write_all(b"one\ntw").unwrap();
            writer
        });
        assert_eq!(&**input.line().unwrap().unwrap(), "one");
        let writer = begun.join().unwrap();
        assert_eq!(input.line().unwrap_err(), InputError::TooSlow);
        drop(writer);
    }
}
