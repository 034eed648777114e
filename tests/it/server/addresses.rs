//! No token is taken from an address: whoever puts one there is refused, and it stands in nothing that the server keeps.

use super::served::{Browser, Served, token};
use crate::canary::{Canary, Sweep};
use crate::wire;

const NAMES: [&str; 5] = ["access_token", "refresh_token", "id_token", "api_key", "token"];

#[test]
fn a_token_in_an_address_is_refused_at_every_route_and_kept_nowhere() {
    let mut served = Served::new(&[]);
    let stage = served.client();
    let bearer = token(&stage);
    let canary = Canary::new();
    let routes = served.stage.run(&["serve", "routes", "--json"]).ends(0).json();
    let text = |route: &serde_json::Value, name: &str| route[name].as_str().unwrap().to_owned();
    let routes: Vec<(String, String)> =
        routes.as_array().unwrap().iter().map(|route| (text(route, "method"), text(route, "path"))).collect();
    assert!(routes.len() > 150);
    let cookie = format!("Cookie: {}", served.browser().cookie().unwrap());
    let headers = [&format!("Authorization: Bearer {bearer}"), cookie.as_str(), "Content-Type: application/json"];
    let mut count = 0;
    for (method, path) in
        routes.iter().map(|(method, path)| (method.as_str(), path.as_str())).chain([("GET", "/nowhere")])
    {
        let is_link = ["/setup", "/invite", "/reset"].contains(&path);
        let path = path.replace(['{', '}'], "");
        for name in NAMES.iter().filter(|name| !(is_link && **name == "token")) {
            let query = format!("q=a&{name}={}", canary.text());
            let answer = wire::send(method, &format!("{}{path}?{query}", served.url), &headers, "{}").unwrap();
            assert_eq!(answer.status(), 400, "{method} {path} {name}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path} {name}");
            assert!(!answer.text().contains(canary.text()));
            count += 1;
        }
        // Under whatever name it stands, what lets somebody in is seen.
        let answer = wire::send(method, &format!("{}{path}?state={bearer}", served.url), &headers, "{}").unwrap();
        assert_eq!(answer.status(), 400, "{method} {path}");
    }
    assert!(count > 700, "{count}");
    // What a header says counts, and a link is what it is.
    assert_eq!(served.api("GET", "/userinfo", &bearer, "").status(), 200, "nothing was ended");
    assert_eq!(served.api("GET", "/credential-configs?limit=5", &bearer, "").status(), 200);
    assert_eq!(Browser::new(&served.url).get("/setup?token=x").status(), 409);

    let secret = Canary::of(bearer.rsplit('_').nth(1).unwrap());
    let kept: String = served.entries().iter().map(ToString::to_string).collect();
    let ended = served.ended("TERM");
    assert!(ended.stderr().lines().filter(|line| line.contains("\"status\":400")).count() > 700);
    let canaries = [canary, Canary::of("access_token"), secret];
    Sweep::for_canaries(&canaries).bytes("the log", &ended.stderr).bytes("the audit", kept.as_bytes()).assert_clean();
}
