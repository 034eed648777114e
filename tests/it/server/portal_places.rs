//! The pages for those who run an organization: members, invitations, projects, workspaces, trust rules and the audit.

use serde_json::json;

use super::federated;
use super::portal::Portal;
use super::postgres::Postgres;
use super::served::{Browser, LOGIN, PASSPHRASE, Served, hidden, token};
use crate::idp::keys::{self, Signing};
use crate::vaulted::reveal;
use crate::wire;

const BOB: &str = "bob@example.com";
const HOSTILE: &str = "\"><script>alert(1)</script>";

/// The addresses of a page that end so, without the organization.
pub fn links(page: &str, end: &str) -> Vec<String> {
    let all = page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"));
    let inside =
        all.filter_map(|link| link.strip_prefix("/portal/")?.split_once('/').map(|(_, rest)| format!("/{rest}")));
    inside.filter(|link| link.ends_with(end)).collect()
}

/// Invites somebody through the page, who joins; their portal.
pub fn invited(served: &Served, owner: &Portal, role: &str, login: &str) -> Portal {
    let made = owner.send("/invitations/new", "/invitations/new", &[("role", role), ("for", login), ("note", "")]);
    assert_eq!(made.status(), 201, "{}", made.text());
    Portal::with(super::team::join(served, &link(&made.text()), login))
}

fn link(page: &str) -> String {
    page.split("class=\"once\" tabindex=\"0\">").nth(1).unwrap().split('<').next().unwrap().to_owned()
}

