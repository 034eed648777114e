//! Frames over a socket, with a deadline for each: nobody is waited for longer than that.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use zeroize::Zeroizing;

/// A usual frame fits in here, so that most are read at once.
const USUAL: usize = 16 << 10;

/// The other end is gone or too slow, or what it says is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// What comes over a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A whole frame, its length left out.
    Whole(Zeroizing<Vec<u8>>),
    /// One that is longer than any, and was not kept.
    TooLong,
    /// The other end has closed the line.
    End,
}

/// One end of a conversation.
pub(super) struct Line {
    socket: OwnedFd,
    held: Zeroizing<Vec<u8>>,
    /// The length of the longest frame.
    longest: usize,
}

impl Line {
    /// Over a socket that was accepted, with frames of a length up to `longest`.
    pub(super) fn of(socket: OwnedFd, longest: usize) -> Self {
        Self { socket, held: Zeroizing::default(), longest }
    }

    /// To whoever listens at `path`, if anybody does and has room for one more caller.
    pub(super) fn to(path: &Path, longest: usize) -> Option<Self> {
        let address = SocketAddrUnix::new(path).ok()?;
        // Never waits: where the queue of callers is full, one is told at once.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        #[cfg(target_os = "linux")]
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
        #[cfg(not(target_os = "linux"))]
        let socket = {
            let _ = flags;
            rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).ok()?
        };
        rustix::net::connect(&socket, &address).ok()?;
        Some(Self::of(socket, longest))
    }

    /// The socket.
    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Writes a whole frame.
    pub(super) fn send(&self, frame: &[u8], deadline: Instant) -> Result<(), Broken> {
        let mut rest = frame;
        while !rest.is_empty() {
            match rustix::net::send(&self.socket, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, Some(deadline))?,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Broken),
            }
        }
        Ok(())
    }

    /// Waits for the other end to say something or to close the line, for as long as it takes.
    pub(super) fn begins(&self) -> Result<(), Broken> {
        if self.held.is_empty() { self.wait(PollFlags::IN, None) } else { Ok(()) }
    }

    /// Reads a frame.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Frame, Broken> {
        loop {
            if let Some((length, rest)) = self.held.split_first_chunk() {
                let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Broken)?;
                if length > self.longest {
                    return self.skip(length, deadline);
                }
                if let Some(whole) = rest.get(..length) {
                    let whole = Zeroizing::new(whole.to_vec());
                    self.held.drain(..4 + length);
                    return Ok(Frame::Whole(whole));
                }
                self.make_room(4 + length);
            }
            if !self.more(deadline)? {
                return if self.held.is_empty() { Ok(Frame::End) } else { Err(Broken) };
            }
        }
    }

    /// Reads a frame that is too long to its end, and keeps nothing of it.
    fn skip(&mut self, length: usize, deadline: Instant) -> Result<Frame, Broken> {
        let mut left = length;
        self.held.drain(..4);
        loop {
            let here = left.min(self.held.len());
            self.held.drain(..here);
            left -= here;
            if left == 0 {
                return Ok(Frame::TooLong);
            }
            if !self.more(deadline)? {
                return Err(Broken);
            }
        }
    }

    /// Takes in more; `false` at the end.
    fn more(&mut self, deadline: Instant) -> Result<bool, Broken> {
        self.make_room(self.held.len() + USUAL);
        self.wait(PollFlags::IN, Some(deadline))?;
        let begun = self.held.len();
        self.held.resize(begun + USUAL, 0);
        let place = self.held.get_mut(begun..).ok_or(Broken)?;
        let outcome = rustix::net::recv(&self.socket, place, RecvFlags::DONTWAIT);
        let read = outcome.as_ref().map_or(0, |(read, _)| *read);
        self.held.truncate(begun + read);
        match outcome {
            Ok(_) => Ok(read > 0),
            Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(_) => Err(Broken),
        }
    }

    /// Growing in place would leave a copy behind.
    fn make_room(&mut self, room: usize) {
        if self.held.capacity() < room {
            let mut larger = Zeroizing::new(Vec::with_capacity(room.max(2 * self.held.capacity())));
            larger.extend_from_slice(&self.held);
            self.held = larger;
        }
    }

    fn wait(&self, what: PollFlags, deadline: Option<Instant>) -> Result<(), Broken> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.map(|left| Timespec::try_from(left.max(Duration::from_micros(1)))).transpose();
            match poll(&mut [PollFd::new(&self.socket, what)], left.map_err(|_| Broken)?.as_ref()) {
                Ok(0) => return Err(Broken),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Broken),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(200)
    }

    fn pair() -> (Line, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        (Line::of(one.into(), 1 << 20), other)
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let (mut line, mut other) = pair();
        let long = vec![7; 100_000];
        let long_again = long.clone();
        let writer = std::thread::spawn(move || {
            for part in [&[0, 0][..], &[0, 2, 1], &[2, 0, 0, 0, 0, 0, 1, 0x86, 0xa0], &long] {
                other.write_all(part).unwrap();
            }
            other
        });
        let mut next = || line.receive(Instant::now() + Duration::from_secs(5)).unwrap();
        for expected in [vec![1, 2], Vec::new(), long_again] {
            assert_eq!(next(), Frame::Whole(expected.into()));
        }
        drop(writer.join().unwrap());
        assert_eq!(next(), Frame::End);
    }

    #[test]
    fn who_says_nothing_or_half_is_broken() {
        let (mut line, other) = pair();
        assert_eq!(line.receive(soon()).unwrap_err(), Broken);
        drop(other);
        let (mut line, mut other) = pair();
        other.write_all(&[0, 0, 0, 9, 1]).unwrap();
        drop(other);
        assert_eq!(line.receive(soon()).unwrap_err(), Broken);
    }

    #[test]
    fn what_is_too_long_is_not_kept_and_the_line_goes_on() {
        let (mut line, mut other) = pair();
        let writer = std::thread::spawn(move || {
            let long = vec![7; (1 << 20) + 1];
            other.write_all(&u32::try_from(long.len()).unwrap().to_be_bytes()).unwrap();
            other.write_all(&long).unwrap();
            other.write_all(&[0, 0, 0, 1, 9]).unwrap();
            other.write_all(&[255; 8]).unwrap();
            other
        });
        let later = Instant::now() + Duration::from_secs(10);
        assert_eq!(line.receive(later), Ok(Frame::TooLong));
        assert_eq!(line.receive(later), Ok(Frame::Whole(vec![9].into())));
        let _other = writer.join().unwrap();
        assert_eq!(line.receive(soon()), Err(Broken));
        assert!(line.held.capacity() < 1 << 17, "nothing is made ready for it");
    }

    #[test]
    fn who_does_not_read_is_not_waited_for() {
        let (line, _other) = pair();
        let started = Instant::now();
        assert_eq!(line.send(&vec![0; 8 << 20], soon()).unwrap_err(), Broken);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
