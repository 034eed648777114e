//! A server that is none of ours, or goes astray.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::http::{HeaderMap, Unreachable};

/// A page of a list, with where the next one begins.
fn page(names: &[&str], next: &str) -> Value {
    let shown = |name: &&str| {
        json!({
            "id": format!("cred_{name}"), "name": name, "kind": "generic_env", "project": null, "fields": {},
            "secret_names": [], "tags": [], "note": "", "created": "2027-01-15T08:00:00Z",
            "updated": "2027-01-15T08:00:00Z", "used": null, "verified": null, "expires": null, "checked": "never",
            "version": 1,
        })
    };
    json!({ "items": names.iter().map(shown).collect::<Vec<_>>(), "next": next })
}

#[test]
fn a_list_that_goes_in_a_circle_comes_to_an_end() {
    let pages = [
        vec![page(&["a", "b"], "1")],
        vec![page(&["a"], "1"), page(&["b"], "2")],
        vec![page(&["b"], "1"), page(&["a"], "2"), page(&["c"], "3")],
    ];
    for pages in pages {
        let count = AtomicUsize::new(0);
        let http = |_: Request| -> Result<Response, Unreachable> {
            let number = count.fetch_add(1, Ordering::Relaxed);
            assert!(number < 10, "it goes on for ever");
            let body = pages[number % pages.len()].to_string().into_bytes().into();
            Ok(Response { status: 200, headers: HeaderMap::new(), body })
        };
        let base = Url::parse("https://lanyard.example/api/v1").unwrap();
        let remote = Remote::new(base, &http, Box::new(|_| Ok(Secret::new("token".into()))));
        assert!(remote.list().is_err(), "{pages:?}");
    }
}

#[test]
fn a_list_of_several_pages_is_seen_whole() {
    let count = AtomicUsize::new(0);
    let mut last = page(&["c"], "");
    last["next"] = Value::Null;
    let pages = [page(&["a", "b"], "1"), last];
    let http = |_: Request| -> Result<Response, Unreachable> {
        let body = pages[count.fetch_add(1, Ordering::Relaxed)].to_string().into_bytes().into();
        Ok(Response { status: 200, headers: HeaderMap::new(), body })
    };
    let base = Url::parse("https://lanyard.example/api/v1").unwrap();
    let remote = Remote::new(base, &http, Box::new(|_| Ok(Secret::new("token".into()))));
    assert_eq!(remote.list().unwrap().len(), 3);
}
