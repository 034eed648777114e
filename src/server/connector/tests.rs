//! Where the server goes, and where it does not, whatever leads there.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::*;
use crate::http::{Trust, header};

fn refused(allowed: &[&str], url: &str) -> bool {
    let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
    Connector::new(&allowed).addresses(&Url::parse(url).unwrap()).is_err()
}

#[test]
fn what_is_not_of_the_open_net_is_not_asked() {
    for host in [
        "0.0.0.0",
        "0",
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "2130706433",
        "169.254.169.254",
        "0xa9fea9fe",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "192.0.0.192",
        "100.100.100.200",
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        // Mapped, compatible, translated, NAT64 of both sorts, 6to4, Teredo.
        "[::ffff:169.254.169.254]",
        "[::ffff:10.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::a00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[64:ff9b:1::808:808]",
        "[64:ff9b:1:808:8:800::]",
        "[2002:a00:1::]",
        "[2002:7f00:1::1]",
        "[2002:a9fe:a9fe::]",
        "[2001:0:0:0:0:0:f5ff:fffe]",
        "[2001:0:808:808:0:0:80ff:fffe]",
        "[2001:2::1]",
        "[2001:10::1]",
        "[2001:2f::1]",
        "[5f00::1]",
        "[3fff::1]",
        "[100::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "[fe80::1]",
        "[fe80::a9fe:a9fe]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "localhost",
        "localhost.",
        "LocalHost",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "8.8.8.8@127.0.0.1",
    ] {
        assert!(refused(&[], &format!("https://{host}/")), "{host}");
    }
    for open in [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "[2606:4700::1111]",
        "[64:ff9b::808:808]",
        "[2001:4860:4860::8888]",
        "[2002:808:808::1]",
    ] {
        assert!(!refused(&[], &format!("https://{open}/")), "{open}");
    }
}

#[test]
fn an_allowed_host_may_be_private_and_never_metadata() {
    assert!(!refused(&["127.0.0.1"], "http://127.0.0.1:8080/"));
    assert!(refused(&["127.0.0.1"], "http://127.0.0.2:8080/"));
    for (host, url) in [
        ("169.254.169.254", "169.254.169.254"),
        ("::ffff:a9fe:a9fe", "[::ffff:169.254.169.254]"),
        ("64:ff9b::a9fe:a9fe", "[64:ff9b::a9fe:a9fe]"),
        ("2002:a9fe:a9fe::", "[2002:a9fe:a9fe::]"),
        ("fd00:ec2::254", "[fd00:ec2::254]"),
        ("fd20:ce::254", "[fd20:ce::254]"),
        ("fe80::a9fe:a9fe", "[fe80::a9fe:a9fe]"),
        ("168.63.129.16", "168.63.129.16"),
        ("192.0.0.192", "192.0.0.192"),
        ("100.100.100.200", "100.100.100.200"),
    ] {
        assert!(refused(&[host], &format!("http://{url}/")), "{host}");
    }
    assert!(refused(&[], "http://8.8.8.8/") && refused(&[], "https://8.8.8.8:22/"));
    assert!(!refused(&[], "https://8.8.8.8:6443/"));
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_name_is_looked_up_once_and_each_of_its_addresses_counts() {
    let url = Url::parse("https://charts.example.com/").unwrap();
    let (good, bad) = (at("8.8.8.8:443"), at("127.0.0.1:443"));
    let asked = AtomicUsize::new(0);
    let answer = |addresses: &'static [&'static str]| {
        move |_: &Url| Ok(addresses.iter().map(|text| at(text)).collect::<Vec<_>>())
    };
    for addresses in [
        &["8.8.8.8:443", "127.0.0.1:443"][..],
        &["127.0.0.1:443", "8.8.8.8:443"],
        &["8.8.8.8:443", "[::1]:443"],
        &["8.8.8.8:443", "[::ffff:10.0.0.1]:443"],
        &["169.254.169.254:443"],
        &[],
    ] {
        let resolver = answer(addresses);
        let connector = Connector { resolver: &resolver, ..Connector::new(&[]) };
        assert!(connector.addresses(&url).is_err(), "{addresses:?}");
    }
    // Somewhere else the second time.
    let resolver = |_: &Url| Ok(vec![if asked.fetch_add(1, Ordering::SeqCst) == 0 { good } else { bad }]);
    let connector = Connector { resolver: &resolver, ..Connector::new(&[]) };
    assert_eq!(connector.addresses(&url), Ok(vec![good]));
    assert!(connector.addresses(&url).is_err(), "each request is looked at anew");
    let metadata = answer(&["127.0.0.1:443", "169.254.169.254:443"]);
    let allowed = ["charts.example.com".to_owned()];
    let connector = Connector { resolver: &metadata, ..Connector::new(&allowed) };
    assert!(connector.addresses(&url).is_err());
}

/// A listener that gives one answer to each who comes, and counts them.
struct Listener {
    address: SocketAddr,
    seen: Arc<AtomicUsize>,
}

