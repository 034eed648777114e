//! Programs that an organization has registered: who lets them in, under which name, and what is theirs alone.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::grants::{asked, code_for, exchange, text};
use super::organizations::told;
use super::served::{Browser, Served, hidden, token};
use crate::wire::{self, Message};

pub const HERE: &str = "http://127.0.0.1/callback";
/// Where the answer goes in the end, at the port that the program was given.
pub const AT: &str = "http://127.0.0.1:9/callback";
pub const NAME: &str = "Deploy <b>\"CLI\"</b>";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Has a program be registered.
pub fn register(served: &Served, bearer: &str, body: &Value) -> Message {
    served.api("POST", "/oauth-clients", bearer, &body.to_string())
}

/// The same where that is done; its identifier.
pub fn registered(served: &Served, bearer: &str, name: &str, redirects: &[&str]) -> String {
    let made = register(served, bearer, &json!({ "name": name, "redirect_uris": redirects }));
    assert_eq!(made.status(), 201, "{}", made.text());
    text(&made.json(), "id").to_owned()
}

pub fn post(served: &Served, path: &str, fields: &[(&str, &str)]) -> Message {
    wire::post_form(&format!("{}{path}", served.url), fields).unwrap()
}

pub fn refresh(served: &Served, client: &str, token: &str) -> Message {
    post(served, "/token", &[("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)])
}

/// Its status and its error.
pub fn refused(answer: &Message) -> (u16, String) {
    (answer.status(), text(&answer.json(), "error").to_owned())
}

pub fn is_refused(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// What a program is given that the owner lets in.
pub fn let_in(served: &Served, browser: &Browser, client: &str) -> Value {
    let code = code_for(browser, &[("client_id", client), ("redirect_uri", AT), ("scope", "openid credentials.read")]);
    let given = exchange(served, &code, &[("client_id", client), ("redirect_uri", AT)]);
    assert_eq!(given.status(), 200, "{}", given.text());
    given.json()
}

/// A device of a program that asks to be let in.
pub fn device(served: &Served, client: &str) -> (String, String) {
    let begun = post(served, "/device-authorization", &[("client_id", client), ("scope", "credentials.read")]);
    assert_eq!(begun.status(), 200, "{}", begun.text());
    let begun = begun.json();
    (text(&begun, "device_code").into(), text(&begun, "user_code").into())
}

pub fn poll(served: &Served, client: &str, code: &str) -> Message {
    served.sql("UPDATE devices SET polled = 0");
    post(served, "/token", &[("grant_type", DEVICE), ("client_id", client), ("device_code", code)])
}

/// What whoever types a code is shown, and what comes of their word.
pub fn typed(browser: &Browser, user_code: &str) -> Message {
    super::devices::typed(browser, user_code)
}

pub fn decided(browser: &Browser, page: &Message, more: &[(&str, &str)]) -> Message {
    let mut fields = hidden(&page.text());
    fields.retain(|(name, _)| more.iter().all(|(given, _)| given != name));
    fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let path = if fields.iter().any(|(name, _)| *name == "user_code") { "/device" } else { "/authorize" };
    browser.post(path, &fields)
}

/// Who is told in the audit, with what of them.
pub fn entries(served: &Served, action: &str) -> Vec<(String, String, String)> {
    let of = |entry: &Value| ["outcome", "object", "detail"].map(|name| text(entry, name).to_owned()).into();
    told(&|statement| served.sql(statement), action).iter().map(of).collect()
}

pub fn entry(outcome: &str, object: &str, detail: &str) -> (String, String, String) {
    (outcome.into(), object.into(), detail.into())
}

fn goes_by_its_name(served: &Served) {
    let bearer = token(&served.manager());
    let addresses = [HERE, "https://app.example.com:8443/oauth/callback/", "com.example.deploy:/callback"];
    let id = registered(served, &bearer, NAME, &addresses);
    assert!(id.starts_with("client_") && id.len() == 33, "{id}");
    let browser = served.browser();
    for (address, end) in [
        (AT, "http://127.0.0.1:9"),
        (addresses[1], "https://app.example.com:8443"),
        (addresses[2], "com.example.deploy:"),
    ] {
        let page = browser.get(&asked(&[("client_id", &id), ("redirect_uri", address)]));
        let policy = page.header("content-security-policy").unwrap().to_owned();
        assert!(policy.ends_with(&format!("; form-action 'self' {end}")), "{policy}");
        let page = page.text();
        for shown in [
            "<strong>Deploy &lt;b&gt;&quot;CLI&quot;&lt;/b&gt;</strong> asks to be let in",
            "It was registered by an administrator of <strong>Acme &lt;&amp;&gt; &quot;Söhne&quot;</strong>.",
            &format!("The answer goes to <strong>{end}</strong>."),
        ] {
            assert!(page.contains(shown), "{shown}: {page}");
        }
        assert!(!page.contains("command line") && !page.contains("<b>\""), "{page}");
        let to = browser.decide(&asked(&[("client_id", &id), ("redirect_uri", address)]), "allow");
        assert!(to.starts_with(&format!("{address}?code=lny_")), "{to}");
        let to = browser.decide(&asked(&[("client_id", &id), ("redirect_uri", address)]), "deny");
        assert!(to.starts_with(&format!("{address}?error=access_denied")), "{to}");
    }
    // The command line is what it was.
    let own = browser.get(&asked(&[])).text();
    assert!(own.contains("Lanyard on a command line") && !own.contains("registered by"), "{own}");
    let given = let_in(served, &browser, &id);
    let (access, renewal) = (text(&given, "access_token"), text(&given, "refresh_token"));
    // It is seen under that name among those that somebody is signed in with.
    let account = browser.get("/account").text();
    assert!(account.contains("Deploy &lt;b&gt;&quot;CLI&quot;&lt;/b&gt;<small>"), "{account}");
    let programs = served.api("GET", "/programs", &bearer, "").json()["items"].as_array().unwrap().clone();
    let named: Vec<_> = programs.iter().map(|one| (text(one, "client_id"), &one["name"])).collect();
    assert_eq!(named, [("lanyard", &Value::Null), (id.as_str(), &json!(NAME))]);
    let claims = text(&given, "id_token").split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap()["aud"], *id);
    let is = |token: &str| post(served, "/introspect", &[("client_id", &id), ("token", token)]).json();
    assert_eq!((&is(access)["active"], &is(renewal)["client_id"]), (&json!(true), &json!(id)));
    assert_eq!(served.api("GET", "/credential-configs", access, "").status(), 200);
    let renewed = refresh(served, &id, renewal);
    assert_eq!(renewed.status(), 200, "{}", renewed.text());
    let gone = post(served, "/revoke", &[("client_id", &id), ("token", text(&renewed.json(), "refresh_token"))]);
    assert_eq!((gone.status(), served.api("GET", "/userinfo", access, "").status()), (200, 401));
    // By a code as well.
    let (secret, user_code) = device(served, &id);
    let page = typed(&browser, &user_code);
    assert!(page.text().contains("Deploy &lt;b&gt;") && page.text().contains("registered by"), "{}", page.text());
    assert_eq!(decided(&browser, &page, &[("decision", "allow")]).status(), 200);
    assert!(text(&poll(served, &id, &secret).json(), "access_token").starts_with("lny_acc_"));
    let admitted = entries(served, "program.admit");
    for (outcome, detail) in [("done", &*format!("{NAME}: credentials.read")), ("denied", NAME)] {
        assert!(admitted.contains(&entry(outcome, &id, detail)), "{admitted:?}");
    }
    let details: Vec<String> = entries(served, "program.sign-in").into_iter().map(|(.., detail)| detail).collect();
    let own = format!("{id}: credentials.read");
    assert!(details[0].starts_with("lanyard: ") && details[1..] == [own.clone(), own], "{details:?}");
    assert_eq!(entries(served, "client.create"), [entry("done", &id, NAME)]);
}

#[test]
fn a_program_is_let_in_under_its_own_name() {
    goes_by_its_name(&Served::new(&[]));
}

#[test]
fn a_program_is_let_in_under_its_own_name_on_postgresql_as_well() {
    goes_by_its_name(&Served::on_postgresql());
}

#[test]
fn an_answer_goes_to_an_address_that_was_registered_and_to_no_other() {
    let served = Served::new(&[]);
    let bearer = token(&served.manager());
    let there = "https://app.example.com/callback";
    let id = registered(&served, &bearer, "Web", &[there]);
    let here = registered(&served, &bearer, "Here", &[HERE]);
    let agent = registered(&served, &bearer, "Agent", &[]);
    let browser = served.browser();
    let own = browser.form(&asked(&[("client_id", &id), ("redirect_uri", there)]));
    for (client, bad) in [
        (&id, "https://app.example.com/callback/"),
        (&id, "https://app.example.com/callback?x=y"),
        (&id, "https://app.example.com/Callback"),
        (&id, "https://app.example.com:8443/callback"),
        (&id, "https://app.example.com.evil.example/callback"),
        (&id, "https://app.example.com@evil.example/callback"),
        (&id, "https://evil.example/callback"),
        (&id, "http://app.example.com/callback"),
        (&id, AT),
        (&id, "javascript:alert(1)"),
        (&id, ""),
        (&here, "http://127.0.0.1:9/other"),
        (&here, "http://[::1]:9/callback"),
        (&here, there),
        (&agent, AT),
        (&agent, ""),
    ] {
        let page = browser.get(&asked(&[("client_id", client), ("redirect_uri", bad)]));
        assert_eq!((page.status(), page.header("location")), (400, None), "{bad}");
        let mut fields: Vec<(&str, &str)> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.retain(|(name, _)| !["client_id", "redirect_uri"].contains(name));
        fields.extend([("client_id", client.as_str()), ("redirect_uri", bad), ("decision", "allow")]);
        let sent = browser.post("/authorize", &fields);
        assert_eq!((sent.status(), sent.header("location")), (400, None), "{bad}");
    }
    for unknown in
        ["client_", "client_0", "client_00000000000000000000000000", "client_' OR '1'='1", &"client_".repeat(99)]
    {
        let page = browser.get(&asked(&[("client_id", unknown), ("redirect_uri", there)]));
        assert_eq!((page.status(), page.header("location")), (400, None), "{unknown}");
        assert_eq!(refused(&refresh(&served, unknown, "x")), is_refused(401, "invalid_client"), "{unknown}");
    }
    // It is sent an error, too, where it may be sent anything.
    let page = browser.get(&asked(&[("client_id", &id), ("redirect_uri", there), ("response_type", "token")]));
    let to = page.header("location").unwrap();
    assert!(to.starts_with("https://app.example.com/callback?error=unsupported_response_type"), "{to}");
    assert_eq!(served.sql("SELECT COUNT(*) FROM codes WHERE client <> 'lanyard'").trim(), "0");
    // An address that is taken away while a code is out gets nothing for it.
    let code = code_for(&browser, &[("client_id", &here), ("redirect_uri", AT)]);
    let path = format!("/oauth-clients/{here}");
    let body = json!({ "redirect_uris": ["http://127.0.0.1/other"] }).to_string();
    let changed = served.api_with("PATCH", &path, &bearer, &body, &["If-Match: \"1\""]);
    assert_eq!((changed.status(), changed.header("etag")), (200, Some("\"2\"")), "{}", changed.text());
    let given = exchange(&served, &code, &[("client_id", &here), ("redirect_uri", AT)]);
    assert_eq!(refused(&given), is_refused(400, "invalid_grant"));
}

fn belongs_to_one_program(served: &Served) {
    let bearer = token(&served.manager());
    let one = registered(served, &bearer, "One", &[HERE]);
    let other = registered(served, &bearer, "Other", &[HERE]);
    let browser = served.browser();
    let strangers = [other.as_str(), "lanyard"];
    let bad = is_refused(400, "invalid_grant");
    for stranger in strangers {
        // A code, which is spent by that.
        let code = code_for(&browser, &[("client_id", &one), ("redirect_uri", AT)]);
        let given = exchange(served, &code, &[("client_id", stranger), ("redirect_uri", AT)]);
        assert_eq!(refused(&given), bad, "{stranger}");
        let given = exchange(served, &code, &[("client_id", &one), ("redirect_uri", AT)]);
        assert_eq!(refused(&given), bad, "{stranger}");
        // A refresh token, which its own program still has.
        let given = let_in(served, &browser, &one);
        let (access, renewal) = (text(&given, "access_token"), text(&given, "refresh_token"));
        assert_eq!(refused(&refresh(served, stranger, renewal)), bad, "{stranger}");
        // What a token is, and its end.
        for token in [access, renewal] {
            let asking = [("client_id", stranger), ("token", token)];
            assert_eq!(post(served, "/introspect", &asking).text(), "{\"active\":false}", "{stranger}");
            assert_eq!(refused(&post(served, "/revoke", &asking)), bad, "{stranger}");
        }
        assert_eq!(served.api("GET", "/userinfo", access, "").status(), 200);
        let renewed = refresh(served, &one, renewal);
        assert_eq!(renewed.status(), 200, "{}", renewed.text());
        // One that was spent comes back from another program: somebody stole it.
        assert_eq!(refused(&refresh(served, stranger, renewal)), bad, "{stranger}");
        assert_eq!(served.api("GET", "/userinfo", text(&renewed.json(), "access_token"), "").status(), 401);
        // The code of a device, before and after a person has let it in.
        let (secret, user_code) = device(served, &one);
        assert_eq!(refused(&poll(served, stranger, &secret)), bad, "{stranger}");
        let page = typed(&browser, &user_code);
        assert_eq!(decided(&browser, &page, &[("decision", "allow")]).status(), 200);
        assert_eq!(refused(&poll(served, stranger, &secret)), bad, "{stranger}");
        assert_eq!(poll(served, &one, &secret).status(), 200);
    }
    // The other way round: what the command line was given.
    let code = code_for(&browser, &[]);
    assert_eq!(refused(&exchange(served, &code, &[("client_id", &one)])), bad);
    let given = exchange(served, &code_for(&browser, &[]), &[]).json();
    assert_eq!(refused(&refresh(served, &one, text(&given, "refresh_token"))), bad);
    let asking = [("client_id", one.as_str()), ("token", text(&given, "access_token"))];
    assert_eq!(refused(&post(served, "/revoke", &asking)), bad);
    // Whoever has a token ends it without saying which program they are.
    assert_eq!(post(served, "/revoke", &[("token", text(&given, "refresh_token"))]).status(), 200);
    assert_eq!(served.api("GET", "/userinfo", text(&given, "access_token"), "").status(), 401);
    // Whose each was, by its sign-in: that of a device begins only with its tokens.
    let whose = |family: &str| {
        let of = |table: &str| format!("SELECT client FROM {table} WHERE family = '{family}' AND client <> ''");
        served.sql(&format!("{} UNION {}", of("codes"), of("tokens"))).trim().to_owned()
    };
    let denied = |action: &str, client: &str| {
        let told = entries(served, action).into_iter();
        let told = told.filter(|(outcome, _, detail)| outcome == "denied" && detail == "another program");
        told.filter(|(_, family, _)| whose(family) == client).count()
    };
    assert_eq!((denied("program.sign-in", &one), denied("program.sign-in", "lanyard")), (2, 1));
    assert_eq!(denied("program.sign-in", ""), 2, "of devices");
    assert_eq!((denied("token.renew", &one), denied("token.renew", "lanyard")), (2, 1));
    assert_eq!((denied("token.revoke", &one), denied("token.revoke", "lanyard")), (4, 1));
    assert_eq!(entries(served, "token.reuse").len(), 4, "of codes and of refresh tokens");
}

#[test]
fn what_one_program_was_given_is_no_other_ones() {
    belongs_to_one_program(&Served::new(&[]));
}

#[test]
fn what_one_program_was_given_is_no_other_ones_on_postgresql_either() {
    belongs_to_one_program(&Served::on_postgresql());
}

fn ends_with_all_of_it(served: &Served) {
    let bearer = token(&served.manager());
    let id = registered(served, &bearer, "One", &[HERE]);
    let other = registered(served, &bearer, "Other", &[HERE]);
    let browser = served.browser();
    let given = let_in(served, &browser, &id);
    let (access, renewal) = (text(&given, "access_token"), text(&given, "refresh_token"));
    let spent = let_in(served, &browser, &id);
    let spent = text(&spent, "refresh_token");
    assert_eq!(refresh(served, &id, spent).status(), 200);
    let kept = let_in(served, &browser, &other);
    let code = code_for(&browser, &[("client_id", &id), ("redirect_uri", AT)]);
    let form = browser.get(&asked(&[("client_id", &id), ("redirect_uri", AT)]));
    let (approved, user_code) = device(served, &id);
    let page = typed(&browser, &user_code);
    assert_eq!(decided(&browser, &page, &[("decision", "allow")]).status(), 200);
    let (waiting, user_code) = device(served, &id);

    let path = format!("/oauth-clients/{id}");
    let late = served.api_with("DELETE", &path, &bearer, "", &["If-Match: \"2\""]);
    assert_eq!(late.status(), 412, "{}", late.text());
    assert_eq!(served.api("GET", "/userinfo", access, "").status(), 200);
    let gone = served.api_with("DELETE", &path, &bearer, "", &["If-Match: \"1\""]);
    assert_eq!(gone.status(), 204, "{}", gone.text());
    assert_eq!(served.api("DELETE", &path, &bearer, "").status(), 404);

    assert_eq!(served.api("GET", "/userinfo", access, "").status(), 401);
    let told = wire::send(
        "POST",
        &format!("{}/introspect", served.url),
        &[&format!("Authorization: Bearer {bearer}"), "Content-Type: application/x-www-form-urlencoded"],
        &wire::form(&[("token", access)]),
    );
    assert_eq!(told.unwrap().text(), "{\"active\":false}");
    for token in [renewal, spent] {
        assert_eq!(refused(&refresh(served, &id, token)), is_refused(400, "invalid_grant"));
    }
    let unknown = is_refused(401, "invalid_client");
    assert_eq!(refused(&exchange(served, &code, &[("client_id", &id), ("redirect_uri", AT)])), unknown);
    for code in [&approved, &waiting] {
        assert_eq!(refused(&poll(served, &id, code)), unknown);
    }
    assert_eq!(refused(&post(served, "/introspect", &[("client_id", &id), ("token", access)])), unknown);
    assert_eq!(refused(&post(served, "/device-authorization", &[("client_id", &id)])), unknown);
    assert_eq!(refused(&refresh(served, &id, "x")), unknown);
    // A form that was open says nothing any more, and neither does a code that is typed.
    let answer = decided(&browser, &form, &[("decision", "allow")]);
    assert_eq!((answer.status(), answer.header("location")), (400, None));
    assert_eq!(typed(&browser, &user_code).status(), 404);
    // Nothing of it is left that counts, and the other goes on.
    for table in ["codes", "oauth_clients"] {
        let column = if table == "codes" { "client" } else { "id" };
        assert_eq!(served.sql(&format!("SELECT COUNT(*) FROM {table} WHERE {column} = '{id}'")).trim(), "0");
    }
    let alive = format!("SELECT COUNT(*) FROM tokens WHERE client = '{id}' AND revoked IS NULL");
    assert_eq!(served.sql(&alive).trim(), "0");
    assert_eq!(served.api("GET", "/userinfo", text(&kept, "access_token"), "").status(), 200);
    assert_eq!(refresh(served, &other, text(&kept, "refresh_token")).status(), 200);
    let ends = [entry("denied", &id, "One"), entry("done", &id, "One"), entry("denied", &id, "")];
    assert_eq!(entries(served, "client.delete"), ends);
}

#[test]
fn with_a_program_everything_ends_that_it_was_given() {
    ends_with_all_of_it(&Served::new(&[]));
}

#[test]
fn with_a_program_everything_ends_on_postgresql_as_well() {
    ends_with_all_of_it(&Served::on_postgresql());
}

/// Many are renewed while it is deleted: what comes of that ends with it.
fn nothing_comes_after(served: &Served) {
    let bearer = token(&served.manager());
    let browser = served.browser();
    for round in 0..3 {
        let id = registered(served, &bearer, &format!("Round {round}"), &[HERE]);
        let given: Vec<Value> = (0..6).map(|_| let_in(served, &browser, &id)).collect();
        let ended = AtomicBool::new(false);
        let address = format!("{}/token", served.url);
        let renew = |renewal: &str| {
            let fields = [("grant_type", "refresh_token"), ("client_id", id.as_str()), ("refresh_token", renewal)];
            wire::post_form(&address, &fields).unwrap()
        };
        std::thread::scope(|scope| {
            for one in &given {
                let (renew, ended) = (&renew, &ended);
                scope.spawn(move || {
                    let mut renewal = text(one, "refresh_token").to_owned();
                    while !ended.load(Ordering::Relaxed) {
                        let renewed = renew(&renewal);
                        if renewed.status() != 200 {
                            assert_eq!(refused(&renewed).1, "invalid_grant");
                            break;
                        }
                        text(&renewed.json(), "refresh_token").clone_into(&mut renewal);
                    }
                });
            }
            let gone = served.api("DELETE", &format!("/oauth-clients/{id}"), &bearer, "");
            assert_eq!(gone.status(), 204, "{}", gone.text());
            ended.store(true, Ordering::Relaxed);
        });
        let alive = format!("SELECT COUNT(*) FROM tokens WHERE client = '{id}' AND revoked IS NULL");
        assert_eq!(served.sql(&alive).trim(), "0", "round {round}");
    }
}

#[test]
fn nothing_is_given_to_a_program_that_is_being_deleted() {
    nothing_comes_after(&Served::new(&[]));
}

#[test]
fn nothing_is_given_to_a_program_that_is_being_deleted_on_postgresql_either() {
    nothing_comes_after(&Served::on_postgresql());
}
