//! The device grant: what a person is shown before they let a device in, and what lets nobody in.

use serde_json::Value;

use super::grants::text;
use super::organizations::organization;
use super::served::{Browser, PASSPHRASE, Served, hidden, token};
use crate::peers::free_port;
use crate::stage::Stage;
use crate::wire::{self, Message};

/// A device that asks to be let in.
pub struct Device {
    pub secret: String,
    pub user_code: String,
    pub complete: String,
}

impl Device {
    /// One that asks for this, from here or, behind a proxy, from elsewhere.
    pub fn asking(served: &Served, scope: &str, more: &[&str]) -> Self {
        let mut headers = vec!["Content-Type: application/x-www-form-urlencoded"];
        headers.extend(more);
        let body = wire::form(&[("client_id", "lanyard"), ("scope", scope)]);
        let url = format!("{}/device-authorization", served.url);
        let begun = wire::send("POST", &url, &headers, &body).unwrap();
        assert_eq!(begun.status(), 200, "{}", begun.text());
        let begun = begun.json();
        let complete = text(&begun, "verification_uri_complete").strip_prefix(&served.url).unwrap().to_owned();
        Self { secret: text(&begun, "device_code").into(), user_code: text(&begun, "user_code").into(), complete }
    }

    /// What it is told now, however often it asks.
    pub fn poll(&self, served: &Served, more: &[&str]) -> Value {
        served.sql("UPDATE devices SET polled = 0");
        let mut headers = vec!["Content-Type: application/x-www-form-urlencoded"];
        headers.extend(more);
        let body = wire::form(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", "lanyard"),
            ("device_code", &self.secret),
        ]);
        wire::send("POST", &format!("{}/token", served.url), &headers, &body).unwrap().json()
    }

    /// The error that it is told.
    pub fn error(&self, served: &Served) -> String {
        text(&self.poll(served, &[]), "error").to_owned()
    }

    /// What whoever types its code is shown.
    pub fn typed(&self, browser: &Browser) -> Message {
        typed(browser, &self.user_code)
    }

    /// What comes of a decision about it, in an organization where there are several.
    pub fn decide(&self, browser: &Browser, decision: &str, organization: Option<&str>) -> Message {
        let page = self.typed(browser);
        let mut fields = hidden(&page.text());
        fields.push(("decision".into(), decision.into()));
        fields.extend(organization.map(|id| ("organization".into(), id.into())));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.post("/device", &fields)
    }
}

/// What whoever types a code is shown.
pub fn typed(browser: &Browser, code: &str) -> Message {
    let word = browser.form("/device").into_iter().find(|(name, _)| name == "word").unwrap().1;
    browser.post("/device", &[("word", &word), ("user_code", code)])
}

/// What was told about letting programs in: outcome and detail.
fn told(served: &Served, action: &str) -> Vec<(String, String)> {
    let of = |entry: &Value| (text(entry, "outcome").to_owned(), text(entry, "detail").to_owned());
    served.entries().iter().filter(|entry| entry["action"] == action).map(of).collect()
}

