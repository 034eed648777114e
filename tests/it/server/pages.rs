//! The pages: who may send a form, how often one may guess, and that a page does nothing but what it says.

use super::guessing::guessed;
use super::served::{Browser, LOGIN, PASSPHRASE, Served};
use crate::wire;

#[test]
fn a_form_of_another_site_is_refused() {
    let served = Served::new(&[]);
    let browser = served.browser();
    let own = format!("Origin: {}", served.url);
    let word = browser.form("/").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let fields = [("word", word.as_str())];
    for headers in [
        vec![],
        vec!["Origin: null"],
        vec!["Origin: https://evil.example"],
        vec!["Origin: http://127.0.0.1"],
        vec![own.as_str(), "Sec-Fetch-Site: cross-site"],
        vec![own.as_str(), "Sec-Fetch-Site: same-site"],
        vec!["Origin: null", "Sec-Fetch-Site: none"],
    ] {
        let sign_in = browser.post_with("/sign-in", &[("login", LOGIN), ("passphrase", PASSPHRASE)], &headers);
        assert_eq!((sign_in.status(), sign_in.header("set-cookie")), (403, None), "{headers:?}");
        assert_eq!(browser.post_with("/sign-out", &fields, &headers).status(), 403, "{headers:?}");
    }
    assert!(browser.get("/").text().contains(LOGIN), "still signed in");
    // Without the word of the session nothing happens, either.
    assert_eq!(browser.post("/sign-out", &[("word", "other")]).status(), 303);
    assert!(browser.get("/").text().contains(LOGIN));
    assert_eq!(browser.post("/sign-out", &fields).status(), 303);
    assert_eq!(browser.get("/").status(), 303, "signed out");
}

#[test]
fn guessing_is_slow_and_tells_nothing() {
    let served = Served::new(&[]);
    let mut browser = Browser::new(&served.url);
    let unknown = browser.sign_in("nobody@example.com", "wrong wrong wrong");
    let wrong = browser.sign_in(LOGIN, "wrong wrong wrong");
    assert_eq!((unknown.status(), wrong.status()), (403, 403));
    let without = |page: &str| page.replace("nobody@example.com", "LOGIN").replace(LOGIN, "LOGIN");
    assert_eq!(without(&unknown.text()), without(&wrong.text()));
    // However it is written, it is one account.
    let spellings = ["Alice@Example.com", " alice@example.com", "ALICE@EXAMPLE.COM ", "alice@example.com"];
    let mut statuses = Vec::new();
    for number in 0..8 {
        statuses.push(browser.sign_in(spellings[number % 4], "wrong wrong wrong").status());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    guessed(&served, &format!("sign-in:{LOGIN}@127.0.0.0/24"));
    let spoofed = ["X-Forwarded-For: 198.51.100.7", &format!("Origin: {}", served.url)];
    let fields = [("login", LOGIN), ("passphrase", PASSPHRASE)];
    assert_eq!(browser.post_with("/sign-in", &fields, &spoofed).status(), 429);
}

#[test]
fn a_preset_cookie_is_not_taken_over() {
    let served = Served::new(&[]);
    let first = served.browser();
    let preset = first.cookie().unwrap().to_owned();
    let headers = [format!("Origin: {}", served.url), format!("Cookie: {preset}")];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let fields = [("login", LOGIN), ("passphrase", PASSPHRASE)];
    let again = Browser::new(&served.url).post_with("/sign-in", &fields, &headers);
    let fresh = again.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_ne!(fresh, preset);
    assert_eq!(first.get("/").status(), 303, "the former session has ended");
}

#[test]
fn a_page_can_do_nothing_but_what_it_says() {
    let served = Served::new(&[]);
    let browser = served.browser();
    for path in ["/", "/sign-in", "/device", "/nowhere", "/healthz", "/setup?token=x"] {
        let page = browser.get(path);
        let policy = page.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        for (name, value) in
            [("cache-control", "no-store"), ("referrer-policy", "no-referrer"), ("x-frame-options", "DENY")]
        {
            assert_eq!(page.header(name), Some(value), "{path}");
        }
        for forbidden in ["<script", "style=", "onclick", "src=", "http://cdn", "@import"] {
            assert!(!page.text().contains(forbidden), "{path} has {forbidden}");
        }
    }
    // Where a sign-in goes on to is a page of this server.
    for next in ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let next: String = wire::form(&[("next", next)]);
        let sent = browser.get(&format!("/sign-in?{next}"));
        assert_eq!((sent.status(), sent.header("location")), (303, Some("/")), "{next}");
    }
    let hostile = Browser::new(&served.url).sign_in("<script>alert(1)</script>", "wrong wrong wrong");
    assert!(!hostile.text().contains("<script"), "{}", hostile.text());
}

#[test]
fn a_path_that_could_be_read_in_two_ways_is_refused() {
    let served = Served::new(&[]);
    let address = served.url.strip_prefix("http://").unwrap();
    for target in ["/../healthz", "/%2e%2e/healthz", "//healthz", "/healthz/", "/healthz;x", "/a/%2fhealthz"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        assert_eq!(wire::send_raw(address, request.as_bytes()).unwrap().status(), 400, "{target}");
    }
    for (bad, why) in [
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two lengths"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "a chunk that is none"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n", "a folded header"),
        (&format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 << 10)), "a long head"),
        (&format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: 1\r\n".repeat(200)), "many headers"),
    ] {
        let status = wire::send_raw(address, bad.as_bytes()).map_or(400, |answer| answer.status());
        assert!((400..500).contains(&status) || status == 303 && why.starts_with("a chunk"), "{why}: {status}");
    }
    assert_eq!(wire::get(&format!("{}/healthz", served.url)).unwrap().status(), 200);
}
