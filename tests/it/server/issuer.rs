//! An issuer that does as it is told, somebody who is sent to it, and a server whose owner has named it.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::served::{Browser, Served, token};
use crate::double::{Answer, Double, Seen};
use crate::idp::keys::{self, Signing};
use crate::stage::Stage;
use crate::wire::{self, Message};

pub const SECRET: &str = "LNYCANARYclientsecret0123456789";

/// What an issuer does next.
#[derive(Clone)]
pub struct Plan {
    /// What its ID token says besides, or otherwise; what is `null` is not there.
    pub claims: Value,
    pub userinfo: Value,
    pub signing: Signing,
    /// What its document says besides.
    pub document: Value,
    /// What the token endpoint says besides.
    pub tokens: Value,
    /// What happens while the token endpoint is asked.
    pub meanwhile: Arc<dyn Fn() + Send + Sync>,
}

/// An issuer.
pub struct Issuer {
    pub double: Double,
    pub plan: Arc<Mutex<Plan>>,
}

impl Issuer {
    pub fn start() -> Self {
        let plan = Plan {
            claims: json!({}),
            userinfo: json!({}),
            signing: Signing::Rs256,
            document: json!({}),
            tokens: json!({}),
            meanwhile: Arc::new(|| ()),
        };
        let plan = Arc::new(Mutex::new(plan));
        let kept = Arc::clone(&plan);
        let double = Double::start(move |seen: &Seen| {
            let own = format!("http://{}", seen.header("host").unwrap_or_default());
            let plan = kept.lock().unwrap().clone();
            match seen.path() {
                "/.well-known/openid-configuration" => {
                    let document = json!({
                        "issuer": own, "authorization_endpoint": format!("{own}/authorize"),
                        "token_endpoint": format!("{own}/token"), "userinfo_endpoint": format!("{own}/userinfo"),
                        "jwks_uri": format!("{own}/jwks"), "code_challenge_methods_supported": ["S256"],
                    });
                    Answer::json(200, &with(document, &plan.document))
                }
                "/jwks" => Answer::json(200, &keys::jwks(false)),
                "/token" => {
                    (plan.meanwhile)();
                    let now = chrono::Utc::now().timestamp();
                    let claims = json!({
                        "iss": own, "aud": "web", "sub": "account-1", "iat": now, "exp": now + 300, "auth_time": now,
                    });
                    let id_token = keys::sign(&json!({}), &with(claims, &plan.claims), &plan.signing);
                    let given = json!({ "access_token": "runtime", "token_type": "Bearer", "id_token": id_token });
                    Answer::json(200, &with(given, &plan.tokens))
                }
                "/userinfo" if seen.bears("runtime") => Answer::json(200, &plan.userinfo),
                _ => Answer::json(404, "{}"),
            }
        });
        Self { double, plan }
    }

    pub fn url(&self) -> String {
        self.double.url()
    }

    pub fn will(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan.lock().unwrap());
    }
}

fn with(mut whole: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            whole.as_object_mut().unwrap().remove(name);
        } else {
            whole[name] = value.clone();
        }
    }
    whole
}

/// Somebody who was sent to an issuer.
pub struct Errand {
    pub cookie: String,
    pub address: String,
    pub fields: Vec<(String, String)>,
}

impl Errand {
    /// The answer to a form that sends one there.
    pub fn of(sent: &Message) -> Self {
        assert_eq!(sent.status(), 200, "{}", sent.text());
        let address = sent.header("refresh").expect("an address").split("url=").nth(1).unwrap().to_owned();
        let cookie = sent.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned();
        let fields = wire::fields(address.split_once('?').unwrap().1.as_bytes());
        Self { cookie, address, fields }
    }

    pub fn field(&self, name: &str) -> &str {
        wire::field(&self.fields, name).unwrap_or_else(|| panic!("{name} in {}", self.address))
    }

    /// Comes back in this browser.
    pub fn back(&self, browser: &Browser, changes: &[(&str, &str)]) -> Message {
        let mut answer = vec![("code", "a code"), ("state", self.field("state"))];
        for (name, value) in changes {
            answer.retain(|(known, _)| known != name);
            if !value.is_empty() {
                answer.push((name, value));
            }
        }
        let address = format!("{}?{}", self.field("redirect_uri"), wire::form(&answer));
        self.deliver(browser, &address)
    }

