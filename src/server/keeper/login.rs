//! The token: where it comes from, and how it stays good.

use std::path::Path;
use std::sync::{MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Keeper, KeeperError, Login, TIMEOUT, written};
use crate::http::{Method, Response, segment};
use crate::os::files;
use crate::secret::Secret;

/// Where a token was refused and another one did not help, none is got for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// Whoever waits for the token that somebody else is getting looks for it so often.
const GLANCE: Duration = Duration::from_millis(5);
/// A token whose life is not known, or cannot be made longer, is asked about so often.
const UNKNOWN: Duration = Duration::from_mins(10);

/// The token in force, and when another one was last got because it was refused.
#[derive(Default)]
pub(super) struct Tokens {
    held: Option<Token>,
    replaced: Option<Instant>,
}

struct Token {
    secret: Secret,
    /// How long it lives after it was got, where that is known.
    life: Option<Duration>,
    /// When it is renewed.
    due: Instant,
    /// When it ends.
    ends: Option<Instant>,
}

/// What a role shows.
#[derive(Serialize)]
struct Shown<'s> {
    role_id: &'s str,
    secret_id: &'s str,
}

/// What is said of a token that was given out or renewed.
#[derive(Deserialize)]
struct Auth {
    client_token: Option<Secret>,
    #[serde(default)]
    lease_duration: u64,
}

#[derive(Deserialize)]
struct Granted {
    auth: Auth,
}

impl Token {
    fn new(secret: Secret, seconds: u64) -> Self {
        let now = Instant::now();
        let life = (seconds > 0).then(|| Duration::from_secs(seconds));
        let ends = life.and_then(|life| now.checked_add(life));
        let due = life.map_or(UNKNOWN, |life| life / 2);
        Self { secret, life, due: now.checked_add(due).unwrap_or(now), ends }
    }
}

impl Keeper {
    /// Keeps the token alive, so that it does not end while nobody asks for anything.
    pub(crate) fn tend(&self) -> Result<(), KeeperError> {
        self.token().map(drop)
    }

    /// The token in force. Whoever asks while it is got or renewed waits for it.
    pub(super) fn token(&self) -> Result<Secret, KeeperError> {
        let mut tokens = self.tokens()?;
        let now = Instant::now();
        let held = tokens.held.take().filter(|held| held.ends.is_none_or(|ends| ends > now));
        let token = match held {
            Some(held) if held.due > now => held,
            Some(held) => self.renewed(held)?,
            None => self.log_in()?,
        };
        let secret = token.secret.duplicate();
        tokens.held = Some(token);
        Ok(secret)
    }

