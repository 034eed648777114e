//! The audit as it leaves a server: entries as JSON, one on a line, and statements that the server signs (Ed25519).
//!
//! A statement says how many entries a chain had at a time, and the hash of the last of them. Before the entries of an
//! export stands one that says which they are and how many there are in all, so that whoever cuts the file off anywhere
//! is noticed; in a file of its own, one after the other, they notice a server whose chain was cut off. What is signed is
//! the statement without its signature, its names in order and no blanks, after a line that says what it is.

use std::collections::BTreeMap;
use std::io::BufRead;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

/// What is signed begins with this line.
const PURPOSE: &str = "lanyard-audit-statement-1\n";
/// The longest line that is read.
const LONGEST: u64 = 64 << 10;

/// What a server says of a chain, as one object of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement(BTreeMap<String, Json>);

/// The key that signs statements.
pub struct Signer(Ed25519KeyPair);

impl Signer {
    /// The key that comes of 32 secret bytes.
    pub fn of(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// The public key, in base 64.
    pub fn public(&self) -> String {
        STANDARD.encode(self.0.public_key())
    }
}

impl Statement {
    /// Of an instance's chain: at this time it had so many entries, the last of which has this hash.
    pub fn new(instance: &str, organization: &str, at: &str, sequence: i64, hash: &[u8]) -> Self {
        let members = [
            ("at", Json::from(at)),
            ("hash", hex(hash).into()),
            ("instance", instance.into()),
            ("organization", organization.into()),
            ("sequence", sequence.into()),
            ("statement", 1.into()),
        ];
        Self(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The same for the head of an export, of the entries from this number on; in all there are so many.
    #[must_use]
    pub fn of_export(mut self, from: i64, end: i64) -> Self {
        self.0.insert("from".into(), from.into());
        self.0.insert("end".into(), end.into());
        self
    }

    /// Reads one from a line; `None` where it is none.
    pub fn read(line: &str) -> Option<Self> {
        let members: BTreeMap<String, Json> = serde_json::from_str(line).ok()?;
        members.contains_key("statement").then_some(Self(members))
    }

    /// The statement with its signature, as a line without its end.
    pub fn signed(&self, signer: &Signer) -> String {
        let mut members = self.0.clone();
        members.insert("signature".into(), STANDARD.encode(signer.0.sign(&self.signed_bytes())).into());
        text_of(&members)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut members = self.0.clone();
        members.remove("signature");
        [PURPOSE, &text_of(&members)].concat().into_bytes()
    }

    /// Whether one of these public keys signed it.
    pub fn is_signed_by(&self, keys: &[Vec<u8>]) -> bool {
        let signature = self.0.get("signature").and_then(Json::as_str).and_then(|text| STANDARD.decode(text).ok());
        let Some(signature) = signature else { return false };
        let bytes = self.signed_bytes();
        keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&bytes, &signature).is_ok())
    }

    fn number(&self, name: &str) -> i64 {
        self.0.get(name).and_then(Json::as_i64).unwrap_or_default()
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Json::as_str).unwrap_or_default()
    }

    /// How many entries there were.
    pub fn sequence(&self) -> i64 {
        self.number("sequence")
    }

    /// Whether nothing comes after the entries of this export.
    pub fn is_the_end(&self) -> bool {
        self.sequence() >= self.number("end")
    }

    /// Whose chain it is.
    pub fn organization(&self) -> &str {
        self.text("organization")
    }

    /// The hash of the last entry, in hex.
    pub fn hash(&self) -> &str {
        self.text("hash")
    }

    /// When it was said.
    pub fn at(&self) -> &str {
        self.text("at")
    }

    /// Whether both are of one chain.
    fn is_of(&self, other: &Self) -> bool {
        (self.text("instance"), self.organization()) == (other.text("instance"), other.organization())
    }
}

fn text_of(members: &BTreeMap<String, Json>) -> String {
    // A map of texts and numbers always has a form.
    serde_json::to_string(members).unwrap_or_default()
}

/// Where a chain is broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The number of the entry.
    pub sequence: i64,
    /// What is wrong there.
    pub problem: String,
}

/// An export that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Whose it is.
    pub organization: String,
    /// Its first entry.
    pub from: i64,
    /// Its last entry.
    pub to: i64,
    /// When the last of them was exported.
    pub at: String,
}

/// Reads the statements of a file, and refuses it where one is signed by none of these keys. The number of the line is
/// told.
pub fn statements(file: impl BufRead, keys: &[Vec<u8>]) -> std::io::Result<Result<Vec<Statement>, usize>> {
    let mut found = Vec::new();
    for (number, line) in lines(file).enumerate() {
        let line = line?;
        match Statement::read(&line).filter(|statement| statement.is_signed_by(keys)) {
            Some(statement) => found.push(statement),
            None if line.trim().is_empty() => {}
            None => return Ok(Err(number + 1)),
        }
    }
    Ok(Ok(found))
}

