//! Organizations that are left, renamed and deleted: what of them is there afterwards, and for whom.

use serde_json::{Value, json};

use super::openbao::{OpenBao, wait_until, words};
use super::portal::Portal;
use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden, token};
use super::team::{invite, join};
use crate::canary::{Canary, Sweep};
use crate::stage::Stage;
use crate::vaulted::{list, reveal, store_env};

const BOB: &str = "bob@example.com";
pub const ACME: &str = "Acme <&> \"Söhne\"";
const VALUE: &str = "LNYCANARYvalue0123456789";
const OTHER: &str = "LNYCANARYother0123456789";

/// What a database has: a statement, and a line for each row.
pub type Sql<'s> = &'s dyn Fn(&str) -> String;

/// The organization of a token.
pub fn organization(served: &Served, bearer: &str) -> String {
    let me = served.api("GET", "/userinfo", bearer, "").json();
    me["organization"]["id"].as_str().unwrap_or_else(|| panic!("{me}")).to_owned()
}

/// What was told, in the order of the chains.
pub fn told(sql: Sql<'_>, action: &str) -> Vec<Value> {
    let all = sql("SELECT entry FROM audit_events ORDER BY org, sequence");
    let entries = all.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    entries.filter(|entry| entry["action"] == action).collect()
}

fn leave(served: &Served, sql: Sql<'_>) {
    let alice = served.manager();
    let browser = join(served, &invite(&alice, "admin"), BOB);
    let bob = served.client_of(&browser, None);
    let bearer = token(&bob);
    let wanted = r#"{"name":"k","permissions":["credentials.read","members.read"]}"#;
    let key = served.api("POST", "/api-keys", &bearer, wanted).json()["key"].as_str().unwrap().to_owned();
    let link = invite(&bob, "reader");
    // A key that somebody lost takes them out of nothing.
    let refused = served.api("POST", "/members/leave", &key, "");
    assert_eq!((refused.status(), &refused.json()["code"]), (422, &json!("by-hand")), "{}", refused.text());
    bob.run(&["members", "leave"]).ends(2);
    assert_eq!(served.api("GET", "/userinfo", &bearer, "").status(), 200, "nobody said yes");
    let left = bob.run(&["members", "leave", "--yes"]).ends(0);
    assert!(left.stderr().contains(&format!("You have left {ACME}")), "{left}");
    for gone in [&bearer, &key] {
        assert_eq!(served.api("GET", "/userinfo", gone, "").status(), 401);
    }
    bob.run(&["auth", "refresh"]).ends(4);
    assert!(!browser.get("/").text().contains("Acme"), "the session sees it no more");
    assert_eq!(browser.get("/account").status(), 200, "and is theirs still");
    let open = Browser::new(&served.url).get(link.strip_prefix(&served.url).unwrap());
    assert_eq!(open.status(), 409, "what they had invited with is good for nothing");
    // The last owner stays.
    let last = alice.run(&["members", "leave", "--yes"]).ends(1);
    assert!(last.stderr().contains("one owner at least"), "{last}");
    assert_eq!(list(&alice).len(), 0);
    let outcomes: Vec<Value> = told(sql, "member.leave").iter().map(|entry| entry["outcome"].clone()).collect();
    assert_eq!(outcomes, ["denied", "done", "denied"]);
}

#[test]
fn a_member_leaves_and_the_last_owner_does_not() {
    let served = Served::new(&[]);
    leave(&served, &|statement| served.sql(statement));
}