    /// The tokens, for one at a time. Whoever has waited for as long as a call may take is told that there is no answer:
    /// of many who wait, each would otherwise ask in vain after the one before.
    fn tokens(&self) -> Result<MutexGuard<'_, Tokens>, KeeperError> {
        let began = Instant::now();
        loop {
            match self.token.try_lock() {
                Ok(tokens) => return Ok(tokens),
                Err(TryLockError::Poisoned(tokens)) => return Ok(tokens.into_inner()),
                Err(TryLockError::WouldBlock) if began.elapsed() < TIMEOUT => std::thread::sleep(GLANCE),
                Err(TryLockError::WouldBlock) => return Err(KeeperError::Busy),
            }
        }
    }

    /// Another token in the place of one that was refused, if there is one.
    pub(super) fn other_token(&self, refused: &Secret) -> Result<Option<Secret>, KeeperError> {
        let mut tokens = self.tokens()?;
        if let Some(held) = tokens.held.as_ref().filter(|held| held.secret != *refused) {
            return Ok(Some(held.secret.duplicate()));
        }
        let now = Instant::now();
        if tokens.replaced.is_some_and(|replaced| now.duration_since(replaced) < PAUSE) {
            return Ok(None);
        }
        tokens.replaced = Some(now);
        let token = self.log_in()?;
        let secret = token.secret.duplicate();
        tokens.held = Some(token);
        Ok((secret != *refused).then_some(secret))
    }

    fn log_in(&self) -> Result<Token, KeeperError> {
        match &self.access.login {
            Login::Token(secret) => Ok(self.looked_up(secret.duplicate())),
            Login::TokenFile(file) => Ok(self.looked_up(read(file)?)),
            Login::AppRole { role, secret, mount } => {
                let id = read(secret)?;
                let body = written(&Shown { role_id: role, secret_id: id.expose() });
                let path = format!("auth/{}/login", segment(mount));
                let answer = self.send(&Method::POST, &path, Some(&body), None)?;
                match answer.status {
                    503 => Err(KeeperError::Sealed),
                    200 => granted(&answer).ok_or(KeeperError::Strange("a login without a token")),
                    400 | 403 => Err(KeeperError::NotLetIn { what: "role or its secret ID" }),
                    status => Err(KeeperError::Refused { status }),
                }
            }
        }
    }

    /// A token that somebody else gave out: how long it lives is asked at once, by renewing it.
    fn looked_up(&self, secret: Secret) -> Token {
        self.lengthened(&secret).ok().flatten().unwrap_or_else(|| Token::new(secret, 0))
    }

    /// The token with a longer life; `None` where it cannot have one.
    fn lengthened(&self, secret: &Secret) -> Result<Option<Token>, KeeperError> {
        let answer = self.send(&Method::POST, "auth/token/renew-self", Some("{}"), Some(secret))?;
        match answer.status {
            503 => Err(KeeperError::Sealed),
            200 => Ok(granted(&answer)),
            _ => Ok(None),
        }
    }

    /// Renews a token, and gets another one where it nears the end of the longest life that it can have.
    fn renewed(&self, held: Token) -> Result<Token, KeeperError> {
        let lengthened = self.lengthened(&held.secret);
        let is_role = matches!(self.access.login, Login::AppRole { .. });
        match lengthened {
            Ok(Some(token)) if !is_role || token.life.is_none_or(|life| Some(life * 2) > held.life) => {
                Ok(Token { life: held.life.max(token.life), ..token })
            }
            Ok(lengthened) if is_role || matches!(self.access.login, Login::TokenFile(_)) => {
                self.log_in().or_else(|_| Ok(lengthened.map_or_else(|| later(held), later)))
            }
            // There is no other one, and asking again at once would not change that.
            Ok(None) => Ok(Token { due: Instant::now().checked_add(UNKNOWN).unwrap_or(held.due), ..held }),
            Ok(Some(_)) | Err(_) => Ok(later(held)),
        }
    }
}

/// The same token, which is good until it ends; what keeps another one from being had may be over soon.
fn later(held: Token) -> Token {
    let due = Instant::now().checked_add(PAUSE).unwrap_or(held.due);
    Token { due, ..held }
}

fn granted(answer: &Response) -> Option<Token> {
    let Granted { auth } = answer.json().ok()?;
    Some(Token::new(auth.client_token?, auth.lease_duration))
}

/// A secret in a file that nobody else may read.
fn read(file: &Path) -> Result<Secret, KeeperError> {
    let bytes = files::read_private(file)?.map(Zeroizing::new).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    if text.is_empty() {
        return Err(KeeperError::Empty { file: file.display().to_string() });
    }
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::double;
    use super::*;

    #[test]
    fn a_token_that_cannot_live_longer_is_asked_about_seldom() {
        let (keeper, inside) = double(Login::Token(Secret::new("given".into())));
        inside.lock().unwrap().is_strict = true;
        keeper.token().unwrap();
        keeper.token.lock().unwrap().held.as_mut().unwrap().due = Instant::now();
        for _ in 0..3 {
            keeper.token().unwrap();
        }
        assert_eq!(inside.lock().unwrap().renewals, 2, "when it was given, and once since");
        let due = keeper.token.lock().unwrap().held.as_ref().unwrap().due;
        assert!(due > Instant::now() + UNKNOWN / 2);
    }

    #[test]
    fn nobody_waits_longer_for_a_token_than_for_an_answer() {
        let (keeper, _) = double(Login::Token(Secret::new("given".into())));
        let getting = keeper.token.lock().unwrap();
        let began = Instant::now();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| keeper.token())).collect();
            for one in waiting {
                assert!(matches!(one.join().unwrap(), Err(KeeperError::Busy)));
            }
        });
        assert!(began.elapsed() < 2 * TIMEOUT, "{:?}", began.elapsed());
        drop(getting);
        assert!(keeper.token().is_ok());
    }
}
