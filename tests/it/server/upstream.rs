//! Signing in by an issuer of the organization's own: who comes in, as what, and where that counts.

use serde_json::{Value, json};

use super::issuer::{Errand, SECRET, Scene, session};
use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden, token};
use crate::canary::{Canary, Sweep};
use crate::idp::keys;
use crate::peers::{OidcProvider, person};
use crate::wire::{self, Message};

pub fn bob() -> Value {
    json!({ "sub": "bob", "email": "bob@corp.example", "email_verified": true })
}

/// Somebody comes in by a domain, and again; a member whom nobody invited is none.
pub fn come_and_go(scene: &Scene) {
    let browser = scene.browser();
    let page = browser.get("/sign-in?next=%2Faccount").text();
    assert!(page.contains("Sign in with Corp") && !page.contains(SECRET));
    let errand = scene.go(&browser, &[("next", "/account")]);
    assert!(errand.address.starts_with(&format!("{}/authorize?", scene.issuer.url())));
    assert_eq!((errand.field("client_id"), errand.field("response_type")), ("web", "code"));
    assert_eq!(errand.field("redirect_uri"), format!("{}/sign-in/back/{}", scene.served.url, scene.id));
    scene.answer(&errand, &bob());
    let done = errand.back(&browser, &[]);
    assert_eq!((done.status(), done.header("location")), (303, Some("/account")), "{}", done.text());
    // The code went with a verifier of this attempt, and with the client's secret.
    let asked = scene.issuer.double.requests().into_iter().find(|seen| seen.path() == "/token").unwrap();
    let verifier = wire::fields(&asked.message.body);
    let verifier = wire::field(&verifier, "code_verifier").unwrap();
    assert_eq!(keys::encode(&keys::sha256(verifier.as_bytes())), errand.field("code_challenge"));
    assert!(asked.header("authorization").unwrap().starts_with("Basic "));
    assert!(scene.home(&done).contains("bob@corp.example"));
    assert_eq!(scene.role("bob@corp.example").as_deref(), Some("reader"));
    assert!(scene.home(&scene.come(&bob(), &[])).contains("bob@corp.example"));
    let all = scene.owner.run(&["members", "list", "--json"]).ends(0).json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    for stranger in [
        json!({ "sub": "eve", "email": "eve@elsewhere.example", "email_verified": true }),
        json!({ "sub": "eve", "email": "eve@corp.example", "email_verified": false }),
        json!({ "sub": "eve", "email": "eve@corp.example" }),
        json!({ "sub": "eve", "email": "eve@corp.example.evil.example", "email_verified": true }),
        json!({ "sub": "eve", "email": "corp.example", "email_verified": true }),
        json!({ "sub": "Bob", "email": "bob@elsewhere.example", "email_verified": true }),
    ] {
        let refused = scene.come(&stranger, &[]);
        assert_eq!((refused.status(), session(&refused)), (403, None), "{stranger}");
        assert!(refused.text().contains("without an invitation"), "{}", refused.text());
    }
}

/// Somebody comes in by an invitation, once.
pub fn come_invited(scene: &Scene) {
    let invitation = scene.invite("carol@corp.example");
    let page = scene.browser().get(&format!("/invite?token={invitation}")).text();
    assert!(page.contains("Join with Corp"), "{page}");
    // For whom it is, an issuer says by an address that it has verified, and by nothing else.
    let fields = [("token", invitation.as_str())];
    for stranger in [
        json!({ "sub": "eve", "email": "eve@corp.example", "email_verified": true }),
        json!({ "sub": "eve", "email": "carol@corp.example", "email_verified": false }),
        json!({ "sub": "eve", "email": "carol@corp.example" }),
        json!({ "sub": "carol@corp.example", "preferred_username": "carol@corp.example" }),
    ] {
        let refused = scene.come(&stranger, &fields);
        assert_eq!((refused.status(), session(&refused)), (403, None), "{stranger}");
        assert!(refused.text().contains("is for somebody else"), "{}", refused.text());
    }
    let carol = json!({ "sub": "carol", "email": "Carol@corp.example", "email_verified": true });
    let (browser, other) = (scene.browser(), scene.browser());
    let (first, second) = (scene.go(&browser, &fields), scene.go(&other, &fields));
    scene.answer(&first, &carol);
    assert!(scene.home(&first.back(&browser, &[])).contains("carol"));
    assert_eq!(scene.role("carol@corp.example").as_deref(), Some("member"));
    scene.answer(&second, &json!({ "sub": "dave" }));
    assert_eq!(session(&second.back(&other, &[])), None, "it is spent");
    assert!(scene.home(&scene.come(&carol, &[])).contains("carol"), "and needs none any more");
}

