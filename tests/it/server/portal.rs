//! The portal without a script: forms, as any browser sends them.

use serde_json::json;

use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden, token};
use crate::canary::{Canary, Sweep};
use crate::double::{Answer, Double};
use crate::vaulted::reveal;
use crate::wire::Message;

const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}";

/// Somebody's browser at the pages of their organization.
pub struct Portal {
    pub browser: Browser,
    /// The address of the credentials.
    pub base: String,
}

impl Portal {
    pub fn of(served: &Served) -> Self {
        Self::with(served.browser())
    }

    /// The portal of whoever is signed in with this browser.
    pub fn with(browser: Browser) -> Self {
        let home = browser.get("/").text();
        let base = home.split("href=\"/portal/").nth(1).unwrap().split("/credentials\"").next().unwrap();
        Self { base: format!("/portal/{base}"), browser }
    }

    pub fn get(&self, rest: &str) -> Message {
        self.browser.get(&format!("{}{rest}", self.base))
    }

    /// Sends the form of a page: its hidden fields, and these.
    pub fn send(&self, page: &str, to: &str, fields: &[(&str, &str)]) -> Message {
        let form = self.get(page).text();
        let own = form.split("<main").nth(1).expect("a page").to_owned();
        let mut all = hidden(&own);
        all.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name));
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.browser.post(&format!("{}{to}", self.base), &all)
    }

    /// Stores a credential; the path of its page below the organization's.
    pub fn store(&self, kind: &str, fields: &[(&str, &str)]) -> String {
        let page = format!("/credentials/new?kind={kind}");
        let done = self.send(&page, "/credentials/new", fields);
        assert_eq!(done.status(), 303, "{}", done.text());
        let to = done.header("location").unwrap();
        to.strip_prefix(&self.base).unwrap().split('?').next().unwrap().to_owned()
    }
}

