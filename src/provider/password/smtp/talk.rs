//! The words that are exchanged with a mail server: replies of one line or of several, and the ways to sign in.

use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{Step, broken_off, ended};
use crate::provider::{Outcome, Verdict};
use crate::secret::Secret;

/// The longest reply, in bytes.
const LONGEST: usize = 64 << 10;

/// What a server says it can do.
#[derive(Default)]
pub(super) struct Offer {
    pub(super) starttls: bool,
    plain: bool,
    login: bool,
}

/// What a server says to a line.
pub(super) struct Reply {
    pub(super) code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// The code of RFC 3463 at the beginning of the text, such as `5.7.8`.
    fn enhanced(&self) -> Option<&str> {
        let word = self.lines.first()?.split(' ').next()?;
        let is_one = word.len() <= 11 && word.split('.').count() == 3;
        (is_one && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')).then_some(word)
    }

    fn word(&self) -> String {
        self.enhanced().map_or_else(|| self.code.to_string(), |enhanced| format!("{} {enhanced}", self.code))
    }
}

/// A conversation over some stream. What was read beyond the last reply waits in the buffer.
pub(super) struct Talk<'a, S> {
    pub(super) stream: S,
    place: &'a str,
    until: Instant,
    buffer: Vec<u8>,
}

impl<'a, S: Read + Write> Talk<'a, S> {
    pub(super) fn new(stream: S, place: &'a str, until: Instant) -> Self {
        Self { stream, place, until, buffer: Vec::new() }
    }

    fn line(&mut self, budget: &mut usize) -> Step<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if Instant::now() > self.until {
                return broken_off(self.place, &ErrorKind::TimedOut.into());
            }
            let mut piece = [0; 2048];
            match self.stream.read(&mut piece) {
                Ok(0) => return broken_off(self.place, &ErrorKind::UnexpectedEof.into()),
                Ok(length) if length <= *budget => {
                    *budget -= length;
                    self.buffer.extend(piece.iter().take(length));
                }
                Ok(_) => return self.no_mail_server(),
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => return broken_off(self.place, &why),
            }
        }
    }

    fn no_mail_server<T>(&self) -> Step<T> {
        let reason = format!("{} does not speak as a mail server does", self.place);
        ended(Outcome::Unexpected, reason, "check the host and the port")
    }

    /// A reply of one line or of several.
    fn reply(&mut self) -> Step<Reply> {
        let mut budget = LONGEST;
        let mut reply = Reply { code: 0, lines: Vec::new() };
        loop {
            let line = self.line(&mut budget)?;
            let code = line.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
            let Some(code) = code.and_then(|code| code.parse::<u16>().ok()) else { return self.no_mail_server() };
            if reply.code != 0 && reply.code != code {
                return self.no_mail_server();
            }
            reply.code = code;
            reply.lines.push(line.get(4..).unwrap_or_default().to_owned());
            match line.as_bytes().get(3) {
                Some(b'-') => {}
                Some(b' ') | None => return Ok(reply),
                Some(_) => return self.no_mail_server(),
            }
        }
    }

    pub(super) fn command(&mut self, line: &str) -> Step<Reply> {
        let line = Zeroizing::new([line.as_bytes(), b"\r\n"].concat());
        match self.stream.write_all(&line).and_then(|()| self.stream.flush()) {
            Ok(()) => self.reply(),
            Err(why) => broken_off(self.place, &why),
        }
    }

    pub(super) fn greeting(&mut self) -> Step<()> {
        let reply = self.reply()?;
        match reply.code {
            220 => Ok(()),
            400..500 => self.not_now(&reply),
            _ => {
                let reason = format!("{} takes no connection from here", self.place);
                Err(Box::new(
                    Verdict::failed(Outcome::Unexpected, reason, "ask whoever runs the server").code(reply.word()),
                ))
            }
        }
    }

    pub(super) fn hello(&mut self) -> Step<Offer> {
        let reply = self.command("EHLO lanyard.invalid")?;
        match reply.code {
            250 => {}
            400..500 => return self.not_now(&reply),
            _ => return self.no_mail_server(),
        }
        let mut offer = Offer::default();
        // The first line is the server's name.
        for line in reply.lines.iter().skip(1) {
            // Old servers write `AUTH=LOGIN`.
            let line = line.to_ascii_uppercase().replace('=', " ");
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("STARTTLS") => offer.starttls = true,
                Some("AUTH") => {
                    for word in words {
                        offer.plain |= word == "PLAIN";
                        offer.login |= word == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        Ok(offer)
    }

    fn not_now<T>(&self, reply: &Reply) -> Step<T> {
        let too_often = reply.enhanced().is_some_and(|code| code.starts_with("4.7."));
        let place = self.place;
        let verdict = if too_often {
            let reason = format!("{place} was asked too often");
            Verdict::failed(Outcome::RateLimited, reason, "wait some minutes, then test again")
        } else {
            let reason = format!("{place} asks to come back later");
            Verdict::failed(Outcome::Unreachable, reason, "try again later; the password may well be good")
        };
        Err(Box::new(verdict.code(reply.word())))
    }

    pub(super) fn sign_in(&mut self, username: &str, password: &Secret) -> Step<Verdict> {
        let offer = self.hello()?;
        let mut reply = None;
        if offer.plain {
            let pair = Zeroizing::new(["\0", username, "\0", password.expose()].concat());
            let pair = Zeroizing::new(STANDARD.encode(&*pair));
            let mut told = self.command(&Zeroizing::new(["AUTH PLAIN ", &pair].concat()))?;
            if told.code == 334 {
                told = self.command(&pair)?;
            }
            // It was offered and is not known after all: nothing was judged, so another way is no second try.
            reply = Some(told).filter(|told| !(told.code == 504 && offer.login));
        }
        if reply.is_none() && offer.login {
            let mut told = self.command("AUTH LOGIN")?;
            for part in [username, password.expose()] {
                if told.code == 334 {
                    told = self.command(&Zeroizing::new(STANDARD.encode(part)))?;
                }
            }
            reply = Some(told);
        }
        let Some(reply) = reply else {
            return ended(
                Outcome::Unexpected,
                format!("{} takes no password: it offers neither PLAIN nor LOGIN", self.place),
                "check the port and the field security; some servers want an OAuth sign-in",
            );
        };
        let verdict = self.judge(&reply, username);
        // Whatever the server says to this changes nothing.
        let _ = self.stream.write_all(b"QUIT\r\n").and_then(|()| self.stream.flush());
        verdict
    }

    fn judge(&self, reply: &Reply, username: &str) -> Step<Verdict> {
        let word = reply.word();
        let place = self.place;
        Ok(match reply.code {
            235 => Verdict::valid(username),
            535 => Verdict::invalid(
                format!("{place} does not accept the user name or the password"),
                "check both; with two-factor sign-in, many servers want an app password",
            )
            .code(word),
            534 => Verdict::invalid(
                format!("{place} does not accept this password for mail"),
                "make an app password with the provider, and store that",
            )
            .code(word),
            530 | 538 => Verdict::failed(
                Outcome::Unexpected,
                format!("{place} wants a safer connection first"),
                "choose `tls` or `starttls` for the field security",
            )
            .code(word),
            400..500 => return self.not_now(reply),
            _ => Verdict::failed(
                Outcome::Unexpected,
                format!("{place} answered in a way that lanyard does not know"),
                "check that a mail server is what is at this port",
            )
            .code(word),
        })
    }
}
