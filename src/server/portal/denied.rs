//! A sign-in that failed, as the audit has it, and when it is answered.
//!
//! The server's own chain has every one. Where the account is known that somebody tried to come into, the chain of each
//! organization that its owner is in has it as well: whoever runs one sees what is tried at its people. How many there can
//! be is bounded by `attempts.rs`: a try that comes too early is not looked at, and stands in no chain.
//!
//! For an account that is there, more is written than for one that is not, and whoever guesses must not see that in the
//! time that the answer takes. So the answer leaves at a time that does not depend on it: a [`BEAT`] after the
//! passphrase was stretched, which takes as long for everybody, and where that was missed, at the next one. Nobody else's
//! turn waits for what is written. The entries themselves are on the disk before the answer, as all are.
//!
//! A passkey has no login: its identifier is many random bytes, which only its device and its owner's browser are shown.
//! Whoever has one knows that it is somebody's, and the answer, which says why it was refused, hides nothing from them.

use std::time::{Duration, Instant};

use crate::server::audit::{self, Event, Outcome};
use crate::server::db::Rows;
use crate::server::edge::Source;
use crate::server::people;
use crate::server::problem::Answer;
use crate::server::state::{Server, now};

/// Answers about what was not right leave at whole multiples of this: many times what the entries take.
const BEAT: Duration = Duration::from_millis(250);

/// What was tried.
pub(super) struct Tried<'t> {
    /// The person whose account it is, if there is one.
    pub(super) person: Option<&'t str>,
    /// By what: `passphrase`, `passkey`.
    pub(super) way: &'t str,
    /// Why it is not right; empty where there is nothing to say. Never what was typed, which may be a passphrase in the
    /// wrong field.
    pub(super) why: &'t str,
}

/// Tells of a sign-in that failed. Nobody is known to have done it: the account is what it was done to.
pub(super) fn tell(rows: &mut dyn Rows, server: &Server, source: &Source, tried: &Tried<'_>) -> Answer<()> {
    let (now, actor) = (now(), source.actor());
    let detail = if tried.why.is_empty() { tried.way.to_owned() } else { [tried.way, tried.why].join(": ") };
    let denied = |object| Event { outcome: Outcome::Denied, detail: &detail, ..Event::done("sign-in", object) };
    // The server's chain is the first wherever several are held, so that no two wait for each other.
    audit::append(rows, &server.keys, &audit::server_scope(), &actor, &denied(""), now)?;
    let Some(person) = tried.person else { return Ok(()) };
    for member in people::memberships(rows, person)? {
        audit::append(rows, &server.keys, &member.scope, &actor, &denied(person), now)?;
    }
    Ok(())
}

/// Waits until an answer may leave about what was looked at then.
pub(super) async fn beat(since: Instant) {
    tokio::time::sleep(rest(since.elapsed())).await;
}

/// How long it is from here to the next beat.
fn rest(passed: Duration) -> Duration {
    let beat = BEAT.as_nanos();
    let over = beat - passed.as_nanos() % beat;
    Duration::from_nanos(u64::try_from(over).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_together_whatever_was_written() {
        let at = |millis| Duration::from_millis(millis);
        for quick in [0, 1, 3, 40, 249] {
            assert_eq!(at(quick) + rest(at(quick)), BEAT, "{quick}");
        }
        for slow in [250, 260, 499] {
            assert_eq!(at(slow) + rest(at(slow)), 2 * BEAT, "{slow}");
        }
        assert_eq!(Duration::from_nanos(1) + rest(Duration::from_nanos(1)), BEAT);
    }
}
