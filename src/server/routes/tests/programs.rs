//! Programs that somebody is signed in with, the keys of everybody, and what is told of whoever is not let in by a token.

use super::pages::Browser;
use super::*;
use crate::server::db::tests::meanwhile;

const FORM: &[(&str, &str)] =
    &[("content-type", "application/x-www-form-urlencoded"), ("origin", "http://127.0.0.1:7447")];
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-anybody-0123456789";
const REDIRECT: &str = "http://127.0.0.1:1/callback";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A sign-in of a program, with its tokens.
struct SignIn {
    family: String,
    access: String,
    refresh: String,
}

impl Played {
    /// Signs a program in as whoever has a token; the name of the sign-in.
    pub(super) fn program(&self, token: &str) -> String {
        self.sign_in(&self.ours, &self.person(token)).family
    }

    fn sign_in(&self, scope: &OrgScope, person: &str) -> SignIn {
        let family = crate::server::random::base62(20).unwrap().to_string();
        let grant = Grant {
            scope: scope.clone(),
            person: person.to_owned(),
            client: "lanyard".into(),
            permissions: Permissions::all(),
            family: family.clone(),
            project: None,
            bound: None,
        };
        let (access, refresh) =
            self.server.db.write(Reach::Server, |rows| bearer::issue_pair(rows, &grant, now())).unwrap();
        let [access, refresh] = [access, refresh].map(|token| token.token.expose().to_owned());
        SignIn { family, access, refresh }
    }

    fn counts(&self, token: &str) -> bool {
        self.call(&Method::GET, "/userinfo", Some(token)).0 == StatusCode::OK
    }

    /// What comes of a form that nobody is signed in for.
    fn posted(&self, path: &str, fields: &[(&str, &str)]) -> (StatusCode, Value) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let response = self.page(&Method::POST, path, None, FORM, &body);
        (response.status(), serde_json::from_str(&self.body(response)).unwrap_or_default())
    }

    fn renew(&self, refresh: &str, more: &[(&str, &str)]) -> (StatusCode, Value) {
        let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", refresh)];
        fields.extend(more);
        if more.iter().all(|(name, _)| *name != "client_id") {
            fields.push(("client_id", "lanyard"));
        }
        self.posted("/token", &fields)
    }

    fn change(&self, statement: &str) {
        self.server.db.write(Reach::Server, |rows| rows.batch(statement)).unwrap();
    }

    /// A code that somebody has allowed.
    fn code(&self, browser: &Browser, more: &str) -> String {
        use base64::Engine;
        use sha2::Digest;
        let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(VERIFIER));
        let body = format!(
            "word={}&response_type=code&client_id=lanyard&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback&scope=\
             credentials.read+keys.manage&code_challenge={challenge}&code_challenge_method=S256&organization={}\
             &decision=allow{more}",
            browser.word(),
            self.ours.id(),
        );
        let response = self.page(&Method::POST, "/authorize", Some(browser), FORM, &body);
        let to = response.headers()[header::LOCATION].to_str().unwrap().to_owned();
        to.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()
    }

    fn exchange(&self, code: &str, changes: &[(&str, &str)]) -> (StatusCode, Value) {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("client_id", "lanyard"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        fields.extend(changes);
        self.posted("/token", &fields)
    }
}

/// What a key lives, as it is told.
fn life(key: &Value) -> TimeDelta {
    let at = |name: &str| serde_json::from_value::<DateTime<Utc>>(key[name].clone()).unwrap();
    at("expires") - at("created")
}

