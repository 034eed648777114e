//! Items of the keychain, through the `keyring` library, without a deadline.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use keyring_core::{Entry, Error};
use zeroize::Zeroizing;

#[cfg(windows)]
use super::super::parts;
use super::super::{Choice, Reason, Secret, SecretStore, Slot, StoreError, round_trip};

/// The attribute that all items of lanyard share.
const SERVICE: &str = "lanyard";

/// Whether the library has opened the keychain in this process.
static IS_OPEN: AtomicBool = AtomicBool::new(false);

/// Opens the platform's keychain, once per process.
pub(super) fn open() -> Result<(), StoreError> {
    match keyring::Entry::store_status() {
        Ok(()) => {
            IS_OPEN.store(true, Ordering::Release);
            Ok(())
        }
        Err(error) => Err(StoreError::Absent { store: Choice::Keychain.title(), cause: Some(reason(error)) }),
    }
}

/// Opens whatever way there is to read items, once per process.
pub(super) fn open_to_read() -> Result<(), StoreError> {
    #[cfg(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android"))))]
    if !IS_OPEN.load(Ordering::Acquire) && super::session::open() {
        return Ok(());
    }
    open()
}

/// The item of a slot, by the way that [`open_to_read`] opened, or by the library where that finds nothing.
pub(super) fn read_now(slot: &Slot) -> Result<Option<Secret>, StoreError> {
    #[cfg(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android"))))]
    if !IS_OPEN.load(Ordering::Acquire)
        && let Some(found) = super::session::read(&attributes(slot))
    {
        return text(found, slot).map(Some);
    }
    open()?;
    Items.get(slot)
}

/// All items of lanyard in the opened keychain.
#[derive(Debug)]
pub(super) struct Items;

impl SecretStore for Items {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        #[cfg(windows)]
        let found = parts::read(&Parts { action: "read", slot }, &slot.name)?;
        #[cfg(not(windows))]
        let found = read(slot).map_err(|error| failure(&error, "read", slot))?;
        found.map(|bytes| text(bytes, slot)).transpose()
    }

    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        #[cfg(windows)]
        parts::write(&Parts { action: "save", slot }, &slot.name, value.expose().as_bytes())?;
        #[cfg(not(windows))]
        write(slot, value.expose().as_bytes()).map_err(|error| failure(&error, "save", slot))?;
        Ok(())
    }

    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        #[cfg(windows)]
        return parts::remove(&Parts { action: "remove", slot }, &slot.name);
        #[cfg(not(windows))]
        delete(slot).map_err(|error| failure(&error, "remove", slot))
    }

    fn probe(&self, size: usize) -> Result<(), StoreError> {
        round_trip(self, size)
    }

    fn choice(&self) -> Choice {
        Choice::Keychain
    }
}

/// What an item holds is text; all that is kept there is.
fn text(mut bytes: Zeroizing<Vec<u8>>, slot: &Slot) -> Result<Secret, StoreError> {
    String::from_utf8(std::mem::take(&mut *bytes)).map(Secret::new).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        damaged(slot)
    })
}

/// What an item is found by.
#[cfg(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android"))))]
fn attributes(slot: &Slot) -> HashMap<&'static str, &str> {
    HashMap::from([("service", SERVICE), ("username", slot.name.as_str())])
}

/// The items that one value of `slot` is spread over.
#[cfg(windows)]
struct Parts<'a> {
    action: &'static str,
    slot: &'a Slot,
}

#[cfg(windows)]
impl Parts<'_> {
    fn named(&self, name: &str) -> Slot {
        Slot { name: name.to_owned(), label: self.slot.label.clone() }
    }
}

#[cfg(windows)]
impl parts::Items for Parts<'_> {
    type Error = StoreError;
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        read(&self.named(name)).map_err(|error| failure(&error, self.action, self.slot))
    }
    fn write(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        write(&self.named(name), value).map_err(|error| failure(&error, self.action, self.slot))
    }
    fn delete(&self, name: &str) -> Result<bool, StoreError> {
        delete(&self.named(name)).map_err(|error| failure(&error, self.action, self.slot))
    }
    fn damaged(&self) -> StoreError {
        damaged(self.slot)
    }
}