#[test]
fn an_owner_keeps_it_by_the_command_line() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let here = organization(&served, &token(&alice));
    let show = |stage: &Stage| stage.run(&["--json", "organizations", "show"]).ends(0).json();
    let shown = show(&alice);
    assert_eq!((&shown["id"], &shown["name"], &shown["device_flow"]), (&json!(here), &json!(ACME), &json!(true)));
    let table = alice.run(&["organizations", "show"]).ends(0);
    assert!(table.stdout().contains("366 days at most") && table.stdout().contains("let in"), "{table}");

    alice.run(&["organizations", "limit"]).ends(2);
    let limited =
        alice.run(&["organizations", "limit", "--key-days", "90", "--keys-each", "5", "--devices", "no"]).ends(0);
    let said = "API keys live 90 days at most, 5 for each member; devices are not let in";
    assert!(limited.stderr().contains(said), "{limited}");
    let shown = show(&alice);
    assert_eq!(
        (&shown["key_days"], &shown["keys_each"], &shown["device_flow"]),
        (&json!(90), &json!(5), &json!(false))
    );
    alice.run(&["organizations", "limit", "--keys-each", "0"]).ends(0);
    assert_eq!((&show(&alice)["key_days"], &show(&alice)["keys_each"]), (&json!(90), &json!(0)), "the rest stays");

    let renamed = alice.run(&["organizations", "rename", "Labs"]).ends(0);
    assert!(renamed.stderr().contains("to Labs"), "{renamed}");
    assert_eq!(show(&alice)["name"], "Labs");
    let bob = served.client_of(&join(&served, &invite(&alice, "admin"), BOB), None);
    for refused in [&["organizations", "rename", "Bobs"][..], &["organizations", "delete", "Labs", "--yes"]] {
        let refused = bob.run(refused).ends(5);
        assert!(refused.stderr().contains("error:"), "{refused}");
    }

    let made = alice.run(&["--json", "organizations", "create", "Other"]).ends(0).json();
    assert_eq!((&made["name"], &made["role"]), (&json!("Other"), &json!("owner")));
    let mistaken = alice.run(&["organizations", "delete", "Other", "--yes"]).ends(2);
    assert!(mistaken.stderr().contains("signed in to the organization Labs, and not to Other"), "{mistaken}");
    assert_eq!(show(&alice)["name"], "Labs");
    alice.run(&["organizations", "delete", "Labs"]).ends(2);
    let deleted = alice.run(&["organizations", "delete", "Labs", "--yes"]).ends(0);
    assert!(deleted.stderr().contains("Deleted Labs"), "{deleted}");
    alice.run(&["organizations", "show"]).ends(4);
    let actions = |action: &str| told(&|statement| served.sql(statement), action).len();
    assert_eq!(
        (actions("organization.change"), actions("organization.delete")),
        (3, 2),
        "its end is told by itself and by the server"
    );
}

