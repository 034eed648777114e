//! Names that lead where they like: a server in a network of its own, where names are answered by this test, and one host
//! outside, which has a public address and is nobody's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};

use super::outside::Listener;
use super::served::{PASSPHRASE, Served, token};
use crate::secure::{Authority, Tls};
use crate::stage::Stage;
use crate::users;

/// Makes a network with this machine's own addresses and one host outside of it, and names whom to ask for names there.
const NETWORK: &str = r#"
set -e
PATH=$PATH:/usr/sbin:/sbin
mount --bind "$1" /etc/resolv.conf
mkdir -p /run/netns
mount -t tmpfs none /run/netns
ip link set lo up
ip netns add outside
ip link add near type veth peer name far netns outside
ip addr add 8.8.8.1/24 dev near
ip link set near up
ip -n outside addr add 8.8.8.8/24 dev far
ip -n outside link set lo up
ip -n outside link set far up
shift
exec "$@"
"#;

const OUTSIDE: &str = "8.8.8.8";
/// The ports at which the server asks.
const PORTS: [u16; 4] = [443, 5000, 6443, 8443];

/// Has this thread, and whatever it starts, be in that network from now on.
fn go(pid: u32, network: &str) {
    let place = Path::new("/proc").join(pid.to_string()).join(network);
    let network = File::open(place).expect("a network");
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may do that");
}

/// What is said of a name.
enum Said {
    Address(&'static str),
    /// It is another name for this one.
    Other(&'static str),
}

/// What is said of each name, the first time and every time after that. Of others nothing is known.
fn known(name: &str, is_first: bool) -> Option<Vec<Said>> {
    use Said::{Address, Other};
    let said = match name {
        "good" | "away" => vec![Address(OUTSIDE)],
        "rebind" => vec![Address(if is_first { OUTSIDE } else { "127.0.0.1" })],
        "both" => vec![Address(OUTSIDE), Address("127.0.0.1")],
        "others" => vec![Address("10.0.0.1"), Address(OUTSIDE)],
        "six" => vec![Address("::1")],
        "mixed" => vec![Address(OUTSIDE), Address("::1")],
        "mapped" => vec![Address(OUTSIDE), Address("::ffff:127.0.0.1")],
        "inside" => vec![Address("127.0.0.1")],
        "metadata" => vec![Address("169.254.169.254")],
        "own" => vec![Address("8.8.8.1")],
        "chain" => vec![Other("link"), Other("inside"), Address("127.0.0.1")],
        "way" => vec![Other("link"), Other("good"), Address(OUTSIDE)],
        _ => return None,
    };
    Some(said)
}

/// A name as it travels (RFC 1035 section 3.1), below the domain of this test.
fn written(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in [name, "lanyard", "test"] {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// Answers for names, and counts how often each was asked for.
struct Names(Arc<Mutex<BTreeMap<String, usize>>>);

impl Names {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
        let asked = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                let query = &query[..length];
                let size = usize::from(query[12]);
                let name = String::from_utf8_lossy(&query[13..13 + size]).to_ascii_lowercase();
                // What is asked ends with its type and its class.
                let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
                let wants_new = query[end - 3] == 28;
                let is_first = {
                    let mut count = count.lock().unwrap();
                    let times = count.entry(name.clone()).or_default();
                    *times += usize::from(!wants_new);
                    *times <= 1
                };
                let _ = socket.send_to(&answer(query, end, &name, wants_new, is_first), from);
            }
        });
        Self(asked)
    }

