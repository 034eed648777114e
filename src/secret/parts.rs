//! Long values in a keychain whose items are short: Windows keeps 2560 bytes in one.
//!
//! A short value is its own item. A long one is cut into parts, and the item itself becomes a *manifest* that names
//! them: `lanyard-parts:1:GENERATION:COUNT:DIGEST`. Generations alternate between two sets of names, so a new value is
//! written beside the old one, and the single write of the manifest is what replaces it. A writer that dies before has
//! changed nothing; parts that do not match the manifest's digest are never taken for a value.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What the keychain takes in one item, in bytes.
const LIMIT: usize = 2560;

/// How a manifest begins. A value that begins so is stored in parts, whatever its length.
const MARK: &str = "lanyard-parts:1:";

/// Single items, by name.
pub(super) trait Items {
    /// Why an item could not be had.
    type Error;
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Self::Error>;
    fn write(&self, name: &str, value: &[u8]) -> Result<(), Self::Error>;
    /// `false` where there was none.
    fn delete(&self, name: &str) -> Result<bool, Self::Error>;
    /// The parts and the manifest do not belong together.
    fn damaged(&self) -> Self::Error;
}

#[derive(Debug, PartialEq, Eq, Clone)]
struct Manifest {
    generation: u64,
    count: usize,
    digest: String,
}

impl Manifest {
    fn of(value: &[u8], generation: u64) -> Self {
        Self { generation, count: value.len().div_ceil(LIMIT), digest: digest(value) }
    }

    fn text(&self) -> String {
        format!("{MARK}{}:{}:{}", self.generation, self.count, self.digest)
    }

    /// `None` where the text begins like a manifest and is none.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut fields = std::str::from_utf8(text).ok()?.strip_prefix(MARK)?.split(':');
        let parsed = Self {
            generation: fields.next()?.parse().ok()?,
            count: fields.next()?.parse().ok()?,
            digest: fields.next()?.to_owned(),
        };
        fields.next().is_none().then_some(parsed)
    }

    fn part(&self, name: &str, number: usize) -> String {
        part(name, self.generation, number)
    }
}

fn part(name: &str, generation: u64, number: usize) -> String {
    format!("{name}#{}.{number}", generation % 2)
}

fn digest(value: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(value))
}

