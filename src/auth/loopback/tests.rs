use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn redirect(host: Host, port: Option<u16>) -> Redirect {
    Redirect { host, port, path: "/callback".into() }
}

fn loopback() -> Loopback {
    Loopback::bind(&redirect(Host::V4, None)).unwrap()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Everything that comes until the peer closes; a reset ends it too.
fn read_all(mut stream: &TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

fn send(port: u16, request: &str) -> String {
    let mut stream = connect(port);
    let _ = stream.write_all(request.as_bytes());
    read_all(&stream)
}

fn get(port: u16, target: &str) -> String {
    send(port, &format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"))
}

fn status(response: &str) -> Option<u16> {
    response.split(' ').nth(1)?.parse().ok()
}

fn is_whole(response: &str) -> bool {
    let Some((head, body)) = response.split_once("\r\n\r\n") else { return false };
    head.contains(&format!("Content-Length: {}", body.len())) && body.ends_with("</html>\n")
}

fn refuses_connections(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err()
}

/// Waits as a sign-in does: only the query with `state=good`, once, is accepted; its code is the answer.
fn wait(loopback: &Loopback, limit: Duration) -> Result<String, Ended> {
    loopback.wait(limit, &mut |_| ControlFlow::Continue(()), &mut |query| {
        (query.one("state") == Ok(Some("good"))).then(|| query.one("code").ok().flatten().unwrap_or("none").to_owned())
    })
}

/// Runs `browser` on another thread while the listener waits; the sign-in then ends with `outcome`.
fn sign_in<T: Send + 'static>(
    outcome: Outcome,
    browser: impl FnOnce(u16) -> T + Send + 'static,
) -> (Result<String, Ended>, T) {
    let loopback = loopback();
    let port = loopback.port();
    let browser = thread::spawn(move || browser(port));
    let answer = wait(&loopback, LONG);
    loopback.finish(outcome);
    assert!(refuses_connections(port), "the port is open after the end");
    (answer, browser.join().unwrap())
}

/// What a browser does: the callback, then the page it is sent on to.
fn follow(port: u16, query: &str) -> (String, String) {
    let first = get(port, &format!("/callback?{query}"));
    let target = first.split("Location: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap_or("/none");
    let second = get(port, target);
    (first, second)
}

#[test]
fn the_callback_ends_the_wait_and_the_browser_gets_the_outcome() {
    for (outcome, title) in [
        (Outcome::SignedIn, "You are signed in"),
        (Outcome::Failed, "The sign-in did not finish"),
        (Outcome::Denied, "Access was not granted"),
    ] {
        let (answer, (first, second)) = sign_in(outcome, |port| follow(port, "code=a%2Bb+c&state=good"));
        assert_eq!(answer, Ok("a+b c".into()));
        assert_eq!((status(&first), status(&second)), (Some(303), Some(200)));
        assert!(is_whole(&first) && is_whole(&second) && second.contains(title), "{second}");
        assert!(!first.contains("a%2Bb") && !second.contains("a+b"));
    }
}

#[test]
fn nothing_of_the_request_is_in_any_answer() {
    let query = "error=x&error_description=%3Cimg%20src=x%20onerror=alert(1)%3EMARK&state=good";
    let (answer, (first, second)) = sign_in(Outcome::Denied, move |port| {
        let refused = get(port, "/callback?error_description=<img/MARK>&state=bad");
        assert_eq!(status(&refused), Some(400));
        assert!(!refused.contains("MARK") && !refused.contains("<img"));
        follow(port, query)
    });
    assert!(answer.is_ok());
    for response in [first, second] {
        assert!(!response.contains("MARK") && !response.contains("<img") && !response.contains("onerror"));
    }
}

#[test]
fn a_wrong_missing_or_repeated_state_gets_400_and_the_wait_goes_on() {
    let (answer, refused) = sign_in(Outcome::SignedIn, |port| {
        let queries = ["?code=x&state=wrong", "?code=x", "?state=good&state=good&code=x", "", "?%zz=%ff"];
        let refused = queries.map(|query| status(&get(port, &format!("/callback{query}"))));
        follow(port, "code=true&state=good");
        refused
    });
    assert_eq!(answer, Ok("true".into()));
    assert_eq!(refused, [Some(400); 5]);
}

#[test]
fn a_second_callback_is_refused() {
    let loopback = loopback();
    let port = loopback.port();
    let browser = thread::spawn(move || get(port, "/callback?code=1&state=good"));
    assert_eq!(wait(&loopback, LONG), Ok("1".into()));
    assert_eq!(status(&get(port, "/callback?code=2&state=good")), Some(400));
    assert_eq!(status(&browser.join().unwrap()), Some(303));
    loopback.finish(Outcome::SignedIn);
    assert!(refuses_connections(port));
}

#[test]
fn callbacks_that_come_together_are_taken_once() {
    let loopback = loopback();
    let port = loopback.port();
    let browsers: Vec<_> = (0..8).map(|_| thread::spawn(move || get(port, "/callback?code=1&state=good"))).collect();
    thread::sleep(Duration::from_millis(200));
    assert_eq!(wait(&loopback, LONG), Ok("1".into()));
    let statuses: Vec<_> = browsers.into_iter().filter_map(|browser| status(&browser.join().unwrap())).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 7, "{statuses:?}");
    loopback.finish(Outcome::SignedIn);
}

#[test]
fn probes_are_refused_and_the_sign_in_still_works() {
    let (answer, ()) = sign_in(Outcome::SignedIn, |port| {
        let host = format!("Host: 127.0.0.1:{port}\r\n");
        let target = "/callback?code=x&state=good";
        let probes = [
            (format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421),
            (format!("GET {target} HTTP/1.1\r\n\r\n"), 421),
            (format!("GET {target} HTTP/1.1\r\n{host}{host}\r\n"), 421),
            (format!("POST {target} HTTP/1.1\r\n{host}\r\n"), 405),
            (format!("HEAD {target} HTTP/1.1\r\n{host}\r\n"), 405),
            (format!("OPTIONS {target} HTTP/1.1\r\n{host}Access-Control-Request-Private-Network: true\r\n\r\n"), 405),
            (format!("GET / HTTP/1.1\r\n{host}\r\n"), 404),
            (format!("GET /{target} HTTP/1.1\r\n{host}\r\n"), 404),
            (format!("GET /callback/..{target} HTTP/1.1\r\n{host}\r\n"), 404),
            (format!("GET http://127.0.0.1:{port}{target} HTTP/1.1\r\n{host}\r\n"), 404),
            (format!("GET /callback/done HTTP/1.1\r\n{host}\r\n"), 404),
            (format!("GET {target} HTTP/1.1\r\n{host}Sec-Fetch-Mode: no-cors\r\n\r\n"), 403),
            (format!("GET {target} HTTP/1.1\r\n{host}Content-Length: 9000000000000000000\r\n\r\n"), 413),
            (format!("POST {target} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 413),
            ("\x16\x03\x01\r\n\r\n".to_owned(), 400),
        ];
        for (request, expected) in probes {
            let response = send(port, &request);
            assert_eq!(status(&response), Some(expected), "{request}");
            assert!(!response.to_ascii_lowercase().contains("access-control"));
        }
        follow(port, "code=ok&state=good");
    });
    assert_eq!(answer, Ok("ok".into()));
}

#[test]
fn a_header_of_20_mb_is_cut_off() {
    let (answer, response) = sign_in(Outcome::SignedIn, |port| {
        let mut stream = connect(port);
        let mut sent = stream.write_all(format!("GET /callback HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX: ").as_bytes());
        for _ in 0..20 {
            sent = sent.and_then(|()| stream.write_all(&vec![b'a'; 1 << 20]));
        }
        let response = read_all(&stream);
        follow(port, "code=ok&state=good");
        response
    });
    assert_eq!(answer, Ok("ok".into()));
    assert!(response.is_empty() || status(&response) == Some(431), "{response}");
}

#[test]
fn a_head_just_too_long_is_told_so() {
    let (answer, response) = sign_in(Outcome::SignedIn, |port| {
        let filler = "a".repeat(17 << 10);
        let response = send(port, &format!("GET /callback HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX: {filler}\r\n\r\n"));
        follow(port, "code=ok&state=good");
        response
    });
    assert!(answer.is_ok());
    assert_eq!(status(&response), Some(431));
}

#[test]
fn a_half_sent_request_is_given_up_after_ten_seconds() {
    let loopback = loopback();
    let mut stream = connect(loopback.port());
    stream.write_all(b"GET /callback?code=x HTTP/1.1\r\nHost: ").unwrap();
    let started = Instant::now();
    // A drop every now and then must not win more time.
    let mut dripping = stream.try_clone().unwrap();
    thread::spawn(move || {
        while dripping.write_all(b"a").is_ok() {
            thread::sleep(Duration::from_millis(500));
        }
    });
    let response = read_all(&stream);
    assert!(response.is_empty() || status(&response) == Some(408), "{response}");
    assert!((9..13).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[test]
fn idle_connections_do_not_keep_the_callback_out() {
    let (answer, open) = sign_in(Outcome::SignedIn, |port| {
        let idle: Vec<_> = (0..30).map(|_| connect(port)).collect();
        thread::sleep(Duration::from_millis(100));
        let started = Instant::now();
        follow(port, "code=ok&state=good");
        assert!(started.elapsed() < Duration::from_secs(2));
        let still_open = |stream: &&TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let mut stream = *stream;
            stream.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
        };
        idle.iter().filter(still_open).count()
    });
    assert_eq!(answer, Ok("ok".into()));
    assert!(open <= 16, "{open}");
}

#[test]
fn at_most_sixteen_connections_are_open() {
    let loopback = loopback();
    let streams: Vec<_> = (0..17).map(|_| connect(loopback.port())).collect();
    // The oldest gave way at once; the others still wait for their requests.
    assert_eq!(read_all(&streams[0]), "");
    streams[1].set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!((&streams[1]).read(&mut [0]).is_err());
}

#[test]
fn the_last_page_is_held_until_the_outcome_is_known() {
    let loopback = loopback();
    let port = loopback.port();
    let browser = thread::spawn(move || (follow(port, "code=1&state=good"), Instant::now()));
    wait(&loopback, LONG).unwrap();
    thread::sleep(Duration::from_millis(1500));
    let finished = Instant::now();
    loopback.finish(Outcome::SignedIn);
    let took = finished.elapsed();
    let ((_, last), got) = browser.join().unwrap();
    assert!(last.contains("You are signed in") && got >= finished);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_client_that_does_not_follow_costs_a_second_at_most() {
    let loopback = loopback();
    let port = loopback.port();
    let client = thread::spawn(move || get(port, "/callback?code=1&state=good"));
    wait(&loopback, LONG).unwrap();
    let finished = Instant::now();
    loopback.finish(Outcome::SignedIn);
    assert!(finished.elapsed() < Duration::from_millis(1600), "{:?}", finished.elapsed());
    assert!(is_whole(&client.join().unwrap()));
}

#[test]
fn the_page_arrives_whole_every_time() {
    for round in 0..100 {
        let (answer, (first, second)) = sign_in(Outcome::SignedIn, |port| follow(port, "code=1&state=good"));
        assert!(answer.is_ok() && is_whole(&first) && is_whole(&second), "round {round}: {second}");
    }
}

#[test]
fn the_time_limit_ends_the_wait() {
    let loopback = loopback();
    let mut ticks = Vec::new();
    let started = Instant::now();
    let mut tick = |left| {
        ticks.push(left);
        ControlFlow::Continue(())
    };
    let ended = loopback.wait(Duration::from_millis(900), &mut tick, &mut |_| None::<()>);
    assert_eq!(ended, Err(Ended::TimedOut));
    assert!(started.elapsed() < Duration::from_millis(1500));
    assert!((3..=6).contains(&ticks.len()) && ticks.is_sorted_by(|a, b| a >= b), "{ticks:?}");
    let port = loopback.port();
    drop(loopback);
    assert!(refuses_connections(port));
}

#[test]
fn a_tick_ends_the_wait_even_under_a_flood() {
    let loopback = loopback();
    let port = loopback.port();
    let flood = thread::spawn(move || {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { break };
            let _ = stream.write_all(format!("GET /callback HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").as_bytes());
        }
    });
    let started = Instant::now();
    let mut tick =
        |_| if started.elapsed().as_millis() > 600 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    assert_eq!(loopback.wait(LONG, &mut tick, &mut |_| None::<()>), Err(Ended::Cancelled));
    assert!(started.elapsed() < Duration::from_secs(2));
    drop(loopback);
    flood.join().unwrap();
}

#[test]
fn dropping_closes_the_port_and_every_connection() {
    let loopback = loopback();
    let port = loopback.port();
    let mut half = connect(port);
    half.write_all(b"GET /").unwrap();
    let started = Instant::now();
    drop(loopback);
    assert!(refuses_connections(port));
    assert!(read_all(&half).is_empty());
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn finishing_without_a_callback_does_not_wait() {
    let loopback = loopback();
    let started = Instant::now();
    loopback.finish(Outcome::Failed);
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[test]
fn the_address_names_what_is_bound() {
    let v4 = loopback();
    assert_eq!(v4.redirect_uri(), format!("http://127.0.0.1:{}/callback", v4.port()));
    let other = loopback();
    assert_ne!(v4.port(), other.port());
    let v6 = Loopback::bind(&redirect(Host::V6, None)).unwrap();
    assert_eq!(v6.redirect_uri(), format!("http://[::1]:{}/callback", v6.port()));
    assert!(refuses_connections(v6.port()));
}

#[test]
fn v6_answers_to_its_own_name_only() {
    let loopback = Loopback::bind(&redirect(Host::V6, None)).unwrap();
    let port = loopback.port();
    let ask = |host: &str| {
        let mut stream = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        write!(stream, "GET /nowhere HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        status(&read_all(&stream))
    };
    assert_eq!((ask("[::1]"), ask("127.0.0.1"), ask("localhost")), (Some(404), Some(421), Some(421)));
}

#[test]
fn without_v4_a_free_port_is_taken_on_v6() {
    let mut bind = |address: SocketAddr| match address {
        SocketAddr::V4(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        SocketAddr::V6(_) => TcpListener::bind(address),
    };
    let (listeners, host) = open(&redirect(Host::V4, None), &mut bind).unwrap();
    assert_eq!((listeners.len(), host), (1, "[::1]"));
    assert!(matches!(open(&redirect(Host::V4, Some(4000)), &mut bind), Err(LoopbackError::Port { port: 4000, .. })));
    assert!(matches!(open(&redirect(Host::Localhost, None), &mut bind), Err(LoopbackError::Port { .. })));
}

#[test]
fn localhost_takes_both_addresses_or_none() {
    let both = Loopback::bind(&redirect(Host::Localhost, None)).unwrap();
    let port = both.port();
    assert_eq!(both.redirect_uri(), format!("http://localhost:{port}/callback"));
    for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))] {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /nowhere HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").unwrap();
        assert_eq!(status(&read_all(&stream)), Some(404));
    }
    drop(both);

    let taken = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    assert!(matches!(Loopback::bind(&redirect(Host::Localhost, Some(port))), Err(LoopbackError::Port { .. })));
    assert!(refuses_connections(port), "the first address is given back");
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Loopback::bind(&redirect(Host::V4, Some(port))).map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Code::Failed);
    assert!(error.to_string().contains(&port.to_string()) && error.mend().unwrap().contains("--port"));
}

#[test]
fn a_port_can_be_had_again_at_once() {
    let (answer, port) = sign_in(Outcome::SignedIn, |port| {
        follow(port, "code=1&state=good");
        port
    });
    assert!(answer.is_ok());
    assert_eq!(Loopback::bind(&redirect(Host::V4, Some(port))).unwrap().port(), port);
}

#[test]
fn an_odd_path_is_refused() {
    for path in ["callback", "//callback", "/../x", "/a?b"] {
        let redirect = Redirect { host: Host::V4, port: None, path: path.into() };
        assert!(matches!(Loopback::bind(&redirect), Err(LoopbackError::Path)), "{path}");
    }
}

#[test]
fn a_query_shows_nothing_of_itself() {
    let query = Query::parse("code=SECRET&state=SECRET&code=2");
    assert!(!format!("{query:?}").contains("SECRET"));
    assert_eq!((query.one("code"), query.one("none")), (Err(Repeated), Ok(None)));
}
