//! Credentials that are connected to an account at another service, with `oidc-provider` as that service: connected in
//! the portal, read by the command line, renewed by the server, ended.

use std::time::Duration;

use serde_json::{Value, json};

use super::served::{Browser, Served, hidden, token};
use super::team::{invite, invite_for, join};
use crate::canary::{Canary, Sweep};
use crate::peers::{OidcProvider, person};
use crate::stage::Stage;
use crate::vaulted::list;
use crate::wire::{self, Message};

/// The secret of the server's client at the service.
pub const CLIENT_SECRET: &str = "LNYCANARYclientsecret0123456789";

/// A server that may ask at this machine.
pub fn serve(more: &[&str]) -> Served {
    Served::new(&[&["--allow-host", "127.0.0.1"], more].concat())
}

/// The pages of an organization in a browser.
pub struct Pages {
    pub browser: Browser,
    /// The address of its credentials.
    pub base: String,
}

impl Pages {
    pub fn of(browser: Browser) -> Self {
        let home = browser.get("/").text();
        let org = home.split("href=\"/portal/").nth(1).unwrap().split('/').next().unwrap();
        Self { base: format!("/portal/{org}/credentials"), browser }
    }

    pub fn get(&self, rest: &str) -> Message {
        self.browser.get(&format!("{}{rest}", self.base))
    }

    /// Sends a form with the hidden fields of a page.
    pub fn send(&self, page: &str, to: &str, fields: &[(&str, &str)]) -> Message {
        let form = self.get(page).text();
        let mut all = hidden(form.split("<main").nth(1).expect("a page"));
        all.dedup();
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.browser.post(&format!("{}{to}", self.base), &all)
    }

    /// Stores how one signs in; the identifier of the credential.
    pub fn configure(&self, idp: &OidcProvider, name: &str) -> String {
        self.configure_in(idp, name, "")
    }

    /// The same in a project.
    pub fn configure_in(&self, idp: &OidcProvider, name: &str, project: &str) -> String {
        let fields = [
            ("other", "corp"),
            ("issuer", idp.issuer()),
            ("client_id", "server-confidential"),
            ("client_secret", CLIENT_SECRET),
            ("name", name),
            ("project", project),
        ];
        let done = self.send("/connect", "/connect", &fields);
        assert_eq!(done.status(), 303, "{}", done.text());
        let to = done.header("location").unwrap().strip_prefix(&self.base).unwrap();
        to.strip_prefix('/').unwrap().strip_suffix("/connect").unwrap().to_owned()
    }

    /// Begins a sign-in; the address at the service.
    pub fn begin(&self, id: &str, fields: &[(&str, &str)]) -> String {
        let page = self.send(&format!("/{id}/connect"), &format!("/{id}/connect"), fields);
        assert_eq!(page.status(), 200, "{}", page.text());
        let address = page.header("refresh").unwrap().strip_prefix("0;url=").unwrap().to_owned();
        assert!(page.text().contains(&format!("href=\"{}\"", address.replace('&', "&amp;"))), "{}", page.text());
        address
    }

    /// Brings back what the service answered.
    pub fn come_back(&self, callback: &str) -> Message {
        let path = callback.split_once("://").unwrap().1;
        self.browser.get(&path[path.find('/').unwrap()..])
    }

    /// Signs in at the service and comes back.
    pub fn connect(&self, id: &str) {
        let callback = consent(&self.begin(id, &[]), &[]);
        let back = self.come_back(&callback);
        let expected = format!("{}/{id}?done=connected", self.base);
        assert_eq!((back.status(), back.header("location")), (303, Some(&*expected)), "{}", back.text());
    }
}

/// Has a person sign in at the service; the address that they are sent back to, which nobody has visited yet.
pub fn consent(address: &str, options: &[&str]) -> String {
    let visit = person(address, &[&["--no-deliver"], options].concat());
    let to = visit["final"].as_str().unwrap().to_owned();
    assert!(to.contains("/connect/callback?"), "{visit}");
    to
}

