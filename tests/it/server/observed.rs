//! What a server tells of itself: numbers for Prometheus, and a log. Neither says what somebody sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;

use serde_json::Value;

use super::served::{Browser, LOGIN, PASSPHRASE, Served, token};
use crate::canary::{Canary, Sweep};
use crate::vaulted::{reveal, store_env};
use crate::wire;

/// A port that nobody listens on.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The samples of a page in the text form of Prometheus, read strictly: name and labels as they stand, and the number.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let name = regex::Regex::new("^[a-zA-Z_:][a-zA-Z0-9_:]*$").unwrap();
    let line = regex::Regex::new("^([a-zA-Z_:][a-zA-Z0-9_:]*)(\\{(.*)\\})? (\\S+)$").unwrap();
    let label = regex::Regex::new("^[a-zA-Z_][a-zA-Z0-9_]*=\"[^\"\\\\\n]*\"$").unwrap();
    assert!(page.ends_with('\n'));
    let (mut families, mut current, mut helped) = (BTreeMap::new(), None::<(String, String)>, None::<String>);
    let mut found = BTreeMap::new();
    for text in page.lines() {
        if let Some(help) = text.strip_prefix("# HELP ") {
            let (named, help) = help.split_once(' ').expect("a name and a sentence");
            assert!(name.is_match(named) && !help.is_empty(), "{text}");
            helped = Some(named.to_owned());
            continue;
        }
        if let Some(kind) = text.strip_prefix("# TYPE ") {
            let (named, kind) = kind.split_once(' ').expect("a name and a type");
            assert_eq!(helped.as_deref(), Some(named), "{text}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{text}");
            assert_eq!(kind == "counter", named.ends_with("_total"), "{text}");
            assert!(families.insert(named.to_owned(), kind.to_owned()).is_none(), "twice: {text}");
            current = Some((named.to_owned(), kind.to_owned()));
            continue;
        }
        let parts = line.captures(text).unwrap_or_else(|| panic!("no sample: {text}"));
        let (family, kind) = current.as_ref().expect("a family comes first");
        let rest = parts[1].strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{text} is not of {family}"));
        let ends: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(ends.contains(&rest), "{text}");
        let labels: Vec<&str> = parts.get(3).map_or_else(Vec::new, |labels| labels.as_str().split(',').collect());
        assert!(labels.iter().all(|one| label.is_match(one)), "{text}");
        let names: BTreeSet<&str> = labels.iter().map(|one| one.split('=').next().unwrap()).collect();
        assert_eq!(names.len(), labels.len(), "{text}");
        let value: f64 = parts[4].parse().unwrap_or_else(|_| panic!("no number: {text}"));
        let key = text.rsplit_once(' ').unwrap().0.to_owned();
        assert!(found.insert(key, value).is_none(), "twice: {text}");
    }
    for (key, count) in found.iter().filter(|(key, _)| key.contains("_count{")) {
        let labels = key.split_once('{').unwrap().1.trim_end_matches('}');
        let buckets: Vec<f64> = page
            .lines()
            .filter(|line| line.contains("_bucket{") && line.contains(labels))
            .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
            .collect();
        assert!(buckets.is_sorted() && buckets.last() == Some(count), "{key}: {buckets:?}");
    }
    found
}