#[test]
fn who_is_allowed_comes_in_and_nobody_else() {
    let scene = Scene::new(&json!({ "domains": ["Corp.example"] }));
    come_and_go(&scene);
    let entries = scene.served.entries();
    let is = |entry: &&Value, action: &str, outcome: &str| entry["action"] == action && entry["outcome"] == outcome;
    let count = |action: &str, outcome: &str| entries.iter().filter(|entry| is(entry, action, outcome)).count();
    assert_eq!((count("account.link", "done"), count("upstream.create", "done")), (1, 1));
    assert_eq!(count("sign-in", "denied"), 6);
    // The secret of the client is nowhere to be read.
    let shown = scene.served.api("GET", &format!("/upstreams/{}", scene.id), &scene.admin, "");
    assert!(!shown.text().contains(SECRET) && shown.json()["has_secret"] == true, "{}", shown.text());
    Sweep::for_canaries(&[Canary::of(SECRET)]).tree(&scene.served.data()).assert_clean();
}

#[test]
fn who_is_invited_comes_in_by_the_issuer() {
    come_invited(&Scene::new(&json!({})));
}

#[test]
fn it_works_on_postgresql() {
    let postgres = Postgres::start();
    let served = Served::new(&["--allow-host", "127.0.0.1", "--database", &postgres.url()]);
    let scene = Scene::on(served, &json!({ "domains": ["corp.example"] }));
    come_and_go(&scene);
    come_invited(&scene);
    let sql = |statement: &str| postgres.sql(&format!("SET lanyard.org = '*'; {statement}")).expect("it is done");
    who_comes_back_shows_both(&scene);
    who_is_elsewhere_too_adds_no_way(&scene, &sql);
}

#[test]
fn a_group_gives_a_role_as_long_as_it_is_said() {
    let scene = Scene::new(&json!({ "claim": "realm.groups", "roles": { "ops": "admin", "dev": "member" } }));
    scene.issuer.will(|plan| {
        plan.userinfo = json!({ "sub": "bob", "preferred_username": "bob", "realm": { "groups": ["dev", "ops"] } });
    });
    let bob = json!({ "sub": "bob" });
    assert!(scene.home(&scene.come(&bob, &[])).contains("bob"));
    assert_eq!(scene.role("bob").as_deref(), Some("admin"), "the most of what is said");
    // Of another account nothing is believed.
    scene.issuer.will(|plan| plan.userinfo["sub"] = json!("somebody else"));
    assert_eq!(scene.come(&bob, &[]).status(), 403);
    scene.issuer.will(|plan| plan.userinfo = json!({ "sub": "bob", "realm": { "groups": ["Ops", 7, ["ops"]] } }));
    let refused = scene.come(&bob, &[]);
    assert!(refused.status() == 403 && refused.text().contains("any more"), "{}", refused.text());
    scene.issuer.will(|plan| plan.userinfo = json!({ "sub": "bob", "realm": { "groups": "dev" } }));
    scene.home(&scene.come(&bob, &[]));
    // Whoever was removed stays out, whatever the issuer says.
    let login = scene.login("bob");
    scene.owner.run(&["members", "remove", &login, "--yes"]).ends(0);
    let removed = scene.come(&bob, &[]);
    assert!(removed.status() == 403 && removed.text().contains("invitation"), "{}", removed.text());
    let invitation = scene.invite(&login);
    scene.home(&scene.come(&bob, &[("token", &invitation)]));
    assert_eq!(scene.role("bob").as_deref(), Some("member"));
}