/// The access token of the credential `corp`, as a tool gets it.
pub fn bearer(stage: &Stage) -> String {
    let json = stage.run(&["credentials", "export", "corp", "--format", "json"]).ends(0).json();
    json["CORP_ACCESS_TOKEN"].as_str().expect("a token").to_owned()
}

/// What the service answers to a token.
pub fn whoami(idp: &OidcProvider, bearer: &str) -> u16 {
    let header = format!("Authorization: Bearer {bearer}");
    wire::send("GET", &format!("{}/me", idp.issuer()), &[&header], "").expect("an answer").status()
}

/// The entries of the audit about a credential: what was done, and what came of it.
pub fn told(served: &Served, id: &str) -> Vec<(String, String, String)> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let entries = served.entries().into_iter().filter(|entry| entry["object"] == *id);
    entries.map(|entry| (text(&entry, "action"), text(&entry, "outcome"), text(&entry, "detail"))).collect()
}

fn has(told: &[(String, String, String)], action: &str, outcome: &str, detail: &str) -> usize {
    let wanted = (action.to_owned(), outcome.to_owned(), detail.to_owned());
    told.iter().filter(|one| **one == wanted).count()
}

/// A credential that is connected, and the machine of somebody who uses it.
struct Connected {
    idp: OidcProvider,
    served: Served,
    pages: Pages,
    stage: Stage,
    api: String,
    id: String,
}

impl Connected {
    fn ask(&self, method: &str, rest: &str, body: &str) -> Message {
        self.served.api(method, &format!("/credential-configs/{}{rest}", self.id), &self.api, body)
    }

    fn page(&self, rest: &str) -> String {
        self.pages.get(&format!("/{}{rest}", self.id)).text()
    }
}

