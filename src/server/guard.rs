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
/// An answer of which nothing is taken for so long is not waited for.
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
}

impl<S> Guard<S> {
    /// Watches over a connection on which nothing was sent yet.
    pub(crate) fn new(stream: S) -> Self {
        let framing = Framing::new();
        Self { stream, framing, over: false, body: Wait::default(), came: 0, answer: Wait::default() }
    }

    fn read(&mut self, bytes: &mut [u8]) {
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
                this.read(buf.filled_mut().get_mut(before..).unwrap_or_default());
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
    /// What came of writing, with an end to waiting for it.
    fn written<T>(&mut self, done: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.answer = Wait::default();
        } else if self.answer.is_over(STALLED, cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        done
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(done, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.written(done, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_flush(cx);
        this.written(done, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let done = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.written(done, cx)
    }
}