#[test]
fn an_address_links_nobody_and_a_person_links_themselves() {
    let scene = Scene::new(&json!({ "domains": ["example.com"] }));
    // Alice's own address, verified, is another account all the same.
    let claims = json!({ "sub": "alice", "email": LOGIN, "email_verified": true });
    let home = scene.home(&scene.come(&claims, &[]));
    assert!(home.contains(&format!("{LOGIN}-")) && !home.contains(&format!(">{LOGIN}<")), "{home}");
    // Alice links an account of hers.
    let alice = scene.served.browser();
    let page = alice.get("/account/sign-in").text();
    assert!(page.contains("Link Corp with you"), "{page}");
    let word = hidden(&page).into_iter().find(|(name, _)| name == "word").unwrap().1;
    let link = format!("/account/upstreams/{}/link", scene.id);
    assert_eq!(scene.browser().post(&link, &[("word", &word)]).status(), 303, "nobody is signed in");
    let errand = Errand::of(&alice.post(&link, &[("word", &word)]));
    scene.answer(&errand, &json!({ "sub": "alice-2", "email": "a@elsewhere.example" }));
    // In a browser where she is not signed in, nothing is linked.
    let stolen = errand.back(&scene.browser(), &[]);
    assert_eq!((stolen.status(), session(&stolen)), (403, None));
    let errand = Errand::of(&alice.post(&link, &[("word", &word)]));
    scene.answer(&errand, &json!({ "sub": "alice-2", "email": "a@elsewhere.example" }));
    assert_eq!(errand.back(&alice, &[]).header("location"), Some("/account/sign-in"));
    assert!(alice.get("/account/sign-in").text().contains("a@elsewhere.example"));
    let second = json!({ "sub": "alice-2" });
    assert!(scene.home(&scene.come(&second, &[])).contains(&format!(">{LOGIN}<")));
    // What is another's is not hers.
    let errand = Errand::of(&alice.post(&link, &[("word", &word)]));
    scene.answer(&errand, &claims);
    assert!(errand.back(&alice, &[]).text().contains("somebody else"));
    let unlink = format!("/account/upstreams/{}/unlink", scene.id);
    assert_eq!(alice.post(&unlink, &[("word", &word)]).status(), 303);
    assert_eq!(alice.post(&unlink, &[("word", &word)]).status(), 404);
    assert_eq!(scene.come(&second, &[]).status(), 403);
    assert!(alice.get("/").text().contains(LOGIN), "she has her passphrase");
    let actions: Vec<Value> = scene.served.entries().into_iter().map(|entry| entry["action"].clone()).collect();
    assert!(actions.contains(&json!("account.link")) && actions.contains(&json!("account.unlink")));
}

