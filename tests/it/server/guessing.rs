//! Guessing and racing: many at once, many spellings, many networks.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use super::identity::{app, set_up, step};
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden};
use crate::peers::free_port;
use crate::stage::Stage;
use crate::wire::{self, Message};

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
    guessed(&served, &format!("sign-in:{LOGIN}@198.51.100.0/24"));
    assert_eq!(from(&served, "198.51.100.200", LOGIN, PASSPHRASE), 429, "the same network");
    assert_eq!(from(&served, "203.0.113.9", LOGIN, PASSPHRASE), 303, "its owner, from another network");
    // Somebody with a login that is none is counted as one.
    let nobody: Vec<u16> = ["\u{430}lice", "a b", "", "x'y", "\u{ff41}lice", "<b>"]
        .map(|login| from(&served, "192.0.2.7", login, WRONG))
        .to_vec();
    assert!(nobody.contains(&429) || nobody.iter().all(|status| *status == 403), "{nobody:?}");
    assert_eq!(served.sql("SELECT COUNT(*) FROM attempts WHERE subject LIKE 'sign-in:?@%'").trim(), "1");
}

/// The cookie by which a browser is known in which somebody has signed in.
fn known(answer: &Message) -> String {
    let mut cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str());
    let cookie = cookies.find(|cookie| cookie.contains("-known=")).expect("it is known from now on");
    assert!(cookie.ends_with("; Path=/; Max-Age=15552000; HttpOnly; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

/// Sends a form from an address, in a browser that shows this cookie.
fn send(url: &str, address: &str, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Message {
    let headers = [
        format!("Origin: {url}"),
        format!("X-Forwarded-For: {address}"),
        format!("Cookie: {}", if cookie.is_empty() { "other=1" } else { cookie }),
    ];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    Browser::new(url).post_with(path, fields, &headers)
}

/// As if many others had guessed at this for hours: the wait is the longest, so that no pause of the machine outlasts it.
pub fn guessed(served: &Served, subject: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    served.sql(&format!(
        "INSERT INTO attempts (subject, failures, last) VALUES ('{subject}', 400, {now}) \
         ON CONFLICT (subject) DO UPDATE SET failures = attempts.failures + 400, last = {now}"
    ));
}

#[test]
fn who_guesses_from_everywhere_keeps_nobody_waiting_in_their_own_browser() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let served = Served::listening(Stage::new(), &["--behind-proxy", "127.0.0.1", "--public-url", url.as_str()], port);
    let first = known(&served.set_up(PASSPHRASE));
    let sign_in = |address: &str, cookie: &str, passphrase: &str| {
        send(&url, address, cookie, "/sign-in", &[("login", LOGIN), ("passphrase", passphrase)])
    };
    // Some of those networks do it here, the owner's own among them; their number is made up.
    std::thread::scope(|scope| {
        for network in 0..4 {
            let guess = move |_| sign_in(&format!("203.0.{network}.7"), "", WRONG).status();
            scope.spawn(move || assert!((0..5).map(guess).all(|status| status == 403), "{network}"));
        }
    });
    let failures = served.sql(&format!("SELECT failures FROM attempts WHERE subject = 'sign-in:{LOGIN}'"));
    assert_eq!(failures.trim(), "20");
    guessed(&served, &format!("sign-in:{LOGIN}"));
    for (address, cookie) in [("203.0.1.8", ""), ("198.51.100.9", ""), ("198.51.100.9", &format!("{first}0"))] {
        let slow = sign_in(address, cookie, PASSPHRASE);
        assert_eq!((slow.status(), slow.header("set-cookie")), (429, None), "{cookie}");
    }
    let entered = sign_in("203.0.1.8", &first, PASSPHRASE);
    assert_eq!(entered.status(), 303, "{}", entered.text());
    let second = known(&entered);
    assert_ne!(second, first);
    assert_eq!(sign_in("198.51.100.9", "", PASSPHRASE).status(), 429, "that does not help whoever guesses");

    // A cookie gives its few slips and no more, and those make nobody wait who has another.
    let slips: Vec<u16> = (0..8).map(|_| sign_in("192.0.2.7", &first, WRONG).status()).collect();
    assert!(slips[..5].iter().all(|status| *status == 403) && slips.contains(&429), "{slips:?}");
    let counted = served.sql("SELECT COUNT(*) FROM attempts WHERE subject LIKE '%@192.0.2.0/24'");
    assert_eq!(counted.trim(), "0", "they are the browser's, and not the network's");
    let entered = sign_in("192.0.2.7", &second, PASSPHRASE);
    assert_eq!(entered.status(), 303, "{}", entered.text());
    let third = known(&entered);
    // It opens nothing.
    let page = wire::send("GET", &format!("{url}/account"), &[&format!("Cookie: {third}")], "").unwrap();
    assert_eq!(page.status(), 303);

    // Who signs out keeps it; who has another passphrase has another.
    let mut browser = Browser::new(&url);
    browser.keep(entered.header("set-cookie").unwrap().split(';').next().unwrap());
    let word = browser.form("/account").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let new = "another correct horse";
    let fields = [("word", word.as_str()), ("old", PASSPHRASE), ("new", new), ("again", new)];
    browser.keep(&format!("{}; {third}", browser.cookie().unwrap()));
    let changed = browser.post("/account/passphrase", &fields);
    assert_eq!(changed.status(), 303, "it does not wait, either: {}", changed.text());
    let fourth = known(&changed);
    assert_eq!(sign_in("192.0.2.7", &third, new).status(), 429);
    browser.keep(changed.header("set-cookie").unwrap().split(';').next().unwrap());
    let word = browser.form("/account").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let out = browser.post("/sign-out", &[("word", &word)]);
    assert!(!out.headers.iter().any(|(_, value)| value.contains("-known=")), "{:?}", out.headers);
    assert_eq!(sign_in("192.0.2.7", &fourth, new).status(), 303);
}

#[test]
fn a_second_factor_is_not_waited_for_in_the_owners_own_browser() {
    let served = Served::new(&[]);
    let mut owner = Browser::new(&served.url);
    let entered = owner.sign_in(LOGIN, PASSPHRASE);
    let cookie = known(&entered);
    let (_, codes) = set_up(&owner);
    let half = |cookie: &str| {
        let asked = send(&served.url, "", cookie, "/sign-in", &[("login", LOGIN), ("passphrase", PASSPHRASE)]);
        assert_eq!((asked.status(), asked.header("set-cookie")), (200, None), "{}", asked.text());
        hidden(&asked.text()).into_iter().find(|(name, _)| name == "half").unwrap().1
    };
    let person = served.sql("SELECT id FROM people");
    guessed(&served, &format!("second-factor:{}", person.trim()));
    let code = |half: &str, cookie: &str, code: &str| {
        send(&served.url, "", cookie, "/sign-in/code", &[("half", half), ("code", code)])
    };
    told("/sign-in/code", &code(&half(""), "", &codes[0]));
    let whole = half(&cookie);
    assert_eq!(code(&whole, "", &codes[0]).status(), 429, "it is the browser that counts");
    let entered = code(&whole, &cookie, &codes[0]);
    assert_eq!(entered.status(), 303, "{}", entered.text());
    assert_ne!(known(&entered), cookie);
    // Where it is taken away, and where somebody shows once more who they are, as well.
    owner.keep(&format!("{}; {}", entered.header("set-cookie").unwrap().split(';').next().unwrap(), known(&entered)));
    let word = owner.form("/account/prove").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let proved = owner.post("/account/prove", &[("word", &word), ("code", &codes[1])]);
    assert_eq!(proved.status(), 303, "{}", proved.text());
    owner.keep(&format!("{}; {}", proved.header("set-cookie").unwrap().split(';').next().unwrap(), known(&entered)));
    assert_eq!(step(&owner, "remove", &codes[2]).status(), 200);
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

/// Holds an answer for a page that says that somebody has to wait, and how long.
fn told(path: &str, slow: &Message) {
    assert_eq!(slow.status(), 429, "{path}: {}", slow.text());
    assert_eq!(slow.header("content-type"), Some("text/html; charset=utf-8"), "{path}: {}", slow.text());
    assert!(slow.text().contains("oo many attempts") && !slow.text().contains("urn:"), "{}", slow.text());
    let seconds: u32 = slow.header("retry-after").unwrap_or_else(|| panic!("{path} says when")).parse().unwrap();
    assert!((1..=300).contains(&seconds), "{path}: {seconds}");
}

/// Whoever goes on guessing in a browser reads that on a page, wherever it is that they guess.
#[test]
fn who_has_to_wait_is_told_so_on_a_page() {
    let served = Served::new(&[]);
    let alice = served.browser();
    let browser = Browser::new(&served.url);
    let passkey = [("question", "x"), ("answer", "{}")];
    let asked = |path: &str, fields: &[(&str, &str)]| {
        let all = (0..8).map(|_| browser.post(path, fields));
        all.into_iter().find(|answer| answer.status() == 429).unwrap_or_else(|| panic!("{path} has nobody wait"))
    };
    let link = [("token", "x"), ("passphrase", WRONG), ("again", WRONG)];
    for (path, fields) in [
        ("/sign-in/passkey/answer", &passkey[..]),
        ("/sign-in", &[("login", LOGIN), ("passphrase", WRONG)]),
        ("/reset", &link),
        ("/invite", &link),
    ] {
        told(path, &asked(path, fields));
    }
    let back =
        (0..8).map(|_| browser.get("/sign-in/back/up_none?state=x&code=y")).find(|answer| answer.status() == 429);
    let back = back.expect("it has somebody wait");
    assert_eq!(back.header("content-type"), Some("text/html; charset=utf-8"), "{}", back.text());
    // So are those who are signed in, at the code of a device and at their own second factor.
    for (path, fields) in [("/device", [("user_code", "BCDF-GHJK")]), ("/second-factor", [("step", "remove")])] {
        let word = alice.form(path).into_iter().find(|(name, _)| name == "word").expect("a word").1;
        let fields = [&[("word", word.as_str()), ("code", "123456")], &fields[..]].concat();
        let all = (0..8).map(|_| alice.post(path, &fields));
        let slow = all.into_iter().find(|answer| answer.status() == 429);
        told(path, &slow.unwrap_or_else(|| panic!("{path} has nobody wait")));
    }
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
fn who_guesses_at_the_link_of_a_new_server_has_to_wait() {
    let served = Served::fresh(&[]);
    let fields =
        [("token", "x"), ("organization", "Acme"), ("login", LOGIN), ("passphrase", PASSPHRASE), ("again", PASSPHRASE)];
    let browser = Browser::new(&served.url);
    let slow = (0..8).map(|_| browser.post("/setup", &fields)).find(|answer| answer.status() == 429);
    told("/setup", &slow.expect("it has somebody wait"));
    assert_eq!(served.sql("SELECT COUNT(*) FROM people").trim(), "0");
}

#[test]
fn a_program_that_guesses_is_told_when_to_come_back() {
    let served = Served::new(&[]);
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("client_id", "lanyard"),
        ("subject_token", "a.b.c"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("audience", "org_none"),
    ];
    let asked = (0..8).map(|_| wire::post_form(&format!("{}/token", served.url), &fields).unwrap());
    let slow = asked.into_iter().find(|answer| answer.status() == 429).expect("it has somebody wait");
    assert_eq!(slow.json()["error"], "slow_down");
    let seconds: u32 = slow.header("retry-after").expect("when").parse().unwrap();
    assert!((1..=300).contains(&seconds), "{seconds}");
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