impl Listener {
    fn start(ip: &str, port: u16, answer: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind((ip, port)).unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&seen);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]);
                answer(stream);
            }
        });
        Self { address, seen }
    }

    fn count(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

fn said(head: &'static str, body: Vec<u8>) -> impl Fn(TcpStream) + Send + 'static {
    move |mut stream| {
        let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(&body);
    }
}

fn get(url: &str) -> Request {
    Request::get(Url::parse(url).unwrap())
}

/// A connector that is led to a listener by a name.
fn led_to(listener: &Listener, request: Request) -> Result<Response, Unreachable> {
    let (allowed, address) = (["charts.example".to_owned()], listener.address);
    let resolver = move |_: &Url| Ok(vec![address]);
    Connector { resolver: &resolver, ..Connector::new(&allowed) }.send(request)
}

#[test]
fn the_connection_goes_to_what_was_looked_up_first() {
    let first = Listener::start("127.0.0.1", 0, said("200 OK", b"first".to_vec()));
    let second = Listener::start("127.0.0.2", first.address.port(), said("200 OK", b"second".to_vec()));
    let asked = AtomicUsize::new(0);
    let addresses = [first.address, second.address];
    let resolver = |_: &Url| Ok(vec![addresses[asked.fetch_add(1, Ordering::SeqCst).min(1)]]);
    let allowed = ["charts.example".to_owned()];
    let connector = Connector { resolver: &resolver, ..Connector::new(&allowed) };
    let url = format!("http://charts.example:{}/", first.address.port());
    let answer = connector.send(get(&url)).unwrap();
    assert_eq!((answer.body.as_slice(), asked.load(Ordering::SeqCst)), (&b"first"[..], 1));
    assert_eq!((first.count(), second.count()), (1, 0));
}

/// A name for the certificate that is an address would be gone to, past all that was looked at.
#[test]
fn a_name_in_the_certificate_leads_nowhere_else() {
    let named = Listener::start("127.0.0.3", 0, said("200 OK", Vec::new()));
    let port = named.address.port();
    let listener = Listener::start("127.0.0.1", port, said("200 OK", Vec::new()));
    for name in ["127.0.0.3", "127.3", "0x7f.3", "[::ffff:127.0.0.3]", "2130706435"] {
        let mut request = get(&format!("http://charts.example:{port}/"));
        request.trust = Some(Box::new(Trust { server_name: Some(name.into()), ..Trust::default() }));
        assert!(led_to(&listener, request).is_err(), "{name}");
    }
    let mut request = get(&format!("http://charts.example:{port}/"));
    request.trust = Some(Box::new(Trust { server_name: Some("localhost".into()), ..Trust::default() }));
    assert!(led_to(&listener, request).is_ok(), "a name is for the certificate, and is not looked up");
    assert_eq!((listener.count(), named.count()), (1, 0));
}

#[test]
fn nobody_is_followed_to_another_address() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let target = Listener::start("127.0.0.1", 0, said("200 OK", Vec::new()));
        for to in
            ["http://169.254.169.254/latest/meta-data/".to_owned(), format!("http://{}/", target.address), "/x".into()]
        {
            let listener = Listener::start("127.0.0.1", 0, move |mut stream: TcpStream| {
                let _ = write!(stream, "HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            });
            let mut request = get(&format!("http://charts.example:{}/", listener.address.port()));
            request.headers.insert(header::AUTHORIZATION, "Bearer LNYCANARY".parse().unwrap());
            let told = led_to(&listener, request);
            assert!(matches!(told, Err(Unreachable::Redirect { .. })), "{status}");
            assert_eq!((listener.count(), target.count()), (1, 0));
        }
    }
}

#[test]
fn a_bomb_stays_packed_and_a_long_answer_is_cut() {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![0; 256 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    let length = packed.len();
    assert!(length < MOST);
    let listener = Listener::start("127.0.0.1", 0, said("200 OK\r\nContent-Encoding: gzip", packed));
    let url = format!("http://charts.example:{}/", listener.address.port());
    assert_eq!(led_to(&listener, get(&url)).unwrap().body.len(), length);
    let long = Listener::start("127.0.0.1", 0, said("200 OK", vec![b'x'; MOST + 1]));
    let url = format!("http://charts.example:{}/", long.address.port());
    let greedy = Request { max_answer: usize::MAX, ..get(&url) };
    assert!(matches!(led_to(&long, greedy), Err(Unreachable::TooLarge { limit: MOST, .. })));
}

#[test]
fn an_answer_without_an_end_has_one() {
    let endless = Listener::start("127.0.0.1", 0, |mut stream: TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&b"X-Y: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\r\n".repeat(100)).is_ok() {}
    });
    let started = Instant::now();
    let url = format!("http://charts.example:{}/", endless.address.port());
    assert!(led_to(&endless, get(&url)).is_err());
    let drop_by_drop = |head: &'static [u8]| {
        Listener::start("127.0.0.1", 0, move |mut stream: TcpStream| {
            let _ = stream.write_all(head);
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(200));
            }
        })
    };
    for head in [&b"HTTP/1.1 200 OK\r\nX-Y: "[..], b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"HT"] {
        let slow = drop_by_drop(head);
        let url = format!("http://charts.example:{}/", slow.address.port());
        let request = Request { timeout: Duration::from_secs(1), ..get(&url) };
        let told = led_to(&slow, request);
        assert!(told.is_err(), "each byte in time, and no answer");
    }
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    // Nobody may ask for more time.
    let silent = drop_by_drop(b"");
    let url = format!("http://charts.example:{}/", silent.address.port());
    let started = Instant::now();
    let patient = Request { timeout: Duration::from_mins(10), ..get(&url) };
    assert!(led_to(&silent, patient).is_err());
    let took = started.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn nobody_waits_for_a_name_that_is_looked_up_for_too_long() {
    let began = Instant::now();
    let slow = || {
        std::thread::sleep(Duration::from_secs(5));
        Ok(())
    };
    let waited = within(Duration::from_millis(50), slow);
    assert_eq!(waited.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(within(TIMEOUT, || Ok(7)).unwrap(), 7);
    let missing = within(TIMEOUT, || Err::<(), _>(std::io::ErrorKind::NotFound.into()));
    assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