#[test]
fn an_issuer_is_believed_in_its_own_organization_alone() {
    let scene = Scene::new(&json!({}));
    let other = scene.served.api("POST", "/organizations", &scene.admin, "{\"name\":\"Other\"}");
    assert_eq!(other.status(), 201, "{}", other.text());
    let alice = scene.served.browser();
    let own = alice.get("/").text();
    assert!(own.contains("Acme") && own.contains("Other"));
    let word = hidden(&own).into_iter().find(|(name, _)| name == "word").unwrap().1;
    let errand = Errand::of(&alice.post(&format!("/account/upstreams/{}/link", scene.id), &[("word", &word)]));
    scene.answer(&errand, &json!({ "sub": "alice" }));
    errand.back(&alice, &[]);
    let done = scene.come(&json!({ "sub": "alice" }), &[]);
    let home = scene.home(&done);
    assert!(home.contains("Acme") && !home.contains("Other"), "{home}");
    // By it nobody gets at what is hers: a second factor, her passphrase, or another organization's invitation.
    let mut guest = scene.browser();
    guest.keep(&session(&done).unwrap());
    let word = guest.form("/account/sign-in").into_iter().find(|(name, _)| name == "word").unwrap().1;
    assert_eq!(guest.post("/second-factor", &[("word", &word), ("step", "begin")]).status(), 403);
    let denied = |detail: &str| {
        let entries = scene.served.entries();
        entries.into_iter().filter(|entry| entry["outcome"] == "denied" && entry["detail"] == detail).count()
    };
    assert_eq!(denied("POST /second-factor: guest"), 1);
    let fields = [("word", word.as_str()), ("new", PASSPHRASE), ("again", PASSPHRASE)];
    assert_eq!(guest.post("/account/passphrase", &fields).status(), 403);
    let id = other.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(guest.get(&format!("/portal/{id}/credentials")).status(), 404);
    let elsewhere = scene.served.client_of(&alice, Some(&id));
    let link = elsewhere.run(&["members", "invite", LOGIN, "--role", "member"]).ends(0).stdout();
    let invitation = link.trim().split("token=").nth(1).unwrap();
    let sent = scene.browser().post(&format!("/sign-in/with/{}", scene.id), &[("token", invitation)]);
    assert_eq!(sent.status(), 404, "its invitation is none to this issuer");
    let refused = guest.post("/invite", &[("token", invitation), ("word", &word)]);
    assert!(refused.status() == 422 && refused.text().contains("another organization alone"), "{}", refused.text());
    assert_eq!(denied("signed in to another organization alone"), 1);
}

/// Whoever comes back by an invitation shows all that a member shows, and is held to no rule from before.
pub fn who_comes_back_shows_both(scene: &Scene) {
    scene.amend(&json!({ "domains": ["corp.example"], "second_factor": true }));
    scene.home(&scene.come(&bob(), &[]));
    let mut browser = scene.browser();
    browser.keep(&session(&scene.come(&bob(), &[])).expect("bob is in"));
    let word = browser.form("/account/sign-in").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let fields = [("word", word.as_str()), ("new", PASSPHRASE), ("again", PASSPHRASE)];
    assert_eq!(browser.post("/account/passphrase", &fields).status(), 303);
    let mut own = scene.browser();
    let login = scene.login("bob@corp.example");
    assert_eq!(own.sign_in(&login, PASSPHRASE).status(), 303);
    let (_, codes) = super::identity::set_up(&own);
    scene.owner.run(&["members", "remove", &login, "--yes"]).ends(0);

    let others = scene.invite("carol@corp.example");
    let refused = scene.come(&bob(), &[("token", &others)]);
    assert!(refused.status() == 403 && refused.text().contains("is for somebody else"), "{}", refused.text());
    let invitation = scene.invite("bob@corp.example");
    let asked = scene.come(&bob(), &[("token", &invitation)]);
    assert_eq!((asked.status(), session(&asked)), (200, None), "{}", asked.text());
    assert_eq!(scene.role("bob@corp.example"), None, "the issuer alone makes him no member");
    let half = |page: &Message| hidden(&page.text()).into_iter().find(|(name, _)| name == "half").expect("a form").1;
    let enter = |half: &str, code: &str| scene.browser().post("/sign-in/code", &[("half", half), ("code", code)]);
    let first = half(&asked);
    assert_eq!(enter(&first, "000000").status(), 403);
    assert_eq!(scene.role("bob@corp.example"), None);
    // Another half of his, of before the invitation was withdrawn.
    let withdrawn = scene.invite("bob@corp.example");
    let late = half(&scene.come(&bob(), &[("token", &withdrawn)]));
    scene.owner.run(&["members", "withdraw", withdrawn.split('_').nth(2).unwrap()]).ends(0);
    let gone = enter(&late, &codes[0]);
    assert!(gone.status() == 403 && gone.text().contains("was used, withdrawn"), "{}", gone.text());
    assert_eq!((session(&gone), scene.role("bob@corp.example")), (None, None));
    let done = enter(&first, &codes[1]);
    assert!(scene.home(&done).contains("bob@corp.example"));
    assert_eq!(scene.role("bob@corp.example").as_deref(), Some("member"));
    assert_eq!(session(&enter(&first, &codes[2])), None, "it is good once");
    // It is the invitation that let him in: what the issuer says no more keeps him out no more.
    scene.amend(&json!({ "domains": [] }));
    let asked = scene.come(&bob(), &[]);
    assert!(scene.home(&enter(&half(&asked), &codes[3])).contains("bob@corp.example"));
    scene.amend(&json!({ "second_factor": false }));
    scene.owner.run(&["members", "remove", &login, "--yes"]).ends(0);
    let back = scene.come(&bob(), &[("token", &scene.invite("bob@corp.example"))]);
    assert!(scene.home(&back).contains("bob@corp.example"), "where it is not asked for, the issuer is enough");
}

