//! One connection as the HTTP library sees it: what is not framed as it should be ends there, and so does what comes or
//! goes too slowly.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::framing::Framing;

/// A body may be waited for so long in all, and longer by a second for each of so many bytes that came.
const PATIENCE: Duration = Duration::from_secs(10);
const PER_SECOND: u64 = 1024;
/// It may be waited for so long until an answer is taken. As with a body, so many bytes that were taken make up for a second,
/// but only for one that was waited before: who takes a byte from time to time is waited for no longer than who takes none.
const STALLED: Duration = Duration::from_secs(30);

/// A connection that is watched over.
pub(crate) struct Guard<S> {
    stream: S,
    framing: Framing,
    /// What was wrong with it was told: nothing more is read.
    over: bool,
    body: Wait,
    came: u64,
    answer: Wait,
}

/// How long something was waited for.
#[derive(Default)]
struct Wait {
    since: Option<Instant>,
    before: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Wait {
    /// It is waited for now: whether that was longer than the limit. Wakes the task when it is.
    fn is_over(&mut self, limit: Duration, cx: &mut Context<'_>) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        let until = since + limit.saturating_sub(self.before);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if alarm.deadline() != until {
            alarm.as_mut().reset(until);
        }
        alarm.as_mut().poll(cx).is_ready()
    }

    /// It has come.
    fn came(&mut self) {
        if let Some(since) = self.since.take() {
            self.before += since.elapsed();
        }
    }

    /// So much of what was waited is forgiven.
    fn forgive(&mut self, waited: Duration) {
        self.before = self.before.saturating_sub(waited);
    }
}

impl<S> Guard<S> {
    /// Watches over a connection on which nothing was sent yet.
    pub(crate) fn new(stream: S) -> Self {
        let framing = Framing::new();
        Self { stream, framing, over: false, body: Wait::default(), came: 0, answer: Wait::default() }
    }

