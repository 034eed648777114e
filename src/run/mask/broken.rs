//! Base64 that a program breaks into lines of the usual lengths: a secret is found in it wherever the lines end.
//!
//! A line break is passed over where it stands behind a whole line and in the midst of what could be a secret. Behind any
//! other line nothing goes on, so that no line waits for the next one.

use std::collections::VecDeque;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};

use super::{Either, Finder, longest};

/// How long the lines are: in PEM and in what `openssl` writes; in mail, and in what `base64` writes.
pub(super) const LENGTHS: [u64; 2] = [64, 76];

/// How far a stream has come.
#[derive(Default)]
pub(super) struct Place {
    state: Option<StateID>,
    /// The length of the line so far.
    column: u64,
    /// Where line breaks stand that were passed over.
    passed: VecDeque<u64>,
}

/// Stretches of a stream.
type Stretches = Vec<(u64, u64)>;

impl Place {
    /// Looks through some bytes, which begin at `from`: what is found, and how many of the last bytes could be the
    /// beginning of a secret.
    pub(super) fn find(&mut self, finder: &Finder, bytes: &[u8], from: u64) -> (Stretches, u64) {
        match &finder.automaton {
            Either::Few(automaton) => self.run(automaton, finder, bytes, from),
            Either::Many(automaton) => self.run(automaton, finder, bytes, from),
        }
    }

    /// Begins anew before bytes that were looked through already.
    pub(super) fn go_back(&mut self, bytes: &[u8]) {
        let is_one_line = !bytes.iter().any(|byte| is_break(*byte));
        self.column = if is_one_line { self.column.saturating_sub(bytes.len() as u64) } else { 0 };
        (self.state, self.passed) = (None, VecDeque::new());
    }

    fn run(&mut self, automaton: &impl Automaton, finder: &Finder, bytes: &[u8], from: u64) -> (Stretches, u64) {
        let mut found = Vec::new();
        let Ok(start) = automaton.start_state(Anchored::No) else { return (found, 0) };
        let mut now = self.state.unwrap_or(start);
        for (at, byte) in (from..).zip(bytes) {
            if is_break(*byte) {
                let is_whole = LENGTHS.contains(&self.column);
                if is_whole && now != start {
                    self.passed.push_back(at);
                } else {
                    now = start;
                }
                // Of two bytes that break a line, the second one stands behind the same line.
                if *byte == b'\n' || !is_whole {
                    self.column = 0;
                }
                continue;
            }
            self.column += 1;
            if now == start && !finder.begins[usize::from(*byte)] {
                continue;
            }
            now = automaton.next_state(Anchored::No, now, *byte);
            if now == start {
                self.passed.clear();
            } else if automaton.is_special(now) && automaton.is_match(now) {
                found.push((self.begin(at + 1, longest(automaton, now)), at + 1));
            }
        }
        self.state = Some(now);
        let end = from + bytes.len() as u64;
        let begin = self.begin(end, finder.depths.get(&now).copied().unwrap_or(0));
        while self.passed.pop_front_if(|at| *at < begin).is_some() {}
        (found, end - begin)
    }

    /// Where something begins that ends at `end` and has this length, without the line breaks in it.
    fn begin(&self, end: u64, length: usize) -> u64 {
        let mut begin = end.saturating_sub(length as u64);
        for at in self.passed.iter().rev() {
            if *at < begin {
                break;
            }
            begin -= 1;
        }
        begin
    }
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
