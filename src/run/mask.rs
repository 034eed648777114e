//! Masking: secrets in a stream of bytes, replaced while it flows.
//!
//! Every occurrence of every form of every secret is found, those that overlap included, and each stretch of bytes that
//! they cover leaves as one `***`. So the outcome does not depend on how the stream was cut into chunks, and no secret
//! is left because another one began before it. Bytes are held back only while they could be the beginning of a secret:
//! never more of them than the longest form has.
//!
//! Programs that write base64 break it into lines, wherever that cuts a secret: see [`broken`].
//!
//! Secrets of fewer than [`SHORTEST`] bytes are not masked: they would be found in every other word.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::{Anchored, MatchKind, dfa, nfa};

use crate::secret::Secret;

mod broken;
pub mod forms;

/// What stands for a secret.
pub const MASK: &[u8] = b"***";
/// The shortest secret that is masked, in bytes.
pub const SHORTEST: usize = 4;
/// Up to so many bytes of forms, the faster of two automatons is small enough.
const FEW: usize = 48 << 10;

/// The secrets to mask, made ready for looking.
pub struct Masks {
    finder: Option<Finder>,
    /// Finds what is broken into lines.
    broken: Option<Finder>,
}

impl Masks {
    /// Every form of every one of these secrets. What is known to be none is not taken for one where it stands alone in
    /// a line of a longer one.
    pub fn of<'s>(secrets: impl IntoIterator<Item = &'s Secret>, plain: &BTreeSet<String>) -> Self {
        let secrets: Vec<&Secret> = secrets.into_iter().collect();
        let finder = |forms: fn(&Secret, &BTreeSet<String>) -> Vec<forms::Form>| {
            let mut all: Vec<_> = secrets.iter().flat_map(|secret| forms(secret, plain)).collect();
            all.sort_by(|one, other| one.as_slice().cmp(other));
            all.dedup_by(|one, other| one.as_slice() == other.as_slice());
            Finder::of(&all)
        };
        Self { finder: finder(forms::of), broken: finder(forms::in_base64) }
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.finder.is_none()
    }
}

/// An automaton that knows at each byte how far into which form it is.
struct Finder {
    automaton: Either,
    depths: Depths,
    /// Whether a form begins with this byte.
    begins: [bool; 256],
}

/// The one that is fast, or the one that is small.
enum Either {
    Few(dfa::DFA),
    Many(nfa::contiguous::NFA),
}

/// How many of the last bytes could be the beginning of a form, by state.
type Depths = HashMap<StateID, usize>;

impl Finder {
    /// `None` where there is nothing to find, or more than an automaton can hold: a gigabyte of secrets.
    fn of(forms: &[zeroize::Zeroizing<Vec<u8>>]) -> Option<Self> {
        if forms.is_empty() {
            return None;
        }
        let mut begins = [false; 256];
        for first in forms.iter().filter_map(|form| form.first()) {
            begins[usize::from(*first)] = true;
        }
        let length: usize = forms.iter().map(|form| form.len()).sum();
        let patterns = forms.iter().map(|form| form.as_slice());
        if length <= FEW {
            let built = dfa::DFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(patterns).ok()?;
            return Some(Self { depths: depths(&built, forms), automaton: Either::Few(built), begins });
        }
        let mut builder = nfa::contiguous::NFA::builder();
        let built = builder.match_kind(MatchKind::Standard).prefilter(false).build(patterns).ok()?;
        Some(Self { depths: depths(&built, forms), automaton: Either::Many(built), begins })
    }
}

/// The state behind each beginning of each form is that beginning's alone, so its length is the state's depth.
fn depths(automaton: &impl Automaton, forms: &[zeroize::Zeroizing<Vec<u8>>]) -> Depths {
    let mut depths = Depths::new();
    let Ok(start) = automaton.start_state(Anchored::No) else { return depths };
    for form in forms {
        let mut state = start;
        for (at, byte) in form.iter().enumerate() {
            state = automaton.next_state(Anchored::No, state, *byte);
            depths.insert(state, at + 1);
        }
    }
    depths
}

/// One stream that is being masked.
pub struct Stream {
    masks: Arc<Masks>,
    state: Option<StateID>,
    broken: broken::Place,
    /// What has come and not left: the bytes from `left` to `come`.
    held: Vec<u8>,
    come: u64,
    left: u64,
    /// Stretches to mask that have not left, in order, none touching another.
    found: Vec<(u64, u64)>,
    /// Where the last mask that left ends; what touches it belongs to it.
    masked: Option<u64>,
}

impl Stream {
    /// A stream at its beginning.
    pub fn new(masks: Arc<Masks>) -> Self {
        let (state, broken) = (None, broken::Place::default());
        Self { masks, state, broken, held: Vec::new(), come: 0, left: 0, found: Vec::new(), masked: None }
    }

