//! A store in the process's own memory: for tests, and for programs that embed lanyard and keep secrets themselves.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Choice, Secret, SecretStore, Slot, StoreError};

/// Keeps secrets until it is dropped. Held to the same contract as the stores that last.
#[derive(Debug, Default)]
pub struct Memory {
    secrets: Mutex<BTreeMap<String, Secret>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn secrets(&self) -> MutexGuard<'_, BTreeMap<String, Secret>> {
        // A map is whole between two calls, so a thread that panicked elsewhere left nothing half done.
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecretStore for Memory {
    fn get(&self, slot: &Slot) -> Result<Option<Secret>, StoreError> {
        Ok(self.secrets().get(&slot.name).map(Secret::duplicate))
    }

    fn set(&self, slot: &Slot, value: &Secret) -> Result<(), StoreError> {
        self.secrets().insert(slot.name.clone(), value.duplicate());
        Ok(())
    }

    fn remove(&self, slot: &Slot) -> Result<bool, StoreError> {
        Ok(self.secrets().remove(&slot.name).is_some())
    }

    fn probe(&self, size: usize) -> Result<(), StoreError> {
        super::round_trip(self, size)
    }

    /// Stands in for the keychain, whose promises it keeps for as long as it lives.
    fn choice(&self) -> Choice {
        Choice::Keychain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        super::super::contract::secret_store_contract(|| Box::new(Memory::new()));
    }
}