/// Whoever reads it gets the access token, and until when it lives.
fn read_it(connected: &Connected) -> String {
    let Connected { idp, stage, .. } = connected;
    let read = connected.ask("GET", "/secrets", "").json();
    assert!(read["expires"].is_string(), "{read}");
    assert_eq!(read["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["session"]);
    let session: Value = serde_json::from_str(read["data"]["session"].as_str().unwrap()).unwrap();
    let known: Vec<&String> = session.as_object().unwrap().keys().collect();
    for withheld in ["refresh_token", "id_token", "client_id", "client_secret", "token_endpoint"] {
        assert!(!known.iter().any(|name| *name == withheld), "{known:?}");
    }
    let token = session["access_token"].as_str().unwrap();
    assert_eq!(whoami(idp, token), 200);
    let shown = connected.ask("GET", "", "").json();
    assert_eq!((&shown["connection"], &shown["secret_names"]), (&json!("connected"), &json!(["session"])), "{shown}");
    let one = &list(stage)[0];
    assert_eq!((&one["kind"], &one["status"]), (&json!("oauth"), &json!("active")));
    let verified = connected.ask("POST", "/verify", "").json();
    assert_eq!((&verified["valid"], &verified["identity"]), (&json!(true), &json!("alice@example.test")), "{verified}");
    assert_eq!(stage.run(&["credentials", "test", "corp"]).ends(0).stdout(), "corp  PASSED: alice@example.test\n");
    bearer(stage)
}

/// Its time is over: the server has it renewed, and everybody gets the new one.
fn renew_it(connected: &Connected, first: &str) -> String {
    let Connected { idp, stage, .. } = connected;
    let before = idp.count("/token");
    std::thread::sleep(Duration::from_secs(11));
    let second = bearer(stage);
    assert_ne!(second, first);
    assert_eq!((whoami(idp, &second), idp.count("/token")), (200, before + 1));
    let version = connected.ask("GET", "", "").json()["version"].clone();
    let body = json!({ "version": version }).to_string();
    let renewed = connected.ask("POST", "/refresh", &body).json();
    assert_eq!(renewed["connection"], "connected", "{renewed}");
    let again = connected.ask("POST", "/refresh", &body).json();
    assert_eq!((idp.count("/token"), &again["version"]), (before + 2, &renewed["version"]), "it is newer already");

    // What was read back changes nothing.
    let read = connected.ask("GET", "/secrets", "").json();
    let same = json!({ "data": read["data"] }).to_string();
    assert_eq!(connected.ask("POST", "/secrets", &same).status(), 200);
    let renewal = json!({ "renewal": true, "data": read["data"] }).to_string();
    assert_eq!(connected.ask("POST", "/secrets", &renewal).status(), 422);
    let forced = connected.ask("POST", "/refresh", "{}");
    assert_eq!(forced.status(), 200, "what renews it is still there: {}", forced.text());
    second
}

/// It is ended there and here, and connected again for whoever uses it.
fn end_it(connected: &Connected) -> [String; 2] {
    let Connected { idp, served, pages, stage, id, .. } = connected;
    let last = bearer(stage);
    let ended = stage.run(&["credentials", "disconnect", "corp"]).ends(0);
    assert!(ended.stderr().contains("ended at the service and removed from the server"), "{ended}");
    assert_eq!(whoami(idp, &last), 401);
    assert_eq!(list(stage)[0]["status"], "needs attention");
    let page = connected.page("");
    assert!(page.contains("<dd>disconnected</dd>") && !page.contains(">Disconnect<"), "{page}");
    stage.run(&["credentials", "export", "corp", "--format", "json"]).ends(8);
    assert_eq!(connected.ask("POST", "/disconnect", "").status(), 409);
    let offered = stage.run(&["credentials", "reconnect", "corp"]).ends(0).stdout();
    assert_eq!(offered.trim(), format!("{}{}/{id}/connect", served.url, pages.base));
    pages.connect(id);
    let third = bearer(stage);
    assert_eq!(whoami(idp, &third), 200);
    let shown = connected.ask("GET", "", "").json();
    assert_eq!(shown["used_by"], json!(["workspace deploy"]), "whoever uses it goes on");
    [last, third]
}

#[test]
fn a_service_is_connected_read_renewed_ended_and_connected_again() {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "10")]);
    let served = serve(&[]);
    let pages = Pages::of(served.browser());
    let form = pages.get("/connect").text();
    assert!(form.contains(&format!("<code>{}/connect/callback</code>", served.url)), "{form}");
    let id = pages.configure(&idp, "corp");
    let stage = served.manager();
    let api = token(&stage);
    let mut connected = Connected { idp, served, pages, stage, api, id };
    let page = connected.page("");
    assert!(page.contains("<dt>Sign-in</dt><dd>not connected</dd>") && page.contains(">Connect<"), "{page}");
    let unread = connected.ask("GET", "/secrets", "").json();
    assert_eq!(unread["data"], json!({}), "the secret of the client is nobody's to read");
    assert_eq!(connected.ask("POST", "/verify", "").status(), 422);
    connected.stage.run(&["workspaces", "create", "deploy", "corp"]).ends(0);

    connected.pages.connect(&connected.id);
    assert_eq!(connected.idp.count("/token"), 1);
    let page = connected.page("?done=connected");
    for part in ["It is connected.", "<dd>connected</dd>", "alice@example.test", "workspace deploy", "offline_access"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(page.contains(">Reconnect<") && page.contains(">Disconnect<"));
    let first = read_it(&connected);
    let second = renew_it(&connected, &first);
    let [last, third] = end_it(&connected);

    let told = told(&connected.served, &connected.id);
    for (action, detail, count) in [
        ("credential.create", "oauth", 1),
        ("credential.connect-begin", "", 2),
        ("credential.connect", "oauth", 2),
        ("credential.disconnect", "revoked", 1),
    ] {
        assert_eq!(has(&told, action, "done", detail), count, "{action}: {told:?}");
    }
    assert!(has(&told, "credential.refresh", "done", "") >= 3, "{told:?}");

    // No token and no secret rests readable, is shown or is told.
    let canaries: Vec<Canary> = [CLIENT_SECRET, &first, &second, &third, &last].into_iter().map(Canary::of).collect();
    let mut sweep = Sweep::for_canaries(&canaries);
    sweep.bytes("a page", connected.page("").as_bytes()).bytes("the form", connected.page("/connection").as_bytes());
    sweep.bytes("the audit", serde_json::to_string(&connected.served.entries()).unwrap().as_bytes());
    let said = connected.served.ended("TERM");
    sweep.bytes("the log", said.stdout().as_bytes()).bytes("the log", said.stderr().as_bytes());
    sweep.tree(&connected.served.data()).assert_clean();
}