#[test]
fn people_come_and_go_by_the_pages() {
    let served = Served::new(&[]);
    let alice = Portal::of(&served);
    let made =
        alice.send("/invitations/new", "/invitations/new", &[("role", "member"), ("for", BOB), ("note", HOSTILE)]);
    assert_eq!(made.status(), 201, "{}", made.text());
    assert!(!made.text().contains("<script"), "{}", made.text());
    let shown = link(&made.text());
    let open = alice.get("/invitations").text();
    assert!(open.contains("alert(1)") && !open.contains("<script") && !open.contains(&shown), "{open}");
    // A link that is taken back is good for nothing.
    let withdraw = links(&open, "/withdraw").remove(0);
    assert!(alice.get(&withdraw).text().contains("alert(1)"), "it names what goes");
    assert_eq!(alice.send(&withdraw, &withdraw, &[]).status(), 303);
    assert_eq!(Browser::new(&served.url).get(shown.strip_prefix(&served.url).unwrap()).status(), 409);
    assert_eq!(alice.get(&withdraw).status(), 404);
    let fields = [("role", "member"), ("for", BOB), ("note", &"x".repeat(200))];
    let refused = alice.send("/invitations/new", "/invitations/new", &fields);
    assert!(refused.status() == 422 && refused.text().contains("href=\"#note\""), "{}", refused.text());
    let fields = [("role", "member"), ("for", HOSTILE), ("note", "")];
    let refused = alice.send("/invitations/new", "/invitations/new", &fields);
    assert!(refused.status() == 422 && refused.text().contains("href=\"#for\""), "{}", refused.text());
    assert!(!refused.text().contains("<script"), "{}", refused.text());

    let bob = invited(&served, &alice, "member", BOB);
    let listed = alice.get("/members").text();
    assert!(listed.contains(BOB) && listed.contains(LOGIN) && listed.contains(">you</span>"), "{listed}");
    // Whoever may not, is shown no way, and has none.
    let seen = bob.get("/members").text();
    assert!(seen.contains(LOGIN) && links(&seen, "/role").is_empty() && links(&seen, "/new").is_empty(), "{seen}");
    for hidden in ["trust-rules", "audit"] {
        assert!(links(&seen, hidden).is_empty(), "{hidden}");
        assert_eq!(bob.get(&format!("/{hidden}")).status(), 403);
    }
    assert_eq!(bob.get("/invitations/new").status(), 403);

    let person = served.sql(&format!("SELECT id FROM people WHERE login = '{BOB}'")).trim().to_owned();
    let change = format!("/members/{person}/role");
    let stage = served.client_of(&bob.browser, None);
    assert_eq!(alice.send(&change, &change, &[("role", "root")]).status(), 422);
    let seen = hidden(alice.get(&change).text().split("<main").nth(1).unwrap());
    let seen = seen.into_iter().find(|(name, _)| name == "revision").expect("the version that is seen").1;
    assert_eq!(alice.send(&change, &change, &[("role", "reader")]).status(), 303);
    // A form of before says nothing of what they are now.
    let late = alice.send(&change, &change, &[("role", "admin"), ("revision", &seen)]);
    assert_eq!(late.status(), 412, "{}", late.text());
    let gone = change.replace("/role", "/remove");
    assert_eq!(alice.send(&gone, &gone, &[("revision", &seen)]).status(), 412);
    assert_eq!(served.api("POST", "/projects", &token(&stage), r#"{"name":"x"}"#).status(), 403);
    assert_eq!(bob.get("/credentials/new").status(), 403, "at once");
    assert_eq!(alice.send(&change, &change, &[("role", "admin")]).status(), 303);
    // An administrator is shown no way to an owner, and has none.
    let owner = served.sql(&format!("SELECT id FROM people WHERE login = '{LOGIN}'")).trim().to_owned();
    let seen = bob.get("/members").text();
    assert_eq!(links(&seen, "/role"), [change.as_str()]);
    let up = format!("/members/{owner}/role");
    let refused = bob.send(&up, &up, &[("role", "reader")]);
    assert!(refused.status() == 403 && refused.text().contains("more than you may give"), "{}", refused.text());
    let form = bob.get(&change).text();
    assert!(form.contains("value=\"admin\"") && !form.contains("value=\"owner\""), "{form}");

    let last = alice.send(&up, &up, &[("role", "reader")]);
    assert!(last.status() == 409 && last.text().contains("one owner at least"), "{}", last.text());
    let remove = format!("/members/{person}/remove");
    assert!(alice.get(&remove).text().contains(BOB), "it names who goes");
    assert_eq!(alice.send(&remove, &remove, &[]).status(), 303);
    assert_eq!(bob.get("/members").status(), 404, "at once");
    let done: Vec<String> =
        served.entries().iter().map(|entry| format!("{} {}", entry["action"], entry["outcome"])).collect();
    for told in ["invitation.create", "invitation.withdraw", "invitation.accept", "member.role", "member.remove"] {
        assert!(done.contains(&format!("\"{told}\" \"done\"")), "{told}: {done:?}");
    }
    assert!(done.contains(&"\"member.role\" \"denied\"".to_owned()), "{done:?}");
}

#[test]
fn a_project_and_a_workspace_are_made_and_changed() {
    work_with_places(&Served::new(&[]));
}

fn work_with_places(served: &Served) {
    let alice = Portal::of(served);
    assert!(alice.get("/projects").text().contains("There is no project yet."));
    assert!(alice.get("/workspaces").text().contains("There is no workspace yet."));
    for bad in ["a b", "", HOSTILE] {
        let refused = alice.send("/projects/new", "/projects/new", &[("name", bad)]);
        assert!(refused.status() == 422 && refused.text().contains("href=\"#name\""), "{bad}: {}", refused.text());
        assert!(!refused.text().contains("<script"));
    }
    let made = |page: &str, fields: &[(&str, &str)]| {
        let done = alice.send(page, page, fields);
        assert_eq!(done.status(), 303, "{}", done.text());
        let to = done.header("location").unwrap().split('?').next().unwrap().to_owned();
        let id = to.trim_end_matches("/edit").rsplit('/').next().unwrap().to_owned();
        format!("/{}/{id}", page.trim_start_matches('/').split('/').next().unwrap())
    };
    let shop = made("/projects/new", &[("name", "shop")]);
    assert_eq!(alice.send("/projects/new", "/projects/new", &[("name", "SHOP")]).status(), 409);
    made("/projects/new", &[("name", "api")]);

    // A credential of a project, which is found by it.
    let db =
        alice.store("generic_env", &[("name", "db"), ("project", "shop"), ("n-0", "A"), ("v-0", "LNYCANARYshop01234")]);
    let wide =
        alice.store("generic_env", &[("name", "wide"), ("project", ""), ("n-0", "A"), ("v-0", "LNYCANARYwide01234")]);
    let other = alice.store("generic_env", &[("name", "other"), ("project", "api"), ("n-0", "A"), ("v-0", "x")]);
    let nowhere = [("name", "n"), ("project", "nowhere"), ("n-0", "A"), ("v-0", "x")];
    let refused = alice.send("/credentials/new?kind=generic_env", "/credentials/new", &nowhere);
    assert!(refused.status() == 422 && refused.text().contains("href=\"#project\""), "{}", refused.text());
    let found = alice.get("/credentials?project=shop").text();
    assert!(found.contains(">db</a>") && !found.contains(">wide</a>") && !found.contains(">other</a>"), "{found}");
    let page = alice.get(&shop).text();
    assert!(page.contains("<li>credential db</li>"), "{page}");

    // A workspace offers what it may have, and is refused the rest.
    let deploy = made("/workspaces/new", &[("name", "deploy"), ("project", "shop")]);
    let edit = format!("{deploy}/edit");
    let offered = alice.get(&edit).text();
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let (db_id, wide_id, other_id) = (id(&db), id(&wide), id(&other));
    assert!(offered.contains(&db_id) && offered.contains(&wide_id) && !offered.contains(&other_id), "{offered}");
    assert!(!alice.get(&format!("{edit}?q=wi")).text().contains(&db_id));
    let revision = ("revision", "1");
    let foreign = alice.send(&edit, &edit, &[("name", "deploy"), ("credential", &other_id)]);
    assert!(foreign.status() == 422 && foreign.text().contains("another project"), "{}", foreign.text());
    let both = [("name", "deploy"), ("credential", &*wide_id), ("credential", &*db_id)];
    assert_eq!(alice.send(&edit, &edit, &both).status(), 303);
    assert_eq!(alice.send(&edit, &edit, &[("name", "late"), revision]).status(), 412);
    let shown = alice.get(&deploy).text();
    assert!(shown.find(">wide</a>").unwrap() < shown.find(">db</a>").unwrap(), "in its order: {shown}");
    assert!(alice.get(&db).text().contains("workspace deploy"), "used by");
    let in_use = alice.get(&format!("{db}/delete"));
    assert!(in_use.status() == 409 && in_use.text().contains("workspace deploy"), "{}", in_use.text());
    let full = alice.get(&format!("{shop}/delete"));
    assert!(full.status() == 409 && full.text().contains("credential db") && full.text().contains("workspace deploy"));
    let refused = alice.send("/keys", &format!("{shop}/delete"), &[("revision", "1")]);
    assert_eq!(refused.status(), 409);

    // The name is another, and what was sealed under it opens.
    let rename = format!("{shop}/edit");
    assert_eq!(alice.send(&rename, &rename, &[("name", "store")]).status(), 303);
    assert_eq!(alice.send(&rename, &rename, &[("name", "late"), ("revision", "1")]).status(), 412);
    assert_eq!(reveal(&served.client(), "store/db", "A"), "LNYCANARYshop01234");

    // Somebody who only looks works in the project that they were given a role in, and nowhere else.
    let bob = invited(served, &alice, "reader", BOB);
    for page in ["/credentials/new", "/workspaces/new", &format!("{db}/edit"), &edit] {
        assert_eq!(bob.get(page).status(), 403, "{page}");
    }
    let role = format!("{shop}/members");
    assert_eq!(alice.send(&role, &role, &[("login", "nobody"), ("role", "member")]).status(), 422);
    assert_eq!(alice.send(&role, &role, &[("login", BOB), ("role", "owner")]).status(), 422);
    assert_eq!(alice.send(&role, &role, &[("login", BOB), ("role", "member")]).status(), 303);
    assert!(alice.get(&shop).text().contains(BOB));
    let form = bob.get("/credentials/new?kind=generic_env").text();
    assert!(
        form.contains("value=\"store\"") && !form.contains("value=\"api\"") && !form.contains("whole organization")
    );
    bob.store("generic_env", &[("name", "own"), ("project", "store"), ("n-0", "A"), ("v-0", "x")]);
    for project in ["", "api"] {
        let fields = [("name", "x"), ("project", project), ("n-0", "A"), ("v-0", "x")];
        let refused = bob.send("/credentials/new?kind=generic_env", "/credentials/new", &fields);
        assert_eq!(refused.status(), 403, "{project}: {}", refused.text());
    }
    let (own, foreign) = (bob.get(&db).text(), bob.get(&wide).text());
    assert!(!links(&own, "/edit").is_empty() && links(&foreign, "/edit").is_empty(), "{foreign}");
    assert_eq!((bob.get(&format!("{db}/edit")).status(), bob.get(&format!("{wide}/edit")).status()), (200, 403));
    assert_eq!((bob.get(&edit).status(), bob.get(&role).status()), (200, 403));
    assert_eq!(alice.send(&role, &role, &[("login", BOB), ("role", "none")]).status(), 303);
    assert_eq!(bob.get(&format!("{db}/edit")).status(), 403, "at once");

    let delete = format!("{deploy}/delete");
    assert!(alice.get(&delete).text().contains("2 credentials"));
    assert_eq!(alice.send(&delete, &delete, &[("revision", "1")]).status(), 412);
    assert_eq!(alice.send(&delete, &delete, &[]).status(), 303);
    assert_eq!(alice.get(&deploy).status(), 404);
    assert_eq!(alice.get(&wide).status(), 200, "its credentials stay");
}

#[test]
fn a_rule_is_written_tried_changed_and_deleted() {
    let issuer = federated::issuer();
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let alice = Portal::of(&served);
    let address = issuer.url().trim_end_matches('/').to_owned();
    let good = [
        ("name", HOSTILE),
        ("issuer", &*address),
        ("subject", "repo:acme/web:ref:refs/heads/*"),
        ("claims", "ref_protected = true\r\n\r\nrepository=acme/web"),
        ("permission", "credentials.read"),
        ("permission", "secrets.read"),
        ("lifetime", "601"),
        ("mode", "enforce"),
    ];
    for (field, bad) in [
        ("name", ""),
        ("issuer", "http://id.example"),
        ("subject", "*"),
        ("claims", "no claim"),
        ("claims", "a = b\na = c"),
        ("lifetime", "3601"),
        ("lifetime", "x"),
        ("mode", "off"),
        ("audience", "*"),
    ] {
        let mut typed: Vec<(&str, &str)> = good.iter().filter(|(name, _)| *name != field).copied().collect();
        typed.push((field, bad));
        let refused = alice.send("/trust-rules/new", "/trust-rules/new", &typed);
        assert_eq!(refused.status(), 422, "{field}: {}", refused.text());
        let page = refused.text();
        assert!(page.contains(&format!("<a href=\"#{field}\">")) && !page.contains("<script"), "{field}: {page}");
        assert!(page.contains(&format!("id=\"{field}\" aria-invalid=\"true\"")), "{field}: {page}");
    }
    let mut less: Vec<(&str, &str)> = good.to_vec();
    less.retain(|(name, _)| *name != "permission");
    let refused = alice.send("/trust-rules/new", "/trust-rules/new", &less);
    assert!(refused.status() == 422 && refused.text().contains("href=\"#permissions\""), "{}", refused.text());
    let made = alice.send("/trust-rules/new", "/trust-rules/new", &good);
    assert_eq!(made.status(), 303, "{}", made.text());
    let listed = alice.get("/trust-rules").text();
    assert!(listed.contains("ref_protected = true") && listed.contains("lets in") && !listed.contains("<script"));

    let token = keys::sign(&json!({}), &federated::claims(&address, &served.url, &json!({})), &Signing::Rs256);
    let tried = alice.send("/trust-rules/try", "/trust-rules/try", &[("token", &token)]);
    assert!(tried.status() == 200 && tried.text().contains(">yes</span>"), "{}", tried.text());
    assert!(tried.text().contains("repo:acme/web:ref:refs/heads/main run 4711") && !tried.text().contains(&token));
    let changes = json!({ "ref_protected": "false" });
    let other = keys::sign(&json!({}), &federated::claims(&address, &served.url, &changes), &Signing::Rs256);
    let tried = alice.send("/trust-rules/try", "/trust-rules/try", &[("token", &other)]).text();
    assert!(tried.contains(">no</span>") && tried.contains("The claim ref_protected is another"), "{tried}");
    assert!(alice.send("/trust-rules/try", "/trust-rules/try", &[("token", "x")]).text().contains("No rule names"));
    assert_eq!(alice.send("/trust-rules/try", "/trust-rules/try", &[("token", "")]).status(), 422);

    let edit = links(&listed, "/edit").remove(0);
    let form = alice.get(&edit).text();
    assert!(form.contains("ref_protected = true\nrepository = acme/web</textarea>"), "{form}");
    assert!(form.contains("value=\"601\""), "the seconds are shown as they are: {form}");
    let mut noting: Vec<(&str, &str)> = good.to_vec();
    noting.retain(|(name, _)| !["mode", "name"].contains(name));
    noting.extend([("mode", "audit"), ("name", "web")]);
    assert_eq!(alice.send(&edit, &edit, &noting).status(), 303);
    assert!(alice.get("/trust-rules").text().contains("only notes"));
    noting.push(("revision", "1"));
    assert_eq!(alice.send(&edit, &edit, &noting).status(), 412);
    let delete = edit.replace("/edit", "/delete");
    assert!(alice.get(&delete).text().contains("<strong>web</strong>"), "it names what goes");
    assert_eq!(alice.send(&delete, &delete, &[]).status(), 303);
    assert!(alice.get("/trust-rules").text().contains("No job is let in yet."));
    // An administrator gives no more than they have; a member is shown nothing of it.
    let bob = invited(&served, &alice, "member", BOB);
    assert_eq!(bob.get("/trust-rules").status(), 403);
    assert_eq!(bob.send("/keys", "/trust-rules/new", &good).status(), 403);
}

#[test]
fn the_audit_is_looked_through_checked_and_copied() {
    look_through_the_audit(&Served::new(&[]));
}

fn look_through_the_audit(served: &Served) {
    let alice = Portal::of(served);
    alice.store("generic_env", &[("name", "db"), ("n-0", "A"), ("v-0", "LNYCANARYaudit0123456789")]);
    for _ in 0..60 {
        assert_eq!(alice.get("/keys").status(), 200);
    }
    let rows = |query: &str| {
        let page = alice.get(&format!("/audit{query}"));
        assert_eq!(page.status(), 200, "{query}: {}", page.text());
        let page = page.text();
        assert!(!page.contains("<script") && !page.contains("LNYCANARY"), "{page}");
        let rows = page.matches("<th scope=\"row\"").count();
        let next =
            page.split("rel=\"next\" href=\"").nth(1).map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"));
        (rows, next, page)
    };
    let (first, next, page) = rows("");
    assert!(first == 50 && page.contains("\">key.list<") && !page.contains("\">credential.create<"), "{page}");
    assert!(page.contains(LOGIN) && page.contains("127.0.0.1"));
    let query = next.unwrap().split_once('?').unwrap().1.to_owned();
    let (_, _, older) = rows(&format!("?{query}"));
    assert!(older.contains("\">credential.create<") && older.contains("First page"), "{older}");
    assert_eq!(rows("?action=credential.create").0, 1);
    let (narrow, next, _) = rows(&format!("?action=key.list&actor={}", LOGIN.replace('@', "%40")));
    let next = next.unwrap();
    assert!(narrow == 50 && next.contains("action=key.list") && next.contains("actor=alice%40example.com"), "{next}");
    // A cursor is of what it was made for.
    let stolen = next.replace("action=key.list", "action=access");
    assert_eq!(alice.browser.get(&stolen).status(), 400);
    let today = chrono::Utc::now().format("%Y-%m-%d").to_string();
    assert_eq!(rows(&format!("?action=credential.create&since={today}&until={today}")).0, 1);
    assert_eq!(rows("?until=2020-01-01").0, 0);
    for nothing in ["?actor=nobody", "?action=%22%3E%3Cscript%3E", "?object=x"] {
        assert!(rows(nothing).2.contains("Nothing like that has happened."), "{nothing}");
    }
    let bad = alice.get("/audit?since=tomorrow");
    assert!(bad.status() == 422 && bad.text().contains("href=\"#since\""), "{}", bad.text());

    let copy = alice.get("/audit/export?from=1");
    assert_eq!(copy.header("content-disposition"), Some("attachment; filename=\"audit.jsonl\""));
    let lines: Vec<serde_json::Value> = copy.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 60 && lines.last().unwrap()["action"] == "audit.export", "{:?}", lines.last());
    assert_eq!(alice.get("/audit/export?from=0").status(), 400);
    let checked = alice.send("/audit", "/audit/verify", &[]);
    assert!(checked.status() == 200 && checked.text().contains("It holds: each of"), "{}", checked.text());
    let bob = invited(served, &alice, "member", BOB);
    for page in ["/audit", "/audit/export"] {
        assert_eq!(bob.get(page).status(), 403, "{page}");
    }
    assert_eq!(bob.send("/keys", "/audit/verify", &[]).status(), 403);
}

#[test]
fn a_changed_entry_is_told_on_the_page() {
    let served = Served::new(&[]);
    let alice = Portal::of(&served);
    served
        .sql("UPDATE audit_events SET entry = replace(entry, 'done', 'none') WHERE sequence = 2 AND org LIKE 'org_%'");
    let checked = alice.send("/audit", "/audit/verify", &[]);
    assert!(checked.text().contains("It is broken at entry 2") && checked.text().contains("role=\"alert\""));
}

#[test]
fn the_places_are_the_same_on_postgresql() {
    let postgres = Postgres::start();
    let served = Served::new(&["--database", &postgres.url()]);
    work_with_places(&served);
    let other = Postgres::start();
    look_through_the_audit(&Served::new(&["--database", &other.url()]));
}

/// Somebody in two organizations is somebody else in each.
#[test]
fn what_somebody_may_is_of_the_organization_of_the_page() {
    let served = Served::new(&[]);
    let alice = Portal::of(&served);
    let bob = invited(&served, &alice, "reader", BOB);
    let stage = served.manager();
    assert_eq!(served.api("POST", "/organizations", &token(&stage), r#"{"name":"Other"}"#).status(), 201);
    let mut browser = Browser::new(&served.url);
    assert_eq!(browser.sign_in(LOGIN, PASSPHRASE).status(), 303);
    let home = browser.get("/").text();
    let orgs = home.matches("/credentials\"").count();
    assert_eq!(orgs, 2, "{home}");
    let other = home.split("href=\"/portal/").skip(1).map(|rest| rest.split('/').next().unwrap());
    for org in other.filter(|org| !bob.get("/members").text().contains(*org)) {
        for page in ["members", "projects", "workspaces", "audit", "trust-rules"] {
            assert_eq!(bob.browser.get(&format!("/portal/{org}/{page}")).status(), 404, "{page}");
            assert_eq!(browser.get(&format!("/portal/{org}/{page}")).status(), 200, "{page}");
        }
    }
}

#[test]
fn no_other_site_is_let_read_a_page() {
    let served = Served::new(&[]);
    let alice = Portal::of(&served);
    let cookie = format!("Cookie: {}", alice.browser.cookie().unwrap());
    let page = links(&alice.get("/members").text(), "/audit").remove(0);
    let org =
        alice.get("/members").text().split("href=\"/portal/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    for path in [format!("/portal/{org}{page}"), "/credential-configs".into(), "/".into(), "/token".into()] {
        for method in ["GET", "OPTIONS"] {
            let headers = [&*cookie, "Origin: https://evil.example", "Access-Control-Request-Method: POST"];
            let answer = wire::send(method, &format!("{}{path}", served.url), &headers, "").unwrap();
            for name in ["access-control-allow-origin", "access-control-allow-credentials"] {
                assert_eq!(answer.header(name), None, "{method} {path}");
            }
            assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{method} {path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        }
    }
}
