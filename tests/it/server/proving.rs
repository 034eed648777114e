//! Who has been signed in for a while shows once more who they are before what is dangerous; and how long a session is good.

use serde_json::json;

use super::devices::Device;
use super::grants::{asked, text};
use super::identity::{app, set_up};
use super::issuer::{Errand, Scene, session};
use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden};

fn word(browser: &Browser, path: &str) -> String {
    let page = browser.get(path);
    assert_eq!(page.status(), 200, "{path}: {}", page.text());
    hidden(&page.text()).into_iter().find(|(name, _)| name == "word").expect("a word").1
}

fn organization(browser: &Browser) -> String {
    browser.get("/").text().split("/portal/").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

/// As if all sessions had been quiet for so many minutes since somebody showed who they are.
fn age(served: &Served, minutes: i64) {
    served.sql(&format!("UPDATE sessions SET proved = proved - {}", minutes * 60_000));
}

#[test]
fn what_is_dangerous_is_asked_about_once_more() {
    let served = Served::new(&[]);
    let mut alice = served.browser();
    let org = organization(&alice);
    let keys = format!("/portal/{org}/keys");
    let make = |browser: &Browser| {
        let word = word(browser, &keys);
        let fields = [("word", word.as_str()), ("name", "ci"), ("permission", "credentials.read"), ("days", "7")];
        browser.post(&keys, &fields)
    };
    assert_eq!(make(&alice).status(), 201, "just signed in");
    age(&served, 9);
    assert_eq!(make(&alice).status(), 201);
    age(&served, 2);
    let count = || served.sql("SELECT COUNT(*) FROM tokens WHERE kind = 'pat'");
    let before = count();
    let asked = make(&alice);
    let prove = format!("/account/prove?next=%2Fportal%2F{org}%2Fkeys");
    assert_eq!((asked.status(), asked.header("location")), (303, Some(prove.as_str())));
    let upstreams = format!("/portal/{org}/upstreams");
    let own = format!("/portal/{org}/organization");
    let export = alice.get(&format!("/portal/{org}/audit/export"));
    let audit = format!("/account/prove?next=%2Fportal%2F{org}%2Faudit");
    assert_eq!((export.status(), export.header("location")), (303, Some(audit.as_str())));
    let given = word(&alice, "/account");
    for (path, back) in [
        (own.as_str(), own.as_str()),
        (upstreams.as_str(), upstreams.as_str()),
        (&format!("{upstreams}/up_1"), &format!("{upstreams}/up_1")),
        (&format!("{upstreams}/up_1/delete"), &format!("{upstreams}/up_1")),
        (&format!("{keys}/abc/revoke"), &keys),
        ("/account/passkeys/new", "/account/sign-in"),
        ("/account/passkeys", "/account/sign-in"),
        ("/account/passkeys/x/remove", "/account/sign-in"),
        ("/account/recovery-codes", "/account/sign-in"),
        ("/account/upstreams/x/link", "/account/sign-in"),
        ("/account/upstreams/x/unlink", "/account/sign-in"),
        ("/second-factor", "/second-factor"),
        ("/account/passphrase", "/account"),
    ] {
        let sent = alice.post(path, &[("word", &given), ("step", "begin"), ("name", "x")]);
        let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
        let expected = format!("/account/prove?next={back}");
        assert_eq!((sent.status(), sent.header("location")), (303, Some(expected.as_str())), "{path}");
    }
    assert_eq!(count(), before, "nothing was done");
    // Whatever is no danger goes on.
    assert_eq!(alice.get(&keys).status(), 200);
    // A wrong one, one of another site, and one of another session show nothing.
    let page = word(&alice, &prove);
    let fields = [("word", page.as_str()), ("next", keys.as_str()), ("passphrase", PASSPHRASE)];
    let wrong = alice.post("/account/prove", &[("word", &page), ("next", &keys), ("passphrase", "not the passphrase")]);
    assert_eq!((wrong.status(), wrong.header("set-cookie")), (403, None));
    assert_eq!(alice.post_with("/account/prove", &fields, &["Origin: https://evil.example"]).status(), 403);
    assert_eq!(alice.post("/account/prove", &[("word", "x"), ("passphrase", PASSPHRASE)]).status(), 403);
    assert_eq!(make(&alice).status(), 303);
    let before = alice.cookie().unwrap().to_owned();
    let proved = alice.post("/account/prove", &fields);
    assert_eq!((proved.status(), proved.header("location")), (303, Some(keys.as_str())), "{}", proved.text());
    alice.keep(&session(&proved).unwrap());
    assert_ne!(alice.cookie(), Some(before.as_str()), "another session");
    assert_eq!(make(&alice).status(), 201);
    let mut old = Browser::new(&served.url);
    old.keep(&before);
    assert_eq!(old.get("/").status(), 303, "the one before has ended");
    let elsewhere = alice.post(
        "/account/prove",
        &[("word", &word(&alice, "/account")), ("next", "//evil.example"), ("passphrase", PASSPHRASE)],
    );
    assert_eq!(elsewhere.header("location"), Some("/"));
    alice.keep(&session(&elsewhere).unwrap());
    // A code does as well, once.
    let (key, codes) = set_up(&alice);
    age(&served, 11);
    let page = word(&alice, "/account/prove");
    let code = app(&key, 1);
    let by = |code: &str| alice.post("/account/prove", &[("word", &page), ("next", &keys), ("code", code)]);
    let proved = by(&code);
    assert_eq!(proved.status(), 303, "{}", proved.text());
    let mut again = Browser::new(&served.url);
    again.keep(&session(&proved).unwrap());
    age(&served, 11);
    let page = word(&again, "/account/prove");
    let second = again.post("/account/prove", &[("word", &page), ("code", &code)]);
    assert_eq!(second.status(), 403, "a code is good once");
    assert_eq!(again.post("/account/prove", &[("word", &page), ("code", &codes[0])]).status(), 303);
    let entries = served.entries();
    let proved = entries.iter().filter(|entry| entry["action"] == "session.prove");
    let outcomes: Vec<&str> = proved.filter_map(|entry| entry["outcome"].as_str()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "denied").count(), 2, "{outcomes:?}");
    // Guessing is as slow as at a sign-in, and counted with it.
    let again = served.sql("SELECT COUNT(*) FROM attempts");
    assert!(!again.trim().is_empty());
}