    pub fn deliver(&self, browser: &Browser, address: &str) -> Message {
        let cookies = [browser.cookie().unwrap_or("other=1"), &self.cookie].join("; ");
        wire::send("GET", address, &[&format!("Cookie: {cookies}")], "").expect("a page")
    }
}

/// Goes to the issuer of an identifier.
pub fn go_to(id: &str, browser: &Browser, fields: &[(&str, &str)]) -> Errand {
    Errand::of(&browser.post(&format!("/sign-in/with/{id}"), fields))
}

/// The session that an answer begins.
pub fn session(answer: &Message) -> Option<String> {
    let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value);
    let first = cookies.filter_map(|cookie| cookie.split(';').next()).find(|cookie| !cookie.contains("-errand="));
    first.map(str::to_owned)
}

/// A server with an owner who runs it by a token, and an issuer.
pub struct Scene {
    pub served: Served,
    pub owner: Stage,
    pub admin: String,
    pub issuer: Issuer,
    /// The identifier of the issuer here.
    pub id: String,
}

impl Scene {
    pub fn new(changes: &Value) -> Self {
        Self::on(Served::new(&["--allow-host", "127.0.0.1"]), changes)
    }

    pub fn on(served: Served, changes: &Value) -> Self {
        let owner = served.manager();
        let admin = token(&owner);
        let issuer = Issuer::start();
        let mut scene = Self { served, owner, admin, issuer, id: String::new() };
        let made = scene.make("Corp", &scene.issuer.url(), changes);
        assert_eq!(made.status(), 201, "{}", made.text());
        made.json()["id"].as_str().unwrap().clone_into(&mut scene.id);
        scene
    }

    pub fn make(&self, name: &str, issuer: &str, changes: &Value) -> Message {
        let written = json!({ "name": name, "issuer": issuer, "client_id": "web", "client_secret": SECRET });
        self.served.api("POST", "/upstreams", &self.admin, &with(written, changes).to_string())
    }

    pub fn amend(&self, changes: &Value) {
        let done = self.served.api("PATCH", &format!("/upstreams/{}", self.id), &self.admin, &changes.to_string());
        assert_eq!(done.status(), 200, "{}", done.text());
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.served.url)
    }

    /// Goes to the issuer.
    pub fn go(&self, browser: &Browser, fields: &[(&str, &str)]) -> Errand {
        go_to(&self.id, browser, fields)
    }

    /// Signs in by the issuer as somebody of whom it says this.
    pub fn come(&self, claims: &Value, fields: &[(&str, &str)]) -> Message {
        let browser = self.browser();
        let errand = self.go(&browser, fields);
        self.answer(&errand, claims);
        errand.back(&browser, &[])
    }

    /// What the issuer says to an errand: its nonce, and this.
    pub fn answer(&self, errand: &Errand, claims: &Value) {
        let nonce = json!({ "nonce": errand.field("nonce") });
        self.issuer.will(|plan| plan.claims = with(nonce, claims));
    }

    /// The first page, as whoever comes by an answer sees it.
    pub fn home(&self, answer: &Message) -> String {
        assert_eq!(answer.status(), 303, "{}", answer.text());
        let cookie = session(answer).expect("a session");
        wire::send("GET", &format!("{}/", self.served.url), &[&format!("Cookie: {cookie}")], "").unwrap().text()
    }

    /// The member whom the issuer calls so: their login says that, and some letters by chance.
    fn member(&self, called: &str) -> Option<Value> {
        let all = self.owner.run(&["members", "list", "--json"]).ends(0).json();
        let chance = |one: &Value| one["login"].as_str()?.strip_prefix(called)?.strip_prefix('-').map(str::len);
        all.as_array().unwrap().iter().find(|one| chance(one) == Some(8)).cloned()
    }

    pub fn role(&self, called: &str) -> Option<String> {
        self.member(called)?["role"].as_str().map(str::to_owned)
    }

    pub fn login(&self, called: &str) -> String {
        self.member(called).expect("a member")["login"].as_str().unwrap().to_owned()
    }

    pub fn invite(&self, whom: &str) -> String {
        let link = self.owner.run(&["members", "invite", whom, "--role", "member"]).ends(0);
        link.stdout().trim().split("token=").nth(1).unwrap().to_owned()
    }
}
