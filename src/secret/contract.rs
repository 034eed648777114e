//! What every secret store promises, as one function that each store's tests run.

use super::{Secret, SecretStore, Slot};

fn slot(name: &str) -> Slot {
    Slot { name: name.into(), label: format!("lanyard: {name}") }
}

fn secret(value: &str) -> Secret {
    Secret::new(value.into())
}

/// Runs the contract. `make` gives an empty store, or one that holds none of the names used here.
pub(super) fn secret_store_contract(make: impl Fn() -> Box<dyn SecretStore>) {
    let store = make();
    an_empty_slot_is_empty(&*store);
    a_value_is_kept_replaced_and_removed(&*store);
    names_do_not_mix(&*store);
    awkward_values_come_back_whole(&*store);
    a_probe_leaves_nothing(&*store);
}

fn an_empty_slot_is_empty(store: &dyn SecretStore) {
    assert!(store.get(&slot("contract-none")).unwrap().is_none());
    assert!(!store.remove(&slot("contract-none")).unwrap());
}

fn a_value_is_kept_replaced_and_removed(store: &dyn SecretStore) {
    let work = slot("contract-work");
    store.set(&work, &secret("first")).unwrap();
    assert_eq!(store.get(&work).unwrap().unwrap().expose(), "first");
    let renamed = Slot { label: "lanyard: contract-work (other@example.com)".into(), ..work.clone() };
    store.set(&renamed, &secret("second")).unwrap();
    assert_eq!(store.get(&work).unwrap().unwrap().expose(), "second", "the label is not part of the address");
    assert!(store.remove(&work).unwrap());
    assert!(store.get(&work).unwrap().is_none());
    assert!(!store.remove(&work).unwrap());
}

fn names_do_not_mix(store: &dyn SecretStore) {
    let names = ["contract", "contract-a", "contract-ab", "CONTRACT-A", "client:contract-a", "contract-ä b"];
    for name in names {
        store.set(&slot(name), &secret(name)).unwrap();
    }
    for name in names {
        assert_eq!(store.get(&slot(name)).unwrap().unwrap().expose(), name);
    }
    assert!(store.remove(&slot("contract-a")).unwrap());
    assert!(store.get(&slot("contract-a")).unwrap().is_none());
    for name in names.into_iter().filter(|name| *name != "contract-a") {
        assert_eq!(store.get(&slot(name)).unwrap().unwrap().expose(), name);
        assert!(store.remove(&slot(name)).unwrap());
    }
}

fn awkward_values_come_back_whole(store: &dyn SecretStore) {
    let slot = slot("contract-awkward");
    let long = "0123456789abcde\n".repeat(640);
    for value in ["{\"a\":\"\\\\\"}", "ünïcödé 🔑", " leading and trailing ", "line\r\nline\n", "\u{1}\u{7f}", &long]
    {
        store.set(&slot, &secret(value)).unwrap();
        assert!(store.get(&slot).unwrap().unwrap() == secret(value));
    }
    assert!(store.remove(&slot).unwrap());
}

fn a_probe_leaves_nothing(store: &dyn SecretStore) {
    store.probe(10_000).unwrap();
    for name in ["probe".to_owned(), format!("probe:{}", std::process::id())] {
        assert!(store.get(&slot(&name)).unwrap().is_none());
    }
}
