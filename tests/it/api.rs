//! `lanyard api` and `lanyard project` against a small API: bytes as they are sent, fields, pages, refusals, origins.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::second_host::SecondHost;
use crate::stage::Stage;
use crate::wire::Message;

const TOKEN: &str = "api-token-0123456789abcdef";
/// No text, no JSON, and a terminal would act on it.
const BYTES: &[u8] = b"\x00\xff\xfe\x1b[31m\r\nend without a newline";

/// An API that answers by path and remembers what came.
struct Api {
    address: String,
    seen: Arc<Mutex<Vec<Message>>>,
}

impl Api {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let seen = Arc::<Mutex<Vec<Message>>>::default();
        std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                for mut stream in listener.incoming().flatten() {
                    let Ok(message) = Message::read(&stream, false) else { continue };
                    let answer = answer(message.first_line.split(' ').nth(1).unwrap_or_default());
                    seen.lock().expect("the list").push(message);
                    let _ = stream.write_all(&answer);
                }
            }
        });
        Self { address, seen }
    }

    fn last(&self) -> Message {
        self.seen.lock().expect("the list").last().expect("a request").clone()
    }

    fn count(&self) -> usize {
        self.seen.lock().expect("the list").len()
    }
}

fn answer(target: &str) -> Vec<u8> {
    let page = |status: &str, headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    match target {
        "/bytes" => page("200 OK", "Content-Type: application/octet-stream\r\n", BYTES),
        "/none" => page("204 No Content", "", b""),
        "/pages" => page("200 OK", "Link: </pages?page=2>; rel=\"next\", </pages?page=3>; rel=\"last\"\r\n", b"[1]\n"),
        "/pages?page=2" => page("200 OK", "Link: </pages?page=3>; rel=\"next\"\r\n", b"[2]\n"),
        "/pages?page=3" => page("200 OK", "", b"[3]\n"),
        "/away" => page("200 OK", "Link: <http://127.0.0.2:9/pages>; rel=\"next\"\r\n", b"[1]\n"),
        "/unauthorized" => page("401 Unauthorized", "", b"{\"message\":\"who are you\"}"),
        "/projects/web-shop" | "/forbidden" => page("403 Forbidden", "", b"{\"message\":\"no\"}"),
        "/missing" => page("404 Not Found", "", b"{\"message\":\"gone\"}"),
        "/broken" => page("500 Internal Server Error", "", b"oops"),
        "/projects" => page("200 OK", "Link: </projects?page=2>; rel=\"next\"\r\n", b"[{\"name\":\"web-shop\"}]"),
        "/projects?page=2" => page("200 OK", "", b"[{\"name\":\"data-lake\"},{\"name\":\"a/../b c\"}]"),
        _ => page("200 OK", "", b"{}"),
    }
}

/// A home with the profile `work` on that API, and its token in the environment.
fn stage(api: &Api) -> Stage {
    let mut stage = Stage::new();
    stage.write_config(&format!(
        "profile = \"work\"\n\n[profiles.work]\nservice = \"shop\"\nendpoint = \"http://{}\"\n\n[services.shop.api]\n\
         whoami = \"/me\"\nprojects = \"/projects\"\nproject_name = \"/name\"\n",
        api.address
    ));
    stage.set("LANYARD_TOKEN", TOKEN);
    stage
}

#[test]
fn the_answer_is_passed_on_byte_by_byte() {
    let api = Api::start();
    let stage = stage(&api);
    let outcome = stage.run(&["api", "GET", "/bytes"]).ends(0);
    assert_eq!(outcome.stdout, BYTES);
    assert!(outcome.stderr.is_empty(), "{outcome}");
    let request = api.last();
    assert_eq!(request.first_line, "GET /bytes HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer api-token-0123456789abcdef"));
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("lanyard")), "{request:?}");
    assert_eq!(stage.run(&["api", "GET", "/none"]).ends(0).stdout, b"");
    let outcome = stage.run(&["api", "GET", "/bytes", "--include"]).ends(0);
    assert!(outcome.stdout.starts_with(b"HTTP 200\n") && outcome.stdout.ends_with(BYTES), "{outcome}");
    // A colour setting is no reason to touch the answer.
    assert_eq!(stage.run(&["api", "GET", "/bytes", "--no-color"]).ends(0).stdout, BYTES);
}

