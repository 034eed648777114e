//! What `/authorize` takes, to the letter: where an answer may go, and that nobody has it fetch anything.

use super::grants::{asked, code_for, exchange, text};
use super::served::{Served, hidden};
use crate::double::{Answer, Double};
use crate::wire;

#[test]
fn an_answer_goes_to_an_address_that_is_read_in_one_way() {
    let served = Served::new(&[]);
    let browser = served.browser();
    let own = browser.form(&asked(&[]));
    for bad in [
        "http://127.0.0.1:9/callback/../x",
        "http://127.0.0.1:9/callback/%2e%2e",
        "http://127.0.0.1:9/%2e%2e",
        "http://127.0.0.1:9/call%62ack",
        "http://127.0.0.1:1@evil/",
        "http://127.0.0.1:9@127.0.0.1/",
        "http://127.0.0.1.evil/",
        "http://[::ffff:127.0.0.1]/",
        "http://[0:0:0:0:0:0:0:1]/callback",
        "HTTP://127.0.0.1:9/callback",
        "http://127.0.0.1:9/callback?added=query",
        "http://127.0.0.1:9/callback#fragment",
        "http://127.1/callback",
        "http://2130706433/callback",
        "http://0x7f.0.0.1/callback",
        "http://localhost:9/callback",
        "http://LOCALHOST:9/callback",
        "http://127.0.0.1:09/callback",
        "http://127.0.0.1:9//callback",
        "http://127.0.0.1:9",
        "https://127.0.0.1:9/callback",
    ] {
        let page = browser.get(&asked(&[("redirect_uri", bad)]));
        assert_eq!((page.status(), page.header("location")), (400, None), "{bad}");
        assert!(page.text().starts_with("<!doctype html>"), "{bad}");
        // Nor by the form, whatever stood in the page that it came of.
        let with = |(name, value): &(String, String)| {
            let value = if name == "redirect_uri" { bad.to_owned() } else { value.clone() };
            (name.clone(), value)
        };
        let mut fields: Vec<(String, String)> = own.iter().map(with).collect();
        fields.push(("decision".into(), "allow".into()));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let sent = browser.post("/authorize", &fields);
        assert_eq!((sent.status(), sent.header("location")), (400, None), "{bad}");
    }
    assert_eq!(served.sql("SELECT COUNT(*) FROM codes").trim(), "0");
    for good in ["http://127.0.0.1:4000/callback", "http://[::1]:4000/a/B-c_d~e.f", "http://127.0.0.1:1/"] {
        let code = code_for(&browser, &[("redirect_uri", good)]);
        let given = exchange(&served, &code, &[("redirect_uri", good)]);
        assert_eq!(given.status(), 200, "{good}: {}", given.text());
    }
    // What was asked is what is shown again, letter by letter.
    for other in ["http://127.0.0.1:4001/callback", "http://127.0.0.1:4000/callback/", "http://[::1]:4000/callback"] {
        let code = code_for(&browser, &[("redirect_uri", "http://127.0.0.1:4000/callback")]);
        let refused = exchange(&served, &code, &[("redirect_uri", other)]);
        assert_eq!((refused.status(), text(&refused.json(), "error")), (400, "invalid_grant"), "{other}");
    }
}

#[test]
fn a_request_is_taken_from_nowhere_else() {
    let served = Served::new(&["--allow-host", "127.0.0.1"]);
    let browser = served.browser();
    let elsewhere = Double::always(Answer::json(200, "{}"));
    let address = format!("{}/request", elsewhere.url());
    let object = "eyJhbGciOiJub25lIn0.eyJjbGllbnRfaWQiOiJsYW55YXJkIn0.";
    for (changes, error) in [
        (vec![("request_uri", address.as_str())], "request_uri_not_supported"),
        (vec![("request_uri", "urn:ietf:params:oauth:request_uri:x")], "request_uri_not_supported"),
        (vec![("request_uri", address.as_str()), ("request", object)], "request_uri_not_supported"),
        (vec![("request", object)], "request_not_supported"),
        (vec![("request", object), ("response_type", "")], "request_not_supported"),
    ] {
        let asked = asked(&changes);
        let page = browser.get(&asked);
        let to = page.header("location").unwrap_or_default().to_owned();
        assert!(page.status() == 303 && to.starts_with("http://127.0.0.1:9/callback?"), "{to}");
        assert!(to.contains(&format!("error={error}&")) && to.contains("state=") && to.contains("iss="), "{to}");
        assert!(!to.contains("code="));
        // The same by the form of a page that was asked for without.
        let page = browser.get(&super::grants::asked(&[]));
        assert_eq!(page.status(), 200);
        let mut fields = hidden(&page.text());
        fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        fields.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        fields.push(("decision".into(), "allow".into()));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let sent = browser.post("/authorize", &fields);
        let to = sent.header("location").unwrap_or_default().to_owned();
        assert!(sent.status() == 303 && to.contains(&format!("error={error}&")) && !to.contains("code="), "{to}");
    }
    // With that alone, as whoever pushed a request elsewhere asks, no address is known to send anybody to.
    let alone = format!("/authorize?{}", wire::form(&[("client_id", "lanyard"), ("request_uri", &address)]));
    let page = browser.get(&alone);
    assert_eq!((page.status(), page.header("location")), (400, None));
    assert!(elsewhere.requests().is_empty(), "nothing was fetched");
    assert_eq!(served.sql("SELECT COUNT(*) FROM codes").trim(), "0");
    for document in ["oauth-authorization-server", "openid-configuration"] {
        let told = wire::get(&format!("{}/.well-known/{document}", served.url)).unwrap().json();
        for name in ["request_parameter_supported", "request_uri_parameter_supported"] {
            assert_eq!(told[name], false, "{document} {name}");
        }
    }
}