#[test]
fn a_person_is_shown_who_asks_for_what_from_where_and_since_when() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let flags = ["--behind-proxy", "127.0.0.1", "--public-url", url.as_str()];
    let served = Served::listening(Stage::new(), &flags, port);
    assert_eq!(served.set_up(PASSPHRASE).status(), 303);
    let browser = served.browser();
    let device = Device::asking(&served, "credentials.read secrets.read", &["X-Forwarded-For: 203.0.113.9"]);
    // The complete address shows the code, and decides nothing.
    for _ in 0..2 {
        let page = browser.get(&device.complete);
        assert!(page.status() == 200 && page.text().contains(&format!("value=\"{}\"", device.user_code)));
        assert!(!page.text().contains("decision"), "{}", page.text());
        assert_eq!(device.error(&served), "authorization_pending");
    }
    let page = device.typed(&browser).text();
    for shown in [
        device.user_code.as_str(),
        "Lanyard on a command line",
        "See credentials, projects, workspaces and registries, without any secret",
        "Read secrets",
        "Acme &lt;&amp;&gt; &quot;Söhne&quot;",
        "203.0.113.9",
        "less than a minute ago",
        "Whoever sends you a code wants to be let in as you.",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert_eq!(device.error(&served), "authorization_pending", "looking decides nothing");
    served.sql("UPDATE devices SET created = created - 190000");
    assert!(device.typed(&browser).text().contains("203.0.113.9</strong>, 3 minutes ago"));
    // A form without the word of the session, with that of another, or of another site decides nothing.
    let mut fields = hidden(&page);
    fields.push(("decision".into(), "allow".into()));
    let given = fields.iter().find(|(name, _)| name == "word").unwrap().1.clone();
    let with = |word: Option<&'static str>| {
        let others = fields.iter().filter(|(name, _)| name != "word");
        let mut changed: Vec<(&str, &str)> = others.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        changed.extend(word.map(|word| ("word", word)));
        changed
    };
    assert!((400..500).contains(&browser.post("/device", &with(None)).status()));
    for word in ["", "x"] {
        assert_eq!(browser.post("/device", &with(Some(word))).status(), 403);
    }
    let mut foreign = with(None);
    foreign.push(("word", &given));
    assert_eq!(served.browser().post("/device", &foreign).status(), 403, "of another session");
    let whole: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let evil = ["Origin: https://evil.example"];
    assert_eq!(browser.post_with("/device", &whole, &evil).status(), 403);
    let stranger = Browser::new(&served.url).post("/device", &whole);
    assert!(stranger.header("location").unwrap().starts_with("/sign-in"));
    assert_eq!(device.error(&served), "authorization_pending");
    assert!(told(&served, "program.admit").iter().filter(|(outcome, _)| outcome == "denied").count() >= 3);
    // Whoever is let in from where it asked, and from somewhere else.
    assert_eq!(device.decide(&browser, "allow", None).status(), 200);
    let elsewhere = device.poll(&served, &["X-Forwarded-For: 198.51.100.4"]);
    assert!(text(&elsewhere, "access_token").starts_with("lny_acc_"), "{elsewhere}");
    let near = Device::asking(&served, "credentials.read", &["X-Forwarded-For: 203.0.113.9"]);
    assert_eq!(near.decide(&browser, "allow", None).status(), 200);
    let given = near.poll(&served, &["X-Forwarded-For: 203.0.113.77"]);
    assert!(text(&given, "access_token").starts_with("lny_acc_"), "{given}");
    let done = |detail: &str| ("done".to_owned(), detail.to_owned());
    assert_eq!(
        told(&served, "program.sign-in"),
        [done("lanyard, another network: credentials.read secrets.read"), done("lanyard: credentials.read")]
    );
}