#[test]
fn who_comes_by_an_issuer_is_counted() {
    let metrics = format!("127.0.0.1:{}", crate::peers::free_port());
    let served = Served::new(&["--allow-host", "127.0.0.1", "--metrics-listen", &metrics]);
    let scene = Scene::on(served, &json!({ "domains": ["corp.example"] }));
    scene.home(&scene.come(&bob(), &[]));
    assert_eq!(scene.come(&json!({ "sub": "eve" }), &[]).status(), 403);
    let browser = scene.browser();
    let errand = scene.go(&browser, &[]);
    assert_eq!(errand.back(&browser, &[("code", "")]).status(), 403, "the issuer vouches for nobody");
    let told = wire::get(&format!("http://{metrics}/metrics")).unwrap().text();
    for counted in ["{way=\"issuer\",outcome=\"done\"} 1", "{way=\"issuer\",outcome=\"refused\"} 2"] {
        assert!(told.contains(&format!("lanyard_sign_ins_total{counted}")), "{counted}: {told}");
    }
}

#[test]
fn an_invitation_lets_nobody_past_their_second_factor() {
    let scene = Scene::new(&json!({}));
    who_comes_back_shows_both(&scene);
    let entries = scene.served.entries();
    let count = |action: &str, outcome: &str| {
        entries.iter().filter(|entry| entry["action"] == action && entry["outcome"] == outcome).count()
    };
    assert_eq!((count("second-factor", "denied"), count("invitation.accept", "done")), (1, 2), "{entries:#?}");
}

/// What an issuer says of somebody who is in another organization as well changes no way of theirs to sign in.
pub fn who_is_elsewhere_too_adds_no_way(scene: &Scene, sql: &dyn Fn(&str) -> String) {
    let invitation = scene.invite("zoe@corp.example");
    let zoe = json!({ "sub": "zoe", "preferred_username": "zoe", "email": "zoe@corp.example", "email_verified": true });
    let mut browser = scene.browser();
    browser.keep(&session(&scene.come(&zoe, &[("token", &invitation)])).expect("zoe is in"));
    let other = scene.served.api("POST", "/organizations", &scene.admin, "{\"name\":\"Elsewhere\"}").json();
    let other = other["id"].as_str().unwrap().to_owned();
    let person = sql("SELECT id FROM people WHERE login LIKE 'zoe@corp.example-%'").trim().to_owned();
    let alice = scene.served.browser();
    let manager = scene.served.client_of(&alice, Some(&other));
    let written =
        json!({ "name": "Theirs", "issuer": scene.issuer.url(), "client_id": "web", "client_secret": SECRET });
    let theirs = scene.served.api("POST", "/upstreams", &token(&manager), &written.to_string()).json();
    let theirs = theirs["id"].as_str().unwrap().to_owned();
    // Before that, she may: the issuer vouches for all that she has.
    let word = browser.form("/account/sign-in").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let began = browser.post("/account/passkeys/new", &[("word", &word), ("name", "key")]);
    assert_eq!(began.status(), 422, "an address in numbers, and no more than that: {}", began.text());
    sql(&format!("INSERT INTO members (org, person, role, created) VALUES ('{other}', '{person}', 'member', 0)"));
    sql(&format!(
        "INSERT INTO upstream_accounts (org, upstream, issuer, subject, person, admitted, title, created, used) \
         VALUES ('{other}', '{theirs}', '{}', 'zoe', '{person}', 'person', 'zoe', 0, 0)",
        scene.issuer.url(),
    ));
    let fields = [("word", word.as_str()), ("new", PASSPHRASE), ("again", PASSPHRASE)];
    let refused = browser.post("/account/passphrase", &fields);
    assert_eq!(refused.status(), 403, "{}", refused.text());
    for path in ["/account/passkeys/new", "/account/passkeys"] {
        let refused = browser.post(path, &[("word", &word), ("name", "key")]);
        assert_eq!(refused.status(), 403, "{path}: {}", refused.text());
    }
    assert_eq!(scene.browser().sign_in("zoe", PASSPHRASE).status(), 403);
    // Nor does it take the other organization's account away; its own it does.
    let unlink = |id: &str| browser.post(&format!("/account/upstreams/{id}/unlink"), &[("word", &word)]);
    let foreign = unlink(&theirs);
    assert_eq!(foreign.status(), 404, "{}", foreign.text());
    let linked = format!("SELECT COUNT(*) FROM upstream_accounts WHERE person = '{person}'");
    assert_eq!(sql(&linked).trim(), "2");
    assert_eq!(unlink(&scene.id).status(), 303);
    assert_eq!(sql(&linked).trim(), "1");
    assert_eq!(browser.get("/").status(), 303, "the session that came of it has ended");
}

