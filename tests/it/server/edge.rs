//! The edge: what is not HTTP as it should be is refused before it is read, what is slow ends, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::served::{Served, token};
use crate::peers::free_port;
use crate::stage::Stage;
use crate::wire;

/// Sends bytes and reads until the other side closes: the first line of the answer, where there is one.
fn closed_after(address: &str, bytes: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => answer.extend(&part[..length]),
            Err(failure) if failure.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(failure) => panic!("{:?} stays open: {failure}", String::from_utf8_lossy(bytes)),
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.lines().next().map(str::to_owned)
}

fn refused(address: &str, bytes: &[u8], said: &str) {
    let line = closed_after(address, bytes).unwrap_or_default();
    assert!(line.starts_with("HTTP/1.1 4"), "{said}: {line:?}");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_the_connection_ends() {
    let served = Served::fresh(&[]);
    let address = served.url.strip_prefix("http://").unwrap();
    let head = "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let smuggled = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for lines in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "Content-Length: 9223372036854775808\r\n\r\nabc",
        "Content-Length: 18446744073709551616\r\n\r\nabc",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 3, 3\r\n\r\nabc",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffffff\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "A: b\r\n folded\r\n\r\n",
        "A: b\nC: d\r\n\r\n",
        "A: \0\r\n\r\n",
        "A : b\r\n\r\n",
    ] {
        let bytes = format!("{head}{lines}{smuggled}");
        refused(address, bytes.as_bytes(), lines);
        // The same a byte at a time: nothing depends on how it arrives.
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        if bytes.bytes().all(|byte| stream.write_all(&[byte]).is_ok()) {
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            assert!(!answer.contains("HTTP/1.1 200"), "{lines:?}: {answer}");
        }
    }
    refused(address, b"GET /healthz HTTP/1.1\nHost: localhost\n\n", "line feeds alone");
    refused(address, b"GET /healthz\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", "a zero");
    refused(address, format!("GET /healthz HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(40_000)).as_bytes(), "a long head");
    let many = "a: b\r\n".repeat(101);
    refused(address, format!("GET /healthz HTTP/1.1\r\n{many}\r\n").as_bytes(), "many headers");
    refused(address, format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(40_000)).as_bytes(), "a long path");
    // What is not spoken here is not answered.
    assert_eq!(closed_after(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"), None);
    // What is as it should be is answered, one after the other.
    let good = format!(
        "{head}Transfer-Encoding: chunked\r\n\r\n10\r\ngrant_type=none&\r\n11;x=y\r\nclient_id=lanyard\r\n0\r\n\r\n\
         GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(good.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("unsupported_grant_type") && answer.contains("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_path_or_a_body_that_is_not_plain_is_refused() {
    let served = Served::new(&[]);
    let stage = served.client();
    let bearer = token(&stage);
    for path in [
        "/credential-configs/../healthz",
        "/./healthz",
        "//healthz",
        "/healthz/",
        "/%2e%2e/healthz",
        "/credential-configs%2fx",
        "/healthz;a=b",
        "/credential-configs\\x",
    ] {
        let address = served.url.strip_prefix("http://").unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = wire::send_raw(address, request.as_bytes()).unwrap();
        assert_eq!(answer.status(), 400, "{path}");
    }
    let packed = ["Content-Encoding: gzip"];
    let answer = served.api_with("POST", "/credential-configs", &bearer, "{}", &packed);
    assert_eq!((answer.status(), answer.header("content-type")), (415, Some("application/problem+json")));
    let plain = served.api_with("POST", "/credential-configs", &bearer, "{}", &["Content-Encoding: identity"]);
    assert_eq!(plain.status(), 422, "{}", plain.text());
}

/// Sends a byte a second, where there are some, until the other side closes: whether it does within a minute.
fn is_ended(address: &str, first: &str, more: Option<u8>) -> bool {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(first.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut part = [0; 4096];
    while begun.elapsed() < Duration::from_mins(1) {
        match stream.read(&mut part) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(failure) if failure.kind() == std::io::ErrorKind::Interrupted => {}
            Err(failure) if failure.kind() == std::io::ErrorKind::WouldBlock => {
                if more.is_some_and(|byte| stream.write_all(&[byte]).is_err()) {
                    return true;
                }
            }
            Err(_) => return true,
        }
    }
    false
}

/// How long each is waited for is tested where it is measured, by a clock that no busy machine holds up.
#[test]
fn who_is_slow_goes_and_who_is_not_is_answered_meanwhile() {
    let served = Served::fresh(&[]);
    let address = served.url.strip_prefix("http://").unwrap();
    let form = "POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let cases = [
        ("says nothing", String::new(), None),
        ("sends a head slowly", "GET /healthz HTTP/1.1\r\nA: ".into(), Some(b'a')),
        ("sends a body slowly", format!("{form}Content-Length: 10000\r\n\r\n"), Some(b'a')),
        ("sends chunks slowly", format!("{form}Transfer-Encoding: chunked\r\n\r\n3e8\r\n"), Some(b'a')),
        ("sends no body", format!("{form}Content-Length: 10000\r\n\r\n"), None),
        ("keeps a connection", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".into(), None),
    ];
    let (gone, all) = (AtomicUsize::new(0), cases.len() * 30);
    std::thread::scope(|scope| {
        let slow: Vec<_> = cases
            .iter()
            .flat_map(|case| std::iter::repeat_n(case, 30))
            .map(|(what, first, more)| {
                let gone = &gone;
                scope.spawn(move || {
                    let is_ended = is_ended(address, first, *more);
                    gone.fetch_add(1, Ordering::SeqCst);
                    (*what, is_ended)
                })
            })
            .collect();
        let mut answered = 0;
        while gone.load(Ordering::SeqCst) < all {
            assert_eq!(wire::get(&format!("{}/readyz", served.url)).unwrap().status(), 200);
            // Only while all of them are there: afterwards it could have waited for one of them to go.
            answered += usize::from(gone.load(Ordering::SeqCst) == 0);
            std::thread::sleep(Duration::from_millis(20));
        }
        for (what, is_ended) in slow.into_iter().map(|slow| slow.join().unwrap()) {
            assert!(is_ended, "who {what} is waited for");
        }
        assert!(answered >= 20, "{answered} answers while they were there");
    });
}

#[test]
fn an_address_has_so_many_connections_and_no_more() {
    let served = Served::fresh(&["--connections-per-address", "6"]);
    let address = served.url.strip_prefix("http://").unwrap();
    let mut there: Vec<TcpStream> = (0..6).map(|_| TcpStream::connect(address).unwrap()).collect();
    let is_answered = |stream: &mut TcpStream| {
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut part = [0; 512];
        asked.is_ok() && stream.read(&mut part).is_ok_and(|length| part[..length].starts_with(b"HTTP/1.1 200"))
    };
    assert!(there.iter_mut().all(is_answered));
    assert!(!is_answered(&mut TcpStream::connect(address).unwrap()), "the seventh");
    there.pop();
    let waited = Instant::now();
    while !is_answered(&mut TcpStream::connect(address).unwrap()) {
        assert!(waited.elapsed() < Duration::from_secs(5), "the place of one that went is free");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_name_that_was_made_to_point_to_this_machine_reaches_nothing() {
    let served = Served::new(&[]);
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    let form = wire::form(&[("login", super::served::LOGIN), ("passphrase", super::served::PASSPHRASE)]);
    let ask = |host: &str| {
        let request = format!(
            "POST /sign-in HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: same-origin\r\nOrigin: null\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{form}",
            form.len()
        );
        wire::send_raw(&address, request.as_bytes()).unwrap()
    };
    let misdirected = ask("evil.example:7447");
    assert_eq!((misdirected.status(), misdirected.header("set-cookie")), (421, None));
    assert_eq!(misdirected.json()["type"], "urn:lanyard:problem:misdirected");
    for own in [address.as_str(), "localhost:7447", "[::1]"] {
        assert_eq!(ask(own).status(), 303, "{own}");
    }
}

#[test]
fn no_link_is_made_of_what_a_request_calls_the_server() {
    // Whoever asks is a proxy, which may call the server what it likes.
    let port = free_port();
    let own = format!("http://127.0.0.1:{port}");
    let served = Served::listening(Stage::new(), &["--behind-proxy", "127.0.0.1", "--public-url", &own], port);
    let address = served.url.strip_prefix("http://").unwrap().to_owned();
    let ask = |method: &str, path: &str, headers: &[&str], body: &str| {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Port: 6666\r\nForwarded: host=evil.example;proto=https\r\n\
             X-Original-URL: //evil.example/\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for header in headers {
            request = format!("{request}{header}\r\n");
        }
        let answer = wire::send_raw(&address, format!("{request}\r\n{body}").as_bytes()).unwrap();
        let all = format!("{:?}{}", answer.headers, answer.text());
        assert!(!all.contains("evil") && !all.contains("6666"), "{method} {path}: {all}");
        answer
    };
    let form = "Content-Type: application/x-www-form-urlencoded";
    let origin = format!("Origin: {}", served.url);
    assert_eq!(served.set_up(super::served::PASSPHRASE).status(), 303);
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let document = ask("GET", path, &[], "").json();
        assert_eq!(document["issuer"], served.url.as_str());
    }
    let signed_in = wire::form(&[("login", super::served::LOGIN), ("passphrase", super::served::PASSPHRASE)]);
    let sent_on = ask("POST", "/sign-in", &[form, &origin], &signed_in);
    assert_eq!((sent_on.status(), sent_on.header("location")), (303, Some("/")));
    let cookie = sent_on.header("set-cookie").unwrap();
    assert!(!cookie.contains("Domain") && !cookie.contains("Secure"), "{cookie}");
    let other = ask("POST", "/sign-in", &[form, "Origin: http://evil.example"], &signed_in);
    assert_eq!(other.status(), 403, "a form of another site");
    let begun = ask("POST", "/device-authorization", &[form], "client_id=lanyard").json();
    assert!(begun["verification_uri_complete"].as_str().unwrap().starts_with(&served.url), "{begun}");
    for path in ["/", "/sign-in", "/sign-in?next=//evil.test/", "/device", "/invite?token=x", "/setup?token=x"] {
        let page = ask("GET", path, &[], "");
        assert!(page.header("location").is_none_or(|to| to.starts_with('/')), "{path}");
    }
    let authorize = "/authorize?response_type=code&client_id=lanyard&redirect_uri=http://127.0.0.1:1/&state=s";
    let refused = ask("GET", authorize, &[], "");
    assert!(refused.header("location").unwrap().contains("iss=http%3A%2F%2F127.0.0.1"), "{:?}", refused.headers);
    let stage = served.manager();
    let bearer = format!("Authorization: Bearer {}", token(&stage));
    let invited = ask(
        "POST",
        "/invitations",
        &[&bearer, "Content-Type: application/json"],
        "{\"role\":\"reader\",\"for\":\"bob\"}",
    );
    assert_eq!(invited.status(), 201, "{}", invited.text());
    assert!(invited.text().contains(&served.url), "{}", invited.text());
}
