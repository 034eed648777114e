//! Frames over a socket, with a deadline for each: nobody is waited for longer than that.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use zeroize::Zeroizing;

use super::frame;

/// A usual frame fits in here, so that most are read at once.
const USUAL: usize = 16 << 10;

/// The other end is gone, too slow, or no agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// One end of a conversation.
pub(super) struct Line {
    socket: OwnedFd,
    held: Zeroizing<Vec<u8>>,
}

impl Line {
    /// Over a socket that was accepted.
    pub(super) fn of(socket: OwnedFd) -> Self {
        Self { socket, held: Zeroizing::default() }
    }

    /// To whoever listens at `path`, if anybody does and has room for one more caller.
    pub(super) fn to(path: &Path) -> Option<Self> {
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
        Some(Self::of(socket))
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
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, deadline)?,
                Err(Errno::INTR) => {}
                Err(_) => return Err(Broken),
            }
        }
        Ok(())
    }

    /// Reads a whole frame, the length left out; `None` where the other end has closed the line before it.
    pub(super) fn receive(&mut self, deadline: Instant) -> Result<Option<Zeroizing<Vec<u8>>>, Broken> {
        loop {
            if let Some(length) = frame::length(&self.held).map_err(|_| Broken)? {
                let end = 4 + length;
                if let Some(whole) = self.held.get(4..end) {
                    let whole = Zeroizing::new(whole.to_vec());
                    self.held.drain(..end);
                    return Ok(Some(whole));
                }
                self.make_room(end);
            }
            if !self.more(deadline)? {
                return if self.held.is_empty() { Ok(None) } else { Err(Broken) };
            }
        }
    }

    /// Takes in more; `false` at the end.
    fn more(&mut self, deadline: Instant) -> Result<bool, Broken> {
        self.make_room(self.held.len() + USUAL);
        self.wait(PollFlags::IN, deadline)?;
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

    fn wait(&self, what: PollFlags, deadline: Instant) -> Result<(), Broken> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left.max(Duration::from_micros(1))).map_err(|_| Broken)?;
            match poll(&mut [PollFd::new(&self.socket, what)], Some(&left)) {
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
        (Line::of(one.into()), other)
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let (mut line, mut other) = pair();
        let long = vec![7; 100_000];
        let writer = std::thread::spawn(move || {
            for part in [&[0, 0][..], &[0, 2, 1], &[2, 0, 0, 0, 0, 0, 1, 0x86, 0xa0], &long] {
                other.write_all(part).unwrap();
            }
            other
        });
        let mut next = || line.receive(Instant::now() + Duration::from_secs(5)).unwrap().unwrap();
        assert_eq!(*next(), [1, 2]);
        assert!(next().is_empty());
        assert_eq!(*next(), vec![7; 100_000]);
        drop(writer.join().unwrap());
        assert!(line.receive(soon()).unwrap().is_none());
    }

    #[test]
    fn who_says_nothing_half_or_too_much_is_broken() {
        let (mut line, other) = pair();
        assert_eq!(line.receive(soon()).unwrap_err(), Broken);
        drop(other);
        let (mut line, mut other) = pair();
        other.write_all(&[0, 0, 0, 9, 1]).unwrap();
        drop(other);
        assert_eq!(line.receive(soon()).unwrap_err(), Broken);
        let (mut line, mut other) = pair();
        other.write_all(&[255; 8]).unwrap();
        assert_eq!(line.receive(soon()).unwrap_err(), Broken);
        assert!(line.held.capacity() < 1 << 20, "nothing is made ready for it");
    }

    #[test]
    fn who_does_not_read_is_not_waited_for() {
        let (line, _other) = pair();
        let started = Instant::now();
        assert_eq!(line.send(&vec![0; 8 << 20], soon()).unwrap_err(), Broken);
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