#[test]
fn a_credential_is_stored_found_changed_and_deleted() {
    let double = Double::start(|seen| {
        let is_signed = seen.header("authorization").is_some_and(|value| value.starts_with("Basic "));
        let refused = Answer::json(401, "{}").header("WWW-Authenticate: Basic realm=\"x\"");
        if is_signed { Answer::json(200, "{}") } else { refused }
    });
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let portal = Portal::of(&served);
    assert!(portal.get("/credentials").text().contains("There is no credential yet."));
    let url = double.url();
    let fields = [
        ("name", "reg"),
        ("f-url", &url),
        ("f-username", "u"),
        ("f-password", "LNYCANARYq7Zk2mWx0123"),
        ("tags", "ci, team"),
        ("note", HOSTILE),
        ("expires", "2099-01-01"),
    ];
    let one = portal.store("registry", &fields);
    portal.store("generic_env", &[("name", "db"), ("n-0", "A"), ("v-0", "LNYCANARYj3Ls8dPf\r\nsecond")]);
    let seen = portal.get(&format!("{one}?done=stored")).text();
    for part in
        ["It is stored.", "registry login", "unverified", "2099-01-01", "ci, team", "stored</span>", "nothing else"]
    {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    assert!(!seen.contains("LNYCANARY") && !seen.contains("<script") && !seen.contains("<img"), "{seen}");
    let stage = served.client();
    assert_eq!(reveal(&stage, "db", "A"), "LNYCANARYj3Ls8dPf\nsecond", "a line ends as it did");

    let listed = |query: &str| {
        let page = portal.get(&format!("/credentials{query}")).text();
        ["reg", "db"].map(|name| page.contains(&format!(">{name}</a>")))
    };
    assert_eq!(listed(""), [true, true]);
    assert_eq!(listed("?kind=registry"), [true, false]);
    assert_eq!(listed("?kind=&q=D"), [false, true]);
    assert_eq!(listed("?q=r_g"), [false, false], "a letter stands for itself");
    assert_eq!(listed("?q=%25"), [false, false]);
    assert!(!portal.get("/credentials?q=%3Cscript%3E").text().contains("<script"));
    assert_eq!(portal.get("/credentials?after=x").status(), 400);

    let asked = portal.send(&one, &format!("{one}/verify"), &[]);
    assert_eq!(asked.status(), 200);
    assert!(asked.text().contains("It works") && asked.text().contains("active"), "{}", asked.text());
    assert!(!double.requests().is_empty());

    let edit = format!("{one}/edit");
    let taken = portal.send(&edit, &edit, &[("name", "db")]);
    assert!(taken.status() == 409 && taken.text().contains("There is a credential of that name already."));
    assert_eq!(portal.send(&edit, &edit, &[("name", "a b")]).status(), 422);
    let changed = portal.send(&edit, &edit, &[("name", "registry"), ("tags", HOSTILE), ("note", "")]);
    assert_eq!(changed.status(), 303, "{}", changed.text());
    let late = portal.send(&edit, &edit, &[("name", "late"), ("revision", "1")]);
    assert!(late.status() == 412 && late.text().contains("changed by somebody else"), "{}", late.text());
    let seen = portal.get(&one).text();
    assert!(seen.contains("<h1>registry</h1>") && seen.contains("onerror") && !seen.contains("<img"), "{seen}");

    // What is not typed stays.
    let values = format!("{one}/values");
    let replaced = portal.send(&values, &values, &[("f-url", &url), ("f-username", "other")]);
    assert_eq!(replaced.status(), 303, "{}", replaced.text());
    assert_eq!(reveal(&stage, "registry", "password"), "LNYCANARYq7Zk2mWx0123");
    let replaced = portal.send(
        &values,
        &values,
        &[("f-url", &url), ("f-username", "other"), ("f-password", "LNYCANARYv4Rt9nHb45")],
    );
    assert_eq!(replaced.status(), 303, "{}", replaced.text());
    assert_eq!(reveal(&stage, "registry", "password"), "LNYCANARYv4Rt9nHb45");
    assert_eq!(portal.send(&values, &values, &[("f-url", &url), ("version", "1")]).status(), 412);

    let delete = format!("{one}/delete");
    assert_eq!(portal.send(&delete, &delete, &[("revision", "1")]).status(), 412);
    assert_eq!(portal.send(&delete, &delete, &[]).status(), 303);
    assert_eq!(portal.get(&one).status(), 404);
    let canaries = ["LNYCANARYq7Zk2mWx0123", "LNYCANARYv4Rt9nHb45", "LNYCANARYj3Ls8dPf"].map(Canary::of);
    Sweep::for_canaries(&canaries).tree(&served.data()).assert_clean();
}

#[test]
fn what_is_in_use_is_not_deleted() {
    let served = Served::new(&[]);
    let portal = Portal::of(&served);
    let keys =
        [("name", "keys"), ("f-access_key_id", "AKIAIOSFODNN7EXAMPLE"), ("f-secret_access_key", &"k".repeat(40))];
    let one = portal.store("aws_static", &keys);
    let role = [("name", "role"), ("f-role_arn", "arn:aws:iam::123456789012:role/deploy"), ("f-source", "keys")];
    portal.store("aws_assume_role", &role);
    let seen = portal.get(&one).text();
    assert!(seen.contains("credential role") && seen.contains("AKIA****MPLE"), "{seen}");
    let delete = format!("{one}/delete");
    let asked = portal.get(&delete);
    assert!(asked.status() == 409 && !asked.text().contains("class=\"bad\""), "{}", asked.text());
    let refused = portal.send(&one, &delete, &[("revision", "1")]);
    assert!(refused.status() == 409 && refused.text().contains("credential role"), "{}", refused.text());
    assert_eq!(portal.get(&one).status(), 200);
}

#[test]
fn each_kind_has_a_form_and_no_secret_comes_back() {
    let served = Served::new(&[]);
    let portal = Portal::of(&served);
    let chosen = portal.get("/credentials/new").text();
    for provider in lanyard::provider::PROVIDERS {
        for kind in provider.kinds() {
            let address = format!("/credentials/new?kind={}", kind.id);
            assert_eq!(chosen.contains(&format!("?kind={}\"", kind.id)), !provider.signs_in(), "{}", kind.id);
            let form = portal.get(&address);
            if provider.signs_in() {
                assert_eq!(form.status(), 404);
                continue;
            }
            let form = form.text();
            let asked = kind.fields.iter().filter(|field| !field.derived);
            let mut typed = vec![("name".to_owned(), kind.id.to_owned())];
            for field in asked {
                assert!(form.contains(&format!("name=\"f-{}\"", field.name)), "{} {}", kind.id, field.name);
                if field.required {
                    typed.push((format!("f-{}", field.name), field.example.to_owned()));
                }
            }
            if kind.open.is_some() {
                typed.extend([("n-0".to_owned(), "A".to_owned()), ("v-0".to_owned(), "LNYCANARYopen".to_owned())]);
            }
            let borrow = |typed: &[(String, String)]| -> Vec<(&'static str, String)> {
                typed.iter().map(|(name, value)| (&*name.clone().leak(), value.clone())).collect()
            };
            let mut bad = typed.clone();
            bad.retain(|(name, _)| name != "name");
            bad.extend([("name".to_owned(), "no name".to_owned()), ("note".to_owned(), "a note to see".to_owned())]);
            let bad = borrow(&bad);
            let bad: Vec<(&str, &str)> = bad.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let again = portal.send(&address, "/credentials/new", &bad);
            assert_eq!(again.status(), 422, "{}: {}", kind.id, again.text());
            let (again, main) = (again.text(), "<main");
            let shown = again.split(main).nth(1).unwrap();
            assert!(shown.contains("a note to see") && shown.contains("role=\"alert\""), "{}", kind.id);
            for field in kind.fields.iter().filter(|field| field.class == lanyard::credential::Class::Secret) {
                let first = field.example.lines().next().unwrap();
                assert!(!shown.contains(first), "{} shows {}", kind.id, field.name);
            }
            assert!(!shown.contains("LNYCANARY"));
            let good = borrow(&typed);
            let good: Vec<(&str, &str)> = good.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let done = portal.send(&address, "/credentials/new", &good);
            assert_eq!(done.status(), 303, "{}: {}", kind.id, done.text());
        }
    }
}

#[test]
fn a_long_list_has_pages_and_what_ends_is_warned_of() {
    let served = Served::new(&[]);
    let stage = served.client();
    let bearer = token(&stage);
    let soon = (chrono::Utc::now() + chrono::TimeDelta::days(3)).to_rfc3339();
    for number in 0..55 {
        let mut body = json!({ "name": format!("n{number:02}"), "kind": "generic_env", "data": { "A": "1" } });
        match number {
            7 => body["expires"] = json!("2020-01-01T00:00:00Z"),
            9 => body["expires"] = json!(soon),
            _ => {}
        }
        let made = served.api("POST", "/credential-configs", &bearer, &body.to_string());
        assert_eq!(made.status(), 201, "{}", made.text());
    }
    let portal = Portal::of(&served);
    let first = portal.get("/credentials").text();
    let notices: Vec<&str> =
        first.split("class=\"notice").skip(1).map(|part| part.split("</p>").next().unwrap()).collect();
    assert!(notices.len() == 2 && notices[0].contains(">n07</a>") && notices[1].contains(">n09</a>"), "{notices:?}");
    assert!(notices[0].contains("Expired:") && notices[1].contains("Expires soon:"));
    assert!(first.contains("class=\"status bad\">expired") && first.contains("class=\"status soon\">expires soon"));
    assert!(first.contains(">n49</a>") && !first.contains(">n50</a>"));
    let next = first.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    let second = portal.browser.get(&next).text();
    let table = second.split("<table role=\"table\">").nth(1).unwrap();
    assert!(table.contains(">n50</a>") && table.contains(">n54</a>") && !table.contains(">n49</a>"));
    assert!(!second.contains("rel=\"next\"") && second.contains("First page"));
}

#[test]
fn a_key_is_shown_once_and_ends_when_it_is_revoked() {
    let served = Served::new(&[]);
    let portal = Portal::of(&served);
    let nothing = portal.send("/keys", "/keys", &[("name", HOSTILE), ("days", "30")]);
    assert!(nothing.status() == 422 && !nothing.text().contains("<script"), "{}", nothing.text());
    for days in ["0", "100000", "x", ""] {
        let refused =
            portal.send("/keys", "/keys", &[("name", "ci"), ("permission", "credentials.read"), ("days", days)]);
        assert_eq!(refused.status(), 422, "{days}");
    }
    let hostile: String = HOSTILE.chars().take(60).collect();
    let made = portal.send("/keys", "/keys", &[("name", &hostile), ("permission", "credentials.read"), ("days", "30")]);
    assert_eq!(made.status(), 201, "{}", made.text());
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let page = made.text();
    let key = page.split("class=\"once\" tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert!(key.starts_with("lny_pat_") && !page.contains("<script"), "{page}");
    assert_eq!(served.api("GET", "/credential-configs", &key, "").status(), 200);
    assert_eq!(served.api("GET", "/api-keys", &key, "").status(), 403);
    let listed = portal.get("/keys").text();
    let (id, secret) = (key.split('_').nth(2).unwrap(), key.split('_').nth(3).unwrap());
    assert!(listed.contains(id) && !listed.contains(secret) && !listed.contains("<script"), "{listed}");
    let revoke = format!("/keys/{id}/revoke");
    assert_eq!(portal.get("/keys/0123456789abcdef/revoke").status(), 404);
    assert!(portal.get(&revoke).text().contains("Revoke this key?"));
    assert_eq!(
        served.api("GET", "/credential-configs", &key, "").status(),
        200,
        "looking at the question does nothing"
    );
    assert_eq!(portal.send(&revoke, &revoke, &[]).status(), 303);
    assert_eq!(served.api("GET", "/credential-configs", &key, "").status(), 401);
    // A key is no session, and a session is no key.
    let cookie = portal.browser.cookie().unwrap().split('=').nth(1).unwrap().to_owned();
    assert_eq!(served.api("GET", "/credential-configs", &cookie, "").status(), 401);
}

#[test]
fn sessions_end_and_a_passphrase_changes() {
    let served = Served::new(&[]);
    let (portal, other, third) = (Portal::of(&served), served.browser(), served.browser());
    let word = portal.browser.form("/account").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let session = |browser: &Browser| browser.cookie().unwrap().split('_').nth(2).unwrap().to_owned();
    let page = portal.browser.get("/account").text();
    for browser in [&portal.browser, &other, &third] {
        assert!(page.contains(&session(browser)), "{page}");
    }
    assert!(page.contains("127.0.0.1"), "from where: {page}");
    assert!(!page.contains(other.cookie().unwrap().split('_').nth(3).unwrap()));
    let end = |id: &str| portal.browser.post(&format!("/account/sessions/{id}/end"), &[("word", &word)]);
    assert_eq!(end(&session(&other)).status(), 303);
    assert_eq!((other.get("/account").status(), third.get("/account").status()), (303, 200));
    assert_eq!(end(&session(&other)).status(), 404);

    let fresh = "LNYCANARYanother passphrase";
    let change = |old: &str, new: &str, again: &str| {
        let fields = [("word", word.as_str()), ("old", old), ("new", new), ("again", again)];
        portal.browser.post("/account/passphrase", &fields)
    };
    assert_eq!(change(PASSPHRASE, "short", "short").status(), 422);
    assert_eq!(change(PASSPHRASE, fresh, "LNYCANARYsomething else").status(), 422);
    let wrong = change("LNYCANARYnot this one", fresh, fresh);
    assert!(wrong.status() == 403 && !wrong.text().contains("LNYCANARY"), "{}", wrong.text());
    assert_eq!(third.get("/account").status(), 200, "nothing has ended by that");
    let done = change(PASSPHRASE, fresh, fresh);
    assert_eq!(done.status(), 303, "{}", done.text());
    let cookie = done.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax") && !cookie.contains(&session(&portal.browser)), "{cookie}");
    for browser in [&portal.browser, &third] {
        assert_eq!(browser.get("/account").status(), 303, "every session before has ended");
    }
    assert_eq!(Browser::new(&served.url).sign_in(LOGIN, PASSPHRASE).status(), 403);
    assert_eq!(Browser::new(&served.url).sign_in(LOGIN, fresh).status(), 303);
    Sweep::for_canaries(&[Canary::of(fresh), Canary::of("LNYCANARYnot this one")]).tree(&served.data()).assert_clean();
}

#[test]
fn the_pages_are_the_same_on_postgresql() {
    let postgres = Postgres::start();
    let served = Served::new(&["--database", &postgres.url()]);
    let portal = Portal::of(&served);
    for (name, expires) in [("b_1", "2020-01-01"), ("B-2", ""), ("a", "")] {
        portal.store("generic_env", &[("name", name), ("n-0", "A"), ("v-0", "1"), ("expires", expires)]);
    }
    let names = |query: &str| -> Vec<String> {
        let page = portal.get(&format!("/credentials{query}")).text();
        let rows =
            page.split("<tbody role=\"rowgroup\">").nth(1).unwrap_or_default().split("<tr role=\"row\">").skip(1);
        rows.map(|row| row.split("</a>").next().unwrap().rsplit('>').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names(""), ["B-2", "a", "b_1"], "by bytes, as everywhere");
    assert_eq!(names("?q=b"), ["B-2", "b_1"]);
    assert_eq!(names("?q=b_"), ["b_1"]);
    assert_eq!((names("?kind=registry"), names("?kind=generic_env&q=a")), (vec![], vec!["a".to_owned()]));
    assert!(portal.get("/credentials").text().contains("Expired:"));
    assert!(portal.browser.get("/account").text().contains("127.0.0.1"));
    let made = portal.send("/keys", "/keys", &[("name", "ci"), ("permission", "credentials.read"), ("days", "30")]);
    assert_eq!(made.status(), 201, "{}", made.text());
}