#[test]
fn an_issuer_adds_no_way_in_for_whoever_is_elsewhere_too() {
    let scene = Scene::new(&json!({}));
    who_is_elsewhere_too_adds_no_way(&scene, &|statement| scene.served.sql(statement));
}

#[test]
fn what_is_changed_or_taken_away_counts_at_once() {
    let scene = Scene::new(&json!({ "domains": ["corp.example"], "listed": false }));
    assert!(!scene.browser().get("/sign-in").text().contains("Corp"), "it is offered by link");
    let done = scene.come(&bob(), &[]);
    let mut bob_now = scene.browser();
    bob_now.keep(&session(&done).unwrap());
    assert_eq!(bob_now.get("/").status(), 200);
    // He has nothing else to sign in with.
    let word = bob_now.form("/account/sign-in").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let unlink = format!("/account/upstreams/{}/unlink", scene.id);
    assert_eq!(bob_now.post(&unlink, &[("word", &word)]).status(), 409);
    // A first passphrase of his own, and both ways.
    let fields = [("word", word.as_str()), ("new", PASSPHRASE), ("again", PASSPHRASE)];
    assert_eq!(bob_now.post("/account/passphrase", &fields).status(), 303);
    assert_eq!(scene.browser().sign_in(&scene.login("bob@corp.example"), PASSPHRASE).status(), 303);
    let done = scene.come(&bob(), &[]);
    bob_now.keep(&session(&done).unwrap());
    for (method, body) in [("PATCH", "{\"name\":\"x\"}"), ("DELETE", "")] {
        let path = format!("/upstreams/{}", scene.id);
        let stale = scene.served.api_with(method, &path, &scene.admin, body, &["If-Match: \"7\""]);
        assert_eq!(stale.status(), 412, "{method}");
    }
    scene.amend(&json!({ "domains": [], "second_factor": true }));
    assert_eq!(bob_now.get("/").status(), 303, "the session that came of it has ended");
    assert_eq!(scene.come(&bob(), &[]).status(), 403);
    // With another issuer, neither the secret nor the accounts are of it.
    scene.amend(&json!({ "domains": ["corp.example"], "issuer": "http://127.0.0.1:9" }));
    let shown = scene.served.api("GET", &format!("/upstreams/{}", scene.id), &scene.admin, "").json();
    assert_eq!(shown["has_secret"], false);
    assert_eq!(scene.browser().post(&format!("/sign-in/with/{}", scene.id), &[]).status(), 502);
    let path = format!("/upstreams/{}", scene.id);
    assert_eq!(scene.served.api("DELETE", &path, &scene.admin, "").status(), 204);
    assert_eq!(scene.browser().post(&format!("/sign-in/with/{}", scene.id), &[]).status(), 404);
}