#[test]
fn what_comes_back_counts_once_for_the_session_that_began_it() {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "3000")]);
    let served = serve(&[]);
    let alice = Pages::of(served.browser());
    let id = alice.configure(&idp, "corp");
    let link = invite(&served.manager(), "member");
    let bob = Pages::of(join(&served, link.trim(), "bob@example.com"));
    let denied = |detail: &str| {
        let of = |entry: &&Value| entry["action"] == "credential.connect" && entry["outcome"] == "denied";
        served.entries().iter().filter(of).filter(|entry| entry["detail"] == *detail).count()
    };
    let refused = |pages: &Pages, callback: &str, detail: &str| {
        let before = denied(detail);
        let back = pages.come_back(callback);
        assert_eq!(back.status(), 403, "{detail}: {}", back.text());
        assert!(!back.text().contains("code="), "{}", back.text());
        assert_eq!(denied(detail), before + 1, "{detail}");
    };

    // A word that nobody has given out, and one that was changed on the way.
    let unknown = format!("{}/connect/callback?code=x&state=y", served.url);
    refused(&alice, &unknown, "unknown");
    refused(&alice, &format!("{}/connect/callback?code=x", served.url), "unknown");
    refused(&Pages { browser: Browser::new(&served.url), base: String::new() }, &unknown, "unknown");

    // Another person, another session of the same person, and nobody at all: it is void from then on.
    for (who, detail) in [(&bob, "another-session"), (&Pages::of(served.browser()), "another-session")] {
        let callback = consent(&alice.begin(&id, &[]), &[]);
        refused(who, &callback, detail);
        refused(&alice, &callback, "spent");
    }
    let callback = consent(&alice.begin(&id, &[]), &[]);
    refused(&Pages { browser: Browser::new(&served.url), base: String::new() }, &callback, "signed-out");
    refused(&alice, &callback, "spent");
    assert_eq!(idp.count("/token"), 0, "none of these codes was exchanged");

    // The service was not allowed to, or sends nonsense; the state is spent all the same.
    let address = alice.begin(&id, &[]);
    let denied = alice.come_back(&consent(&address, &["--deny"]));
    assert_eq!(denied.status(), 403, "{}", denied.text());
    assert!(denied.text().contains("Not connected") && denied.text().contains("Back to the credential"));
    let callback = consent(&alice.begin(&id, &[]), &[]);
    let code = callback.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let wrong = alice.come_back(&callback.replace(code, "nonsense"));
    assert_eq!(wrong.status(), 400, "{}", wrong.text());
    // What the service says is not for whoever named it.
    let sentence = "The service gave nothing to sign in with.<";
    assert!(wrong.text().contains(sentence), "{}", wrong.text());
    assert!(denied.text().contains("The service was not allowed to.<"), "{}", denied.text());
    refused(&alice, &callback, "spent");

    // Too late, and for a client that is another one by now.
    let callback = consent(&alice.begin(&id, &[]), &[]);
    served.sql("UPDATE connect_attempts SET expires = 1 WHERE spent IS NULL");
    refused(&alice, &callback, "late");
    let callback = consent(&alice.begin(&id, &[]), &[]);
    let api = token(&served.manager());
    let other =
        json!({ "fields": { "service": "corp", "issuer": idp.issuer(), "client_id": "cli-public" }, "data": {} });
    assert_eq!(
        served.api("POST", &format!("/credential-configs/{id}/secrets"), &api, &other.to_string()).status(),
        200
    );
    assert_eq!(alice.come_back(&callback).status(), 409);
    let shown = served.api("GET", &format!("/credential-configs/{id}"), &api, "").json();
    assert_eq!(shown["connection"], "not connected", "{shown}");

    // One that is connected, and then another account.
    let fields = [
        ("other", "corp"),
        ("issuer", idp.issuer()),
        ("client_id", "server-confidential"),
        ("client_secret", CLIENT_SECRET),
    ];
    let changed = alice.send(&format!("/{id}/connection"), &format!("/{id}/connection"), &fields);
    assert_eq!(changed.status(), 303, "{}", changed.text());
    let callback = consent(&alice.begin(&id, &[]), &[]);
    let first = alice.come_back(&callback);
    assert_eq!(first.status(), 303, "{}", first.text());
    refused(&alice, &callback, "spent");
    let other = alice.come_back(&consent(&alice.begin(&id, &[]), &["--user", "eve"]));
    assert_eq!(other.status(), 409, "{}", other.text());
    assert!(alice.get(&format!("/{id}")).text().contains("alice@example.test"));
    let meant = alice.come_back(&consent(&alice.begin(&id, &[("switches", "yes")]), &["--user", "eve"]));
    assert_eq!(meant.status(), 303, "{}", meant.text());
    assert!(alice.get(&format!("/{id}")).text().contains("eve@example.test"));
}

