//! The Linux kernel keyring: secrets in kernel memory, gone after a reboot, never on a disk.
//!
//! Keys live in the user's persistent keyring (persistent-keyring(7)), which outlasts a logout by three days from its
//! last use, or, where the kernel was built without it, in the user keyring (user-keyring(7)), which lasts as long as
//! any process of the user. Neither is searched through the session keyring: over ssh, in a container or under systemd
//! that may be private or missing, and then a key that was just written is refused as `AccessDenied`, because a key is
//! fully usable only by who *possesses* it. Linking the keyring into the process's own keyring is what makes this
//! process possess it, whatever session it runs in, and leaves no trace when the process ends.

use linux_keyutils::{KeyError, KeyRing, KeyRingIdentifier};
use zeroize::Zeroizing;

use super::{Choice, Reason, Secret, SecretStore, Slot, StoreError};

/// The kernel's limit for one key of type `user`.
const MAX_KEY: usize = 32767;

/// What a key holds between being emptied and being gone; no secret is a single zero byte.
const EMPTIED: &[u8] = &[0];

/// The kernel keyring of this user.
#[derive(Debug)]
pub struct Keyutils;

impl SecretStore for Keyutils {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        let read = || keyring()?.search(&description(slot))?.read_to_vec();
        let Some(bytes) = found(read()).map_err(|error| failure(error, "read", slot))? else { return Ok(None) };
        match String::from_utf8(bytes) {
            Ok(text) if text.as_bytes() == EMPTIED => Ok(None),
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(StoreError::Damaged { store: Choice::Keyutils.title(), name: slot.name.clone() })
            }
        }
    }

    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        let value = value.expose();
        if value.len() > MAX_KEY {
            return Err(StoreError::TooLong { store: Choice::Keyutils.title(), size: value.len() });
        }
        let write = || keyring()?.add_key(&description(slot), value.as_bytes());
        write().map(|_| ()).map_err(|error| failure(error, "save", slot))
    }

    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        let unlink = || {
            let keyring = keyring()?;
            let key = keyring.search(&description(slot))?;
            // The kernel collects an unlinked key some time later, and until then its bytes count towards the user's
            // quota, which is 20 kB for everybody but root. Emptied first, it frees them (and wipes them) now.
            key.update(&EMPTIED)?;
            keyring.unlink_key(key)
        };
        found(unlink()).map(|gone| gone.is_some()).map_err(|error| failure(error, "remove", slot))
    }

    fn probe(&self, size: usize) -> Result<(), StoreError> {
        super::round_trip(self, size)
    }

    fn choice(&self) -> Choice {
        Choice::Keyutils
    }
}

/// The keyring that outlasts this process, linked into the process's own.
fn keyring() -> Result<KeyRing, KeyError> {
    let process = KeyRing::from_special_id(KeyRingIdentifier::Process, true)?;
    if let Ok(persistent) = KeyRing::get_persistent(KeyRingIdentifier::Process) {
        return Ok(persistent);
    }
    process.link_keyring_id(KeyRingIdentifier::User)?;
    KeyRing::from_special_id(KeyRingIdentifier::User, false)
}

fn description(slot: &Slot) -> String {
    format!("lanyard:{}", slot.name)
}

/// A key that was revoked, expired or removed is no key.
fn found<T>(outcome: Result<T, KeyError>) -> Result<Option<T>, KeyError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(KeyError::KeyDoesNotExist | KeyError::KeyRevoked | KeyError::KeyExpired) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `ENOSYS`: a kernel without keyrings, or a sandbox that says so.
const NOT_IMPLEMENTED: i32 = 38;

fn failure(error: KeyError, action: &'static str, slot: &Slot) -> StoreError {
    let store = Choice::Keyutils.title();
    let reason = |text: &str| Some(Reason(text.to_owned()));
    match error {
        KeyError::Unknown(NOT_IMPLEMENTED) | KeyError::OperationNotSupported => {
            StoreError::Absent { store, cause: reason("this kernel has no keyrings") }
        }
        KeyError::PermissionDenied => {
            StoreError::Absent { store, cause: reason("the system forbids keyrings here, as containers often do") }
        }
        other => {
            let text = match other {
                KeyError::QuotaExceeded => "the user's quota for keys is used up".to_owned(),
                KeyError::AccessDenied => "the key belongs to somebody else".to_owned(),
                KeyError::Unknown(number) => std::io::Error::from_raw_os_error(number).to_string(),
                named => format!("{named:?}"),
            };
            StoreError::Refused { store, action, name: slot.name.clone(), cause: Some(Reason(text)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract::secret_store_contract;
    use super::*;

    /// A kernel that has keyrings and lets us use them holds to the contract; any other says clearly that it does not.
    #[test]
    fn keeps_the_contract_or_says_why_it_cannot() {
        let slot = Slot { name: "test-can-it".into(), label: String::new() };
        match Keyutils.get(&slot) {
            Ok(_) => secret_store_contract(|| Box::new(Keyutils)),
            Err(error) => {
                assert!(matches!(error, StoreError::Absent { cause: Some(_), .. }), "{error:?}");
            }
        }
    }

    /// The test runs itself again: the inner process reads what the outer one wrote, and owns nothing else of it.
    #[test]
    fn another_process_of_the_user_reads_what_was_written() {
        const INSIDE: &str = "LANYARD_TEST_KEYUTILS";
        let slot = Slot { name: "test-across".into(), label: String::new() };
        if crate::os::Env::of_process(None).var(INSIDE).is_some() {
            assert_eq!(Keyutils.get(&slot).unwrap().unwrap().expose(), "canary");
            assert!(Keyutils.remove(&slot).unwrap());
            return;
        }
        if Keyutils.set(&slot, &Secret::new("canary".into())).is_err() {
            // The contract's test has asserted what a system without keyrings says.
            return;
        }
        let inner = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "secret::keyutils::tests::another_process_of_the_user_reads_what_was_written"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        assert!(inner.status.success(), "{}", String::from_utf8_lossy(&inner.stdout));
        assert!(Keyutils.get(&slot).unwrap().is_none());
    }

    #[test]
    fn a_value_that_the_kernel_cannot_hold_is_refused_before_it_is_tried() {
        let slot = Slot { name: "test-long".into(), label: String::new() };
        let long = Secret::new("x".repeat(MAX_KEY + 1));
        assert!(matches!(Keyutils.set(&slot, &long), Err(StoreError::TooLong { size: 32768, .. })));
    }
}