    fn take_in(&mut self, bytes: &mut [u8]) {
        let was_in_body = self.framing.in_body();
        if let Err(refused) = self.framing.read(bytes) {
            // The library refuses a head, or the length of a chunk, with a zero in it, and says so.
            bytes.get_mut(refused.at..).unwrap_or_default().fill(0);
            self.over = true;
        }
        if was_in_body {
            self.body.came();
            self.came += bytes.len() as u64;
        }
        if !self.framing.in_body() {
            (self.body, self.came) = (Wait::default(), 0);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                this.take_in(buf.filled_mut().get_mut(before..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Poll::Pending if this.framing.in_body() => {
                let limit = PATIENCE + Duration::from_secs(this.came / PER_SECOND);
                if this.body.is_over(limit, cx) {
                    tracing::debug!("a body came too slowly");
                    this.over = true;
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> Guard<S> {
    /// What came of writing, with an end to waiting for it. `length` tells how much was taken.
    fn written<T>(
        &mut self,
        done: Poll<io::Result<T>>,
        length: impl Fn(&T) -> usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match &done {
            Poll::Ready(taken) => {
                let taken = taken.as_ref().map_or(0, |taken| length(taken) as u64);
                self.answer.came();
                self.answer.forgive(Duration::from_millis(taken.saturating_mul(1000) / PER_SECOND));
            }
            Poll::Pending if self.answer.is_over(STALLED, cx) => {
                tracing::debug!("an answer was taken too slowly");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Pending => {}
        }
        done
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(done, |taken| *taken, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.written(done, |taken| *taken, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_flush(cx);
        this.written(done, |()| 0, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.written(done, |()| 0, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::*;

    /// Runs a test by a clock that goes on whenever nothing is done.
    fn with_clock<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(test)
    }

    /// A connection, and the other end of it, that has sent the head of a request.
    async fn begun(length: usize) -> (Guard<DuplexStream>, DuplexStream) {
        let (near, mut far) = duplex(64 << 10);
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        far.write_all(head.as_bytes()).await.unwrap();
        let mut guard = Guard::new(near);
        let mut part = vec![0; head.len()];
        guard.read_exact(&mut part).await.unwrap();
        (guard, far)
    }

    /// Sends so many bytes each second, and reads them: how many came, and after how many seconds it ended.
    fn at_a_rate(length: usize, each_second: usize) -> (usize, u64) {
        with_clock(async {
            let (mut guard, mut far) = begun(length).await;
            let since = Instant::now();
            let sent = tokio::spawn(async move {
                let mut left = length;
                while left > 0 && each_second > 0 {
                    sleep(Duration::from_secs(1)).await;
                    let part = each_second.min(left);
                    left -= part;
                    if far.write_all(&vec![b'a'; part]).await.is_err() {
                        break;
                    }
                }
                far
            });
            let (mut came, mut part) = (0, [0; 4096]);
            while came < length {
                match guard.read(&mut part).await {
                    Ok(0) => break,
                    read => came += read.unwrap(),
                }
            }
            let took = since.elapsed().as_secs();
            drop(guard);
            drop(sent.await);
            (came, took)
        })
    }

    #[test]
    fn a_body_is_waited_for_as_long_as_it_comes_at_a_rate() {
        assert_eq!(at_a_rate(10_000, 1), (9, PATIENCE.as_secs()), "a byte each second");
        assert_eq!(at_a_rate(10_000, 0), (0, PATIENCE.as_secs()), "none");
        let (came, took) = at_a_rate(100 << 10, 500);
        assert!(came < 20 << 10 && took < 25, "{came} bytes in {took} seconds: half of the rate");
        assert_eq!(at_a_rate(100 << 10, 1024), (100 << 10, 100), "the rate");
    }

    #[test]
    fn what_is_not_in_a_body_is_not_waited_for_here() {
        with_clock(async {
            let (mut guard, mut far) = begun(3).await;
            far.write_all(b"abc").await.unwrap();
            let mut body = [0; 3];
            guard.read_exact(&mut body).await.unwrap();
            let next = tokio::time::timeout(Duration::from_mins(10), guard.read(&mut body)).await;
            assert!(next.is_err(), "the library ends a silent connection");
        });
    }

    #[test]
    fn an_answer_that_nobody_takes_ends() {
        with_clock(async {
            let (mut guard, _far) = begun(0).await;
            let since = Instant::now();
            let answer = vec![b'a'; 200 << 10];
            let failure = guard.write_all(&answer).await.unwrap_err();
            assert_eq!((failure.kind(), since.elapsed()), (ErrorKind::TimedOut, STALLED));
        });
    }

    /// Has an answer of so many bytes taken in parts of so many, one each time that this has passed: how it ended, and
    /// after how many seconds.
    fn taken(length: usize, part: usize, each: Duration) -> (Result<(), ErrorKind>, u64) {
        with_clock(async {
            let (mut guard, mut far) = begun(0).await;
            let since = Instant::now();
            let read = tokio::spawn(async move {
                let mut bytes = vec![0; part];
                loop {
                    sleep(each).await;
                    if far.read_exact(&mut bytes).await.is_err() {
                        return;
                    }
                }
            });
            let written = guard.write_all(&vec![b'a'; length]).await.map_err(|failure| failure.kind());
            let took = since.elapsed().as_secs();
            read.abort();
            (written, took)
        })
    }

    #[test]
    fn an_answer_is_waited_for_as_long_as_it_is_taken_at_a_rate() {
        let late = Err(ErrorKind::TimedOut);
        let second = Duration::from_secs(1);
        // What lies between the two is taken at once.
        let length = (64 + 200) << 10;
        assert_eq!(taken(length, 1024, second), (Ok(()), 200), "the rate");
        assert_eq!(taken(length, 26 << 10, STALLED.mul_f32(0.8)).0, Ok(()), "the rate, in large parts");
        assert_eq!(taken(length, 1, second), (late, STALLED.as_secs()), "a byte each second");
        assert_eq!(taken(length, 1, STALLED.saturating_sub(second)).1, STALLED.as_secs(), "a byte from time to time");
        let (ended, took) = taken(length, 512, second);
        assert!(ended == late && took < 3 * STALLED.as_secs(), "half of the rate: {took} seconds");
        // What was taken fast before is no reason to be waited for longer.
        with_clock(async {
            let (mut guard, mut far) = begun(0).await;
            let much = vec![b'a'; 4 << 20];
            let mut bytes = vec![0; much.len()];
            let (written, read) = tokio::join!(guard.write_all(&much), far.read_exact(&mut bytes));
            written.and(read).unwrap();
            let since = Instant::now();
            let failure = guard.write_all(&much).await.unwrap_err();
            assert_eq!((failure.kind(), since.elapsed()), (ErrorKind::TimedOut, STALLED));
        });
    }
}