#[test]
fn the_way_back_is_the_configured_one_and_readers_connect_nothing() {
    let idp = OidcProvider::start(&[("ACCESS_TTL", "3000")]);
    let served = serve(&[]);
    let alice = Pages::of(served.browser());
    let id = alice.configure(&idp, "corp");
    let page = alice.get(&format!("/{id}/connect")).text();
    let fields = hidden(page.split("<main").nth(1).unwrap());
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let headers = [&*format!("Origin: {}", served.url), "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https"];
    let begun = alice.browser.post_with(&format!("{}/{id}/connect", alice.base), &fields, &headers);
    let back: String =
        url::form_urlencoded::byte_serialize(format!("{}/connect/callback", served.url).as_bytes()).collect();
    let address = begun.header("refresh").unwrap();
    assert!(address.contains(&format!("redirect_uri={back}&")) && !address.contains("evil"), "{address}");
    assert!(address.contains("code_challenge_method=S256"), "{address}");

    let link = invite_for(&served.manager(), "ron@example.com", "reader");
    let ron = join(&served, link.trim(), "ron@example.com");
    let reader = token(&served.client_of(&ron, None));
    for (method, rest) in [("POST", "connect"), ("POST", "disconnect"), ("POST", "refresh"), ("GET", "secrets")] {
        let answer = served.api(method, &format!("/credential-configs/{id}/{rest}"), &reader, "");
        assert_eq!(answer.status(), 403, "{rest}");
    }
    let ron = Pages::of(ron);
    assert_eq!(ron.get(&format!("/{id}/connect")).status(), 403);
    assert!(!ron.get(&format!("/{id}")).text().contains(">Connect<"));

    // Where nobody answers, and where the server does not ask.
    for (issuer, status) in [("https://127.0.0.1:9", 503), ("https://10.0.0.1", 503)] {
        let fields = [
            ("other", "away"),
            ("issuer", issuer),
            ("client_id", "x"),
            ("name", &*format!("n{status}-{}", issuer.len())),
        ];
        let made = alice.send("/connect", "/connect", &fields);
        assert_eq!(made.status(), 303, "{}", made.text());
        let to = made.header("location").unwrap().strip_prefix(&alice.base).unwrap().to_owned();
        let page = alice.send(&to, &to, &[]);
        assert_eq!((page.status(), page.header("retry-after")), (status, Some("5")), "{}", page.text());
        assert!(page.text().contains("role=\"alert\""), "{}", page.text());
    }
    for fields in [
        &[("other", "x"), ("client_id", "x"), ("name", "no-address")][..],
        &[("issuer", "https://id.example"), ("client_id", "x"), ("name", "no-service")],
        &[("other", "x"), ("issuer", "http://id.example"), ("client_id", "x"), ("name", "readable")],
        &[("service", "github"), ("name", "no-client")],
    ] {
        assert_eq!(alice.send("/connect", "/connect", fields).status(), 422, "{fields:?}");
    }
}