#[test]
fn devices_that_wait_together_stay_apart() {
    let served = Served::new(&[]);
    let browser = served.browser();
    let ask = |scope| Device::asking(&served, scope, &[]);
    let (one, other, third) = (ask("credentials.read"), ask("secrets.read"), ask("keys.manage"));
    assert_eq!(one.decide(&browser, "allow", None).status(), 200);
    assert_eq!(
        (other.error(&served).as_str(), third.error(&served).as_str()),
        ("authorization_pending", "authorization_pending")
    );
    assert_eq!(third.decide(&browser, "deny", None).status(), 200);
    assert_eq!(text(&one.poll(&served, &[]), "scope"), "credentials.read");
    assert_eq!(
        (other.error(&served).as_str(), third.error(&served).as_str()),
        ("authorization_pending", "access_denied")
    );
    assert_eq!(one.error(&served), "invalid_grant", "once");
    assert_eq!(other.decide(&browser, "allow", None).status(), 200);
    assert_eq!(text(&other.poll(&served, &[]), "scope"), "secrets.read");
    // Whose time is over is let in by nobody.
    let late = ask("credentials.read");
    let page = late.typed(&browser);
    served.sql("UPDATE devices SET expires = expires - 600000");
    let mut fields = hidden(&page.text());
    fields.push(("decision".into(), "allow".into()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(browser.post("/device", &fields).status(), 404);
    assert_eq!(late.error(&served), "expired_token");
}

#[test]
fn who_guesses_codes_is_locked_out() {
    let served = Served::new(&[]);
    let browser = served.browser();
    let device = Device::asking(&served, "credentials.read", &[]);
    // Many at a time are no more than one after the other.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let browser = &browser;
        let word = browser.form("/device").into_iter().find(|(name, _)| name == "word").unwrap().1;
        let guess = move |_| {
            let word = word.clone();
            scope.spawn(move || browser.post("/device", &[("word", &word), ("user_code", "BBBB-BBBB")]).status())
        };
        let all: Vec<_> = (0..16).map(guess).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 11, "{statuses:?}");
    // The right one as well, and in a session of the same person that begins now.
    assert_eq!(device.typed(&browser).status(), 429);
    assert_eq!(device.typed(&served.browser()).status(), 429);
    assert_eq!(device.error(&served), "authorization_pending");
    served.sql("UPDATE attempts SET last = last - 200000 WHERE subject LIKE 'device:%'");
    assert_eq!(device.typed(&browser).status(), 429);
    served.sql("UPDATE attempts SET last = last - 110000 WHERE subject LIKE 'device:%'");
    assert_eq!(device.typed(&browser).status(), 200);
    // All wrong codes are counted together: who has many accounts has no more of them.
    assert_eq!(served.sql("SELECT failures FROM attempts WHERE subject = 'device@all'").trim(), "5");
    served.sql("UPDATE attempts SET failures = 60 WHERE subject = 'device@all'");
    served.sql("DELETE FROM attempts WHERE subject LIKE 'device:%'");
    assert_eq!(device.typed(&browser).status(), 429);
    served.sql("UPDATE attempts SET last = last - 61000 WHERE subject = 'device@all'");
    assert_eq!(device.decide(&browser, "allow", None).status(), 200);
    let denied = told(&served, "program.admit").into_iter().filter(|(outcome, _)| outcome == "denied").count();
    assert_eq!(denied, 5);
}

#[test]
fn an_organization_lets_no_devices_in() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    let browser = served.browser();
    let own = organization(&served, &bearer);
    let path = format!("/organizations/{own}");
    assert_eq!(served.api("GET", &path, &bearer, "").json()["device_flow"], true);
    // One that is let in before it is said, and has not come for its tokens yet.
    let early = Device::asking(&served, "credentials.read", &[]);
    assert_eq!(early.decide(&browser, "allow", None).status(), 200);
    let said = served.api("PATCH", &path, &bearer, "{\"device_flow\":false}");
    assert_eq!((said.status(), &said.json()["device_flow"]), (200, &Value::Bool(false)), "{}", said.text());
    for _ in 0..2 {
        assert_eq!(early.error(&served), "unauthorized_client");
    }
    let ended = ("denied".to_owned(), "no devices".to_owned());
    assert_eq!(told(&served, "program.sign-in").iter().filter(|one| **one == ended).count(), 1, "what was let in ends");
    let device = Device::asking(&served, "credentials.read", &[]);
    assert_eq!(device.error(&served), "authorization_pending");
    let page = device.decide(&browser, "allow", None);
    assert!(page.status() == 403 && page.text().contains("lets nobody in by a code"), "{}", page.text());
    for _ in 0..2 {
        assert_eq!(device.error(&served), "unauthorized_client");
    }
    assert_eq!(device.typed(&browser).status(), 404, "it was decided about");
    let denied = ("denied".to_owned(), "no devices".to_owned());
    assert_eq!(told(&served, "program.admit").iter().filter(|one| **one == denied).count(), 1);
    assert!(told(&served, "organization.change").contains(&("done".to_owned(), "device_flow no".to_owned())));
    // No is no, and is told as that.
    let device = Device::asking(&served, "credentials.read", &[]);
    assert_eq!(device.decide(&browser, "deny", None).status(), 200);
    assert_eq!(device.error(&served), "access_denied");
    // What was let in by a browser goes on, and another organization says for itself.
    assert_eq!(served.api("GET", "/credential-configs", &bearer, "").status(), 200);
    let made = served.api("POST", "/organizations", &bearer, "{\"name\":\"Zenith\"}").json();
    let device = Device::asking(&served, "credentials.read", &[]);
    assert_eq!(device.decide(&browser, "allow", Some(text(&made, "id"))).status(), 200);
    assert!(text(&device.poll(&served, &[]), "access_token").starts_with("lny_acc_"));
    // On the page of the organization it is said as well.
    let page = format!("/portal/{own}/organization");
    let shown = browser.get(&page).text();
    assert!(shown.contains("<option value=\"no\" selected>not allowed</option>"), "{shown}");
    let mut fields = hidden(&shown);
    fields.extend([("name".into(), "Acme".into()), ("device_flow".into(), "yes".into())]);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(browser.post(&page, &fields).status(), 303);
    let device = Device::asking(&served, "credentials.read", &[]);
    assert_eq!(device.decide(&browser, "allow", Some(&own)).status(), 200);
    assert!(text(&device.poll(&served, &[]), "access_token").starts_with("lny_acc_"));
}