/// The lines of a file, none of which fills the memory.
fn lines(mut file: impl BufRead) -> impl Iterator<Item = std::io::Result<String>> {
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match std::io::Read::take(&mut file, LONGEST).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                Some(Ok(String::from_utf8_lossy(&line).into_owned()))
            }
            Err(cause) => Some(Err(cause)),
        }
    })
}

/// Goes through an exported file with public keys alone. `seen` are statements that were kept elsewhere.
pub fn verify(file: impl BufRead, keys: &[Vec<u8>], seen: &[Statement]) -> std::io::Result<Result<Whole, Broken>> {
    let mut walk = Walk { seen, head: None, first: 0, last: 0, hash: None };
    for line in lines(file) {
        let line = line?;
        let step = match Statement::read(&line) {
            Some(statement) => walk.begin(statement, keys),
            None => walk.entry(&line),
        };
        if let Err(broken) = step {
            return Ok(Err(broken));
        }
    }
    Ok(walk.end())
}

/// A walk along an exported chain.
struct Walk<'s> {
    seen: &'s [Statement],
    /// The statement before the entries that are being read.
    head: Option<Statement>,
    first: i64,
    last: i64,
    /// The hash of the last entry, in hex.
    hash: Option<String>,
}

impl Walk<'_> {
    fn broken<T>(sequence: i64, problem: &str) -> Result<T, Broken> {
        Err(Broken { sequence, problem: problem.to_owned() })
    }

    /// The statement at the head of the next entries.
    fn begin(&mut self, statement: Statement, keys: &[Vec<u8>]) -> Result<(), Broken> {
        if !statement.is_signed_by(keys) {
            return Self::broken(self.last + 1, "the statement before it is not signed by this key");
        }
        let from = statement.number("from");
        if let Some(head) = &self.head {
            self.complete()?;
            if !head.is_of(&statement) {
                return Self::broken(self.last + 1, "it is of another chain");
            }
            if from != self.last + 1 {
                return Self::broken(self.last + 1, "an entry is missing");
            }
        } else {
            if from < 1 {
                return Self::broken(1, "the file does not begin as an export does");
            }
            (self.first, self.last) = (from, from - 1);
            self.hash = (from == 1).then(|| "0".repeat(64));
        }
        self.head = Some(statement);
        Ok(())
    }

    fn entry(&mut self, line: &str) -> Result<(), Broken> {
        let Some(head) = &self.head else {
            return Self::broken(1, "the file does not begin as an export does");
        };
        let next = self.last + 1;
        let told: BTreeMap<String, Json> = serde_json::from_str(line).unwrap_or_default();
        let text = |name: &str| told.get(name).and_then(Json::as_str).unwrap_or_default();
        match told.get("sequence").and_then(Json::as_i64) {
            None => return Self::broken(next, "the entry was changed"),
            Some(sequence) if sequence > next => return Self::broken(next, "an entry is missing"),
            Some(sequence) if sequence < next => return Self::broken(next, "another entry is in its place"),
            Some(_) => {}
        }
        if text("organization") != head.organization() {
            return Self::broken(next, "it is of another chain");
        }
        if self.hash.as_ref().is_some_and(|hash| hash != text("previous")) {
            // It has another hash than the entry after it says.
            return Self::broken(self.last.max(1), "the entry was changed");
        }
        if next > head.sequence() {
            return Self::broken(next, "there are more entries than were exported");
        }
        let hash = hex(digest(&SHA256, line.as_bytes()).as_ref());
        let other = |seen: &&Statement| seen.is_of(head) && seen.sequence() == next && seen.hash() != hash;
        if let Some(seen) = self.seen.iter().find(other) {
            return Self::broken(next, &format!("it was another one at {}", seen.at()));
        }
        (self.last, self.hash) = (next, Some(hash));
        Ok(())
    }

    /// Whether all is there that the statement before it says.
    fn complete(&self) -> Result<(), Broken> {
        let Some(head) = &self.head else {
            return Self::broken(1, "the file does not begin as an export does");
        };
        if self.last < head.sequence() {
            return Self::broken(self.last + 1, "an entry is missing");
        }
        if self.hash.as_deref() != Some(head.hash()) {
            return Self::broken(self.last, "the entry was changed");
        }
        Ok(())
    }

    fn end(&self) -> Result<Whole, Broken> {
        self.complete()?;
        let Some(head) = &self.head else {
            return Self::broken(1, "the file does not begin as an export does");
        };
        if self.last < head.number("end") {
            return Self::broken(self.last + 1, "the end of the export is missing");
        }
        // What was seen before this was exported was there already.
        let longer = |seen: &&Statement| seen.is_of(head) && seen.at() <= head.at() && seen.sequence() > self.last;
        if let Some(seen) = self.seen.iter().find(longer) {
            let problem =
                format!("the end of the chain is missing: there were {} entries at {}", seen.sequence(), seen.at());
            return Self::broken(self.last + 1, &problem);
        }
        let (from, to) = (self.first, self.last);
        Ok(Whole { organization: head.organization().to_owned(), from, to, at: head.at().to_owned() })
    }
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::of(&[7; 32]).unwrap()
    }

    fn key() -> [Vec<u8>; 2] {
        [vec![8; 32], STANDARD.decode(signer().public()).unwrap()]
    }

    /// The lines of an export of so many entries, in parts of so many.
    fn exported(count: i64, part: i64) -> Vec<String> {
        let (mut previous, mut entries) = ("0".repeat(64), Vec::new());
        for sequence in 1..=count {
            let entry = format!(
                "{{\"action\":\"a{sequence}\",\"organization\":\"org\",\"previous\":\"{previous}\",\"sequence\":{sequence}}}"
            );
            previous = hex(digest(&SHA256, entry.as_bytes()).as_ref());
            entries.push(entry);
        }
        let mut lines = Vec::new();
        for (number, part_of) in entries.chunks(usize::try_from(part).unwrap()).enumerate() {
            let from = i64::try_from(number).unwrap() * part + 1;
            let to = from + i64::try_from(part_of.len()).unwrap() - 1;
            let hash = digest(&SHA256, part_of.last().unwrap().as_bytes());
            let head = Statement::new("i", "org", "2030-01-01T00:00:00Z", to, hash.as_ref()).of_export(from, count);
            lines.push(head.signed(&signer()));
            lines.extend(part_of.iter().cloned());
        }
        lines
    }

    fn checked(lines: &[String]) -> Result<Whole, Broken> {
        verify(format!("{}\n", lines.join("\n")).as_bytes(), &key(), &[]).unwrap()
    }

    #[test]
    fn what_is_done_to_an_exported_file_is_noticed_at_its_place() {
        for part in [10, 4] {
            let whole = exported(10, part);
            let held = checked(&whole).unwrap();
            assert_eq!((held.from, held.to), (1, 10));
            let place_of =
                |sequence: i64| whole.iter().position(|line| line.contains(&format!("\"a{sequence}\""))).unwrap();
            for sequence in 1..=10 {
                let at = place_of(sequence);
                let mut altered = whole.clone();
                altered[at] = altered[at].replace("\"action\":\"a", "\"action\":\"b");
                assert_eq!(checked(&altered).unwrap_err().sequence, sequence, "altered");
                let mut deleted = whole.clone();
                deleted.remove(at);
                assert_eq!(checked(&deleted).unwrap_err().sequence, sequence, "deleted");
                let mut cut = whole.clone();
                cut.truncate(at);
                assert_eq!(checked(&cut).unwrap_err().sequence, sequence, "cut");
                if sequence < 10 {
                    let mut swapped = whole.clone();
                    swapped.swap(at, place_of(sequence + 1));
                    assert_eq!(checked(&swapped).unwrap_err().sequence, sequence, "reordered");
                }
            }
        }
        // At the end of a part, too, and with a head that was made up.
        let parts = exported(10, 5);
        assert_eq!(
            checked(&parts[..6]).unwrap_err(),
            Broken { sequence: 6, problem: "the end of the export is missing".into() }
        );
        let mut forged = exported(10, 10);
        forged[0] = forged[0].replace("\"end\":10", "\"end\":9").replace("\"sequence\":10", "\"sequence\":9");
        assert_eq!(checked(&forged).unwrap_err().sequence, 1);
        assert!(checked(&[]).is_err() && checked(&["nonsense".into()]).is_err());
    }

    #[test]
    fn what_was_seen_before_is_held_against_it() {
        let whole = exported(10, 10);
        let text = whole.join("\n");
        let seen = |sequence, hash: &[u8], at: &str| Statement::new("i", "org", at, sequence, hash);
        let real = digest(&SHA256, whole[3].as_bytes());
        let held = |seen: &[Statement]| verify(text.as_bytes(), &key(), seen).unwrap();
        assert!(held(&[seen(3, real.as_ref(), "2029-01-01T00:00:00Z")]).is_ok());
        assert_eq!(held(&[seen(3, &[9; 32], "2029-01-01T00:00:00Z")]).unwrap_err().sequence, 3);
        assert_eq!(held(&[seen(12, &[9; 32], "2029-01-01T00:00:00Z")]).unwrap_err().sequence, 11);
        assert!(held(&[seen(12, &[9; 32], "2031-01-01T00:00:00Z")]).is_ok(), "it was exported before that");
        let file = format!("{}\n", seen(3, &[9; 32], "2029").signed(&signer()));
        assert_eq!(statements(file.as_bytes(), &key()).unwrap().unwrap().len(), 1);
        assert_eq!(statements(file.replace('9', "8").as_bytes(), &key()).unwrap(), Err(1));
    }
}