#[test]
fn whoever_has_let_programs_in_sees_them_and_ends_them() {
    let played = Played::new();
    let (own, other) = (played.member(&played.ours, Role::Reader), played.member(&played.ours, Role::Owner));
    let person = played.person(&own);
    let [one, two] = [(); 2].map(|()| played.sign_in(&played.ours, &person));
    played.change(&format!("UPDATE tokens SET permissions = 'keys.manage' WHERE family = '{}'", two.family));
    let list = |token: &str| played.ask("GET", "/programs", token, &Value::Null).1["items"].as_array().unwrap().clone();
    let mut families: Vec<_> = list(&own).iter().map(|program| program["id"].as_str().unwrap().to_owned()).collect();
    families.sort();
    let mut both = [one.family.clone(), two.family.clone()];
    both.sort();
    assert_eq!(families, both);
    assert_eq!(list(&other), Vec::<Value>::new(), "nobody sees another's");
    // A renewal tells where from, and stays the same sign-in.
    let (status, next) = played.renew(&two.refresh, &[]);
    assert_eq!(status, StatusCode::OK, "{next}");
    let listed = list(&own);
    let shown = listed.iter().find(|program| program["id"] == two.family.as_str()).unwrap();
    assert_eq!((&shown["client_id"], &shown["permissions"]), (&json!("lanyard"), &json!(["keys.manage"])));
    assert!(shown["used"].is_string() && shown["used_from"] == "unknown", "{shown}");
    assert_eq!(listed.len(), 2);
    // Another's is not there to be ended; one's own is gone at once, with what was made with it.
    let path = format!("/programs/{}", two.family);
    assert_eq!(played.ask("DELETE", &path, &other, &Value::Null).0, StatusCode::NOT_FOUND);
    let access = next["access_token"].as_str().unwrap();
    let wanted = json!({ "name": "made", "permissions": ["keys.manage"] });
    let (status, made) = played.ask("POST", "/api-keys", access, &wanted);
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let key = made["key"].as_str().unwrap();
    assert!(played.counts(access) && played.counts(key));
    let ((status, _), told) = played.told_by(|| played.ask("DELETE", &path, &own, &Value::Null));
    assert_eq!(status, StatusCode::NO_CONTENT);
    let told: Vec<_> = told.iter().map(|entry| (entry["action"].clone(), entry["object"].clone())).collect();
    let ended = [(json!("program.end"), json!(two.family)), (json!("key.revoke"), made["id"].clone())];
    assert_eq!(told, ended);
    assert!(!played.counts(access) && !played.counts(key) && played.counts(&one.access));
    let (status, refused) = played.renew(next["refresh_token"].as_str().unwrap(), &[]);
    assert_eq!((status, &refused["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    assert_eq!(played.ask("DELETE", &path, &own, &Value::Null).0, StatusCode::NOT_FOUND);
}

#[test]
fn the_account_has_the_programs_and_ends_one_or_all() {
    let played = Played::new();
    let browser = played.browser(&played.ours, Role::Reader);
    let page = || played.body(played.page(&Method::GET, "/account", Some(&browser), &[], ""));
    assert!(page().contains("No program is signed in as you."));
    let signed: Vec<_> = (0..3).map(|_| played.sign_in(&played.ours, &browser.person)).collect();
    let stranger = played.sign_in(&played.ours, &played.member);
    let shown = page();
    assert!(signed.iter().all(|one| shown.contains(&one.family)) && !shown.contains(&stranger.family), "{shown}");
    let end = |what: &str| played.send(&Method::POST, &format!("/account/programs/{what}"), &browser).status();
    assert_eq!(end(&format!("{}/end", stranger.family)), StatusCode::NOT_FOUND);
    assert_eq!(end(&format!("{}/end", signed[0].family)), StatusCode::SEE_OTHER);
    assert_eq!((played.counts(&signed[0].access), played.counts(&signed[1].access)), (false, true));
    let code = played.code(&browser, "");
    let (status, told) = played.told_by(|| end("end"));
    assert_eq!((status, told.len()), (StatusCode::SEE_OTHER, 2), "{told:?}");
    assert!(told.iter().all(|entry| entry["action"] == "program.end" && entry["actor"] == browser.person.as_str()));
    assert!(!played.counts(&signed[2].access) && played.counts(&stranger.access));
    assert_eq!(played.exchange(&code, &[]).0, StatusCode::BAD_REQUEST, "nor is one begun that was just allowed");
    assert!(page().contains("No program is signed in as you."));
}

#[test]
fn whoever_runs_the_organization_revokes_the_keys_of_everybody() {
    let played = Played::new();
    let [owner, member] = [Role::Owner, Role::Member].map(|role| played.member(&played.ours, role));
    let admin =
        played.somebody(&played.ours, Role::Admin, Permissions::parse("members.manage").unwrap(), TimeDelta::days(1));
    let id = |token: &str| crate::server::token::parse(token).unwrap().id;
    let elsewhere = played.member(&played.theirs, Role::Owner);
    let (status, listed) = played.ask("GET", "/members/api-keys?limit=200", &admin, &Value::Null);
    assert_eq!(status, StatusCode::OK);
    let items = listed["items"].as_array().unwrap();
    let of = |token: &str| items.iter().find(|item| item["id"] == id(token).as_str());
    let shown = of(&owner).unwrap();
    assert_eq!((&shown["person"], &shown["name"]), (&json!(played.person(&owner)), &json!("key")));
    assert!(of(&member).is_some() && of(&elsewhere).is_none() && shown.get("key").is_none(), "{shown}");
    let revoke =
        |token: &str, by: &str| played.ask("DELETE", &format!("/members/api-keys/{}", id(token)), by, &Value::Null).0;
    assert_eq!(revoke(&owner, &member), StatusCode::FORBIDDEN);
    assert_eq!(revoke(&elsewhere, &admin), StatusCode::NOT_FOUND);
    // What is no key is not there.
    let program = played.sign_in(&played.ours, &played.person(&member));
    assert_eq!(revoke(&program.access, &admin), StatusCode::NOT_FOUND);
    assert_eq!(revoke(&owner, &admin), StatusCode::NO_CONTENT);
    assert_eq!(revoke(&owner, &admin), StatusCode::NOT_FOUND);
    let alive = [&owner, &member, &elsewhere, &program.access].map(|token| played.counts(token));
    assert_eq!(alive, [false, true, true, true]);
}

#[test]
fn a_key_that_a_program_makes_ends_with_its_sign_in() {
    let played = Played::new();
    let person = played.person(&played.member(&played.ours, Role::Member));
    let program = played.sign_in(&played.ours, &person);
    played.change("UPDATE tokens SET family_began = created - 8640000000 WHERE family <> ''");
    let ask = |token: &str, days: Value| {
        let mut wanted = json!({ "name": "n", "permissions": ["keys.manage"] });
        if days.is_number() {
            wanted["days"] = days;
        }
        played.ask("POST", "/api-keys", token, &wanted)
    };
    let (status, refused) = ask(&program.access, json!(366));
    let ends = (now() + TimeDelta::days(80)).format("%Y-%m-%d").to_string();
    let detail = refused["detail"].as_str().unwrap();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(detail.contains(&ends) && detail.contains("79 days") && detail.contains("portal"), "{detail}");
    assert_eq!(ask(&program.access, json!(79)).0, StatusCode::CREATED);
    let (status, made) = ask(&program.access, Value::Null);
    assert_eq!(status, StatusCode::CREATED, "as long as it may, where nothing is said");
    assert_eq!((life(&made) + TimeDelta::hours(1)).num_days(), 80, "{made}");
    // What is made with that one is bound by it, and comes of the same sign-in.
    let key = made["key"].as_str().unwrap().to_owned();
    let (_, second) = ask(&key, json!(366));
    assert!(life(&second) <= life(&made), "{second}");
    let second = second["key"].as_str().unwrap().to_owned();
    // Whoever signs out in order keeps the keys.
    let other = played.sign_in(&played.ours, &person);
    let (_, kept) = ask(&other.access, Value::Null);
    assert_eq!(played.posted("/revoke", &[("token", &other.refresh)]).0, StatusCode::OK);
    assert!(!played.counts(&other.access) && played.counts(kept["key"].as_str().unwrap()));
    // Whoever comes with a spent token late ends all of it.
    assert_eq!(played.renew(&program.refresh, &[]).0, StatusCode::OK);
    assert!(played.counts(&key) && played.counts(&second));
    played.change("UPDATE successors SET expires = 1");
    let ((), told) = played.told_by(|| assert_eq!(played.renew(&program.refresh, &[]).0, StatusCode::BAD_REQUEST));
    assert!(!played.counts(&key) && !played.counts(&second) && played.counts(kept["key"].as_str().unwrap()));
    let revoked = told.iter().filter(|entry| entry["action"] == "key.revoke").count();
    assert_eq!((&told[0]["action"], revoked), (&json!("token.reuse"), 3), "{told:?}");
    // So does whoever finds one of its tokens.
    let third = played.sign_in(&played.ours, &person);
    let (_, made) = ask(&third.access, Value::Null);
    let leaked = json!([{ "token": third.access }]).to_string();
    let json = [("content-type", "application/json")];
    assert_eq!(played.page(&Method::POST, "/leaked-tokens", None, &json, &leaked).status(), StatusCode::ACCEPTED);
    assert!(!played.counts(made["key"].as_str().unwrap()));
}

#[test]
fn a_token_that_has_ended_makes_nothing() {
    let played = Played::new();
    let program = played.sign_in(&played.ours, &played.member);
    let wanted = json!({ "name": "n", "permissions": ["keys.manage"] });
    assert_eq!(played.ask("POST", "/api-keys", &program.access, &wanted).0, StatusCode::CREATED);
    // Ended between the door and the table: what the handler is given still stands.
    meanwhile(&played.server.db, "organizations", "UPDATE tokens SET revoked = 1 WHERE kind = 'acc'");
    assert_eq!(played.ask("POST", "/api-keys", &program.access, &wanted).0, StatusCode::UNAUTHORIZED);
}

/// Denied entries, each as its action and why.
fn denied(told: &[Value]) -> Vec<(String, String)> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let denied = told.iter().filter(|entry| entry["outcome"] == "denied");
    denied.map(|entry| (text(entry, "action"), text(entry, "detail"))).collect()
}

/// Holds that something is refused, and told in our audit with whose it is.
#[track_caller]
fn is_told(played: &Played, person: &str, action: &str, why: &str, ask: impl FnOnce() -> (StatusCode, Value)) {
    let ((status, answer), told) = played.told_by(ask);
    assert!(status.is_client_error(), "{why}: {status} {answer}");
    assert_eq!(denied(&told), [(action.to_owned(), why.to_owned())], "{answer}");
    assert_eq!(told[0]["actor"], person, "{why}");
    assert!(!told[0].to_string().contains("lny_"), "{why}");
}

#[test]
fn what_a_program_was_granted_and_why_it_was_not_is_told() {
    let played = Played::new();
    let browser = played.browser(&played.ours, Role::Owner);
    let person = browser.person.as_str();
    let ((status, _), told) = played.told_by(|| played.exchange(&played.code(&browser, ""), &[]));
    assert_eq!(status, StatusCode::OK);
    let told: Vec<_> = told.iter().map(|entry| (entry["action"].clone(), entry["detail"].clone())).collect();
    let granted = "credentials.read keys.manage";
    let expected =
        [(json!("program.admit"), json!(granted)), (json!("program.sign-in"), json!(format!("lanyard: {granted}")))];
    assert_eq!(told, expected);
    for (changes, why) in [
        (&[("code_verifier", "another-verifier-that-is-long-enough-for-anybody")][..], "another verifier"),
        (&[("redirect_uri", "http://127.0.0.1:1/other")], "another address"),
    ] {
        let code = played.code(&browser, "");
        is_told(&played, person, "program.sign-in", why, || played.exchange(&code, changes));
    }
    let bound = played.code(&browser, &format!("&dpop_jkt={}", "a".repeat(43)));
    is_told(&played, person, "program.sign-in", "without its key", || played.exchange(&bound, &[]));
    let late = played.code(&browser, "");
    played.change("UPDATE codes SET expires = 1 WHERE spent IS NULL");
    is_told(&played, person, "program.sign-in", "too late", || played.exchange(&late, &[]));
    let others = played.code(&browser, "");
    played.change("UPDATE codes SET client = 'another' WHERE spent IS NULL");
    is_told(&played, person, "program.sign-in", "another program", || played.exchange(&others, &[]));
    // A code that is none is nobody's.
    let ((status, _), told) = played.told_by(|| played.exchange("lny_code_x", &[]));
    assert_eq!((status, told.len()), (StatusCode::BAD_REQUEST, 0));
    let gone = played.code(&browser, "");
    played.change(&format!("DELETE FROM members WHERE person = '{person}'"));
    is_told(&played, person, "program.sign-in", "no member", || played.exchange(&gone, &[]));
}

#[test]
fn whoever_renews_in_vain_is_told_of() {
    let played = Played::new();
    let person = played.person(&played.member(&played.ours, Role::Owner));
    let fresh = || played.sign_in(&played.ours, &person);
    let set = |what: &str, family: &str| played.change(&format!("UPDATE tokens SET {what} WHERE family = '{family}'"));
    for (what, why) in [
        ("revoked = 1", "it has ended"),
        ("expires = 1", "it has ended"),
        ("client = 'another'", "another program"),
        ("bound = 'thumbprint'", "without its key"),
    ] {
        let one = fresh();
        set(what, &one.family);
        is_told(&played, &person, "token.renew", why, || played.renew(&one.refresh, &[]));
    }
    let one = fresh();
    is_told(&played, &person, "token.renew", "another program", || {
        played.renew(&one.refresh, &[("client_id", "unknown")])
    });
    // Whoever asks for more than there is has not spent it.
    set("permissions = 'credentials.read'", &one.family);
    for scope in ["secrets.read", "nonsense"] {
        is_told(&played, &person, "token.renew", "another scope", || played.renew(&one.refresh, &[("scope", scope)]));
    }
    assert_eq!(played.renew(&one.refresh, &[]).0, StatusCode::OK);
    let one = fresh();
    played.change(&format!("DELETE FROM members WHERE person = '{person}'"));
    is_told(&played, &person, "token.renew", "no member", || played.renew(&one.refresh, &[]));
    let ((status, _), told) = played.told_by(|| played.renew("lny_ref_x", &[]));
    assert_eq!((status, told.len()), (StatusCode::BAD_REQUEST, 0));
}

#[test]
fn a_refresh_narrows_the_access_token_alone() {
    let played = Played::new();
    let one = played.sign_in(&played.ours, &played.person(&played.member(&played.ours, Role::Owner)));
    let (status, narrow) = played.renew(&one.refresh, &[("scope", "credentials.read")]);
    assert_eq!((status, &narrow["scope"]), (StatusCode::OK, &json!("credentials.read")));
    let access = narrow["access_token"].as_str().unwrap();
    assert_eq!(played.call(&Method::GET, "/credential-configs", Some(access)).0, StatusCode::OK);
    assert_eq!(played.call(&Method::GET, "/members", Some(access)).0, StatusCode::FORBIDDEN);
    let (_, again) = played.renew(&one.refresh, &[("scope", "credentials.read")]);
    assert_eq!((&again["scope"], again["access_token"].as_str()), (&json!("credentials.read"), Some(access)));
    let (_, wide) = played.renew(narrow["refresh_token"].as_str().unwrap(), &[]);
    assert_eq!(wide["scope"], Permissions::all().words());
    // Nothing beyond who it is.
    let (_, identity) = played.renew(wide["refresh_token"].as_str().unwrap(), &[("scope", "openid")]);
    let access = identity["access_token"].as_str().unwrap();
    assert!(identity["scope"] == "" && played.counts(access), "{identity}");
    assert_eq!(played.call(&Method::GET, "/credential-configs", Some(access)).0, StatusCode::FORBIDDEN);
}

#[test]
fn what_the_other_routes_for_anybody_do_is_told_where_it_is_somebodys() {
    let played = Played::new();
    let person = played.person(&played.member(&played.ours, Role::Owner));
    let one = played.sign_in(&played.ours, &person);
    // What asks for nothing of anybody is nobody's, and what was ended before is not ended again.
    let ((status, begun), told) =
        played.told_by(|| played.posted("/device-authorization", &[("client_id", "lanyard")]));
    assert_eq!((status, told.len()), (StatusCode::OK, 0));
    let ((status, _), told) = played.told_by(|| played.posted("/introspect", &[("token", &one.access)]));
    assert_eq!((status, told.len()), (StatusCode::UNAUTHORIZED, 0));
    let ((_, _), told) = played.told_by(|| played.posted("/revoke", &[("token", &one.refresh)]));
    let [entry] = &told[..] else { panic!("{told:?}") };
    assert_eq!(
        (&entry["action"], &entry["outcome"], &entry["actor"]),
        (&json!("token.revoke"), &json!("done"), &json!(person))
    );
    let ((status, _), told) = played.told_by(|| played.posted("/revoke", &[("token", &one.refresh)]));
    assert_eq!((status, told.len()), (StatusCode::OK, 0));
    // Whoever shows a token has one that counts.
    let bearer = format!("Bearer {}", one.access);
    let headers = [FORM[0], ("authorization", bearer.as_str())];
    let (response, told) = played.told_by(|| played.page(&Method::POST, "/introspect", None, &headers, "token=x"));
    assert_eq!((response.status(), denied(&told).len()), (StatusCode::UNAUTHORIZED, 1), "{told:?}");
    // A device that was let in: by another program, late, and a second time.
    let device = begun["device_code"].as_str().unwrap();
    let poll =
        || played.posted("/token", &[("grant_type", DEVICE_GRANT), ("client_id", "lanyard"), ("device_code", device)]);
    let (org, all) = (played.ours.id(), "state = 'approved', permissions = 'credentials.read'");
    played.change(&format!("UPDATE devices SET {all}, org = '{org}', person = '{person}', client = 'another'"));
    is_told(&played, &person, "program.sign-in", "another program", poll);
    played.change("UPDATE devices SET client = 'lanyard', expires = expires - 3600000");
    is_told(&played, &person, "program.sign-in", "too late", poll);
    played.change("UPDATE devices SET expires = expires + 3600000");
    assert_eq!(poll().0, StatusCode::OK);
    is_told(&played, &person, "program.sign-in", "it was used before", poll);
}

#[test]
fn a_user_is_told_by_a_form_as_well_if_the_token_is_in_the_header() {
    let played = Played::new();
    let token = played.member(&played.ours, Role::Reader);
    let (status, by_get) = played.ask("GET", "/userinfo", &token, &Value::Null);
    assert_eq!(status, StatusCode::OK);
    let bearer = format!("Bearer {token}");
    let with = [FORM[0], ("authorization", bearer.as_str())];
    for body in ["", "x=y"] {
        let response = played.page(&Method::POST, "/userinfo", None, &with, body);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(serde_json::from_str::<Value>(&played.body(response)).unwrap(), by_get);
    }
    let in_the_body = format!("access_token={token}");
    let refused = played.page(&Method::POST, "/userinfo", None, FORM, &in_the_body);
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}