/// Nobody fills a form that is then asked for in vain: where it stands, there is the way to show who one is.
#[test]
fn no_form_is_filled_in_vain() {
    let scene = Scene::new(&json!({}));
    let mut alice = scene.served.browser();
    let org = organization(&alice);
    let of = |rest: &str| format!("/portal/{org}/{rest}");
    let made = scene.served.api("POST", "/api-keys", &scene.admin, r#"{"name":"k","permissions":["members.read"]}"#);
    let key = made.json()["id"].as_str().unwrap().to_owned();
    // What a page is, what it is a form to, and whether it is there without.
    let lists = [
        (of("keys"), format!("action=\"{}\"", of("keys"))),
        (of("upstreams"), format!("action=\"{}\"", of("upstreams"))),
        (of("organization"), format!("action=\"{}\"", of("organization"))),
        (of("audit"), format!("action=\"{}\"", of("audit/export"))),
        ("/account".to_owned(), "action=\"/account/passphrase\"".to_owned()),
    ];
    let forms = [of(&format!("upstreams/{}", scene.id)), of(&format!("upstreams/{}/delete", scene.id))];
    let forms: Vec<String> =
        forms.into_iter().chain([of(&format!("keys/{key}/revoke")), of("members/leave")]).collect();
    for (path, form) in &lists {
        assert!(alice.get(path).text().contains(form), "{path}");
    }
    for path in &forms {
        assert_eq!(alice.get(path).status(), 200, "{path}");
    }
    age(&scene.served, 11);
    for (path, form) in &lists {
        let page = alice.get(path);
        let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        let way = page.text().contains(&format!("href=\"/account/prove?next={next}\""));
        // Whoever has a passphrase shows by it who they are.
        let is_account = path == "/account";
        assert_eq!((page.status(), page.text().contains(form), way), (200, is_account, !is_account), "{path}");
    }
    for path in &forms {
        let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        let expected = format!("/account/prove?next={next}");
        assert_eq!(alice.get(path).header("location"), Some(expected.as_str()), "{path}");
    }
    // Back again, the form is there.
    let word = word(&alice, "/account/prove");
    let fields = [("word", word.as_str()), ("next", lists[0].0.as_str()), ("passphrase", PASSPHRASE)];
    let proved = alice.post("/account/prove", &fields);
    assert_eq!(proved.header("location"), Some(lists[0].0.as_str()), "{}", proved.text());
    alice.keep(&session(&proved).unwrap());
    assert!(alice.get(&lists[0].0).text().contains(&lists[0].1));
    assert_eq!(alice.get(&forms[0]).status(), 200);
}

#[test]
fn who_came_by_an_issuer_goes_there_again() {
    let scene = Scene::new(&json!({ "domains": ["corp.example"] }));
    let bob = json!({ "sub": "bob", "email": "bob@corp.example", "email_verified": true });
    let mut browser = scene.browser();
    browser.keep(&session(&scene.come(&bob, &[])).unwrap());
    age(&scene.served, 11);
    let given = word(&browser, "/account");
    let first = browser.post("/account/passphrase", &[("word", &given), ("new", PASSPHRASE), ("again", PASSPHRASE)]);
    assert_eq!(first.header("location"), Some("/account/prove?next=%2Faccount"));
    let page = browser.get("/account").text();
    assert!(
        !page.contains("action=\"/account/passphrase\"") && page.contains("/account/prove?next=%2Faccount"),
        "{page}"
    );
    let page = browser.get("/account/prove?next=%2Faccount").text();
    assert!(page.contains("Sign in with Corp again") && !page.contains("name=\"passphrase\""), "{page}");
    let go = || {
        let path = format!("/account/prove/with/{}", scene.id);
        Errand::of(&browser.post(&path, &[("word", &given), ("next", "/account")]))
    };
    let errand = go();
    assert_eq!((errand.field("prompt"), errand.field("max_age")), ("login", "0"));
    scene.answer(&errand, &json!({ "sub": "bob", "auth_time": chrono::Utc::now().timestamp() - 3600 }));
    assert_eq!(errand.back(&browser, &[]).status(), 403, "signed in there an hour ago");
    let errand = go();
    scene.answer(&errand, &json!({ "sub": "another" }));
    assert_eq!(errand.back(&browser, &[]).status(), 403, "as somebody else");
    let errand = go();
    scene.answer(&errand, &json!({ "sub": "bob" }));
    let done = errand.back(&browser, &[]);
    assert_eq!((done.status(), done.header("location")), (303, Some("/account")), "{}", done.text());
    browser.keep(&session(&done).unwrap());
    let given = word(&browser, "/account");
    let first = browser.post("/account/passphrase", &[("word", &given), ("new", PASSPHRASE), ("again", PASSPHRASE)]);
    assert_eq!((first.status(), first.header("location")), (303, Some("/account")), "{}", first.text());
}

/// A session ends when nobody uses it, and in any case.
pub fn ends_by_itself(served: &Served, change: &dyn Fn(&str)) {
    let browser = served.browser();
    let is_in = || browser.get("/").status() == 200;
    assert!(is_in());
    let hours = |count: i64| count * 3_600_000;
    change(&format!("UPDATE sessions SET used = used - {}", hours(11)));
    assert!(is_in(), "it is in use again");
    change(&format!("UPDATE sessions SET used = used - {}", hours(13)));
    assert!(!is_in(), "twelve hours without use");
    let browser = served.browser();
    let is_in = || browser.get("/").status() == 200;
    assert!(is_in());
    change(&format!("UPDATE sessions SET expires = expires - {}", hours(7 * 24 - 1)));
    assert!(is_in());
    change(&format!("UPDATE sessions SET expires = expires - {}", hours(2)));
    assert!(!is_in(), "seven days in any case");
}

#[test]
fn a_session_ends_by_itself_and_its_owner_sees_it() {
    let served = Served::new(&[]);
    ends_by_itself(&served, &|statement| _ = served.sql(statement));
    let (here, there) = (served.browser(), served.browser());
    let page = here.get("/account").text();
    assert!(page.contains("this one"), "{page}");
    let id = |browser: &Browser| browser.cookie().unwrap().split('_').nth(2).unwrap().to_owned();
    assert!(page.contains(&id(&here)) && page.contains(&id(&there)));
    assert!(!page.contains(here.cookie().unwrap().rsplit('_').nth(1).unwrap()), "never the session itself");
    let ended = here.post(&format!("/account/sessions/{}/end", id(&there)), &[("word", &word(&here, "/account"))]);
    assert_eq!(ended.status(), 303);
    assert_eq!((there.get("/").status(), here.get("/").status()), (303, 200));
    // A cookie opens no address of the API, and a token no page.
    let cookie = format!("Cookie: {}", here.cookie().unwrap());
    let api = crate::wire::send("GET", &format!("{}/userinfo", served.url), &[&cookie], "").unwrap();
    assert_eq!(api.status(), 401);
    let bearer = format!("Authorization: Bearer {}", here.cookie().unwrap().split('=').nth(1).unwrap());
    let api = crate::wire::send("GET", &format!("{}/userinfo", served.url), &[&bearer], "").unwrap();
    assert_eq!(api.status(), 401);
}

#[test]
fn a_cookie_that_somebody_else_has_set_is_not_signed_in() {
    let served = Served::new(&[]);
    let made_up = format!("lanyard-{}=lny_sess_x", served.url.rsplit(':').next().unwrap());
    let mut victim = Browser::new(&served.url);
    victim.keep(&made_up);
    assert_eq!(victim.sign_in(LOGIN, PASSPHRASE).status(), 303);
    assert_ne!(victim.cookie(), Some(made_up.as_str()));
    let mut attacker = Browser::new(&served.url);
    attacker.keep(&made_up);
    assert_eq!(attacker.get("/").status(), 303);
}

#[test]
fn sessions_on_postgresql_end_as_well() {
    let postgres = Postgres::start();
    let served = Served::new(&["--database", &postgres.url()]);
    ends_by_itself(&served, &|statement| _ = postgres.sql(statement).expect("it is done"));
}

/// A program is given what reads secrets or changes something by whoever has just shown who they are.
#[test]
fn a_program_is_let_in_by_whoever_has_just_shown_who_they_are() {
    let served = Served::new(&[]);
    let mut alice = served.browser();
    let wide = asked(&[("scope", "credentials.read secrets.read"), ("nonce", "a nonce & more")]);
    let early = alice.form(&wide);
    age(&served, 11);
    // What sees names alone is let in as before.
    assert!(alice.decide(&asked(&[]), "allow").contains("code="));
    let narrow = Device::asking(&served, "credentials.read", &[]);
    assert_eq!(narrow.decide(&alice, "allow", None).status(), 200);
    assert!(text(&narrow.poll(&served, &[]), "access_token").starts_with("lny_acc_"));
    let count = || served.sql("SELECT COUNT(*) FROM codes").trim().to_owned();
    let before = count();
    for path in [&wide, &asked(&[("scope", "keys.manage")]), &asked(&[("scope", "")]), &asked(&[("scope", "all")])] {
        let sent = alice.get(path);
        let to = sent.header("location").unwrap_or_default();
        assert!(sent.status() == 303 && to.starts_with("/account/prove?next=%2Fauthorize%3F"), "{path}: {to}");
    }
    // Nor by a form that was there before.
    let decide = |decision: &str| {
        let mut fields: Vec<(&str, &str)> = early.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.push(("decision", decision));
        alice.post("/authorize", &fields)
    };
    let sent = decide("allow");
    let prove = sent.header("location").unwrap_or_default().to_owned();
    assert!(sent.status() == 303 && prove.starts_with("/account/prove?next=%2Fauthorize%3F"), "{prove}");
    assert_eq!(count(), before);
    // Whoever says no need not show anything.
    assert!(decide("deny").header("location").unwrap().contains("error=access_denied"));
    let device = Device::asking(&served, "credentials.read secrets.read", &[]);
    let sent = device.typed(&alice);
    let back = format!("/account/prove?next=%2Fdevice%3Fuser_code%3D{}", device.user_code);
    assert_eq!((sent.status(), sent.header("location")), (303, Some(back.as_str())));
    let given = word(&alice, "/account");
    let org = organization(&alice);
    let fields =
        [("word", given.as_str()), ("user_code", &device.user_code), ("organization", &org), ("decision", "allow")];
    assert_eq!(
        alice.post("/device", &fields).header("location"),
        Some(back.as_str()),
        "the form that follows, neither"
    );
    assert_eq!(device.error(&served), "authorization_pending");
    // Once shown, it goes on where it was: the program is asked about as it asked.
    let page = hidden(&alice.get(&prove).text());
    let next = &page.iter().find(|(name, _)| name == "next").unwrap().1;
    let given = word(&alice, "/account/prove");
    let proved = alice.post("/account/prove", &[("word", &given), ("next", next), ("passphrase", PASSPHRASE)]);
    let to = proved.header("location").unwrap_or_default().to_owned();
    assert!(proved.status() == 303 && to.starts_with("/authorize?"), "{to}");
    alice.keep(&session(&proved).unwrap());
    let without =
        |fields: &[(String, String)]| fields.iter().filter(|(name, _)| name != "word").cloned().collect::<Vec<_>>();
    assert_eq!(without(&alice.form(&to)), without(&early));
    assert!(alice.decide(&to, "allow").contains("code="));
    assert_eq!(device.decide(&alice, "allow", None).status(), 200);
    assert!(text(&device.poll(&served, &[]), "access_token").starts_with("lny_acc_"));
}