    /// Looks for more than before from now on: `masks` are the ones so far and others. What is held back is looked
    /// through again.
    pub fn look_for(&mut self, masks: Arc<Masks>, out: &mut Vec<u8>) {
        if Arc::ptr_eq(&masks, &self.masks) {
            return;
        }
        self.masks = masks;
        self.state = None;
        self.found.clear();
        self.come = self.left.min(self.come);
        let held = std::mem::take(&mut self.held);
        self.broken.go_back(&held);
        self.push(&held, out);
    }

    /// Takes the next bytes and puts what is decided behind `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(Finder { automaton, depths, begins }) = &self.masks.finder else {
            out.extend_from_slice(bytes);
            return;
        };
        match automaton {
            Either::Few(automaton) => find(automaton, &mut self.state, bytes, self.come, &mut self.found, begins),
            Either::Many(automaton) => find(automaton, &mut self.state, bytes, self.come, &mut self.found, begins),
        }
        let mut undecided = self.state.and_then(|state| depths.get(&state)).map_or(0, |depth| *depth as u64);
        if let Some(finder) = &self.masks.broken {
            let (more, its) = self.broken.find(finder, bytes, self.come);
            undecided = undecided.max(its);
            self.found = united(std::mem::take(&mut self.found), more);
        }
        self.come += bytes.len() as u64;
        self.held.extend_from_slice(bytes);
        self.leave(self.come - undecided, out);
    }

    /// Ends the stream: what was held back leaves.
    pub fn end(mut self, out: &mut Vec<u8>) {
        self.leave(self.come, out);
    }

    /// Everything before `safe` leaves: no secret that begins there is still to be found.
    fn leave(&mut self, safe: u64, out: &mut Vec<u8>) {
        let mut kept = Vec::new();
        for (start, end) in std::mem::take(&mut self.found) {
            if self.masked.is_some_and(|masked| start <= masked) {
                self.masked = self.masked.max(Some(end));
            } else if start <= safe {
                self.plain(start, out);
                out.extend_from_slice(MASK);
                self.masked = Some(end);
            } else {
                kept.push((start, end));
                continue;
            }
            self.skip(end);
        }
        self.found = kept;
        self.plain(safe, out);
        let gone = self.held.len() - usize::try_from(self.come - self.left).unwrap_or_default();
        self.held.drain(..gone);
    }

    /// The place in `held` of a place in the stream.
    fn place(&self, at: u64) -> usize {
        let behind = usize::try_from(self.come - at.min(self.come)).unwrap_or(usize::MAX);
        self.held.len().saturating_sub(behind)
    }

    /// What has not left before `until` leaves as it is.
    fn plain(&mut self, until: u64, out: &mut Vec<u8>) {
        if until > self.left {
            out.extend_from_slice(self.held.get(self.place(self.left)..self.place(until)).unwrap_or_default());
            self.left = until;
        }
    }

    /// What has not left before `until` never leaves.
    fn skip(&mut self, until: u64) {
        self.left = self.left.max(until);
    }
}

/// The stretches of both, in order, none touching another.
fn united(one: Vec<(u64, u64)>, other: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    if other.is_empty() {
        return one;
    }
    let mut all = [one, other].concat();
    all.sort_unstable();
    let mut united: Vec<(u64, u64)> = Vec::with_capacity(all.len());
    for (start, end) in all {
        match united.last_mut() {
            Some((_, reach)) if *reach >= start => *reach = end.max(*reach),
            _ => united.push((start, end)),
        }
    }
    united
}

/// Runs the automaton over some bytes, which begin at `from`, and puts what it finds together with what was found.
fn find<A: Automaton>(
    automaton: &A,
    state: &mut Option<StateID>,
    bytes: &[u8],
    from: u64,
    found: &mut Vec<(u64, u64)>,
    begins: &[bool; 256],
) {
    let Ok(start) = automaton.start_state(Anchored::No) else { return };
    let mut now = state.unwrap_or(start);
    let mut next = 0;
    while let Some(rest) = bytes.get(next..) {
        // Where nothing has begun, most bytes begin nothing either.
        let skipped = if now == start { rest.iter().position(|byte| begins[usize::from(*byte)]) } else { Some(0) };
        let Some((at, byte)) = skipped.and_then(|skipped| Some((next + skipped, rest.get(skipped)?))) else { break };
        now = automaton.next_state(Anchored::No, now, *byte);
        next = at + 1;
        if automaton.is_special(now) && automaton.is_match(now) {
            let end = from + next as u64;
            let mut start = end - longest(automaton, now) as u64;
            while let Some((earlier, _)) = found.pop_if(|(_, reach)| *reach >= start) {
                start = start.min(earlier);
            }
            found.push((start, end));
        }
    }
    *state = Some(now);
}

/// The length of the longest form that ends at a state.
fn longest(automaton: &impl Automaton, state: StateID) -> usize {
    let lengths = (0..automaton.match_len(state)).map(|index| {
        let pattern = automaton.match_pattern(state, index);
        automaton.pattern_len(pattern)
    });
    lengths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