#[test]
fn an_owner_writes_it_in_the_portal_and_a_real_issuer_lets_people_in() {
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let alice = served.browser();
    let port = crate::peers::free_port();
    let issuer = format!("http://127.0.0.1:{port}");
    let home = alice.get("/").text();
    let org = home.split("/portal/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let list = format!("/portal/{org}/upstreams");
    let word = alice.form(&list).into_iter().find(|(name, _)| name == "word").unwrap().1;
    let named = |name: &str, issuer: &str| alice.post(&list, &[("word", &word), ("name", name), ("issuer", issuer)]);
    assert_eq!(named("<Peer>", "http://id.example").status(), 422);
    let made = named("<Peer>", &issuer);
    assert_eq!(made.status(), 303, "{}", made.text());
    let one = made.header("location").unwrap().to_owned();
    let page = alice.get(&one).text();
    let redirect = page.split("<code class=\"once\" tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap();
    assert!(alice.get(&list).text().contains("not finished"));
    let fields = |client: &str, roles: &str| {
        let mut fields = hidden(&alice.get(&one).text());
        fields.retain(|(name, _)| name == "word" || name == "revision");
        for (name, value) in [
            ("name", "<Peer>"),
            ("issuer", issuer.as_str()),
            ("client_id", client),
            ("client_secret", "LNYCANARYweb client secret"),
            ("scopes", "openid email profile"),
            ("domains", "example.test, example.org"),
            ("domain_role", "member"),
            ("claim", if roles.is_empty() { "" } else { "groups" }),
            ("roles", roles),
            ("listed", "on"),
        ] {
            fields.push((name.into(), value.into()));
        }
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        alice.post(&one, &fields)
    };
    let wrong = fields("web", "ops = owner");
    assert!(wrong.status() == 422 && wrong.text().contains("ops = owner"), "{}", wrong.text());
    assert!(!wrong.text().contains("LNYCANARY"));
    assert_eq!(fields("web", "").status(), 303);
    let settings =
        [("PORT", port.to_string()), ("WEB_REDIRECT", redirect.to_owned()), ("ACCESS_TTL", "300".to_owned())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _peer = OidcProvider::start(&settings);
    let browser = Browser::new(&served.url);
    let page = browser.get("/sign-in").text();
    assert!(page.contains("Sign in with &lt;Peer&gt;"), "{page}");
    let id = one.rsplit('/').next().unwrap();
    let errand = Errand::of(&browser.post(&format!("/sign-in/with/{id}"), &[]));
    let visit = person(&errand.address, &["--no-deliver", "--user", "dora"]);
    let address = visit["final"].as_str().unwrap();
    assert!(address.starts_with(redirect), "{visit}");
    let done = errand.deliver(&browser, address);
    assert_eq!(done.status(), 303, "{}", done.text());
    let cookie = session(&done).unwrap();
    let home = wire::send("GET", &format!("{}/", served.url), &[&format!("Cookie: {cookie}")], "").unwrap().text();
    assert!(home.contains("dora@example.test") && home.contains("member"), "{home}");
    let again = errand.deliver(&browser, address);
    assert_eq!((again.status(), session(&again)), (403, None), "an answer is good once");
    let delete = format!("{one}/delete");
    let revision = hidden(&alice.get(&delete).text()).into_iter().find(|(name, _)| name == "revision").unwrap().1;
    assert_eq!(alice.post(&delete, &[("word", &word), ("revision", "7")]).status(), 412);
    assert_eq!(alice.post(&delete, &[("word", &word), ("revision", &revision)]).status(), 303);
    assert!(!browser.get("/sign-in").text().contains("Peer"));
}