fn read(slot: &Slot) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let found = match entry(slot)?.get_secret() {
        // Somebody made a second item with our attributes; either may be meant, and the next `set` leaves one.
        Err(Error::Ambiguous(items)) => items.first().ok_or(Error::NoEntry)?.get_secret(),
        other => other,
    };
    match found {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn write(slot: &Slot, value: &[u8]) -> Result<(), Error> {
    let entry = entry(slot)?;
    let written = match entry.set_secret(value) {
        Err(Error::Ambiguous(items)) => merge(&items, value),
        // The item was deleted between the library's search and its write: there is room for a new one now.
        Err(error) if is_missing(&error) => entry.set_secret(value),
        other => other,
    };
    written?;
    if let Err(error) = relabel(&entry, &slot.label) {
        tracing::debug!(reason = %reason(&error), "the item keeps its old label");
    }
    Ok(())
}

/// Makes one item out of several.
fn merge(items: &[Entry], value: &[u8]) -> Result<(), Error> {
    let (first, rest) = items.split_first().ok_or(Error::NoEntry)?;
    first.set_secret(value)?;
    rest.iter().try_for_each(|item| delete_item(item).map(|_| ()))
}

fn delete(slot: &Slot) -> Result<bool, Error> {
    match entry(slot)?.delete_credential() {
        Err(Error::Ambiguous(items)) => {
            items.iter().try_for_each(|item| delete_item(item).map(|_| ()))?;
            Ok(true)
        }
        other => deleted(other),
    }
}

fn delete_item(item: &Entry) -> Result<bool, Error> {
    deleted(item.delete_credential())
}

fn deleted(outcome: Result<(), Error>) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Free: an entry is an address, and nothing is asked of the keychain.
fn entry(slot: &Slot) -> Result<Entry, Error> {
    let modifiers: HashMap<&str, &str> = if cfg!(windows) {
        // The library's default would carry the items to every machine of a roaming account.
        HashMap::from([("persistence", "local")])
    } else if cfg!(target_vendor = "apple") || slot.label.is_empty() {
        HashMap::new()
    } else {
        HashMap::from([("label", slot.label.as_str())])
    };
    Entry::new_with_modifiers(SERVICE, &slot.name, &modifiers)
}

/// An item that existed already keeps the label it was made with, so the label follows the account here.
#[cfg(all(unix, not(any(target_os = "macos", target_os = "ios", target_os = "android"))))]
fn relabel(entry: &Entry, label: &str) -> Result<(), Error> {
    use zbus_secret_service_keyring_store::cred::Specifier;
    match entry.as_any().downcast_ref::<Specifier>() {
        Some(item) if !label.is_empty() && item.get_label()? != label => item.set_label(label),
        _ => Ok(()),
    }
}

#[cfg(windows)]
fn relabel(entry: &Entry, label: &str) -> Result<(), Error> {
    if entry.get_attributes()?.get("comment").is_some_and(|comment| comment == label) {
        return Ok(());
    }
    entry.update_attributes(&HashMap::from([("comment", label)]))
}

/// The macOS library offers no label; Keychain Access shows service and account, which are enough to find the item.
#[cfg(target_vendor = "apple")]
#[expect(clippy::unnecessary_wraps, reason = "the other platforms can fail here")]
fn relabel(_: &Entry, _: &str) -> Result<(), Error> {
    Ok(())
}

/// Whether the item is not there, or no longer there since the library looked it up.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::NoEntry)
        || matches!(error, Error::PlatformFailure(cause) if says(&**cause, &["NoSuchObject"]))
}

fn damaged(slot: &Slot) -> StoreError {
    StoreError::Damaged { store: Choice::Keychain.title(), name: slot.name.clone() }
}

/// Puts the library's error into the user's words. The bytes that some variants carry are never shown.
fn failure(error: &Error, action: &'static str, slot: &Slot) -> StoreError {
    let store = Choice::Keychain.title();
    let cause = Some(reason(error));
    match error {
        Error::NoDefaultStore => StoreError::Absent { store, cause },
        Error::NoStorageAccess(why) if says(&**why, &["result not returned"]) => {
            StoreError::Absent { store, cause: Some(Reason("the keychain service has no default collection".into())) }
        }
        Error::NoStorageAccess(_) => StoreError::Locked { store, cause },
        Error::PlatformFailure(why) if says(&**why, &["IsLocked", "object locked", "before prompt completed"]) => {
            StoreError::Locked { store, cause }
        }
        Error::PlatformFailure(why) if says(&**why, &GONE) => StoreError::Absent { store, cause },
        Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::BadStoreFormat(_) => damaged(slot),
        _ => StoreError::Refused { store, action, name: slot.name.clone(), cause },
    }
}

/// What the bus or the library says when the keychain's process or the bus itself went away.
const GONE: [&str; 7] =
    ["ServiceUnknown", "NameHasNoOwner", "NoReply", "Disconnected", "UnknownObject", "Broken pipe", "I/O error"];

/// Whether an error's text has one of these words. The libraries' error types are their own dependencies' types.
fn says(error: &(dyn std::error::Error + 'static), words: &[&str]) -> bool {
    let text = error.to_string();
    words.iter().any(|word| text.contains(word))
}

fn reason(error: &Error) -> Reason {
    match error {
        Error::PlatformFailure(cause) | Error::NoStorageAccess(cause) => Reason::of(&**cause),
        Error::BadEncoding(_) | Error::BadDataFormat(..) => Reason("the item holds something else".into()),
        Error::Ambiguous(items) => Reason(format!("{} items have the same name", items.len())),
        other => Reason::of(other),
    }
}