/// The value under `name`.
pub(super) fn read<I: Items>(items: &I, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, I::Error> {
    let Some(mut head) = items.read(name)? else { return Ok(None) };
    loop {
        if !head.starts_with(MARK.as_bytes()) {
            return Ok(Some(head));
        }
        let manifest = Manifest::parse(&head).ok_or_else(|| items.damaged())?;
        if let Some(value) = join(items, name, &manifest)? {
            return Ok(Some(value));
        }
        // A writer may have put a new value in place meanwhile. If the manifest is still the same, nobody did.
        match items.read(name)? {
            None => return Ok(None),
            Some(now) if *now == *head => return Err(items.damaged()),
            Some(now) => head = now,
        }
    }
}

/// The parts of a manifest put together, or `None` where one is missing or is not what the manifest was made for.
fn join<I: Items>(items: &I, name: &str, manifest: &Manifest) -> Result<Option<Zeroizing<Vec<u8>>>, I::Error> {
    let mut value = Zeroizing::new(Vec::with_capacity(manifest.count.min(4096) * LIMIT));
    for number in 0..manifest.count {
        match items.read(&manifest.part(name, number))? {
            Some(part) => value.extend_from_slice(&part),
            None => return Ok(None),
        }
    }
    Ok((digest(&value) == manifest.digest).then_some(value))
}

/// Puts `value` under `name`; until the last write, the old value stands.
pub(super) fn write<I: Items>(items: &I, name: &str, value: &[u8]) -> Result<(), I::Error> {
    let before = items.read(name)?.and_then(|head| Manifest::parse(&head));
    let generation = before.map_or(0, |old| old.generation.wrapping_add(1));
    if value.len() <= LIMIT && !value.starts_with(MARK.as_bytes()) {
        items.write(name, value)?;
        sweep(items, name, generation)?;
    } else {
        let manifest = Manifest::of(value, generation);
        for (number, bytes) in value.chunks(LIMIT).enumerate() {
            items.write(&manifest.part(name, number), bytes)?;
        }
        items.write(name, manifest.text().as_bytes())?;
    }
    sweep(items, name, generation.wrapping_add(1))
}

/// Empties `name`; `false` where it was empty.
pub(super) fn remove<I: Items>(items: &I, name: &str) -> Result<bool, I::Error> {
    let was_there = items.delete(name)?;
    sweep(items, name, 0)?;
    sweep(items, name, 1)?;
    Ok(was_there)
}

/// Deletes the parts of a generation, the last one first: a sweep that is cut short leaves parts that the next one
/// finds, because it looks for the end of an unbroken row.
fn sweep<I: Items>(items: &I, name: &str, generation: u64) -> Result<(), I::Error> {
    let mut count = 0;
    while items.read(&part(name, generation, count))?.is_some() {
        count += 1;
    }
    (0..count).rev().try_for_each(|number| items.delete(&part(name, generation, number)).map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;

    /// Items in memory, with a number of changes after which the writer dies.
    #[derive(Default)]
    struct Fake {
        items: RefCell<BTreeMap<String, Vec<u8>>>,
        changes_left: Cell<Option<usize>>,
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Stop {
        Died,
        Damaged,
    }

    impl Fake {
        fn change(&self) -> Result<(), Stop> {
            match self.changes_left.get() {
                Some(0) => Err(Stop::Died),
                left => {
                    self.changes_left.set(left.map(|left| left - 1));
                    Ok(())
                }
            }
        }
        fn value(&self) -> Result<Option<Vec<u8>>, Stop> {
            read(self, "work").map(|found| found.map(|value| value.to_vec()))
        }
    }

    impl Items for Fake {
        type Error = Stop;
        fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Stop> {
            Ok(self.items.borrow().get(name).cloned().map(Zeroizing::new))
        }
        fn write(&self, name: &str, value: &[u8]) -> Result<(), Stop> {
            assert!(value.len() <= LIMIT);
            self.change()?;
            self.items.borrow_mut().insert(name.into(), value.into());
            Ok(())
        }
        fn delete(&self, name: &str) -> Result<bool, Stop> {
            self.change()?;
            Ok(self.items.borrow_mut().remove(name).is_some())
        }
        fn damaged(&self) -> Stop {
            Stop::Damaged
        }
    }

    fn value(length: usize, seed: u8) -> Vec<u8> {
        (0..=250).cycle().take(length).map(|byte: u8| byte ^ seed).collect()
    }

    #[test]
    fn every_length_comes_back_and_nothing_is_left() {
        let items = Fake::default();
        for length in [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 3 * LIMIT, 80_000, 5, 10_000, 9_000] {
            write(&items, "work", &value(length, 1)).unwrap();
            assert_eq!(items.value(), Ok(Some(value(length, 1))), "{length}");
            let parts = if length <= LIMIT { 0 } else { length.div_ceil(LIMIT) };
            assert_eq!(items.items.borrow().len(), 1 + parts, "{length}");
        }
        assert_eq!(remove(&items, "work"), Ok(true));
        assert!(items.items.borrow().is_empty());
        assert_eq!(remove(&items, "work"), Ok(false));
    }

    #[test]
    fn a_value_that_looks_like_a_manifest_is_only_a_value() {
        let items = Fake::default();
        let lookalike = format!("{MARK}0:1:00");
        write(&items, "work", lookalike.as_bytes()).unwrap();
        assert_eq!(items.value(), Ok(Some(lookalike.into_bytes())));
    }

    #[test]
    fn a_writer_that_dies_anywhere_leaves_the_old_value_or_the_new_one() {
        let lengths = [0, 100, LIMIT + 1, 4 * LIMIT, 9 * LIMIT + 7];
        for (old, new) in lengths.into_iter().flat_map(|old| lengths.map(|new| (old, new))) {
            for changes in 0..30 {
                let items = Fake::default();
                write(&items, "work", &value(old, 1)).unwrap();
                write(&items, "work", &value(old, 2)).unwrap();
                items.changes_left.set(Some(changes));
                let outcome = write(&items, "work", &value(new, 3));
                let found = items.value().unwrap().unwrap();
                assert!(
                    found == value(new, 3) || (outcome.is_err() && found == value(old, 2)),
                    "{old} {new} {changes}"
                );
                // The next writer cleans up after the dead one.
                items.changes_left.set(None);
                write(&items, "work", b"short").unwrap();
                assert_eq!(items.items.borrow().len(), 1, "{old} {new} {changes}");
            }
        }
    }

    #[test]
    fn parts_that_do_not_belong_together_are_damage() {
        let items = Fake::default();
        write(&items, "work", &value(9_000, 1)).unwrap();
        let whole = items.items.borrow().clone();
        for name in whole.keys().filter(|name| *name != "work") {
            *items.items.borrow_mut() = whole.clone();
            items.items.borrow_mut().remove(name);
            assert_eq!(items.value(), Err(Stop::Damaged));
            items.items.borrow_mut().insert(name.clone(), value(LIMIT, 9));
            assert_eq!(items.value(), Err(Stop::Damaged));
        }
        for manifest in ["lanyard-parts:1:", "lanyard-parts:1:x:1:y", "lanyard-parts:1:0:99999999:00"] {
            items.items.borrow_mut().insert("work".into(), manifest.into());
            assert_eq!(items.value(), Err(Stop::Damaged));
        }
    }

    #[test]
    fn names_with_a_common_prefix_do_not_share_parts() {
        let items = Fake::default();
        write(&items, "work", &value(9_000, 1)).unwrap();
        write(&items, "work2", &value(9_000, 2)).unwrap();
        remove(&items, "work").unwrap();
        assert_eq!(read(&items, "work2").unwrap().unwrap().to_vec(), value(9_000, 2));
    }
}