#[test]
fn fields_headers_and_bodies_travel_as_they_are_given() {
    let api = Api::start();
    let stage = stage(&api);
    stage.run(&["api", "GET", "/find?a=1", "-f", "q=a b&c", "-f", "n=2"]).ends(0);
    assert_eq!(api.last().first_line, "GET /find?a=1&q=a+b%26c&n=2 HTTP/1.1");
    // An address in the query makes a path no address.
    stage.run(&["api", "GET", "/find?u=https://example.com"]).ends(0);
    assert_eq!(api.last().first_line, "GET /find?u=https://example.com HTTP/1.1");
    // A number that is text stays as it was written.
    stage.run(&["api", "POST", "/things", "-f", "version=1.10", "-f", "id=12345678901234567890123"]).ends(0);
    assert_eq!(api.last().json(), serde_json::json!({ "version": "1.10", "id": "12345678901234567890123" }));
    stage.run(&["api", "POST", "/things", "--paginate"]).ends(2);

    let fields = ["-f", "name=web-shop", "-F", "public=true", "-F", "size=3", "-F", "note=null", "-f", "text=a=b"];
    stage.run(&[&["api", "POST", "/things"][..], &fields].concat()).ends(0);
    let request = api.last();
    assert_eq!(request.first_line, "POST /things HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body = serde_json::json!({ "name": "web-shop", "public": true, "size": 3, "note": null, "text": "a=b" });
    assert_eq!(request.json(), body);

    stage.run(&["api", "put", "/things/1", "-H", "Accept: text/plain", "-H", "X-Trace: 7"]).ends(0);
    let request = api.last();
    assert_eq!((request.header("accept"), request.header("x-trace")), (Some("text/plain"), Some("7")));
    assert_eq!(request.first_line, "PUT /things/1 HTTP/1.1");

    let file = stage.home().join("body.bin");
    std::fs::write(&file, BYTES).expect("a file");
    stage.run(&["api", "PATCH", "/things/1", "--input", &file.display().to_string()]).ends(0);
    assert_eq!(api.last().body, BYTES);
    stage.run_with(&["api", "POST", "/things", "--input", "-", "-H", "Content-Type: text/csv"], b"a;b\n").ends(0);
    assert_eq!((api.last().body, api.last().header("content-type")), (b"a;b\n".to_vec(), Some("text/csv")));

    let before = api.count();
    for wrong in [
        &["-H", "Authorization: Bearer mine"][..],
        &["-H", "Host: elsewhere"],
        &["-H", "no header"],
        &["-f", "no-field"],
        &["--input", "/nowhere/at/all"],
        &["--input", "-", "-f", "a=b"],
    ] {
        stage.run(&[&["api", "POST", "/things"][..], wrong].concat()).ends(2);
    }
    assert_eq!(api.count(), before);
}

#[test]
fn pages_are_followed_at_home_only() {
    let api = Api::start();
    let stage = stage(&api);
    stage.run(&["api", "GET", "/pages"]).shows(0, "[1]\n", "");
    stage.run(&["api", "GET", "/pages", "--paginate"]).shows(0, "[1]\n[2]\n[3]\n", "");
    stage.run(&["api", "GET", "/away", "--paginate"]).shows(0, "[1]\n", "");
}

#[test]
fn a_refusal_is_passed_on_and_has_a_code_of_its_own() {
    let api = Api::start();
    let stage = stage(&api);
    let refused = |path: &str, code: i32, body: &str| {
        let outcome = stage.run(&["api", "GET", path]).ends(code);
        assert_eq!(outcome.stdout(), body);
        assert!(outcome.stderr().contains("error: ") && outcome.stderr().contains("next: "), "{outcome}");
        outcome.stderr()
    };
    assert!(refused("/unauthorized", 8, "{\"message\":\"who are you\"}").contains("Invalid authentication token"));
    assert!(refused("/forbidden", 5, "{\"message\":\"no\"}").contains("Permission denied"));
    assert!(refused("/missing", 1, "{\"message\":\"gone\"}").contains("404"));
    assert!(refused("/broken", 6, "oops").contains("500"));
    let denied = stage.run(&["api", "GET", "/projects/{project}", "--project", "web-shop"]).ends(5);
    assert!(denied.stderr().contains("Permission denied for web-shop"), "{denied}");
    assert!(denied.stderr().contains("lanyard project list"), "{denied}");
    assert!(stage.run(&["api", "GET", "/projects/{project}"]).ends(2).stderr().contains("lanyard project use"));
    stage.run(&["api", "GET", "/projects/{project}", "--project", "a/../b c?d"]).ends(0);
    assert_eq!(api.last().first_line, "GET /projects/a%2F..%2Fb%20c%3Fd HTTP/1.1");
}

#[test]
fn no_other_origin_gets_a_request() {
    let api = Api::start();
    let stage = stage(&api);
    let second = SecondHost::start();
    let port = api.address.rsplit(':').next().expect("a port");
    let with_user = format!("http://{}@{}/me", api.address, second.address());
    let addresses =
        [second.url("/me"), format!("https://{}/me", api.address), format!("http://localhost:{port}/me"), with_user];
    for address in &addresses {
        let refused = stage.run(&["api", "GET", address]).ends(2);
        assert!(refused.stderr().contains("error: "), "{refused}");
    }
    // What looks like a path and could be read as a host.
    for path in [format!("//{}/me", second.address()), format!("/\\{}/me", second.address()), "@127.0.0.2/me".into()] {
        let outcome = stage.run(&["api", "GET", &path]);
        assert!(matches!(outcome.code, Some(0..=2)), "{outcome}");
    }
    second.assert_untouched();
    stage.run(&["api", "GET", &format!("http://{}/me", api.address)]).ends(0);
    assert_eq!(api.last().first_line, "GET /me HTTP/1.1");
}

#[test]
fn a_redirect_to_another_origin_is_not_followed() {
    use crate::idp::{Behaviour, Fault, Idp};
    let (idp, second) =
        (Idp::start(Behaviour { api_tokens: vec![TOKEN.into()], ..Behaviour::default() }), SecondHost::start());
    let mut stage = Stage::new();
    stage.write_config(&format!("profile = \"work\"\n[profiles.work]\nendpoint = \"{}\"\n", idp.issuer()));
    stage.set("LANYARD_TOKEN", TOKEN);
    for status in [301, 302, 303, 307, 308] {
        idp.change(|behaviour| {
            behaviour.fault("/v1/me", Fault::Redirect(status, second.url("/v1/me")));
        });
        let outcome = stage.run(&["api", "GET", "/v1/me"]);
        assert!(outcome.code.is_some_and(|code| code != 0 && code < 100), "{outcome}");
        stage.run(&["api", "POST", "/v1/me", "-f", "a=b"]);
    }
    second.assert_untouched();
}

#[test]
fn projects_are_listed_chosen_and_forgotten() {
    let api = Api::start();
    let stage = stage(&api);
    stage.run(&["project", "current"]).ends(1);
    stage.run(&["project", "list"]).shows(0, "  web-shop\n  data-lake\n  a/../b c\n", "");
    stage.run(&["project", "use", "web-shop"]).shows(0, "", "✓ Profile work uses project web-shop\n");
    stage.run(&["project", "list"]).shows(0, "* web-shop\n  data-lake\n  a/../b c\n", "");
    let rows = stage.run(&["project", "list", "--json"]).ends(0).json();
    assert_eq!(rows[0], serde_json::json!({ "name": "web-shop", "current": true }));
    stage.run(&["project", "current"]).shows(0, "web-shop\n", "");
    assert!(stage.config().contains("project = \"web-shop\""), "{}", stage.config());

    let unknown = stage.run(&["project", "use", "data-lak"]).ends(1);
    assert!(unknown.stderr().contains("did you mean `data-lake`?"), "{unknown}");
    stage.run(&["project", "current"]).shows(0, "web-shop\n", "");
    stage.run(&["project", "use", "not-yet", "--no-verify"]).ends(0);
    stage.run(&["project", "current"]).shows(0, "not-yet\n", "");

    stage.run(&["project", "unset"]).ends(0);
    stage.run(&["project", "current"]).ends(1);
    assert!(!stage.config().contains("project = "), "{}", stage.config());
}

#[test]
fn a_service_without_a_project_list_takes_any_project() {
    let api = Api::start();
    let stage = stage(&api);
    stage.run(&["config", "unset", "services.shop.api.projects"]).ends(0);
    let none = stage.run(&["project", "list"]).ends(3);
    assert!(none.stderr().contains("lists no projects"), "{none}");
    stage.run(&["project", "use", "anything"]).ends(0);
    stage.run(&["project", "current"]).shows(0, "anything\n", "");
}