    /// How often somebody wanted to know where a name is.
    fn asked(&self, name: &str) -> usize {
        self.0.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

/// The answer to a query (RFC 1035 section 4): the names on the way, and the addresses of the sort that is wanted.
fn answer(query: &[u8], end: usize, name: &str, wants_new: bool, is_first: bool) -> Vec<u8> {
    let (mut records, mut at, mut count) = (Vec::new(), name.to_owned(), 0_u8);
    let said = known(name, is_first);
    let is_known = said.is_some();
    for one in said.into_iter().flatten() {
        let (sort, data) = match one {
            Said::Other(next) => (5, written(next)),
            Said::Address(text) => match text.parse().unwrap() {
                IpAddr::V4(address) if !wants_new => (1, address.octets().to_vec()),
                IpAddr::V6(address) if wants_new => (28, address.octets().to_vec()),
                _ => continue,
            },
        };
        records.extend(written(&at));
        // In the class of the Internet, and good for no time at all.
        records.extend([0, sort, 0, 1, 0, 0, 0, 0, 0, u8::try_from(data.len()).unwrap()]);
        records.extend(data);
        count += 1;
        if let Said::Other(next) = one {
            next.clone_into(&mut at);
        }
    }
    let failure = if is_known { 0x80 } else { 0x83 };
    let head = [query[0], query[1], 0x85, failure, 0, 1, 0, count, 0, 0, 0, 0];
    [&head, &query[12..end], &records].concat()
}

/// Makes a registry at an address and asks it: what came of it, and why.
fn asked(served: &Served, bearer: &str, url: &str) -> (String, String) {
    let name = url.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let body = json!({ "name": name, "kind": "helm-http", "url": url }).to_string();
    let known = served.api("GET", "/registries?limit=200", bearer, "").json();
    let of = |one: &&Value| one["name"] == name;
    let id = known["items"].as_array().unwrap().iter().find(of).map(|one| one["id"].clone());
    let id = id.unwrap_or_else(|| {
        let made = served.api("POST", "/registries", bearer, &body);
        assert_eq!(made.status(), 201, "{}", made.text());
        made.json()["id"].clone()
    });
    let told = served.api("POST", &format!("/registries/{}/sync", id.as_str().unwrap()), bearer, "");
    assert_eq!(told.status(), 200, "{}", told.text());
    let text = |name: &str| told.json()[name].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("reason"))
}

#[test]
fn a_name_leads_to_where_it_was_found_to_lead_and_nowhere_else() {
    if !users::are_possible() {
        return;
    }
    // Whoever has moved to another network stays there: this thread ends with the test.
    let all = std::thread::spawn(in_a_network_of_its_own).join();
    all.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn in_a_network_of_its_own() {
    let authority = Authority::new();
    let certificate = authority.issue("names", "DNS:*.lanyard.test", None);
    let mut stage = Stage::new();
    let resolver = stage.root().join("resolv.conf");
    std::fs::write(&resolver, "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n").unwrap();
    stage.set("SSL_CERT_FILE", authority.pem());
    // A proxy would be told where to go, and ask for names itself.
    for variable in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        stage.set(variable, "http://127.0.0.1:8443");
    }
    stage.wrap(&["unshare", "-n", "-m", "sh", "-c", NETWORK, "sh", resolver.to_str().unwrap()]);
    // In that network is no other database.
    let served = Served::on(stage, &["--database", "sqlite:server/server.db"]);
    let (here, outside) = ("ns/net", "root/run/netns/outside");
    go(served.pid(), outside);
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&heads);
    let host = Listener::on(TcpListener::bind("127.0.0.1:0").unwrap(), move |mut stream, head| {
        seen.lock().unwrap().push(head.to_ascii_lowercase());
        let body = "apiVersion: v1\nentries: {}\n";
        let _ = if head.to_ascii_lowercase().contains("host: away.") {
            write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: https://inside.lanyard.test:8443/\r\nContent-Length: 0\r\n\r\n"
            )
        } else {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
    });
    let tls = Tls::at(&format!("{OUTSIDE}:443"), host.port, &certificate);
    go(served.pid(), here);
    let names = Names::start();
    let own: Vec<Listener> = ["127.0.0.1", "::1", "8.8.8.1"]
        .into_iter()
        .flat_map(|ip| PORTS.map(|port| Listener::on(TcpListener::bind((ip, port)).unwrap(), |_, _| {})))
        .collect();
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    let bearer = token(&served.manager());
    let ask = |name: &str| asked(&served, &bearer, &format!("https://{name}.lanyard.test/charts"));

    // Each is looked up once, is gone to where that led, and is called what it was called.
    for (nth, name) in ["good", "way", "rebind"].into_iter().enumerate() {
        assert_eq!(ask(name).0, "synced", "{name}");
        assert_eq!((names.asked(name), tls.handshakes().len()), (1, nth + 1), "{name}");
        let heads = heads.lock().unwrap();
        assert!(heads[nth].contains(&format!("\r\nhost: {name}.lanyard.test\r\n")), "{heads:?}");
    }
    // The next time it leads here, as do the others, in whichever place the bad address stands. Nobody is gone to, and
    // whoever asked learns no more than of a name that nobody knows.
    let nowhere = ask("nowhere");
    assert_eq!(nowhere.0, "unreachable");
    let refused = ["rebind", "both", "others", "six", "mixed", "mapped", "inside", "metadata", "own", "chain"];
    for name in refused {
        assert_eq!(ask(name), nowhere, "{name}");
    }
    assert_eq!(asked(&served, &bearer, "https://localhost:8443/charts"), nowhere);
    assert_eq!(asked(&served, &bearer, "https://good.lanyard.test:6443/charts"), nowhere, "where nobody listens");
    assert_eq!(names.asked("rebind"), 2);
    assert_eq!(tls.handshakes().len(), 3);
    // Nor is anybody followed.
    assert_eq!(ask("away").0, "unexpected");
    assert_eq!((names.asked("inside"), tls.handshakes().len()), (1, 4));
    let came: Vec<usize> = own.iter().map(Listener::count).collect();
    assert!(came.iter().all(|count| *count == 0), "somebody came: {came:?}");
}