#[test]
fn a_member_leaves_by_the_pages() {
    let served = Served::new(&[]);
    let alice = Portal::of(&served);
    let bob = Portal::with(join(&served, &invite(&served.manager(), "reader"), BOB));
    let listed = bob.get("/members").text();
    assert!(listed.contains("/members/leave\""), "{listed}");
    let asked = bob.get("/members/leave");
    assert!(asked.status() == 200 && asked.text().contains("Leave Acme &lt;&amp;&gt;"), "{}", asked.text());
    // A form that nobody was asked by does nothing.
    let word = hidden(&asked.text()).into_iter().find(|(name, _)| name == "word").unwrap().1;
    let home = bob.browser.get("/").text();
    let org = home.split("/portal/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let path = format!("/portal/{org}/members/leave");
    assert_eq!(bob.browser.post(&path, &[("word", &word)]).status(), 422);
    let done = bob.send("/members/leave", "/members/leave", &[]);
    assert_eq!((done.status(), done.header("location")), (303, Some("/")), "{}", done.text());
    assert_eq!(bob.get("/members").status(), 404, "at once");
    let last = alice.send("/members/leave", "/members/leave", &[]);
    assert!(last.status() == 409 && last.text().contains("one owner at least"), "{}", last.text());
    assert_eq!(alice.get("/members").status(), 200);
}

fn rename(served: &Served, sql: Sql<'_>) {
    let alice = served.manager();
    let bearer = token(&alice);
    let path = format!("/organizations/{}", organization(served, &bearer));
    let shown = served.api("GET", &path, &bearer, "");
    assert_eq!((&shown.json()["name"], shown.header("etag")), (&json!(ACME), Some("\"1\"")));
    let renamed =
        |body: &str, tag: &str| served.api_with("PATCH", &path, &bearer, body, &[&format!("If-Match: {tag}")]);
    for bad in
        [r#"{"name":" "}"#.to_owned(), json!({ "name": "x".repeat(65) }).to_string(), r#"{"name":"a\nb"}"#.into()]
    {
        assert_eq!(renamed(&bad, "\"1\"").status(), 422, "{bad}");
    }
    let done = renamed(r#"{"name":" Acme & Daughters "}"#, "\"1\"");
    assert_eq!((done.status(), &done.json()["name"]), (200, &json!("Acme & Daughters")), "{}", done.text());
    assert_eq!(renamed(r#"{"name":"Late"}"#, "\"1\"").status(), 412);
    let me = served.api("GET", "/userinfo", &bearer, "").json();
    assert_eq!(me["organization"]["name"], "Acme & Daughters");
    // An administrator does not, nor does a token of the owner's that was not given it.
    let admin = served.client_of(&join(served, &invite(&alice, "admin"), BOB), None);
    let narrow = served.client();
    for other in [&admin, &narrow] {
        for (method, rest) in [("PATCH", ""), ("DELETE", "?name=Acme")] {
            let refused = served.api(method, &format!("{path}{rest}"), &token(other), r#"{"name":"Theirs"}"#);
            assert_eq!(refused.status(), 403, "{method}: {}", refused.text());
        }
        assert_eq!(served.api("GET", &path, &token(other), "").status(), 200, "they see it");
    }
    let outcomes: Vec<Value> = told(sql, "organization.change").iter().map(|entry| entry["outcome"].clone()).collect();
    assert_eq!(outcomes, ["done", "denied"]);
    alice.run(&["audit", "verify"]).ends(0);
}

#[test]
fn an_owner_renames_the_organization() {
    let served = Served::new(&[]);
    rename(&served, &|statement| served.sql(statement));
    let alice = Portal::of(&served);
    let page = alice.get("/organization").text();
    assert!(page.contains("value=\"Acme &amp; Daughters\""), "{page}");
    let refused = alice.send("/organization", "/organization", &[("name", "")]);
    assert!(refused.status() == 422 && refused.text().contains("href=\"#name\""), "{}", refused.text());
    let late = alice.send("/organization", "/organization", &[("name", "Late"), ("revision", "1")]);
    assert_eq!(late.status(), 412, "{}", late.text());
    let done = alice.send("/organization", "/organization", &[("name", "<b>Acme</b>")]);
    assert_eq!(done.status(), 303, "{}", done.text());
    let page = alice.get("/organization?done=changed").text();
    assert!(
        page.contains("It is as you said") && page.contains("&lt;b&gt;Acme") && !page.contains("<b>Acme"),
        "{page}"
    );
    let mut bob = Browser::new(&served.url);
    assert_eq!(bob.sign_in(BOB, PASSPHRASE).status(), 303);
    let bob = Portal::with(bob);
    assert!(!bob.get("/members").text().contains("/organization\""), "no way is shown to whoever has none");
    assert_eq!(bob.get("/organization").status(), 403);
}

/// An organization with something of every sort in it.
struct Full {
    alice: Stage,
    /// The machine of its owner in it, their token, and its identifier.
    owner: Stage,
    bearer: String,
    id: String,
    /// A member of it alone, with a key.
    bob: Browser,
    key: String,
}

fn fill(served: &Served) -> Full {
    let alice = served.manager();
    store_env(&alice, "kept", "A", VALUE);
    let made = served.api("POST", "/organizations", &token(&alice), r#"{"name":"Zenith"}"#).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let owner = served.client_of(&served.browser(), Some(&id));
    let bearer = token(&owner);
    owner.run(&["projects", "create", "web"]).ends(0);
    store_env(&owner, "db", "A", OTHER);
    store_env(&owner, "api", "A", OTHER);
    owner.run(&["workspaces", "create", "deploy", "db"]).ends(0);
    owner.run(&["registries", "add", "charts", "https://charts.example.com/stable"]).ends(0);
    let post = |path: &str, body: &Value| {
        let made = served.api("POST", path, &bearer, &body.to_string());
        assert_eq!(made.status(), 201, "{path}: {}", made.text());
    };
    post(
        "/upstreams",
        &json!({ "name": "Corp", "issuer": "https://id.example", "client_id": "x", "client_secret": "y" }),
    );
    let rule =
        json!({ "name": "n", "issuer": "https://id.example", "subject": "a", "permissions": ["credentials.read"] });
    post("/trust-rules", &rule);
    post("/oauth-clients", &json!({ "name": "Deploy" }));
    let bob = join(served, &invite(&owner, "member"), BOB);
    invite(&owner, "reader");
    owner.run(&["projects", "role", "web", BOB, "member"]).ends(0);
    let member = served.client_of(&bob, None);
    let wanted = r#"{"name":"k","permissions":["secrets.read","credentials.read"]}"#;
    let key = served.api("POST", "/api-keys", &token(&member), wanted).json()["key"].as_str().unwrap().to_owned();
    Full { alice, owner, bearer, id, bob, key }
}

/// How many rows each table has of an organization.
fn left(sql: Sql<'_>, tables: &[&str], id: &str) -> Vec<(String, i64)> {
    let count = |table: &&str| {
        let count = sql(&format!("SELECT COUNT(*) FROM {table} WHERE org = '{id}'"));
        ((*table).to_owned(), count.trim().parse::<i64>().expect("a number"))
    };
    tables.iter().map(count).filter(|(_, count)| *count > 0).collect()
}

/// It is deleted with all of it, and nothing is done to the others. `tables` are those that have a column `org`.
fn delete(served: &Served, sql: Sql<'_>, tables: &[&str]) -> Full {
    let full = fill(served);
    let Full { alice, owner, bearer, id, bob, key } = &full;
    let path = format!("/organizations/{id}");
    let filled: Vec<String> = left(sql, tables, id).into_iter().map(|(table, _)| table).collect();
    for table in [
        "credentials",
        "data_keys",
        "tokens",
        "registries",
        "upstreams",
        "trust_rules",
        "oauth_clients",
        "member_invitations",
    ] {
        assert!(filled.iter().any(|known| known == table), "{table}: {filled:?}");
    }
    // Not without its name, not by another tag, not by another organization's owner, not by a member.
    let asked = |bearer: &str, rest: &str, tag: &str| {
        served.api_with("DELETE", &format!("{path}{rest}"), bearer, "", &[&format!("If-Match: {tag}")])
    };
    assert_eq!(asked(bearer, "", "*").status(), 422);
    let wrong = asked(bearer, "?name=zenith", "*");
    assert!(wrong.status() == 422 && wrong.text().contains("not the name of the organization"), "{}", wrong.text());
    assert_eq!(asked(bearer, "?name=Zenith", "\"7\"").status(), 412);
    assert_eq!(asked(&token(alice), "?name=Zenith", "*").status(), 404, "it is another organization's token");
    assert_eq!(asked(key, "?name=Zenith", "*").status(), 403);
    assert_eq!(list(owner).len(), 2, "all of it is there");

    let done = asked(bearer, "?name=Zenith", "\"1\"");
    assert_eq!(done.status(), 204, "{}", done.text());
    for gone in [bearer, key] {
        assert_eq!(served.api("GET", "/credential-configs", gone, "").status(), 401);
    }
    owner.run(&["credentials", "list"]).ends(4);
    assert!(!bob.get("/").text().contains("Zenith") && bob.get("/account").status() == 200);
    assert_eq!(bob.get(&format!("/portal/{id}/credentials")).status(), 404);
    let home = served.browser().get("/").text();
    assert!(home.contains("Acme") && !home.contains("Zenith"), "{home}");
    let stays: Vec<String> = left(sql, tables, id).into_iter().map(|(table, _)| table).collect();
    for table in &stays {
        assert!(table.starts_with("audit_") || table == "kept_leftovers", "{stays:?}");
    }
    assert!(stays.contains(&"audit_events".to_owned()) && stays.contains(&"audit_keys".to_owned()), "{stays:?}");
    assert_eq!(sql(&format!("SELECT name FROM organizations WHERE id = '{id}'")).trim(), "", "its name went as well");

    // It was told in its own chain and in the server's, and both are whole.
    let done = told(sql, "organization.delete");
    let by = |outcome: &str, org: &str| {
        done.iter().filter(|one| one["outcome"] == *outcome && one["organization"] == *org).count()
    };
    assert_eq!((by("done", id), by("done", "server"), by("denied", id)), (1, 1, 3), "{done:?}");
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
    let removed = format!("DELETE FROM audit_events WHERE org = '{id}' AND sequence = 3");
    // The other one is as it was.
    assert_eq!(reveal(alice, "kept", "A"), VALUE);
    alice.run(&["audit", "verify"]).ends(0);
    // The last one is not deleted by mistake.
    let own = organization(served, &token(alice));
    let name: String = url::form_urlencoded::byte_serialize(ACME.as_bytes()).collect();
    let last = served.api("DELETE", &format!("/organizations/{own}?name={name}"), &token(alice), "");
    assert_eq!((last.status(), &last.json()["code"]), (409, &json!("last-organization")), "{}", last.text());
    assert_eq!(reveal(alice, "kept", "A"), VALUE);
    // What was kept of it is looked at with the others.
    sql(&removed);
    let broken = served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"]));
    assert!(broken.code != Some(0) && broken.stderr().contains(id), "{broken}");
    full
}

/// The tables of a server on SQLite that have an organization.
const TABLES: &str = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'org' \
                      WHERE m.type = 'table' ORDER BY 1";

#[test]
fn a_deleted_organization_leaves_its_audit_and_nothing_else() {
    let mut served = Served::new(&[]);
    let tables = served.sql(TABLES);
    let tables: Vec<&str> = tables.lines().collect();
    delete(&served, &|statement| served.sql(statement), &tables);
    served.end("TERM");
    Sweep::for_canaries(&[Canary::of(OTHER)]).tree(&served.data()).assert_clean();
}

#[test]
fn a_deleted_organization_is_gone_from_postgresql_as_well() {
    let postgres = Postgres::start();
    let served = Served::new(&["--database", &postgres.url()]);
    let reaches = "SET lanyard.org = '*'; SET lanyard.open = 'history'";
    let sql = |statement: &str| postgres.sql(&format!("{reaches}; {statement}")).expect("it is done");
    leave(&served, &sql);
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
    let tables = sql("SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                      WHERE c.relkind = 'r' AND a.attname = 'org' AND NOT a.attisdropped ORDER BY 1");
    let tables: Vec<&str> = tables.lines().collect();
    // Bob was a member of the first one before.
    sql(&format!("UPDATE people SET login = 'robert@example.com' WHERE login = '{BOB}'"));
    delete(&served, &sql, &tables);
}

#[test]
fn keys_are_replaced_and_a_backup_is_brought_back_beside_a_deleted_one() {
    let served = Served::new(&[]);
    let full = fill(&served);
    let gone = served.api("DELETE", &format!("/organizations/{}?name=Zenith", full.id), &full.bearer, "");
    assert_eq!(gone.status(), 204, "{}", gone.text());
    let own = ["--data", "server", "--master-key-file", "server/master.key"];
    served.stage.run(&[&["server", "rotate-key", "--secrets"], &own[..]].concat()).ends(0);
    assert_eq!(reveal(&full.alice, "kept", "A"), VALUE);
    served.stage.run(&[&["server", "backup", "b"], &own[..]].concat()).ends(0);
    served.stage.run(&[&["server", "restore", "b", "--drill"], &own[..]].concat()).ends(0);
    served.stage.run(&[&["server", "restore", "b", "--replace"], &own[..]].concat()).ends(0);
    served.stage.run(&served.words(&["--check", "--listen", "127.0.0.1:0"])).ends(0);
    served.sign_in(&full.alice);
    assert_eq!(reveal(&full.alice, "kept", "A"), VALUE);
    assert_eq!(served.api("GET", "/credential-configs", &full.key, "").status(), 401, "its keys do not come back");
    assert!(!served.browser().get("/").text().contains("Zenith"));
}

#[test]
fn what_a_deleted_organization_had_in_openbao_is_destroyed() {
    let bao = OpenBao::start();
    let served = Served::new(&words(&bao.by_token(&["--secrets-engine", "vault"])));
    let full = fill(&served);
    // Those of three credentials, and what the server is known by at an issuer.
    let places = bao.places();
    assert_eq!(places.len(), 4, "{places:?}");
    let gone = served.api("DELETE", &format!("/organizations/{}?name=Zenith", full.id), &full.bearer, "");
    assert_eq!(gone.status(), 204, "{}", gone.text());
    wait_until("what counts no more is destroyed", || bao.places().len() == 1);
    assert_eq!(served.sql("SELECT COUNT(*) FROM kept_leftovers").trim(), "0");
    assert_eq!(reveal(&full.alice, "kept", "A"), VALUE);
}

#[test]
fn an_owner_deletes_it_by_the_pages_and_types_its_name() {
    let served = Served::new(&[]);
    let alice = served.manager();
    let made = served.api("POST", "/organizations", &token(&alice), r#"{"name":"Zenith"}"#).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let browser = served.browser();
    let page = |org: &str, rest: &str| browser.get(&format!("/portal/{org}/organization{rest}"));
    let form = |org: &str, name: &str| {
        let mut fields = hidden(page(org, "/delete").text().split("<main").nth(1).unwrap());
        fields.push(("name".into(), name.into()));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        browser.post(&format!("/portal/{org}/organization/delete"), &fields)
    };
    assert!(page(&id, "").text().contains("Delete the organization"));
    let asked = page(&id, "/delete").text();
    assert!(asked.contains("Delete <strong>Zenith</strong>") && asked.contains("/audit/export\""), "{asked}");
    for wrong in ["", "zenith", "Acme"] {
        let refused = form(&id, wrong);
        assert!(refused.status() == 422 && refused.text().contains("href=\"#name\""), "{wrong}: {}", refused.text());
    }
    // Whoever finds a browser open has to show who they are, at the question already.
    let proved = served.sql("SELECT proved FROM sessions ORDER BY proved DESC LIMIT 1");
    served.sql("UPDATE sessions SET proved = proved - 660000");
    let sent = page(&id, "/delete");
    let to = sent.header("location").unwrap_or_default().to_owned();
    assert!(sent.status() == 303 && to.starts_with("/account/prove?next="), "{to}");
    let word = browser.form("/account").into_iter().find(|(name, _)| name == "word").unwrap().1;
    let late = browser.post(&format!("/portal/{id}/organization/delete"), &[("word", &word), ("name", "Zenith")]);
    assert!(late.header("location").is_some_and(|to| to.starts_with("/account/prove?next=")), "{}", late.text());
    served.sql(&format!("UPDATE sessions SET proved = {}", proved.trim()));
    let done = form(&id, "Zenith");
    assert_eq!((done.status(), done.header("location")), (303, Some("/")), "{}", done.text());
    let home = browser.get("/").text();
    assert!(home.contains("Acme") && home.contains(LOGIN) && !home.contains("Zenith"), "{home}");
    assert_eq!(page(&id, "").status(), 404);
    let own = home.split("/portal/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let last = form(&own, ACME);
    assert!(last.status() == 409 && last.text().contains("only organization"), "{}", last.text());
    assert_eq!(page(&own, "").status(), 200);
}
