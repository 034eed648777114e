//! Guessing and racing: many at once, many spellings, many networks.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use super::identity::{app, set_up};
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden};
use crate::peers::free_port;
use crate::stage::Stage;
use crate::wire;

const WRONG: &str = "wrong wrong wrong";

/// Signs in from an address that a believed proxy tells.
fn from(served: &Served, address: &str, login: &str, passphrase: &str) -> u16 {
    let headers = [format!("Origin: {}", served.url), format!("X-Forwarded-For: {address}")];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let fields = [("login", login), ("passphrase", passphrase)];
    Browser::new(&served.url).post_with("/sign-in", &fields, &headers).status()
}

#[test]
fn fifty_guesses_are_one_account_and_keep_nobody_out_elsewhere() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let flags = ["--behind-proxy", "127.0.0.1", "--public-url", url.as_str()];
    let served = Served::listening(Stage::new(), &flags, port);
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    let spellings = [LOGIN, "Alice@Example.com", "ALICE@EXAMPLE.COM ", " alice@example.com"];
    let statuses: Vec<u16> =
        (0..50).map(|number| from(&served, "198.51.100.7", spellings[number % 4], WRONG)).collect();
    assert!(statuses[..5].iter().all(|status| *status == 403), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 429).count() > 35, "{statuses:?}");
    let counted = served.sql("SELECT subject FROM attempts WHERE subject LIKE 'sign-in:%' ORDER BY subject");
    let counted = counted.trim();
    let expected = format!("sign-in:{LOGIN}\nsign-in:{LOGIN}@198.51.100.0/24");
    assert_eq!(counted, expected, "one account, whatever it is called");
    assert_eq!(from(&served, "198.51.100.200", LOGIN, PASSPHRASE), 429, "the same network");
    assert_eq!(from(&served, "203.0.113.9", LOGIN, PASSPHRASE), 303, "its owner, from another network");
    // Somebody with a login that is none is counted as one.
    let nobody: Vec<u16> = ["\u{430}lice", "a b", "", "x'y", "\u{ff41}lice", "<b>"]
        .map(|login| from(&served, "192.0.2.7", login, WRONG))
        .to_vec();
    assert!(nobody.contains(&429) || nobody.iter().all(|status| *status == 403), "{nobody:?}");
    assert_eq!(served.sql("SELECT COUNT(*) FROM attempts WHERE subject LIKE 'sign-in:?@%'").trim(), "1");
}

/// A proxy adds a line of its own to what somebody says of themselves: the last one counts, however many there are.
#[test]
fn what_somebody_says_of_themselves_before_a_proxy_does_is_not_believed() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let flags = ["--behind-proxy", "127.0.0.1", "--public-url", url.as_str()];
    let served = Served::listening(Stage::new(), &flags, port);
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    for number in 0..8 {
        let said = format!("X-Forwarded-For: 203.0.113.{number}");
        let headers = [format!("Origin: {url}"), said, "X-Forwarded-For: 198.51.100.7".into()];
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let fields = [("login", LOGIN), ("passphrase", WRONG)];
        Browser::new(&url).post_with("/sign-in", &fields, &headers);
    }
    let counted = served.sql("SELECT subject FROM attempts WHERE subject LIKE 'sign-in:%/24'");
    assert_eq!(counted.trim(), format!("sign-in:{LOGIN}@198.51.100.0/24"));
}

/// A sign-in costs memory and time. Whoever asks for many and goes has none of them done beside the others.
#[test]
fn who_asks_for_much_and_goes_has_no_more_of_it_done_at_a_time() {
    let served = Served::new(&[]);
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    let body = format!("login={}&passphrase={}", LOGIN.replace('@', "%40"), WRONG.replace(' ', "+"));
    let request = format!(
        "POST /sign-in HTTP/1.1\r\nHost: {address}\r\nOrigin: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        served.url,
        body.len(),
    );
    for _ in 0..64 {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // Long enough that it is taken on, and not that it is done.
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(wire::get(&format!("{}/readyz", served.url)).unwrap().status(), 200);
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().split(' ').next().unwrap();
    assert!(peak.parse::<usize>().unwrap() < 400_000, "{peak} kB at most, where each takes 64 MB");
}

/// Whoever goes on guessing in a browser reads that on a page, wherever it is that they guess.
#[test]
fn who_has_to_wait_is_told_so_on_a_page() {
    let served = Served::new(&[]);
    let browser = Browser::new(&served.url);
    let passkey = [("question", "x"), ("answer", "{}")];
    let asked = |path: &str, fields: &[(&str, &str)]| {
        let all = (0..8).map(|_| browser.post(path, fields));
        all.into_iter().find(|answer| answer.status() == 429).unwrap_or_else(|| panic!("{path} has nobody wait"))
    };
    for (path, fields) in
        [("/sign-in/passkey/answer", &passkey[..]), ("/sign-in", &[("login", LOGIN), ("passphrase", WRONG)])]
    {
        let slow = asked(path, fields);
        assert_eq!(slow.header("content-type"), Some("text/html; charset=utf-8"), "{path}: {}", slow.text());
        assert!(slow.text().contains("oo many attempts") && !slow.text().contains("urn:"), "{}", slow.text());
        // The form to sign in is shown again; the page that has no form says when to come back.
        assert!(path == "/sign-in" || slow.header("retry-after").is_some(), "{path}: {:?}", slow.headers);
    }
    let back =
        (0..8).map(|_| browser.get("/sign-in/back/up_none?state=x&code=y")).find(|answer| answer.status() == 429);
    let back = back.expect("it has somebody wait");
    assert_eq!(back.header("content-type"), Some("text/html; charset=utf-8"), "{}", back.text());
    // A form that is none is told of on a page as well.
    let none = browser.post("/sign-in", &[("login", LOGIN)]);
    assert_eq!(
        (none.status(), none.header("content-type")),
        (422, Some("text/html; charset=utf-8")),
        "{}",
        none.text()
    );
}

#[test]
fn a_code_is_good_once_however_many_send_it() {
    let served = Served::new(&[]);
    let (key, _) = set_up(&served.browser());
    let halves: Vec<String> = (0..12)
        .map(|_| {
            let asked = Browser::new(&served.url).sign_in(LOGIN, PASSPHRASE);
            hidden(&asked.text()).into_iter().find(|(name, _)| name == "half").unwrap().1
        })
        .collect();
    let code = app(&key, 1);
    let spellings = [
        code.clone(),
        format!("{} {}", &code[..3], &code[3..]),
        format!(" {code} "),
        format!("{}-{}", &code[..2], &code[2..]),
    ];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = halves
            .iter()
            .enumerate()
            .map(|(number, half)| {
                let (url, code) = (&served.url, &spellings[number % 4]);
                scope.spawn(move || Browser::new(url).post("/sign-in/code", &[("half", half), ("code", code)]).status())
            })
            .collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
}