#[test]
fn prometheus_is_told_numbers_and_nothing_that_somebody_sent() {
    let metrics = free();
    let served = Served::new(&["--metrics-listen", &metrics, "--rate-caller", "20"]);
    let stage = served.client();
    let bearer = token(&stage);
    let canary = Canary::new();
    store_env(&stage, "LNYCANARYname", "A", canary.text());
    let mut browser = Browser::new(&served.url);
    assert_eq!(browser.sign_in("LNYCANARYlogin", "LNYCANARYwrong wrong").status(), 403);
    let passkey = [("question", "LNYCANARYquestion"), ("answer", "{}")];
    assert_eq!(Browser::new(&served.url).post("/sign-in/passkey/answer", &passkey).status(), 403);
    let half = [("half", "LNYCANARYhalf"), ("question", "x"), ("answer", "{}")];
    assert_eq!(Browser::new(&served.url).post("/sign-in/code/passkey/answer", &half).status(), 403);
    for (method, path) in
        [("GET", "/LNYCANARYpath"), ("LNYCANARY", "/healthz"), ("GET", "/credential-configs/LNYCANARY")]
    {
        served.api(method, path, &bearer, "");
    }
    served.api("GET", "/credential-configs", "lny_pat_LNYCANARY", "");
    while served.api("GET", "/credential-configs?q=LNYCANARY", &bearer, "").status() != 429 {}
    let page = wire::get(&format!("http://{metrics}/metrics")).unwrap();
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = page.text();
    for secret in ["LNYCANARY", LOGIN, PASSPHRASE, "Acme", &bearer, "org_", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let samples = samples(&text);
    let number = |key: &str| samples.get(key).copied().unwrap_or_default();
    for (key, least) in [
        ("lanyard_sign_ins_total{way=\"passphrase\",outcome=\"done\"}", 1.0),
        ("lanyard_sign_ins_total{way=\"passphrase\",outcome=\"refused\"}", 1.0),
        ("lanyard_sign_ins_total{way=\"passkey\",outcome=\"refused\"}", 1.0),
        ("lanyard_sign_ins_total{way=\"second factor\",outcome=\"refused\"}", 1.0),
        ("lanyard_sign_ins_total{way=\"code\",outcome=\"done\"}", 1.0),
        ("lanyard_http_requests_total{route=\"/credential-configs/{id}\",method=\"GET\",status=\"4xx\"}", 1.0),
        ("lanyard_http_requests_total{route=\"none\",method=\"GET\",status=\"4xx\"}", 1.0),
        ("lanyard_http_requests_total{route=\"/healthz\",method=\"other\",status=\"4xx\"}", 1.0),
        ("lanyard_http_request_duration_seconds_count{route=\"/token\",method=\"POST\"}", 1.0),
        ("lanyard_rate_limited_total{rate=\"caller\",class=\"read\"}", 1.0),
        ("lanyard_organizations", 1.0),
        ("lanyard_people", 1.0),
        ("lanyard_credentials", 1.0),
        ("lanyard_database_up", 1.0),
        ("lanyard_build_info{version=\"0.1.0\"}", 1.0),
        ("process_resident_memory_bytes", 1_000_000.0),
        ("process_cpu_seconds_total", 0.01),
        ("process_start_time_seconds", 1_700_000_000.0),
        ("process_open_fds", 5.0),
    ] {
        assert!(number(key) >= least, "{key} {}: {text}", number(key));
    }
    assert_eq!((number("lanyard_database_failures_total"), number("lanyard_audit_failures_total")), (0.0, 0.0));
    // It is told there and nowhere else, and there is nothing else there.
    assert_eq!(wire::get(&format!("{}/metrics", served.url)).unwrap().status(), 404);
    for path in ["/", "/debug/pprof", "/healthz", "/credential-configs"] {
        assert_eq!(wire::get(&format!("http://{metrics}{path}")).unwrap().status(), 404);
    }
    // Where the audit cannot be written, nothing is done, and it is counted.
    served.sql("DROP TABLE audit_heads");
    assert_eq!(served.browser_fails(), 503);
    let after = self::samples(&wire::get(&format!("http://{metrics}/metrics")).unwrap().text());
    assert!(after["lanyard_audit_failures_total"] >= 1.0 && after["lanyard_database_failures_total"] >= 1.0);
}

impl Served {
    /// What a sign-in comes to that cannot be told in the audit.
    fn browser_fails(&self) -> u16 {
        Browser::new(&self.url).sign_in(LOGIN, PASSPHRASE).status()
    }
}

#[test]
fn numbers_are_told_to_nobody_unless_that_is_asked_for() {
    let served = Served::new(&[]);
    assert_eq!(wire::get(&format!("{}/metrics", served.url)).unwrap().status(), 404);
    let open = served.stage.run(&served.words(&["--check", "--metrics-listen", "here"])).ends(3);
    assert!(open.stderr().contains("--metrics-listen cannot be used"), "{open}");
}

#[test]
fn the_log_tells_of_each_request_and_not_what_it_said() {
    let mut served = Served::new(&[]);
    let stage = served.manager();
    let bearer = token(&stage);
    let canary = Canary::new();
    store_env(&stage, "db", "A", canary.text());
    assert_eq!(reveal(&stage, "db", "A"), canary.text());
    let secret = |token: &str| Canary::of(token.rsplit('_').nth(1).unwrap());
    let cookie = served.browser().cookie().unwrap().to_owned();
    let link = served.api("POST", "/invitations", &bearer, "{\"role\":\"reader\",\"for\":\"bob\"}").text();
    let invitation = link.split("token=").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut browser = Browser::new(&served.url);
    browser.sign_in("LNYCANARYlogin0123456789", "LNYCANARYwrong0123456789");
    browser.get(&format!("/invite?token={invitation}"));
    browser.get("/LNYCANARYpath0123456789?q=LNYCANARYquery0123456789");
    browser.post("/token", &[("grant_type", "LNYCANARYgrant0123456789"), ("client_id", "lanyard")]);
    browser.post("/token", &[("grant_type", "refresh_token"), ("client_id", "lanyard"), ("refresh_token", &bearer)]);
    browser.post("/revoke", &[("token", &format!("{bearer}LNYCANARYtoken0123456789"))]);
    browser.post("/introspect", &[("token", &bearer), ("client_id", "lanyard")]);
    let header = ["X-Custom: LNYCANARYheader0123456789", "User-Agent: LNYCANARYagent0123456789"];
    served.api_with("GET", "/userinfo", &bearer, "", &header);
    served.api("POST", "/credential-configs", &bearer, "{\"name\":\"LNYCANARYname0123456789\", LNYCANARYbroken}");
    served.api("LNYCANARYmethod", "/userinfo", &bearer, "");
    served.api("GET", "/userinfo", "LNYCANARYbearer0123456789", "");
    let one = served.api("GET", "/credential-configs", &bearer, "").json()["items"][0]["id"].clone();
    let path = format!("/credential-configs/{}/secrets", one.as_str().unwrap());
    let read = served.api("GET", &path, &bearer, "");
    let number = read.header("x-request-id").unwrap().to_owned();
    served.sql("ALTER TABLE projects RENAME TO LNYCANARYtable");
    assert_eq!(served.api("GET", "/projects", &bearer, "").status(), 503);
    served.sql("ALTER TABLE LNYCANARYtable RENAME TO projects");

    let ended = served.ended("TERM");
    let log = ended.stderr();
    let canaries = [
        canary,
        Canary::of("LNYCANARY"),
        Canary::of(PASSPHRASE),
        secret(&bearer),
        secret(&cookie),
        secret(&invitation),
        Canary::of(LOGIN),
    ];
    Sweep::for_canaries(&canaries).bytes("the log", &ended.stderr).assert_clean();
    let lines: Vec<Value> = log
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let requests: Vec<&Value> = lines.iter().filter(|line| line["event"] == "request").collect();
    assert!(requests.len() > 20, "{log}");
    for line in &requests {
        assert!(line["time"].as_str().unwrap().ends_with('Z') && line["request"].as_str().unwrap().len() == 16);
        assert!(line["status"].is_u64() && line["milliseconds"].is_u64() && line["route"].is_string(), "{line}");
    }
    let read = requests.iter().find(|line| line["request"] == number.as_str()).expect("its line");
    assert_eq!((&read["route"], &read["method"]), (&"/credential-configs/{id}/secrets".into(), &"GET".into()));
    assert_eq!((&read["status"], &read["level"]), (&200.into(), &"info".into()));
    assert!(read["organization"].as_str().unwrap().starts_with("org_") && read["person"].is_string(), "{read}");
    let failed = requests.iter().find(|line| line["status"] == 503).expect("its line");
    assert_eq!((&failed["level"], &failed["route"]), (&"error".into(), &"/projects".into()));
    assert!(lines.iter().any(|line| line["event"] == "the database" && line["level"] == "error"), "{log}");
}

#[test]
fn the_log_has_the_form_that_is_asked_for() {
    let mut served = Served::fresh(&["--log", "text"]);
    wire::get(&format!("{}/healthz?q=LNYCANARYq0123456789", served.url)).unwrap();
    let text = served.ended("TERM").stderr();
    let line = text.lines().find(|line| line.contains("request")).unwrap_or_else(|| panic!("{text}"));
    let form = "Z  INFO lanyard::server::edge: request method=GET milliseconds=";
    assert!(line.contains(form) && line.contains(" route=/healthz status=200"), "{line}");
    let mut served = Served::fresh(&["--log", "off"]);
    wire::get(&format!("{}/healthz", served.url)).unwrap();
    assert!(!served.ended("TERM").stderr().contains("healthz"));
    let mut served = Served::fresh(&["-v"]);
    let address = served.url.strip_prefix("http://").unwrap();
    wire::send_raw(address, b"GET / HTTP/1.1\nHost: localhost\n\n");
    let more = served.ended("TERM").stderr();
    assert!(more.contains("\"level\":\"debug\""), "{more}");
}
